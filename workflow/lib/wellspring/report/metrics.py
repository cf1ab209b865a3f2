"""The metric table. Input: the evaluation's summary. Output: rows of the encoders' values by metric and level.

A metric's baselines (`<metric>.permuted`, `<metric>.position_only`) are shown inside its cell. Nothing here depends on
which metrics there are (`naming` has their titles).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.io import spreadsheet
from wellspring.io.notes import Note
from wellspring.report import charts, naming
from wellspring.report.gather import Record, ordered_levels
from wellspring.report.svg import fixed
from wellspring.report.wording import parse, worded, words


@dataclass(frozen=True)
class Cell:
    """One value of the metric table as it is shown."""

    encoder: str
    value: str
    interval: str
    n: str
    chance: str
    guard: str
    notes: tuple[Note, ...]
    baselines: tuple[str, ...]
    state: str  # above | position | at | below | none: the interval against chance and the position-only baseline
    direction: int  # 1: high is good, -1: low is good, 0: neither is known
    drawing: str
    number: float
    low: float
    high: float
    expected: float  # the chance level

    @property
    def defined(self) -> bool:
        """Whether the metric has a value."""
        return bool(np.isfinite(self.number))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The notes in words."""
        return tuple(map(words, self.notes))


@dataclass(frozen=True)
class Row:
    """One metric at one level over the encoders."""

    metric: str
    name: str
    group: str
    level: str
    main: bool  # shown at first
    cells: tuple[Cell | None, ...]


def scale(summary: pd.DataFrame) -> tuple[float, float]:
    """Return the axis of one metric over all its levels and encoders: 0 to 1 where the values are inside it."""
    values = summary[["value", "low", "high", "chance"]].to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    if not finite.size or (finite.min() >= 0 and finite.max() <= 1):
        return 0.0, 1.0
    margin = 0.05 * (finite.max() - finite.min() or 1)
    return float(min(finite.min(), 0) - margin), float(finite.max() + margin)


def state(row: pd.Series, *, position: float = float("nan"), full: bool = False) -> str:
    """Return how the interval compares with the chance level and with the score of the well position alone.

    `above`: wholly over both; `position`: over chance only; `at`: not over chance; `none`: one of them is not known.
    Where chance is the most that can be had (`full`), `below`: wholly under it; `at`: not.
    """
    if not np.isfinite([row["value"], row["low"], row["chance"]]).all():
        return "none"
    if full:
        return "below" if row["high"] < row["chance"] else "at"
    if row["low"] <= row["chance"]:
        return "at"
    return "position" if np.isfinite(position) and row["low"] <= position else "above"


def table(summary: pd.DataFrame, *, encoders: Sequence[str]) -> list[Row]:
    """Return the rows of the table, by group, metric and level; an encoder without a value has None."""
    if summary.empty:
        return []
    summary = summary.assign(**{name: summary[name].astype(float) for name in ("value", "low", "high", "chance")})
    owners = summary["Metadata_Metric"].map(naming.baseline)
    summary = summary.assign(Owner=[owner for owner, _ in owners], Ending=[ending for _, ending in owners])
    main = set(summary.loc[summary["Ending"] == "", "Metadata_Metric"])
    alone = ~summary["Owner"].isin(main)  # a baseline without its metric is a row of its own
    summary.loc[alone, "Owner"], summary.loc[alone, "Ending"] = summary.loc[alone, "Metadata_Metric"], ""
    rows = []
    for metric in sorted(set(summary["Owner"]), key=naming.order):
        one = summary[summary["Owner"] == metric]
        name, group, direction = naming.describe(metric)
        for level in ordered_levels(one["Metadata_Level"]):
            here = one[one["Metadata_Level"] == level]
            axis, full = scale(one), group == naming.MIXING
            cells = tuple(_cell(here[here["Encoder"] == code], code, axis, direction, full) for code in encoders)
            rows.append(Row(metric, name, group, level, naming.main(metric), cells))
    return rows


def applicable(rows: Sequence[Row]) -> tuple[list[Row], list[tuple[str, str]]]:
    """Return the rows that have a value for an encoder, and (title, reason) of the metrics that have none at a level.

    A metric with a value at one level alone is not listed among the others: its other levels are left out.
    """
    shown = [row for row in rows if any(cell and cell.defined for cell in row.cells)]
    known = {row.metric for row in shown}
    idle: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.metric not in known:
            reasons = [sentence for cell in row.cells if cell for sentence in cell.sentences]
            idle.setdefault(row.name, {}).update(dict.fromkeys(reasons or ["no reason given"]))
    return shown, [(name, "; ".join(reasons)) for name, reasons in idle.items()]


def csv(summary: pd.DataFrame) -> str:
    """Return the summary of all encoders as CSV text: encoder, metric, level, then the values and words.

    Rows of paired differences (`wellspring.report.differences.rows`) have a verdict: better, worse or undecided.
    """
    names = ["Encoder", "Metadata_Metric", "Metadata_Level", "value", "low", "high", "n", "n_undefined", "chance"]
    names += ["Metadata_Guard", "Metadata_Note", "Metadata_Verdict"]
    frame = summary.reindex(columns=names)
    frame["Metadata_Note"] = frame["Metadata_Note"].fillna("").astype(str).map(worded)
    frame = frame.rename(columns=lambda name: name.removeprefix("Metadata_").lower())
    return str(spreadsheet.as_text(frame).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _cell(rows: pd.DataFrame, encoder: str, axis: tuple[float, float], direction: int, full: bool) -> Cell | None:
    main = rows[rows["Ending"] == ""]
    if main.empty:
        return None
    row = main.iloc[0]
    beside = {one["Ending"]: one for one in rows[rows["Ending"] != ""].to_dict("records")}
    bounded, chanced = np.isfinite([row["low"], row["high"]]).all(), np.isfinite(row["chance"])
    position = beside[".position_only"]["value"] if ".position_only" in beside else float("nan")
    return Cell(
        encoder=encoder,
        value=_score(row["value"]),
        interval=f"{_score(row['low'])} to {_score(row['high'])}" if bounded else "no interval",
        n=f"n {_whole(row['n'])}" + (f", {_whole(row['n_undefined'])} undefined" if _whole(row["n_undefined"]) else ""),
        chance=f"chance {_score(row['chance'])}" if chanced else "no chance level",
        guard=_words(row["Metadata_Guard"]) if chanced else "",
        notes=parse(_words(row["Metadata_Note"])),
        baselines=tuple(
            _baseline(beside[ending], words) for ending, words in naming.BASELINES.items() if ending in beside
        ),
        state=state(row, position=position if direction > 0 else float("nan"), full=full),
        direction=direction,
        drawing=charts.interval(row["value"], row["low"], row["high"], row["chance"], scale=axis),
        number=float(row["value"]),
        low=float(row["low"]),
        high=float(row["high"]),
        expected=float(row["chance"]),
    )


def _baseline(row: Record, words: str) -> str:
    if not np.isfinite(row["value"]):
        return f"{words}: undefined"
    bounded = np.isfinite(row["low"]) and np.isfinite(row["high"])
    return f"{words}: {_score(row['value'])}" + (f" ({_score(row['low'])} to {_score(row['high'])})" if bounded else "")


def _score(value: float) -> str:
    """Return a score with three decimals: further ones are inside the interval."""
    return fixed(value)


def _words(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _whole(value: float | None) -> int:
    return 0 if value is None or pd.isna(value) else int(value)
