"""Training runs of seconds: reproducible, resumable, with a record of the training data."""

import os
import signal

import numpy as np
import pytest
import torch

import blobs
import trainings
from options import options
from trainings import CHANNELS
from wellspring.encoders import cards, encoder
from wellspring.io import tables
from wellspring.train import build, loop
from wellspring.train.checkpoint import Checkpoint, Interrupted
from wellspring.train.hardware import TooLarge
from wellspring.train.settings import resolve
from wellspring.train.simclr import SimCLR
from wellspring.train.sources import Cells
from wellspring.train.sslprofiler import SSLProfiler

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


def train(screen, folder, *, seed: int = 1, code: str = "", options: dict | None = None, write=None, hook=None, **over):
    how = {"log_every": 1} | (options or {})
    return trainings.train(blobs.entry(**over), screen, folder, seed=seed, code=code, write=write, hook=hook, **how)


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


def killed_at(stop: int):
    def hook(step):
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    return hook


@pytest.mark.parametrize("name", ["pairs of cells", "tiles"])
@pytest.mark.parametrize(("stop", "accumulate"), [(0, 1), (1, 1), (1, 2)])
def test_a_killed_run_ends_as_an_uninterrupted_one(screen, tmp_path, name, stop, accumulate):
    over = ENTRIES[name] | {"options": {"accumulate": accumulate, "retrieve_every": 2}}
    whole, card, history = train(screen, tmp_path, **over)
    with pytest.raises(Interrupted, match=f"step {stop + 2} of 4"):  # the step under way is finished
        train(screen, tmp_path, **over, hook=killed_at(stop))
    assert (tmp_path / "checkpoint.pt").exists()
    first = []
    resumed, again, rows = train(screen, tmp_path, **over, hook=first.append)
    assert first[0] == stop + 2
    assert same(whole, resumed)
    assert card == again
    assert rows.equals(history)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_outlives_a_result_that_was_not_written(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)

    def broken(*result):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        train(screen, tmp_path, write=broken)
    assert (tmp_path / "checkpoint.pt").exists()
    written = []
    train(screen, tmp_path, write=lambda *result: written.append((tmp_path / "checkpoint.pt").exists()))
    assert written == [True]
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_that_is_killed_while_it_is_written_leaves_the_former_one(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", fingerprint="a", minutes=10)
    checkpoint.write({"step": 1, "weights": torch.ones(1000)})

    def torn(file):
        os.truncate(file, os.fstat(file).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(os, "fsync", torn)
    child = os.fork()
    if child == 0:
        checkpoint.write({"step": 2, "weights": torch.zeros(1000)})
        os._exit(0)
    monkeypatch.undo()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2  # the torn one bears another name
    assert checkpoint.read()["step"] == 1
    checkpoint.write({"step": 3})
    assert checkpoint.read()["step"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "checkpoint.previous.pt"}
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


def test_a_batch_that_does_not_divide_is_refused(screen, tmp_path):
    message = r"encoders.batch: expected a multiple of 6 \(1 processes x 3 accumulated parts.*found 8"
    with pytest.raises(ValueError, match=message):
        train(screen, tmp_path, options={"accumulate": 3})


def test_too_little_memory_says_what_to_change(screen, tmp_path, monkeypatch):
    def full(self, batch, step, generator):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")

    for method in (SimCLR, SSLProfiler):
        monkeypatch.setattr(method, "forward", full)
    with pytest.raises(TooLarge) as tiles:
        train(screen, tmp_path, **TILES)
    for part in ("encoders.small", "8 images", "2 crops of 24 px and 2 of 16 px", "vit_tiny_patch16_224, float32"):
        assert part in str(tiles.value)
    for part in (
        "train.precision: bfloat16",
        "train.accumulate: 2 (",
        "KoLeo",
        "local_count",
        "Tried to allocate 2.00",
    ):
        assert part in str(tiles.value)
    with pytest.raises(TooLarge) as cells:
        train(screen, tmp_path, options={"precision": "bfloat16", "accumulate": 2})
    assert "4 images" in str(cells.value) and "train.accumulate: 4 (" in str(cells.value)
    assert "compares images of one part alone" in str(cells.value)
    assert "train.precision" not in str(cells.value)


def test_compiled_backbones_have_the_same_names_and_weights(screen, tmp_path):
    with torch.compiler.set_stance("force_eager"):
        for over in ({}, TILES):
            plain, _, _ = train(screen, tmp_path, **over)
            compiled, card, _ = train(screen, tmp_path, **over, options={"compile": True})
            assert same(plain, compiled)
            encoder.save(compiled, card, tmp_path / "e.safetensors", tmp_path / "e.json")
            assert same(plain, encoder.load(tmp_path / "e.safetensors", tmp_path / "e.json").network)


def test_tensorboard_shows_each_step_once_after_a_kill(screen, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {"tensorboard": True, "retrieve_every": 0}
    with pytest.raises(Interrupted):
        train(screen, tmp_path, options=options, hook=killed_at(1))
    _, _, history = train(screen, tmp_path, options=options)
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [each.step for each in shown.Scalars("loss")] == [0, 1, 2, 3]
    np.testing.assert_allclose([each.value for each in shown.Scalars("loss")], history["loss"])
    assert "retrieval" not in shown.Tags()["scalars"]


def test_wells_that_are_held_out_are_not_trained_on(screen, tmp_path, monkeypatch):
    read = []
    inner = Cells.read

    def noted(self, items, rng, **options):
        read.append(set(map(tuple, self.frame.iloc[items][["Metadata_Plate", "Metadata_Well"]].to_numpy())))
        return inner(self, items, rng, **options)

    monkeypatch.setattr(Cells, "read", noted)
    over = {"one_plate": True, "options": {"holdout": 0.5, "retrieve_every": 2}}
    _, card, history = train(screen, tmp_path, **over)
    assert card["trained_on"]["wells"] == 2  # of 3 on each of 2 plates, 2 at least are held out
    trained = set.union(*(wells for wells in read if len(wells) == 1))
    assert len(trained) == 2 and not trained & set.union(*(wells for wells in read if len(wells) > 1))
    assert list(history["retrieval"].notna()) == [True, False, True, True]
    assert set(history["retrieval_chance"].dropna()) == {0.5}
    with pytest.raises(ValueError, match="train.holdout: expected wells that are left"):
        train(screen, tmp_path, options={"holdout": 0.9})


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
    fresh = build.network(resolve(blobs.entry(), seed=1), channels=2)
    assert same(network, fresh)
    assert len(history) == 0
    tables.write(history, tmp_path / "history.parquet", table="history", provenance={})
    assert card["trained_on"] is None
    assert card["training"] == "untrained"
    _, trained, _ = train(screen, tmp_path / "trained")
    assert cards.twin(trained, [trained, card]) is card


def test_training_moves_the_weights_and_lowers_the_loss(screen, tmp_path):
    over = {"steps": 40, "batch": 16, "augmentation": {"preset": "flips"}, "local_aggregation": {"kind": "none"}}
    _, _, history = train(screen, tmp_path, **over)
    assert history["loss"].iloc[-5:].mean() < history["loss"].iloc[:5].mean() - 0.3


def test_prototypes_are_still_at_first(screen, tmp_path):
    over = {"steps": 2, "distillation": {"freeze_last": 1.0}}
    entry = blobs.entry(**TILES | over)
    settings = resolve(entry, seed=1)
    torch.manual_seed(1)
    method = build.OBJECTIVES["sslprofiler"](
        build.network(settings, channels=2), settings, channels=2, precision="float32"
    )
    before = {name: value.clone() for name, value in method.state_dict().items()}
    source = blobs.source(screen, entry, channels=CHANNELS)
    checkpoint = Checkpoint(tmp_path / "c.pt", fingerprint="", minutes=10)
    drawn, every = build.sampler(source, settings), options("train", log_every=1)
    loop.train(method, source, drawn, settings, every, device=torch.device("cpu"), checkpoint=checkpoint)
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
