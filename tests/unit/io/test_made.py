"""What made an output: the job's own record, under the lease of its outputs."""

import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from wellspring.io import lease, made
from wellspring.io.lease import Lease, Superseded


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Return a function that begins a job in the folder of the screen, with these parameters."""
    monkeypatch.delenv(lease.TOKEN, raising=False)
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "scripts" / "crops.py"

    def begin(*, output=("results/crops/P1.npy", "results/crops/P1.parquet"), began=None, **params):
        script.parent.mkdir(exist_ok=True)
        script.write_text("")
        if began is not None:
            os.utime(script, ns=(began, began))
        monkeypatch.setattr("sys.argv", [str(script)])
        job = SimpleNamespace(rule="crops", output=output, input=["b", "a"], params=params)
        made.claim(job)

    yield begin
    lease.release()


def test_a_job_records_what_it_makes_when_it_starts(job, tmp_path):
    job(options={"size": 40}, seed=0, plates=["P2", "P1"], apart=object())
    found = made.read("results/crops/.P1.npy.made")
    assert found == made.Made(
        rule="crops",
        outputs=("results/crops/P1.npy", "results/crops/P1.parquet"),
        inputs=("a", "b"),
        params=("0", "['P2', 'P1']", "{'size': 40}"),  # an object without a text is in no record of Snakemake's
    )
    lease.release()
    assert [path.name for path in (tmp_path / "results" / "crops").iterdir()] == [".P1.npy.made"]


def test_the_record_is_of_the_last_job(job):
    job(seed=1)
    lease.release()
    job(seed=2)
    assert made.read("results/crops/.P1.npy.made").params == ("2",)


def test_an_overtaken_job_leaves_the_record_of_the_other(job):
    """Suspended while it imported its modules, it wakes when the other has claimed the outputs, or has ended."""
    began = time.time_ns() - 10**9
    job(seed=2)
    lease.release()
    with pytest.raises(Superseded, match=r"P1\.npy"):
        job(seed=1, began=began)
    assert made.read("results/crops/.P1.npy.made").params == ("2",)


def test_a_job_that_is_overtaken_between_its_claim_and_its_record_writes_none(job, monkeypatch, tmp_path):
    claim = lease.claim

    def overtaken(outputs):
        claim(outputs)
        for output in outputs:
            Lease(output).take()

    monkeypatch.setattr(lease, "claim", overtaken)
    with pytest.raises(Superseded, match=r"P1\.npy\.made"):
        job(seed=1)
    assert not (tmp_path / "results" / "crops" / ".P1.npy.made").exists()


def test_the_record_of_a_plate_is_beside_its_folder(job, tmp_path):
    job(output=("results/images/P1.zarr/zarr.json", "results/images/P1.parquet"), seed=1)
    assert made.read(tmp_path / "results" / "images" / ".P1.zarr.made").params == ("1",)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_record_is_named(job, seed):
    """Cut anywhere, or of another form."""
    job(options={"size": 40}, seed=0)
    path = Path("results/crops/.P1.npy.made")
    whole, drawn = path.read_bytes(), random.Random(seed)
    cut = whole[: drawn.randrange(len(whole) - 3)]
    other = drawn.choice([b"[]", b"null", b"7", b"\xff\xfe{", b'{"rule": "crops"}', b'{"outputs": 1}'])
    for damaged in (cut, other):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"results/crops/\.P1\.npy\.made: expected what made .*Delete the file"):
            made.read(path)
