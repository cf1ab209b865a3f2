"""The benchmark of the embedding rate measures what the rule does: the same views, the same vectors."""

import numpy as np
import pytest
import torch

import benchmarks_of
import blobs
from options import options
from wellspring.embed import run as embed
from wellspring.encoders import encoder
from wellspring.io import ngff, tables
from wellspring.views import scaling

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("embed_rate")


@pytest.fixture(scope="module")
def paths(tmp_path_factory, benchmark):
    channels = list(benchmark.CHANNELS)
    made = blobs.plate(tmp_path_factory.mktemp("plate"), channels=channels, wells=("B02",), side=100)
    return {kind: [path] for kind, path in made.items()}


def known(benchmark, kind: str) -> encoder.Encoder:
    small = {"embed_dim": 32, "depth": 1, "num_heads": 2, "patch_size": 8}
    return benchmark.known(kind, 24, "vit_tiny_patch16_224", small)


@pytest.mark.parametrize("kind", ["tile", "cell"])
def test_the_stage_writes_what_is_embedded(tmp_path, benchmark, paths, kind):
    plate = ngff.open_plate(paths["images"][0])
    cells = benchmark.cells_of(plate, seed=1) if kind == "cell" else None
    how = {"device": CPU, "precision": "float32", "batch": 8}
    views = benchmark.stage(known(benchmark, kind), paths, cells, tmp_path / "e.parquet", **how)
    scales = scaling.intensity_scale(tables.read(paths["intensity"][0]), list(benchmark.CHANNELS))
    section = options("embed", **benchmark.OPTIONS, precision="float32", batch=8)
    frame, matrix = embed.embed(known(benchmark, kind), embed.PlateInputs(plate, scales, cells), section, device=CPU)
    assert views == len(frame) > 2
    np.testing.assert_array_equal(tables.read_embedding(tmp_path / "e.parquet")[1], matrix)


def test_the_bare_network_sees_as_many_images(benchmark, monkeypatch):
    seen = []
    network = known(benchmark, "tile")
    monkeypatch.setattr(network.network, "forward", lambda images: seen.append(tuple(images.shape)) or images)
    benchmark.bare(network, 19, device=CPU, precision="float32", batch=8)
    assert seen == [(8, 5, 24, 24), (8, 5, 24, 24), (3, 5, 24, 24)]


def test_both_sides_are_counted_by_their_views(tmp_path, benchmark, paths):
    how = {"device": CPU, "precision": "float32", "batch": 8}
    found = benchmark.rates(known(benchmark, "cell"), paths, tmp_path, repeats=3, seed=1, **how)
    assert found["ratio_least"] <= found["ratio"] <= found["ratio_most"]
    assert found["repeats"] == 3
    assert found["views"] == 2 * round(benchmark.DENSITY * 100**2)
