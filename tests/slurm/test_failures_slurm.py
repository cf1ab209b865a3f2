"""Failures of jobs and of the head process on a cluster: messages, kept results, and equal tables.

Each test runs one stage of a screen that is finished but for it, and then the rest on this machine.
"""

import re
import shutil
import signal
import subprocess
from contextlib import contextmanager

import cluster
import pytest
import races
import runs

import screens

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FIT = ("results/fit/simclr.npz",)
TRAIN = ("results/train/simclr/encoder.safetensors",)
IMAGES = ("results/images/B1_U2OS.parquet",)


@pytest.fixture
def without(undisturbed, tmp_path):
    """Return a function: the finished screen without the results of a stage."""
    return lambda *patterns: runs.twin(undisturbed, tmp_path / "screen", *patterns)


@pytest.fixture
def finish(workflow, undisturbed):
    """Return a function: the rest of a screen on this machine; its results are those of the undisturbed run."""

    def finished(folder):
        runs.local(folder, workflow)
        assert runs.different(folder, undisturbed) == []

    return finished


def resources(workflow, folder, rule, **amounts):
    """Return a copy of the clone in which a rule asks for other amounts, growing with each attempt as before."""
    copy = shutil.copytree(workflow, folder)
    file = copy / "workflow" / "rules" / f"{rule}.smk"
    text = file.read_text()
    for name, amount in amounts.items():
        text, count = re.subn(rf"\b{name}=scaled\(\d+\)", f"{name}=scaled({amount})", text)
        assert count == 1
    file.write_text(text)
    return copy


def training(head, folder):
    """Wait until the training is some steps on its way; return its job."""
    log = folder / "results" / "logs" / "train" / "simclr.log"
    head.until(lambda: log.exists() and "step 20:" in log.read_text(), what="training")
    return head.slurm.running("train")


def test_a_job_over_its_memory_gets_more(slurm, workflow, without, finish, tmp_path):
    """The script and the Snakemake around it take some 350 MB."""
    small = resources(workflow, tmp_path / "clone", "fit", mem_mb=250)
    folder = without("fit/simclr.npz", "fit/simclr.features.parquet")
    with runs.head(slurm, folder, small, *FIT) as head:
        assert head.end() == 0, head.text()
    said = head.text()
    assert "SLURM status is: 'FAILED'" in said or "SLURM status is: 'OUT_OF_MEMORY'" in said
    # SLURM's own log of the job stays, in the screen's folder, wherever the head was started.
    (kept,) = (folder / ".snakemake/slurm_logs/rule_fit/simclr").glob("*.log")
    assert "Exceeded job memory limit" in kept.read_text() or "oom" in kept.read_text().lower()
    asked = [cluster.say("scontrol", "show", "job", job["id"]) for job in slurm.jobs("fit")]
    assert sorted(re.search(r"mem=(\d+)M", text)[1] for text in asked)[:2] == ["250", "500"]
    assert "Trying to restart job" in said
    finish(folder)


def test_a_job_over_its_time_gets_more(slurm, workflow, without, finish, tmp_path):
    """The job hangs, as on a file system that does not answer. The report of what jobs used names its rule."""
    short = resources(workflow, tmp_path / "clone", "fit", runtime=1)
    folder = without("fit/simclr.npz", "fit/simclr.features.parquet")
    with runs.head(slurm, folder, short, *FIT, "--slurm-efficiency-report") as head:
        hung = head.until(lambda: runs.working(folder, "fit"), what="the script")[0]
        hung.send_signal(signal.SIGSTOP)
        assert head.end() == 0, head.text()
    assert "SLURM status is: 'TIMEOUT'" in head.text()
    asked = [cluster.say("scontrol", "show", "job", job["id"]) for job in slurm.jobs("fit")]
    assert sorted(re.search(r"TimeLimit=(\S+)", text)[1] for text in asked) == ["00:01:00", "00:02:00"]
    if slurm.accounting:
        (report,) = folder.glob("efficiency_report_*.csv")
        assert "rule_fit_wildcards_simclr" in report.read_text()
    finish(folder)


def test_a_cancelled_job_is_made_again(slurm, workflow, without, finish):
    folder = without("train/simclr")
    with runs.head(slurm, folder, workflow, *TRAIN) as head:
        cluster.say("scancel", training(head, folder)["id"])
        assert head.end() == 0, head.text()
    assert "SLURM status is: 'CANCELLED'" in head.text()
    # It was told to stop before it was killed, and wrote where it stood.
    assert "resumed at step" in (folder / "results/logs/train/simclr.log").read_text()
    finish(folder)


