"""Training killed again and again: the weights equal those of an uninterrupted training, bit for bit."""

import multiprocessing
import os
import random
import signal
import time

import pytest

import blobs
import trainings
from wellspring.io import tables
from wellspring.train.job import Job

STEPS, KILLS = 240, 20
ENTRIES = {
    "simclr": {"one_plate": True},
    "sslprofiler": {
        "kind": "sslprofiler",
        "view": {"kind": "tile", "size": 32},
        "distillation": {"targets": "sinkhorn"},
        "local_aggregation": {"kind": "aggregate", "pool": "attention"},
    },
}
# Checkpoints are written every 0.12 s, every few steps, so that a kill loses some.
OPTIONS = {"accumulate": 2, "log_every": 7, "retrieve_every": 50, "checkpoint_minutes": 0.002, "tensorboard": True}


def run(job: Job, pipe) -> None:
    """The process that is killed: it reports each finished step and waits for a signal to continue."""
    from wellspring.train.worker import work

    def hook(step: int) -> None:
        pipe.send(step)
        pipe.recv()

    work(job, hook=hook)


def killed(context, job: Job, at: int, number: int, *, delay: float = 0.0) -> tuple[int, int]:
    """Run a job and send it a signal `delay` seconds into the step after `at`; return its last step and its status."""
    here, there = context.Pipe()
    process = context.Process(target=run, args=(job, there))
    process.start()
    there.close()
    step, sent = -1, False
    try:
        while True:
            step = here.recv()
            here.send("go on")
            if step >= at and not sent:
                time.sleep(delay)
                os.kill(process.pid, number)
                sent = True
    except (EOFError, ConnectionError):
        process.join()
    return step, process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENTRIES)
def test_killed_at_twenty_steps_and_run_again(kind, tmp_path):
    screen = blobs.screen(tmp_path / "screen", channels=trainings.CHANNELS, cells=6)
    entry = blobs.entry(steps=STEPS, **ENTRIES[kind])
    context = multiprocessing.get_context("forkserver")  # the imports are made once; each run is a process of its own
    context.set_forkserver_preload(["torch", "timm", "torch.utils.tensorboard", "wellspring.train.worker"])
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert killed(context, trainings.job(whole, screen, entry, **OPTIONS), STEPS, 0) == (STEPS - 1, 0)
    rng = random.Random(kind)
    places = sorted(rng.sample(range(STEPS - 4), KILLS))
    signals = [signal.SIGKILL, signal.SIGTERM] * (KILLS // 2)
    rng.shuffle(signals)
    job = trainings.job(parted, screen, entry, **OPTIONS)
    for place, number in zip(places, signals, strict=True):
        step, code = killed(context, job, place, number, delay=rng.uniform(0, 0.05))
        print(f"{kind}: {number.name} at step {place}: ended after step {step} with status {code}")
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 1)
        assert step < STEPS - 1
        assert not (parted / "encoder.safetensors").exists()
    assert killed(context, job, STEPS, 0) == (STEPS - 1, 0)
    assert (whole / "encoder.safetensors").read_bytes() == (parted / "encoder.safetensors").read_bytes()
    assert (whole / "encoder.json").read_bytes() == (parted / "encoder.json").read_bytes()
    assert tables.read(whole / "history.parquet").equals(tables.read(parted / "history.parquet"))
    left = {"encoder.json", "encoder.safetensors", "history.parquet", "tensorboard"}
    assert {path.name for path in parted.iterdir()} == left
