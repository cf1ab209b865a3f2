import errno
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from wellspring.io import ngff


def _fields(count=3, shape=(2, 70, 90), dtype=np.uint16):
    rng = np.random.default_rng(0)
    names = [("B03", "1"), ("A01", "2"), ("AF48", "1")][:count]
    return {name: rng.integers(0, 5000, shape).astype(dtype) for name in names}


def _write(path, fields, **options):
    with ngff.PlateWriter(path, plate="P1", channels=["DNA", "ER"], **options) as writer:
        for (well, site), pixels in fields.items():
            writer.write(well, site, pixels)
        writer.windows = {"DNA": (10, 900), "ER": (0, 5)}
    return ngff.open_plate(path)


def test_what_was_written_is_read(tmp_path):
    fields = _fields()
    plate = _write(tmp_path / "p.zarr", fields, pixel_size=0.6)
    assert plate.fields == sorted(fields)
    assert (plate.plate, plate.channels, plate.pixel_size, plate.shape) == ("P1", ["DNA", "ER"], 0.6, (2, 70, 90))
    plate = pickle.loads(pickle.dumps(plate))
    for (well, site), pixels in fields.items():
        np.testing.assert_array_equal(plate.read(well, site), pixels)
        np.testing.assert_array_equal(plate.read(well, site, ["ER", "DNA"]), pixels[::-1])
    part = plate.read("B03", "1", ["ER"], rows=slice(5, 9), columns=slice(80, 90))
    np.testing.assert_array_equal(part, fields["B03", "1"][1:, 5:9, 80:])
    assert (tmp_path / "p.zarr" / "B" / "03" / "1" / "0" / "c" / "0" / "0" / "0").is_file()


def test_a_field_is_one_shard_of_tiles(tmp_path):
    pixels = np.zeros((2, 1080, 1080), np.uint16)
    pixels[1, 1000, 3] = 7
    plate = _write(tmp_path / "p.zarr", {("A01", "1"): pixels})
    meta = json.loads((tmp_path / "p.zarr/A/01/1/0/zarr.json").read_text())
    assert meta["chunk_grid"]["configuration"]["chunk_shape"] == [2, 1080, 1080]
    assert meta["codecs"][0]["configuration"]["chunk_shape"] == [1, 360, 360]
    np.testing.assert_array_equal(plate.read("A01", "1"), pixels)


def test_same_fields_same_bytes(tmp_path):
    fields = _fields()
    _write(tmp_path / "a.zarr", fields)
    _write(tmp_path / "b.zarr", dict(reversed(fields.items())))
    files = [
        {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "a.zarr", tmp_path / "b.zarr")
    ]
    assert files[0] == files[1]


def test_a_failure_leaves_what_was_there(tmp_path):
    _write(tmp_path / "p.zarr", _fields(1))
    with (
        pytest.raises(RuntimeError),
        ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["DNA", "ER"]) as writer,
    ):
        writer.write("A01", "1", np.zeros((2, 70, 90), np.uint16))
        raise RuntimeError("killed")
    assert ngff.open_plate(tmp_path / "p.zarr").fields == [("B03", "1")]
    assert [path.name for path in tmp_path.iterdir()] == ["p.zarr"]
    assert _write(tmp_path / "p.zarr", _fields(2)).fields == [("A01", "2"), ("B03", "1")]


def test_an_empty_plate_is_a_plate(tmp_path):
    plate = _write(tmp_path / "p.zarr", {})
    assert (plate.fields, plate.shape, plate.channels) == ([], (2, 0, 0), ["DNA", "ER"])


def test_mistakes_are_named(tmp_path):
    with ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["DNA", "ER"]) as writer:
        writer.write("A01", "1", np.zeros((2, 8, 8), np.uint16))
        with pytest.raises(ValueError, match="P1 A01 site 1: written twice"):
            writer.write("A01", "1", np.zeros((2, 8, 8), np.uint16))
        with pytest.raises(ValueError, match=r"A02 site 1: expected \(2, 8, 8\) as before"):
            writer.write("A02", "1", np.zeros((2, 8, 9), np.uint16))
        with pytest.raises(ValueError, match=r"expected \(2, H, W\) of uint16, found \(1, 8, 8\) of uint8"):
            writer.write("A02", "1", np.zeros((1, 8, 8), np.uint8))
    plate = ngff.open_plate(tmp_path / "p.zarr")
    with pytest.raises(KeyError, match="no field A05 site 1"):
        plate.read("A05", "1")
    with pytest.raises(ValueError, match=r"expected channels of .*, found \['RNA'\]"):
        plate.read("A01", "1", ["RNA"])


def test_labels(tmp_path):
    nuclei = np.arange(64, dtype=np.int32).reshape(8, 8) * 70000
    with ngff.LabelWriter(tmp_path / "cells/P1.zarr", plate="P1", source=tmp_path / "images/P1.zarr") as writer:
        writer.write("B03", "1", {"cells": nuclei + 1, "nuclei": nuclei})
        with pytest.raises(ValueError, match=r"expected \['nuclei', 'cells'\]"):
            writer.write("B04", "1", {"cells": nuclei})
    labels = ngff.open_labels(tmp_path / "cells/P1.zarr")
    np.testing.assert_array_equal(labels.read("B03", "1", "nuclei"), nuclei)
    assert labels.read("B03", "1", "cells").dtype == np.uint32
    assert labels.source == "../../images/P1.zarr"


class Full(io.FileIO):
    """A file on a disk that is full after some bytes of each."""

    room = 900

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("room", [0, 900, 20_000])
def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, monkeypatch, room):
    _write(tmp_path / "p.zarr", _fields(1))
    monkeypatch.setattr(Full, "room", room)
    monkeypatch.setattr(Path, "open", lambda path, mode="r", *_, **__: Full(path, mode.replace("b", "")))
    with (
        pytest.raises(OSError, match="P1 (A01 site 1|lease): could not be written to .*: no space left") as error,
        ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["DNA", "ER"]) as writer,
    ):
        writer.write("A01", "1", np.random.default_rng(0).integers(0, 5000, (2, 70, 90)).astype(np.uint16))
    monkeypatch.undo()
    assert error.value.errno == errno.ENOSPC
    assert ngff.open_plate(tmp_path / "p.zarr").fields == [("B03", "1")]
    assert [path.name for path in tmp_path.iterdir()] == ["p.zarr"]


def test_a_disk_that_is_full_at_the_end_is_named_and_leaves_what_was_there(tmp_path, monkeypatch):
    _write(tmp_path / "p.zarr", _fields(1))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.raises(OSError, match="P1 metadata: could not be written to .*: no space left"),
        ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["DNA", "ER"]) as writer,
    ):
        writer.write("A01", "1", np.zeros((2, 70, 90), np.uint16))
        monkeypatch.setattr(ngff, "write_group", full)
    assert ngff.open_plate(tmp_path / "p.zarr").fields == [("B03", "1")]
    assert [path.name for path in tmp_path.iterdir()] == ["p.zarr"]
