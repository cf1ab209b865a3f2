"""Views: grids cover fields, cuts equal slices, reflection equals padding, foreground counts pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.views import cutting


@pytest.mark.parametrize(
    ("height", "width", "tile", "stride"),
    [(400, 400, 224, None), (101, 67, 32, 20), (50, 50, 50, None), (640, 540, 96, 96)],
)
def test_tile_grid_covers_every_pixel_and_stays_inside(height, width, tile, stride):
    covered = np.zeros((height, width), bool)
    origins = cutting.tile_grid(height, width, tile, stride)
    for y, x in origins:
        assert y >= 0 and x >= 0 and y + tile <= height and x + tile <= width
        covered[y : y + tile, x : x + tile] = True
    assert covered.all()
    assert len(np.unique(origins, axis=0)) == len(origins)


def test_tile_grid_without_remainder_has_no_overlap():
    assert len(cutting.tile_grid(96, 192, 48)) == 2 * 4


@pytest.mark.parametrize(("tile", "stride"), [(65, None), (0, None), (32, 33), (32, 0)])
def test_tile_grid_refuses_what_would_not_cover(tile, stride):
    with pytest.raises(ValueError, match="expected"):
        cutting.tile_grid(64, 100, tile, stride)


def test_blocks_equal_slices():
    field = np.random.default_rng(0).integers(0, 9999, (3, 70, 50)).astype(np.uint16)
    origins = cutting.tile_grid(70, 50, 32)
    tiles = cutting.blocks(field, origins, 32)
    assert tiles.dtype == np.uint16 and tiles.flags.c_contiguous
    for tile, (y, x) in zip(tiles, origins, strict=True):
        np.testing.assert_array_equal(tile, field[:, y : y + 32, x : x + 32])


@pytest.mark.parametrize("size", [8, 9, 1])
def test_cut_equals_slicing_inside(size):
    field = np.random.default_rng(1).integers(0, 9999, (2, 60, 61)).astype(np.uint16)
    centres = np.array([[20.0, 30.0], [33.5, 18.49], [40.2, 40.7]])
    crops = cutting.cut(field, centres, size)
    for crop, (y, x) in zip(crops, [(20, 30), (34, 18), (40, 41)], strict=True):
        top, left = y - size // 2, x - size // 2
        np.testing.assert_array_equal(crop, field[:, top : top + size, left : left + size])
        np.testing.assert_array_equal(crop[:, size // 2, size // 2], field[:, y, x])


def test_centres_are_rounded_half_up_not_to_even():
    """Banker's rounding would move 2.5 to 2 and 4.5 to 4."""
    field = np.arange(12 * 17, dtype=np.uint16).reshape(1, 12, 17)
    centres = np.array([[2.5, 3.5], [4.5, 6.5], [3.5, 2.5], [0.5, 0.49], [-0.5, -0.4]])
    middles = cutting.cut(field, centres, 1)[:, 0, 0, 0]
    np.testing.assert_array_equal(middles, [field[0, y, x] for y, x in [(3, 4), (5, 7), (4, 3), (1, 0), (0, 0)]])


def test_cut_at_the_edges_of_a_field_that_is_not_square():
    field = np.arange(2 * 9 * 14, dtype=np.uint16).reshape(2, 9, 14)
    np.testing.assert_array_equal(cutting.cut(field, np.array([[8, 13]]), 1)[0, :, 0, 0], field[:, 8, 13])
    for centre in ([9.0, 5.0], [8.5, 5.0], [5.0, 13.5], [13.0, 8.0]):
        with pytest.raises(ValueError, match=r"inside the field \(9, 14\)"):
            cutting.cut(field, np.array([centre]), 3)


def test_masked_squares_keep_the_cell_in_any_label_image():
    squares = np.arange(1, 2 * 2 * 3 * 3 + 1, dtype=np.uint16).reshape(2, 2, 3, 3)
    labels = np.zeros((2, 2, 3, 3), np.uint32)
    labels[0, 0, 0, 0], labels[0, 1, 2, 2], labels[0, 0, 1, 1] = 7, 7, 5
    labels[1, 0, 1, 2] = 5
    masked = squares.copy()
    cutting.mask(masked, labels, np.array([7, 5]), np.array([100, 200]))
    kept = np.zeros((2, 3, 3), bool)
    kept[0, 0, 0] = kept[0, 2, 2] = kept[1, 1, 2] = True
    for channel, background in ((0, 100), (1, 200)):
        np.testing.assert_array_equal(masked[:, channel], np.where(kept, squares[:, channel], background))


