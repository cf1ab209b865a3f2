"""Damaged checkpoints and weights are detected, named and not used."""

import pytest
import torch
from torch import nn

import blobs
import trainings
from wellspring.encoders import encoder
from wellspring.train.checkpoint import Checkpoint, Interrupted
from wellspring.train.checkpoint_size import FILES, checkpoint_size
from wellspring.train.settings import resolve

CHANNELS = ["DNA"]


def emptied(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def headless(content: bytes) -> bytes:
    return content[1:]


DAMAGES = [emptied, cut, flipped, headless]


def two(folder) -> Checkpoint:
    """A checkpoint at step 2 with the one at step 1 before it."""
    checkpoint = Checkpoint(folder / "checkpoint.pt", fingerprint="a", minutes=10)
    for step in (1, 2):
        checkpoint.write({"step": step, "weights": torch.full((1000,), float(step))})
    return checkpoint


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(damage, tmp_path, caplog):
    checkpoint = two(tmp_path)
    broken = damage(checkpoint.path.read_bytes())
    checkpoint.path.write_bytes(broken)
    with caplog.at_level("WARNING"):
        state = checkpoint.read()
    assert state["step"] == 1
    assert (state["weights"] == 1).all()
    assert "checkpoint.pt: checkpoint is damaged" in caplog.text and "checkpoint.pt.damaged" in caplog.text
    assert (tmp_path / "checkpoint.pt.damaged").read_bytes() == broken
    checkpoint.write({"step": 3})
    assert checkpoint.read()["step"] == 3


def test_two_damaged_checkpoints_start_the_run_anew(tmp_path):
    checkpoint = two(tmp_path)
    for path in (checkpoint.path, checkpoint.previous):
        path.write_bytes(b"")
    assert checkpoint.read() is None
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt.damaged", "checkpoint.previous.pt.damaged"}


def test_a_run_killed_between_the_two_renames_uses_the_checkpoint_before(tmp_path):
    checkpoint = two(tmp_path)
    checkpoint.path.unlink()
    assert checkpoint.read()["step"] == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_training_with_a_damaged_checkpoint_ends_with_the_same_weights(damage, tmp_path, monkeypatch):
    screen, entry = blobs.screen(tmp_path / "screen", channels=CHANNELS), blobs.entry(steps=6)

    def train(folder, hook=None):
        return trainings.train(entry, screen, folder, channels=CHANNELS, hook=hook, log_every=1, retrieve_every=0)

    def stop(step):
        if step == 3:
            raise Interrupted

    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    whole, _, history = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "parted", hook=stop)
    path, steps = tmp_path / "parted" / "checkpoint.pt", []
    path.write_bytes(damage(path.read_bytes()))
    again, _, rows = train(tmp_path / "parted", hook=steps.append)
    assert steps == [1, 2, 3, 4, 5]  # written after steps 0 and 2, and the second was damaged
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    assert rows.equals(history)
    assert not list((tmp_path / "parted").iterdir())  # the damaged checkpoint too


def test_weights_that_were_changed_after_training_are_refused(tmp_path):
    network, card, _ = trainings.train(blobs.entry(steps=0), None, tmp_path, channels=CHANNELS)
    weights, path = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    encoder.save(network, card, weights, path)
    assert isinstance(encoder.load(weights, path).network, nn.Module)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # the last byte of the last weight: still a file that loads
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"encoder.safetensors: expected the weights that .*encoder.json describes"):
        encoder.load(weights, path)


@pytest.mark.parametrize("kind", ["simclr", "sslprofiler"])
def test_the_size_of_checkpoints_is_known_before_a_training(kind, tmp_path):
    """The check of disk space: what three files take, of which one is being written."""
    screen = blobs.screen(tmp_path / "screen", channels=trainings.CHANNELS)
    options = {"embed_dim": 192, "depth": 3, "num_heads": 2, "patch_size": 8}
    entry = blobs.entry(kind=kind, backbone_options=options, view={"kind": "cell" if kind == "simclr" else "tile"})
    found = []

    def stop(step: int) -> None:
        if (tmp_path / "checkpoint.pt").exists():
            found.append((tmp_path / "checkpoint.pt").stat().st_size)

    trainings.train(entry, screen, tmp_path, checkpoint_minutes=0, hook=stop)
    expected = checkpoint_size(resolve(entry, seed=1), channels=len(trainings.CHANNELS))
    assert FILES * found[-1] == pytest.approx(expected, rel=0.05)
