"""The benchmark of reading does the same on both sides: the same files, the same store, the same measures."""

import numpy as np
import pytest
import tifffile

import benchmarks_of
from wellspring.illumination import lightpath
from wellspring.io import ngff
from wellspring.survey import focus

SIDE = 96


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("read_rate")


@pytest.fixture(scope="module")
def raw(tmp_path_factory, benchmark):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 9, (2, len(benchmark.CHANNELS), SIDE, SIDE)), axis=3)
    pool = list((2000 + smooth + rng.normal(0, 20, smooth.shape)).astype(np.uint16))
    return benchmark.make(tmp_path_factory.mktemp("raw"), pool, 15)


@pytest.mark.parametrize("threads", [1, 2])
def test_both_sides_write_every_field(tmp_path, benchmark, raw, threads):
    benchmark.correct(raw, tmp_path / "ours.zarr", threads=threads)
    benchmark.copy(raw, tmp_path / "bare.zarr", threads=threads)
    ours, bare = (ngff.open_plate(tmp_path / name) for name in ("ours.zarr", "bare.zarr"))
    assert ours.fields == bare.fields == list(raw.sites()) and len(ours.fields) == 3
    for field in bare.fields:
        pixels = np.stack([tifffile.imread(path) for path in raw.sites()[field]])
        np.testing.assert_array_equal(bare.read(*field), pixels)
        corrected = lightpath.correct(pixels, raw.light.flat, raw.light.dark)
        np.testing.assert_array_equal(ours.read(*field), corrected)


def test_both_sides_survey_every_image(benchmark, raw):
    found = benchmark.look(raw, threads=2)
    assert found.table["Metadata_Status"].tolist() == ["ok"] * 15
    assert (found.table["Metadata_Verdict"] == "keep").all()
    assert [len(row) for row in benchmark.call(raw, threads=2)] == [len(benchmark.LIBRARY)] * 15


def test_the_library_measures_what_the_survey_does(benchmark, raw):
    pixels = tifffile.imread(raw.folder / raw.index["Metadata_Path"][0])
    ours = focus.measure(pixels)
    library = {name: measure(pixels) for name, measure in benchmark.LIBRARY.items()}
    assert library["quantiles"].tolist() == [ours[f"quantile_{share}"] for share in focus.QUANTILES]
    assert library["mean"] == pytest.approx(ours["mean"])
    assert library["saturated"] == ours["saturated"]
    near, middle, far = library["sharpness"]
    assert (middle - near) / (far - near) == pytest.approx(ours["sharpness"], rel=0.01)
    assert library["focus"] == pytest.approx(ours["focus"], rel=0.3)  # of the whole field, without a window
    assert library["view"].mean() == pytest.approx(ours["mean"], rel=0.05)
    assert benchmark.LAGS == focus.LAGS


def test_a_ratio_compares_the_same_images(benchmark):
    calls = []
    turn = [lambda side=side: calls.append(side) for side in ("ours", "bare")]
    found = benchmark.plates.compare(*turn, count=6, repeats=2, of="images")
    assert sorted(calls) == ["bare"] * 3 + ["ours"] * 3
    assert found["images"] == 6 and found["ratio_least"] <= found["ratio"] <= found["ratio_most"]


def test_costs_name_every_measure(benchmark, raw):
    found = benchmark.costs(raw, repeats=2)
    assert set(found) == {*benchmark.LIBRARY, "all", "reading"}
    assert all(row["library_ms"] >= 0 for row in found.values())


@pytest.mark.parametrize("stage", ["images", "survey"])
def test_memory_is_that_of_the_stage(tmp_path, benchmark, raw, stage):
    assert benchmark.peak(raw, tmp_path / "p.zarr", stage) > 10
