"""Views field by field: which tiles and cells are taken, in which order, and how they are batched."""

import numpy as np
import pandas as pd
import pytest

from wellspring.io import ngff
from wellspring.views import fields

SHAPE = (70, 100)


@pytest.fixture
def plate(tmp_path):
    """A plate of two channels and three fields of 70 x 100 px; foreground in RNA only, none in B03."""
    generator = np.random.default_rng(0)
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["DNA", "RNA"]) as writer:
        for well, site in [("B02", "1"), ("B02", "2"), ("B03", "1")]:
            field = generator.integers(90, 110, (2, *SHAPE)).astype(np.uint16)
            if well == "B02":
                field[1, 40:50, 70:80] = 5000
            if site == "2":
                field[1, 2, 3] = 5000
            writer.write(well, site, field)
    return ngff.open_plate(tmp_path / "P1.zarr")


def tiles(plate, **over) -> list[fields.Part]:
    options = {"size": 32, "stride": 32, "stain": "RNA", "above": 1000.0, "least": 0.02} | over
    return list(fields.tiles(plate, ["RNA", "DNA"], **options))


def test_tiles_are_numbered_row_by_row_with_their_centres(plate):
    one, two = tiles(plate)
    assert (one.well, one.site, two.site) == ("B02", "1", "2")
    # Origins are 0, 32, 38 along y and 0, 32, 64, 68 along x.
    assert one.numbers.tolist() == [7, 8, 11, 12]
    assert one.centres.tolist() == [[47.5, 79.5], [47.5, 83.5], [53.5, 79.5], [53.5, 83.5]]
    np.testing.assert_array_equal(one.pixels[1], plate.read("B02", "1", ["RNA", "DNA"])[:, 32:64, 68:100])
    np.testing.assert_array_equal(one.field, plate.read("B02", "1", ["RNA", "DNA"]))


def test_a_tile_without_any_foreground_is_never_taken(plate):
    assert [part.numbers.tolist() for part in tiles(plate, least=0.0)] == [[7, 8, 11, 12], [1, 7, 8, 11, 12]]


def test_the_least_share_of_foreground_is_included(plate):
    exact = 100 / 32**2
    assert [part.numbers.tolist() for part in tiles(plate, least=exact)] == [[7, 8, 11, 12]] * 2
    assert tiles(plate, least=exact + 1e-9) == []


def test_foreground_is_above_the_threshold_not_at_it(plate):
    assert tiles(plate, above=5000.0) == []


def test_foreground_is_that_of_the_stain(plate):
    assert tiles(plate, stain="DNA") == []


def table(rows: list[tuple]) -> pd.DataFrame:
    columns = [f"Metadata_{name}" for name in ("Well", "Site", "Cell", "Center_Y", "Center_X", "Flags")]
    return pd.DataFrame(rows, columns=columns)


CELLS = [("B03", "1", 2, 60.0, 90.0, ""), ("B02", "2", 9, 5.0, 95.0, "border;dim"), ("B02", "2", 3, 66.0, 8.0, None)]


@pytest.mark.parametrize("readers", [1, 3])
def test_cells_are_in_the_order_of_fields_and_numbers(plate, readers):
    parts = list(fields.cells(plate, table(CELLS), ["DNA", "RNA"], size=6, readers=readers))
    assert [(part.well, part.site, part.numbers.tolist()) for part in parts] == [
        ("B02", "2", [3, 9]),
        ("B03", "1", [2]),
    ]
    assert parts[0].centres.tolist() == [[66.0, 8.0], [5.0, 95.0]]
    np.testing.assert_array_equal(parts[0].pixels[0], plate.read("B02", "2", ["DNA", "RNA"])[:, 63:69, 5:11])


@pytest.mark.parametrize(
    ("flags", "left"), [(("dim",), [3]), (("border", "small"), [3]), (("bord",), [3, 9]), ((), [3, 9])]
)
def test_cells_with_one_of_the_flags_are_left_out(plate, flags, left):
    first = next(fields.cells(plate, table(CELLS), ["DNA"], size=6, leave_out=flags))
    assert first.numbers.tolist() == left


def test_masked_cells_show_background(plate, tmp_path):
    labels = np.zeros(SHAPE, np.uint32)
    labels[60, 90] = 2
    with ngff.LabelWriter(tmp_path / "labels.zarr", plate="P1", source="P1.zarr") as writer:
        writer.write("B03", "1", {"nuclei": labels, "cells": np.zeros(SHAPE, np.uint32)})
    options = {"labels": ngff.open_plate(tmp_path / "labels.zarr"), "background": np.array([11, 12])}
    (part,) = fields.cells(plate, table(CELLS[:1]), ["DNA", "RNA"], size=6, **options)
    expected = np.broadcast_to(np.array([11, 12], np.uint16)[:, None, None], (2, 6, 6)).copy()
    expected[:, 3, 3] = plate.read("B03", "1", ["DNA", "RNA"])[:, 60, 90]
    np.testing.assert_array_equal(part.pixels[0], expected)


def part(count: int, first: int) -> fields.Part:
    numbers = np.arange(first, first + count)
    centres = np.stack([numbers, -numbers], axis=1)
    pixels = np.broadcast_to(numbers[:, None, None, None], (count, 1, 2, 2))
    return fields.Part("B02", str(first), numbers, centres, pixels, np.full((1, 4, 5), first))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("counts", [[3, 4, 1, 6], [7], [2, 2], []])
def test_batches_hold_every_view_once_in_order(size, counts):
    firsts = np.cumsum([0, *counts])
    made = [part(count, int(first)) for count, first in zip(counts, firsts[:-1], strict=True)]
    found = list(fields.batches(iter(made), size))
    sizes = [sum(len(each.numbers) for each in batch) for batch in found]
    assert sizes == [size] * (sum(counts) // size) + [sum(counts) % size] * (sum(counts) % size > 0)
    views = [each for batch in found for each in batch]
    assert [number for each in views for number in each.numbers.tolist()] == list(range(sum(counts)))
    for each in views:
        assert len(each.numbers)
        np.testing.assert_array_equal(each.centres, np.stack([each.numbers, -each.numbers], axis=1))
        np.testing.assert_array_equal(each.pixels[:, 0, 1, 1], each.numbers)
        assert (each.field == int(each.site)).all()
