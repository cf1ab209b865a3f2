"""The job that began last writes an output; one that was overtaken leaves it, wherever it was stopped."""

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
