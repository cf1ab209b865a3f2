"""Levels, intervals, nuisance, dose, guards, and the whole run on screens with planted truths and with nothing."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import FIT, OPTIONS, screen, table
from wellspring.evaluate.dose import axis_scores, dose, redrawn_spearman, spearman, z_prime
from wellspring.evaluate.guards import confounding, position_features
from wellspring.evaluate.nearest import nsc
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.populations import Population
from wellspring.evaluate.run import evaluate, judge
from wellspring.evaluate.score import benjamini_hochberg, wilson
from wellspring.evaluate.wells import most_queries
from wellspring.io import tables
from wellspring.io.notes import Note


def plates(frame):
    return [part for _, part in frame.groupby("Metadata_Plate")]


def test_q_and_wilson_are_the_foreign_ones():
    from scipy.stats import binomtest, false_discovery_control

    p = np.random.default_rng(0).random(30)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))
    q = benjamini_hochberg(np.append(p, np.nan))
    np.testing.assert_allclose(q[:-1], false_discovery_control(p))
    assert np.isnan(q[-1])
    for hits, n in ((0, 7), (5, 9), (9, 9)):
        reference = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_batch_and_edge_are_read_where_they_are_and_not_where_they_are_not():
    x, meta = screen(seed=1, controls=16)
    meta["Metadata_Cell_Line"] = "one"
    scores = {score.metric: score for score in nuisance(x, meta)}
    assert scores["nuisance.batch"].value == pytest.approx(0.5, abs=0.2)
    # Of the other 63 controls 31 are of a well's own batch, and 15 of its own plate.
    assert [scores[f"nuisance.{name}"].chance for name in ("batch", "plate")] == pytest.approx([31 / 63, 15 / 63])
    moved = x + 20 * np.random.default_rng(0).standard_normal((2, 32))[(meta["Metadata_Batch"] == "B1").astype(int)]
    scores = {score.metric: score for score in nuisance(moved, meta)}
    assert scores["nuisance.batch"].value == 1.0 and scores["nuisance.plate"].value < 0.75
    edge = meta["Metadata_Well"].str.match(r"^[AD]|.(01|12)$").to_numpy()
    scores = {score.metric: score for score in nuisance(x + np.where(edge, 20.0, -20.0)[:, None], meta)}
    assert scores["nuisance.edge"].value == 1.0 and scores["nuisance.row"].value < 0.7
    assert all(np.isnan(score.value) and score.notes for score in nuisance(x[:1], meta[:1]))


def test_z_prime_and_spearman_are_their_formulas():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.1, 8), rng.normal(0, 0.1, 8)
    assert z_prime(a, b) == pytest.approx(1 - 3 * (a.std(ddof=1) + b.std(ddof=1)) / abs(a.mean() - b.mean()))
    ties = rng.integers(0, 4, 30)
    values = rng.random(30)
    assert spearman(ties, values) == pytest.approx(spearmanr(ties, values)[0])
    drawn = redrawn_spearman(ties, values, draws=50, rng=np.random.default_rng(1))
    chosen = np.random.default_rng(1).integers(30, size=(50, 30))
    np.testing.assert_allclose(drawn, [spearmanr(ties[pick], values[pick])[0] for pick in chosen])


def test_a_compound_without_a_well_that_is_read_is_undefined_not_a_crash():
    x, meta = series()
    other = meta[meta["Metadata_pert_type"] == "trt"].assign(Metadata_Compound="lost", Metadata_Plate="Q")
    both = pd.concat([meta, other], ignore_index=True)
    rank, _ = dose(np.concatenate([x, np.full((len(other), 16), np.nan)]), both, bootstrap=20)
    items = rank.items.set_index("Metadata_Item")["value"]
    assert np.isnan(items["lost"]) and items["drug"] > 0.9 and rank.n_undefined == len(other)


def series(noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    direction, rows, values = rng.standard_normal(16), [], []
    for letter in "ABCD":
        for column in range(1, 13):
            kind = "negcon" if column < 3 else "poscon" if column == 12 else "trt"
            amount = {"negcon": 0.0, "poscon": 1.0}.get(kind, (column - 2) / 9)
            given = None if kind == "negcon" else amount * 150
            rows.append(("P", f"{letter}{column:02d}", "DMSO" if kind == "negcon" else "drug", given, kind))
            values.append(amount * direction + noise * rng.standard_normal(16))
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type"]
    return np.array(values), pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def test_a_dose_series_is_monotone_on_rows_left_out_and_the_layout_is_said():
    x, meta = series()
    rank, quality = dose(x, meta, bootstrap=200)
    low, high = rank.interval
    assert rank.value > 0.95 and low <= rank.value <= high and rank.n == 36 and quality.value > 0.5
    assert Note("dose_fixed_to_column") in rank.notes
    score, first = axis_scores(x, meta), meta["Metadata_Well"].str.startswith("A").to_numpy()
    negative, positive = ((meta["Metadata_pert_type"] == kind).to_numpy() & ~first for kind in ("negcon", "poscon"))
    axis = x[positive].mean(axis=0) - x[negative].mean(axis=0)
    np.testing.assert_allclose(score[first], (x[first] - x[negative].mean(axis=0)) @ axis / (axis @ axis))
    rank, quality = dose(np.random.default_rng(1).standard_normal(x.shape), meta, bootstrap=50)
    assert abs(rank.value) < 0.5 and quality.value < 0
    rank, quality = dose(x, meta.assign(Metadata_pert_type=meta["Metadata_pert_type"].replace("poscon", "trt")))
    assert np.isfinite(rank.value), "a compound's own axis needs no positive control"
    assert np.isnan(quality.value) and quality.notes == (Note("needs_positive_and_negative_controls"),)


def test_the_interval_of_z_prime_covers_it_with_four_positive_controls():
    x, meta = series(noise=0.0)
    place = np.linalg.norm(x, axis=1) / np.linalg.norm(x, axis=1).max()
    hits = 0
    for seed in range(40):
        noisy = place + 0.05 * np.random.default_rng(seed).standard_normal(len(place))
        low, high = dose(noisy[:, None], meta, bootstrap=1000, seed=seed)[1].interval
        hits += low <= 1 - 3 * (0.05 + 0.05) <= high
    assert hits >= 34


def test_a_large_table_is_read_in_part():
    assert most_queries(5000, 10_000_000) == 2000
    assert most_queries(5000, 1) == 1000 and most_queries(0, 5000) == 5000


def test_position_alone_is_perfect_where_it_coincides_and_words_say_so():
    frame = table(seed=2)
    assert confounding(frame) == ()
    for name, part in frame.groupby("Metadata_Plate"):
        frame.loc[frame["Metadata_Plate"] == name, "Metadata_Well"] = [f"A{n + 1:02d}" for n in range(len(part))]
    (note,) = confounding(frame)
    assert note.code == "treatment_fixed_to_wells" and note.values["fixed"] == note.values["total"] > 0
    frame["Metadata_moa"] = frame["Metadata_moa"].where(frame["Metadata_moa"] != "m1", "m2")
    x = position_features(frame)
    np.testing.assert_allclose((x**2).sum(axis=1), 2.0)
    assert nsc(x, frame).value > 0


def test_a_run_writes_tables_and_planted_truth_comes_out_at_every_level(tmp_path):
    frame = table(effect=2.0, controls=12)
    frame.loc[frame["Metadata_Compound"] == "c5", "Metadata_Verdict"] = "undefined"
    frame.loc[frame["Metadata_Plate"] == "P3", "Metadata_Role"] = "heldout"
    items, summary = evaluate(plates(frame), plates(frame), frame, options=OPTIONS, fit=FIT)
    again = evaluate(plates(frame)[::-1], plates(frame)[::-1], frame, options=OPTIONS, fit=FIT)
    for name, ours, theirs in (("items", items, again[0]), ("summary", summary, again[1])):
        paths = [tmp_path / f"{name}{n}.parquet" for n in range(2)]
        for path, result in zip(paths, (ours, theirs), strict=True):
            tables.write(result, path, table=name, provenance={})
        assert paths[0].read_bytes() == paths[1].read_bytes()
    summary = summary.set_index(["Metadata_Metric", "Metadata_Level"])
    for level in ("aggregated", "normalised", "aligned"):
        assert summary.loc[("activity", level), "value"] > 0.9
        assert summary.loc[("activity", level), "n_undefined"] == 1
        assert summary.loc[("nsc", level), "n_undefined"] == 2, "one treatment in each of two cell lines"
        assert ("nsc.heldout", level) in summary.index
    lost = summary.loc["activity.heldout"]
    assert list(lost.index) == ["aligned"], "one held-out plate has no replicates at any level"
    assert lost["Metadata_Note"].tolist() == ["no_replicates_with_controls"]
    assert "cross_fitted" in summary.loc[("activity", "aligned"), "Metadata_Note"]


@pytest.mark.parametrize("loss", ["labels", "controls", "plates", "lines", "features", "treatments"])
def test_missing_things_are_notes_not_errors(loss):
    frame = table(effect=1.0)
    if loss == "labels":
        frame["Metadata_moa"] = None
    if loss == "controls":
        frame = frame[frame["Metadata_pert_type"] != "negcon"]
    if loss == "plates":
        frame = frame[frame["Metadata_Plate"] == "P0"]
    if loss == "lines":
        frame[["Metadata_Cell_Line", "Metadata_Batch"]] = None
    if loss == "features":
        frame[[name for name in frame if name.startswith("x_")]] = np.nan
        frame["Metadata_Verdict"] = "undefined"
    if loss == "treatments":
        frame = frame[frame["Metadata_pert_type"] == "negcon"]
    frame = frame.reset_index(drop=True)
    _, summary = evaluate(plates(frame), plates(frame), frame, options=OPTIONS, fit=FIT)
    undefined = summary[summary["value"].isna()]
    assert len(undefined) and (undefined["Metadata_Note"] != "").all()
    levels = {"aligned"} if loss == "features" else {"aggregated", "normalised", "aligned"}
    assert set(summary["Metadata_Level"]) == levels, "what has no value at any level has one row"


def test_no_plates_at_all_still_give_both_tables(tmp_path):
    items, summary = evaluate([], [], table()[:0], options=OPTIONS, fit=FIT)
    tables.write(items, tmp_path / "i.parquet", table="items", provenance={})
    tables.write(summary, tmp_path / "s.parquet", table="summary", provenance={})
    assert len(summary) == 1 and summary["Metadata_Note"][0] == "no_plate_kept"


def test_a_foreign_table_needs_little():
    frame = table(effect=2.0).drop(
        columns=["Metadata_Role", "Metadata_Verdict", "Metadata_Perturbation", "Metadata_Batch"]
    )
    _, summary = judge(Population.of(frame, level="foreign"), options=OPTIONS)
    assert summary.set_index("Metadata_Metric").loc["activity", "value"] > 0.9
