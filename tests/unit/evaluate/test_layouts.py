"""Notes on layouts, the order of scores and rows, drawn wells, and groups without spread: small tables by hand."""

import numpy as np
import pandas as pd
import pytest
from test_scores_in_loops import by_item, usable

from evaluation_tables import table, uneven
from options import options
from wellspring.evaluate import run, wells
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.dose import dose
from wellspring.evaluate.gaps import closed
from wellspring.evaluate.grit import grit
from wellspring.evaluate.grit_mechanism import grit_mechanism
from wellspring.evaluate.hits import hits
from wellspring.evaluate.levels import kept, recentred
from wellspring.evaluate.metrics import chosen
from wellspring.evaluate.mixing import mixing
from wellspring.evaluate.nearest import nsc_permuted
from wellspring.evaluate.populations import Population
from wellspring.evaluate.replicates import MEMBERS, median_correlation, null_medians, replicating
from wellspring.evaluate.score import Score
from wellspring.io import tables
from wellspring.io.notes import Note


def doses(columns):
    """Return wells of a plate whose doses lie in `columns` (row of each dose to columns), controls at both ends."""
    rows = [("P", f"{letter}{column:02d}", "d", float(level), "trt")
            for letter in "AB" for level, own in enumerate(columns[letter], 1) for column in own]  # fmt: skip
    rows += [("P", f"{letter}{column:02d}", "x", None, kind) for letter in "AB"
             for column, kind in ((11, "negcon"), (12, "poscon"))]  # fmt: skip
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type"]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    amount = meta["Metadata_Concentration"].fillna(0) + 9 * (meta["Metadata_pert_type"] == "poscon")
    noise = np.random.default_rng(0).standard_normal((len(meta), 3)) / 9
    return amount.to_numpy()[:, None] * np.ones((1, 3)) + noise, meta


@pytest.mark.parametrize(
    ("columns", "fixed"),
    [
        ({"A": [[1], [2], [3], [4]], "B": [[1], [2], [3], [4]]}, True),
        ({"A": [[1], [2], [3], [4]], "B": [[1], [2], [4], [3]]}, False),  # two doses in a column
        ({"A": [[1], [2], [3], [4]], "B": [[1], [2], [3], [5]]}, False),  # a dose in two columns
        ({"A": [[1, 5], [2], [3], [4]], "B": [[1], [2], [3], [4]]}, False),
    ],
)
def test_doses_in_columns_of_their_own_are_noted(columns, fixed):
    x, meta = doses(columns)
    assert (Note("dose_fixed_to_column") in dose(x, meta, bootstrap=9)[0].notes) == fixed


def test_doses_in_one_column_are_not_fixed_to_columns():
    rows = [("P", f"{'ABCDEF'[level]}03", "d", level + 1.0, "trt") for level in range(4)]
    rows += [("P", f"{'EFGH'[n]}01", "x", None, "poscon" if n % 2 else "negcon") for n in range(4)]
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type"]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    x = np.arange(24.0).reshape(8, 3) ** 1.5
    assert dose(x, meta, bootstrap=9)[0].notes[0] == Note("own_axis")
    assert Note("dose_fixed_to_column") not in dose(x, meta, bootstrap=9)[0].notes


def test_a_derived_score_stands_after_those_that_it_needs():
    frame = table(seed=1, effect=1.0)
    some = ["activity", "activity.retrieved", "nuisance", "nsc", "nscb", "nsc.drop", "hit", "dose"]
    own = options("evaluate", metrics=some, null_size=1000, permutations=3, bootstrap=9)
    found = run.scores(Population.of(frame, level="x"), options=own, metrics=chosen(own.metrics))
    names = [score.metric for score in found]
    assert names.index("activity.retrieved") == names.index("activity") + 1
    assert names.index("nsc.drop") == 1 + max(names.index("nsc"), names.index("nscb"))
    heads = [
        name for name in names if name in ("activity", "nuisance.batch", "nsc", "nsc.position_only", "dose.z_prime")
    ]
    assert heads == ["activity", "nuisance.batch", "nsc", "nsc.position_only", "dose.z_prime"]
    summary = run.tabulate([(Population.of(frame, level="x"), found)])[1]
    assert summary["Metadata_Metric"].is_unique


def test_a_metric_that_is_not_chosen_is_not_given_though_its_function_computes_it():
    frame = table(seed=2, effect=1.0)
    own = options("evaluate", metrics=["precision", "mixing.kbet"], null_size=1000, permutations=0, bootstrap=9)
    names = set(run.judge(Population.of(frame, level="x"), options=own)[1]["Metadata_Metric"])
    assert {name.split(".")[0] for name in names} == {"precision", "mixing"}
    assert not any("ilisi" in name for name in names) and "precision.k5.position_only" in names


