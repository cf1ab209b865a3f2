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


def nuisance(
    features: Array, metadata: pd.DataFrame, *, neighbours: int = 1, queries: int | None = None, seed: int = 0
) -> list[Score]:
    """Return the five nuisance scores; items are the classes (a batch, a plate, a row...) with their recall.

    The interval leaves plates out. A target with a single class among the references is absent, with a note. With
    `queries`, at most that many controls, drawn evenly over plates, are read; references are always all controls.
    """
    control = wells.kind(metadata, "negcon")
    keep = control & wells.directed(features, metadata)
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
    for task in tasks(table, queries=queries, seed=seed):
        if task.among not in lists:
            lists[task.among] = task.nearest(rows, k)
        without = _Without(
            Groups(groups.code[task.known], groups.names),
            lists[task.among],
            task.own,
            task.asked,
            task.barred,
            neighbours,
        )
        missing = lost + len(rows) - len(task.known)
        score = _score(task, lists[task.among], names[task.known][task.asked], missing, without)
        scores.append(score.noted(*wells.sampling(len(task.asked), len(task.known), "controls")))
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
        (k,) places of the controls that have a class, among all rows.
    truth, own
        (k,) name and code of their classes.
    asked
        (q,) places, among the known controls, of those that are read.
    references
        (q, classes) number of references of each class.
    barred
        From places (b,) among the known controls to a mask (b, k) of those that may not be used.
    """

    target: str
    among: str
    known: Array
    truth: Array
    own: Array
    asked: Array
    references: Array
    barred: Callable[[Array], Array]

    @property
    def readable(self) -> Array:
        """Which controls (q,) can be read: a class without a reference cannot, and a single one is always right."""
        several = (self.references > 0).sum(axis=1) > 1
        return np.asarray(several & (self._of_own > 0))

    @property
    def level(self) -> Array:
        """Share (q,) of the own class among the references, NaN where it cannot be read."""
        share = self._of_own / np.maximum(self.references.sum(axis=1), 1)
        return np.where(self.readable, share, np.nan)

    @property
    def _of_own(self) -> Array:
        """Number of references (q,) of the own class."""
        found: Array = self.references[np.arange(len(self.asked)), self.own[self.asked]]
        return found

    def nearest(self, rows: Array, k: int) -> Nearest:
        """Return the k nearest references of the controls; `rows` (n, d) are unit vectors of all controls."""
        every = np.arange(len(self.known))
        return nearest(rows[self.known], queries=self.asked, references=every, k=k, barred=self.barred)

    def read(self, near: Nearest, k: int) -> Array:
        """Return which controls (q,) are read right from their k nearest references."""
        return np.asarray(winners(self.own[near.index[:, :k]], near.valid[:, :k]) == self.own[self.asked])

    def balanced(self, values: Array) -> float:
        """Return the mean over classes of the mean of `values` (q,) over the controls that can be read."""
        own = self.own[self.asked][self.readable]
        count = np.bincount(own)
        return float((np.bincount(own, weights=values[self.readable])[count > 0] / count[count > 0]).mean())


def tasks(metadata: pd.DataFrame, *, queries: int | None = None, seed: int = 0) -> list[Task]:
    """Return what is read from controls with this metadata, in the order of `TARGETS`; `queries` as of `nuisance`."""
    plate, line, batch = (wells.column(metadata, name).astype(str) for name in (wells.PLATE, wells.LINE, wells.BATCH))
    place = wells.positions(metadata)
    lines, plates, every = wells.codes(line), wells.codes(plate), np.arange(len(metadata))

    def drawn(known: Array) -> Array:
        most = len(known) if queries is None else queries
        return wells.drawn(plates[known], at_most=most, seed=seed)

    def other(query: Array) -> Array:
        barred: Array = (lines[query, None] != lines[None, :]) | (query[:, None] == every[None, :])
        return barred

    found = []
    for name, truth in (("batch", batch), ("plate", plate)):
        own = wells.codes(truth)
        # Classes of the other wells of the line: a well's own class is missing where no other well has it.
        asked = drawn(every)
        table = _counts(lines, own)[lines[asked]]
        table[np.arange(len(asked)), own[asked]] -= 1
        found.append(Task(name, "line", every, truth, own, asked, table, other))
    known = np.flatnonzero(place["row"].notna().to_numpy())
    asked = drawn(known)

    def elsewhere(query: Array) -> Array:
        barred: Array = plates[known][query, None] == plates[known][None, :]
        return barred

    for name in ("row", "column", "edge"):
        values = place[name].map(lambda value: str(int(value)) if pd.notna(value) else "").to_numpy(dtype=str)[known]
        own = wells.codes(values)
        table = _counts(np.zeros(len(known), dtype=int), own) - _counts(plates[known], own)
        found.append(Task(name, "plates", known, values, own, asked, table[plates[known][asked]], elsewhere))
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
    asked: Array
    barred: Callable[[Array], Array]
    neighbours: int

    def jackknife(self, value: Array, chance: Array, stratum: Array, whole: float) -> tuple[Jackknife, ...]:
        """Return the jackknife of the balanced accuracy; value, chance and stratum (q,), NaN where undefined."""
        count, own, onehot = len(self.groups), self.own[self.asked], self.groups.onehot()
        total, same = np.zeros((2, len(own), count))
        for block in blocks(len(own), len(self.own)):
            allowed = ~self.barred(self.asked[block])
            matching = allowed & (own[block, None] == self.own[None, :])
            total[block] = allowed.sum(axis=1)[:, None] - allowed @ onehot
            same[block] = matching.sum(axis=1)[:, None] - matching @ onehot
        left = np.full(total.shape, np.nan)
        for group in range(count):
            index, valid = shortened(self.near, self.groups.code, group, self.neighbours)
            right = winners(self.own[index], valid) == own
            # A class without a reference cannot be predicted; a single class is always right.
            known = valid.any(axis=1) & (same[:, group] > 0) & (same[:, group] < total[:, group])
            left[:, group] = np.where(known, right, np.nan)
        level = np.where(np.isfinite(left), same / np.maximum(total, 1), np.nan)
        rise, shared = of_queries(value, left, chance, level, self.groups.code[self.asked], stratum=stratum)
        return (Jackknife("plates", pd.Series(whole - rise, index=list(self.groups.names)), shared),)


def _score(task: Task, near: Nearest, names: Array, lost: int, without: _Without) -> Score:
    """Return the score of one target; `names` (q,) are those of the controls that are read."""
    metric, readable, truth = f"nuisance.{task.target}", task.readable, task.truth[task.asked]
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


def searched(metadata: pd.DataFrame, options: Evaluate) -> dict[str, int]:
    """Return the options `neighbours` and `queries` of `nuisance` for a table with this metadata."""
    controls = int(wells.kind(metadata, "negcon").sum())
    return {"neighbours": options.nuisance_neighbours, "queries": wells.most_queries(controls, options.pairs)}


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    return nuisance(features, metadata, **searched(metadata, options), seed=seed)


def _metric(target: str, title: str, meaning: str, *, main: bool = False) -> Metric:
    return Metric(
        name=f"nuisance.{target}",
        family="nuisance",
        reads="across",
        direction=-1,
        chance="share of the compared wells that are of the class, after centring as the plates were",
        level="nuisances",
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
