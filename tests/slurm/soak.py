"""Kill runs at random and run them again; count how many of N killed runs end with the same results.

    python tests/slurm/soak.py --kills 50 --on-slurm 8 --folder /scratch/soak
    python tests/slurm/soak.py --races 50 --on-slurm 8 --folder /scratch/soak

A small screen is run, killed at a time that is uniform over a run, unlocked and run again; killed some more times on
its way, and run to its end; then its results are compared byte for byte with those of a run that nothing disturbed. The
head or one of its jobs is killed, by SIGKILL or SIGTERM, and nothing else is: what a killed head started goes on beside
the next run, as it does on a real machine. On SLURM its jobs are cancelled first, as docs/cluster.md asks. Stopped, the
soak goes on where it was with the same folder. With `--races` the disturbances are aimed (`races.py`): two writers, a
suspended job that resumes, a job whose end nobody sees, an edited config, a purge between two stages; each must
converge, or stop by name and then converge. A race takes some 10 s of processor time, on SLURM twice as much: all
earlier stages are those of the undisturbed screen.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cluster
import psutil
import races
import runs
from test_end_to_end_slurm import GROUPED

import screens

EACH = 4  # kills of a run, so that most hit a run that picks up what the one before left
# One plate, and a training of seconds.
CHANGES = screens.merge(runs.CHANGES, {"encoders": {"simclr": {"steps": 20}}})
ON_SLURM = 2.5  # times as long as on this machine does a run take there (measured, with groups)


def main() -> None:
    """Kill, run again, compare; print a line per kill and a summary, whose last line is JSON."""
    given = arguments()
    folder = given.folder.resolve()
    cluster.clear()  # the commands of a cluster that is gone keep every Snakemake waiting for seconds
    workflow, undisturbed, seconds = prepare(folder)
    if given.races:
        race(given, folder, races.Ground(workflow, undisturbed, runs.PLATES[0]))
        return
    journal = folder / "soak.jsonl"
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    for where, wanted in (("local", given.kills - given.on_slurm), ("slurm", given.on_slurm)):
        with cluster.cluster() if where == "slurm" and wanted else nullcontext() as slurm:
            while (left := wanted - sum(row["kills"] for row in done if row["where"] == where)) > 0:
                kills = draws(f"{given.seed} {len(done)}", seconds * (ON_SLURM if slurm else 1))[:left]
                row = one(folder / f"run{len(done)}", workflow, undisturbed, kills, slurm)
                done.append(row)
                with journal.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    kinds = Counter(f"{each['where']} {kill['what']} {kill['signal']}" for each in done for kill in each["by"])
    for kind, count in sorted(kinds.items()):
        print(f"{count:3d}  {kind}")
    bad = [row["run"] for row in done if row["different"]]
    kills = sum(row["kills"] for row in done)
    print(json.dumps({"kills": kills, "runs": len(done), "equal": len(done) - len(bad), "different": bad}))


def race(given: argparse.Namespace, folder: Path, ground: races.Ground) -> None:
    """Run the aimed races, every kind at every stage in turn; print a line per race and a summary as JSON."""
    kinds = {"local": races.KINDS, "slurm": (*races.KINDS, *races.ON_SLURM)}
    pairs = {where: drawn_pairs(of, given.seed) for where, of in kinds.items()}
    journal = folder / "races.jsonl"
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    for where, wanted in (("local", given.races - given.on_slurm), ("slurm", given.on_slurm)):
        with cluster.cluster() if where == "slurm" and wanted else nullcontext() as slurm:
            for number in range(sum(row["where"] == where for row in done), wanted):
                kind, stage = pairs[where][number % len(pairs[where])]
                place, seed = folder / f"race.{where}{number}", f"{given.seed} {where} {number}"
                shutil.rmtree(place, ignore_errors=True)
                row = races.race(replace(ground, slurm=slurm), place, kind=kind, stage=stage, seed=seed)
                done.append(row | {"run": place.name})
                with journal.open("a") as stream:
                    stream.write(json.dumps(done[-1]) + "\n")
                print(json.dumps(done[-1]), flush=True)
    for kind, count in sorted(Counter(f"{row['where']} {row['kind']}" for row in done).items()):
        print(f"{count:3d}  {kind}")
    counts = {"races": len(done), "converged": sum(row["converged"] for row in done)}
    counts |= {
        name: sum(bool(row.get(key)) for row in done) for name, key in (("stops", "ended"), ("missed", "missed"))
    }
    bad = [row["run"] for row in done if not (row["converged"] or row["missed"])]
    print(json.dumps(counts | {"bad": bad}))


def drawn_pairs(kinds: tuple[str, ...], seed: int) -> list[tuple[str, str]]:
    """Return all pairs of a kind and a stage that have a race, in an order that the seed draws."""

    def possible(kind: str, stage: races.Stage) -> bool:
        return bool({"purge": stage.inputs, "edited": stage.option}.get(kind, True))

    pairs = [(kind, name) for name, stage in races.STAGES.items() for kind in kinds if possible(kind, stage)]
    random.Random(seed).shuffle(pairs)
    return pairs


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--races", type=int, default=0, help="aimed races in place of kills")
    parser.add_argument("--on-slurm", type=int, default=0, help="of these, on a cluster of its own; they come last")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs; the same one goes on")
    return parser.parse_args()


def prepare(folder: Path) -> tuple[Path, Path, float]:
    """Return the clone, the screen that nothing disturbed, and how long it took; made when they are not there."""
    workflow, undisturbed, took = folder / "clone", folder / "undisturbed", folder / "seconds.json"
    if not took.exists():
        for each in (workflow, undisturbed):
            shutil.rmtree(each, ignore_errors=True)
        runs.clone(screens.ROOT, workflow)
        screen(undisturbed, workflow)
        start = time.monotonic()
        runs.local(undisturbed, workflow)
        took.write_text(json.dumps(time.monotonic() - start))
    return workflow, undisturbed, json.loads(took.read_text())


def screen(folder: Path, workflow: Path) -> Path:
    """Make the folder of the screen: one plate."""
    runs.make(folder, workflow, changes=CHANGES)
    screens.write_sheet(folder, screens.read_sheet(folder).head(1))
    return folder


def draws(seed: str, seconds: float) -> list[tuple[float, str, signal.Signals]]:
    """Draw the kills of a run: after how many seconds of it, what, and how."""
    drawn = random.Random(seed)
    ways = ("head", "job"), (signal.SIGKILL, signal.SIGTERM)
    return [(drawn.uniform(0, seconds), *map(drawn.choice, ways)) for _ in range(EACH)]


def one(folder: Path, workflow: Path, undisturbed: Path, kills: list, slurm: cluster.Cluster | None) -> dict:
    """Run a screen with kills on its way, to its end; return what was done and which results differ."""
    shutil.rmtree(folder, ignore_errors=True)
    screen(folder, workflow)
    by, start = [], time.monotonic()
    for after, what, how in kills:
        killed, ended = run(folder, workflow, after, what, how, slurm)
        if not killed:
            break  # it was faster than when it was measured
        by.append({"after": round(after, 1), "what": what, "signal": how.name, "ended": ended, "steps": steps(folder)})
    _, ended = run(folder, workflow, None, "head", signal.SIGKILL, slurm)
    if ended:
        raise RuntimeError(f"{folder}: expected the last run to end well, found status {ended}; see head.log")
    cluster.wait(lambda: not runs.working(folder), what="what a killed run started", seconds=120)
    different = runs.different(folder, undisturbed)
    if not different:
        shutil.rmtree(folder)
    took = round(time.monotonic() - start)
    where = "slurm" if slurm else "local"
    return {"run": folder.name, "where": where, "kills": len(by), "by": by, "seconds": took, "different": different}


def run(
    folder: Path,
    workflow: Path,
    after: float | None,
    what: str,
    how: signal.Signals,
    slurm: cluster.Cluster | None,
) -> tuple[bool, int]:
    """Run until the end or until the kill; return whether it was killed and the exit status (of the head)."""
    screens.snakemake("--unlock", cwd=folder, workflow=workflow)
    if slurm is None:
        call = screens.command("--cores", "2", "--rerun-incomplete", cwd=folder, workflow=workflow)
    else:
        subprocess.run(["scancel", "--quiet", "--user=root"], check=True)
        cluster.wait(lambda: not slurm.jobs(states="running,completing,pending"), what="an empty queue", seconds=90)
        call = runs.through(folder, workflow, *GROUPED)
    with (folder / "head.log").open("a") as said:
        head = subprocess.Popen(call, cwd=workflow, env=screens.environment(), stdout=said, stderr=said)
        end = None if after is None else time.monotonic() + after
        while head.poll() is None and (end is None or time.monotonic() < end):
            time.sleep(0.05)
        if head.poll() is not None:
            return False, head.returncode
        # A moment in which no job runs has none to kill: the next that starts is.
        while head.poll() is None:
            for process in [psutil.Process(head.pid)] if what == "head" else runs.working(folder):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(how)
                    head.wait()
                    return True, head.returncode
            time.sleep(0.05)
        return False, head.returncode


def steps(folder: Path) -> int:
    """Return how many jobs of a screen have ended well."""
    return len(list((folder / "results" / "benchmarks").rglob("*.tsv")))


if __name__ == "__main__":
    main()
