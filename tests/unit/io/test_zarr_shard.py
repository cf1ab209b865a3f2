"""Shards: what is decoded directly is what Zarr reads, damage is named, other makes are left to Zarr."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import ngff, zarr_shard

WHOLE = slice(None)
edge = st.one_of(st.none(), st.integers(-80, 80))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Arrays of several makes of PlateWriter: tiles that do and do not fill the shard, and label images."""
    rng, root, found = np.random.default_rng(0), tmp_path_factory.mktemp("plates"), []
    for number, shape in enumerate([(2, 61, 73), (3, 40, 40), (1, 1, 90)]):
        for tile in (16, 512):
            path = root / f"{number}_{tile}.zarr"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ngff, "TILE", tile)
                with ngff.PlateWriter(path, plate="P1", channels=list("abc"[: shape[0]])) as writer:
                    pixels = rng.integers(0, 9999, shape).astype(np.uint16)
                    pixels[0, :20] = 0  # chunks that Zarr does not store
                    writer.write("A01", "1", pixels)
                    writer.write("A01", "2", np.zeros(shape, np.uint16))
            found += [path / "A" / "01" / site / "0" for site in ("1", "2")]
    with ngff.LabelWriter(root / "labels.zarr", plate="P1", source=root / "P1.zarr") as writer:
        labels = {name: rng.integers(0, 2**31, (50, 50)) for name in ("nuclei", "cells")}
        writer.write("A01", "1", labels)
    return [*found, root / "labels.zarr" / "A" / "01" / "1" / "0"]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_part_is_what_zarr_reads(folders, data):
    folder = data.draw(st.sampled_from(folders))
    array = zarr.open_array(folder, mode="r")[:]
    rows, columns = (slice(data.draw(edge), data.draw(edge)) for _ in range(2))
    channels = data.draw(st.lists(st.integers(0, len(array) - 1), min_size=1, max_size=4))
    found = zarr_shard.read(folder, channels, rows, columns)
    assert found.dtype == array.dtype and found.flags.c_contiguous
    np.testing.assert_array_equal(found, array[channels, rows, columns])


def test_arrays_of_another_make_are_left_to_zarr(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 99, (2, 30, 30)).astype(np.uint16)
    for name, options in {
        "plain": {"chunks": (1, 10, 10)},
        "deep": {"chunks": (2, 10, 10), "shards": (2, 30, 30)},
        "several": {"chunks": (1, 10, 10), "shards": (1, 30, 30)},
        "gzip": {"chunks": (1, 30, 30), "shards": (2, 30, 30), "compressors": zarr.codecs.GzipCodec()},
        "filled": {"chunks": (1, 30, 30), "shards": (2, 30, 30), "fill_value": 7},
    }.items():
        zarr.create_array(tmp_path / name, shape=pixels.shape, dtype=pixels.dtype, **options)[:] = pixels
        assert zarr_shard.read(tmp_path / name, [0, 1], WHOLE, WHOLE) is None, name


def test_a_plate_is_read_all_the_same_when_its_arrays_are_of_another_make(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 99, (2, 30, 30)).astype(np.uint16)
    with ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["a", "b"]) as writer:
        writer.write("A01", "1", pixels)
    folder = tmp_path / "p.zarr" / "A" / "01" / "1" / "0"
    zarr.create_array(folder, shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 10, 10), overwrite=True)[:] = pixels
    plate = ngff.open_plate(tmp_path / "p.zarr")
    np.testing.assert_array_equal(plate.read("A01", "1"), pixels)
    np.testing.assert_array_equal(plate.read("A01", "1", ["b"], rows=slice(3, 9)), pixels[1:, 3:9])


def test_steps_are_left_to_zarr(folders):
    assert zarr_shard.read(folders[0], [0], slice(0, 9, 2), WHOLE) is None


def test_damage_is_named(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 9999, (1, 64, 64)).astype(np.uint16)
    with ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["a"]) as writer:
        writer.write("A01", "1", pixels)
    folder = tmp_path / "p.zarr" / "A" / "01" / "1" / "0"
    shard = folder / "c" / "0" / "0" / "0"
    whole = shard.read_bytes()
    for damaged, message in [
        (whole[:10], "expected a shard of more than"),
        (whole[500:], "expected chunks within"),
        (bytes(len(whole) - 20) + whole[-20:], "damaged|expected a chunk of"),
    ]:
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match=message) as error:
            zarr_shard.read(folder, [0], WHOLE, WHOLE)
        assert str(shard) in str(error.value)


def test_the_layout_is_read_from_the_metadata(folders):
    layout = zarr_shard.describe((folders[0] / "zarr.json").read_bytes())
    stored = json.loads((folders[0] / "zarr.json").read_text())
    assert layout.shape == tuple(stored["shape"])
    assert layout.chunks == (2, *(-(-edge // step) for edge, step in zip(layout.shape[1:], layout.tile, strict=True)))
