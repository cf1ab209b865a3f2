"""The first screen: which plates and wells to distrust, and whether the scores can be trusted, in few sentences.

Input: a screen, the rows of its metric table and its treatments. Output: statements and checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.evaluate.paired import BETTER, WORSE
from wellspring.report import checks, differences, segmentation
from wellspring.report.checks import Statement
from wellspring.report.gather import Record, Screen
from wellspring.report.metrics import Cell, Row
from wellspring.report.svg import fixed

JUDGED = ("activity", "consistency", "nsc")  # the first of these with a value is compared
YES, NO, UNKNOWN = "yes", "no", "unknown"


@dataclass(frozen=True)
class Check:
    """One comparison of a score: the state and the words."""

    state: str  # yes | no | unknown
    words: str


@dataclass(frozen=True)
class Trust:
    """The sentence on the main score, its comparisons, and both in one line."""

    text: str
    brief: str
    checks: tuple[Check, ...] = ()


def distrust(screen: Screen, fields: Sequence[Record]) -> list[Statement]:
    """Return what concerns single plates, wells and images of kept plates, the gravest first."""
    found = checks.unlike_others(screen) + segmentation.statements(segmentation.fields(screen))
    found += checks.wells(screen) + checks.images(screen) + checks.clipping(screen)
    return found + checks.light(fields)


def trust(screen: Screen, rows: Sequence[Row], paired: pd.DataFrame, *, level: str, encoder: str | None) -> Trust:
    """Return how the main score of an encoder compares with chance, its untrained twin and the well position alone.

    `paired` is the table of paired differences of encoders (`wellspring.report.differences.table`).
    """
    found = [(row, cell) for name in JUDGED for row, cell in _cells(rows, name, level, encoder) if cell.defined]
    if not found:
        words = "Trust not known: no score of biology has a value in this screen."
        return Trust(words, words)
    row, cell = found[0]
    done = (
        _compared(cell, cell.expected, "chance", unknown="chance level not known"),
        _twin(screen, paired, cell, row.metric, level),
        _compared(
            cell,
            _value(screen.summary, f"{row.metric}.position_only", level, cell.encoder),
            "the well position alone",
            unknown="the well position alone was not scored",
            why=": the plate layout may explain it",
        ),
    )
    states = {one.state for one in done}
    head = (
        "Take care: the score is"
        if NO in states
        else "Checked in part:"
        if UNKNOWN in states
        else "Holds: the score is"
    )
    told = [one.words for one in done if one.state == (NO if NO in states else UNKNOWN if UNKNOWN in states else YES)]
    score = f"{row.name} of {cell.encoder}"
    interval = f"95 % interval {cell.interval}" if np.isfinite(cell.low) else cell.interval  # in words where none is
    return Trust(f"{score} is {cell.value} ({interval}).", f"{head} {'; '.join(told)}.", done)


def _twin(screen: Screen, paired: pd.DataFrame, cell: Cell, metric: str, level: str) -> Check:
    """Return the verdict of the paired difference from the untrained twin, or from the untrained encoders."""
    untrained, twin = differences.of_training(screen, differences.UNTRAINED), differences.twins(screen)
    if cell.encoder in untrained:
        return Check(UNKNOWN, "this encoder is not trained")
    bases = [twin[cell.encoder]] if cell.encoder in twin else untrained
    if not bases:
        return Check(UNKNOWN, "no untrained encoder to compare with")
    name = f"{'its untrained twin' if cell.encoder in twin else 'the untrained encoder'} ({' and '.join(bases)})"
    if paired.empty:
        return Check(UNKNOWN, f"not compared with {name}")
    mine = (paired["Metadata_Metric"] == metric) & (paired["Metadata_Level"] == level) & paired["Base"].isin(bases)
    found = paired[mine & (paired["Encoder"] == cell.encoder)]
    if found.empty:
        return Check(UNKNOWN, f"not compared with {name}")
    by = "score " + ", ".join(f"{'+' if value > 0 else ''}{fixed(value)}" for value in found["value"].astype(float))
    if (found["Metadata_Verdict"] == BETTER).all():
        return Check(YES, f"better than {name}: {by}")
    if (found["Metadata_Verdict"] == WORSE).any():
        return Check(NO, f"worse than {name}: {by}")
    if "low" in found and not np.isfinite(found["low"].astype(float)).any():
        return Check(UNKNOWN, f"no interval of the difference from {name}: {by}")
    return Check(NO, f"not shown to be better than {name}: {by}")


def _compared(cell: Cell, floor: float, name: str, *, unknown: str, why: str = "") -> Check:
    if not np.isfinite(floor):
        return Check(UNKNOWN, unknown)
    if not np.isfinite(cell.low):
        return Check(UNKNOWN, f"no interval to compare with {name} ({fixed(floor)})")
    if cell.low > floor:
        return Check(YES, f"above {name} ({fixed(floor)})")
    return Check(NO, f"not above {name} ({fixed(floor)}){why}")


def _cells(rows: Sequence[Row], metric: str, level: str, encoder: str | None) -> list[tuple[Row, Cell]]:
    mine = [row for row in rows if row.metric == metric and row.level == level]
    return [(row, cell) for row in mine for cell in row.cells if cell and cell.encoder == encoder]


def _value(summary: pd.DataFrame, metric: str, level: str, encoder: str) -> float:
    if summary.empty:
        return float("nan")
    mine = (summary["Metadata_Metric"] == metric) & (summary["Metadata_Level"] == level)
    values = pd.to_numeric(summary.loc[mine & (summary["Encoder"] == encoder), "value"], errors="coerce")
    return float(values.iloc[0]) if len(values) else float("nan")
