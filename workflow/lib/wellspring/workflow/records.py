"""Correct Snakemake's records of what made the outputs, from those of the jobs, before a run plans its jobs.

Snakemake makes an output again if its record has other options than the present config. An output without a record
counts as one of the present config. That is wrong if the output is of a job whose end no Snakemake saw, or whose record
another Snakemake deleted, and the config was changed since. So is a record of the options that Snakemake had when it
started, if the config was edited before the job read it. The job's own record (:mod:`wellspring.io.made`) is right in
all of these cases.
"""

import re
from collections.abc import Callable, Iterable
from glob import escape
from pathlib import Path
from typing import Any, Protocol

from wellspring.io import made


class Record(Protocol):
    """Snakemake's record of an output, as far as it is compared."""

    params: list[Any] | None


def correct(
    patterns: Iterable[str],
    *,
    read: Callable[[str], Record | None],
    write: Callable[[str, dict[str, Any]], None],
) -> list[str]:
    """Rewrite Snakemake's records of outputs whose jobs recorded other parameters, or that have no record.

    Parameters
    ----------
    patterns
        Outputs of the rules, with wildcards in braces.
    read
        Return Snakemake's record of an output, None without one.
    write
        Replace Snakemake's record of an output by these values.

    Returns
    -------
    list
        Outputs whose records were rewritten.

    Raises
    ------
    ValueError
        A job's record cannot be read; names it and the remedy.
    """
    latest: dict[str, tuple[float, made.Made]] = {}
    for path in _records(patterns):
        try:
            job, began = made.read(path), path.stat().st_mtime
        except FileNotFoundError:  # another process has just replaced the outputs
            continue
        # A rule whose outputs the config chooses has a record beside each output that was once its first.
        latest |= {output: (began, job) for output in job.outputs if began >= latest.get(output, (began,))[0]}
    corrected = []
    for output, (began, job) in latest.items():
        known = read(output)
        if (known is None or known.params != list(job.params)) and Path(output).exists():
            values = {"rule": job.rule, "input": list(job.inputs), "params": list(job.params)}
            write(output, {**values, "starttime": began, "endtime": Path(output).stat().st_mtime})
            corrected.append(output)
    return corrected


def forget(outputs: Iterable[str]) -> None:
    """Delete the jobs' records of these outputs, of which Snakemake's records then count."""
    for output in outputs:
        made.path_of(output).unlink(missing_ok=True)


def _records(patterns: Iterable[str]) -> list[Path]:
    """Return the jobs' records beside all outputs of these patterns."""
    found: set[Path] = set()
    for pattern in {str(made.path_of(_glob(pattern))) for pattern in patterns}:
        root = Path(Path(pattern).anchor)
        found |= set(root.glob(str(Path(pattern).relative_to(root))))
    return sorted(found)


def _glob(pattern: str) -> str:
    """Return a pattern of files, by which a folder such as ``results[2]`` is itself."""
    return "*".join(escape(part) for part in re.split(r"\{[^{}]*\}", pattern))
