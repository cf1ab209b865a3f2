"""A job claims its outputs when it starts: a job that another overtook changes none, wherever it was stopped."""

import json
import os
import time

import numpy as np
import pytest

from wellspring.io import lease, ngff, tables
from wellspring.io.lease import Lease, Superseded


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return a function that begins a job: its script is written, with the time of now or another one."""
    monkeypatch.delenv(lease.TOKEN, raising=False)

    def begin(name, began=None):
        path = tmp_path / "scripts" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        if began is not None:
            os.utime(path, ns=(began, began))
        monkeypatch.setattr("sys.argv", [str(path)])

    yield begin
    lease.release()


def other_job(path, text):
    """Write an output as a job of another process that began now."""
    with Lease(path) as held, held.publishing():
        path.write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "scripts")


def test_claims_are_removed_at_the_end(script, tmp_path):
    script("job")
    outputs = [tmp_path / "a.txt", tmp_path / "b" / "c.txt"]
    lease.claim(outputs)
    assert [lease.of(path).held for path in outputs] == [True, True]
    assert names(tmp_path) == [".a.txt.owner", "b"]
    lease.release()
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == []


def test_a_file_of_an_overtaken_job_is_not_published(script, tmp_path):
    script("job")
    path = tmp_path / "a.txt"
    lease.claim([path])
    with pytest.raises(Superseded, match=r"a\.txt"), tables.atomic(path) as temporary:
        temporary.write_text("late")
        other_job(path, "newer")
    assert path.read_text() == "newer"
    with pytest.raises(Superseded, match=r"a\.txt"), tables.atomic(path):
        pytest.fail("wrote without the lease")
    lease.release()
    assert names(tmp_path) == ["a.txt"]


def test_an_overtaken_job_does_not_remove_the_file_that_another_is_writing(script, tmp_path):
    script("job")
    path = tmp_path / "a.txt"
    lease.claim([path])
    newer = Lease(path)
    newer.take()
    under_way = tmp_path / ".a.0123abcd.part.txt"
    under_way.write_text("newer")
    with pytest.raises(Superseded), tables.atomic(path):
        pytest.fail("wrote without the lease")
    assert under_way.read_text() == "newer"


def test_a_job_whose_temporary_file_was_removed_by_its_successor_stops_by_name(script, tmp_path):
    script("job")
    path = tmp_path / "a.txt"
    lease.claim([path])
    with pytest.raises(Superseded), tables.atomic(path) as temporary:
        other_job(path, "newer")
        temporary.unlink(missing_ok=True)
        temporary.read_text()
    assert path.read_text() == "newer"


def test_a_job_that_wakes_before_its_claim_finds_the_finished_output(script, tmp_path):
    """Suspended while it imported its modules, it claims after the job that overtook it has ended."""
    path = tmp_path / "a.txt"
    script("job", began=time.time_ns() - 10**9)
    other_job(path, "newer")
    with pytest.raises(Superseded, match=r"a\.txt: another job has finished this output"):
        lease.claim([path])
    assert path.read_text() == "newer"


def test_a_job_that_wakes_before_its_claim_leaves_the_lease_of_a_later_job(script, tmp_path):
    path = tmp_path / "a.txt"
    script("job", began=time.time_ns() - 10**9)
    newer = Lease(path)
    newer.take()
    with pytest.raises(Superseded, match=rf"a\.txt: process {os.getpid()}"):
        lease.claim([path])
    assert newer.held


@pytest.mark.parametrize("began", [2**62, -1, "soon", None, 1e300])
def test_a_lease_of_a_wrong_clock_is_taken(script, tmp_path, began):
    path = tmp_path / "a.txt"
    (tmp_path / ".a.txt.owner").write_text(json.dumps({"token": "x", "started": began}))
    script("job")
    lease.claim([path])
    with tables.atomic(path) as temporary:
        temporary.write_text("made")
    assert path.read_text() == "made"


def test_a_lease_that_is_no_text_is_taken(script, tmp_path):
    (tmp_path / ".a.txt.owner").write_bytes(b"\xff\xfe\x00{")
    script("job")
    lease.claim([tmp_path / "a.txt"])
    assert lease.of(tmp_path / "a.txt").held


def test_a_plate_is_claimed_by_its_folder(script, tmp_path):
    script("job")
    path = tmp_path / "P1.zarr"
    lease.claim([path / "zarr.json", tmp_path / "P1.parquet"])
    assert not path.exists()
    newer = Lease(path)
    newer.take()
    with pytest.raises(Superseded, match=r"P1\.zarr"), ngff.PlateWriter(path, plate="P1", channels=["DNA"]) as writer:
        writer.write("A01", "1", np.ones((1, 24, 40), dtype=np.uint16))
    newer.__exit__()
    assert not path.exists()


def test_a_claimed_plate_is_written_and_its_claim_stays_until_the_job_ends(script, tmp_path):
    script("job")
    path = tmp_path / "P1.zarr"
    lease.claim([path / "zarr.json"])
    with ngff.PlateWriter(path, plate="P1", channels=["DNA"]) as writer:
        writer.write("A01", "1", np.ones((1, 24, 40), dtype=np.uint16))
    assert lease.of(path).held
    assert ngff.open_plate(path).fields == [("A01", "1")]


def test_a_process_that_the_job_started_holds_its_claims(script, tmp_path):
    script("job")
    path = tmp_path / "a.txt"
    lease.claim([path])
    lease._claimed.clear()  # as in another process, which has the environment alone
    assert lease.of(path) is None
    lease.inherit([path])
    assert lease.of(path).held
    lease.demand_all()
    Lease(path).take()
    with pytest.raises(Superseded):
        lease.demand_all()


def test_a_folder_is_whole_or_absent(script, tmp_path):
    script("job")
    path = tmp_path / "demo"
    lease.claim([path])
    with pytest.raises(RuntimeError, match="stop"), lease.whole_folder(path) as folder:
        (folder / "one").write_text("1")
        raise RuntimeError("stop")
    assert not path.exists()
    with lease.whole_folder(path) as folder:
        (folder / "two").write_text("2")
    assert names(path) == ["two"]
    with pytest.raises(Superseded), lease.whole_folder(path) as folder:
        (folder / "three").write_text("3")
        Lease(path).take()
    assert names(path) == ["two"]
