"""Clipping is found at any grey value, and images that are not clipped raise no alarm."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from options import options
from wellspring.io.keys import PLANE_KEY
from wellspring.io.notes import Note, loads
from wellspring.report import checks
from wellspring.report.wording import words
from wellspring.survey import ceiling
from wellspring.survey import run as survey

OPTIONS = options("survey")
SHAPE = (120, 170)


def _stain(rng, count, bright, sigma):
    field = np.zeros(SHAPE)
    np.add.at(field, tuple(rng.integers(0, n, count) for n in SHAPE), rng.lognormal(np.log(bright), 0.5, count))
    return gaussian_filter(field, sigma) * 2 * np.pi * sigma**2


KINDS = {
    "poisson": lambda rng: rng.poisson(rng.uniform(0.5, 3000), SHAPE),
    "gaussian": lambda rng: np.rint(rng.normal(rng.uniform(20, 5000), rng.uniform(0.5, 200), SHAPE)),
    "cells": lambda rng: rng.poisson(100 + _stain(rng, rng.integers(1, 90), 2000, 4)),
    "bright and sparse": lambda rng: rng.poisson(3 + _stain(rng, rng.integers(0, 3), rng.uniform(50, 9000), 5)),
    "smooth": lambda rng: 100 + _stain(rng, rng.integers(1, 50), rng.uniform(50, 3000), rng.uniform(3, 10)),
    "coarse levels": lambda rng: rng.poisson(100 + _stain(rng, 40, 2000, 4)) // 16 * 16,
}


def _image(kind, rng):
    return np.clip(KINDS[kind](rng), 0, 60000).astype(np.uint16)


def _top(pixels):
    return ceiling.top(np.bincount(pixels.ravel()))


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_are_not_clipped_raise_no_alarm(kind):
    rng = np.random.default_rng(len(kind))
    tops = [_top(_image(kind, rng)) for _ in range(80)]
    assert not any(found.excess >= ceiling.TIMES for found in tops)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("kind", ["cells", "smooth", "coarse levels"])
def test_a_random_ceiling_is_found_with_the_share_of_pixels(kind, share):
    rng = np.random.default_rng(int(1000 * share))
    found = 0
    for _ in range(30):
        pixels = _image(kind, rng)
        level = int(np.quantile(pixels, 1 - share))
        pixels = np.minimum(pixels, level)
        top = _top(pixels)
        assert (top.value, top.share) == (level, (pixels == level).mean())
        found += top.excess >= ceiling.TIMES
    assert found >= 27


def _plate(folder, images):
    rows = []
    for number, (channel, pixels) in enumerate(images):
        well = f"A{number // 2 + 1:02d}"
        name = f"{well}_{channel}.tif"
        tifffile.imwrite(folder / name, pixels)
        rows.append(("P", well, "1", channel, "1", name, 0, "trt"))
    names = ["Metadata_Path", "Metadata_Page", "Metadata_pert_type"]
    return pd.DataFrame(rows, columns=[*PLANE_KEY, *names])


def _marked(pixels, how, rng):
    """Return a clipped image with few brighter pixels: defective ones of the camera, or a scale bar."""
    pixels = pixels.copy()
    if how == "defective pixels":
        pixels.ravel()[rng.integers(0, pixels.size, 5)] = rng.integers(5000, 60000, 5)
    elif how == "scale bar":
        pixels[-8:-5, -50:-10] = 65535
    return pixels


@pytest.mark.parametrize("how", ["defective pixels", "scale bar"])
def test_few_brighter_pixels_do_not_hide_a_ceiling(how):
    rng = np.random.default_rng(len(how))
    for _ in range(20):
        level = int(rng.choice([1023, 4095]))
        pixels = _marked(np.minimum(rng.poisson(100 + _stain(rng, 60, 0.8 * level, 5)), level), how, rng)
        top = _top(pixels.astype(np.uint16))
        assert (top.value, top.share) == (level, (pixels >= level).mean())
        assert top.excess >= ceiling.TIMES


@pytest.mark.parametrize("kind", KINDS)
def test_brighter_pixels_raise_no_alarm_in_images_that_are_not_clipped(kind):
    rng = np.random.default_rng(len(kind))
    tops = [_top(_marked(_image(kind, rng), "defective pixels", rng)) for _ in range(40)]
    assert not any(found.excess >= ceiling.TIMES for found in tops)


def test_an_even_background_is_no_ceiling():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pixels = np.full(SHAPE, 5)
        pixels.ravel()[rng.integers(0, pixels.size, 900)] = rng.integers(0, 5, 900)
        pixels.ravel()[rng.integers(0, pixels.size, 100)] = rng.integers(6, 200, 100)
        assert _top(pixels).excess < ceiling.TIMES


def test_images_clipped_at_one_value_and_shifted_each_have_a_ceiling_of_their_own(tmp_path):
    """A 12-bit camera, and each image minus its own background: the ceilings differ by a few counts."""
    rng = np.random.default_rng(3)
    raw = [np.minimum(rng.poisson(30 + _stain(rng, 60, 2500, 5)), 4095) for _ in range(8)]
    shifts = [0, 0, 1, 2, 3, 4, 5, 6]
    shifted = [np.maximum(pixels - shift, 0) for pixels, shift in zip(raw, shifts, strict=True)]
    images = [(("DNA", "ER")[number % 2], pixels.astype(np.uint16)) for number, pixels in enumerate(shifted)]
    table = survey.run(_plate(tmp_path, images), tmp_path, options=OPTIONS).table
    expected = np.sort([(pixels == 4095).mean() for pixels in raw])
    np.testing.assert_allclose(np.sort(table["saturated"]), expected, rtol=1e-4)
    assert sorted(table["Metadata_Ceiling"]) == sorted(4095.0 - shift for shift in shifts)


@pytest.mark.parametrize(("level", "dtype"), [(4095, np.uint16), (254, np.uint8), (1777, np.uint16)])
def test_a_plate_clipped_below_its_data_type_is_excluded_with_the_ceiling(tmp_path, level, dtype):
    rng = np.random.default_rng(level)
    images = []
    for _ in range(6):  # DNA is clipped, ER is not
        images.append(("DNA", np.minimum(rng.poisson(30 + _stain(rng, 60, 0.6 * level, 5)), level).astype(dtype)))
        images.append(("ER", rng.poisson(9, SHAPE).astype(dtype)))
    table = survey.run(_plate(tmp_path, images), tmp_path, options=OPTIONS).table.set_index("Metadata_Channel")
    pixels = {channel: [image for name, image in images if name == channel] for channel in ("DNA", "ER")}
    expected = [float((image == level).mean()) for image in pixels["DNA"]]
    assert min(expected) > 0.01
    np.testing.assert_allclose(table.loc["DNA", "saturated"], expected, rtol=1e-5)
    assert (table.loc["DNA", "Metadata_Ceiling"] == level).all()
    notes = [loads(text)[0] for text in table.loc["DNA", "Metadata_Reason"]]
    assert {(note.code, note.values["ceiling"]) for note in notes} == {("saturated", level)}
    assert f"clipped at the grey value {level}, more than 1.0 %" in words(notes[0])
    assert (table.loc["ER", "saturated"] == 0).all()
    declared = survey.run(_plate(tmp_path, images), tmp_path, options=replace(OPTIONS, saturation=60.0)).table
    assert (declared["Metadata_Ceiling"] == 60).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_plate_that_is_not_clipped_has_no_ceiling(tmp_path, seed):
    rng = np.random.default_rng(seed)
    images = [(channel, _image(kind, rng)) for kind in KINDS for channel in ("DNA", "ER")]
    table = survey.run(_plate(tmp_path, images), tmp_path, options=OPTIONS).table
    assert table["Metadata_Ceiling"].isna().all()
    assert (table["saturated"] == 0).all()


def test_the_largest_value_of_the_data_type_is_no_news():
    note = Note("saturated", {"share": 0.05, "limit": 0.01})
    assert words(note) == "saturated: 5.0 % of the pixels, more than 1.0 %"


def test_the_overview_names_the_ceiling():
    rows = [("P", "DNA", 254.0, 0.05), ("P", "DNA", 254.0, 0.002), ("P", "ER", np.nan, 0.0), ("P", "ER", 900.0, 0.0)]
    names = ["Metadata_Plate", "Metadata_Channel", "Metadata_Ceiling", "saturated"]
    (found,) = checks.clipping(SimpleNamespace(survey=pd.DataFrame(rows, columns=names)))
    assert found.text == "2 images are clipped at a grey value in more than 0.1 % of the pixels."
    assert found.lines == ("P, DNA: 2 images at 254, up to 5.0 % of the pixels",)
    assert checks.clipping(SimpleNamespace(survey=pd.DataFrame())) == []
