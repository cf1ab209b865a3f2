"""Aimed races: a job is suspended, overtaken or robbed of its input at a stage of a finished screen.

Each race takes a twin of a finished screen without the results of one stage, makes that stage again with a second
writer, a suspended job or a purge on the way, and compares all results with those of the finished screen, byte for
byte. In a race of writers the first job has an option of its own, so that a result of the late job would differ. Jobs
are stopped by the processor time that they have used, so that races also hit their aim on a machine with much to do.

- two writers: the first head is killed, its job goes on beside the second run.
- suspended: its job is suspended, and resumes when the second run has ended.
- resumed: its job is suspended, and resumes while the second run's job works.
- two heads: the first head lives, and sees its suspended job resume and fail after the second run has ended.
- unseen: the head is killed, its job ends before the second run, which alone may decide whose option the results have.
- edited: the config is edited after the head has planned the job and before the job, on a cluster, reads it.
- purge: a file that the stage reads is deleted before it runs.
"""

import random
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cluster
import psutil
import runs

import screens

KINDS = ("two writers", "suspended", "resumed", "two heads", "unseen", "purge")
ON_SLURM = ("edited",)  # kinds beside these; on one machine a job has the options of its head
LEAST = 0.5  # s of processor time, up to which a job is stopped whatever it used in the finished screen
EVERY = 0.1  # s between two looks at processes
DRAWS = 4  # times that a race is begun whose first job had ended before it was stopped; each delay is half as long


@dataclass(frozen=True)
class Stage:
    """A stage: the results that its job writes, the first of which is asked for; an option that changes their bytes."""

    outputs: tuple[str, ...]
    option: Mapping = field(default_factory=dict)
    inputs: tuple[str, ...] = ()  # folders of results of earlier stages that it reads


# {plate}: the plate; networks are of the encoder simclr. Lost raw images are excluded by name, and not of these races.
STAGES = {
    "simulate": Stage(("demo/{plate}",)),
    "index": Stage(("index/{plate}.parquet", "index/{plate}.audit.parquet")),
    "survey": Stage(
        ("survey/{plate}.parquet", "survey/{plate}.npy", "survey/{plate}.excluded.tsv"),
        {"survey": {"max_saturated": 0.011}},
        ("index",),
    ),
    "illumination": Stage(("illumination/{plate}.npz",), {"illumination": {"offset": 100}}, ("survey",)),
    "images": Stage(
        ("images/{plate}.parquet", "images/{plate}.zarr"), {"images": {"low": 0.002}}, ("illumination", "survey")
    ),
    "cells": Stage(
        ("cells/{plate}.parquet", "cells/{plate}.zarr"), {"cells": {"smallest": 0.2}}, ("images", "images/{plate}.zarr")
    ),
    "crops": Stage(
        ("crops/{plate}.npy", "crops/{plate}.parquet"),
        {"crops": {"cells_per_well": 7}},
        ("cells", "images/{plate}.zarr"),
    ),
    "train": Stage(
        tuple(f"train/simclr/{name}" for name in ("encoder.safetensors", "encoder.json", "history.parquet")),
        {"encoders": {"simclr": {"temperature": 0.3}}},
        ("crops", "images"),
    ),
    "embed": Stage(
        ("embed/simclr/{plate}.parquet",), {"embed": {"batch": 64}}, ("train/simclr", "images/{plate}.zarr")
    ),
    "profile": Stage(
        tuple(
            f"profile/simclr/{{plate}}.{end}" for end in ("normalised.parquet", "aggregated.parquet", "normaliser.npz")
        ),
        {"profile": {"spread_floor": 0.2}},
        ("embed/simclr",),
    ),
    "fit": Stage(("fit/simclr.npz", "fit/simclr.features.parquet"), {"fit": {"ridge": 0.1}}, ("profile/simclr",)),
    "align": Stage(("align/simclr/{plate}.parquet",), inputs=("fit", "profile/simclr")),
    "consensus": Stage(
        ("align/simclr.parquet", "align/simclr.consensus.parquet"),
        {"profile": {"consensus": "mean"}},
        ("align/simclr",),
    ),
    "evaluate": Stage(
        ("evaluate/simclr.items.parquet", "evaluate/simclr.summary.parquet"),
        {"evaluate": {"permutations": 7}},
        ("align", "profile/simclr"),
    ),
    "report": Stage(("report/metrics.csv", "report/map.svg"), {"report": {"title": "Another"}}, ("evaluate", "align")),
}


