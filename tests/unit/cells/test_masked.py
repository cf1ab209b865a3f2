"""Squares around cells whose neighbours are masked: training and embedding see the same, and the cell alone."""

import numpy as np
import pytest
from test_cells import options
from test_cells_extremes import lattice, plate_of

from wellspring.cells import run
from wellspring.io import ngff
from wellspring.views import crops, cutting, fields

SIZE, BACKGROUND = 40, np.array([90.0])


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """Return pixels, labels and rows of a plate of two fields of cells close together."""
    folder = tmp_path_factory.mktemp("plate")
    noise = np.random.default_rng(1).integers(0, 500, (1, 120, 123))
    images, limits = plate_of(folder, {("A01", "1"): lattice(4, 30, 9) + noise, ("B01", "1"): lattice(4, 30, 11)})
    rows = run.segment_plate(images, limits, folder / "labels.zarr", options=options(cytoplasm=[]))
    return images, ngff.open_plate(folder / "labels.zarr"), rows


def test_a_pixel_stays_where_a_label_image_bears_the_cells_number():
    rng = np.random.default_rng(0)
    squares = rng.integers(100, 200, (5, 3, 7, 7)).astype(np.uint16)
    own, numbers = rng.integers(0, 4, (5, 2, 7, 7)).astype(np.uint32), np.array([1, 2, 3, 1, 9])
    found, fill = squares.copy(), np.array([7.0, 8.0, 9.0])
    cutting.mask(found, own, numbers, fill)
    for place, channel, y, x in np.ndindex(squares.shape):
        kept = numbers[place] in own[place, :, y, x]
        assert found[place, channel, y, x] == (squares[place, channel, y, x] if kept else fill[channel])


def test_training_and_embedding_cut_the_same_cells_and_nothing_else(plate, tmp_path):
    images, labels, rows = plate
    drawn = crops.sample(rows, seed=0, cells_per_well=100)
    crops.pack(images, drawn, tmp_path / "crops.npy", size=SIZE, labels=labels, background=BACKGROUND)
    crops.pack(images, drawn, tmp_path / "whole.npy", size=SIZE)
    packed, whole = (np.load(tmp_path / f"{name}.npy") for name in ("crops", "whole"))
    parts = list(fields.cells(images, rows, images.channels, size=SIZE, labels=labels, background=BACKGROUND))
    seen = {}
    for part in parts:
        seen |= {(part.well, number): square for number, square in zip(part.numbers, part.pixels, strict=True)}
    assert len(drawn) == len(seen) == 32
    for row, square, beside in zip(drawn.itertuples(), packed, whole, strict=True):
        np.testing.assert_array_equal(square, seen[row.Metadata_Well, row.Metadata_Cell])
        image = labels.read(row.Metadata_Well, row.Metadata_Site, ["cells"])
        own = cutting.cut(image, [[row.Metadata_Center_Y, row.Metadata_Center_X]], SIZE)[0, 0] == row.Metadata_Cell
        np.testing.assert_array_equal(square[0], np.where(own, beside[0], 90))
        assert 0.05 < own.mean() < 0.8, "a square of this size holds neighbours"
