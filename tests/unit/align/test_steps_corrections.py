"""Well position, cell count, ranks, scales: planted effects are removed, others stay."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from step_screens import NAMES, OPTIONS, SIZE, controls_of, screen, through, values
from wellspring.align.steps import cell_count, standardize, well_position
from wellspring.io.notes import Note


def position_effect(frame, rng, *, size=3.0):
    wells = sorted(set(frame["Metadata_Well"]))
    effects = pd.DataFrame(size * rng.normal(size=(len(wells), SIZE)), index=wells)
    return effects.loc[frame["Metadata_Well"]].to_numpy()


@pytest.mark.parametrize("fit_on", ["negcon", "all"])
def test_a_planted_position_effect_goes_and_a_treatment_effect_stays(fit_on):
    rng = np.random.default_rng(15)
    clean = screen(rng, plates=24)
    hit = (clean["Metadata_Perturbation"] == "t3").to_numpy()
    frame = clean.copy()
    frame[NAMES] += position_effect(frame, rng)
    before = np.abs(values(frame) - values(clean)).mean()
    frame.loc[hit, "e_1"] += 5
    aligned, _ = through(frame, "well_position", fit_on=fit_on)
    # Positions are dealt anew, so about ten controls and twenty-four wells were at each of them.
    moved = np.abs(values(aligned, ~hit) - values(clean, ~hit)).mean()
    assert moved < (0.2 if fit_on == "negcon" else 0.13) * before
    assert (values(aligned, hit) - values(clean, hit))[:, 1].mean() == pytest.approx(5, abs=0.5)


def test_treatments_at_other_positions_keep_their_effect():
    """Fixed layout, fitted on controls: their positions are corrected, nothing else changes, and a note states it."""
    rng = np.random.default_rng(16)
    frame = screen(rng, plates=24, shuffled=False)
    control = controls_of(frame)
    frame.loc[~control, "e_1"] += 5
    planted = position_effect(frame, rng)
    frame.loc[control, NAMES] += planted[control]
    aligned, alignment = through(frame, "well_position")
    spread = aligned[control].groupby("Metadata_Well")[NAMES].mean().std()
    assert (spread < 0.1 * frame[control].groupby("Metadata_Well")[NAMES].mean().std()).all()
    moved = values(aligned, ~control) - values(frame, ~control)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-5)
    fixed = {"step": "well_position", "fixed": 24, "total": 24, "subtracted": False}
    assert Note("treatment_fixed_to_position", fixed) in alignment.notes


def test_on_all_wells_of_a_fixed_layout_treatments_go_too_and_it_is_said():
    frame = screen(np.random.default_rng(17), plates=24, shuffled=False)
    frame.loc[frame["Metadata_Perturbation"] == "t3", "e_1"] += 5
    aligned, alignment = through(frame, "well_position", fit_on="all")
    assert abs(aligned.loc[frame["Metadata_Perturbation"] == "t3", "e_1"].mean()) < 0.5
    (fixed,) = (note for note in alignment.notes if note.code == "treatment_fixed_to_position")
    assert fixed.values["subtracted"] and fixed.values["fixed"] == fixed.values["total"]


def test_plain_means_are_those_of_the_recipe():
    frame = screen(np.random.default_rng(18))
    aligned, _ = through(frame, "well_position", fit_on="all", shrink_positions=False)
    expected = frame[NAMES] - frame.groupby("Metadata_Well")[NAMES].transform("mean")
    np.testing.assert_allclose(values(aligned), expected.to_numpy(), atol=1e-6)


def test_noise_without_a_position_effect_is_hardly_touched():
    """Ten plates give each position a mean of noise; shrunk, little of it is subtracted."""
    frame = screen(np.random.default_rng(19), plates=10)
    options = replace(OPTIONS, fit_on="all")
    shrunk = well_position.fit(frame, controls=controls_of(frame), options=options)
    plain = well_position.fit(frame, controls=controls_of(frame), options=replace(options, shrink_positions=False))
    effect, of = (np.std(each.effects - each.elsewhere) for each in (shrunk, plain))
    assert effect < 0.35 * of


def test_shrinkage_is_that_of_the_variance_components():
    """The slow reference: balanced one-way layout, feature by feature."""
    rng = np.random.default_rng(20)
    frame = screen(rng, plates=5)
    frame[NAMES] += position_effect(frame, rng, size=0.7)
    state = well_position.fit(frame, controls=controls_of(frame), options=replace(OPTIONS, fit_on="all"))
    for place, name in enumerate(NAMES):
        table = frame.pivot(index="Metadata_Well", columns="Metadata_Plate", values=name)
        within = table.var(axis=1, ddof=1).mean()
        between = max(table.mean(axis=1).var(ddof=1) - within / 5, 0)
        grand = table.to_numpy().mean()
        expected = grand + 5 * between / (5 * between + within) * (table.mean(axis=1) - grand)
        np.testing.assert_allclose(state.effects[:, place], expected.loc[list(state.wells)], atol=1e-9)


@pytest.mark.parametrize("shrink", [False, True])
def test_one_plate_says_nothing_of_positions(shrink):
    """A position's mean over one plate is the well itself, which must not be subtracted from itself."""
    frame = screen(np.random.default_rng(21), plates=1)
    aligned, _ = through(frame, "well_position", fit_on="all", shrink_positions=shrink)
    np.testing.assert_allclose(values(aligned), values(frame) - values(frame).mean(axis=0), atol=1e-6)


