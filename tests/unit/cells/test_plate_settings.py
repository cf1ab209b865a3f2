"""What is estimated once per plate, on which fields, and with which options; nuclei that bright bodies hide."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops
from test_cellpose import networks
from test_cells import CHANNELS, options
from test_segment import discs

from wellspring.cells import background, cellpose, relief, run, segment
from wellspring.cells.segment import Options
from wellspring.views.intensity import scale


class Images:
    """A plate in memory that remembers which fields are read."""

    plate, channels, pixel_size, shape = "P", CHANNELS, 0.5, (3, 60, 80)

    def __init__(self, count, flat=False):
        self.fields, self.asked = [(f"A{number:02d}", "1") for number in range(count)], []
        self.flat = flat

    def read(self, well, site, channels):
        number = int(well[1:])
        self.asked.append(number)
        field, _ = discs([(20, 20), (40, 60)], radius=6 + number % 3, shape=(60, 80), seed=number)
        body, _ = discs([(20, 20), (40, 60)], radius=10, shape=(60, 80), seed=number + 50, height=300)
        found = {"DNA": field, "RNA": body, "AGP": body[::-1]}
        parts = [found[name] for name in channels]
        return np.stack([np.full_like(part, 7) for part in parts] if self.flat else parts)


LIMITS = pd.DataFrame({"Metadata_Channel": CHANNELS, "low": [80.0, 90, 70], "high": [700.0, 500, 400]})


@pytest.mark.parametrize("count", [1, 5, 24, 25, 60])
def test_estimates_are_of_at_most_so_many_fields_spread_over_the_plate(count):
    images = Images(count)
    run.settle(images, LIMITS, options=options())
    wanted = sorted({round(number) for number in np.linspace(0, count - 1, 24)})
    assert images.asked == wanted and len(wanted) == min(count, 24)


@pytest.mark.parametrize("diameter", [None, 14])
def test_a_plate_has_its_limits_diameter_and_floors(diameter):
    images = Images(5)
    chosen = options(nucleus_diameter=diameter, cytoplasm=["RNA", "AGP"], floor=0.4, smallest=0.2, small=0.3, large=5)
    found = run.settle(images, LIMITS, options=chosen)
    assert (found.nuclei, found.cytoplasm, found.span, found.small, found.large) == ("DNA", ("RNA", "AGP"), 620, 0.3, 5)
    assert found.low.tolist() == [90, 70] and found.high.tolist() == [500, 400]
    fields = [found.read(images, *field) for field in images.fields]
    dna, stains = [field[0] for field in fields], [field[1] for field in fields]
    stored = images.read("A02", "1", ["RNA", "AGP"])
    np.testing.assert_allclose(stains[2], scale(stored, np.array([90.0, 70]), np.array([500.0, 400])).mean(axis=0))
    size = segment.estimate_diameter(dna) if diameter is None else 14.0
    own = found.options
    assert own.diameter == pytest.approx(size) and own.smallest == 0.2
    assert own.floor == pytest.approx(segment.plate_floor(dna, diameter=size, share=0.4, flat=True))
    assert own.ceiling == pytest.approx(segment.plate_floor(dna, diameter=size, share=1.0, flat=True))
    assert own.cytoplasm_floor == pytest.approx(segment.plate_floor(stains, diameter=size, share=0.4))
    plain = run.settle(images, LIMITS, options=replace(chosen, cytoplasm="RNA"))
    assert plain.cytoplasm == ("RNA",) and plain.low.tolist() == [90]
    without = run.settle(images, LIMITS, options=replace(chosen, cytoplasm=()))
    assert without.options.cytoplasm_floor == 0 and without.read(images, "A01", "1")[1] is None


@pytest.mark.parametrize("images", [Images(0), Images(3, flat=True)])
def test_without_a_threshold_there_is_no_ceiling(images):
    assert run.settle(images, LIMITS, options=options()).options.ceiling == np.inf


def test_a_diameter_up_to_the_edge_of_a_field_is_taken():
    assert run.settle(Images(1), LIMITS, options=options(nucleus_diameter=60)).options.diameter == 60
    for size in (61, 70):
        with pytest.raises(ValueError, match=f"{size} px is more than the fields have, 60 x 80 px"):
            run.settle(Images(1), LIMITS, options=options(nucleus_diameter=size))
    with pytest.raises(ValueError, match="expected threshold, network or cellpose, found 'none'"):
        run.settle(Images(1), LIMITS, options=replace(options(), method="none"))
    for key, name in (("nuclei", "X"), ("cytoplasm", "Y")):
        with pytest.raises(ValueError, match=f"cells.{key}: no channel '{name}'"):
            run.settle(Images(1), LIMITS, options=replace(options(), **{key: name}))


def hidden_scene(*, dim=12, height=90.0, radius=6, seed=0):
    """Return a smoothed field with two bright bodies and many dim discs, and the labels of the bodies."""
    shape = (150, 190)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    rng, image = np.random.default_rng(seed), np.full(shape, 100.0)
    bodies = np.zeros(shape, int)
    for number, (y, x) in enumerate([(30, 40), (110, 150)], start=1):
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= 14**2
        image, bodies = image + inside * 4000.0, np.where(inside, number, bodies)
    places = [(y, x) for y in range(15, 145, 24) for x in range(15, 180, 24) if bodies[y, x] == 0]
    for y, x in places[:dim]:
        image += ((rows - y) ** 2 + ((columns - x) / 1.2) ** 2 <= radius**2) * height
    smooth = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 1, shape)
    return smooth.astype(np.float32), bodies


@pytest.mark.parametrize("dim", [2, 3, 12])
@pytest.mark.parametrize(("height", "radius"), [(90.0, 6), (60.0, 6), (400.0, 3), (90.0, 11), (400.0, 2)])
def test_hidden_nuclei_are_compact_of_a_nucleus_size_and_outnumber_the_bright(dim, height, radius):
    smooth, bodies = hidden_scene(dim=dim, height=height, radius=radius)
    chosen, diameter = Options(diameter=12.0), 12.0
    found = segment._hidden(bodies, smooth, noise=1.0, options=chosen)
    rest = ndimage.distance_transform_edt(bodies == 0) > 3.0
    above = segment._foreground(smooth, noise=1.0, floor=0.0, options=chosen, within=rest)
    parts = segment._split(above & rest, smooth, options=chosen)
    usual = np.median(relief.heights(bodies, smooth, diameter)[1:])
    tall, disc, kept = relief.heights(parts, smooth, diameter), np.pi * 36, []
    for part in regionprops(parts):
        if disc / 4 <= part.area <= 3 * disc and part.solidity >= 0.9 and tall[part.label] >= 0.02 * usual:
            kept.append(part.label)
    wanted = np.where(np.isin(parts, kept), parts, 0) if len(kept) >= 3 else np.zeros_like(parts)
    np.testing.assert_array_equal(found, wanted)
    if (dim, height, radius) == (12, 90.0, 6):
        assert len(kept) >= 5 and segment.find_nuclei(smooth, options=chosen).max() >= len(kept)


def test_nothing_is_looked_for_where_no_room_is_left():
    smooth, bodies = hidden_scene()
    bodies[:, :] = 1
    assert not segment._hidden(bodies, smooth, noise=1.0, options=Options(diameter=12.0)).any()
    rows, columns = np.mgrid[:150, :190]
    for edge, there in ((24, True), (18, False)):  # 3 squared diameters are 432 px
        bodies = np.ones((150, 190), int)
        bodies[40 : 40 + edge + 6, 40 : 40 + edge + 6] = 0
        rest = (ndimage.distance_transform_edt(bodies == 0) > 3.0).sum()
        assert (rest >= 432) == there
        assert segment._hidden(bodies, smooth, noise=1.0, options=Options(diameter=12.0)).shape == rows.shape


@pytest.mark.parametrize("share", [0.1, 0.35])
def test_the_diameter_of_haze_is_measured_above_a_wide_mean(share):
    """An object above 15 % of its field: less a mean over a tenth of the field; and once more while it is wide."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:120, :200]
    radius = np.sqrt(share * 120 * 200 / np.pi)
    image = 100 + 300 * ((rows - 60) ** 2 + (columns - 100) ** 2 <= radius**2) + rng.normal(0, 2, (120, 200))
    image += 500 * (((rows % 30) - 15) ** 2 + ((columns % 40) - 20) ** 2 <= 25)
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 1.0)

    def measured(mask):
        mask = ndimage.binary_fill_holes(mask)
        distance = ndimage.distance_transform_edt(mask)
        parts = [part for part in regionprops(label(mask, connectivity=1)) if part.area >= 30]
        radii = sorted(r for part in parts for r in [distance[tuple(part.coords.T)].max()] * int(part.area))
        return mask, 2 * radii[(len(radii) + 1) // 2 - 1]

    mask, size = measured(smooth > background.levels(smooth)[1])
    if max(part.area for part in regionprops(label(mask, connectivity=1))) > 0.15 * mask.size:
        flat = smooth - ndimage.gaussian_filter(smooth, 12.0)
        mask, size = measured(flat > background.levels(flat)[1])
    for _ in range(3):
        if size <= 20:
            break
        flat = background.flattened(smooth, 1.33 * size / 8)
        mask, size = measured(flat > background.levels(flat)[1])
    assert segment.estimate_diameter([image]) == pytest.approx(size, rel=1e-3)


def test_threads_below_one_are_one(tmp_path):
    class Plate(Images):
        path = tmp_path / "P.zarr"

    frames = [
        run.segment_plate(Plate(2), LIMITS, tmp_path / str(threads), options=options(), threads=threads)
        for threads in (0, 1)
    ]
    pd.testing.assert_frame_equal(*frames)
    assert len(frames[0]) == 4
    none = run.segment_plate(Plate(0), LIMITS, tmp_path / "none", options=options())
    assert list(none.columns) == list(frames[0].columns) and len(none) == 0


@pytest.mark.parametrize(("span", "floor"), [(100.0, 0.3), (5000.0, 0.3), (0.0, 0.3), (100.0, 0.0)])
def test_fields_are_stretched_between_percentiles_or_the_floor(span, floor):
    image = np.random.default_rng(0).integers(100, 400, (30, 50)).astype(np.uint16)
    low, high = np.percentile(image, 1), np.percentile(image, 99)
    found = cellpose.stretch(image, span=span, floor=floor)
    np.testing.assert_allclose(found, (image - low) / max(high - low, span * floor), rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    assert not cellpose.stretch(np.full((4, 6), 9), span=0.0, floor=floor).any()
    even = cellpose.stretch(np.full((4, 6), 9), span=span, floor=floor)
    assert even.shape == (4, 6) and not even.any()


def test_networks_get_the_options_of_the_config(monkeypatch, tmp_path):
    asked, loaded = [], []

    class Network:
        device = "cpu"

        def eval(self, images, **given):
            asked.append((images.shape, given))
            return [np.zeros(images.shape[1:3], int) for _ in images], None, None

    monkeypatch.setattr(cellpose, "load", lambda file, **given: loaded.append(given) or Network())
    own = networks(diameters={"nuclei": 20.0, "cells": 45.0}, flow_threshold=0.7, cellprob_threshold=-1.5, batch=3)

    class Plate(Images):
        path = tmp_path / "P.zarr"

    run.segment_plate(Plate(2), LIMITS, tmp_path / "labels", options=own)
    assert loaded == [{"key": "cells.cellpose.weights.nuclei", "precise": True}]
    for (shape, given), (channels, diameter) in zip(asked[:2], ((1, 20.0), (2, 45.0)), strict=True):
        assert shape[1:] == (60, 80, channels) and given["diameter"] == diameter
        assert (given["batch_size"], given["flow_threshold"], given["cellprob_threshold"]) == (3, 0.7, -1.5)
        assert given["min_size"] == round(own.smallest * np.pi / 4 * 18**2) and given["max_size_fraction"] == 1.0
        assert (given["channel_axis"], given["normalize"], given["tile_overlap"]) == (-1, False, 0.1)
    loaded.clear()
    run.segment_plate(Plate(1), LIMITS, tmp_path / "half", options=networks(precision="bfloat16"))
    assert loaded[0]["precise"] is False
