import numpy as np
import pandas as pd
import pytest

from wellspring import flatfield, illumination
from wellspring.binning import bin_area, enlarge

OPTIONS = {"method": "quantile", "offset": "estimate"}


def _vignette(shape, loss=0.35, centre=(0.1, -0.15)):
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    light = (1 - loss) ** ((y - centre[0]) ** 2 + (x - centre[1]) ** 2)
    return light / light.mean()


def _fields(count, *, offset=100.0, cells=30, shape=(48, 48), seed=0, background=40.0):
    """Return views (n, h, w) of fields of round cells on an even background, through the vignette."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    stack = np.full((count, *shape), background)
    for field in stack:
        for cy, cx, gain in zip(
            *rng.uniform(-2, shape[0] + 2, (2, cells)), rng.lognormal(5.5, 0.4, cells), strict=True
        ):
            field += gain * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 6)
        field *= rng.lognormal(0, 0.2)
    seen = stack * _vignette(shape)
    return (seen + offset + rng.normal(0, 1, seen.shape)).astype(np.float32)


def _error(flat, truth):
    ratio = flat / truth
    return float((ratio / ratio.mean()).std())


def test_a_planted_light_path_is_recovered():
    stack = _fields(96)
    truth = _vignette(stack.shape[1:])
    found = flatfield.quantile(stack)
    assert abs(found.offset - 100) < 12
    assert found.flat.mean() == pytest.approx(1)
    error = _error(found.flat, truth)
    assert error < 0.03
    assert error < 0.3 * _error(np.ones_like(truth), truth)
    assert error < _error(flatfield.mean(stack).flat, truth)


def test_the_offset_decides():
    stack = _fields(96)
    truth = _vignette(stack.shape[1:])
    right, wrong = (_error(flatfield.quantile(stack, offset=offset).flat, truth) for offset in (100.0, 0.0))
    assert right < 0.5 * wrong


def test_debris_and_sparse_fields_do_little_harm():
    truth = _vignette((48, 48))
    stack = _fields(48, cells=4)
    assert _error(flatfield.quantile(stack, offset=100).flat, truth) < 0.04
    stack[3, 5:20, 8:25] = 65535
    assert _error(flatfield.quantile(stack, offset=100).flat, truth) < 0.05


def test_few_fields_get_a_bowl():
    stack = _fields(8)
    found = flatfield.quantile(stack)
    assert _error(found.flat, _vignette((48, 48))) < 0.1
    assert flatfield.degree_for(stack) == 2


def test_scale_and_order_of_fields_do_not_matter():
    stack = _fields(24)
    found = flatfield.quantile(stack, degree=2)
    brighter = flatfield.quantile(stack * 3, degree=2)
    np.testing.assert_allclose(brighter.flat, found.flat, atol=0.01)
    mixed = flatfield.quantile(stack[::-1].copy(), degree=2)
    np.testing.assert_allclose(mixed.flat, found.flat, rtol=1e-6)


def _survey(stack, channel, plate="P", size=(192, 192)):
    rows = [(plate, f"A{i + 1:02d}", "1", channel, "1", "keep", *size) for i in range(len(stack))]
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Verdict", "Height", "Width"]
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    return frame.astype({"Metadata_Height": "Int32", "Metadata_Width": "Int32"})


def test_a_light_path_of_two_plates(tmp_path):
    stacks = [_fields(20, seed=1), _fields(20, seed=2)]
    stacks[1][0] = 9e4
    surveys = [_survey(stacks[0], "DNA", "P1"), _survey(stacks[1], "DNA", "P2")]
    surveys[1].loc[0, "Metadata_Verdict"] = "exclude"
    stacks[0][4] = np.nan
    light = illumination.light_path(surveys, stacks, channels=["DNA"], options=OPTIONS)
    assert light.flat.shape == light.dark.shape == (1, 192, 192)
    assert light.flat.dtype == np.float32
    assert light.flat.mean() == pytest.approx(1, abs=1e-5)
    assert light.fields.tolist() == [38]
    assert light.residual_after[0] < light.residual_before[0]
    illumination.save(tmp_path / "light.npz", light)
    again = illumination.load(tmp_path / "light.npz")
    np.testing.assert_array_equal(again.flat, light.flat)
    assert (again.channels, again.method) == (["DNA"], "quantile")
    assert [path.name for path in illumination.export(tmp_path, light, plate="P1")] == ["P1_IllumDNA.npy"]
    with pytest.raises(ValueError, match=r"found none for \['ER'\]"):
        light.of(["ER"])


def test_without_fields_the_light_is_even():
    frame = _survey(_fields(2), "DNA").assign(Metadata_Verdict="exclude")
    light = illumination.light_path([frame], [_fields(2)], channels=["DNA", "ER"], options=OPTIONS)
    assert light.method == "none (no usable field)"
    assert (light.flat == 1).all()
    light = illumination.light_path([_survey(_fields(4), "DNA")], [_fields(4)], channels=["DNA", "ER"], options=OPTIONS)
    assert light.fields.tolist() == [4, 0]
    assert (light.flat[1] == 1).all()


def test_none_changes_nothing():
    raw = np.random.default_rng(0).integers(0, 65536, (1, 192, 192)).astype(np.uint16)
    stack = _fields(6)
    light = illumination.light_path(
        [_survey(stack, "DNA")], [stack], channels=["DNA"], options={"method": "none", "offset": "estimate"}
    )
    np.testing.assert_array_equal(illumination.correct(raw, light.flat, light.dark), raw)


def test_correction_flattens_and_keeps_the_pedestal():
    truth = _vignette((192, 192)).astype(np.float32)
    raw = np.rint(100 + 500 * truth).astype(np.uint16)
    corrected = illumination.correct(raw, truth, np.full_like(truth, 100))
    assert corrected.dtype == np.uint16
    assert np.abs(corrected.astype(float) - 600).max() <= 2
    bright = illumination.correct(np.full((2, 2), 65535, np.uint16), np.full((2, 2), 0.5), np.zeros((2, 2)))
    assert (bright == 65535).all()


def test_real_fields_become_more_even(shared_data):
    import tifffile

    paths = sorted((shared_data / "illum_examples" / "bbbc016_gfp").glob("*.TIF"))
    stack = np.stack([bin_area(tifffile.TiffFile(path).pages[0].asarray(), (64, 64)) for path in paths])
    half = flatfield.halves(len(stack))
    found = flatfield.quantile(stack[half])
    seen = stack[~half].mean(axis=0) - found.offset
    assert flatfield.unevenness(seen / found.flat) < 0.7 * flatfield.unevenness(seen)
    assert enlarge(found.flat, (512, 512)).min() > 0.1
