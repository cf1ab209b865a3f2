"""Several processes of one job: started, stopped and restarted."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

import blobs
import trainings
from wellspring.io import tables
from wellspring.io.shipped import LIBRARY
from wellspring.train import launch
from wellspring.train.checkpoint import Interrupted

CALL = (
    "import sys; from wellspring.train.job import Job; from wellspring.train.launch import launch; "
    "launch(Job.read(sys.argv[1]), threads=2)"
)
# Starts what it is given once a node, as srun does, and tells how it was called.
SRUN = """#!{python}
import subprocess, sys
at = sys.argv.index(sys.executable)
open(sys.argv[0] + ".called", "w").write(" ".join(sys.argv[1:at]))
nodes = next(int(each.split("=")[1]) for each in sys.argv[:at] if each.startswith("--nodes="))
started = [subprocess.Popen(sys.argv[at:]) for _ in range(nodes)]
sys.exit(max(process.wait() for process in started))
"""


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=trainings.CHANNELS)


def start(job, folder):
    folder.mkdir(exist_ok=True)
    job.write(folder / "described.json")
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    with (folder / "log").open("w") as log:
        call = [sys.executable, "-c", CALL, str(folder / "described.json")]
        return subprocess.Popen(call, stdout=log, stderr=log, env=environment)


def wait_for(text, folder, process):
    """Wait until a log contains a text."""
    while text not in (folder / "log").read_text():
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_processes_stop_together_and_go_on_as_if_they_had_not(screen, tmp_path, number):
    entry = blobs.entry(steps=20, one_plate=True)
    options = {"gpus": 2, "log_every": 1, "retrieve_every": 0}
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert start(trainings.job(whole, screen, entry, **options), whole).wait() == 0, (whole / "log").read_text()
    job = trainings.job(parted, screen, entry, **options)
    process = start(job, parted)
    wait_for("step 2:", parted, process)
    process.send_signal(number)
    assert process.wait() == 1
    said = (parted / "log").read_text()
    assert "Interrupted: asked to stop at step" in said.splitlines()[-1], said
    assert {path.name for path in parted.iterdir()} == {"checkpoint.pt", "described.json", "log"}
    assert start(job, parted).wait() == 0
    assert "resumed at step" in (parted / "log").read_text()
    assert (whole / "encoder.safetensors").read_bytes() == (parted / "encoder.safetensors").read_bytes()
    assert tables.read(whole / "history.parquet").equals(tables.read(parted / "history.parquet"))
    assert not (parted / "checkpoint.pt").exists()


@pytest.mark.slow
def test_nodes_meet_and_a_failure_is_told_in_its_own_words(screen, tmp_path, monkeypatch):
    srun = tmp_path / "srun"
    srun.write_text(SRUN.format(python=sys.executable))
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", str(os.getpid()))
    monkeypatch.setenv("SLURM_NTASKS", "7")
    folder = tmp_path / "two"
    process = start(trainings.job(folder, screen, blobs.entry(), nodes=2), folder)
    assert process.wait() == 0, (folder / "log").read_text()
    assert len(tables.read(folder / "history.parquet")) == 2
    assert (
        "--nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=2 --gpus-per-node=1"
        in (tmp_path / "srun.called").read_text()
    )
    process = start(trainings.job(folder, screen, blobs.entry(batch=6), nodes=2), folder)
    assert process.wait() == 1
    said = (folder / "log").read_text().splitlines()[-1]
    assert "RuntimeError: ValueError: encoders.batch: expected a multiple of 4 (2 processes" in said


def test_one_process_is_not_launched(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_run", None)
    launch.launch(trainings.job(tmp_path, screen, blobs.entry()), threads=1)
    assert tables.read(tmp_path / "history.parquet")["Metadata_Step"].tolist() == [0, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "encoder.json",
        "encoder.safetensors",
        "history.parquet",
    ]


def test_several_nodes_need_slurm(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ValueError, match="train.nodes: expected 1 outside of a SLURM job, found 2"):
        launch.command(tmp_path / "job.json", gpus=1, nodes=2, threads=1)


@pytest.mark.parametrize(
    ("kind", "raised", "words"),
    [("Interrupted", Interrupted, "stopped at 3"), ("TooLarge", RuntimeError, "TooLarge: stopped at 3")],
)
def test_what_a_process_left_is_raised(screen, tmp_path, monkeypatch, kind, raised, words):
    def ended(call, *, threads):
        (tmp_path / "job.failed").write_text(json.dumps({"kind": kind, "message": "stopped at 3"}))
        return 1

    monkeypatch.setattr(launch, "_run", ended)
    with pytest.raises(raised, match=words):
        launch.launch(trainings.job(tmp_path, screen, blobs.entry(), gpus=2), threads=2)
    monkeypatch.setattr(launch, "_run", lambda call, *, threads: -9)
    with pytest.raises(RuntimeError, match="expected exit status 0 of all 2 processes, found -9"):
        launch.launch(trainings.job(tmp_path, screen, blobs.entry(), gpus=2), threads=2)
    assert not list(tmp_path.iterdir())
