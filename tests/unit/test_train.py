"""Training runs of seconds: reproducible, resumable, and honest about what they were trained on."""

import os
import signal

import numpy as np
import pytest
import torch

import blobs
from wellspring import encoder, tables
from wellspring.train import loop, run
from wellspring.train.checkpoint import Checkpoint, Interrupted
from wellspring.train.settings import resolve
from wellspring.train.simclr import SimCLR

CHANNELS = ["DNA", "RNA"]
TILES = {"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}}
ENTRIES = {
    "pairs of cells": {"one_plate": True},
    "cells": {"local_aggregation": {"kind": "none"}},
    "tiles": TILES,
    "tiles alone": TILES | {"local_aggregation": {"kind": "none"}, "distillation": {"targets": "sinkhorn"}},
    "cells by a student": {"kind": "sslprofiler"},
}


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=CHANNELS)


def train(screen, folder, *, seed: int = 1, code: str = "", options: dict | None = None, **over):
    entry = blobs.entry(**over)
    return run.run(
        entry,
        blobs.source(screen, entry, channels=CHANNELS),
        name="small",
        channels=CHANNELS,
        seed=seed,
        options=blobs.options("train", log_every=1, **(options or {})),
        checkpoint=folder / "checkpoint.pt",
        code=code,
    )


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    states = one.state_dict(), two.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("name", ENTRIES)
def test_the_same_seed_gives_the_same_weights(screen, tmp_path, name):
    one, card, history = train(screen, tmp_path, **ENTRIES[name])
    two, again, _ = train(screen, tmp_path, **ENTRIES[name])
    other, _, _ = train(screen, tmp_path, seed=2, **ENTRIES[name])
    assert same(one, two)
    assert not same(one, other)
    assert card == again
    assert list(history["Metadata_Step"]) == [0, 1, 2, 3]
    assert np.isfinite(history["loss"]).all()
    assert history["local_aggregation"].notna().all() == ("alone" not in name and name != "cells")
    tables.write(history, tmp_path / "history.parquet", table="history", provenance={})
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("name", ["pairs of cells", "tiles"])
@pytest.mark.parametrize("stop", [0, 2])
def test_a_killed_run_ends_as_an_uninterrupted_one(screen, tmp_path, monkeypatch, name, stop):
    whole, card, history = train(screen, tmp_path, **ENTRIES[name])
    inner = loop.train

    def killed(*args, **options):
        def hook(step):
            if step == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        return inner(*args, **options, hook=hook)

    with monkeypatch.context() as patch:
        patch.setattr(run, "train", killed)
        with pytest.raises(Interrupted, match=f"step {stop + 1} of 4"):
            train(screen, tmp_path, **ENTRIES[name])
    assert (tmp_path / "checkpoint.pt").exists()
    first = []
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", lambda *args, **options: inner(*args, **options, hook=first.append))
        resumed, again, rows = train(screen, tmp_path, **ENTRIES[name])
    assert first[0] == stop + 1
    assert same(whole, resumed)
    assert card == again
    assert rows.equals(history)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"code": "other"}, {"lr": 0.01}, {"options": {"precision": "bfloat16"}}]
)
def test_a_checkpoint_of_another_run_is_refused(screen, tmp_path, monkeypatch, caplog, change):
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    monkeypatch.setattr(Checkpoint, "remove", lambda self: None)
    train(screen, tmp_path)
    fresh, _, _ = train(screen, tmp_path / "fresh", **change)
    with caplog.at_level("WARNING"):
        found, _, _ = train(screen, tmp_path, **change)
    assert "another config, data or code" in caplog.text
    assert same(found, fresh)


def test_no_steps_give_the_first_weights(screen, tmp_path):
    network, card, history = train(screen, tmp_path, steps=0)
    fresh = run.build(resolve(blobs.entry(), seed=1), channels=2)
    assert same(network, fresh)
    assert len(history) == 0
    tables.write(history, tmp_path / "history.parquet", table="history", provenance={})
    assert card["trained_on"]["plates"] == ["P1", "P2"]


def test_training_moves_the_weights_and_lowers_the_loss(screen, tmp_path):
    over = {"steps": 40, "batch": 16, "augmentation": {"preset": "flips"}, "local_aggregation": {"kind": "none"}}
    _, _, history = train(screen, tmp_path, **over)
    assert history["loss"].iloc[-5:].mean() < history["loss"].iloc[:5].mean() - 0.3


