"""Dose response: the curve of planted series, coverage of its intervals, the axis that it is read on, and refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq, curve_fit

from wellspring.evaluate import curve
from wellspring.evaluate.own_axis import project
from wellspring.report.wording import words

DOSES = np.geomspace(0.1, 30, 8)


def hill(dose, bottom, top, ec50, slope):
    """The textbook form, by exponents in place of the ratio."""
    dose = np.asarray(dose, dtype=float)
    return np.where(
        dose > 0, bottom + (top - bottom) / (1 + np.exp(slope * np.log(ec50 / np.maximum(dose, 1e-30)))), bottom
    )


def series(rng, *, ec50, slope, size=8.0, replicates=4, controls=16):
    dose = np.concatenate([np.zeros(controls), np.repeat(DOSES, replicates)])
    return dose, hill(dose, 0.3, 0.3 + size, ec50, slope) + rng.normal(size=len(dose))


def profiles(rng, *, ec50, slope, plates=4, dimensions=48, size=8.0, wells=1):
    """A dose series in many features: one well per dose and plate (or `wells` on one plate), 12 controls a plate."""
    direction = rng.normal(size=dimensions)
    direction /= np.linalg.norm(direction)
    rows, values = [], []
    for plate in range(plates):
        offset = rng.normal(scale=0.3, size=dimensions)
        for number in range(12):
            rows.append((f"P{plate}", f"{chr(65 + number % 4)}{1 + number // 4:02d}", "negcon", 0.0))
            values.append(offset + rng.normal(size=dimensions))
        for place, dose in enumerate(DOSES):
            for well in range(wells):
                rows.append((f"P{plate}", f"{chr(65 + well)}{10 + place:02d}", "trt", dose))
                effect = float(hill(dose, 0, size, ec50, slope))
                values.append(offset + rng.normal(size=dimensions) + effect * direction)
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_pert_type", "Dose"]
    return np.array(values), pd.DataFrame(rows, columns=names)


def test_the_curve_is_that_of_least_squares():
    rng = np.random.default_rng(5)
    dose, response = series(rng, ec50=2.0, slope=1.3)
    found = curve.fit(dose, response)
    (bottom, top, ec50, slope), _ = curve_fit(
        hill, dose, response, p0=[0, 8, 1, 1], bounds=([-9, -9, 1e-3, 0.3], [30, 30, 99, 8])
    )
    assert found.note is None
    assert found.ec50 == pytest.approx(ec50, rel=0.05)
    assert (found.bottom, found.top) == (pytest.approx(bottom, abs=0.1), pytest.approx(top, abs=0.2))
    assert found.at(np.array([0.0, ec50])) == pytest.approx([bottom, (bottom + top) / 2], abs=0.2)
    sd = response[dose == 0].std(ddof=1)
    where = brentq(lambda x: hill(x, bottom, top, ec50, slope) - bottom - 1.349 * sd, 1e-3, 99)
    assert found.bmc == pytest.approx(where, rel=0.1)
    assert found.bmc_interval[0] < where < found.bmc_interval[1]


@pytest.mark.parametrize("one_plate", [False, True])
def test_the_interval_holds_the_planted_ec50_in_nine_of_ten_series(one_plate):
    rng, held, bounded, total = np.random.default_rng(11 + one_plate), 0, 0, 100
    for _ in range(total):
        ec50, slope = np.exp(rng.uniform(np.log(0.5), np.log(6))), np.exp(rng.uniform(np.log(0.7), np.log(2.5)))
        values, metadata = profiles(
            rng, ec50=ec50, slope=slope, plates=1 if one_plate else 4, wells=4 if one_plate else 1
        )
        member = (metadata["Metadata_pert_type"] == "trt").to_numpy()
        axis = project(values, metadata, member=member, top=(metadata["Dose"] == DOSES[-1]).to_numpy())
        found = curve.fit(metadata["Dose"].to_numpy()[axis.rows], axis.score, control_sd=1.0)
        low, high = found.ec50_interval
        held += low <= ec50 <= high
        bounded += low > 0 and high < np.inf
    assert held >= 0.9 * total
    assert bounded >= 0.75 * total, "an interval that holds everything is no answer"


@pytest.mark.parametrize("size", [8.0, 20.0, 50.0, 150.0])
def test_the_intervals_hold_the_truth_whatever_the_size_of_the_effect(size):
    """Of 50 standard deviations, as of BBBC013, both intervals are narrower than a step of the first grid."""
    rng, total, held = np.random.default_rng(2), 100, np.zeros(2)
    for _ in range(total):
        ec50, slope = np.exp(rng.uniform(np.log(0.8), np.log(6))), np.exp(rng.uniform(np.log(0.8), np.log(2)))
        found = curve.fit(*series(rng, ec50=ec50, slope=slope, size=size), control_sd=1.0)
        truth = ec50 * ((1.349 / size) / (1 - 1.349 / size)) ** (1 / slope)
        ends = ((found.ec50_interval, ec50), (found.bmc_interval, truth))
        held += [low <= true <= high for (low, high), true in ends]
        assert found.bmc_interval[0] < found.bmc < found.bmc_interval[1]
        if found.note is None:
            assert found.ec50_interval[0] < found.ec50 < found.ec50_interval[1]
    assert (held >= 0.9 * total).all(), held


def test_no_curve_has_a_reason():
    rng = np.random.default_rng(1)
    dose = np.concatenate([np.zeros(8), np.repeat(DOSES, 3)])
    quiet = [curve.fit(dose, rng.normal(size=len(dose))) for _ in range(60)]
    assert sum(found.note is not None and found.note.code == "curve_no_effect" for found in quiet) >= 52
    assert "no effect of the dose" in words(next(found.note for found in quiet if found.note))
    few = curve.fit(np.repeat([0, 1.0, 3.0], 5), rng.normal(size=15))
    assert words(few.note) == "2 doses above 0, a curve needs 4"
    late = curve.fit(dose, hill(dose, 0, 20, 200, 1.5) + 0.3 * rng.normal(size=len(dose)), control_sd=0.3)
    assert late.note.code == "curve_above_doses" and late.ec50_interval[1] == np.inf and np.isnan(late.ec50)
    assert 0 < late.bmc < 30, "the benchmark is passed although half of the effect is not reached"
    early = curve.fit(dose, hill(dose, 0, 9, 0.02, 1.5) + 0.3 * rng.normal(size=len(dose)))
    assert early.note.code == "curve_below_doses" and early.ec50_interval[0] == 0


def test_a_weak_curve_has_no_benchmark_concentration():
    dose = np.repeat(np.concatenate([[0.0], DOSES]), 6)
    noise = np.tile([-0.3, 0.3, -0.2, 0.2, -0.1, 0.1], 9)
    weak = curve.fit(dose, hill(dose, 0, 1.0, 1.0, 2.0) + noise, control_sd=1.0)
    assert weak.note is None and np.isnan(weak.bmc)


def test_an_inactive_treatment_has_no_effect_on_its_own_axis():
    rng, effects, naive = np.random.default_rng(4), [], []
    for number in range(60):
        values, metadata = profiles(
            rng, ec50=1, slope=1, size=0.0, plates=3 if number % 2 else 1, wells=1 if number % 2 else 4
        )
        top = (metadata["Dose"] == DOSES[-1]).to_numpy()
        effects.append(project(values, metadata, member=top, top=top).treated.mean())
        control = (metadata["Metadata_pert_type"] == "negcon").to_numpy()
        axis = values[top].mean(axis=0) - values[control].mean(axis=0)
        scores = values @ axis / np.linalg.norm(axis)
        naive.append((scores[top].mean() - scores[control].mean()) / scores[control].std(ddof=1))
    assert abs(np.mean(effects)) < 3 * np.std(effects) / np.sqrt(60)
    assert np.mean(naive) > 2, "an axis judged on its own wells finds an effect of nothing"


def test_an_axis_needs_other_replicates():
    values, metadata = profiles(np.random.default_rng(0), ec50=1, slope=1, plates=1)
    top = (metadata["Dose"] == DOSES[-1]).to_numpy()
    assert top.sum() == 1
    assert project(values, metadata, member=top, top=top) is None


def test_the_positions_on_the_axis_are_those_of_a_loop_over_plates():
    """Each plate is read on the axis of the others, in standard deviations of the controls about their plate's mean."""
    values, metadata = profiles(np.random.default_rng(8), ec50=2.0, slope=1.0, plates=3, dimensions=5)
    values *= np.where(metadata["Metadata_Plate"] == "P2", 3.0, 1.0)[:, None]  # axes of different lengths
    member = (metadata["Metadata_pert_type"] == "trt").to_numpy()
    top, plate = (metadata["Dose"] == DOSES[-1]).to_numpy(), metadata["Metadata_Plate"].to_numpy()
    expected, squares, degrees = np.full(len(values), np.nan), 0.0, 0
    for name in ("P0", "P1", "P2"):
        own, others = plate == name, plate != name
        start = values[others & ~member].mean(axis=0)
        axis = values[others & top].mean(axis=0) - start
        place = (values[own] - start) @ axis / np.sqrt(axis @ axis)
        controls = place[~member[own]]
        expected[own] = place - controls.mean()
        squares, degrees = squares + ((controls - controls.mean()) ** 2).sum(), degrees + len(controls) - 1
    found = project(values, metadata, member=member, top=top)
    np.testing.assert_array_equal(found.rows, np.arange(len(values)))
    np.testing.assert_array_equal(found.control, ~member)
    np.testing.assert_allclose(found.score, expected / np.sqrt(squares / degrees))


