import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.views import binning


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(1, 8))
def test_views_keep_the_total_light(height, width, edge):
    pixels = np.random.default_rng(height * width).integers(0, 65536, (height, width)).astype(np.uint16)
    shape = binning.shape_of(height, width, edge=edge)
    view = binning.bin_area(pixels, shape)
    rows, columns = (
        np.diff(np.round(np.linspace(0, full, n + 1))) for full, n in zip(pixels.shape, shape, strict=True)
    )
    assert (view.astype(float) * rows[:, None] * columns).sum() == pytest.approx(pixels.sum(), rel=1e-5)
    assert min(shape) == min(edge, height, width)


def test_whole_bins_are_plain_means():
    pixels = np.arange(96, dtype=np.uint8).reshape(8, 12)
    expected = pixels.reshape(4, 2, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(binning.bin_area(pixels, (4, 4)), expected)
    np.testing.assert_allclose(binning.bin_area(np.stack([pixels] * 2), (4, 4)), np.stack([expected] * 2))


@pytest.mark.parametrize("shape", [(400, 400), (1080, 1080), (904, 1224), (53, 71)])
def test_a_smooth_field_survives_binning_and_enlarging(shape):
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    field = (np.exp(-0.5 * (y - 0.1) ** 2 - 0.4 * x**2)).astype(np.float32)
    again = binning.enlarge(binning.bin_area(field, binning.shape_of(*shape)), shape)
    assert again.dtype == np.float32
    assert np.abs(again / field - 1).max() < (0.003 if min(shape) > 100 else 0.03)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.float32])
def test_sums_of_bright_fields_do_not_overflow(dtype):
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1e9
    view = binning.bin_area(np.full((300, 301), top, dtype), (1, 1))
    np.testing.assert_allclose(view, [[top]], rtol=1e-6)