def counted(rng, **options):
    """Return a screen whose features follow the count of cells, and the same without it."""
    clean = screen(rng, **options)
    slope = rng.normal(size=SIZE)
    frame = clean.copy()
    frame[NAMES] += np.outer(clean["Metadata_Count_Cells"].to_numpy(dtype=float) - 100, slope)
    return frame, clean


@pytest.mark.parametrize("fit_on", ["negcon", "all"])
def test_what_follows_the_count_goes_and_a_treatment_effect_stays(fit_on):
    frame, clean = counted(np.random.default_rng(22))
    hit = (frame["Metadata_Perturbation"] == "t3").to_numpy()
    frame.loc[hit, "e_1"] += 5
    aligned, _ = through(frame, "cell_count", fit_on=fit_on)
    count = frame["Metadata_Count_Cells"].to_numpy(dtype=float)
    rows = ~hit & (controls_of(frame) if fit_on == "negcon" else True)
    for name in NAMES:
        assert abs(np.corrcoef(aligned.loc[rows, name], count[rows])[0, 1]) < 0.1
        assert abs(np.corrcoef(frame.loc[rows, name], count[rows])[0, 1]) > 0.8
    others = np.abs(values(aligned, ~hit) - values(clean, ~hit))
    assert others.mean() < 0.2
    assert (values(aligned, hit) - values(clean, hit))[:, 1].mean() == pytest.approx(5, abs=0.5)


def test_on_all_wells_the_residuals_are_those_of_least_squares():
    frame, _ = counted(np.random.default_rng(23))
    aligned, _ = through(frame, "cell_count", fit_on="all")
    count = frame["Metadata_Count_Cells"].to_numpy(dtype=float)
    for name in NAMES:
        expected = frame[name] - np.polyval(np.polyfit(count, frame[name], 1), count)
        np.testing.assert_allclose(aligned[name], expected, atol=1e-5)


def test_the_line_ends_where_the_controls_do():
    frame, _ = counted(np.random.default_rng(24))
    state = cell_count.fit(frame, controls=controls_of(frame), options=OPTIONS)
    sick = frame.assign(Metadata_Count_Cells=pd.array([3] * len(frame), dtype="Int32"))
    least = frame.assign(Metadata_Count_Cells=pd.array([int(state.low[0])] * len(frame), dtype="Int32"))
    pd.testing.assert_frame_equal(cell_count.apply(sick, state)[NAMES], cell_count.apply(least, state)[NAMES])


def test_lines_by_batch():
    frame, clean = counted(np.random.default_rng(25))
    second = (frame["Metadata_Batch"] == "b1").to_numpy()
    frame.loc[second, NAMES] = values(clean, second)
    apart, alignment = through(frame, "cell_count", by="batch")
    together, _ = through(frame, "cell_count", by=None)
    assert np.abs(values(apart) - values(clean)).mean() < 0.3 * np.abs(values(together) - values(clean)).mean()
    assert [note.values["group"] for note in alignment.notes] == ["*", "b0", "b1"]


