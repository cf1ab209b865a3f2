"""The benchmark of crops reads the same on both sides: every pixel of the fields, every packed crop once."""

import numpy as np
import pytest

import benchmarks_of
import blobs
from wellspring.io import ngff
from wellspring.views import crops


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("crops")


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    made = blobs.plate(tmp_path_factory.mktemp("plate"), channels=["DNA", "ER"], wells=("B02", "C03"), side=100)
    return ngff.open_plate(made["images"])


def test_decoding_decompresses_every_pixel(benchmark, plate):
    assert benchmark.decoding(plate) == len(plate.fields) * 2 * 100 * 100 * 2


def test_both_ways_give_every_crop(benchmark, plate, tmp_path):
    cells = benchmark.cells_of(plate, seed=1).assign(Metadata_Plate=plate.plate)
    assert benchmark.embedding(plate, cells, size=12) == len(cells) > 4
    rows = crops.sample(cells, seed=1, cells_per_well=10**6)
    assert len(rows) == len(cells)
    crops.pack(plate, rows, tmp_path / "a.npy", size=12)
    order = np.random.default_rng(0).permutation(len(rows))
    expected = len(rows) * 2 * 12 * 12 * 2
    assert benchmark.packed(tmp_path / "a.npy", order) == benchmark.mapped(tmp_path / "a.npy", order) == expected


def test_a_ratio_compares_the_same_items(benchmark):
    calls = []
    turn = [lambda side=side: calls.append(side) for side in ("ours", "bare")]
    found = benchmark.plates.compare(*turn, count=6, repeats=2, of="crops")
    assert sorted(calls) == ["bare"] * 3 + ["ours"] * 3
    assert found["crops"] == 6 and found["ratio_least"] <= found["ratio"] <= found["ratio_most"]


def test_memory_is_that_of_reading_every_crop(benchmark, plate, tmp_path):
    cells = benchmark.cells_of(plate, seed=1).assign(Metadata_Plate=plate.plate)
    rows = crops.sample(cells, seed=1, cells_per_well=10**6)
    crops.pack(plate, rows, tmp_path / "a.npy", size=benchmark.SIZES[0])
    found = benchmark.peak(tmp_path / "a.npy", plate, cells)
    assert found["crops"] == len(cells) and found["peak_mb"] > 10
