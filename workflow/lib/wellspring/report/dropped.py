"""The stages that left out plates. Input: tables and logs. Output: one row per plate and stage.

A verdict travels from table to table, so a reason is of the first stage of the flow whose table has it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from wellspring.io import spreadsheet, tables
from wellspring.report import wording
from wellspring.report.files import owner
from wellspring.screen.stages import RULES
from wellspring.workflow import failures

COLUMNS = ["plate", "rule", "reason", "log", "last_lines"]


def read(
    paths: Iterable[Path], *, plates: Sequence[str], encoders: Sequence[str] = (), logs: str | Path | None = None
) -> pd.DataFrame:
    """Return `COLUMNS` of the plates that were left out, in the order of `plates` and of the flow.

    Parameters
    ----------
    paths
        Tables of single plates, of any stages.
    encoders
        Names; a table of an encoder lies in a folder of its name, and so does the log.
    logs
        The folder of the jobs' logs; None without one.
    """
    found: dict[str, list[tuple[int, str, Path, tuple[str, ...]]]] = {}
    for path in paths:
        verdict, plate = tables.verdict(path), owner(path, plates)
        if plate is not None and not verdict.keep:
            rule = tables.provenance(path).get("rule") or path.parent.name
            place = RULES.index(rule) if rule in RULES else len(RULES)
            found.setdefault(plate, []).append((place, rule, path, verdict.reasons))
    rows = []
    for plate in filter(found.get, plates):
        known: set[str] = set()
        for _, rule, path, reasons in sorted(found[plate]):
            new = [reason for reason in reasons if reason not in known]
            known.update(new)
            if new:
                rows.append(
                    (
                        plate,
                        rule,
                        "; ".join(map(wording.worded, new)),
                        *_log(logs, rule, path.parent.name, plate, encoders),
                    )
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def text(rows: pd.DataFrame) -> str:
    """Return the rows as tab-separated text."""
    return str(spreadsheet.as_text(rows).to_csv(sep="\t", index=False))


def _log(logs: str | Path | None, rule: str, folder: str, plate: str, encoders: Sequence[str]) -> tuple[str, str]:
    """Return a job's log and its last lines, both empty without a log."""
    if logs is None:
        return "", ""
    path = Path(logs, rule, *([folder] if folder in encoders else []), f"{plate}.log")
    return (str(path), " | ".join(failures.tail(path))) if path.is_file() else ("", "")
