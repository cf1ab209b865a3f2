"""Several labels per compound: equal to copairs' multilabel mode, and to counting by hand."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate import multilabel, run
from wellspring.evaluate.populations import Population
from wellspring.screen import config, sections

TARGETS = ["a|b", "b", "a | c", "c", "d|a|b", "d", "e", "b|e"]


def screen(seed=0, width=8, separator="|"):
    rng, rows = np.random.default_rng(seed), []
    for number, target in enumerate(TARGETS):
        for replicate in range(2):
            rows.append((f"p{replicate}", f"A{number + 1:02d}", "trt", f"c{number}", target.replace("|", separator)))
    frame = pd.DataFrame(rows, columns=[f"Metadata_{n}" for n in ("Plate", "Well", "pert_type", "Compound", "target")])
    frame["Metadata_Batch"] = frame["Metadata_Plate"]
    values = rng.normal(size=(len(frame), width))
    return pd.concat([frame, pd.DataFrame(values, columns=[f"f_{place}" for place in range(width)])], axis=1)


def judged(frame, **options):
    chosen = config.default(sections.Evaluate, label="Metadata_target", bootstrap=100, permutations=20, **options)
    return run.judge(Population.of(frame, level="aligned"), options=chosen)


def sets(frame, separator="|"):
    return [{part.strip() for part in value.split(separator)} for value in frame["Metadata_target"]]


@pytest.mark.parametrize("separator", ["|", ";"])
def test_consistency_is_that_of_copairs_label_by_label(separator):
    from copairs.map import multilabel as peer

    frame = screen(separator=separator)
    values = frame[[name for name in frame if name.startswith("f_")]].to_numpy()
    meta = frame[["Metadata_Compound"]].assign(
        place=range(len(frame)), label=[sorted(one) for one in sets(frame, separator)]
    )
    expected = peer.average_precision(
        meta, values, pos_sameby=["label"], pos_diffby=["Metadata_Compound"], neg_sameby=[], neg_diffby=["label"],
        multilabel_col="label", progress_bar=False,
    )  # fmt: skip
    expected = expected[np.isfinite(expected["average_precision"])]
    per_well = expected.groupby("place")["average_precision"].mean()
    per_compound = per_well.groupby(frame["Metadata_Compound"].to_numpy()[per_well.index]).mean()
    items, summary = judged(frame, metrics=["consistency"], separator=separator)
    mine = items[items["Metadata_Metric"] == "consistency"].set_index("Metadata_Item")["value"]
    pd.testing.assert_series_equal(
        mine.sort_index(), per_compound.sort_index(), check_names=False, check_index_type=False, rtol=1e-6
    )
    rows = summary.set_index("Metadata_Metric")
    assert rows.loc["consistency", "value"] == pytest.approx(per_compound.mean(), rel=1e-6)
    assert 0 < rows.loc["consistency.permuted", "value"] < 1


def test_nearest_neighbours_are_right_if_they_share_any_label():
    frame = screen(3)
    names = [name for name in frame if name.startswith("f_")]
    median = frame.groupby("Metadata_Compound")[names].median().to_numpy()
    rows = median / np.linalg.norm(median, axis=1, keepdims=True)
    similar = rows @ rows.T
    np.fill_diagonal(similar, -2)
    own = sets(pd.DataFrame({"Metadata_target": TARGETS}))
    right = np.array([[bool(own[i] & own[j]) for j in np.argsort(-similar[i])] for i in range(8)])
    summary = judged(frame, metrics=["nsc", "hit", "precision", "enrichment"], hit_neighbours=[3])[1]
    rows = summary.set_index("Metadata_Metric")
    assert rows.loc["nsc", "value"] == right[:, 0].mean()
    assert rows.loc["hit.k3", "value"] == right[:, :3].any(axis=1).mean()
    assert rows.loc["precision.k3", "value"] == pytest.approx(right[:, :3].mean())
    share = right[:, :7].sum(axis=1) / 7
    assert rows.loc["nsc", "chance"] == pytest.approx(share.mean())
    some = share > 0
    assert rows.loc["enrichment.k3", "value"] == pytest.approx((right[:, :3].mean(axis=1)[some] / share[some]).mean())


def test_null_compares_whole_values_and_single_labels_are_computed_as_ever():
    frame = screen(1)
    whole = judged(frame, metrics=["nsc"], separator=None)[1].set_index("Metadata_Metric")
    assert whole.loc["nsc", "Metadata_Note"] == "no_shared_mechanism"  # no two compounds have the same value
    frame["Metadata_target"] = frame["Metadata_target"].str[0]
    assert not multilabel.needed(frame, "Metadata_target", "|")
    pd.testing.assert_frame_equal(
        judged(frame, metrics=["mechanisms"])[1], judged(frame, metrics=["mechanisms"], separator=None)[1]
    )


def test_nscb_leaves_out_treatments_that_share_a_batch():
    frame = screen(2)
    frame["Metadata_Batch"] = np.where(frame["Metadata_Compound"].str[1].astype(int) % 2, "odd", "even")
    names = [name for name in frame if name.startswith("f_")]
    median = frame.groupby("Metadata_Compound")[names].median().to_numpy()
    rows = median / np.linalg.norm(median, axis=1, keepdims=True)
    own = sets(pd.DataFrame({"Metadata_target": TARGETS}))
    batches = {name: {i % 2 for i in range(8) if name in own[i]} for name in set().union(*own)}
    kept = [i for i in range(8) if any(len(batches[name]) > 1 for name in own[i])]
    right = []
    for i in kept:
        others = [j for j in kept if j % 2 != i % 2]
        right.append(bool(own[i] & own[max(others, key=lambda j: rows[i] @ rows[j])]))
    rows = judged(frame, metrics=["nscb"])[1].set_index("Metadata_Metric")
    assert rows.loc["nscb", "value"] == np.mean(right)
