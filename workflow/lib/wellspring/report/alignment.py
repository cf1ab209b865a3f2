"""Effect of the alignment. Input: metric rows. Output: one small drawing per metric, and the changes in words.

A change is stated where it is larger than chance allows by a cautious rule: the intervals of the two levels do not
overlap. Both levels hold the same wells, so smaller changes may be real; they are not stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wellspring.report import charts
from wellspring.report.gather import LEVELS, Record
from wellspring.report.metrics import Cell, Row

BEFORE, AFTER = "normalised", "aligned"
SHOWN = 24  # drawings: the main metrics; the table has them all


@dataclass(frozen=True)
class Change:
    """A metric of an encoder whose interval after alignment lies clear of the one before."""

    name: str
    encoder: str
    before: str
    after: str
    good: bool


def drawings(rows: Sequence[Row], *, encoders: Sequence[str]) -> list[Record]:
    """Return one dict per main metric with values at two levels or more: name, group and the drawing."""
    found = []
    for metric, mine in _by_metric(rows).items():
        levels = [level for level in LEVELS if level in mine]
        points = {
            encoder: [_point(mine[level].cells[place]) for level in levels] for place, encoder in enumerate(encoders)
        }
        valued = [sum(np.isfinite(point[0]) for point in line) for line in points.values()]
        if max(valued, default=0) < 2 or not next(iter(mine.values())).main:
            continue
        row = mine[levels[0]]
        svg = charts.levels(levels, points, series=encoders, title=f"{row.name} by profile level")
        found.append({"metric": metric, "name": row.name, "group": row.group, "svg": svg})
    return found[:SHOWN]


def changes(rows: Sequence[Row]) -> list[Change]:
    """Return the clear changes of alignment in the order of the rows; only where it is known which way is good."""
    found = []
    for mine in _by_metric(rows).values():
        if BEFORE in mine and AFTER in mine:
            for before, after in zip(mine[BEFORE].cells, mine[AFTER].cells, strict=True):
                if before and after and before.direction and _apart(before, after):
                    good = (after.number > before.number) == (before.direction > 0)
                    found.append(Change(mine[AFTER].name, after.encoder, _words(before), _words(after), good))
    return found


def _by_metric(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row.metric, {})[row.level] = row
    return found


def _apart(before: Cell, after: Cell) -> bool:
    return bool(after.low > before.high or after.high < before.low)


def _point(cell: Cell | None) -> tuple[float, float, float, float]:
    return (cell.number, cell.low, cell.high, cell.expected) if cell else (float("nan"),) * 4


def _words(cell: Cell) -> str:
    return f"{cell.value} ({cell.interval})"
