"""Segmentation without weights: planted discs are found, empty stays empty, extremes do not break it."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage

from wellspring.cells import segment
from wellspring.cells.labels import relabel
from wellspring.cells.segment import Options
from wellspring.screen import config


def discs(centres, *, radius, shape=(200, 220), height=600.0, background=100.0, noise=8.0, seed=0):
    """Return a field with bright discs of one radius on a noisy background, and the discs as labels."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, int)
    for number, (y, x) in enumerate(centres, start=1):
        truth[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    generator = np.random.default_rng(seed)
    field = ndimage.gaussian_filter((truth > 0) * height, 1.0) + background + generator.normal(0, noise, shape)
    return np.clip(field, 0, 65535).astype(np.uint16), truth


GRID = [(y, x) for y in range(25, 190, 35) for x in range(25, 210, 40)]


@pytest.mark.parametrize("scale", [1, 2])
def test_planted_discs_are_found_at_every_magnification(scale):
    centres = [(y * scale, x * scale) for y, x in GRID]
    field, truth = discs(centres, radius=9 * scale, shape=(200 * scale, 220 * scale))
    nuclei, cells = segment.threshold(field, options=Options(diameter=18 * scale))
    assert nuclei.dtype == cells.dtype == np.uint32
    assert nuclei.max() == len(GRID)
    overlap = (nuclei > 0) & (truth > 0)
    assert overlap.sum() / ((nuclei > 0) | (truth > 0)).sum() > 0.85
    found = ndimage.center_of_mass(np.ones_like(nuclei), nuclei, np.arange(1, nuclei.max() + 1))
    nearest = [min(np.hypot(y - a, x - b) for a, b in found) for y, x in centres]
    assert max(nearest) < 1


def test_touching_discs_are_parted():
    field, _ = discs([(60, 60), (60, 75), (120, 100), (134, 104), (149, 104)], radius=9)
    assert segment.find_nuclei(field, options=Options(diameter=18)).max() == 5


def test_dim_and_bright_nuclei_are_drawn_in_one_size():
    field, _ = discs([(60, 60)], radius=9, height=300, noise=3)
    bright, _ = discs([(60, 150)], radius=9, height=1000, background=0, noise=3)
    nuclei = segment.find_nuclei(field + bright, options=Options(diameter=18))
    areas = np.bincount(nuclei.ravel())[1:]
    assert len(areas) == 2
    assert areas.min() > 0.7 * areas.max()


@pytest.mark.parametrize("noise", [0.0, 0.5, 8.0, 200.0])
@pytest.mark.parametrize("haze", [0.0, 30.0])
def test_empty_field_gives_no_cells(noise, haze):
    generator = np.random.default_rng(1)
    field = np.clip(500 + haze * np.linspace(0, 1, 300) + generator.normal(0, noise, (260, 300)), 0, None)
    field = field.astype(np.uint16)
    full, _ = discs(GRID, radius=9, background=500, noise=noise)
    floor = segment.plate_floor([full, field], diameter=18)
    nuclei, cells = segment.threshold(field, field, options=Options(diameter=18, floor=floor))
    assert nuclei.max() == 0 and cells.max() == 0
    assert nuclei.shape == cells.shape == field.shape


@pytest.mark.parametrize("noise", [1.0, 8.0, 100.0])
def test_noise_alone_gives_no_cells_without_a_plate_to_compare_with(noise):
    field = np.clip(np.random.default_rng(2).normal(1000, noise, (260, 300)), 0, None).astype(np.uint16)
    assert segment.find_nuclei(field, options=Options(diameter=18)).max() == 0


@pytest.mark.parametrize("value", [0, 300, 65535])
def test_uniform_and_saturated_fields_give_no_cells(value):
    field = np.full((100, 120), value, np.uint16)
    nuclei, cells = segment.threshold(field, field, options=Options(diameter=18))
    assert nuclei.max() == 0 and cells.max() == 0
    assert segment.plate_floor([field], diameter=18) == value


def test_one_giant_object_survives():
    rows, columns = np.mgrid[:300, :340]
    field = np.where((rows - 150) ** 2 + (columns - 150) ** 2 < 120**2, 60000, 100).astype(np.uint16)
    nuclei, cells = segment.threshold(field, field, options=Options(diameter=18))
    assert nuclei.max() >= 1
    assert ((nuclei > 0) <= (cells > 0)).all()


def test_a_cell_holds_its_nucleus_and_no_other():
    nuclear, _ = discs(GRID, radius=9)
    body, truth = discs(GRID, radius=15, height=300)
    nuclei, cells = segment.threshold(nuclear, body, options=Options(diameter=18))
    assert (cells[nuclei > 0] == nuclei[nuclei > 0]).all()
    assert set(np.unique(cells)) == set(np.unique(nuclei))
    assert ((cells > 0) & (truth > 0)).sum() / ((cells > 0) | (truth > 0)).sum() > 0.85


def test_without_cytoplasm_cells_grow_by_the_given_distance():
    field, _ = discs([(100, 100)], radius=9)
    nuclei, cells = segment.threshold(field, options=Options(diameter=20, growth=0.4))
    distance = ndimage.distance_transform_edt(nuclei == 0)
    np.testing.assert_array_equal(cells > 0, distance <= 8)


def test_cell_does_not_reach_further_than_allowed():
    field, _ = discs([(100, 100)], radius=9)
    stain = np.full(field.shape, 1000, np.uint16)
    stain[:, :10] = 0
    nuclei, cells = segment.threshold(field, stain, options=Options(diameter=18, reach=1.0))
    assert ndimage.distance_transform_edt(nuclei == 0)[cells > 0].max() <= 18


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="expected the shape"):
        segment.threshold(np.zeros((5, 5)), np.zeros((5, 6)), options=Options(diameter=3))