def test_an_interrupted_head_takes_its_jobs_with_it(slurm, workflow, without, finish):
    folder = without("train/simclr")
    with runs.head(slurm, folder, workflow, *TRAIN) as head:
        training(head, folder)
        head.kill(signal.SIGINT)
    assert head.process.returncode != 0
    cluster.wait(lambda: slurm.running("train") is None, what="the end of the job", seconds=60)
    assert not (folder / "results/train/simclr/encoder.safetensors").exists()
    with runs.head(slurm, folder, workflow, *TRAIN) as head:
        assert head.end() == 0, head.text()
    assert "resumed at step" in (folder / "results/logs/train/simclr.log").read_text()
    finish(folder)


def test_a_killed_head_leaves_a_lock_and_a_job(slurm, workflow, without, finish):
    folder = without("train/simclr")
    with runs.head(slurm, folder, workflow, *TRAIN) as head:
        job = training(head, folder)
        head.kill()
    # The job goes on, and says of what it is.
    assert slurm.job(job["id"])["state"] == "RUNNING" and job["comment"] == "rule_train_wildcards_simclr"
    with runs.head(slurm, folder, workflow, *TRAIN) as head:
        assert head.end() != 0
    assert "Directory cannot be locked" in head.text() and "--unlock" in head.text()
    cluster.say("scancel", job["id"])
    cluster.wait(lambda: slurm.running("train") is None, what="the end of the job", seconds=60)
    unlocked = screens.snakemake("--unlock", cwd=folder, workflow=workflow)
    assert unlocked.returncode == 0, unlocked.stdout
    with runs.head(slurm, folder, workflow, *TRAIN) as head:
        assert head.end() == 0, head.text()
    assert "resumed at step" in (folder / "results/logs/train/simclr.log").read_text()
    finish(folder)


def test_the_outputs_of_the_job_that_overtook_stay(slurm, workflow, undisturbed, tmp_path):
    """Both heads live. The one whose job was overtaken sees it fail, and by the profile deletes nothing."""
    ground = races.Ground(workflow, undisturbed, runs.PLATES[0], slurm, submitted=("--retries", "0"))
    row = races.race(ground, tmp_path / "race", kind="two heads", stage="fit", seed="two heads")
    assert not row["missed"] and row["first"] != 0, row
    assert row["different"] == [] and row["ended"] == 0, row


def test_a_controller_that_is_away_for_a_while_is_waited_for(slurm, workflow, without, finish):
    """While it is away the executor asks the accounting daemon; without one it loses its jobs, as documented."""
    if not slurm.accounting:
        pytest.skip("needs an accounting database")
    folder = without("fit/simclr.npz", "fit/simclr.features.parquet")
    with runs.head(slurm, folder, workflow, *FIT) as head:
        head.until(lambda: runs.working(folder, "fit"), what="the script")
        slurm.stop_controller()
        cluster.wait(lambda: not runs.working(folder, "fit"), what="the end of the script", seconds=120)
        # Longer than the default five looks at the queue take.
        with pytest.raises(TimeoutError):
            cluster.wait(lambda: head.process.poll() is not None, what="nothing", seconds=45)
        slurm.start_controller()
        assert head.end() == 0, head.text()
    finish(folder)


@contextmanager
def mounted(folder):
    """Put the results of a screen on a file system of their own; gives what mounts it anew with other options."""
    results, aside = folder / "results", folder / "aside"
    results.rename(aside)
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", results], check=True)
    try:
        shutil.copytree(aside, results, dirs_exist_ok=True)
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", results], check=True)
    finally:
        subprocess.run(["umount", "--lazy", results], check=True)


def test_a_full_disk_is_named_and_space_is_all_it_takes(slurm, workflow, without, undisturbed):
    folder = without("images/B1_U2OS.zarr", "images/B1_U2OS.parquet")
    with mounted(folder) as remount:
        used = shutil.disk_usage(folder / "results").used
        remount(f"size={used + 500_000}")
        with runs.head(slurm, folder, workflow, *IMAGES, "--retries", "0") as head:
            assert head.end() != 0
        assert "No space left on device" in head.text()
        assert "Error in rule images" in head.text() and "B1_U2OS" in head.text()
        assert not (folder / "results/images/B1_U2OS.parquet").exists()
        remount("size=500m")
        with runs.head(slurm, folder, workflow, *IMAGES) as head:
            assert head.end() == 0, head.text()
        runs.local(folder, workflow)
        assert runs.different(folder, undisturbed) == []


def test_results_that_may_not_be_written_are_named(slurm, workflow, without, undisturbed):
    folder = without("fit/simclr.npz", "fit/simclr.features.parquet")
    with mounted(folder) as remount:
        remount("ro")
        with runs.head(slurm, folder, workflow, *FIT, "--retries", "0") as head:
            assert head.end() != 0
        assert "Read-only file system" in head.text()
        remount("rw")
        with runs.head(slurm, folder, workflow, *FIT) as head:
            assert head.end() == 0, head.text()
        runs.local(folder, workflow)
        assert runs.different(folder, undisturbed) == []