def test_wells_whose_controls_have_no_spread_have_no_grit():
    """Correlations with controls that are alike are equal: here for all wells, and elsewhere for none."""
    x, meta = uneven(1)
    control = ((meta["Metadata_pert_type"] == "negcon") & usable(x, meta)).to_numpy()
    part = x.copy()
    part[control] = np.arange(7.0) ** 2
    for metric in (grit, grit_mechanism):
        score = metric(part, meta)
        assert score.notes == (Note("controls_without_spread"),) and score.n == 0 and np.isnan(score.value)
        assert score.n_undefined == len(score.items) and score.items["value"].isna().all()
        whole = metric(x, meta)
        assert whole.notes == () and whole.unbounded and whole.n + whole.n_undefined == len(whole.items)
    assert by_item(grit(x, meta), "Metadata_Group").dropna().isin(meta["Metadata_moa"].dropna()).all()


def test_grit_with_a_flat_well_is_that_without_the_well():
    """One well is constant over the features, so that it correlates with nothing: it alone is undefined."""
    x, meta = uneven(0)
    name = by_item(grit(x, meta)).dropna().index[0]
    first = meta.index[(meta["Metadata_Perturbation"] == name) & usable(x, meta)][0]
    flat, gone = x.copy(), meta.drop(index=first).reset_index(drop=True)
    flat[first] = 3.0
    score, without = grit(flat, meta), grit(np.delete(x, first, axis=0), gone)
    assert by_item(score).to_dict() == pytest.approx(by_item(without).to_dict(), nan_ok=True)
    counts = [by_item(each, "n_undefined")[name] for each in (score, without)]
    assert counts[0] == counts[1] + 1 and score.n == without.n and score.notes == ()


def test_a_large_group_is_judged_by_a_draw_of_its_members():
    rng = np.random.default_rng(0)
    count = MEMBERS + 13
    meta = pd.DataFrame({"Metadata_Compound": ["big"] * count + ["full"] * MEMBERS + ["a", "a", "b", "c"]})
    meta["Metadata_pert_type"] = "trt"
    x = rng.standard_normal((len(meta), 9))
    x[:count] += np.arange(9.0) / 4
    score = replicating(x, meta, null_size=50, seed=3)
    rows, chosen = (
        wells.correlated(x),
        np.sort(np.random.default_rng(3).choice(np.arange(count), MEMBERS, replace=False)),
    )
    assert by_item(score)["big"] == pytest.approx(median_correlation(rows[chosen]))
    assert by_item(score)["full"] == pytest.approx(median_correlation(rows[count : count + MEMBERS]))
    assert by_item(score)["a"] == pytest.approx(np.corrcoef(x[-4], x[-3])[0, 1])
    assert by_item(score, "n").to_dict() == {"a": 2, "b": 1, "big": count, "c": 1, "full": MEMBERS}
    owner = meta["Metadata_Compound"].to_numpy()
    small = null_medians(rows, owner, 40, draws=30, seed=0)
    np.testing.assert_array_equal(small, null_medians(rows, owner, 5, draws=30, seed=0))
    assert len(small) == 30, "of five compounds, forty are five"


@pytest.mark.parametrize("queries", [25, 40])
def test_wells_that_are_drawn_have_the_values_that_they_have_among_all(queries):
    x, meta = uneven(2)
    (whole,), (part,) = consistency(x, meta), consistency(x, meta, queries=queries, seed=1)
    keep = np.flatnonzero(meta["Metadata_pert_type"].eq("trt") & meta["Metadata_moa"].notna() & usable(x, meta))
    taken = keep[wells.drawn(meta["Metadata_Compound"].to_numpy()[keep], at_most=queries, seed=1)]
    sizes = meta["Metadata_Compound"][taken].value_counts().to_dict()
    found = by_item(part, "n")
    assert set(found.index) == set(sizes) and {name: n for name, n in found.items() if n} == {
        name: sizes[name] for name in found.index if found[name]
    }
    same = [name for name in found.index if found[name] == by_item(whole, "n")[name]]
    assert by_item(part)[same].to_dict() == pytest.approx(by_item(whole)[same].to_dict(), nan_ok=True)
    note = Note("sampled", {"taken": queries, "total": len(keep), "unit": "wells"})
    assert note in part.notes and not whole.notes
    treatments = {"taken": 4, "unit": "treatments"}
    for score in (*hits(x, meta, queries=4), *nsc_permuted(x, meta, queries=4)):
        (note,) = (one for one in score.notes if one.code == "sampled")
        assert note.values == treatments | {"total": len(by_item(hits(x, meta)[0]))} and len(score.items) == 4


