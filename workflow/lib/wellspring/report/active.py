"""Active treatments. Input: scores of the evaluation and aligned profiles. Output: one population of treatments.

All counts of treatments on the page and in `hits.csv` come from here. The profiles define the treatments: sets of
replicates of type `trt`; positive controls are kept apart, and so are treatments that are on held-out plates alone. A
treatment without a q-value is not tested, which is not the same as inactive.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.evaluate import wells
from wellspring.io.phrases import count
from wellspring.report.gather import Screen
from wellspring.report.naming import natural
from wellspring.report.svg import number

METRIC, HELD_OUT = "activity", ".heldout"
TREATMENT, POSITIVE = "trt", "poscon"


@dataclass(frozen=True)
class Treatment:
    """One treatment, at one dose, with its score and its wells."""

    item: str  # its name in the evaluation's tables
    perturbation: str  # its name in the consensus profiles
    compound: str
    dose: float  # NaN where none is stated
    mechanism: str  # empty where none is stated
    kind: str  # trt | poscon
    score: float  # mean average precision of its replicates against the negative controls
    q: float  # NaN where it was not tested
    replicates: int
    undefined: int  # replicates without a profile
    rows: tuple[int, ...]  # places of its replicates in the profiles
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
    held_out: tuple[Treatment, ...] = ()  # treatments that no other plate has, with their scores there
    effects: Mapping[str, float] = field(default_factory=dict)  # treatment -> its effect, where it is known

    @property
    def everything(self) -> tuple[Treatment, ...]:
        """The treatments, positive controls and held-out treatments, by name."""
        return tuple(sorted((*self.treatments, *self.controls, *self.held_out), key=lambda one: natural(one.item)))

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
        """Return the tested treatments, by q, then by score, effect and name: large screens have many scores of 1."""

        def key(one: Treatment) -> tuple[float, float, float, list[tuple[bool, float, str]]]:
            effect = self.effects.get(one.item, math.nan)
            return one.q, -one.score, math.inf if math.isnan(effect) else -effect, natural(one.item)

        return sorted(self.tested, key=key)[:limit]

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
    """Return the treatments of an encoder at a profile level; those without a score are included, without a q.

    With a metric of held-out plates, the treatments of these plates.
    """
    frame = screen.aligned.get(encoder or "", pd.DataFrame())
    if encoder is None or frame.empty:
        return Population(encoder or "", level, alpha)
    found = list(_found(frame, _scores(screen.items, encoder, level, metric), screen.shared, metric.endswith(HELD_OUT)))
    known, apart = {one.item for one in found}, list[Treatment]()
    if metric == METRIC:
        scores = _scores(screen.items, encoder, level, METRIC + HELD_OUT)
        apart = [one for one in _found(frame, scores, screen.shared, True) if one.item not in known]
    return Population(
        encoder,
        level,
        alpha,
        treatments=tuple(one for one in found if one.kind == TREATMENT),
        controls=tuple(one for one in found if one.kind == POSITIVE),
        held_out=tuple(apart),
    )


def _scores(items: pd.DataFrame, encoder: str, level: str, metric: str) -> dict[str, dict[str, object]]:
    if items.empty:
        return {}
    mine = (items["Metadata_Metric"] == metric) & (items["Metadata_Level"] == level) & (items["Encoder"] == encoder)
    return {str(row["Metadata_Item"]): row for row in items[mine].to_dict("records")}


def _found(
    frame: pd.DataFrame, scores: dict[str, dict[str, object]], shared: tuple[str, ...], held_out: bool
) -> Iterator[Treatment]:
    """Yield the treatments and positive controls of the held-out or of the other plates, by name."""
    mine = wells.kind(frame, TREATMENT, POSITIVE) & ((wells.column(frame, "Metadata_Role") == "heldout") == held_out)
    perturbation = wells.perturbations(frame)
    mine &= np.array([name is not None for name in perturbation], dtype=bool)
    names = ("Plate", "Well", "Compound", "moa", "pert_type")
    columns = {name: wells.column(frame, f"Metadata_{name}") for name in names} | {"perturbation": perturbation}
    columns["dose"] = wells.concentrations(frame)
    places = np.flatnonzero(mine)
    groups = pd.Series(places).groupby(wells.replicate_names(frame.iloc[places], shared), sort=False)
    for name in sorted(groups.indices, key=natural):
        yield _one(columns, places[groups.indices[name]], str(name), scores.get(str(name)))


def _one(
    columns: dict[str, NDArray[Any]], rows: NDArray[np.intp], name: str, score: dict[str, object] | None
) -> Treatment:
    first, doses = rows[0], set(columns["dose"][rows].tolist())
    where = zip(columns["Plate"][rows], columns["Well"][rows], strict=True)
    return Treatment(
        item=name,
        perturbation=str(columns["perturbation"][first]),
        compound=_text(columns["Compound"][first]) or name,
        dose=doses.pop() if len(doses) == 1 else float("nan"),
        mechanism=_text(columns["moa"][first]),
        kind=str(columns["pert_type"][first]),
        score=_number(score, "value"),
        q=_number(score, "q"),
        replicates=int(_number(score, "n")) if score is not None else len(rows),
        undefined=int(_number(score, "n_undefined")) if score is not None else 0,
        rows=tuple(rows.tolist()),
        wells=tuple((str(plate), str(well)) for plate, well in where),
    )


def _number(row: dict[str, object] | None, name: str) -> float:
    value = None if row is None else row.get(name)
    return float("nan") if value is None or pd.isna(value) else float(str(value))


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value)
