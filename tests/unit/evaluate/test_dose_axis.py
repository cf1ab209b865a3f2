"""Doses along the axis of each compound: any direction, no positive control, and chance without a dose response."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate.dose import _coincidence, dose, redrawn_z_prime


def screen(seed, *, directions, effect=3.0, doses=5, plates=2, replicates=2, features=12, lines=1):
    """Compounds with doses 1 to `doses`; each moves along its own direction in proportion to the dose."""
    rng, rows, values = np.random.default_rng(seed), [], []
    for plate in range(plates):
        shift = rng.standard_normal(features)
        line = f"L{plate % lines}"
        for number in range(8):
            rows.append((f"P{plate}", f"H{number + 1:02d}", "DMSO", np.nan, "negcon", line))
            values.append(shift + rng.standard_normal(features))
        for compound, direction in enumerate(directions):
            sign = -1 if line == "L1" else 1
            for level in range(1, doses + 1):
                for copy in range(replicates):
                    well = f"{'ABCDEFG'[compound % 7]}{level * 2 + copy:02d}"
                    rows.append((f"P{plate}", well, f"c{compound}", float(level), "trt", line))
                    move = sign * effect * level / doses * direction
                    values.append(shift + move + rng.standard_normal(features))
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type", "Cell_Line"]
    return np.array(values), pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


@pytest.mark.parametrize("lines", [1, 2])
def test_every_direction_of_a_dose_response_is_found_without_a_positive_control(lines):
    directions = np.random.default_rng(0).standard_normal((6, 12))
    x, meta = screen(1, directions=directions, effect=6.0, plates=4, lines=lines)
    rank, quality = dose(x, meta, bootstrap=50)
    assert rank.items["value"].min() > 0.85 and rank.n == 6 * 5 * 2 * 4
    assert np.isnan(quality.value) and quality.notes[0].code == "needs_positive_and_negative_controls"


def test_compounds_without_a_dose_response_are_at_chance():
    """Neither nothing at all nor the same effect at every dose is an order of doses."""
    plain = [dose(*screen(seed, directions=np.zeros((4, 12))), bootstrap=20)[0].value for seed in range(30)]
    flat = []
    for seed in range(30):
        x, meta = screen(seed + 100, directions=np.zeros((4, 12)))
        x[(meta["Metadata_pert_type"] == "trt").to_numpy()] += 2.0
        flat.append(dose(x, meta, bootstrap=20)[0].value)
    for values in (plain, flat):
        assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / np.sqrt(len(values))


def test_a_single_well_of_the_highest_dose_is_not_placed_on_itself():
    x, meta = screen(2, directions=np.ones((1, 12)), plates=1, replicates=1)
    rank = dose(x, meta, bootstrap=20)[0]
    assert rank.n == 4 and rank.n_undefined == 1


def test_wells_of_a_plate_without_controls_have_no_place():
    x, meta = screen(3, directions=np.ones((2, 12)))
    keep = ~((meta["Metadata_Plate"] == "P1") & (meta["Metadata_pert_type"] == "negcon")).to_numpy()
    rank = dose(x[keep], meta[keep].reset_index(drop=True), bootstrap=20)[0]
    assert rank.n == 20 and rank.n_undefined == 20
    treated = (meta["Metadata_pert_type"] == "trt").to_numpy()
    none = dose(x[treated], meta[treated].reset_index(drop=True), bootstrap=20)[0]
    assert np.isnan(none.value) and none.notes[0].code == "no_negative_controls"


@pytest.mark.parametrize(
    ("wells_of", "fixed"),
    [
        ({1.0: ["A01", "B01"], 2.0: ["A02", "B02"], 3.0: ["A03"]}, True),
        ({1.0: ["A01", "B02"], 2.0: ["A02", "B01"]}, False),  # two doses in each column
        ({1.0: ["A01", "B02"], 2.0: ["A03"]}, False),  # a dose in two columns
        ({1.0: ["A01"], 2.0: ["A01", "B01"]}, False),  # two doses in one column
        ({1.0: ["A01", "B01"]}, False),  # one column only
    ],
)
def test_a_dose_for_each_column_is_noted(wells_of, fixed):
    rows = [(plate, well, value) for plate in "PQ" for value, places in wells_of.items() for well in places]
    meta = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Concentration"])
    meta["Metadata_Compound"], meta["Metadata_pert_type"] = "c", "trt"
    assert bool(_coincidence(meta, ["c"])) is fixed
    assert not _coincidence(meta, ["other"])


def test_redrawn_z_prime_is_about_the_one_of_the_samples():
    rng = np.random.default_rng(4)
    positive, negative = 10 + rng.standard_normal(60), 4 + 0.5 * rng.standard_normal(90)
    expected = 1 - 3 * (positive.std(ddof=1) + negative.std(ddof=1)) / (positive.mean() - negative.mean())
    drawn = redrawn_z_prime(positive, negative, draws=4000, rng=rng)
    assert drawn.shape == (4000,) and np.median(drawn) == pytest.approx(expected, abs=0.01)
