"""A killed run: unlocked and run again it ends with the same bytes as one that was left alone."""

import os
import signal
import subprocess
import time

import psutil
import pytest

import screens
from wellspring.screen.stages import RULES

# The stages of the small screen, whose encoders are networks.
OTHERS = ("measure", "ingest", "pack", "single_cells", "cell_tests", "verdict", "export", "weights", "check")
STAGES = [name for name in RULES if name not in OTHERS]


def kill_in(stage, folder):
    """Run until a job of `stage` is under way, then kill Snakemake and its processes; return whether it got there."""
    log = folder / "results" / "logs" / stage
    call = screens.command("--cores", "2", "--rerun-incomplete", cwd=folder)
    known = set(log.rglob("*.log")) if log.exists() else set()
    with subprocess.Popen(
        call, cwd=screens.ROOT, env=screens.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            while run.poll() is None:
                if log.exists() and set(log.rglob("*.log")) - known:
                    time.sleep(0.5)  # past the imports, into the work
                    return True
                time.sleep(0.05)
            return False
        finally:
            if run.poll() is None:
                started = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
                for process in started:
                    if process.is_running():
                        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_killed_in_each_stage_and_run_again_gives_the_same_bytes(finished, tmp_path):
    folder = screens.make(tmp_path / "killed", changes=screens.SMALL)
    for stage in STAGES:
        assert kill_in(stage, folder), f"{stage}: the run ended before it was killed"
        unlocked = screens.snakemake("--unlock", cwd=folder)
        assert unlocked.returncode == 0, unlocked.stdout
    done = screens.snakemake("--cores", "2", "--rerun-incomplete", cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:]
    alone, killed = screens.digests(finished), screens.digests(folder)
    assert alone.keys() == killed.keys()
    assert [name for name in alone if alone[name] != killed[name]] == []