@dataclass(frozen=True)
class Ground:
    """Where races are run: the clone, the finished screen, one of its plates, and a cluster or None."""

    workflow: Path
    finished: Path
    plate: str
    slurm: cluster.Cluster | None = None
    local: tuple[str, ...] = ("--keep-incomplete",)  # arguments of runs without a cluster, as in its profile
    submitted: tuple[str, ...] = ()  # and of runs with one


def race(ground: Ground, folder: Path, *, kind: str, stage: str, seed: str) -> dict:
    """Run one race; return what was done, how it ended and which results differ (none, if it converged).

    `missed`: each time that the race was begun, the first job had ended, or written everything, before it was stopped;
    nothing is compared.
    """
    drawn, start = random.Random(seed), time.monotonic()
    outputs = [path.format(plate=ground.plate) for path in STAGES[stage].outputs]
    row: dict = {"kind": kind, "stage": stage, "where": "slurm" if ground.slurm else "local"}
    for draw in range(1 if kind in ("purge", "edited") else DRAWS):
        shutil.rmtree(folder, ignore_errors=True)
        runs.twin(ground.finished, folder, *outputs)
        run = Run(ground, folder, stage, f"results/{outputs[0]}")
        if kind in ("purge", "edited"):
            row |= _purged(run, drawn) if kind == "purge" else _edited(run)
        else:
            row |= _raced(run, kind, drawn, shorter=2**draw)
        if row.get("stopped", True):
            break
        cluster.wait(lambda: not runs.working(folder), what="the jobs of a race", seconds=300)
    row["missed"] = not row.get("stopped", True)
    if row["missed"]:
        shutil.rmtree(folder)
        return row | {"converged": False, "seconds": round(time.monotonic() - start)}
    left = runs.working(folder)
    late = [process for process in left if process.status() == psutil.STATUS_STOPPED]
    assert not late, f"{folder}: suspended jobs are left: {late}"
    cluster.wait(lambda: not runs.working(folder), what="the jobs of a race", seconds=300)
    if row["ended"]:
        row["named"] = run.named(row.get("lost", ""))
        run.to_end(forced=row.get("from", ""))
    # A lost result that nothing reads any more stays lost.
    row["different"] = [name for name in runs.different(folder, ground.finished) if name != row.get("lost")]
    row["seconds"] = round(time.monotonic() - start)
    row["converged"] = not row["different"] and row.get("named", True)
    if row["converged"]:
        shutil.rmtree(folder)
    return row


@dataclass
class Run:
    """The runs of a race: of one stage, in one folder; their output goes to `head.log`."""

    ground: Ground
    folder: Path
    stage: str
    target: str

    def start(self, *arguments: str) -> subprocess.Popen:
        """Unlock and start a run that makes the stage."""
        workflow = self.ground.workflow
        runs.unlock(self.folder)
        if self.ground.slurm is None:
            asked = ("--cores", "2", "--rerun-incomplete", *self.ground.local, self.target, *arguments)
            call = screens.command(*asked, cwd=self.folder, workflow=workflow)
        else:
            call = runs.through(self.folder, workflow, self.target, *self.ground.submitted, *arguments)
        with (self.folder / "head.log").open("a") as said:
            return subprocess.Popen(call, cwd=workflow, env=screens.environment(), stdout=said, stderr=said)

    def job(self, head: subprocess.Popen, known: set[int] = frozenset()) -> psutil.Process | None:
        """Wait for the script of the stage, other than the `known` ones; None where the run ended before."""
        while head.poll() is None:
            for process in runs.working(self.folder, self.stage):
                if process.pid not in known:
                    return process
            if self.ground.slurm is not None:
                self.ground.slurm.hurry()
            time.sleep(EVERY)
        return None

    def to_end(self, *, forced: str = "") -> None:
        """Run until the end, which must be a success; `forced` stages are made again."""
        head = self.start(*(("--forcerun", forced) if forced else ()))
        if self.end(head):
            raise RuntimeError(
                f"{self.folder}: expected the last run to end well, found {head.returncode}; see head.log"
            )

    def end(self, head: subprocess.Popen) -> int:
        """Wait for the end of a run and return its exit status."""

        def ended() -> bool:
            if self.ground.slurm is not None:
                self.ground.slurm.hurry()
            return head.poll() is not None

        cluster.wait(ended, what=f"the end of a run in {self.folder}", seconds=3600)
        return head.returncode

    def processor(self) -> float:
        """Return the processor time that the stage took in the finished screen, s; at least `LEAST`."""
        (file,) = list((self.ground.finished / "results" / "benchmarks" / self.stage).rglob("*.tsv"))[:1]
        names, values = (line.split("\t") for line in file.read_text().splitlines()[:2])
        return max(float(values[names.index("cpu_time")]), LEAST)

    def named(self, lost: str) -> bool:
        """Return whether a stop is explained: by the job that overtook, or by the file that is lost."""
        logs = [path.read_text(errors="replace") for path in (self.folder / "results" / "logs").rglob("*.log")]
        said = "\n".join([*logs, (self.folder / "head.log").read_text(errors="replace")])
        return lost in said if lost else re.search(r"Superseded: \S+", said) is not None