def test_neighbourhoods_of_drawn_wells_are_those_among_all():
    x, meta = uneven(3, controls=23)
    whole, part = ({s.metric: s for s in mixing(x, meta, neighbours=11, tested=12, queries=q)} for q in (None, 60))
    for scope, kinds in (("controls", ["negcon"]), ("wells", ["negcon", "trt", "poscon"])):
        count = int(meta["Metadata_pert_type"].isin(kinds).sum())
        read = int((meta["Metadata_pert_type"].isin(kinds) & usable(x, meta)).sum())
        for kind in ("kbet", "ilisi"):
            own, theirs = part[f"mixing.{kind}.plate.{scope}"], whole[f"mixing.{kind}.plate.{scope}"]
            assert own.n == 60 and theirs.n == read and theirs.n_undefined == count - read == own.n_undefined
            assert own.notes == (Note("sampled", {"taken": 60, "total": read, "unit": "wells"}),)
            assert own.value == pytest.approx(theirs.value, abs=0.2)
        silent = part[f"mixing.silhouette.plate.{scope}"]
        assert silent.n + silent.n_undefined <= count and bool(silent.notes) == (silent.n + silent.n_undefined < read)


def test_rules_of_gaps_at_their_limits():
    """A well may lack half of the features, and a feature a share of the wells, but no more."""
    x = np.arange(40.0).reshape(10, 4)
    frame = pd.concat([pd.DataFrame({"Metadata_Plate": ["p"] * 10}), pd.DataFrame(x, columns=list("abcd"))], axis=1)
    half = frame.copy()
    half.loc[0, ["a", "b"]] = np.nan
    found, notes = closed(half, max_missing=0.1)
    assert tables.features(found) == list("abcd") and found.notna().all(axis=None)
    assert notes == (Note("gaps_filled", {"values": 2, "features": 2, "wells": 1}),)
    assert found.loc[0, ["a", "b"]].tolist() == [x[1:, 0].mean(), x[1:, 1].mean()], "evenly spaced: median is mean"
    half.loc[0, "c"] = np.nan
    found, notes = closed(half, max_missing=0.1)
    assert notes == (Note("wells_missing", {"wells": 1, "total": 10}),) and found.loc[0, list("abcd")].isna().all()
    assert found.loc[1:, list("abcd")].notna().all(axis=None)
    half = frame.copy()
    half.loc[[1, 2], "d"] = np.nan
    found, notes = closed(half, max_missing=0.1)
    assert tables.features(found) == list("abc") and notes == (Note("features_missing", {"features": 1, "total": 4}),)
    assert tables.features(closed(half, max_missing=0.2)[0]) == list("abcd")


def test_verdicts_decide_which_wells_have_a_profile():
    frame = pd.DataFrame({"Metadata_Verdict": ["keep", "undefined", None, "keep"], "x": [1.0, 2.0, 3.0, np.inf]})
    assert kept(frame).tolist() == [True, False, False, True] and kept(frame[["x"]]).all()
    assert wells.defined(frame[["x"]].to_numpy(), frame).tolist() == [True, False, False, False]


def test_a_plate_of_two_centres_keeps_its_place_and_a_missing_half_moves_nothing():
    frame = table(seed=1, controls=4, per_plate=2)
    names, half = tables.features(frame), np.zeros(len(frame), dtype=bool)
    same = recentred(frame, half)
    np.testing.assert_array_equal(same[names], frame[names])
    shifted = frame.assign(**{name: frame[name] + 1.0 for name in names})
    half[np.flatnonzero(frame["Metadata_pert_type"] == "negcon")[:2]] = True
    np.testing.assert_array_equal(recentred(shifted, half)[names], shifted[names].astype(float))


def test_notes_of_gaps_are_those_of_the_treated_wells_and_of_the_controls():
    frame = table(seed=1)
    few, many = frame.copy(), frame.copy()
    few.loc[3, "x_0"] = np.nan
    many.loc[[4, 5], "x_1"] = np.nan
    found = Population("x", (many,), (frame,), few).closed(max_missing=0.3)
    assert [note.values["values"] for note in found.gaps] == [1, 2]
    assert found.across[0] is frame and np.isfinite(found.controls[0]["x_1"]).all() and len(found.controls) == 1
    two = Population("x", (many, frame), (frame, few), frame).closed(max_missing=0.3)
    assert len(two.controls) == len(two.across) == 2 and two.controls[1] is frame
    assert np.isfinite(two.across[1]["x_0"]).all() and two.treated is frame
    assert [note.values["values"] for note in two.gaps] == [2]


def test_a_score_that_is_noted_keeps_each_note_once():
    score = Score("m", notes=(Note("a"),)).noted(Note("b"), Note("a"))
    assert score.notes == (Note("a"), Note("b")) and score.named("n").metric == "n"
