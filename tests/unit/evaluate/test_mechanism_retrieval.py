"""p, q and the share retrieved of consistency and of mechanisms: those of copairs, with ties that count."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import screen, uneven
from wellspring.evaluate import multilabel
from wellspring.evaluate.consistency import consistency, retrieved
from wellspring.evaluate.mechanism_retrieval import mechanisms_retrieved
from wellspring.evaluate.precision import expected, list_null, listed_p
from wellspring.evaluate.score import benjamini_hochberg

SIZE = 20_000


def p_of_copairs(rows, by):
    """p of the groups of copairs' average precisions, by its own null distributions; ties count."""
    from copairs.compute import get_null_dists

    found = {}
    for name, mine in rows.groupby(by):
        shapes = mine[["n_pos_pairs", "n_total_pairs"]].to_numpy()
        unique, place = np.unique(shapes, axis=0, return_inverse=True)
        null = get_null_dists(unique, SIZE, seed=1, progress_bar=False)[place.ravel()].mean(axis=0)
        found[name] = (1 + (null >= mine["average_precision"].mean() - 1e-6).sum()) / (1 + SIZE)
    return pd.Series(found)


@pytest.mark.parametrize("seed", [0, 5])
def test_p_of_compounds_is_that_of_copairs(seed):
    from copairs.map import average_precision

    x, meta = screen(seed=seed, treatments=10, effect=0.5)
    treated = (meta["Metadata_pert_type"] == "trt").to_numpy()
    table = meta[treated][["Metadata_moa", "Metadata_Compound"]].reset_index(drop=True)
    peer = average_precision(
        table, x[treated], ["Metadata_moa"], ["Metadata_Compound"], [], ["Metadata_moa"], progress_bar=False
    )
    theirs = p_of_copairs(peer, "Metadata_Compound")
    (score,) = consistency(x, meta, null_size=SIZE)
    ours = score.items.set_index("Metadata_Item")
    assert ours["p"][theirs.index].to_numpy() == pytest.approx(theirs.to_numpy(), abs=0.015)
    assert ours["q"].to_numpy() == pytest.approx(benjamini_hochberg(ours["p"].to_numpy()))
    share = retrieved(score, threshold=0.3)
    assert share.metric == "consistency.retrieved" and share.value == (ours["q"] < 0.3).mean() and share.n == 10
    several, _ = multilabel.consistency(x, meta, label="Metadata_moa", separator="|", null_size=SIZE)
    pd.testing.assert_frame_equal(several.items[["p", "q"]], score.items[["p", "q"]])


def test_mechanisms_are_those_of_copairs_with_several_labels():
    from copairs.map import multilabel as peer

    rng, targets = np.random.default_rng(3), ["a|b", "b", "a", "c", "d|a", "d", "e", "b|e", "c", "c|d", "f"]
    shift = {name: rng.standard_normal(6) for name in "abcdef"}
    rows = [(f"p{plate}", f"A{n:02d}", f"c{n:02d}", target) for n, target in enumerate(targets) for plate in range(3)]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in ("Plate", "Well", "Compound", "target")])
    meta["Metadata_pert_type"] = "trt"
    x = np.array([sum(shift[one] for one in target.split("|")) for *_, target in rows])
    x = x + 0.6 * rng.standard_normal(x.shape)
    median = pd.DataFrame(x).groupby(meta["Metadata_Compound"]).median()
    table = pd.DataFrame({"label": [target.split("|") for target in targets]})
    found = peer.average_precision(
        table, median.to_numpy(), ["label"], [], [], ["label"], multilabel_col="label", progress_bar=False
    )
    found = found[np.isfinite(found["average_precision"])]
    score = mechanisms_retrieved(x, meta, label="Metadata_target", null_size=SIZE, threshold=0.2)
    ours = score.items.set_index("Metadata_Item")
    theirs = found.groupby("label")["average_precision"].mean()
    assert ours["value"][theirs.index].to_numpy() == pytest.approx(theirs.to_numpy(), abs=1e-6)
    assert ours["p"][theirs.index].to_numpy() == pytest.approx(p_of_copairs(found, "label").to_numpy(), abs=0.015)
    assert ours.loc["f", ["value", "p"]].isna().all() and ours.loc["f", "n_undefined"] == 1
    q = benjamini_hochberg(p_of_copairs(found, "label").to_numpy())
    assert score.value == (q < 0.2).mean() and 0 < score.value < 1 and score.n == 5 and score.n_undefined == 1


def test_mechanisms_of_several_lines_are_items_of_each():
    x, meta = screen(seed=2, treatments=10, effect=4.0)
    score = mechanisms_retrieved(x, meta, null_size=1000)
    assert len(score.items) == 10 and set(score.items["Metadata_Item"].str.split("|").str[1]) == {"L0", "L1"}
    lost = x.copy()
    lost[(meta["Metadata_Compound"] == "c0").to_numpy()] = np.nan
    assert mechanisms_retrieved(lost, meta, null_size=1000).n_undefined == 2
    none = mechanisms_retrieved(x, meta.assign(Metadata_moa=None), null_size=1000)
    assert np.isnan(none.value) and none.notes[0].code == "no_shared_mechanism"


def test_the_null_of_a_list_is_that_of_random_orders():
    rng = np.random.default_rng(0)
    for positives, total in ((1, 9), (3, 7), (5, 7), (4, 40), (9, 20), (2, 500)):
        null = list_null(positives, total, size=8000, seed=2)
        assert null.mean() == pytest.approx(float(expected(positives, total)), abs=0.01)
        drawn = []
        for _ in range(3000):
            places = np.sort(rng.permutation(total)[:positives])
            drawn.append(np.mean(np.arange(1, positives + 1) / (places + 1)))
        assert np.quantile(null, 0.95) == pytest.approx(np.quantile(drawn, 0.95), abs=0.05)
    one = listed_p(1.0, np.array([1]), np.array([10]), size=5000, seed=0)
    assert one == pytest.approx(0.1, abs=0.015), "a perfect list of ten is as likely as one in ten: ties count"


def test_null_screens_retrieve_no_more_than_the_level_allows():
    found = [np.nan_to_num(retrieved(consistency(*uneven(seed), null_size=1000)[0]).value) for seed in range(12)]
    x, meta = screen(seed=0, treatments=20, plates=2)
    rng = np.random.default_rng(1)
    p = [mechanisms_retrieved(rng.standard_normal(x.shape), meta, null_size=1000).items["p"] for _ in range(15)]
    p = np.concatenate(p)
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(p))
    assert len(found) == 12 and max(found) <= 1
