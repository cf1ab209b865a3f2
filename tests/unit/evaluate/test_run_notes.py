"""A run's tables: which notes a score has, words of its chance level, rows of what has no value, order of rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS, table, uneven
from options import options
from wellspring.evaluate import run, wells
from wellspring.evaluate.metric import PERMUTED, POSITION_ONLY
from wellspring.evaluate.metrics import METRICS, metric_of
from wellspring.evaluate.populations import Population
from wellspring.evaluate.score import Score
from wellspring.io.notes import Note, loads


def fixed_layout(frame):
    """Return the frame with each treatment in the same wells of every plate."""
    frame = frame.sort_values(["Metadata_Plate", "Metadata_Compound"], kind="stable").reset_index(drop=True)
    frame["Metadata_Well"] = [f"B{number + 1:02d}" for number in frame.groupby("Metadata_Plate").cumcount()]
    return frame


def test_notes_on_layout_and_folds_are_with_the_scores_that_they_limit():
    frame = fixed_layout(table(seed=1, effect=1.0, treatments=8))
    population = replace(Population.of(frame, level="x"), notes=(Note("two_halves"),), gaps=(Note("gap"),))
    scores = run.scores(population, options=OPTIONS, seed=0)
    assert len({score.metric for score in scores}) == len(scores)
    for score in scores:
        metric, codes = metric_of(score.metric), {note.code for note in score.notes}
        if score.metric.endswith(POSITION_ONLY):
            assert not len(score.items) and metric.position_only
            continue
        there = np.isfinite(score.value)
        plain = not score.metric.endswith((PERMUTED, ".gap"))
        assert ("treatment_fixed_to_wells" in codes) == (there and metric.layout and plain), score.metric
        assert ("two_halves" in codes) == (there and metric.reads in ("controls", "adjusted")), score.metric
        assert "gap" in codes
    held = run.scores(replace(population, held_out=True), options=OPTIONS, seed=0)
    assert [score.metric for score in held] == [f"{score.metric}.heldout" for score in scores]


def test_the_position_alone_is_judged_for_the_first_k_without_gaps_or_permutations():
    frame = table(seed=1, treatments=8)
    many = options("evaluate", null_size=1000, bootstrap=20, permutations=5, neighbours=[1, 3], hit_neighbours=[2, 4])
    names = [score.metric for score in run.of_position(frame, options=many)]
    assert all(name.endswith(POSITION_ONLY) and ".gap" not in name and PERMUTED not in name for name in names)
    heads = [name.removesuffix(POSITION_ONLY) for name in names]
    assert {"hit.k2", "precision.k2", "nsc", "consistency", "transfer.cell_line.mechanism.k1"} <= set(heads)
    assert not {"hit.k4", "transfer.cell_line.mechanism.k3"} & set(heads)
    mirrored = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    again = run.of_position(mirrored, options=many)
    assert [score.value for score in again] == pytest.approx(
        [score.value for score in run.of_position(frame, options=many)], nan_ok=True
    )


def test_the_summary_words_its_chance_levels():
    _, summary = run.judge(Population.of(table(seed=2, effect=1.0), level="x"), options=OPTIONS)
    for _, found in summary.iterrows():
        metric = metric_of(found["Metadata_Metric"])
        wanted = "mechanisms permuted over compounds" if PERMUTED in found["Metadata_Metric"] else metric.chance
        assert found["Metadata_Guard"] == (wanted if np.isfinite(found["chance"]) else "")
        assert found["Metadata_Level"] == "x"


def population(level, held_out=False):
    return replace(Population.of(table(), level=level), held_out=held_out)


def test_what_has_no_value_has_one_row_at_its_last_level_with_all_notes():
    units = pd.DataFrame({"stratum": "s", "cluster": list("ab"), "value": [0.5, 0.7]})
    levels = [population("one"), population("two")]
    found = [
        (levels[0], [Score("nsc", n_undefined=3, notes=(Note("a"),)), Score("hit.k5", units=units), Score("grit")]),
        (levels[1], [Score("nsc", n_undefined=2, notes=(Note("b"),)), Score("hit.k5"), Score("grit", units=units)]),
        (population("two", True), [Score("nsc.heldout", n_undefined=9, notes=(Note("c"),))]),
    ]
    _, summary = run.tabulate(found)
    rows = summary.set_index(["Metadata_Metric", "Metadata_Level"])
    assert list(rows.index) == [("hit.k5", "one"), ("grit", "one"), ("nsc", "two"), ("hit.k5", "two"), ("grit", "two")]
    assert rows.loc[("nsc", "two"), "n_undefined"] == 3
    assert [note.code for note in loads(rows.loc[("nsc", "two"), "Metadata_Note"])] == ["a", "b"]
    alone = run.tabulate([(levels[0], [Score("grit", units=units)]), found[2]])[1]
    assert alone["Metadata_Metric"].tolist() == ["grit", "nsc.heldout"] and alone["n_undefined"].tolist() == [0, 9]
    permuted = [(levels[0], [Score("nsc", notes=(Note("a"),)), Score(f"nsc{PERMUTED}", units=units)])]
    assert len(run.tabulate(permuted)[1]) == 1, "a permuted value is no value of the metric"


def test_items_are_those_of_all_scores_with_their_level():
    frame = table(seed=3, effect=1.0)
    items, _ = run.tabulate(
        [(population(level), [Score("nsc", items=pd.DataFrame({"Metadata_Item": [level, "z"], "value": 1.0}))])
         for level in ("one", "two")]
    )  # fmt: skip
    assert items["Metadata_Level"].tolist() == ["one", "one", "two", "two"]
    assert items["Metadata_Item"].tolist() == ["one", "z", "two", "z"] and set(items["Metadata_Metric"]) == {"nsc"}
    none, summary = run.tabulate([])
    assert not len(none) and not len(summary) and "Metadata_Level" in none and len(frame)


@pytest.mark.parametrize("names", [["Plate", "Well"], ["Plate"], ["Well"], []])
def test_rows_are_put_in_order_by_the_keys_that_are_there(names):
    x, meta = uneven(2)
    keys = [f"Metadata_{name}" for name in names]
    meta = meta.drop(columns=[key for key in ("Metadata_Plate", "Metadata_Well") if key not in keys])
    meta["place"] = range(len(meta))
    mixed = meta.sample(frac=1, random_state=3)
    found, ordered = wells.in_order(x[mixed["place"]], mixed)
    wanted = mixed.sort_values(keys, kind="stable") if keys else mixed
    assert ordered["place"].tolist() == wanted["place"].tolist() and ordered.index.tolist() == list(range(len(x)))
    np.testing.assert_array_equal(found, x[wanted["place"]])


def test_metrics_are_found_by_their_longest_name():
    assert metric_of("nsc.drop").name == "nsc.drop" and metric_of("nsc.permuted").name == "nsc"
    for metric in METRICS:
        assert metric.owns(metric.name) and metric.owns(f"{metric.name}.k5") and not metric.owns(f"{metric.name}x")
    by_name = {metric.name: metric for metric in METRICS}
    assert by_name["transfer"].tested("transfer.batch.compound.k1.gap") == "transfer.batch.compound"
    assert by_name["mixing.kbet"].tested("mixing.kbet.batch.controls") == "mixing.kbet.batch"
    assert by_name["nsc"].tested("nsc.permuted") == "nsc"
