"""Batch effects and position effects: batch, plate and position predicted from the profiles of negative controls.

The scores `nuisance.*` are balanced accuracies of nearest-neighbour prediction (cosine, leave one out) among negative
controls. Batch and plate are predicted among the controls of the same cell line; row, column and edge are predicted
across plates, with references on other plates only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.left_out import listed, shortened
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.neighbours import Nearest, blocks, nearest, winners
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

TARGETS = ("batch", "plate", "row", "column", "edge")


def nuisance(features: Array, metadata: pd.DataFrame, *, neighbours: int = 1) -> list[Score]:
    """Return the five nuisance scores; items are the classes (a batch, a plate, a row...) with their recall.

    The interval leaves plates out. A target with a single class among the references is absent, with a note.
    """
    control = wells.kind(metadata, "negcon")
    keep = control & wells.defined(features, metadata)
    lost, rows = int(control.sum() - keep.sum()), wells.units(features[keep])
    if len(rows) < 2:
        return [
            absent(f"nuisance.{name}", Note("too_few_controls", {"found": len(rows), "needed": 2}), n_undefined=lost)
            for name in TARGETS
        ]
    table, scores = metadata[keep], []
    plate, well = (wells.column(table, name) for name in (wells.PLATE, "Metadata_Well"))
    names = np.array([f"{a} {b}" for a, b in zip(plate.astype(str), well, strict=True)])
    groups = Groups.of(plate.astype(str))
    lists, k = dict[str, Nearest](), listed(groups, neighbours, len(rows))
    for task in tasks(table):
        if task.among not in lists:
            lists[task.among] = task.nearest(rows, k)
        without = _Without(
            Groups(groups.code[task.known], groups.names), lists[task.among], task.own, task.barred, neighbours
        )
        missing = lost + len(rows) - len(task.known)
        scores.append(_score(task, lists[task.among], names[task.known], missing, without))
    return scores


@dataclass(frozen=True)
class Task:
    """What is read from the controls: the class of each, among the references allowed.

    Attributes
    ----------
    target
        One of `TARGETS`.
    among
        `line` for the other controls of the line, `plates` for those of other plates.
    known
        (q,) places of the controls that have a class, among all rows.
    truth, own
        (q,) name and code of their classes.
    references
        (q, classes) number of references of each class.
    barred
        From places (b,) among the known controls to a mask (b, q) of those that may not be used.
    """

    target: str
    among: str
    known: Array
    truth: Array
    own: Array
    references: Array
    barred: Callable[[Array], Array]

    @property
    def readable(self) -> Array:
        """Which controls (q,) can be read: a class without a reference cannot, and a single one is always right."""
        several = (self.references > 0).sum(axis=1) > 1
        return np.asarray(several & (self.references[np.arange(len(self.own)), self.own] > 0))

    @property
    def level(self) -> Array:
        """Share (q,) of the own class among the references, NaN where it cannot be read."""
        share = self.references[np.arange(len(self.own)), self.own] / np.maximum(self.references.sum(axis=1), 1)
        return np.where(self.readable, share, np.nan)

    def nearest(self, rows: Array, k: int) -> Nearest:
        """Return the k nearest references of the known controls; `rows` (n, d) are unit vectors of all controls."""
        every = np.arange(len(self.known))
        return nearest(rows[self.known], queries=every, references=every, k=k, barred=self.barred)

    def read(self, near: Nearest, k: int) -> Array:
        """Return which controls (q,) are read right from their k nearest references."""
        return np.asarray(winners(self.own[near.index[:, :k]], near.valid[:, :k]) == self.own)

    def balanced(self, values: Array) -> float:
        """Return the mean over classes of the mean of `values` (q,) over the controls that can be read."""
        own = self.own[self.readable]
        count = np.bincount(own)
        return float((np.bincount(own, weights=values[self.readable])[count > 0] / count[count > 0]).mean())


def tasks(metadata: pd.DataFrame) -> list[Task]:
    """Return what is read from controls with this metadata, in the order of `TARGETS`."""
    plate, line, batch = (wells.column(metadata, name).astype(str) for name in (wells.PLATE, wells.LINE, wells.BATCH))
    place = wells.positions(metadata)
    lines, plates, every = wells.codes(line), wells.codes(plate), np.arange(len(metadata))

    def other(query: Array) -> Array:
        barred: Array = (lines[query, None] != lines[None, :]) | (query[:, None] == every[None, :])
        return barred

    found = []
    for name, truth in (("batch", batch), ("plate", plate)):
        own = wells.codes(truth)
        # Classes of the other wells of the line: a well's own class is missing where no other well has it.
        table = _counts(lines, own)[lines]
        table[every, own] -= 1
        found.append(Task(name, "line", every, truth, own, table, other))
    known = np.flatnonzero(place["row"].notna().to_numpy())

    def elsewhere(query: Array) -> Array:
        barred: Array = plates[known][query, None] == plates[known][None, :]
        return barred

    for name in ("row", "column", "edge"):
        values = place[name].map(lambda value: str(int(value)) if pd.notna(value) else "").to_numpy(dtype=str)[known]
        own = wells.codes(values)
        table = (_counts(np.zeros(len(known), dtype=int), own) - _counts(plates[known], own))[plates[known]]
        found.append(Task(name, "plates", known, values, own, table, elsewhere))
    return found


def _counts(context: Array, own: Array) -> Array:
    """Return the number of wells of each class in each context (contexts, classes)."""
    table = np.zeros((int(context.max(initial=-1)) + 1, int(own.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(table, (context, own), 1)
    return table


@dataclass(frozen=True)
class _Without:
    """Predictions without each set of plates."""

    groups: Groups
    near: Nearest
    own: Array
    barred: Callable[[Array], Array]
    neighbours: int

    def jackknife(self, value: Array, chance: Array, stratum: Array, whole: float) -> tuple[Jackknife, ...]:
        """Return the jackknife of the balanced accuracy; value, chance and stratum (n,), NaN where undefined."""
        count, own, onehot = len(self.groups), self.own, self.groups.onehot()
        total, same = np.zeros((2, len(own), count))
        for block in blocks(len(own), len(own)):
            query = np.arange(len(own))[block]
            allowed = ~self.barred(query)
            matching = allowed & (own[query, None] == own[None, :])
            total[block] = allowed.sum(axis=1)[:, None] - allowed @ onehot
            same[block] = matching.sum(axis=1)[:, None] - matching @ onehot
        left = np.full(total.shape, np.nan)
        for group in range(count):
            index, valid = shortened(self.near, self.groups.code, group, self.neighbours)
            right = winners(own[index], valid) == own
            # A class without a reference cannot be predicted; a single class is always right.
            known = valid.any(axis=1) & (same[:, group] > 0) & (same[:, group] < total[:, group])
            left[:, group] = np.where(known, right, np.nan)
        level = np.where(np.isfinite(left), same / np.maximum(total, 1), np.nan)
        rise, shared = of_queries(value, left, chance, level, self.groups.code, stratum=stratum)
        return (Jackknife("plates", pd.Series(whole - rise, index=list(self.groups.names)), shared),)


def _score(task: Task, near: Nearest, names: Array, lost: int, without: _Without) -> Score:
    """Return the score of one target; `names` are those of the known controls."""
    metric, readable, truth = f"nuisance.{task.target}", task.readable, task.truth
    if not readable.any():
        return absent(
            metric,
            Note("too_few_classes", {"classes": ", ".join(sorted(map(str, set(truth)))[:4])}),
            n_undefined=lost + len(truth),
        )
    read, level = task.read(near, without.neighbours), task.level
    frame = pd.DataFrame(
        {"stratum": truth[readable], "cluster": names[readable], "value": read[readable].astype(float)}
    )
    by = frame.groupby("stratum", sort=True)
    items = (
        by.agg(value=("value", "mean"), n=("value", "size")).reset_index().rename(columns={"stratum": "Metadata_Item"})
    )
    whole = float(by["value"].mean().mean())
    return Score(
        metric,
        items=items,
        jackknives=without.jackknife(np.where(readable, read, np.nan), level, truth, whole),
        units=frame,
        chance=task.balanced(level),
        n=len(frame),
        n_undefined=lost + int((~readable).sum()),
        disjoint=True,
    )


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    return nuisance(features, metadata, neighbours=options.nuisance_neighbours)


def _metric(target: str, title: str, meaning: str, *, main: bool = False) -> Metric:
    return Metric(
        name=f"nuisance.{target}",
        family="nuisance",
        reads="across",
        direction=-1,
        chance="frequency of the class among the references allowed, after centring as the plates were",
        title=title,
        meaning=meaning,
        compute=_compute,
        main=main,
    )


BATCH = _metric(
    "batch",
    "Batch effect: batch predicted from its controls (lower is better)",
    "Balanced accuracy of predicting a negative control's batch from its nearest control of the same cell line.",
    main=True,
)
PLATE = _metric(
    "plate",
    "Batch effect: plate predicted from its controls (lower is better)",
    "Balanced accuracy of predicting a negative control's plate from its nearest control of the same cell line.",
    main=True,
)
ROW = _metric(
    "row",
    "Position effect: row predicted from its controls (lower is better)",
    "Balanced accuracy of predicting a negative control's row from its nearest control on another plate.",
)
COLUMN = _metric(
    "column",
    "Position effect: column predicted from its controls (lower is better)",
    "Balanced accuracy of predicting a negative control's column from its nearest control on another plate.",
)
EDGE = _metric(
    "edge",
    "Position effect: edge predicted from the controls (lower is better)",
    "Balanced accuracy of predicting, from its nearest control on another plate, whether a negative control is at the "
    "edge.",
    main=True,
)
