"""Paired differences of encoders: by hand, their coverage beside unpaired intervals, verdicts in both directions."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from test_jackknife import screen

from evaluation_tables import OPTIONS, table
from wellspring.evaluate import paired
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.populations import Population
from wellspring.evaluate.run import scores
from wellspring.evaluate.score import row


def summary_row(value, groups, population="mechanisms", **given):
    left = {population: {"shared": 0.0, "groups": groups}} if groups else None
    stored = {"Metadata_Metric": "nsc", "Metadata_Level": "aligned", "Encoder": "a", "value": value}
    return stored | {"Metadata_Left_Out": json.dumps(left) if left else ""} | given


def test_the_difference_is_the_jackknife_of_differences_by_hand():
    first = summary_row(0.8, {"a": 0.7, "b": 0.8, "c": 0.9, "d": 0.8})
    second = summary_row(0.5, {"a": 0.45, "b": 0.5, "c": 0.5, "d": 0.55})
    left = np.array([0.25, 0.3, 0.4, 0.25])
    half = student.ppf(0.975, 3) * np.sqrt(3 / 4 * ((left - left.mean()) ** 2).sum())
    found = paired.difference(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half))
    assert found.verdict(1) == "undecided"


def test_a_group_that_one_encoder_lacks_leaves_its_score_as_it_is():
    first = summary_row(0.6, {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.6})
    second = summary_row(0.2, {"a": 0.1, "b": 0.18, "c": 0.3})
    found = paired.difference(first, second)
    left = np.array([0.4, 0.42, 0.4, 0.4])
    half = student.ppf(0.975, 3) * np.sqrt(3 / 4 * ((left - left.mean()) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((0.4 - half, 0.4 + half)) and found.verdict(1) == "better"


@pytest.mark.parametrize(("count", "verdict"), [(4, "undecided"), (12, "better")])
def test_no_interval_has_a_width_of_zero(count, verdict):
    """All groups alike: Wilson's interval with Student's t of a share of `count` groups, on the scale from -1 to 1."""
    first, second = (summary_row(value, dict.fromkeys(map(str, range(count)), value)) for value in (1.0, 0.0))
    found = paired.difference(first, second)
    square = student.ppf(0.975, count - 1) ** 2
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(2 / (1 + square / count) - 1) and found.verdict(1) == verdict
    alike = paired.difference(first, first)
    assert alike.low == pytest.approx(-alike.high) and alike.high > 0.4 and alike.verdict(1) == "undecided"
    grit = [row | {"Metadata_Metric": "grit"} for row in (first, second)]  # no largest value, though it is 1 here
    assert np.isnan(paired.difference(*grit).low)
    gaps = [row | {"Metadata_Metric": "transfer.batch.compound.k1.gap.heldout"} for row in (first, second)]
    wide = paired.difference(*gaps)  # between -1 and 1, so that the difference is between -2 and 2
    share, t2 = 0.75, square / count
    ends = (share + t2 / 2 + sign * np.sqrt(square * (share * 0.25 / count + t2 / (4 * count))) for sign in (-1, 1))
    assert (wide.low, wide.high) == pytest.approx([2 * (2 * end / (1 + t2) - 1) for end in ends])


def test_scores_without_bounds_are_those_whose_metric_has_none():
    """Each score of a screen has a value between the bounds of its metric; grit has none by the score itself, too."""
    frame = table(3, treatments=8, effect=1.0, per_plate=2)
    frame["Metadata_Concentration"] = np.where(frame["Metadata_pert_type"] == "trt", 1.0, np.nan)
    found = scores(Population.of(frame, level="aligned"), options=OPTIONS)
    known = [score for score in found if np.isfinite(score.value) and score.units.shape[0]]
    assert {"grit", "enrichment.k5", "transfer.batch.compound.k1.gap"} <= {one.metric for one in known}
    for score in known:
        limits = paired.bounds(score.metric)
        assert (limits is None) == (score.unbounded or score.metric.startswith("enrichment")), score.metric
        assert limits is None or limits[0] <= score.value <= limits[1]


@pytest.mark.parametrize("other", [None, {"a": 0.1, "b": 0.2}])
def test_without_groups_or_with_few_nothing_is_decided(other):
    found = paired.difference(summary_row(0.9, {"a": 0.9, "b": 0.9}), summary_row(0.1, other))
    assert found.value == pytest.approx(0.8) and np.isnan([found.low, found.high]).all()
    assert found.verdict(1) == found.verdict(-1) == "undecided"
    same, other = dict.fromkeys("abcd", 0.9), dict.fromkeys("abcd", 0.1)
    kinds = paired.difference(summary_row(0.9, same), summary_row(0.1, other, "plates"))
    assert np.isnan(kinds.low)


def test_verdicts_follow_the_direction_of_the_score_and_leave_baselines_out():
    high = {name: 0.8 + 0.01 * place for place, name in enumerate("abcd")}
    low = {name: 0.2 + 0.02 * place for place, name in enumerate("abcd")}
    gap = "transfer.batch.compound.k1.gap"
    names = ["nsc", "nuisance.plate", "nsc.permuted", "consistency.position_only.heldout", gap, "new"]
    rows = [summary_row(0.8, high, Metadata_Metric=name) for name in names]
    rows += [summary_row(0.2, low, Metadata_Metric=name, Encoder="b") for name in names]
    rows.append(summary_row(0.7, None, Metadata_Metric="dose.spearman"))
    table = pd.DataFrame(rows)
    found = paired.differences(table, [("a", "b"), ("b", "a")]).set_index(["Encoder", "Metadata_Metric"])
    assert len(found) == 6
    assert found["Metadata_Verdict"].to_dict() == {
        ("a", "nsc"): "better",
        ("a", "nuisance.plate"): "worse",
        ("a", gap): "worse",
        ("b", "nsc"): "worse",
        ("b", "nuisance.plate"): "better",
        ("b", gap): "better",
    }
    assert paired.differences(table.iloc[:0], [("a", "b")]).columns.tolist() == paired.COLUMNS


def test_differences_of_equally_good_encoders_cover_zero_and_are_narrower_than_unpaired_ones():
    rng, covered, widths = np.random.default_rng(0), [], []
    for seed in range(40):
        x, meta = screen(seed + 500, sizes=(3,) * 8, plates=2, controls=2)
        scores = [consistency(x + 0.7 * rng.standard_normal(x.shape), meta)[0] for _ in range(2)]
        first, second = (row(score, level="aligned") for score in scores)
        found = paired.difference(first, second)
        covered.append(found.low <= 0 <= found.high)
        alone = np.hypot(*(one["high"] - one["low"] for one in (first, second)))
        widths.append((found.high - found.low) / alone)
    assert np.mean(covered) >= 0.85, "0.95 less three standard errors"
    assert np.mean(widths) < 0.9
