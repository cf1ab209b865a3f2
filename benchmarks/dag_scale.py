"""How long Snakemake plans a screen before the first job is sent, and in how much memory, by plates and encoders.

Claimed: 1,000 plates of 384 wells x 9 sites with two encoders on cells are planned within 60 s and 2 GiB, the first job
is with the scheduler soon after, and time and memory grow in proportion to the plates (much more than ten times the
time for ten times the plates refutes it). Beside it stands a bare Snakefile of as many jobs, in chains of two and with
nothing but a command each: what Snakemake itself takes on this machine. Processor time holds beside other jobs too.

A plate is its folder and its platemap of 384 wells; no image is there, since a plan reads none. `begun` fakes the index
and survey of every plate, so that their files are looked at. The first submission is timed by an `sbatch` that notes
when it is called and answers with a number; nothing is run. Each figure is of a process of its own. `records` is what a
start of a finished screen takes to compare the jobs' own records with Snakemake's (`wellspring.workflow.records`);
processor time beyond 5 s at 1,000 plates refutes that it is cheap.

    python benchmarks/dag_scale.py [--quick]
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.io import made  # noqa: E402
from wellspring.workflow import records  # noqa: E402

CELLS = {"kind": "simclr", "view": {"kind": "cell", "size": 40}}
ROWS, COLUMNS = 16, 24  # a plate of 384 wells
SENT = 50  # jobs sent, at most, until the head process is stopped: enough for a rate
WAIT = 1800  # seconds, the longest that one plan may take
# Outputs of each job of a plate, and of a plate and an encoder.
OF_A_PLATE = (
    ("index/{plate}.parquet", "index/{plate}.audit.parquet"),
    ("survey/{plate}.parquet", "survey/{plate}.npy", "survey/{plate}.excluded.tsv"),
    ("illumination/{plate}.npz",),
    ("images/{plate}.zarr/zarr.json", "images/{plate}.parquet"),
    ("cells/{plate}.zarr/zarr.json", "cells/{plate}.parquet"),
    ("crops/{plate}.npy", "crops/{plate}.parquet"),
)
OF_AN_ENCODER = (
    ("embed/ENCODER/{plate}.parquet",),
    tuple(f"profile/ENCODER/{{plate}}.{end}" for end in ("aggregated.parquet", "normalised.parquet", "normaliser.npz")),
    ("align/ENCODER/{plate}.parquet",),
)
PARAMS = sorted(repr(value) for value in ({f"option{number}": number for number in range(40)}, "d" * 64, 1, None))
BARE = """\
rule all:
    input:
        "bare/all",


rule one:
    output:
        "bare/{{n}}.one",
    shell:
        "touch {{output}}"


rule two:
    input:
        "bare/{{n}}.one",
    output:
        "bare/{{n}}.two",
    shell:
        "touch {{output}}"


rule join:
    input:
        [f"bare/{{n}}.two" for n in range({count})],
    output:
        "bare/all",
    shell:
        "touch {{output}}"
"""
SBATCH = """\
#!/usr/bin/env python3
import os, time
with open(os.environ["WELLSPRING_SENT"], "a") as stream:
    stream.write(f"{time.time()}\\n")
