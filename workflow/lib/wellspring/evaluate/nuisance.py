"""Batch effects and position effects: batch, plate and position predicted from the profiles of negative controls.

The scores `nuisance.*` are balanced accuracies of nearest-neighbour prediction (cosine, leave one out) among negative
controls. Batch and plate are predicted among the controls of the same cell line; row, column and edge are predicted
across plates, with references on other plates only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
    place = wells.positions(metadata)[keep]
    plate, line, batch = (
        wells.column(metadata, name)[keep].astype(str) for name in (wells.PLATE, wells.LINE, wells.BATCH)
    )
    if len(rows) < 2:
        return [
            absent(f"nuisance.{name}", Note("too_few_controls", {"found": len(rows), "needed": 2}), n_undefined=lost)
            for name in TARGETS
        ]
    names = np.array([f"{p} {w}" for p, w in zip(plate, wells.column(metadata, "Metadata_Well")[keep], strict=True)])
    lines, plates, every = wells.codes(line), wells.codes(plate), np.arange(len(rows))
    groups = Groups.of(plate)
    lists = partial(nearest, k=listed(groups, neighbours, len(rows)))

    def other(query: Array) -> Array:
        barred: Array = (lines[query, None] != lines[None, :]) | (query[:, None] == every[None, :])
        return barred

    near = lists(rows, queries=every, references=every, barred=other)
    scores = []
    for name, truth in (("batch", batch), ("plate", plate)):
        own = wells.codes(truth)
        # Classes of the other wells of the line: a well's own class is missing where no other well has it.
        table = _counts(lines, own)[lines]
        table[every, own] -= 1
        without = _Without(groups, near, own, other, neighbours)
        scores.append(_score(name, near, truth, names, table, lost, without))
    known = np.flatnonzero(place["row"].notna().to_numpy())
    groups = Groups(groups.code[known], groups.names)

    def elsewhere(query: Array) -> Array:
        barred: Array = plates[known][query, None] == plates[known][None, :]
        return barred

    near = lists(rows[known], queries=np.arange(len(known)), references=np.arange(len(known)), barred=elsewhere)
    for name in ("row", "column", "edge"):
        values = place[name].map(lambda value: str(int(value)) if pd.notna(value) else "").to_numpy(dtype=str)[known]
        own = wells.codes(values)
        total = _counts(np.zeros(len(known), dtype=int), own)
        table = (total - _counts(plates[known], own))[plates[known]]
        without = _Without(groups, near, own, elsewhere, neighbours)
        scores.append(_score(name, near, values, names[known], table, lost + len(rows) - len(known), without))
    return scores


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


def _score(
    name: str, near: Nearest, truth: Array, names: Array, references: Array, lost: int, without: _Without
) -> Score:
    """Return the score of one target; `references` (n, classes) counts each well's allowed references by class."""
    metric, own = f"nuisance.{name}", wells.codes(truth)
    classes = (references > 0).sum(axis=1)
    # A class that no allowed reference has cannot be predicted; a single class is always right.
    readable = (classes > 1) & (references[np.arange(len(own)), own] > 0)
    if not readable.any():
        return absent(
            metric,
            Note("too_few_classes", {"classes": ", ".join(sorted(map(str, set(truth)))[:4])}),
            n_undefined=lost + len(truth),
        )
    k = without.neighbours
    read = winners(own[near.index[:, :k]], near.valid[:, :k]) == own
    frame = pd.DataFrame(
        {
            "stratum": truth[readable],
            "cluster": names[readable],
            "value": read[readable].astype(float),
            "chance": (references[np.arange(len(own)), own] / references.sum(axis=1))[readable],
        }
    )
    by = frame.groupby("stratum", sort=True)
    items = (
        by.agg(value=("value", "mean"), n=("value", "size")).reset_index().rename(columns={"stratum": "Metadata_Item"})
    )
    level = np.where(readable, references[np.arange(len(own)), own] / np.maximum(references.sum(axis=1), 1), np.nan)
    whole = float(by["value"].mean().mean())
    return Score(
        metric,
        items=items,
        jackknives=without.jackknife(np.where(readable, read, np.nan), level, truth, whole),
        units=frame[["stratum", "cluster", "value"]],
        chance=float(by["chance"].mean().mean()),
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
        chance="frequency of the class among the references allowed",
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
