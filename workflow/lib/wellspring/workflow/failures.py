"""The list of failed jobs of a screen: one row per job, with its reason and the last lines of its log.

A failed job stays on the list until its output exists or the screen no longer needs it, so that the list shows at any
time what is broken. A plate of bad data is not a failed job: it has a verdict.
"""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.io import credentials, spreadsheet
from wellspring.io.tables import atomic
from wellspring.workflow.snakemake_log import INTERRUPTED, Log, signalled

logger = logging.getLogger(__name__)

COLUMNS = ["rule", "of", "time", "reason", "log", "last_lines", "output"]
LINES = 8  # lines of a log that are kept
READ = 65536  # bytes at the end of a log that are read
ERROR = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|TooLarge)\b")
# What SLURM writes when it ends a job, which then logs no error itself.
ENDED = re.compile(r"slurmstepd: error: .*|.*\boom[-_ ]kill.*|.*Out Of Memory.*|.*DUE TO .*", re.IGNORECASE)
SILENT = "no error logged; probably killed (node failure, memory, time)"


@dataclass(frozen=True)
class Failure:
    """A failed job: its rule, its wildcards (plate, encoder, optics), its logs, its first output and all outputs."""

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    logs: Sequence[str] = ()
    output: str = ""
    outputs: Sequence[str] = ()


def update(
    path: str | Path,
    failures: Sequence[Failure],
    *,
    names: Sequence[str],
    slurm: str | Path = "",
    snakemake: Sequence[str | Path] = (),
) -> pd.DataFrame:
    """Update the list after a run, and return the rows of the jobs that failed in that run.

    Parameters
    ----------
    path
        The list, a tab-separated file with `COLUMNS`. It is removed when it would be empty.
    failures
        The failed jobs of this run; jobs without an output are ignored.
    names
        Plates, light paths and encoders of the screen; rows of others are dropped.
    slurm
        Folder of SLURM's own logs, if jobs ran on a cluster.
    snakemake
        Snakemake's own logs of this run.
    """
    path, wanted, run = Path(path), set(names), Log(snakemake)
    new = pd.DataFrame([_row(one, Path(slurm), run) for one in failures if one.output], columns=COLUMNS)
    old = read(path)
    stays = [_open(row, wanted) and row["output"] not in set(new["output"]) for row in old.to_dict("records")]
    rows = pd.concat([old[np.array(stays, dtype=bool)], new]).sort_values(["time", "rule", "of"])
    try:
        _write(rows, path)
    except OSError as error:  # jobs may have failed because the disk is full; the rows are returned nevertheless
        logger.warning("%s: could not be written: %s", path, error)
    return new


def read(path: str | Path) -> pd.DataFrame:
    """Read a list of failed jobs; without a file it is empty."""
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def words(rows: pd.DataFrame) -> str:
    """Return rows of the list as text, two lines per job."""
    jobs = [(" ".join(filter(None, (row["rule"], row["of"]))), row) for row in rows.to_dict("records")]
    return "\n".join(f"{job}: {row['reason']}\n    {row['log']}" for job, row in jobs)


def tail(path: str | Path, lines: int = LINES) -> list[str]:
    """Return the last lines of a text file that contain a letter or digit; none if there is no such file."""
    path = Path(path)
    if not path.is_file():
        return []
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - READ))
        text = stream.read().decode("utf-8", errors="replace")
    return [line.rstrip() for line in text.splitlines() if re.search(r"\w", line)][-lines:]


def reason(log: str | Path, slurm: str | Path = "", *, known: str | None = None, since: float = 0) -> str:
    """Return the last error in a log, else SLURM's message, else the `known` one of Snakemake, else `SILENT`.

    A process that a signal ended was not ended by an error that it logged before. A line that ends in a colon is joined
    with the next one. Logs of SLURM from before the time `since` are of other
    jobs.
    """
    lines = tail(log, lines=10**6)
    errors = [number for number, line in enumerate(lines) if ERROR.match(line)]
    if errors and not signalled(known):
        first, *rest = lines[errors[-1] :]
        if first.startswith("KeyboardInterrupt"):
            return INTERRUPTED.format("SIGINT")
        return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first
    folder = Path(slurm)
    logs = sorted(folder.glob("*.log"), key=lambda each: each.stat().st_mtime) if slurm and folder.is_dir() else []
    logs = [each for each in logs if each.stat().st_mtime >= since]
    ended = [line for each in logs[-1:] for line in tail(each, lines=10**6) if ENDED.fullmatch(line)]
    return ended[-1] if ended else known or SILENT


def _write(rows: pd.DataFrame, path: Path) -> None:
    if rows.empty:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary:
        spreadsheet.as_text(rows).to_csv(temporary, sep="\t", index=False)


def _row(failure: Failure, slurm: Path, run: Log) -> dict[str, str]:
    log, outputs = next(iter(failure.logs), ""), failure.outputs or [failure.output]
    of = list(failure.wildcards.values())
    since = run.begun(outputs) or run.started
    written = Path(log).stat().st_mtime if log and Path(log).exists() else None
    own_log = log if written is not None and written >= since else ""  # an older one is of an earlier run
    ended = written if own_log and written is not None else time.time()
    own = slurm / f"rule_{failure.rule}" / "_".join(of) if slurm.name else ""
    return {
        "rule": failure.rule,
        "of": " ".join(of),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(ended)),
        "reason": credentials.redacted(reason(own_log, own, known=run.reason(outputs), since=since)),
        "log": log,
        "last_lines": " | ".join(credentials.redacted(line).replace("\t", " ") for line in tail(own_log)),
        "output": failure.output,
    }


def _open(row: Mapping[str, str], wanted: set[str]) -> bool:
    return set(row["of"].split()) <= wanted and not Path(row["output"]).exists()
