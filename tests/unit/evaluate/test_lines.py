"""Scores of mechanisms by cell line: opposite answers, the mean over lines by hand, and intervals over both."""

import json

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS, screen
from wellspring.evaluate import metrics, nearest, replicates
from wellspring.evaluate.score import filled, interval

NAMES = ("nsc", "nscb", "hit", "matching")


def computed(name, x, meta, options=OPTIONS):
    metric = next(one for one in metrics.METRICS if one.name == name)
    return {score.metric: score for score in metric.compute(x, meta, options, 0)}


def two_lines(seed=0, mechanisms=6, each=3, features=16, opposite=True):
    """Compounds of mechanisms on two plates of each line; in the second line every effect has the other sign."""
    rng, rows, values = np.random.default_rng(seed), [], []
    shift = rng.standard_normal((mechanisms, features))
    for line, sign in (("L0", 1), ("L1", -1 if opposite else 1)):
        for plate in range(2):
            for number in range(mechanisms * each):
                moa, well = number % mechanisms, f"{'ABC'[number // 8]}{number % 8 + 1:02d}"
                rows.append((f"{line}P{plate}", well, f"c{number}", "trt", f"m{moa}", line, f"B{plate}"))
                values.append(sign * 2 * shift[moa] + 0.3 * rng.standard_normal(features))
    names = ["Plate", "Well", "Compound", "pert_type", "moa", "Cell_Line", "Batch"]
    return np.array(values), pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def test_lines_that_answer_oppositely_are_judged_each_on_its_own():
    x, meta = two_lines()
    assert nearest.nsc(x, meta).value < 0.7 and replicates.matching(x, meta, null_size=200).value < 1
    for name in ("nsc", "hit", "matching"):
        assert next(iter(computed(name, x, meta).values())).value == 1.0
    assert computed("nsc", x, meta)["nsc"].notes[-1].code == "by_cell_line"


@pytest.mark.parametrize("name", NAMES)
def test_the_joined_score_is_the_mean_over_the_items_of_all_lines(name):
    rng = np.random.default_rng(2)
    x, meta = two_lines(1, opposite=False)
    x = x + 2.5 * rng.standard_normal(x.shape)
    keep = ~((meta["Metadata_Cell_Line"] == "L1") & meta["Metadata_Compound"].isin(["c3", "c9", "c4"])).to_numpy()
    x, meta = x[keep], meta[keep].reset_index(drop=True)
    if name == "nscb":  # no treatment in both batches
        meta["Metadata_Batch"] = "B" + (meta["Metadata_Compound"].str[1:].astype(int) // 6 % 2).astype(str)
    whole, parts = computed(name, x, meta), []
    for line in ("L0", "L1"):
        mine = (meta["Metadata_Cell_Line"] == line).to_numpy()
        parts.append(computed(name, x[mine], meta[mine].reset_index(drop=True)))
    assert list(whole) == list(parts[0])
    for metric, score in whole.items():
        first, second = (part[metric] for part in parts)
        if metric.endswith(".permuted"):
            weights = [len(part["nsc"].units) for part in parts]
            both = np.average([one.units["value"] for one in (first, second)], axis=0, weights=weights)
            assert score.units["value"].to_numpy() == pytest.approx(both)
            continue
        sizes = len(first.units), len(second.units)
        assert score.value == pytest.approx(np.average([first.value, second.value], weights=sizes))
        assert score.chance == pytest.approx(np.average([first.chance, second.chance], weights=sizes))
        assert (score.n, score.n_undefined) == (first.n + second.n, first.n_undefined + second.n_undefined)
        items = pd.concat([filled(first.items), filled(second.items)])
        expected = items.groupby("Metadata_Item")["value"].mean()
        pd.testing.assert_series_equal(score.items.set_index("Metadata_Item")["value"].sort_index(), expected)
        low, high = interval(score)
        assert low < score.value < high
        by_line = {item: json.loads(text) for item, text in zip(*_by_line(score.items), strict=True)}
        for line, part in zip(("L0", "L1"), (first, second), strict=True):
            groups = filled(part.items).dropna(subset=["Metadata_Group"])
            expected = dict(zip(groups["Metadata_Item"], groups["Metadata_Group"].astype(str), strict=True))
            assert {item: own[line] for item, own in by_line.items() if line in own} == expected


def _by_line(items: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    known = items.dropna(subset=["Metadata_Group_By_Line"])
    return known["Metadata_Item"], known["Metadata_Group_By_Line"]


def test_a_mechanism_is_left_out_of_both_lines_at_once():
    x, meta = two_lines(3, opposite=False)
    x = x + 2.5 * np.random.default_rng(0).standard_normal(x.shape)
    score = computed("nsc", x, meta)["nsc"]
    (found,) = score.jackknives
    above = (1 - score.value) / (1 - score.chance)
    for group, value in found.left_out.items():
        mine = (meta["Metadata_moa"] != group).to_numpy()
        rest = computed("nsc", x[mine], meta[mine].reset_index(drop=True))["nsc"]
        rise = score.value - rest.value - above * (score.chance - rest.chance)
        assert value == pytest.approx(score.value - rise, abs=0.02)


def test_one_line_is_as_before_and_a_line_without_labels_does_not_count():
    x, meta = screen(seed=3, effect=1.0)
    alone = meta.assign(Metadata_Cell_Line="one")
    assert computed("nsc", x, alone)["nsc"].value == nearest.nsc(x, alone).value
    empty = meta.assign(Metadata_moa=meta["Metadata_moa"].where(meta["Metadata_Cell_Line"] == "L0"))
    score, mine = computed("nsc", x, empty)["nsc"], (meta["Metadata_Cell_Line"] == "L0").to_numpy()
    assert score.value == nearest.nsc(x[mine], meta[mine].reset_index(drop=True)).value
    none = computed("nsc", x, meta.assign(Metadata_moa=None))["nsc"]
    assert np.isnan(none.value) and none.notes


def test_each_of_three_lines_is_judged_on_its_own_wells():
    x, meta = two_lines(3, opposite=False)
    rng = np.random.default_rng(5)
    third = (meta["Metadata_Cell_Line"] == "L1").to_numpy() & (meta["Metadata_Plate"] == "L1P1").to_numpy()
    meta.loc[third, "Metadata_Cell_Line"] = "L2"
    x[third] = rng.standard_normal((int(third.sum()), x.shape[1]))  # no mechanism in the third line
    parts = {}
    for line in ("L0", "L1", "L2"):
        mine = (meta["Metadata_Cell_Line"] == line).to_numpy()
        parts[line] = nearest.nsc(x[mine], meta[mine].reset_index(drop=True))
    assert parts["L0"].value == parts["L1"].value == 1.0 > parts["L2"].value + 0.5
    weights = [parts[line].n for line in parts]
    expected = np.average([parts[line].value for line in parts], weights=weights)
    assert computed("nsc", x, meta)["nsc"].value == pytest.approx(expected)