print(os.getpid())
"""


@dataclass(frozen=True)
class Cost:
    """What a process took, wall clock and processor in seconds and peak memory in MiB, and what it said."""

    seconds: float
    processor: float
    peak_mb: float
    said: str


def screen(folder: Path, plates: int, *, encoders: int) -> Path:
    """Make a screen of so many plates and encoders: config, sheet, empty folders of images, platemaps."""
    (folder / "config").mkdir(parents=True)
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    config |= {"encoders": {f"encoder{number}": CELLS for number in range(encoders)}}
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    wells = [f"{chr(65 + row)}{column + 1:02d}" for row in range(ROWS) for column in range(COLUMNS)]
    platemap = "well_position,compound,pert_type\n" + "".join(
        f"{well},{'DMSO,negcon' if number % 12 == 0 else f'C{number},trt'}\n" for number, well in enumerate(wells)
    )
    rows = []
    for name in names(plates):
        (folder / "raw" / name).mkdir(parents=True)
        (folder / "raw" / f"{name}.csv").write_text(platemap)
        rows.append((name, f"raw/{name}", f"raw/{name}.csv", f"B{len(rows) // 24}", "U2OS", "fit"))
    sheet = pd.DataFrame(rows, columns=["plate", "images", "platemap", "batch", "cell_line", "role"])
    sheet.to_csv(folder / "config" / "plates.tsv", sep="\t", index=False)
    return folder


def names(plates: int) -> list[str]:
    """Return the names of so many plates."""
    return [f"P{number:04d}" for number in range(plates)]


def begin(folder: Path, plates: int) -> None:
    """Fake what `index` and `survey` make, as empty files."""
    for name in names(plates):
        for table in (f"index/{name}.parquet", f"index/{name}.audit.parquet", f"survey/{name}.parquet"):
            (folder / "results" / table).parent.mkdir(parents=True, exist_ok=True)
            (folder / "results" / table).touch()
        (folder / "results" / "survey" / f"{name}.npy").touch()


def planned(folder: Path, snakefile: Path) -> Cost:
    """Dry-run a Snakefile in a folder."""
    log = folder / "said.log"
    start = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*snakemake(folder, snakefile), "--dry-run", "--quiet", "rules"],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
        _, status, usage = os.wait4(process.pid, 0)
    cost = Cost(
        seconds=time.perf_counter() - start,
        processor=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        said=log.read_text(),
    )
    if status:
        raise RuntimeError(f"{folder}: expected a plan, found {cost.said[-3000:]}")
    return cost


def sent(folder: Path, snakefile: Path, *, count: int) -> tuple[float, float]:
    """Return the seconds until the shipped profile sends SLURM its first job, and jobs sent a second until `count`."""
    commands, notes = folder / "bin", folder / "sent"
    commands.mkdir()
    for name in ("sbatch", "squeue", "sinfo", "sacct", "sacctmgr", "scancel"):
        (commands / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\n")
        (commands / name).chmod(0o755)
    paths = os.pathsep.join([str(commands), os.environ["PATH"]])
    start = time.time()
    process = subprocess.Popen(
        [*snakemake(folder, snakefile), "--profile", str(REPOSITORY / "profiles" / "slurm")],
        stdout=(folder / "sent.log").open("w"),
        stderr=subprocess.STDOUT,
        env=environment() | {"PATH": paths, "WELLSPRING_SENT": str(notes)},
        start_new_session=True,
    )
    try:
        while not notes.exists() or len(notes.read_text().splitlines()) < count:
            if process.poll() is not None or time.time() - start > WAIT:
                raise RuntimeError(f"{folder}: expected jobs sent, found {(folder / 'sent.log').read_text()[-3000:]}")
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    times = [float(line) for line in notes.read_text().splitlines()]
    return times[0] - start, (len(times) - 1) / (times[-1] - times[0])


def recorded(folder: Path, plates: int, *, encoders: int) -> tuple[float, float]:
    """Return seconds and processor seconds in which the records of a finished screen are compared; all agree."""
    from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
    from snakemake.persistence.file import FilePersistence

    folder.mkdir()
    os.chdir(folder)  # where both kinds of records are
    known = FilePersistence()
    jobs = [*OF_A_PLATE, *(own for name in range(encoders) for own in _of_encoder(f"encoder{name}"))]
    about = {"rule": "rule", "input": ["a", "b"], "params": PARAMS}
    whole = {"record_format_version": RECORD_FORMAT_VERSION, "incomplete": False, "starttime": 1.0, "endtime": 2.0}
    for plate in names(plates):
        for outputs in jobs:
            own = [f"results/{output}".format(plate=plate) for output in outputs]
            for output in own:
                Path(output).parent.mkdir(parents=True, exist_ok=True)
                Path(output).touch()
                known._write_record(output, MetadataRecord(**about, **whole))
            record = {"rule": "rule", "outputs": own, "inputs": ["a", "b"], "params": PARAMS}
            made.path_of(own[0]).write_text(json.dumps(record, indent=1))
    start, processor = time.perf_counter(), time.process_time()
    patterns = [f"results/{output}" for outputs in jobs for output in outputs]
    corrected = records.correct(patterns, read=known._read_record, write=lambda *_: None)
    if corrected:
        raise RuntimeError(f"{folder}: expected records that agree, found others of {corrected[:3]}")
    return time.perf_counter() - start, time.process_time() - processor


def _of_encoder(name: str) -> list[tuple[str, ...]]:
    return [tuple(output.replace("ENCODER", name) for output in outputs) for outputs in OF_AN_ENCODER]


def snakemake(folder: Path, snakefile: Path) -> list[str]:
    """Return the command line that runs a Snakefile in a folder, but for what it is to do."""
    return [sys.executable, "-m", "snakemake", "-s", str(snakefile), "-d", str(folder), "--cores", "2", "--nocolor"]


def environment() -> dict[str, str]:
    """Return the environment without a user's profile."""
    return {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}


