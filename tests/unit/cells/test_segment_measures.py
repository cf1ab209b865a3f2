"""Segmentation: noise, floors, diameter, holes and rings against values that are computed another way."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import norm
from skimage.filters import threshold_otsu
from test_segment import GRID, discs

from wellspring.cells import background, flags, relief, segment
from wellspring.cells.segment import Options
from wellspring.views.noise import noise_of


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("noise", [3.0, 40.0])
def test_the_noise_is_the_deviation_that_is_left_after_smoothing(sigma, noise):
    """On a slope, which is signal: the deviation of smoothed white noise itself, up to 5 %."""
    white = np.random.default_rng(0).normal(0, noise, (400, 500))
    field = 1000 + np.linspace(0, 300, 500) + white
    measured = ndimage.gaussian_filter(white, sigma).std()
    assert noise_of(field, sigma) == pytest.approx(measured, rel=0.05)


def test_the_noise_of_an_image_that_is_not_smoothed_is_its_own():
    white = np.random.default_rng(1).normal(0, 7, (300, 400))
    assert noise_of(white, 0.1) == pytest.approx(7, rel=0.05)


def test_specks_do_not_count_in_the_diameter():
    """Specks of 5 px have more area together than the nuclei, and yet the nuclei have the diameter."""
    nuclei, _ = discs([(40, 40), (40, 160), (150, 100)], radius=12, noise=2)
    specks, _ = discs([(y, x) for y in range(6, 196, 10) for x in range(6, 214, 10)], radius=1, background=0, noise=0)
    near = ndimage.binary_dilation(nuclei > 300, iterations=6)
    field = nuclei + np.where(near, 0, 4 * specks)
    assert segment.estimate_diameter([field]) == pytest.approx(24, rel=0.2)


def test_fields_without_nuclei_do_not_change_the_diameter():
    full, _ = discs(GRID, radius=9)
    empty = np.full((120, 90), 100, np.uint16)
    noise = np.random.default_rng(2).normal(100, 8, (130, 80)).astype(np.uint16)
    assert segment.estimate_diameter([empty, full, noise]) == segment.estimate_diameter([full])


def test_the_diameter_is_that_of_most_of_the_area():
    small, _ = discs([(20, 20), (20, 60)], radius=6, shape=(120, 200), noise=2)
    large, _ = discs([(70, 40), (70, 100), (70, 160)], radius=15, shape=(120, 200), background=0, noise=0)
    assert segment.estimate_diameter([small + large]) == pytest.approx(30, rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_floor_of_a_plate_lies_at_its_share_between_background_and_nuclei(share):
    """A share of 0 is the background, a larger one is higher, and all are below the nuclei."""
    field, _ = discs(GRID, radius=9, height=600, background=100, noise=1)
    low, floor = (segment.plate_floor([field], diameter=18, share=each) for each in (0.0, share))
    assert low == pytest.approx(100, abs=2)
    half = segment.plate_floor([field], diameter=18, share=share / 2)
    assert floor - low == pytest.approx(2 * (half - low), rel=1e-6, abs=1e-9)
    assert low <= floor < 650


def test_there_is_no_floor_without_fields():
    assert segment.plate_floor([], diameter=18) == 0.0


def test_an_object_below_the_share_of_a_disc_is_left_out():
    field, _ = discs([(50, 50), (120, 150)], radius=9, noise=2)
    speck, _ = discs([(60, 140)], radius=3, height=1200, background=0, noise=0)
    for smallest, count in ((0.3, 2), (0.02, 3)):
        nuclei = segment.find_nuclei(field + speck, options=Options(diameter=18, smallest=smallest))
        assert nuclei.max() == count


def test_a_hole_in_the_stain_is_filled_up_to_its_size():
    """A hole of 1.4 nucleus discs beside the nucleus."""
    nuclei = np.zeros((120, 160), np.uint32)
    rows, columns = np.mgrid[:120, :160]
    nuclei[(rows - 60) ** 2 + (columns - 60) ** 2 <= 81] = 1
    stain = np.where((rows - 60) ** 2 + (columns - 70) ** 2 <= 45**2, 900.0, 100.0)
    hole = (rows - 60) ** 2 + (columns - 88) ** 2 <= 110
    stain[hole] = 100.0
    inner = (rows - 60) ** 2 + (columns - 88) ** 2 <= 50
    for most, filled in ((4.0, True), (0.5, False)):
        cells = segment.grow_cells(nuclei, stain, options=Options(diameter=18, hole=most, reach=4.0))
        assert bool((cells[inner] > 0).all()) is filled and bool((cells[inner] > 0).any()) is filled


def test_a_cell_without_stain_has_its_ring():
    nuclei = np.zeros((80, 110), np.uint32)
    nuclei[30:48, 50:68] = 1
    stain = np.full((80, 110), 100.0)
    stain[:3, :3] = 900.0
    cells = segment.grow_cells(nuclei, stain, options=Options(diameter=20, ring=0.25))
    np.testing.assert_array_equal(cells > 0, ndimage.distance_transform_edt(nuclei == 0) <= 5)


def test_a_field_without_nuclei_has_no_cells_whatever_its_stain():
    body, _ = discs(GRID, radius=14)
    cells = segment.grow_cells(np.zeros(body.shape, np.uint32), body, options=Options(diameter=18))
    assert cells.dtype == np.uint32 and cells.shape == body.shape and cells.max() == 0


def test_relabelling_keeps_the_background_where_nothing_is_background():
    np.testing.assert_array_equal(segment.relabel(np.array([[2, 2, 5], [5, 9, 9]])), [[1, 1, 2], [2, 3, 3]])


def test_the_brightness_of_nuclei_is_their_mean_above_what_is_outside_of_cells():
    rng = np.random.default_rng(3)
    nuclei = np.zeros((40, 60), np.uint32)
    nuclei[5:15, 5:15], nuclei[20:30, 40:50] = 1, 3
    dna = rng.integers(100, 200, nuclei.shape) + 500 * (nuclei == 1) + 50 * (nuclei == 3)
    outside = np.zeros(nuclei.shape, bool)
    outside[:, 52:] = True
    brightness, sharpness = flags.measure(nuclei, dna, outside=outside, diameter=10)
    expected = [np.mean(dna[nuclei == number]) - np.median(dna[:, 52:]) for number in (1, 3)]
    np.testing.assert_allclose(brightness, [0, expected[0], 0, expected[1]], rtol=1e-5)
    assert sharpness[0] == sharpness[2] == 0 and sharpness[1] > 0
    everywhere, _ = flags.measure(nuclei, dna, outside=np.zeros(nuclei.shape, bool), diameter=10)
    assert everywhere[1] == pytest.approx(np.mean(dna[nuclei == 1]) - np.median(dna), rel=1e-5)


def test_an_edge_twice_as_wide_halves_the_sharpness():
    """Nuclei with edges of 16 and 32 px: gradients, relative to brightness, of one to two."""
    columns = np.arange(120.0)
    values = []
    for edge in (16.0, 32.0):
        profile = np.clip((30 - np.abs(columns - 60)) / edge + 0.5, 0, 1)
        dna = 100 + 400 * np.tile(profile, (50, 1))
        nuclei = (dna > 300).astype(np.uint32)
        brightness, sharpness = flags.measure(nuclei, dna, outside=dna == 100, diameter=50)
        values.append(sharpness[1] * brightness[1])
        assert values[-1] == pytest.approx(400 / edge * 50, rel=0.02)
    assert values[0] == pytest.approx(2 * values[1], rel=0.02)


def test_a_nucleus_darker_than_its_surroundings_has_no_sharpness():
    nuclei = np.zeros((30, 44), np.uint32)
    nuclei[10:20, 10:20] = 1
    brightness, sharpness = flags.measure(nuclei, 200 - 90 * (nuclei > 0), outside=nuclei == 0, diameter=10)
    assert brightness[1] == -90 and sharpness[1] == 0


def test_an_object_below_the_share_of_haze_is_measured_above_the_threshold_of_its_field():
    """A disc of 13 % of its field, by the definition: twice the largest distance to the background."""
    field, truth = discs([(100, 110)], radius=42, noise=2)
    assert 0.12 < (truth > 0).mean() < 0.15
    smooth = ndimage.gaussian_filter(field.astype(np.float32), 1)
    roots = np.sqrt(smooth - smooth.min())
    expected = 2 * ndimage.distance_transform_edt(roots > threshold_otsu(roots, nbins=512)).max()
    assert segment.estimate_diameter([field]) == pytest.approx(expected, rel=1e-6)


def bar(dim, bright):
    """Return a bar of 21 x 61 px in a field, its left half dim, and its counts."""
    rows, columns = np.mgrid[:81, :101]
    inside = (abs(rows - 40) <= 10) & (abs(columns - 50) <= 30)
    return inside, np.where(columns < 50, dim, bright) * inside.astype(float)


def test_the_landscape_of_an_even_object_is_its_distance_in_radii_plus_a_half():
    inside, counts = bar(300.0, 300.0)
    found = relief.landscape(inside, counts, 20.0)
    tent = np.maximum(11 - abs(np.arange(-30.0, 31)), 0)
    expected = ndimage.gaussian_filter1d(tent, 0.12 * 20)[30] / 10 + 0.5
    assert found[40, 50] == pytest.approx(expected, rel=1e-3)
    assert (found[~inside] == 0).all()


def test_the_landscape_is_higher_where_an_object_is_brighter_than_around():
    """4 px to both sides of an edge: counts smoothed by 2 px over counts smoothed by 10 px, half of it."""
    inside, counts = bar(200.0, 600.0)
    found = relief.landscape(inside, counts, 20.0)
    bright, dim = ((200 + 400 * norm.cdf(at / 2)) / (200 + 400 * norm.cdf(at / 10)) for at in (4.5, -3.5))
    assert found[40, 54] - found[40, 46] == pytest.approx(0.5 * (bright - dim), rel=0.05)


def test_a_dim_nucleus_by_itself_is_found_and_one_between_bright_ones_is_not():
    """Between the least threshold and Otsu's, the mean over four diameters decides."""
    rows, columns = np.mgrid[:160, :260]

    def disc(y, x, radius):
        return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2

    field = np.where(disc(80, 60, 40), 900.0, 100.0)
    low, cut = background.levels(field)
    dim = low + 0.9 * (cut - low)
    field[disc(80, 60, 12)] = dim
    field[disc(80, 200, 6)] = dim
    found = segment._foreground(field, noise=0.0, floor=0.0, options=Options(diameter=12))
    assert found[disc(80, 200, 6)].all() and not found[disc(80, 60, 12)].any()
    assert found[disc(80, 60, 40) & ~disc(80, 60, 12)].all()


