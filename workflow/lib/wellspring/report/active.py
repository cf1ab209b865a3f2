"""Active treatments. Input: scores of the evaluation and aligned profiles. Output: one population of treatments.

All counts of treatments on the page come from here: treatments are the wells of type `trt`, positive controls are kept
apart, and a treatment without a q-value is not tested, which is not the same as inactive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.evaluate.wells import replicate_names
from wellspring.report.gather import Screen, pick
from wellspring.report.naming import natural
from wellspring.report.svg import count, number

METRIC = "activity"
TREATMENT, POSITIVE = "trt", "poscon"
DESCRIBED = ("Plate", "Well", "Compound", "moa", "pert_type")
# Columns that the evaluation may have added to the names of replicates (`evaluate.replicates_share`).
SHARED = ("Metadata_Cell_Line", "Metadata_Batch", "Metadata_Plate", "Metadata_Timepoint")


@dataclass(frozen=True)
class Treatment:
    """One treatment, at one dose, with its score and its wells."""

    item: str  # its name in the evaluation's tables
    compound: str
    dose: float  # NaN where none is stated
    mechanism: str  # empty where none is stated
    kind: str  # trt | poscon
    score: float  # mean average precision of its replicates against the negative controls
    q: float  # NaN where it was not tested
    replicates: int
    wells: tuple[tuple[str, str], ...]  # plate and well of each replicate, with and without a profile

    @property
    def tested(self) -> bool:
        """Whether it has a q-value."""
        return bool(np.isfinite(self.q))


@dataclass(frozen=True)
class Population:
    """The treatments of one encoder and profile level."""

    encoder: str
    level: str
    alpha: float  # q below which a treatment is active
    treatments: tuple[Treatment, ...] = ()
    controls: tuple[Treatment, ...] = ()  # positive controls
    names: tuple[str, ...] = ()  # items of both

    @property
    def tested(self) -> tuple[Treatment, ...]:
        """The treatments with a q-value."""
        return tuple(one for one in self.treatments if one.tested)

    @property
    def active(self) -> tuple[Treatment, ...]:
        """The treatments with q below alpha."""
        return tuple(one for one in self.treatments if self.is_active(one))

    def is_active(self, treatment: Treatment) -> bool:
        """Return whether a treatment's q is below alpha."""
        return treatment.tested and treatment.q < self.alpha

    def strongest(self, limit: int | None = None) -> list[Treatment]:
        """Return the tested treatments, by q, then by score, then by name."""
        return sorted(self.tested, key=lambda one: (one.q, -one.score, natural(one.item)))[:limit]

    def sentence(self) -> str:
        """Return the numbers in words: `7 of 9 treatments are active; 1 more could not be tested`."""
        if not self.treatments:
            return "No treatment was evaluated"
        if not self.tested:
            return f"None of {count(len(self.treatments), 'treatment')} could be tested"
        active, tested = len(self.active), len(self.tested)
        head = f"{active:,} of {count(tested, 'treatment')} {'is' if active == 1 else 'are'} active"
        head = head if active else f"None of {count(tested, 'treatment')} is active"
        more = len(self.treatments) - tested
        return head + (f"; {more:,} more could not be tested" if more else "")

    def rule(self) -> str:
        """Return the definition of an active treatment."""
        return f"q < {number(self.alpha)}"


def population(screen: Screen, *, encoder: str | None, level: str, alpha: float, metric: str = METRIC) -> Population:
    """Return the treatments of an encoder at a profile level; those without a score are included, without a q."""
    if encoder is None:
        return Population("", level, alpha)
    scores = _scores(screen.items, encoder, level, metric)
    frame = screen.aligned.get(encoder, pd.DataFrame())
    columns, groups = _columns(frame), _groups(frame, list(scores))
    found = [_one(columns, rows, name, scores.get(name)) for name, rows in groups.items()]
    known = {one.item for one in found}
    found += [_bare(name, row) for name, row in scores.items() if name not in known]
    found.sort(key=lambda one: natural(one.item))
    return Population(
        encoder,
        level,
        alpha,
        treatments=tuple(one for one in found if one.kind == TREATMENT),
        controls=tuple(one for one in found if one.kind == POSITIVE),
        names=tuple(one.item for one in found),
    )


def _scores(items: pd.DataFrame, encoder: str, level: str, metric: str) -> dict[str, dict[str, object]]:
    if items.empty:
        return {}
    mine = (items["Metadata_Metric"] == metric) & (items["Metadata_Level"] == level) & (items["Encoder"] == encoder)
    return {str(row["Metadata_Item"]): row for row in items[mine].to_dict("records")}


def _groups(frame: pd.DataFrame, items: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Return item -> places of its rows in the profiles, treatments and positive controls alone."""
    if frame.empty:
        return {}
    places = np.flatnonzero(pick(frame, "Metadata_pert_type").isin([TREATMENT, POSITIVE]))
    if not len(places):
        return {}
    treated = frame.iloc[places]
    names = replicate_names(treated)
    for column in SHARED:
        if not set(items) <= set(names) and column in treated:
            shared = replicate_names(treated, (column,))
            names = shared if set(items) <= set(shared) else names
    return {str(name): rows.to_numpy() for name, rows in pd.Series(places).groupby(names, sort=False)}


def _columns(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the columns that describe treatments as arrays (n,), which are far quicker to read row by row."""
    found = {name: pick(frame, f"Metadata_{name}").to_numpy(dtype=object) for name in DESCRIBED}
    dose = pd.to_numeric(pick(frame, "Metadata_Concentration"), errors="coerce")
    return found | {"dose": dose.to_numpy(dtype=float)}


def _one(
    columns: dict[str, NDArray[Any]], rows: NDArray[np.intp], name: str, score: dict[str, object] | None
) -> Treatment:
    first, doses = rows[0], set(columns["dose"][rows].tolist())
    wells = zip(columns["Plate"][rows], columns["Well"][rows], strict=True)
    return Treatment(
        item=name,
        compound=_text(columns["Compound"][first]) or name,
        dose=doses.pop() if len(doses) == 1 else float("nan"),
        mechanism=_text(columns["moa"][first]),
        kind=str(columns["pert_type"][first]),
        score=_number(score, "value"),
        q=_number(score, "q"),
        replicates=int(_number(score, "n")) if score is not None else len(rows),
        wells=tuple((str(plate), str(well)) for plate, well in wells),
    )


def _bare(name: str, row: dict[str, object]) -> Treatment:
    """Return a treatment of which the profiles are not there."""
    group = _text(row.get("Metadata_Group"))
    compound, _, dose = name.rpartition("@")
    return Treatment(
        item=name,
        compound=compound or name,
        dose=float(dose) if compound and dose.replace(".", "", 1).isdigit() else float("nan"),
        mechanism="" if group in (TREATMENT, POSITIVE) else group,
        kind=POSITIVE if group == POSITIVE else TREATMENT,
        score=_number(row, "value"),
        q=_number(row, "q"),
        replicates=int(_number(row, "n")),
        wells=(),
    )


def _number(row: dict[str, object] | None, name: str) -> float:
    value = None if row is None else row.get(name)
    return float("nan") if value is None or pd.isna(value) else float(str(value))


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value)
