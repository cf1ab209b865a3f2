"""The pure parts of the benchmark of training's rate: operations counted, ratios by round, sections that add up."""

import json
import time

import numpy as np
import pytest
import torch

import benchmarks_of
from wellspring.encoders import encoder

SIDE, PATCH, WIDTH, DEPTH, HEADS, CHANNELS = 32, 8, 48, 3, 4, 5


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("train_rate")


@pytest.fixture(scope="module")
def vit():
    options = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "patch_size": PATCH}
    return encoder.build("vit_tiny_patch16_224", channels=CHANNELS, size=SIDE, options=options)


def by_hand(images: int) -> tuple[int, int]:
    """Products of a ViT's forward, twice each: all of them, and those of the patch embedding."""
    patches = (SIDE // PATCH) ** 2
    tokens = patches + 1
    embedding = 2 * patches * CHANNELS * PATCH**2 * WIDTH
    projections = 2 * tokens * WIDTH * (3 + 1 + 4 + 4) * WIDTH
    attention = 2 * 2 * tokens**2 * WIDTH
    return images * (embedding + DEPTH * (projections + attention)), images * embedding


@pytest.mark.parametrize("images", [1, 3])
def test_operations_of_a_vit_are_those_counted_by_hand(benchmark, vit, images):
    pixels = torch.randn(images, CHANNELS, SIDE, SIDE)
    whole, embedding = by_hand(images)
    with torch.no_grad():
        assert benchmark.flops(lambda: vit(pixels)) == whole
    # Backward has two products for each of forward's, but none for the gradient of the pixels.
    assert benchmark.flops(lambda: vit(pixels).sum().backward()) == 3 * whole - embedding


def test_a_fused_attention_is_counted_as_its_two_products(benchmark):
    query = torch.randn(2, 4, 10, 8, requires_grad=True)
    count = benchmark.flops(
        lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()
    )
    assert count == 3 * 2 * 2 * (2 * 4 * 10 * 10 * 8)


def test_ratios_are_of_the_same_round(benchmark):
    rounds = [
        {"bare": 10.0, "store": 9.0, "ready": 9.5, "views": 19.0},
        {"bare": 1.0, "store": 0.8, "ready": 1.0, "views": 1.0},
        {"bare": 4.0, "store": 4.0, "ready": 4.0, "views": 5.0},
    ]
    found = benchmark.compare(rounds)
    assert found["ratio"] == pytest.approx([0.9, 0.8, 1.0])
    assert found["reading"] == pytest.approx([9 / 9.5, 0.8, 1.0])
    assert found["augmentation"] == pytest.approx([0.2, 0.0, 0.5])
    assert (found["bare"], found["store"]) == (4.0, 4.0)


def test_sections_within_sections_count_once_and_shares_add_up(benchmark):
    known = benchmark.Sections(torch.device("cpu"))
    inner = known.timed("inner", lambda: time.sleep(0.01))
    outer = known.timed("outer", lambda: [inner(), time.sleep(0.01)])
    outer()
    assert set(known.seconds) == {"outer"}
    inner()
    assert known.seconds["outer"] >= 0.02
    shares = known.shares(1.0)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["rest"] == pytest.approx(1 - known.seconds["inner"] - known.seconds["outer"])


def test_a_watch_counts_the_steps_behind_those_it_skips(benchmark, monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    watch = benchmark.Watch(torch.device("cpu"), skip=2, seconds=2.5, least=2)
    done = []
    with pytest.raises(benchmark.Done):
        for step in range(50):
            done.append(step)
            watch(step)
    assert watch.count == len(done) - 3
    assert watch.rate == pytest.approx(watch.count / watch.taken)


def test_a_known_gpu_has_the_peak_of_its_data_sheet(benchmark, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 PCIe")
    assert benchmark.peak(torch.device("cuda")) == (756e12, "data sheet of H100 PCIe")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert benchmark.peak(torch.device("cuda"))[0] == 989e12


@pytest.mark.parametrize("big", [True, False])
def test_entries_are_valid(benchmark, big):
    chosen = benchmark.chosen(None, big=big)
    assert set(chosen) == set(benchmark.SETTINGS) | set(benchmark.NETS)
    resolved = benchmark.plates.settings(chosen)["encoders"]
    assert resolved["vit_base"]["backbone"] == "vit_base_patch16_224"
    assert resolved["vit_small_tiles"]["batch"] == (64 if big else 2)
    for name, (_, crop, *_) in benchmark.SETTINGS.items():
        assert (crop is None) == (resolved[name]["view"]["kind"] == "tile")
        assert crop is None or crop >= resolved[name]["view"]["size"]
    assert set(benchmark.chosen("utilisation", big=big)) == set(benchmark.NETS)


@pytest.mark.slow
def test_it_measures_tiny_networks(benchmark, monkeypatch, capsys):
    small = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    net = {"backbone": "vit_tiny_patch16_224", "backbone_options": small}
    crops = {"global_size": 24, "local_size": 16, "local_count": 2, "prototypes": 16, "hidden": 32, "bottleneck": 8}
    tiles = {"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}, "distillation": crops} | net
    cells = {"kind": "simclr", "view": {"kind": "cell", "size": 16}} | net
    settings = {"demo_tiles": (tiles, None, 4, 4), "demo_cells": (cells, 24, 4, 4)}
    for name, value in {
        "SIDE": 64,
        "SETTINGS": settings,
        "NETS": {"vit_small": (tiles, 4, 4), "vit_base": (tiles, 4, 4)},
    }.items():
        monkeypatch.setattr(benchmark, name, value)
    speeds = benchmark.speeds
    monkeypatch.setattr(benchmark, "speeds", lambda name, trial, **_: speeds(name, trial, rounds=1, seconds=0.01))
    monkeypatch.setattr("sys.argv", ["train_rate.py", "--quick", "--device", "cpu", "--threads", "1"])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    for name in ("demo_tiles.cached", "demo_tiles.stored", "demo_cells"):
        ratio, least, most = figures[f"{name}.ratio"]
        assert 0 < least <= ratio <= most
        sections = {key: value for key, value in figures.items() if key.startswith(f"{name}.section.")}
        assert sum(sections.values()) == pytest.approx(1, abs=0.01)
        parts = {"augmentation", "student_forward", "backward", "optimiser", "losses", "wait_for_batch", "rest", "ema"}
        assert {key.rsplit(".", 1)[1] for key in sections} == parts | (
            {"teacher_forward"} if "tiles" in name else set()
        )
    assert 0 < figures["utilisation.vit_small.plain.utilisation"] < 1
    assert figures["utilisation.vit_base.compiled.images_a_second"] is None
