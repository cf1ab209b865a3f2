"""Both sides of the scale benchmark get the same cells, and come to the same profiles."""

import numpy as np
import pandas as pd
import pytest

import benchmarks_of
from wellspring.io import tables


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("profile_scale")


@pytest.mark.parametrize("operation", ["mean", "median"])
def test_both_sides_come_to_the_same_profiles(benchmark, tmp_path, operation):
    benchmark.write_ours(tmp_path / "ours.parquet", 1000)
    benchmark.write_theirs(tmp_path / "theirs.parquet", 1000)
    _, matrix = tables.read_embedding(tmp_path / "ours.parquet")
    np.testing.assert_array_equal(matrix, pd.read_parquet(tmp_path / "theirs.parquet")[benchmark.NAMES].to_numpy())
    ours = benchmark.wellspring(tmp_path / "ours.parquet", operation)
    theirs = benchmark.pycytominer(tmp_path / "theirs.parquet", operation)
    assert ours["Metadata_Well"].tolist() == theirs["Metadata_Well"].tolist()
    np.testing.assert_allclose(ours[benchmark.NAMES], theirs[benchmark.NAMES], rtol=1e-3, atol=1e-3)


def test_plates_go_through_every_stage_but_the_last(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "SCREEN", {**benchmark.SCREEN, "active": 8, "inactive": 4, "mechanisms": 4})
    benchmark.write_plates(tmp_path, 4, benchmark.FEATURES)
    for name in benchmark.STAGES[:-1]:
        benchmark.stage(tmp_path, name)
    joined = tables.read(tmp_path / "joined.parquet")
    assert joined["Metadata_Plate"].nunique() == 4 and joined["Metadata_Batch"].nunique() == 2
    assert len(tables.features(joined)) == benchmark.FEATURES
