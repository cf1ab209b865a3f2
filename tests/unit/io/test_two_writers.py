"""Two jobs that write one plate: the one that began last publishes it whole, the other stops by name."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from wellspring.io import ngff
from wellspring.io.lease import Superseded

WELLS = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 7)]


def field(value):
    return np.full((2, 40, 56), value, dtype=np.uint16)


def write(path, value, *, started=None, pause=0.0):
    with ngff.PlateWriter(path, plate="P1", channels=["DNA", "ER"]) as writer:
        for number, well in enumerate(WELLS):
            writer.write(well, "1", field(value))
            if number == 3 and started is not None:
                started.set()
            time.sleep(pause)


def values(path):
    """Return the values of all fields of a plate, each field read whole."""
    plate = ngff.open_plate(path)
    assert plate.fields == [(well, "1") for well in WELLS]
    return {int(value) for site in plate.fields for value in np.unique(plate.read(*site))}


def test_a_writer_that_was_overtaken_stops_and_leaves_the_plate(tmp_path):
    path = tmp_path / "P1.zarr"
    first = ngff.PlateWriter(path, plate="P1", channels=["DNA", "ER"])
    with (
        pytest.raises(Superseded, match=r"P1\.zarr: a job that has ended began to write"),
        first,
    ):
        first.write("A01", "1", field(1))
        write(path, 2)
        first.write("A02", "1", field(1))
    assert values(path) == {2}
    assert [file.name for file in tmp_path.iterdir()] == ["P1.zarr"]


def test_a_suspended_writer_that_resumes_leaves_the_finished_plate(tmp_path):
    context = multiprocessing.get_context("spawn")
    path, started = tmp_path / "P1.zarr", context.Event()
    suspended = context.Process(target=write, args=(path, 1), kwargs={"started": started, "pause": 0.05})
    suspended.start()
    started.wait()
    os.kill(suspended.pid, signal.SIGSTOP)
    write(path, 2)
    os.kill(suspended.pid, signal.SIGCONT)
    suspended.join()
    assert suspended.exitcode == 1
    assert values(path) == {2}
    assert [file.name for file in tmp_path.iterdir()] == ["P1.zarr"]


def test_whatever_the_overlap_the_plate_is_one_writers(tmp_path):
    """Writers begin at random times while others are at work: 10 overlaps, none torn."""
    rng = np.random.default_rng(0)
    context = multiprocessing.get_context("fork")
    for trial in range(10):
        path = tmp_path / f"{trial}.zarr"
        jobs = []
        for value in range(1, 4):
            jobs.append(context.Process(target=write, args=(path, value), kwargs={"pause": 0.002}))
            jobs[-1].start()
            time.sleep(rng.uniform(0, 0.1))
        for job in jobs:
            job.join()
        assert 0 in {job.exitcode for job in jobs}
        assert len(values(path)) == 1
        assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith(".")) == []
