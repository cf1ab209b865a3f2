"""Loss and flags that all processes share, read at once or, as on a GPU, one step late."""

import signal

import numpy as np
import pytest
import torch

import blobs
import trainings
from processes import ranks
from wellspring.train import distributed, loop
from wellspring.train.checkpoint import Checkpoint, Interrupted
from wellspring.train.simclr import SimCLR
from wellspring.train.step_status import StatusReduction, StepStatus

CHANNELS = ["DNA"]


class Late(StatusReduction):
    """As on a GPU."""

    def __init__(self, device):
        super().__init__(device)
        self.late = True


def told(status: StatusReduction, *, stop: bool, save: bool) -> list[tuple]:
    heard = []
    for step in range(4):
        asked = (stop and step == 1, save and step in (1, 2))  # until it is written, as a clock asks
        each = status.reduce(step, torch.tensor(float(step)), stop=asked[0], save=asked[1])
        heard.append((each.step, each.loss, each.stop, each.save))
    return heard


def test_a_step_is_heard_at_once_on_a_cpu():
    status = StatusReduction(torch.device("cpu"))
    heard = told(status, stop=True, save=False)
    assert heard == [(step, float(step), step == 1, False) for step in range(4)]
    assert status.newest() == StepStatus(3, 3.0, False, False)


def test_a_step_is_heard_late_on_a_gpu_and_a_wish_to_save_once():
    status = Late(torch.device("cpu"))
    heard = told(status, stop=True, save=True)
    assert heard == [(-1, 0.0, False, False), (0, 0.0, False, False), (1, 1.0, True, True), (2, 2.0, False, False)]
    assert status.newest().step == 3


def share() -> list:
    """Rank 1 asks to stop at step 1 and to save; only rank 0 decides when to save."""
    status = StatusReduction(torch.device("cpu"))
    return told(status, stop=distributed.rank() == 1, save=distributed.rank() == 1)


def test_all_hear_the_same(tmp_path):
    first, second = ranks(share, count=2, folder=tmp_path)
    assert first == second == [(step, float(step), step == 1, False) for step in range(4)]


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=CHANNELS)


def train(screen, folder, hook=None):
    how = {"log_every": 100, "retrieve_every": 0}
    return trainings.train(blobs.entry(steps=8), screen, folder, channels=CHANNELS, hook=hook, **how)


def test_a_run_that_hears_late_stops_and_goes_on_to_the_same_weights(screen, tmp_path, monkeypatch):
    whole, _, _ = train(screen, tmp_path)
    monkeypatch.setattr(loop, "StatusReduction", Late)
    with pytest.raises(Interrupted, match="step 5 of 8"):
        train(screen, tmp_path, hook=lambda step: signal.raise_signal(signal.SIGTERM) if step == 2 else None)
    steps = []
    again, _, _ = train(screen, tmp_path, hook=steps.append)
    assert steps == [5, 6, 7]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_loss_that_is_not_finite_is_heard_late_and_never_saved(screen, tmp_path, monkeypatch, at):
    forward, written = SimCLR.forward, []

    def broken(self, batch, step, generator):
        terms, seen = forward(self, batch, step, generator)
        return (terms | {"loss": terms["loss"] * float("nan")} if step == at else terms), seen

    monkeypatch.setattr(SimCLR, "forward", broken)
    monkeypatch.setattr(loop, "StatusReduction", Late)
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    monkeypatch.setattr(Checkpoint, "write", lambda self, state: written.append(state["step"]))
    with pytest.raises(FloatingPointError, match=f"step {at}: expected a finite loss, found nan; the batch's wells: P"):
        train(screen, tmp_path)
    assert all(step <= at for step in written)
    assert np.all(np.diff(written) >= 2)
