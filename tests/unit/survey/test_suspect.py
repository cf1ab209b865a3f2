"""Planes that read without an error, but are copies of others or lack their last rows."""

from dataclasses import replace

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile

from options import options
from wellspring.io import tables
from wellspring.io.notes import Note, loads
from wellspring.survey import run as survey
from wellspring.survey import suspect

UNLIMITED = {"focus": None, "sharpness": None, "mean": None, "foreground": None}
OPTIONS = options("survey", pixel_size=0.5, view_edge=16, max_excluded=1.0, outliers=UNLIMITED)
WELLS = [f"A{number:02d}" for number in range(1, 7)]


def plate(folder, changed=None, *, wells=WELLS, dtype=np.uint16):
    """Write a plate of noise, two channels per well, some fields replaced; return its index."""
    rng, rows = np.random.default_rng(7), []
    for number, well in enumerate(wells):
        for channel in ("DNA", "ER"):
            pixels = rng.poisson(200, (96, 80)).clip(1, 250).astype(dtype)
            pixels = (changed or {}).get((well, channel), pixels)
            name = f"{well}_{channel}.tif"
            tifffile.imwrite(folder / name, pixels)
            rows.append(("P", well, "1", channel, "1", name, 0, "trt" if number else "negcon"))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "pert_type"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def field(seed, *, low=1, shape=(96, 80)):
    return np.random.default_rng(seed).poisson(200, shape).clip(low).astype(np.uint16)


def reasons(found):
    table = found.table[found.table["Metadata_Verdict"] == "exclude"]
    places = zip(table["Metadata_Well"], table["Metadata_Channel"], strict=True)
    return {place: loads(reason)[0] for place, reason in zip(places, table["Metadata_Reason"], strict=True)}


def test_the_same_pixels_in_two_wells_are_found_with_their_wells(tmp_path):
    one = field(0)
    found = survey.run(plate(tmp_path, {("A02", "DNA"): one, ("A05", "DNA"): one}), tmp_path, options=OPTIONS)
    note = Note("same_pixels", {"images": 2, "wells": "A02, A05"})
    assert reasons(found) == {("A02", "DNA"): note, ("A05", "DNA"): note}
    assert found.verdict.keep
    tables.write(found.table, tmp_path / "survey.parquet", table="survey", provenance={}, verdict=found.verdict)


def test_the_same_pixels_in_two_channels_are_found(tmp_path):
    one = field(0)
    found = survey.run(plate(tmp_path, {("A02", "DNA"): one, ("A02", "ER"): one}), tmp_path, options=OPTIONS)
    assert set(reasons(found)) == {("A02", "DNA"), ("A02", "ER")}


def test_a_plate_of_copies_is_left_out_with_a_verdict(tmp_path):
    one = field(0)
    index = plate(tmp_path, {(well, "ER"): one for well in WELLS[2:]})
    found = survey.run(index, tmp_path, options=OPTIONS)
    assert not found.verdict.keep
    assert str(Note("wells_copied", {"wells": 4, "total": 6})) in found.verdict.reasons
    half = plate(tmp_path, {(well, "ER"): one for well in WELLS[3:]})
    assert survey.run(half, tmp_path, options=OPTIONS).verdict.keep


def test_blank_and_nearly_equal_images_are_no_copies(tmp_path):
    one = field(0)
    other, shorter = one.copy(), one.astype(np.uint8)
    other[5, 5] += 1
    black = np.zeros_like(one)
    changed = {("A01", "DNA"): one, ("A02", "DNA"): other, ("A03", "DNA"): black, ("A04", "DNA"): black}
    found = survey.run(plate(tmp_path, changed), tmp_path, options=OPTIONS)
    assert {note.code for note in reasons(found).values()} == {"blank"}
    assert suspect.measure(shorter)[suspect.DIGEST] != suspect.measure(one)[suspect.DIGEST]


@pytest.mark.parametrize("seed", range(3))
def test_saturated_images_of_8_bit_are_no_copies(tmp_path, seed):
    rng = np.random.default_rng(seed)
    fields = {(well, "ER"): (255 * (rng.random((96, 80)) < 0.9)).astype(np.uint8) for well in WELLS}
    found = survey.run(plate(tmp_path, fields, dtype=np.uint8), tmp_path, options=replace(OPTIONS, max_saturated=1.0))
    assert reasons(found) == {}
    assert (found.table[suspect.ZERO_ROWS] == 0).all()


def test_a_person_keeps_copies_by_a_list(tmp_path):
    one = field(0)
    index = plate(tmp_path, {(well, "ER"): one for well in WELLS})
    listed = pd.DataFrame([("P", "", "", "keep", "drawn", "x: line 1")], columns=[*survey.exclusions.COLUMNS, "where"])
    found = survey.run(index, tmp_path, options=OPTIONS, listed=listed)
    assert found.verdict.keep
    assert reasons(found) == {}


@pytest.mark.parametrize(("rows", "zeros", "found"), [(8, 0, True), (7, 0, False), (40, 0, True), (40, 0.05, False)])
def test_rows_of_zeros_at_the_end_are_found_where_zeros_are_rare(tmp_path, rows, zeros, found):
    pixels = field(1)
    pixels[np.random.default_rng(0).random(pixels.shape) < zeros] = 0
    pixels[-rows:] = 0
    surveyed = survey.run(plate(tmp_path, {("A03", "ER"): pixels}), tmp_path, options=OPTIONS)
    expected = {("A03", "ER"): Note("zero_tail", {"rows": rows, "height": 96})} if found else {}
    assert reasons(surveyed) == expected


def test_a_tall_image_needs_a_share_of_its_rows():
    pixels = field(2, shape=(2000, 16))
    pixels[-19:] = 0
    rows = pd.DataFrame([{"status": "ok", "height": 2000, **suspect.measure(pixels)}])
    assert rows[suspect.ZERO_ROWS].tolist() == [19]
    assert not suspect.incomplete(rows)[0].any()
    pixels[-20:] = 0
    rows = pd.DataFrame([{"status": "ok", "height": 2000, **suspect.measure(pixels)}])
    assert suspect.incomplete(rows)[0].all()


@pytest.mark.parametrize("suffix", [".bmp", ".png"])
def test_a_file_whose_decoder_fills_lost_rows_is_found(tmp_path, suffix):
    """A file that states 96 rows and holds zeros for those that were lost, as such decoders return them."""
    pixels = field(3).clip(1, 255).astype(np.uint8)
    pixels[-30:] = 0
    index = plate(tmp_path, dtype=np.uint8)
    encode = {".bmp": imagecodecs.bmp_encode, ".png": imagecodecs.png_encode}[suffix]
    (tmp_path / f"lost{suffix}").write_bytes(encode(pixels))
    index.loc[3, "Metadata_Path"] = f"lost{suffix}"
    surveyed = survey.run(index, tmp_path, options=OPTIONS)
    assert {note.code for note in reasons(surveyed).values()} == {"zero_tail"}
