"""Light paths of plates: estimated from surveys and views or taken from files, stored, exported and applied."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import tifffile

import vendors
from options import options
from wellspring.illumination import basic, estimate, evenness, flatfield, given, lightpath
from wellspring.simulate import lights
from wellspring.views.binning import bin_area, enlarge

OPTIONS = options("illumination", method="basic", offset="estimate")


SIZE = (180, 192)  # px of a field, three per view


@cache
def _drawn(seed):
    return _oblong(lights.views("debris", 20, seed=seed)).stack


def _oblong(views):
    """Return the views without their outer rows, so that height and width differ."""
    return lights.Views(views.stack[:, 2:-2], views.flat[2:-2], views.dark[2:-2], views.light[:, 2:-2])


def _fields(count, seed=0):
    return _drawn(seed)[:count].copy()


def _survey(stack, channel, plate="P", size=SIZE):
    rows = [(plate, f"A{i + 1:02d}", "1", channel, "1", "keep", *size) for i in range(len(stack))]
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Verdict", "Height", "Width"]
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    return frame.astype({"Metadata_Height": "Int32", "Metadata_Width": "Int32"})


def _light(stack, channels=("DNA",), **changes):
    frame = _survey(stack, channels[0])
    return estimate.light_path(
        [frame], [stack], channels=list(channels), options=replace(OPTIONS, **changes), optics="scope"
    )


def test_a_light_path_of_two_plates(tmp_path):
    stacks = [_fields(20, seed=1), _fields(20, seed=1)[::-1].copy()]
    stacks[1][0] = 9e4
    surveys = [_survey(stacks[0], "DNA", "P1"), _survey(stacks[1], "DNA", "P2")]
    surveys[1].loc[0, "Metadata_Verdict"] = "exclude"
    stacks[0][4] = np.nan
    light = estimate.light_path(surveys, stacks, channels=["DNA"], options=OPTIONS)
    assert light.flat.shape == light.dark.shape == (1, *SIZE)
    assert light.flat.dtype == light.dark.dtype == np.float32
    assert light.flat.mean() == pytest.approx(1, abs=1e-5)
    assert light.fields.tolist() == [38]
    assert {name: figures.shape for name, figures in light.held_out.items()} == dict.fromkeys(evenness.MEASURES, (1, 3))
    assert light.held_out["residual_change"][0, 2] < 0
    lightpath.save(tmp_path / "light.npz", light)
    again = lightpath.load(tmp_path / "light.npz")
    np.testing.assert_array_equal(again.flat, light.flat)
    np.testing.assert_array_equal(again.held_out["edge_after"], light.held_out["edge_after"])
    assert (again.channels, again.method) == (["DNA"], "basic")
    assert [path.name for path in lightpath.export(tmp_path, light, plate="P1")] == ["P1_IllumDNA.npy"]
    with pytest.raises(ValueError, match=r"found none for \['ER'\]"):
        light.of(["ER"])


def test_channels_are_taken_in_any_order():
    light = _light(_fields(8), channels=("DNA", "ER"))
    turned = light.of(["ER", "DNA"])
    np.testing.assert_array_equal(turned.flat, light.flat[::-1])
    np.testing.assert_array_equal(turned.held_out["residual_after"], light.held_out["residual_after"][::-1])
    assert turned.fields.tolist() == [0, 8]


def test_the_plate_gets_what_the_views_say():
    planted = _oblong(lights.views("sparse", 40, seed=3))
    light = _light(planted.stack)
    truth = enlarge(planted.flat, SIZE)
    assert (light.flat[0] / truth).std() < 0.02
    assert np.abs(light.dark[0] - enlarge(planted.dark, SIZE)).max() < 15
    known = _light(planted.stack, offset=100)
    assert (known.dark == 100).all()


@pytest.mark.parametrize("method", ["basic", "median"])
def test_without_fields_the_light_is_even(method):
    frame = _survey(_fields(2), "DNA").assign(Metadata_Verdict="exclude")
    light = estimate.light_path([frame], [_fields(2)], channels=["DNA", "ER"], options=replace(OPTIONS, method=method))
    assert light.method == "no_usable_field"
    assert (light.flat == 1).all()
    assert np.isnan(light.held_out["residual_after"]).all()
    light = _light(np.full((5, 60, 64), np.nan, np.float32), method=method)
    assert light.fields.tolist() == [0]
    assert (light.flat == 1).all()
    assert (light.dark == 0).all()
    light = _light(_fields(4), channels=("DNA", "ER"), method=method)
    assert light.fields.tolist() == [4, 0]
    assert (light.flat[1] == 1).all()
    assert np.isfinite(light.held_out["residual_after"][0]).all()
    light = _light(_fields(1), method=method)
    assert np.isnan(light.held_out["residual_after"]).all()
    assert np.isfinite(light.flat).all()


def test_what_is_measured_is_held_out():
    """Noise that a fit to the same fields would take up does not count as a gain on others."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(*[np.linspace(-1, 1, 64)] * 2, indexing="ij")
    bumps = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.1) for a, b in rng.uniform(-1, 1, (16, 2))]
    stack = (200 + 900 * np.stack(bumps) * rng.lognormal(0, 0.5, (16, 1, 1))).astype(np.float32)
    light = _light(stack)
    whole = evenness.measured(stack, basic.basic(stack))
    assert light.held_out["residual_after"][0, 0] > whole["residual_after"][0]


