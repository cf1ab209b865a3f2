"""The steps of an alignment: properties of all of them, and their list."""

import inspect
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from step_screens import ALONE, NAMES, OPTIONS, SIZE, controls_of, screen, through, values
from wellspring.align.alignment import STEPS, Alignment, apply_alignment, chain, fit_alignment
from wellspring.align.steps import sphering
from wellspring.io import tables
from wellspring.screen.config import schema

SECTION = schema()["properties"]["fit"]["properties"]


def test_config_names_the_steps_that_there_are():
    items = SECTION["steps"]["items"]
    assert items["then"]["enum"] == list(items["else"]["properties"]) == list(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_reads_just_the_options_that_the_config_lets_it_have(name):
    """Options of an entry are those that its module names, so that none is set in vain."""
    allowed = set(SECTION["steps"]["items"]["else"]["properties"][name]["properties"])
    read = {each for each in SECTION if f"options.{each}" in inspect.getsource(STEPS[name][0])}
    if name == "sphere":
        read |= {each for each in SECTION if f"options.{each}" in inspect.getsource(sphering)}
    if "frames.fitted(" in inspect.getsource(STEPS[name][0]):
        read.add("fit_on")
    assert read - {"min_controls"} == allowed


@pytest.mark.parametrize("name", ALONE)
def test_state_comes_back_from_its_file(name, tmp_path):
    frame = screen(np.random.default_rng(0))
    frame.loc[5, "e_1"] = np.nan
    aligned, alignment = through(frame, "select", name, by="batch")
    alignment.save(tmp_path / "a.npz")
    again = Alignment.load(tmp_path / "a.npz")
    again.save(tmp_path / "b.npz")
    through(frame, "select", name, by="batch")[1].save(tmp_path / "c.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes() == (tmp_path / "c.npz").read_bytes()
    assert again.notes == alignment.notes
    assert all(note.values["step"] in ("select", name) for note in alignment.notes)
    pd.testing.assert_frame_equal(apply_alignment(frame, again), aligned)


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("fit_on", ["negcon", "all"])
def test_order_of_rows_does_not_count(name, fit_on):
    frame = screen(np.random.default_rng(1))
    one, _ = through(frame, name, fit_on=fit_on)
    mixed = frame.sample(frac=1, random_state=0)
    two, _ = through(mixed, name, fit_on=fit_on)
    pd.testing.assert_frame_equal(one, two.sort_index(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ALONE)
def test_a_later_plate_changes_nothing_of_the_others(name):
    rng = np.random.default_rng(2)
    frame, later = screen(rng), screen(rng, plates=1).assign(Metadata_Plate="later", Metadata_Batch="b9")
    one, alignment = through(frame, name, by="batch")
    both = apply_alignment(pd.concat([frame, later], ignore_index=True), alignment)
    pd.testing.assert_frame_equal(both.iloc[: len(frame)], one)
    assert np.isfinite(values(both.iloc[len(frame) :])).all()


@pytest.mark.parametrize("name", ALONE)
def test_wells_without_a_profile_stay_and_count_for_nothing(name):
    frame = screen(np.random.default_rng(3))
    frame.loc[[2, 30], "Metadata_Verdict"] = "undefined"
    wild = frame.copy()
    wild.loc[[2, 30], NAMES] = 1e9
    frame.loc[[2, 30], NAMES] = np.nan
    one, _ = through(frame, name, fit_on="all")
    two, _ = through(wild, name, fit_on="all")
    pd.testing.assert_frame_equal(one, two)
    assert one.loc[[2, 30], NAMES].isna().all(axis=None)
    assert one.drop(index=[2, 30])[NAMES].notna().all(axis=None)


@pytest.mark.parametrize("name", ALONE)
def test_a_gap_spoils_nothing_but_itself(name):
    frame = screen(np.random.default_rng(4))
    frame.loc[20, "e_1"] = np.nan
    frame.loc[3, "e_2"] = np.inf
    aligned, _ = through(frame, name)
    lost = ~np.isfinite(values(aligned))
    assert set(zip(*np.nonzero(lost), strict=True)) <= {(20, 1), (3, 2)}


@pytest.mark.parametrize("name", ALONE)
def test_without_controls_nothing_changes_and_it_is_said(name):
    frame = screen(np.random.default_rng(5))
    frame[NAMES] = frame[NAMES].astype(np.float32)
    aligned, alignment = through(frame, name, controls=np.zeros(len(frame), dtype=bool))
    pd.testing.assert_frame_equal(aligned, frame)
    assert alignment.notes


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows_are_no_error(name, rows):
    frame = screen(np.random.default_rng(6))
    _, alignment = through(frame.iloc[:rows], name)
    assert len(apply_alignment(frame, alignment)) == len(frame)


@pytest.mark.parametrize("name", ALONE)
def test_only_the_chosen_controls_count(name):
    """Whatever the other controls are, also where all wells fit: they are kept to judge the fit by."""
    rng = np.random.default_rng(7)
    frame = screen(rng)
    half = rng.random(len(frame)) < 0.5
    other = frame.copy()
    unused = controls_of(frame) & ~half
    other.loc[unused, NAMES] *= 3
    other.loc[unused, "Metadata_Count_Cells"] += 500
    for fit_on in ("negcon", "all"):
        options = replace(OPTIONS, steps=[name], fit_on=fit_on)
        one, two = (fit_alignment(each, options=options, controls=half) for each in (frame, other))
        pd.testing.assert_frame_equal(apply_alignment(frame, one), apply_alignment(frame, two))


def test_each_step_is_fitted_on_what_those_before_it_leave():
    frame = screen(np.random.default_rng(8))
    whole, _ = through(frame, "cell_count", "select", "sphere", "standardize")
    by_hand = frame
    for name in ("cell_count", "select", "sphere", "standardize"):
        module = STEPS[name][0]
        by_hand = module.apply(by_hand, module.fit(by_hand, controls=controls_of(by_hand), options=OPTIONS))
    np.testing.assert_allclose(values(whole), values(by_hand), rtol=1e-5, atol=1e-6)


def test_order_counts():
    frame = screen(np.random.default_rng(9))
    frame["e_0"] *= 50
    one, _ = through(frame, "standardize", {"sphere": {"sphering": "ridge"}})
    two, _ = through(frame, {"sphere": {"sphering": "ridge"}}, "standardize")
    assert not np.allclose(values(one), values(two), rtol=1e-2)


def test_own_options_stand_before_those_of_the_section():
    frame = screen(np.random.default_rng(10))
    one, _ = through(frame, {"sphere": {"sphering": "ridge", "by": "batch"}}, sphering="none", by=None)
    two, _ = through(frame, "sphere", sphering="ridge", by="batch")
    pd.testing.assert_frame_equal(one, two)
    assert chain(["select", {"sphere": None}]) == [("select", {}), ("sphere", {})]


def test_an_empty_list_changes_nothing(tmp_path):
    frame = screen(np.random.default_rng(11))
    aligned, alignment = through(frame)
    np.testing.assert_array_equal(values(aligned), values(frame).astype(np.float32))
    alignment.save(tmp_path / "a.npz")
    pd.testing.assert_frame_equal(apply_alignment(frame, Alignment.load(tmp_path / "a.npz")), aligned)
    assert alignment.features == NAMES


def test_a_step_twice_is_done_twice():
    frame = screen(np.random.default_rng(12))
    frame.loc[:100, "e_1"] = np.nan
    frame.loc[:10, "e_2"] = np.nan
    lax, strict = ({"select": {"max_missing": share}} for share in (0.2, 0))
    aligned, alignment = through(frame, lax, "sphere", "select", strict)
    assert alignment.features == tables.features(aligned) == ["e_0", "e_2", "e_3", "e_4", "e_5"]
    reasons = alignment.selection.set_index("Metadata_Feature")["Metadata_Reason"]
    assert reasons["e_1"] == "not_finite(wells=101, total=240)"
    aligned, alignment = through(frame, lax, strict, "sphere")
    reasons = alignment.selection.set_index("Metadata_Feature")["Metadata_Reason"]
    assert reasons[["e_1", "e_2"]].tolist() == ["not_finite(wells=101, total=240)", "not_finite(wells=11, total=240)"]
    assert len(dict(alignment.steps)["sphere"].features) == SIZE - 2


def test_select_last_still_drops():
    frame = screen(np.random.default_rng(13))
    frame["e_3"] = 1.0
    aligned, alignment = through(frame, "standardize", "select")
    assert "e_3" not in aligned
    assert tables.features(aligned) == alignment.features


@pytest.mark.parametrize("entry", ["sphre", {"sphre": {}}, {"select": {}, "sphere": {}}, {}])
def test_an_unknown_step_is_refused_in_words(entry):
    with pytest.raises(ValueError, match=r"fit.steps.1: expected one of \['select', 'sphere', .*found"):
        through(screen(np.random.default_rng(14)), "select", entry)