def test_without_counts_nothing_changes_and_it_is_said():
    frame = screen(np.random.default_rng(26))
    for without in (
        frame.drop(columns="Metadata_Count_Cells"),
        frame.assign(Metadata_Count_Cells=pd.array([pd.NA] * len(frame), dtype="Int32")),
    ):
        aligned, alignment = through(without, "cell_count")
        np.testing.assert_array_equal(values(aligned), values(frame).astype(np.float32))
        few = {"found": 0, "needed": 12, "unit": "wells_with_count", "instead": "unchanged"}
        assert alignment.notes == (Note("too_few_for_step", {"step": "cell_count", "group": "*", **few}),)
    same = frame.assign(Metadata_Count_Cells=pd.array([9] * len(frame), dtype="Int32"))
    assert through(same, "cell_count")[1].notes[0].code == "single_count"


def test_a_well_without_a_count_counts_as_a_mean_one():
    frame, _ = counted(np.random.default_rng(27))
    frame.loc[20, "Metadata_Count_Cells"] = pd.NA
    state = cell_count.fit(frame, controls=controls_of(frame), options=OPTIONS)
    moved = cell_count.apply(frame, state).loc[20, NAMES] - frame.loc[20, NAMES]
    np.testing.assert_allclose(moved.to_numpy(dtype=float), -state.intercept[0])


def test_ranks_over_all_plates_are_those_of_the_recipe():
    frame = screen(np.random.default_rng(28))
    frame["e_2"] = np.exp(3 * frame["e_2"])
    frame["e_3"] = np.round(frame["e_3"])
    aligned, _ = through(frame, "rank_normal", fit_on="all")
    for name in NAMES:
        expected = norm.ppf((rankdata(frame[name]) - 3 / 8) / (len(frame) + 1 / 4))
        np.testing.assert_allclose(aligned[name], expected, atol=1e-5)


def test_a_long_distribution_is_kept_by_a_thousand_values():
    rng = np.random.default_rng(29)
    frame = screen(rng, plates=60)
    aligned, alignment = through(frame, "rank_normal", fit_on="all")
    assert 500 < len(dict(alignment.steps)["rank_normal"].knots) <= 1000
    expected = norm.ppf((rankdata(frame["e_0"]) - 3 / 8) / (len(frame) + 1 / 4))
    np.testing.assert_allclose(aligned["e_0"], expected, atol=0.02)


@pytest.mark.parametrize("robust", [False, True])
def test_standardised_controls(robust):
    frame = screen(np.random.default_rng(30))
    frame[NAMES] = frame[NAMES] * 7 + 3
    frame["e_4"] = 2.5
    aligned, _ = through(frame, "standardize", robust=robust)
    control = values(aligned, controls_of(frame))
    middle = np.median(control, axis=0) if robust else control.mean(axis=0)
    np.testing.assert_allclose(middle, 0, atol=1e-6)
    spread = 1.4826 * np.median(np.abs(control - middle), axis=0) if robust else control.std(axis=0)
    np.testing.assert_allclose(spread, [1, 1, 1, 1, 0, 1], atol=1e-5)


def test_standardised_by_group_and_the_small_group_by_all():
    rng = np.random.default_rng(31)
    frame = screen(rng, plates=5).assign(Metadata_Cell_Line=np.repeat(["A549", "U2OS", "HeLa"], [80, 80, 40]))
    frame.loc[80:159, NAMES] *= 4
    aligned, alignment = through(frame, "standardize", min_controls=20, robust=False)
    for line, group in aligned[controls_of(frame)].groupby("Metadata_Cell_Line"):
        close = np.allclose(group[NAMES].std(ddof=0), 1, atol=1e-5)
        assert close == (line != "HeLa")
    few = {"found": 16, "needed": 20, "unit": "wells", "instead": "pooled"}
    assert Note("too_few_for_step", {"step": "standardize", "group": "HeLa", **few}) in alignment.notes


def test_scales_leave_alone_what_the_fit_had_no_value_of():
    frame = screen(np.random.default_rng(42))
    state = standardize.fit(frame.assign(e_1=np.nan), controls=controls_of(frame), options=OPTIONS)
    np.testing.assert_array_equal(standardize.apply(frame, state)["e_1"], frame["e_1"])
