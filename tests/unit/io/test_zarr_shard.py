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
                    pixels[0, :20] = 0  # chunks of zeros
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
        (bytes(len(whole) - 24) + whole[-24:], "expected a chunk that matches|damaged"),
    ]:
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match=message) as error:
            zarr_shard.read(folder, [0], WHOLE, WHOLE)
        assert str(shard) in str(error.value)


@pytest.fixture
def plate(tmp_path):
    """A plate of two fields, several chunks each."""
    rng = np.random.default_rng(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngff, "TILE", 24)
        with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["a", "b"]) as writer:
            for well in ("A01", "B02"):
                writer.write(well, "1", rng.integers(90, 9999, (2, 48, 72)).astype(np.uint16))
    return ngff.open_plate(tmp_path / "P1.zarr")


def shard_of(plate, well):
    return plate.path / well[0] / well[1:] / "1" / "0" / "c" / "0" / "0" / "0"


def zarr_pixels(plate, well):
    return zarr.open_array(plate.path / well[0] / well[1:] / "1" / "0", mode="r")[:]


def test_one_flipped_bit_anywhere_is_found(plate):
    """Here and by Zarr, which reads the same checksums: 120 of 120 bits, of chunks and of the index."""
    shard, rng = shard_of(plate, "A01"), np.random.default_rng(5)
    whole = shard.read_bytes()
    seal = len(whole) - 2 * zarr_shard.CHECK - 2 * 2 * 3 * zarr_shard.ENTRY
    for place in [8 * seal + 5, *rng.choice(8 * len(whole), 120, replace=False).tolist()]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged bytes|expected the shard that was written") as error:
            plate.read("A01", "1")
        assert str(shard) in str(error.value)
        if not seal <= place // 8 < seal + zarr_shard.CHECK:  # Zarr does not read the seal
            with pytest.raises(ValueError, match="checksum"):
                zarr_pixels(plate, "A01")


def test_two_chunks_that_changed_places_are_found(plate):
    """Each chunk is whole, and so is the index once its checksum is made anew: the plate knows the index it had."""
    shard, layout = shard_of(plate, "A01"), zarr_shard.Layout((2, 48, 72), (24, 24), np.dtype(np.uint16))
    whole, count = shard.read_bytes(), 2 * 2 * 3
    assert layout.chunks == (2, 2, 3)
    start = len(whole) - zarr_shard.CHECK - count * zarr_shard.ENTRY
    index = np.frombuffer(whole[start : -zarr_shard.CHECK], dtype="<u8").reshape(count, 2).copy()
    index[[0, 7]] = index[[7, 0]]
    shard.write_bytes(whole[:start] + index.tobytes() + zarr_shard._checksum(index.tobytes()))
    assert (zarr_pixels(plate, "A01") > 0).all()
    with pytest.raises(ValueError, match="expected the shard that was written with this plate"):
        plate.read("A01", "1")


def test_fields_that_changed_places_are_found(plate):
    first, second = (shard_of(plate, well) for well in ("A01", "B02"))
    pixels = first.read_bytes(), second.read_bytes()
    first.write_bytes(pixels[1])
    second.write_bytes(pixels[0])
    for well in ("A01", "B02"):
        with pytest.raises(ValueError, match="expected the shard that was written with this plate"):
            plate.read(well, "1")


@pytest.mark.parametrize("lost", ["c/0/0/0", "zarr.json"])
def test_a_part_that_was_deleted_is_no_black_image(plate, lost):
    folder = plate.path / "A" / "01" / "1" / "0"
    (folder / lost).unlink()
    with pytest.raises(ValueError, match=f"{folder}.*: expected"):
        plate.read("A01", "1")
    assert plate.read("B02", "1").min() >= 90


def test_a_field_of_zeros_is_stored(tmp_path):
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["a"]) as writer:
        writer.write("A01", "1", np.zeros((1, 40, 60), np.uint16))
    plate = ngff.open_plate(tmp_path / "P1.zarr")
    assert shard_of(plate, "A01").stat().st_size < 400
    assert plate.read("A01", "1").max() == 0


def test_arrays_without_checksums_are_still_read(tmp_path):
    """As version 0.1 wrote them, zeros left out."""
    pixels = np.random.default_rng(6).integers(0, 5000, (2, 80, 60)).astype(np.uint16)
    pixels[0, :40] = 0
    codec = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=2)
    for name, stored in (("some", pixels), ("none", np.zeros_like(pixels))):
        options = {"chunks": (1, 40, 30), "shards": pixels.shape, "compressors": codec}
        zarr.create_array(tmp_path / name, shape=pixels.shape, dtype=pixels.dtype, **options)[:] = stored
        assert not zarr_shard.describe((tmp_path / name / "zarr.json").read_bytes()).checked
        np.testing.assert_array_equal(zarr_shard.read(tmp_path / name, [0, 1], WHOLE, WHOLE), stored)


def test_the_layout_is_read_from_the_metadata(folders):
    layout = zarr_shard.describe((folders[0] / "zarr.json").read_bytes())
    stored = json.loads((folders[0] / "zarr.json").read_text())
    assert layout.shape == tuple(stored["shape"])
    assert layout.chunks == (2, *(-(-edge // step) for edge, step in zip(layout.shape[1:], layout.tile, strict=True)))
