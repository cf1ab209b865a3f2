"""Scores: how two folds are merged, intervals, rows, and the choice of metrics."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import FIT, OPTIONS, screen, table
from options import options
from wellspring.evaluate.metrics import FAMILIES, METRICS, chosen, metric_of
from wellspring.evaluate.populations import Population
from wellspring.evaluate.run import evaluate, judge
from wellspring.evaluate.score import Score, absent, filled, interval, merge, row
from wellspring.io.notes import Note, loads
from wellspring.report.wording import words


def fold(p, *, n=3, value=0.5, chance=0.2, **more):
    items = pd.DataFrame({"Metadata_Item": list("abcd"), "value": value, "p": p, "n": n, "n_undefined": [0, 1, 0, 2]})
    units = pd.DataFrame({"stratum": "s", "cluster": list("abcd"), "value": value})
    return Score("m", items=items, units=units, chance=chance, n=n, n_undefined=1, **more)


def test_two_folds_have_the_mean_of_values_and_the_larger_p():
    first = fold([0.01, 0.3, np.nan, 0.02], value=0.4, chance=0.2, interval=(0.1, 0.5))
    second = fold([0.2, 0.1, 0.01, 0.03], value=0.8, chance=0.4, n=5, interval=(0.3, 0.9))
    both = merge(first.noted(Note("gap")), second.noted(Note("axis"), Note("gap")))
    items = both.items.set_index("Metadata_Item")
    assert items["p"].tolist()[:2] == [0.2, 0.3] and items["p"]["d"] == 0.03
    assert np.isnan(items["p"]["c"]), "an item without a p in one fold has none"
    np.testing.assert_allclose(items["q"][["a", "b", "d"]], [0.3, 0.3, 0.09])
    np.testing.assert_allclose(items["value"], 0.6)
    assert (items["n"] == 5).all() and items["n_undefined"].tolist() == [0, 1, 0, 2]
    assert both.value == pytest.approx(0.6) and both.chance == pytest.approx(0.3)
    assert both.interval == pytest.approx((0.2, 0.7)) and (both.n, both.n_undefined) == (5, 1)
    assert both.notes == (Note("gap"), Note("axis"))


def test_folds_that_judge_different_things_add_their_counts():
    both = merge(fold([0.1] * 4, disjoint=True), fold([0.1] * 4, n=5, chance=float("nan"), disjoint=True))
    assert (both.n, both.n_undefined, both.chance) == (8, 2, 0.2) and (both.items["n"] == 8).all()
    none = merge(absent("m", Note("axis")), absent("m", Note("axis"), n_undefined=2))
    assert np.isnan(none.value) and none.n_undefined == 2 and none.notes == (Note("axis"),) and none.interval is None


def test_a_row_has_the_interval_of_its_clusters_or_says_why_not():
    score = fold([0.1] * 4, value=[0.0, 0.2, 0.4, 1.0])
    found = row(score, level="x", chance="by chance")
    low, high = interval(score)
    assert (found["low"], found["high"]) == (low, high) and 0 <= low < 0.4 < high <= 1
    assert found["Metadata_Guard"] == "by chance" and found["Metadata_Note"] == ""
    one = Score("m", units=score.units.assign(cluster="a"))
    assert row(one, level="x", chance="c")["Metadata_Note"] == (
        'too_few_groups_for_interval(population="items", found=1, needed=4)'
    )
    assert row(one, level="x", chance="c")["Metadata_Guard"] == "", "without a chance level"
    given = row(fold([0.1] * 4, interval=(0.1, 0.2)), level="x")
    assert (given["low"], given["high"]) == (0.1, 0.2)


@pytest.mark.parametrize("value", [[1.5, 3.0, 0.2, 4.0], [-0.9, -0.1, 0.3, -0.4]])
def test_a_value_beyond_its_bounds_is_refused_unless_the_score_has_none(value):
    with pytest.raises(ValueError, match=r"^m: expected a value between 0 and 1, found .*unbounded=True$"):
        row(fold([0.1] * 4, value=value), level="x")
    found = row(fold([0.1] * 4, value=value, unbounded=True), level="x")
    assert found["low"] < np.mean(value) < found["high"]
    with pytest.raises(ValueError, match="between 0 and 0.25, found 0.5"):
        row(fold([0.1] * 4, ceiling=0.25), level="x")
    assert row(fold([0.1] * 4, value=1 + 1e-12), level="x")["high"] == 1


def test_missing_columns_of_items_are_filled_by_kind():
    items = filled(pd.DataFrame({"Metadata_Item": ["a"], "value": [1]}))
    assert items["n"].tolist() == [0] and items["p"].isna().all() and items["Metadata_Group"].tolist() == [None]


def test_every_score_has_a_record_and_every_note_a_sentence():
    _, summary = judge(Population.of(table(), level="x"), options=OPTIONS)
    for metric, text in zip(summary["Metadata_Metric"], summary["Metadata_Note"], strict=True):
        assert metric_of(metric).title and metric_of(metric).meaning.endswith(".")
        assert all(words(note) for note in loads(text))
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all((metric.compute is None) != (metric.derive is None) for metric in METRICS)
    with pytest.raises(KeyError, match="unheard"):
        metric_of("unheard.of")


def test_metrics_are_chosen_by_name_and_family_with_what_they_need():
    assert chosen("all") == METRICS
    assert [metric.name for metric in chosen(["activity.retrieved"])] == ["activity", "activity.retrieved"]
    assert {metric.family for metric in chosen(["dose", "nuisance"])} == {"dose", "nuisance"}
    with pytest.raises(ValueError, match=r"unknown names \['hits'\].*hit"):
        chosen(["hits", "nsc"])
    frame = table(effect=2.0)
    plates = [part for _, part in frame.groupby("Metadata_Plate")]
    few = options("evaluate", metrics=["hit", "nuisance"], null_size=1000, bootstrap=20, permutations=0)
    whole = options("evaluate", null_size=1000, bootstrap=20, permutations=0)
    some, every = (evaluate(plates, plates, frame, options=each, fit=FIT)[1] for each in (few, whole))
    heads = {name.split(".")[0] for name in some["Metadata_Metric"]}
    assert heads == {"hit", "nuisance"} and set(FAMILIES) > {"nuisance"}
    keys = ["Metadata_Metric", "Metadata_Level"]
    both = some.merge(every, on=keys, suffixes=("", "_all"))
    assert len(both) == len(some)
    pd.testing.assert_series_equal(both["value"], both["value_all"], check_names=False)


def test_what_has_no_value_at_any_level_is_one_row():
    _, meta = screen(seed=1)
    frame = table().assign(Metadata_Batch="one")
    plates = [part for _, part in frame.groupby("Metadata_Plate")]
    _, summary = evaluate(plates, plates, frame, options=OPTIONS, fit=FIT)
    rows = summary[summary["Metadata_Metric"].str.startswith("transfer.batch")]
    assert rows["Metadata_Metric"].tolist() == ["transfer.batch.mechanism", "transfer.batch.compound"]
    assert rows["Metadata_Level"].tolist() == ["aligned", "aligned"] and rows["value"].isna().all()
    assert loads(rows["Metadata_Note"].iloc[0])[0].values["groups"] == 1
    assert (summary["Metadata_Metric"] == "nsc").sum() == 3 and len(meta) == len(frame)
