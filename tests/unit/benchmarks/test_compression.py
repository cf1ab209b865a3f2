"""The benchmark of compression stores and reads the stated fields in every way, also in the workflow's own."""

import numpy as np
import pytest
import zarr

import benchmarks_of
from wellspring.io import ngff, zarr_shard


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("compression")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).poisson(300, (2, 400, 420)).astype(np.uint16)


def test_every_way_gives_the_pixels_back(tmp_path, benchmark, pixels):
    part = (slice(1, 2), slice(30, 254), slice(190, 414))
    for number, way in enumerate(benchmark.WAYS.values()):
        benchmark.write(tmp_path / str(number), pixels, way)
        np.testing.assert_array_equal(benchmark.read(tmp_path / str(number), way), pixels)
        np.testing.assert_array_equal(benchmark.read(tmp_path / str(number), way, part), pixels[part])


def test_the_way_beside_the_workflow_s_is_the_same_through_zarr(tmp_path, benchmark, pixels):
    for name in ("workflow", benchmark.THROUGH_ZARR):
        benchmark.write(tmp_path / name, pixels, benchmark.WAYS[name])
    ours, theirs = (zarr.open_array(tmp_path / name) for name in ("workflow", benchmark.THROUGH_ZARR))
    assert ours.compressors[:1] == theirs.compressors  # the workflow adds a checksum, which compresses nothing
    assert ours.chunks == theirs.chunks and ours.shards == theirs.shards
    with ngff.PlateWriter(tmp_path / "p.zarr", plate="P", channels=["a", "b"]) as writer:
        writer.write("A01", "1", pixels)
    stored = (tmp_path / "p.zarr/A/01/1/0/zarr.json").read_bytes()
    assert zarr_shard.describe(stored) == zarr_shard.describe((tmp_path / "workflow" / "zarr.json").read_bytes())


def test_figures_are_of_every_way_and_count_its_files(tmp_path, benchmark, pixels):
    ways = {name: benchmark.WAYS[name] for name in ("workflow", "none", "chunks of 180 px", "chunks of a field")}
    ways["files"] = benchmark.Way(options=benchmark.CHOSEN, edge=200, sharded=False)
    rows = benchmark.measure(tmp_path, pixels, ways, repeats=2, seed=1)
    assert rows["way"].tolist() == list(ways) * 2
    table = rows.groupby("way").median()
    assert table["files"].to_dict() == {name: 9 if name == "files" else 2 for name in ways}  # 2 x 2 x 2 and metadata
    assert (table[["write_ms", "read_ms", "view_ms"]] > 0).all(axis=None)
    assert table.loc["none", "share"] == pytest.approx(1, abs=0.02) and table.loc["workflow", "share"] < 0.7


def test_real_fields_are_read_where_they_are(tmp_path, benchmark, shared_data):
    assert benchmark.samples(tmp_path) == {}
    found = benchmark.samples(shared_data)
    assert {name: field.shape for name, field in found.items()} == {
        "jump": (3, 1080, 1080), "atlas": (6, 1080, 1080), "nf1": (3, 904, 1224), "operetta": (2, 1080, 1080),
    }  # fmt: skip