def test_the_floor_and_the_diameter_have_the_defaults_that_are_documented():
    field, _ = discs(GRID, radius=9)
    assert segment.plate_floor([field], diameter=18) == segment.plate_floor([field], diameter=18, share=0.3)
    assert segment.estimate_diameter([]) == 30.0


def test_nuclei_on_a_band_of_haze_have_the_diameter_and_not_the_band():
    """The band is thinner than a sixth of the field; only its area, a fifth of the field, shows that it is haze."""
    centres = [(y, x) for y in range(12, 150, 25) for x in range(14, 260, 29)]
    field, _ = discs(centres, radius=5, shape=(150, 260), height=700, noise=3)
    without = segment.estimate_diameter([field])
    haze = 300 * np.exp(-((np.arange(150)[:, None] - 75) ** 2) / (2 * 8**2))
    assert without == pytest.approx(12, abs=1)
    assert segment.estimate_diameter([field + haze]) == pytest.approx(without, abs=1)


def test_a_thin_band_below_the_share_of_haze_is_an_object():
    """Of 13 % of the field: by the definition, twice the largest distance to the pixels below the threshold."""
    field = np.full((150, 260), 100.0)
    field[60:80] = 700.0 + 500.0 * np.linspace(0, 1, 20)[:, None] ** 4
    field += np.random.default_rng(4).normal(0, 2, field.shape)
    smooth = ndimage.gaussian_filter(field.astype(np.float32), 1)
    roots = np.sqrt(smooth - smooth.min())
    expected = 2 * ndimage.distance_transform_edt(roots > threshold_otsu(roots, nbins=512)).max()
    assert 12 < expected < 25 and segment.estimate_diameter([field]) == pytest.approx(expected, rel=1e-6)
