"""Run time and memory by stage, read from the benchmark files that Snakemake writes beside the results.

One file per job: `<folder>/<rule>/<plate, light path or encoder>.tsv`, for rules of a plate and an encoder one folder
deeper. A job that was not run again keeps the figures of its last run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wellspring.screen.stages import RULES

OWN = "report"  # the folder whose files bear the names of rules
SHORT = 1.0  # seconds below which a job's memory is not stated: Snakemake looks first after half a second
COLUMNS = {"Rule": str, "Of": str, "Seconds": float, "Memory": float, "Processor": float}


@dataclass(frozen=True)
class Stage:
    """What the jobs of one rule took."""

    rule: str
    jobs: int
    together: float  # seconds
    median: float
    longest: float
    longest_of: str
    processor: float  # seconds, NaN where it was not measured
    memory: float  # largest resident set, MB; NaN where no job was long enough
    memory_of: str


def read(folder: str | Path | None, *, names: Sequence[str]) -> pd.DataFrame:
    """Return one row per job: Rule, Of, Seconds, Memory (largest resident set, MB), Processor (seconds).

    Parameters
    ----------
    folder
        The folder of the benchmarks; None and a folder that is not there give an empty frame.
    names
        Plates, light paths and encoders of the screen; files of others, left from an earlier config, are passed over.
    """
    rows, wanted = [], set(names)
    root = Path(folder) if folder is not None else None
    for path in [] if root is None else sorted(root.rglob("*.tsv")):
        rule, *of = path.relative_to(root or "").with_suffix("").parts
        rule, of = (of[0], []) if rule == OWN and len(of) == 1 else (rule, of)
        if set(of) <= wanted:
            found = pd.read_csv(path, sep="\t").iloc[-1:]
            numbers = [pd.to_numeric(found.get(name), errors="coerce") for name in ("s", "max_rss", "cpu_time")]
            values = [float("nan") if one is None or one.empty else float(one.iloc[0]) for one in numbers]
            rows.append((rule, " ".join(of), *values))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def stages(jobs: pd.DataFrame) -> list[Stage]:
    """Return the rules in the order of the flow, with what their jobs took."""
    timed = jobs[jobs["Seconds"].notna()]
    found = []
    for rule in sorted(set(timed["Rule"]), key=lambda name: (RULES.index(name) if name in RULES else len(RULES), name)):
        mine = timed[timed["Rule"] == rule].reset_index(drop=True)
        longest = mine.loc[mine["Seconds"].idxmax()]
        sampled = mine[(mine["Seconds"] >= SHORT) & mine["Memory"].notna()]
        largest = sampled.loc[sampled["Memory"].idxmax()] if len(sampled) else None
        found.append(
            Stage(
                rule=rule,
                jobs=len(mine),
                together=float(mine["Seconds"].sum()),
                median=float(mine["Seconds"].median()),
                longest=float(longest["Seconds"]),
                longest_of=str(longest["Of"]),
                processor=float(mine["Processor"].sum(min_count=1)),
                memory=float("nan") if largest is None else float(largest["Memory"]),
                memory_of="" if largest is None else str(largest["Of"]),
            )
        )
    return found


def duration(seconds: float) -> str:
    """Return a time in words of two units at most: `0.5 s`, `42 s`, `8 min 21 s`, `3 h 5 min`."""
    if not seconds >= 0:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def size(megabytes: float) -> str:
    """Return a memory in words: `213 MB`, `1.1 GB`."""
    if not megabytes >= 0:
        return "–"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