def _raced(run: Run, kind: str, drawn: random.Random, *, shorter: int) -> dict:
    """Start a job with another option, kill its head and let a second run make the stage.

    `stopped`: the first job had not ended when the head was killed; if it had, the race is over.
    """
    # A head that lives tries its job again on a cluster: its results must be those of the second run.
    option = {} if kind == "two heads" else STAGES[run.stage].option
    config = run.folder / "config" / "config.yaml"
    original = config.read_text()
    screens.change(run.folder, option)
    head = run.start()
    job = run.job(head)
    if job is None:
        if head.returncode:
            raise RuntimeError(f"{run.folder}: the first run failed before its job began; see head.log")
        return {"after": 0.0, "stopped": False, "ended": 0}  # the job began and ended between two looks
    after = drawn.uniform(0, run.processor()) / shorter
    _worked(job, after)
    with suppress(psutil.NoSuchProcess):
        if kind not in ("two writers", "unseen"):
            job.suspend()
    stopped = _goes_on(job)
    if not stopped or kind != "two heads":
        head.kill()
        head.wait()
    if not stopped:
        return {"after": round(after, 1), "stopped": False, "ended": 0}
    config.write_text(original)
    if kind == "unseen":
        cluster.wait(lambda: not runs.working(run.folder), what="the end of a job", seconds=300)
        if run.ground.slurm is not None:
            cluster.wait(lambda: not run.ground.slurm.jobs(states="running,completing"), what="its end", seconds=90)
    second = run.start()
    if kind in ("two writers", "resumed"):
        other = run.job(second, {job.pid})
        if other is not None and kind == "resumed":
            _worked(other, drawn.uniform(0, run.processor()))
        with suppress(psutil.NoSuchProcess):
            job.resume()
    ended = run.end(second)
    with suppress(psutil.NoSuchProcess):
        job.resume()
    row = {"after": round(after, 1), "stopped": stopped, "ended": ended}
    if kind != "two heads":
        return row
    first = run.end(head)
    # A first job that had written everything before it was stopped ends well: the second overtook nothing.
    return row | {"first": first, "stopped": first != 0}


def _worked(job: psutil.Process, seconds: float) -> None:
    """Wait until a job has used so much processor time, or has ended."""
    while _goes_on(job):
        with suppress(psutil.NoSuchProcess):
            if sum(job.cpu_times()) >= seconds:
                return
        time.sleep(EVERY / 2)


def _goes_on(job: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return job.is_running() and job.status() != psutil.STATUS_ZOMBIE
    return False


def _edited(run: Run) -> dict:
    """Edit the config of a run whose job is about to start, change it back and run again."""
    config = run.folder / "config" / "config.yaml"
    original, logs = config.read_text(), run.folder / ".snakemake" / "log"
    before = set(logs.glob("*.log"))
    head = run.start()
    cluster.wait(
        lambda: any(
            f"rule {run.stage}:" in log.read_text(errors="replace") for log in set(logs.glob("*.log")) - before
        ),
        what="a job",
        seconds=120,
        every=0.02,
    )
    screens.change(run.folder, STAGES[run.stage].option)
    first = run.end(head)
    config.write_text(original)
    apart = len(runs.different(run.folder, run.ground.finished))
    return {"first": first, "apart": apart, "ended": run.end(run.start())}


def _purged(run: Run, drawn: random.Random) -> dict:
    """Delete a file that the stage reads, or a shard of one, and run the stage."""
    folders = [run.folder / "results" / name.format(plate=run.ground.plate) for name in STAGES[run.stage].inputs]
    files = sorted(path for folder in folders for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    files += sorted(path for folder in folders for path in folder.glob("*/*/*/0/c/0/0/0"))
    lost = drawn.choice(files)
    lost.unlink()
    ended = run.end(run.start())
    name = str(lost.relative_to(run.folder / "results"))
    # A shard is not an output: the plate that lost it is made again, as the error asks.
    return {"lost": name, "from": name.partition("/")[0] if "/c/0/0/0" in name else "", "ended": ended}