def test_cut_reflects_at_the_border_even_beyond_the_field():
    field = np.arange(2 * 12 * 10, dtype=np.uint16).reshape(2, 12, 10)
    for size in (6, 7, 40):
        margin = size
        padded = np.pad(field, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
        for y, x in [(0, 0), (11, 9), (0, 5), (6, 9)]:
            top, left = y + margin - size // 2, x + margin - size // 2
            expected = padded[:, top : top + size, left : left + size]
            np.testing.assert_array_equal(cutting.cut(field, np.array([[y, x]]), size)[0], expected)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.randoms())
def test_cut_is_that_of_numpy_whatever_field_and_size(height, width, size, random):
    field = np.arange(2 * height * width, dtype=np.uint16).reshape(2, height, width)
    padded = np.pad(field, ((0, 0), (size, size), (size, size)), mode="reflect")
    centres = np.array([(random.randrange(height), random.randrange(width)) for _ in range(4)])
    for (y, x), found in zip(centres.tolist(), cutting.cut(field, centres, size), strict=True):
        top, left = y + size - size // 2, x + size - size // 2
        np.testing.assert_array_equal(found, padded[:, top : top + size, left : left + size])


def test_cut_of_nothing_and_of_bad_centres():
    field = np.zeros((2, 10, 13), np.uint16)
    assert cutting.cut(field, np.empty((0, 2)), 5).shape == (0, 2, 5, 5)
    for centre in ([-1.0, 5.0], [10.0, 5.0], [5.0, 13.0], [np.nan, 5.0]):
        with pytest.raises(ValueError, match="inside the field"):
            cutting.cut(field, np.array([centre]), 5)


def test_foreground_fraction_counts_pixels_at_both_resolutions():
    generator = np.random.default_rng(2)
    binary = generator.random((96, 128)) < 0.3
    origins = cutting.tile_grid(96, 128, 32)
    expected = [binary[y : y + 32, x : x + 32].mean() for y, x in origins]
    np.testing.assert_allclose(cutting.foreground_fraction(binary, origins, 32), expected)
    fine = np.kron(binary, np.ones((4, 4), bool))
    np.testing.assert_allclose(
        cutting.foreground_fraction(binary, origins * 4, 128, shape=fine.shape),
        cutting.foreground_fraction(fine, origins * 4, 128),
    )


def test_foreground_threshold_of_a_plate_separates_cells_and_leaves_empty_fields_empty():
    generator = np.random.default_rng(3)
    plate = generator.normal(100, 5, (6, 40, 52)).astype(np.float32)
    plate[:4, 10:20, 10:20] += 400
    plate[5] = np.nan
    threshold = cutting.foreground_threshold(plate)
    assert 120 < threshold < 480
    found = [(view > threshold).sum() for view in plate]
    assert found == [100, 100, 100, 100, 0, 0]
    assert cutting.foreground_threshold(np.full((2, 4, 4), 7.0)) == np.inf


def test_soft_window_is_symmetric_and_gaussian():
    with pytest.raises(ValueError, match="expected a sigma above 0 px, found 0"):
        cutting.soft_window(40, 0)
    window = cutting.soft_window(40, 19)
    assert window.dtype == np.float32 and window.max() == 1
    np.testing.assert_allclose(window, window[::-1])
    np.testing.assert_allclose(window, window.T)
    np.testing.assert_allclose(cutting.soft_window(41, 10)[20, 30], np.exp(-0.5), rtol=1e-6)


def test_pixels_converts_micrometres_and_refuses_them_without_a_pixel_size():
    assert cutting.length_in_pixels(30, unit="um", pixel_size=0.5) == 60
    assert cutting.length_in_pixels(30) == 30
    with pytest.raises(ValueError, match="crops.size: cannot convert 30 um to pixels"):
        cutting.length_in_pixels(30, unit="um", key="crops.size")
    with pytest.raises(ValueError, match="px or um"):
        cutting.length_in_pixels(30, unit="mm")


def test_well_sites_are_sorted():
    assert cutting.well_sites([("B02", "2"), ("A01", "1"), ("B02", "1")]) == {"A01": ["1"], "B02": ["1", "2"]}