@pytest.mark.parametrize("radius", [6, 12, 20])
def test_diameter_is_estimated_from_the_pixels(radius):
    field, _ = discs([(40, 40), (40, 120), (120, 40), (120, 120)], radius=radius)
    assert segment.estimate_diameter([field]) == pytest.approx(2 * radius, rel=0.2)


def test_haze_over_half_the_field_does_not_count_as_a_nucleus():
    centres = [(y, x) for y in range(25, 290, 35) for x in range(25, 330, 40)]
    field, _ = discs(centres, radius=9, shape=(300, 330), noise=3)
    rows, columns = np.mgrid[:300, :330]
    haze = 1000 * np.exp(-((rows - 150) ** 2 + (columns - 150) ** 2) / (2 * 90**2))
    assert segment.estimate_diameter([(field + haze).astype(np.uint16)]) == pytest.approx(18, rel=0.25)


def test_diameter_of_empty_fields_is_the_fallback():
    noise = np.random.default_rng(3).normal(100, 5, (90, 110)).astype(np.uint16)
    assert segment.estimate_diameter([noise, np.zeros((10, 13))], fallback=25.0) == 25.0
    assert segment.estimate_diameter([], fallback=25.0) == 25.0


def test_relabel_closes_gaps_and_keeps_the_order():
    labels = np.array([[0, 7, 7], [3, 0, 9]])
    np.testing.assert_array_equal(relabel(labels), [[0, 2, 2], [1, 0, 3]])
    assert relabel(np.zeros((2, 3), int)).max() == 0


def test_same_field_gives_the_same_labels():
    field, _ = discs(GRID, radius=9)
    first, second = (segment.threshold(field, field, options=Options(diameter=18)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_defaults_are_those_of_the_config():
    section = config.schema()["properties"]["cells"]["properties"]
    shared = {field.name: field.default for field in fields(Options) if field.name in section}
    del shared["floor"]  # counts here, a share of the plate's threshold in the config
    assert shared == {name: section[name]["default"] for name in shared}
    assert "smoothing" in shared and "edge" in shared


@pytest.mark.parametrize("noise", [8.0, 200.0])
def test_the_diameter_of_fields_of_noise_is_the_fallback(noise):
    field = np.random.default_rng(5).normal(1000, noise, (120, 160))
    assert segment.estimate_diameter([field], fallback=21.0) == 21.0
    assert segment.estimate_diameter([], fallback=22.0) == 22.0
