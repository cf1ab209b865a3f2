"""Verdicts of plates, read from their tables: as one row per plate, and as the error of a run.

A verdict states whether a plate is in the results, and if not, why.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from wellspring.io import tables
from wellspring.io.tables import Verdict
from wellspring.report.files import as_list, owner
from wellspring.report.wording import worded


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return one verdict of many: keep only if all keep; the reasons once each, in order of first sight."""
    keep = True
    reasons: list[str] = []
    for verdict in verdicts:
        keep = keep and verdict.keep
        reasons.extend(reason for reason in verdict.reasons if reason not in reasons)
    return Verdict(keep=keep, reasons=tuple(reasons))


def collect(paths: str | Path | Iterable[str | Path] | None, *, plates: Sequence[str]) -> dict[str, Verdict]:
    """Return plate -> verdict over all of its tables (any stages, any number per plate), in the order of `plates`.

    Files are parallel to `plates` when there are as many, else matched by the plate's name in their path; a table of no
    single plate (one that joins plates) is passed over. A plate without a table keeps.
    """
    files = as_list(paths)
    found: dict[str, list[Verdict]] = {plate: [] for plate in plates}
    for number, path in enumerate(files):
        plate = owner(path, plates) or (plates[number] if len(files) == len(plates) else None)
        if plate is not None:
            verdict = tables.verdict(path)
            found[plate].append(Verdict(verdict.keep, tuple(map(worded, verdict.reasons))))
    return {plate: merge(verdicts) for plate, verdicts in found.items()}


def as_frame(verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """Return one row per plate: plate, keep (`yes` or `no`), reasons (joined by `; `)."""
    rows = [(plate, "yes" if verdict.keep else "no", "; ".join(verdict.reasons)) for plate, verdict in verdicts.items()]
    return pd.DataFrame(rows, columns=["plate", "keep", "reasons"])


def require_keep(verdicts: Mapping[str, Verdict]) -> None:
    """Raise where a plate was left out.

    Raises
    ------
    ValueError
        Names each plate that was left out, with its reasons, and what accepts it.
    """
    bad = {plate: verdict for plate, verdict in verdicts.items() if not verdict.keep}
    if bad:
        lines = [f"  {plate}: {'; '.join(verdict.reasons) or 'no reason given'}" for plate, verdict in bad.items()]
        count = f"{len(bad)} of {len(verdicts)} plates {'was' if len(bad) == 1 else 'were'} left out of the results"
        raise ValueError("\n".join([f"{count}:", *lines, "set role: no in the sheet to accept"]))
