"""The pure parts of the benchmark of training's memory: runs see every image, and plates are what training reads."""

import multiprocessing

import numpy as np
import pytest

import benchmarks_of
from wellspring.io import ngff, tables


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("train_memory")


def test_a_run_has_steps_for_every_image_of_the_largest_set(benchmark):
    for entry, _, counts in benchmark.HOST.values():
        for least in counts:
            assert least * benchmark.TIMES[-1] % entry["batch"] == 0


def test_entries_are_valid(benchmark):
    entries = {name: dict(entry) for name, (entry, *_) in (benchmark.HOST | benchmark.DEVICE).items()}
    assert set(benchmark.plates.settings(entries)["encoders"]) == set(entries)


def test_memory_is_sampled_while_the_block_runs(benchmark):
    with benchmark._sampled("RssAnon", every=0.001) as most:
        before = most[0]
        held = np.ones(30_000_000)
        while most[0] < before + 200:
            pass
        del held
    assert before + 200 <= most[0] < before + 400


def test_the_peak_is_of_this_process_alone(benchmark):
    held = np.ones(120_000_000)
    assert benchmark.plates.memory() > 1300
    del held
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_peak) < 1000  # torch and what it loads


def _peak() -> float:
    return benchmarks_of.load("plates").memory()


def test_plates_are_what_training_reads(benchmark, tmp_path):
    pool = benchmark.plates.drawn(64, count=2)
    fields = benchmark.plates.fields(tmp_path / "fields", pool, 5)
    plate = ngff.open_plate(fields["images"][0])
    assert plate.shape == (5, 64, 64)
    assert plate.fields == [("A01", "1"), ("A01", "2"), ("A02", "1"), ("A02", "2"), ("A03", "1")]
    assert np.sort(plate.read("A02", "1"), axis=None).tolist() == np.sort(pool[0], axis=None).tolist()
    assert benchmark._paths(tmp_path / "fields", "fields") == fields
    crops = benchmark.plates.crops(tmp_path / "crops", pool, 1030, size=16)
    assert benchmark._paths(tmp_path / "crops", "cells") == crops
    config = benchmark.plates.settings({"cells": benchmark.CELLS | {"view": {"kind": "cell", "size": 12}}})
    source = benchmark.plates.source(config["encoders"]["cells"], crops, options=config["train"])
    assert source.read(np.arange(3), np.random.default_rng(0)).shape == (3, 5, 16, 16)
    assert len(source.frame) == len(tables.read(crops["crop_tables"][0])) == 1030
    assert len(np.unique(source.well)) == 65
