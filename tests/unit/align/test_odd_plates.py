"""One plate whose normalisation failed does not change the aligned profiles of the others."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from step_screens import OPTIONS, controls_of, screen, values
from wellspring.align import odd_plates
from wellspring.align.alignment import Alignment, apply_alignment, fit_alignment
from wellspring.io import tables
from wellspring.io.notes import Note

TVN = ("select", "sphere", "coral")
RECIPE = ("select", "well_position", "cell_count", "rank_normal", "standardize", "sphere")


def odd(frame, rng, *, plate="P2", kind="huge"):
    """Return the screen with one plate as a failed normalisation leaves it."""
    frame, names = frame.copy(), tables.features(frame)
    rows = (frame["Metadata_Plate"] == plate).to_numpy()
    shape = (rows.sum(), len(names))
    if kind == "huge":
        frame.loc[rows, names] = 1e15 * rng.normal(size=shape)
    elif kind == "one feature":
        frame.loc[rows, names[0]] = 1e12 * rng.choice([-1, 1], size=rows.sum())
    elif kind == "treated wells":
        frame.loc[rows & ~controls_of(frame), names] *= 1e9
    elif kind == "wide":
        frame.loc[rows, names] *= 30
    elif kind == "single direction":
        frame.loc[rows, names] += np.outer(rng.normal(size=rows.sum()), 50 * np.ones(len(names)))
    elif kind == "far":
        frame.loc[rows, names] += 200
    return frame


KINDS = ["huge", "one feature", "treated wells", "wide", "single direction", "far"]


@pytest.mark.parametrize("steps", [("select", "sphere"), TVN, RECIPE], ids=["default", "tvn", "recipe"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_good_plates_are_aligned_as_without_the_odd_one(seed, kind, steps):
    """The stated amount: at most 1e-4 spreads; where the plate's controls are good they stay in use, else 0."""
    rng = np.random.default_rng(seed)
    clean = screen(rng)
    frame = odd(clean, rng, kind=kind)
    good = (frame["Metadata_Plate"] != "P2").to_numpy()
    options = replace(OPTIONS, steps=steps)
    alignment = fit_alignment(frame, options=options)
    found = apply_alignment(frame, alignment)
    assert {note.values["plate"] for note in alignment.notes if note.code in odd_plates.LEFT_OUT} == {"P2"}
    bad_rows = good | controls_of(frame) if kind == "treated wells" else good
    alone = frame[bad_rows].reset_index(drop=True)
    expected = apply_alignment(alone, fit_alignment(alone, options=options))
    inside = (alone["Metadata_Plate"] != "P2").to_numpy()
    assert np.abs(values(found, good) - values(expected, inside)).max() < 1e-4
    assert np.isfinite(values(found)).all()


@pytest.mark.parametrize("seed", range(3))
def test_features_that_only_the_odd_plate_has_are_dropped(seed):
    rng = np.random.default_rng(seed)
    frame = screen(rng)
    rows = (frame["Metadata_Plate"] == "P4").to_numpy()
    frame["e_3"] = np.where(rows, 1e15 * rng.normal(size=len(frame)), 0.0)
    alignment = fit_alignment(frame, options=OPTIONS)
    assert "e_3" not in alignment.features
    spread = values(apply_alignment(frame, alignment), ~rows).std(axis=0)
    assert (spread > 0.5).all()


@pytest.mark.parametrize("seed", range(20))
def test_random_foreign_screens_leave_no_plate_out(seed):
    """Units, correlations, sizes and heavy tails of a screen are no fault of a plate."""
    rng = np.random.default_rng(seed)
    frame = screen(rng, plates=int(rng.integers(1, 9)), controls=int(rng.integers(4, 30)))
    names = tables.features(frame)
    mixing = rng.normal(size=(len(names), len(names))) * 10 ** rng.uniform(-4, 4, len(names))
    plate = frame["Metadata_Plate"].str[1:].astype(int).to_numpy()
    gains, shifts = rng.uniform(0.7, 1.4, 10)[plate], rng.normal(size=(10, len(names)))[plate]
    frame[names] = (gains[:, None] * rng.standard_t(6, size=(len(frame), len(names))) + 0.5 * shifts) @ mixing
    alignment = fit_alignment(frame, options=OPTIONS)
    assert [note for note in alignment.notes if note.code in (*odd_plates.LEFT_OUT, odd_plates.COLLAPSED)] == []
    unguarded = fit_alignment(frame, options=replace(OPTIONS, max_deviation=None, max_influence=None))
    pd.testing.assert_frame_equal(apply_alignment(frame, alignment), apply_alignment(frame, unguarded))


def test_notes_name_the_plate_its_worst_feature_and_the_ratio():
    rng = np.random.default_rng(0)
    frame = odd(screen(rng), rng, kind="one feature")
    notes = fit_alignment(frame, options=OPTIONS).notes
    (found,) = [note for note in notes if note.code == "wells_left_out_of_fit"]
    assert (found.values["plate"], found.values["feature"], found.values["wells"]) == ("P2", "e_0", 40)
    assert (found.values["features"], found.values["total"], found.values["limit"]) == (1, 40, 1000)
    notes = fit_alignment(odd(screen(rng), rng, kind="wide"), options=OPTIONS).notes
    (found,) = [note for note in notes if note.code == "plate_left_out_of_fit"]
    assert (found.values["plate"], found.values["group"], found.values["limit"]) == ("P2", "*", 10)
    assert 100 < found.values["ratio"] < 250


def test_values_of_a_later_plate_are_limited(tmp_path):
    rng = np.random.default_rng(1)
    frame = screen(rng)
    fit_alignment(frame, options=OPTIONS).save(tmp_path / "fit.npz")
    later = odd(frame, rng, kind="huge")
    found = values(apply_alignment(later, Alignment.load(tmp_path / "fit.npz")), later["Metadata_Plate"] == "P2")
    assert 100 < np.abs(found).max() < 1e5


def test_at_least_half_of_the_plates_stay():
    rng = np.random.default_rng(2)
    frame = screen(rng, plates=4)
    names = tables.features(frame)
    for number, plate in enumerate(("P0", "P1", "P2", "P3")):
        frame.loc[frame["Metadata_Plate"] == plate, names] *= 20.0**number
    used, notes = odd_plates.used_wells(frame, controls=controls_of(frame), options=OPTIONS)
    assert len({note.values["plate"] for note in notes}) == 2
    assert set(frame.loc[used, "Metadata_Plate"]) == {"P0", "P1"}


def test_an_alignment_without_spread_has_a_note():
    rng = np.random.default_rng(3)
    frame = odd(screen(rng), rng, kind="huge")
    unguarded = replace(OPTIONS, max_deviation=None, max_influence=None)
    (note,) = [note for note in fit_alignment(frame, options=unguarded).notes if note.code == odd_plates.COLLAPSED]
    assert note.values["after"] < 1e-6
    assert fit_alignment(frame, options=OPTIONS).notes[-1].code != odd_plates.COLLAPSED


def test_a_screen_without_treated_wells_is_measured_on_its_controls():
    frame = screen(np.random.default_rng(4), treated=0)
    sample = odd_plates.sample(frame, np.ones(len(frame), dtype=bool))
    assert len(sample) == len(frame)
    names = tables.features(frame)
    flat = frame.copy()
    flat[names] *= 1e-8
    assert odd_plates.lost_spread(frame, frame, names=names) is None
    assert isinstance(odd_plates.lost_spread(frame, flat, names=names), Note)