def test_prototypes_are_still_at_first(screen, tmp_path):
    over = {"steps": 2, "distillation": {"freeze_last": 1.0}}
    entry = blobs.entry(**TILES | over)
    settings = resolve(entry, seed=1)
    torch.manual_seed(1)
    method = run.METHODS["sslprofiler"](run.build(settings, channels=2), settings, channels=2, precision="float32")
    before = {name: value.clone() for name, value in method.state_dict().items()}
    source = blobs.source(screen, entry, channels=CHANNELS)
    checkpoint = Checkpoint(tmp_path / "c.pt", fingerprint="", minutes=10)
    options = {"device": torch.device("cpu"), "checkpoint": checkpoint, "log_every": 1}
    loop.train(method, source, run.sampler(source, settings), settings, **options)
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert "student.head.prototypes" not in moved
    assert {"student.head.mlp.0.weight", "teacher.head.mlp.0.weight", "centre"} <= moved


def test_a_loss_that_is_not_finite_names_step_and_wells(screen, tmp_path, monkeypatch):
    forward = SimCLR.forward

    def broken(self, batch, step, generator):
        terms, seen = forward(self, batch, step, generator)
        return (terms | {"loss": terms["loss"] * float("nan")} if step == 2 else terms), seen

    monkeypatch.setattr(SimCLR, "forward", broken)
    with pytest.raises(FloatingPointError, match=r"step 2: .*P[12]/[BC]0[23]"):
        train(screen, tmp_path)


@pytest.mark.parametrize("view", ["cell", "tile"])
def test_plates_out_are_left_out_and_none_left_is_an_error(tmp_path, view):
    over = {} if view == "cell" else TILES
    good = blobs.plate(tmp_path, "P1", channels=CHANNELS)
    bad = blobs.plate(tmp_path, "P2", channels=CHANNELS, verdict=tables.Verdict().because("too few fields"))
    entry = blobs.entry(**over)
    both = {kind: [good[kind], bad[kind]] for kind in good}
    source = blobs.source(both, entry, channels=CHANNELS)
    assert set(source.frame["Metadata_Plate"]) == {"P1"}
    with pytest.raises(ValueError, match="at least one usable plate"):
        blobs.source({kind: [bad[kind]] for kind in bad}, entry, channels=CHANNELS)


def test_fields_give_the_same_blocks_with_and_without_a_cache(screen):
    entry = blobs.entry(**TILES)
    cached, anew = (blobs.source(screen, entry, channels=CHANNELS, cache_mb=size) for size in (100, 0))
    assert cached.cache is not None and anew.cache is None
    items = np.array([0, 1, 4, 4])
    found = [source.read(items, np.random.default_rng(3)) for source in (cached, anew)]
    assert (found[0] == found[1]).all()
    assert found[0].shape == (4, 2, 32, 32)


@pytest.mark.parametrize("sites", [2, 3])
def test_a_field_that_stands_several_times_in_a_group_gives_disjoint_blocks(tmp_path, sites):
    side = 32 * sites + 5
    paths = blobs.screen(tmp_path, channels=["DNA"], names=("P1",), wells=("B02",), sites=("1",), side=side)
    source = blobs.source(paths, blobs.entry(**TILES), channels=["DNA"])
    field = source.plates[0].read("B02", "1")
    found = source.read(np.zeros(sites, int), np.random.default_rng(0), sites=sites)
    pixels = source.pixels[0]
    scaled = np.clip((field[0].astype(np.float32) - pixels.low) / (pixels.high - pixels.low), 0, 1)
    places = range(side - 31)
    starts = [
        [x for x in places for y in places if np.allclose(scaled[y : y + 32, x : x + 32], block[0], atol=1e-5)]
        for block in found
    ]
    assert all(start[0] + 32 <= after[0] for start, after in zip(starts[:-1], starts[1:], strict=True))


def test_settings_follow_the_kind_and_refuse_what_does_not_fit():
    settings = resolve(blobs.entry(kind="sslprofiler", batch=64), seed=7)
    assert settings.lr == pytest.approx(5e-4 / 4)
    assert settings.weight_decay == (0.04, 0.4)
    assert settings.seed == 7
    assert resolve(blobs.entry(seed=3, weight_decay=0.1), seed=7).weight_decay == (0.1, 0.1)
    with pytest.raises(ValueError, match="view.window"):
        resolve(blobs.entry(**TILES | {"view": {"kind": "tile", "size": 32, "window": 5.0}}), seed=7)
    with pytest.raises(ValueError, match="encoders.kind"):
        resolve(blobs.entry(kind="byol"), seed=7)


def test_views_that_do_not_fit_are_refused(screen):
    with pytest.raises(ValueError, match="expected crops of 64 px"):
        blobs.source(screen, blobs.entry(view={"kind": "cell", "size": 64}), channels=CHANNELS)
    with pytest.raises(ValueError, match="expected fields of 400 px"):
        blobs.source(screen, blobs.entry(**TILES | {"view": {"kind": "tile", "size": 400}}), channels=CHANNELS)
    with pytest.raises(ValueError, match="expected the channels"):
        blobs.source(screen, blobs.entry(), channels=["DNA", "ER"])


def test_the_device_is_found():
    assert encoder.device().type in ("cpu", "cuda")