def jobs(said: str) -> int:
    """Return the number of jobs of a dry run."""
    return int(re.search(r"^total +(\d+)", said, re.M)[1])


def measure(folder: Path, plates: int, *, encoders: int) -> dict[str, float]:
    """Measure one size of a screen, and the bare Snakefile of as many jobs."""
    workflow = REPOSITORY / "Snakefile"
    screen(folder, plates, encoders=encoders)
    fresh = planned(folder, workflow)
    begin(folder, plates)
    begun = planned(folder, workflow)
    first, rate = sent(folder, workflow, count=min(SENT, plates))
    count = jobs(fresh.said)
    bare = folder / "bare"
    bare.mkdir()
    (bare / "Snakefile").write_text(BARE.format(count=count // 2))
    alone = planned(bare, bare / "Snakefile")
    compared = recorded(folder / "finished", plates, encoders=encoders)
    return {
        "jobs": count,
        "seconds": fresh.seconds,
        "processor_seconds": fresh.processor,
        "peak_mb": fresh.peak_mb,
        "begun_jobs": jobs(begun.said),
        "begun_seconds": begun.seconds,
        "begun_processor_seconds": begun.processor,
        "begun_peak_mb": begun.peak_mb,
        "first_job_seconds": first,
        "jobs_sent_a_second": rate,
        "bare_seconds": alone.seconds,
        "bare_processor_seconds": alone.processor,
        "bare_peak_mb": alone.peak_mb,
        "processor_ratio": fresh.processor / alone.processor,
        "records_seconds": compared[0],
        "records_processor_seconds": compared[1],
    }


def main() -> None:
    """Print a row a size and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10 and 100 plates only")
    arguments = parser.parse_args()
    rows, before = {}, os.getloadavg()
    for plates in (10, 100) if arguments.quick else (10, 100, 1000):
        for encoders in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                rows[f"{plates}_plates_{encoders}_encoders"] = measure(Path(folder), plates, encoders=encoders)
    print(pd.DataFrame(rows).T.round(2).to_string())
    loads = " ".join(f"{value:.1f}" for value in (*before, *os.getloadavg()))
    print(f"load average of 1, 5 and 15 minutes before and after, on {len(os.sched_getaffinity(0))} cores: {loads}")
    figures = {f"{name}.{key}": round(value, 3) for name, row in rows.items() for key, value in row.items()}
    print(json.dumps({"benchmark": "dag_scale", "quick": arguments.quick} | figures))


if __name__ == "__main__":
    main()
