"""Measures of one plane: quantiles against numpy; focus and sharpness against blur, noise, brightness, emptiness."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from wellspring.survey import focus

REAL = {
    "jump": "nf1_jump_pccma_fov_samples/JUMP_plate_BR00117006/images/orig/*.tiff",
    "nf1": "nf1_jump_pccma_fov_samples/NF1_cellpainting_data_shrunken/Plate_2_images/*_DAPI_*.tif",
    "bbbc013": "bbbc013/images/Channel2-0[1-3]*",
    "operetta": "vendor_layout_samples/operetta_plate/**/*.tif*",
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_quantiles_agree_with_numpy(dtype):
    pixels = np.random.default_rng(0).poisson(60, (211, 97)).astype(dtype)
    found = focus.measure(pixels)
    for share in focus.QUANTILES:
        assert found[f"quantile_{share}"] == np.quantile(pixels, share, method="inverted_cdf")
    assert found["mean"] == pytest.approx(pixels.mean())
    assert focus.measure(pixels, saturation=70)["saturated"] == (pixels >= 70).mean()


def test_focus_falls_with_blur():
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(300, 400))
    slopes = [
        focus.focus(gaussian_filter(noise, s) * 1000 + 9000 if s else noise * 1000 + 9000) for s in (0, 0.6, 1, 2)
    ]
    assert abs(slopes[0]) < 0.1
    assert slopes == sorted(slopes, reverse=True)
    assert np.isnan(focus.focus(np.full((64, 72), 5, np.uint8)))


def _grains(rng: np.random.Generator, *, count: int = 60, edge: int = 256) -> np.ndarray:
    """Return discs and grains on a ground of 0: float64 (edge, edge + 40)."""
    y, x = np.mgrid[:edge, : edge + 40]
    field = np.zeros(y.shape)
    for *centre, radius in rng.uniform((0, 0, 1.5), (*y.shape, 9), (count, 3)):
        field += np.hypot(y - centre[0], x - centre[1]) < radius
    return field


def _seen(light: np.ndarray, rng: np.random.Generator, *, gain=500.0, offset=100.0, noise=1.0) -> np.ndarray:
    """Return the image of a camera: photon noise, an offset, uint16."""
    grey = gain * light + offset
    return np.rint(grey + noise * np.sqrt(grey) * rng.normal(size=grey.shape)).clip(0, 65535).astype(np.uint16)


def test_sharpness_agrees_with_its_definition_whatever_the_shape():
    for shape in ((97, 211), (64, 64), (65, 30), (300, 16)):
        pixels = np.random.default_rng(0).integers(0, 65536, shape).astype(np.float64)
        pixels = gaussian_filter(pixels, 1.3).astype(np.uint16)
        both = (pixels.astype(float), pixels.T.astype(float))
        near, middle, far = (
            np.concatenate([(rows[lag:] - rows[:-lag]).ravel() ** 2 for rows in both]).mean() for lag in focus.LAGS
        )
        assert focus.sharpness(pixels) == pytest.approx((middle - near) / (far - near), rel=1e-4)


def test_sharpness_falls_with_blur_and_noise_does_not_move_it():
    rng = np.random.default_rng(1)
    light = _grains(rng)
    blurred = [gaussian_filter(light, blur) if blur else light for blur in (0, 0.5, 1, 1.5, 2, 3, 5)]
    clean, noisy = ([focus.sharpness(_seen(one, rng, noise=noise)) for one in blurred] for noise in (0, 3))
    assert clean == sorted(clean, reverse=True) and noisy == sorted(noisy, reverse=True)
    assert clean[0] > 1.5 * clean[-1]
    np.testing.assert_allclose(noisy, clean, rtol=0.05)
    slopes = [focus.focus(_seen(blurred[3], rng, noise=noise)) for noise in (0, 3)]
    assert slopes[1] > slopes[0] + 1, "the other measure takes noise for detail: the two are independent"


def test_sharpness_has_no_brightness_and_no_cell_count():
    rng = np.random.default_rng(2)
    light = gaussian_filter(_grains(rng), 1)
    usual = focus.sharpness(_seen(light, rng))
    for change in ({"gain": 60}, {"gain": 20000}, {"offset": 5000}, {"gain": 200, "offset": 0}):
        assert focus.sharpness(_seen(light, rng, **change)) == pytest.approx(usual, rel=0.05), change
    few, many = (
        np.mean([focus.sharpness(_seen(gaussian_filter(_grains(rng, count=n), 1), rng)) for _ in range(8)])
        for n in (8, 200)
    )
    assert few == pytest.approx(many, rel=0.1)


def test_sharpness_of_anchors():
    y, x = np.mgrid[:256, :256]
    assert focus.sharpness((20 * x + 20 * y).astype(np.uint16)) == pytest.approx(8 / 63, rel=1e-4)
    steps = np.where((x // 64 + y // 64) % 2, 1000, 2000).astype(np.uint16)
    assert focus.sharpness(steps) == pytest.approx(2 / 7, rel=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (1080, 300)])
def test_a_field_of_noise_has_no_sharpness(shape):
    for seed in range(20):
        assert np.isnan(focus.sharpness(np.random.default_rng(seed).poisson(300, shape).astype(np.uint16)))
    assert np.isnan(focus.sharpness(np.full(shape, 7, np.uint8)))


def test_fields_of_few_pixels_have_neither_measure():
    pixels = np.random.default_rng(0).poisson(300, (15, 400)).astype(np.uint16)
    assert np.isnan(focus.focus(pixels)) and np.isnan(focus.sharpness(pixels))


@pytest.mark.parametrize("name", REAL)
def test_real_fields_lose_sharpness_with_blur(name, root):
    files = sorted(Path(root.parent, "shared", "data").glob(REAL[name]))[:3]
    if not files:
        pytest.skip("no ../shared/data here")
    rng = np.random.default_rng(0)
    for file in files:
        light = tifffile.imread(file).astype(np.float32)
        blurred = [light, *(gaussian_filter(light, blur) for blur in (1, 2, 4))]
        noise = 2 * np.sqrt(np.median(light))
        noisy = [(one + noise * rng.normal(size=one.shape)).clip(0).astype(np.uint16) for one in blurred]
        found = [focus.sharpness(one) for one in noisy]
        assert found == sorted(found, reverse=True), file.name


def test_real_stacks_have_one_sharpest_plane_and_no_one_slope(root):
    """Ten planes of each of four fields of a widefield microscope, from below the focus to above it."""
    folder = root.parent / "shared" / "data" / "vendor_layout_samples" / "ImageXpress"
    stacks = {}
    for file in sorted(folder.glob("**/ZStep_*/*_w1*.tif")):
        if "_thumb" not in file.name:
            stacks.setdefault(file.name[:22], {})[int(file.parent.name[6:])] = tifffile.imread(file)
    if not stacks:
        pytest.skip("no ../shared/data here")
    assert len(stacks) == 4
    for name, planes in stacks.items():
        sharp = np.array([focus.sharpness(planes[step]) for step in sorted(planes)])
        best = int(sharp.argmax())
        assert 0 < best < len(sharp) - 1, name
        assert (np.diff(sharp[: best + 1]) > 0).all() and (np.diff(sharp[best:]) < 0).all(), name
        slopes = [focus.focus(planes[step]) for step in sorted(planes)]
        assert 0 < int(np.argmin(slopes)) < len(slopes) - 1, f"{name}: noise makes the slope shallow at both ends"
