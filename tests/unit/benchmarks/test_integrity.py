"""The benchmark of checksums: its side without them computes none, and leaves no trace of that."""

import google_crc32c
import numpy as np
import pytest

import benchmarks_of
from wellspring.io import packed, sealed


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("integrity")


def test_the_side_without_checksums_takes_damaged_bytes_and_the_other_does_not(benchmark, tmp_path):
    def make(folder):
        np.save(folder / "a.npy", np.arange(60, dtype=np.uint16).reshape(3, 4, 5))
        packed.seal(folder / "a.npy")
        content = bytearray((folder / "a.npy").read_bytes())
        content[130] ^= 1
        (folder / "a.npy").write_bytes(content)
        return folder / "a.npy"

    sides = benchmark.Sides(tmp_path / "sides", make)
    with benchmark.unchecked():
        assert packed.Packed(sides.unchecked).read(0)[0, 1] == 0
    with pytest.raises(ValueError, match="item 0 is damaged"):
        packed.Packed(sides.checked).read(0)


def test_checksums_are_back_after_the_side_without_them(benchmark):
    known = google_crc32c.value, google_crc32c.extend, sealed.seal
    with pytest.raises(KeyError), benchmark.unchecked():
        raise KeyError
    assert (google_crc32c.value, google_crc32c.extend, sealed.seal) == known
    assert google_crc32c.value(b"123456789") == 0xE3069283  # the check value of CRC-32C


def test_every_stage_has_its_cost(benchmark, tmp_path):
    rows = benchmark.measure(tmp_path, images=5, fields=1, views=1, vectors=192, repeats=1, seed=3)
    tables = {"table_writing", "table_reading", "profile"}
    assert set(rows) == {"images", "cutting", "training_crops", "embedding"} | tables
    assert all(0 < row["cost_least"] <= row["cost"] <= row["cost_most"] for row in rows.values())
