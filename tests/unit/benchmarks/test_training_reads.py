"""The benchmark of training's reading measures what each objective reads, and derives cores and bytes from it."""

import numpy as np
import pytest

import benchmarks_of


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("training_reads")


@pytest.fixture(scope="module")
def found(benchmark, tmp_path_factory):
    benchmark.SIDE = 512  # fields that are quickly drawn
    return benchmark.measure(tmp_path_factory.mktemp("reads"), fields=4, cells=64, batches=1, repeats=1, seed=3)


def test_each_setting_has_its_views(found):
    assert {name: row["views"] for name, row in found.items()} == {
        "simclr_cells": 2,
        "sslprofiler_cells": 10,
        "simclr_tiles": 2,
        "sslprofiler_tiles": 10,
    }


def test_cores_and_bytes_follow_from_the_rate(found):
    for row in found.values():
        seconds_per_image = row["processor_ms"] / 1000
        assert row["cores"] == pytest.approx(2500 / row["views"] * seconds_per_image)
    # A packed crop: five channels of 128 px as uint16.
    assert found["simclr_cells"]["megabytes_a_second"] == pytest.approx(1250 * 5 * 128 * 128 * 2 / 1e6, rel=0.01)
    assert found["sslprofiler_tiles"]["megabytes_a_second"] > found["sslprofiler_cells"]["megabytes_a_second"] > 0


def test_a_reader_reads_whole_batches_of_random_items(benchmark):
    seen = []

    class Counted:
        frame = range(10)

        def read(self, items, rng):
            seen.append(items)
            return np.zeros((len(items), 1, 2, 2), np.float32)

    assert benchmark.reader(Counted(), batches=3, seed=1) == 3 * benchmark.BATCH
    assert len({tuple(items) for items in seen}) == 3
    assert set(np.concatenate(seen)) == set(range(10))
