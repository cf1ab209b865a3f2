"""A small screen on a cluster: start a run from a clone of the workflow, inspect it, kill it.

The screen is the demo's, of two plates with small fields and one encoder, by a copy of the clone: what others change in
theirs while a run of minutes is under way does not reach it.
"""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import cluster
import psutil

import screens

PLATES = ("B1_U2OS", "B2_U2OS")  # of two batches, so that there is something to align
# Long enough to be stopped in; everything else as short as it can be.
CHANGES = {
    "encoders": {"simclr": {"steps": 150, "batch": 16}, "sslprofiler": None, "random": None},
    "crops": {"cells_per_well": 8},
    "evaluate": {"null_size": 1000, "bootstrap": 100, "permutations": 5},
}
FIELD = 180  # pixels a side, of the demo's 400
# All that two runs may differ in: the page shows how long jobs took, the other file names the screen's folder.
APART = ("report/index.html", ".screen")
# Two jobs at a time, and a look at the queue every few seconds: the jobs of this screen last no longer.
PACE = ("--jobs", "2", "--slurm-init-seconds-before-status-checks", "3", "--max-status-checks-per-second", "1")
PACE += ("--latency-wait", "15")


def clone(root: Path, folder: Path) -> Path:
    """Copy what a run needs of the clone `root`, with small fields in its demo screen."""
    for name in ("workflow", "resources", "envs", "config", "profiles"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "Snakefile", folder)
    edit(folder / "resources" / "demo" / "screen.yaml", "\nfield: 400 ", f"\nfield: {FIELD} ")
    return folder


def edit(file: Path, old: str, new: str) -> None:
    """Replace text that occurs once in a file."""
    text = file.read_text()
    assert text.count(old) == 1, f"{file}: expected {old!r} once, found it {text.count(old)} times"
    file.write_text(text.replace(old, new))


def make(folder: Path, workflow: Path, *, changes: Mapping = CHANGES) -> Path:
    """Make the folder of the small screen."""
    screens.make(folder, changes=changes, workflow=workflow)
    sheet = screens.read_sheet(folder)
    screens.write_sheet(folder, sheet[sheet["plate"].isin(PLATES)])
    return folder


def twin(finished: Path, folder: Path, *without: str) -> Path:
    """Copy a finished screen but for its logs and the results that match the patterns `without`."""
    folder.mkdir(parents=True)
    shutil.copytree(finished / "config", folder / "config")
    shutil.copytree(
        finished / ".snakemake", folder / ".snakemake", ignore=shutil.ignore_patterns("locks", "log", "tmp*")
    )
    shutil.copytree(finished / "results", folder / "results", ignore=shutil.ignore_patterns("logs"))
    for pattern in without:
        found = list((folder / "results").glob(pattern))
        assert found, f"no results match {pattern}"
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def local(folder: Path, workflow: Path, *arguments: str) -> str:
    """Run on this machine until it succeeds; return its output."""
    done = screens.snakemake("--cores", "2", *arguments, cwd=folder, workflow=workflow)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def unlock(folder: Path) -> None:
    """Remove the locks of a killed run, as `--unlock` does, without the seconds in which Snakemake starts."""
    shutil.rmtree(folder / ".snakemake" / "locks", ignore_errors=True)


def digests(folder: Path) -> dict[str, str]:
    """Return path to sha256 of the results: tables with their provenance, arrays, weights, pictures."""
    return {name: digest for name, digest in screens.digests(folder).items() if name not in APART}


def different(folder: Path, undisturbed: Path) -> list[str]:
    """Return the results of two runs that differ, or that one of them lacks."""
    one, other = digests(folder), digests(undisturbed)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def working(folder: Path, stage: str = "") -> list[psutil.Process]:
    """Return the processes that run the scripts of a screen's jobs, all or those of a stage."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        call = process.info["cmdline"] or []
        if len(call) == 2 and call[1].startswith(f"{folder}/.snakemake/scripts/") and call[1].endswith(f"{stage}.py"):
            found.append(process)
    return found


class Head:
    """The Snakemake process that submits jobs and waits; its output goes to a file."""

    def __init__(self, process: subprocess.Popen, said: Path, slurm: cluster.Cluster) -> None:
        self.process, self.said, self.slurm = process, said, slurm

    def text(self) -> str:
        """Return its output so far."""
        return self.said.read_text(errors="replace")

    def end(self, seconds: float = 300) -> int:
        """Wait for its end and return its exit status."""

        def ended() -> bool:
            self.slurm.hurry()
            return self.process.poll() is not None

        cluster.wait(ended, what=f"the end of the run, see {self.said}", seconds=seconds, every=1)
        return self.process.returncode

    def until(self, met: Callable[[], object], *, what: str, seconds: float = 400) -> object:
        """Wait until `met` gives something true and return that; an end of the run before is an error."""

        def looked() -> object:
            assert self.process.poll() is None, f"the run ended before {what}:\n{self.text()[-6000:]}"
            self.slurm.hurry()
            return met()

        return cluster.wait(looked, what=f"{what}, see {self.said}", seconds=seconds, every=0.5)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to this one process, not to its jobs, and wait for its end."""
        self.process.send_signal(number)
        self.process.wait(60)


def through(folder: Path, workflow: Path, *arguments: str) -> list[str]:
    """Return the call of the shipped profile on a screen, two jobs at a time at this machine's pace."""
    profile = str(workflow / "profiles" / "slurm")
    return screens.command("--profile", profile, *PACE, *arguments, cwd=folder, workflow=workflow)


@contextmanager
def head(slurm: cluster.Cluster, folder: Path, workflow: Path, *arguments: str) -> Iterator[Head]:
    """Start the shipped profile on a screen; its processes do not outlive the block."""
    call = through(folder, workflow, *arguments)
    said = folder / f"head.{len(list(folder.glob('head.*')))}.log"
    with said.open("w") as stream:
        process = subprocess.Popen(call, cwd=workflow, env=screens.environment(), stdout=stream, stderr=stream)
    try:
        yield Head(process, said, slurm)
    finally:
        if process.poll() is None:
            for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
