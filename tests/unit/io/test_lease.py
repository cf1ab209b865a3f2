"""The job that began last writes an output; one that was overtaken leaves it, wherever it was stopped."""

import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from wellspring.io.lease import Lease, Superseded


def test_the_last_that_takes_it_holds_it(tmp_path):
    first, second = Lease(tmp_path / "P1.zarr"), Lease(tmp_path / "P1.zarr")
    first.take()
    assert first.held
    with first.publishing():
        pass
    second.take()
    assert second.held and not first.held
    with pytest.raises(Superseded, match=f"P1.zarr: process {os.getpid()} on .* began to write"), first.publishing():
        pytest.fail("published without the lease")


def test_outputs_do_not_share_a_lease(tmp_path):
    first, second = Lease(tmp_path / "P1.zarr"), Lease(tmp_path / "P2.zarr")
    first.take()
    second.take()
    assert first.held and second.held


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_or_lost_lease_is_nobodys(tmp_path, damage):
    lease = Lease(tmp_path / "P1.zarr")
    lease.take()
    (tmp_path / ".P1.zarr.owner").write_text(damage)
    assert not lease.held
    with pytest.raises(Superseded, match="a job that has ended"):
        lease.demand()


def _publish(path, started, name):
    lease = Lease(path)
    lease.take()
    started.set()
    time.sleep(1)
    with lease.publishing():
        path.write_text(name)


def test_a_suspended_job_that_resumes_leaves_the_finished_output(tmp_path):
    context = multiprocessing.get_context("spawn")
    path, started = tmp_path / "out", context.Event()
    first = context.Process(target=_publish, args=(path, started, "first"))
    first.start()
    started.wait()
    os.kill(first.pid, signal.SIGSTOP)
    _publish(path, context.Event(), "second")
    os.kill(first.pid, signal.SIGCONT)
    first.join()
    assert first.exitcode == 1
    assert path.read_text() == "second"


def test_a_job_that_ends_removes_its_own_lease_alone(tmp_path):
    path = tmp_path / "results" / "images" / "P1.zarr"
    with Lease(path) as first:
        assert first.held
    assert list(path.parent.iterdir()) == []
    with Lease(path):
        second = Lease(path)
        second.take()
    assert second.held


def test_the_job_of_slurm_that_took_the_lease_is_named(tmp_path, monkeypatch):
    first, second = Lease(tmp_path / "a"), Lease(tmp_path / "a")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    first.take()
    with pytest.raises(Superseded, match="SLURM job 4711 began to write"):
        second.demand()
    monkeypatch.delenv("SLURM_JOB_ID")
    first.take()
    with pytest.raises(Superseded, match="process") as caught:
        second.demand()
    assert "SLURM" not in str(caught.value)


def test_others_wait_while_one_publishes(tmp_path):
    first = Lease(tmp_path / "a")
    first.take()
    with first.publishing():
        folder = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)
