"""The second resolution level: means of squares, labels that exist, and its place for other readers."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import ngff, ngff_levels


@given(st.integers(1, 19), st.integers(1, 23), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_pixel_is_the_mean_of_its_square(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 65536, (2, height, width)).astype(np.uint16)
    small = ngff_levels.means(pixels)
    assert small.dtype == np.uint16 and small.shape == (2, -(-height // 4), -(-width // 4))
    for channel, y, x in np.ndindex(small.shape):
        square = pixels[channel, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        assert abs(float(small[channel, y, x]) - square.mean()) <= 0.5


def test_labels_are_picked_and_never_mixed():
    labels = np.zeros((1, 9, 14), dtype=np.uint32)
    labels[0, :, 7:] = 4_000_000_000
    small = ngff_levels.middles(labels)
    assert small.shape == (1, 3, 4) and set(np.unique(small)) == {0, 4_000_000_000}
    assert (small[0] == labels[0][np.ix_([2, 6, 8], [2, 6, 10, 13])]).all()


def test_other_readers_find_both_levels(tmp_path):
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    pixels = np.random.default_rng(0).integers(0, 5000, (2, 41, 62)).astype(np.uint16)
    with ngff.PlateWriter(tmp_path / "images.zarr", plate="P", channels=["DNA", "ER"], pixel_size=0.5) as writer:
        writer.write("B03", "1", pixels)
    with ngff.LabelWriter(tmp_path / "cells.zarr", plate="P", source=tmp_path / "images.zarr") as labels:
        labels.write("B03", "1", dict.fromkeys(("nuclei", "cells"), pixels[0] // 100))
    for name, small in (("images", ngff_levels.means(pixels)), ("cells", None)):
        field = tmp_path / f"{name}.zarr" / "B" / "03" / "1"
        node = next(iter(reader.Reader(parse_url(field))()))
        assert [level.shape for level in node.data] == [(2, 41, 62), (2, 11, 16)]
        if small is not None:
            assert (np.asarray(node.data[1]) == small).all()
        full, reduced = json.loads((field / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"]
        assert (full["path"], reduced["path"]) == ("0", "1") and len(full["coordinateTransformations"]) == 1
        scale, shift = reduced["coordinateTransformations"]
        step = 0.5 if name == "images" else 1.0
        assert scale["scale"] == [1.0, 4 * step, 4 * step]
        # The centre of the first square is that of the pixels 0 to 3.
        assert shift["translation"] == [0.0, np.mean([0, 1, 2, 3]) * step, np.mean([0, 1, 2, 3]) * step]


def test_a_reader_shows_a_plate_of_384_wells_by_its_small_level_within_seconds(tmp_path):
    """Seconds of processor time, since other jobs share the machine; each well is in its place."""
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    names = [(row, column) for row in range(16) for column in range(24)]
    values = np.random.default_rng(1).permutation(len(names)) + 1
    with ngff.PlateWriter(tmp_path / "images.zarr", plate="P", channels=["DNA"]) as writer:
        for (row, column), value in zip(names, values, strict=True):
            name = f"{chr(65 + row)}{column + 1:02d}"
            writer.write(name, "1", np.full((1, 40, 56), value, dtype=np.uint16))
    start = time.process_time()
    plate = next(iter(reader.Reader(parse_url(tmp_path / "images.zarr"))()))
    small = plate.data[-1].compute(scheduler="synchronous")
    assert time.process_time() - start < 15
    assert small.shape == (1, 16 * 10, 24 * 14)
    for (row, column), value in zip(names, values, strict=True):
        assert (small[0, 10 * row : 10 * row + 10, 14 * column : 14 * column + 14] == value).all()