@pytest.mark.parametrize(("tops", "controls", "there"), [(2, 4, True), (1, 4, False), (2, 3, False)])
def test_the_fewest_wells_that_an_axis_needs(tops, controls, there):
    values, metadata = profiles(np.random.default_rng(9), ec50=2.0, slope=1.0, plates=2, dimensions=5)
    top = metadata["Dose"] == DOSES[-1]
    control = metadata["Metadata_pert_type"] == "negcon"
    kept = (top & (top.cumsum() <= tops)) | (control & (control.groupby(metadata["Metadata_Plate"]).cumcount() < 2))
    kept &= ~(control & (control.cumsum() > 12 + controls - 2))
    metadata, values = metadata[kept].reset_index(drop=True), values[kept.to_numpy()]
    assert (metadata["Metadata_pert_type"] == "negcon").sum() == controls and len(metadata) == tops + controls
    top = (metadata["Dose"] == DOSES[-1]).to_numpy()
    assert (project(values, metadata, member=top, top=top) is not None) is there


def test_p_is_that_of_the_f_test_against_a_constant():
    dose, response = series(np.random.default_rng(3), ec50=0.8, slope=1.2, size=4.0)
    found = curve.fit(dose, response)
    start = (found.bottom, found.top, found.ec50, found.slope)
    assert np.isfinite(start).all(), found.note
    best, _ = curve_fit(hill, dose, response, p0=start, maxfev=50000)
    least, flat = ((response - hill(dose, *best)) ** 2).sum(), ((response - response.mean()) ** 2).sum()
    rest = len(dose) - 4
    assert found.p == pytest.approx(float(stats.f.sf((flat - least) / 3 / (least / rest), 3, rest)), rel=0.05)