def test_none_changes_nothing():
    raw = np.random.default_rng(0).integers(0, 65536, (1, *SIZE)).astype(np.uint16)
    light = _light(_fields(6), method="none")
    np.testing.assert_array_equal(lightpath.correct(raw, light.flat, light.dark), raw)
    np.testing.assert_array_equal(light.held_out["residual_before"], light.held_out["residual_after"])


def test_correction_flattens_and_keeps_the_pedestal():
    truth = lights.views("sparse", 1, seed=0).flat.astype(np.float32)
    raw = np.rint(100 + 500 * truth).astype(np.uint16)
    corrected = lightpath.correct(raw, truth / truth.mean(), np.full_like(truth, 100))
    assert corrected.dtype == np.uint16
    assert np.abs(corrected.astype(float) - 600).max() <= 2
    bright = lightpath.correct(np.full((2, 3), 65535, np.uint16), np.full((2, 3), 0.5), np.zeros((2, 3)))
    assert (bright == 65535).all()


def test_files_of_each_channel_are_taken(tmp_path):
    flats = {name: np.linspace(1, 1 + step, 180 * 192).reshape(SIZE) for name, step in (("DNA", 1), ("ER", 3))}
    (tmp_path / "scope").mkdir()
    for name, flat in flats.items():
        np.save(tmp_path / "scope" / f"scope_Illum{name}.npy", flat)
    path = f"{tmp_path}/{{optics}}/{{optics}}_Illum{{channel}}.npy"
    light = _light(_fields(8), channels=("DNA", "ER"), method="given", given=path)
    for number, flat in enumerate(flats.values()):
        np.testing.assert_allclose(light.flat[number], flat / flat.mean(), rtol=1e-5)
    assert (light.dark == 0).all()
    assert light.fields.tolist() == [8, 0]
    seen = evenness.measured(_fields(8), flatfield.light(bin_area(flats["DNA"], (60, 64))))
    np.testing.assert_allclose(light.held_out["residual_after"][0], seen["residual_after"], rtol=1e-5)
    assert (_light(_fields(8), method="given", given=path, offset=90).dark == 90).all()
    files = given.files(path, optics="scope", channels=["DNA", "ER"])
    assert [file.name for file in files] == ["scope_IllumDNA.npy", "scope_IllumER.npy"]


def test_what_was_exported_can_be_given(tmp_path):
    first = _light(_fields(20))
    lightpath.export(tmp_path, first, plate="scope")
    again = _light(_fields(20), method="given", given=f"{tmp_path}/{{optics}}_Illum{{channel}}.npy")
    np.testing.assert_allclose(again.flat, first.flat, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((192, 180)), r"shape \(180, 192\), found \(192, 180\)"),
        (np.ones((2, *SIZE)), r"found \(2, 180, 192\)"),
        (np.where(np.eye(*SIZE) > 0, np.nan, 1), "found 180 not finite and 0 of 0 or less"),
        (1 - np.eye(*SIZE), "found 0 not finite and 180 of 0 or less"),
        (np.ones(SIZE, complex), "expected numbers, found complex128"),
        (np.array([{}]), "expected an array in .npy, found"),
        (None, "found no such file"),
        (b"no array", "expected an array in .npy, found"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, values, message):
    path = tmp_path / "scope_DNA.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    elif values is not None:
        np.save(path, values)
    with pytest.raises(ValueError, match=message) as error:
        _light(_fields(4), method="given", given=f"{tmp_path}/{{optics}}_{{channel}}.npy")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("path", [None, "", "x.tif", "same_for_all.npy"])
def test_paths_that_say_too_little_are_refused(path):
    with pytest.raises(ValueError, match=r"illumination\.given: expected"):
        given.files(path, optics="scope", channels=["DNA", "ER"])


def test_profiles_of_a_harmony_export_are_taken(tmp_path):
    vendors.harmony(tmp_path, channels=["HOECHST 33342", "Alexa 488"])
    index = next(tmp_path.rglob("Index*"))
    stack = _fields(6)
    rename = {"DNA": "HOECHST 33342", "ER": "Alexa 488"}
    theirs = replace(OPTIONS, method="given", given=str(index))
    frame = _survey(stack, "DNA", size=(96, 96))
    light = estimate.light_path([frame], [stack], channels=list(rename), options=theirs, aliases=rename)
    assert light.flat.shape == (2, 96, 96)
    assert light.flat.mean(axis=(1, 2)) == pytest.approx(1, abs=1e-5)
    assert light.flat[0].std() > 0.01
    assert given.files(str(index), optics="scope", channels=list(rename)) == [index]
    with pytest.raises(ValueError, match="expected a flat field of DNA, found those of") as error:
        estimate.light_path([frame], [stack], channels=["DNA"], options=theirs)
    assert str(index) in str(error.value)


def test_real_fields_become_more_even(shared_data):
    paths = sorted((shared_data / "illum_examples" / "bbbc016_gfp").glob("*.TIF"))
    stack = np.stack([bin_area(tifffile.TiffFile(path).pages[0].asarray(), (64, 64)) for path in paths])
    half = flatfield.halves(len(stack))
    found = evenness.measured(stack[~half], basic.basic(stack[half]))
    assert found["residual_change"][2] < 0
    assert found["residual_after"][0] < 0.5 * found["residual_before"][0]
    assert enlarge(basic.basic(stack).flat, (512, 512)).min() > 0.1