def test_the_interval_is_that_of_a_dense_grid():
    """Weak, strong, steep and flat curves; an end is open where the dense grid has none within ten times the doses."""
    rng, judged = np.random.default_rng(4), 0
    dense, slopes = np.geomspace(0.01, 300, 600), np.geomspace(0.3, 8, 120)
    shape = 1 / (1 + np.exp(slopes[:, None] * np.log(dense[:, None, None] / np.append(1e-30, DOSES))))
    for _ in range(40):
        size, ec50 = float(rng.choice([3, 8, 20, 60])), np.exp(rng.uniform(np.log(0.05), np.log(60)))
        dose, response = series(rng, ec50=ec50, slope=np.exp(rng.uniform(np.log(0.5), np.log(4))), size=size)
        found = curve.fit(dose, response, control_sd=1.0)
        if np.isnan(found.ec50_interval[0]):
            continue
        place = np.searchsorted(np.append(0, DOSES), dose - 1e-9)
        x = shape[..., place] - shape[..., place].mean(axis=-1, keepdims=True)
        y = response - response.mean()
        gain = np.maximum(x @ y, 0) / np.maximum((x**2).sum(axis=-1), 1e-12)
        squares = (y**2).sum() - 2 * gain * (x @ y) + gain**2 * (x**2).sum(axis=-1)
        allowed = squares.min() * (1 + stats.f.ppf(0.95, 1, len(y) - 4) / (len(y) - 4))
        inside = dense[(squares <= allowed).any(axis=1)]
        expected = [0.0 if inside[0] == dense[0] else inside[0], np.inf if inside[-1] == dense[-1] else inside[-1]]
        assert found.ec50_interval == pytest.approx(expected, rel=0.08), (size, ec50)
        judged += 1
    assert judged >= 30
