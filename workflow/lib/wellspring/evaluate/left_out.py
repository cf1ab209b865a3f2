"""Scores without one group of wells, by updates of the full result: the parts of the jackknife that metrics share.

Removing a group takes its members out of every ranking: the rank of each positive falls by the number of members above
it, and a neighbour list loses its members. So nothing is compared anew.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.neighbours import Nearest, blocks
from wellspring.evaluate.precision import expected
from wellspring.evaluate.wells import Array

QUERIES = 1000  # wells whose values without each group are computed, drawn evenly over compounds
CELLS_AT_ONCE = 200_000  # similarities of positives with negatives, that fit into the cache
LISTED = 400  # longest list of neighbours that is kept, so that k are left without the largest group


class Ranked:
    """Average precision of queries without each group, from the ranks of their references."""

    def __init__(self, groups: Groups, queries: Array) -> None:
        """Take the groups of all wells, and the places of the queries."""
        self.groups, self._queries = groups, frozenset(queries.tolist())
        self.places: list[int] = []
        self.values: list[Array] = []
        self.chances: list[Array] = []

    def read(self, well: int, found: Array, positive: Array, allowed: Array) -> None:
        """Add a query: ranks of all wells (n,), ranks of its positives (k,), and which wells are allowed (n,)."""
        if int(well) not in self._queries:
            return
        count = len(self.groups)
        members = np.bincount(self.groups.code[allowed], minlength=count)
        self.places.append(int(well))
        if not len(positive):
            self.values.append(np.full(count, np.nan))
            self.chances.append(np.full(count, np.nan))
            return
        positive = np.sort(positive)
        hits = np.searchsorted(positive, positive, side="right")
        first = np.searchsorted(positive, found[allowed], side="left")
        above = np.zeros((len(positive) + 1, count))
        np.add.at(above, (first, self.groups.code[allowed]), 1)
        rank = positive[:, None] - np.cumsum(above, axis=0)[:-1]
        self.values.append((hits[:, None] / np.maximum(rank, hits[:, None])).mean(axis=0))
        self.chances.append(expected(len(positive), np.maximum(allowed.sum() - members, len(positive))))


class Controls:
    """Scores of treatments without each set of negative controls, and the jackknives over treatments and controls."""

    def __init__(self, groups: Groups, member: Array) -> None:
        """Take the sets, and the set of each well (n,), -1 for wells that are no controls."""
        self.groups, self._member = groups, member
        self._value: list[float] = []
        self._chance: list[float] = []
        self._left: list[Array] = []
        self._chance_left: list[Array] = []

    @classmethod
    def of(cls, controls: Mapping[str, Array], metadata: pd.DataFrame) -> "Controls":
        """Deal the controls, places by plate, into sets spread over the plates."""
        places = np.concatenate(list(controls.values()))
        plate, well = (wells.column(metadata, name)[places] for name in (wells.PLATE, "Metadata_Well"))
        groups = Groups.of(np.array([f"{a} {b}" for a, b in zip(plate, well, strict=True)], dtype=object))
        member = np.full(len(metadata), -1)
        member[places] = groups.code
        return cls(groups, member)

    def average_precisions(self, positive: Array, negative: Array, against: Array) -> tuple[Array, Array]:
        """Return average precision (q,) of queries, and without each set (q, sets).

        `positive` (q, p) and `negative` (q, n) are similarities, `against` (q, n) the places of the negatives.
        """
        hits = np.stack([len(own) - np.searchsorted(np.sort(own), own, side="left") for own in positive])
        misses = (negative[:, None, :] >= positive[:, :, None]).astype(float)
        total = hits + misses.sum(axis=2)
        own = misses @ np.eye(len(self.groups))[self._member[against]]
        left: Array = (hits[:, :, None] / (total[:, :, None] - own)).mean(axis=1)
        return (hits / total).mean(axis=1), left

    def moments(self, rows: Array, controls: Array, places: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation (n, sets) of the rows' products with the controls without each set."""
        onehot = np.eye(len(self.groups))[self._member[places]]
        if len(controls) > len(self.groups) * rows.shape[1]:
            return self._moments_of_sums(rows, controls, onehot)
        means, spreads = np.empty((2, len(rows), len(self.groups)))
        for block in blocks(len(rows), len(controls)):
            product = rows[block] @ controls.T
            count = len(controls) - onehot.sum(axis=0)
            count = np.where(count > 0, count, np.nan)
            means[block] = (product.sum(axis=1, keepdims=True) - product @ onehot) / count
            square = ((product**2).sum(axis=1, keepdims=True) - product**2 @ onehot) / count
            spreads[block] = np.sqrt(np.maximum(square - means[block] ** 2, 0.0))
        return means, spreads

    def _moments_of_sums(self, rows: Array, controls: Array, onehot: Array) -> tuple[Array, Array]:
        """Return the same by the sums and the sums of squares of each set: without a product for each control."""
        means, spreads = np.empty((2, len(rows), len(self.groups)))
        count = len(controls) - onehot.sum(axis=0)
        count = np.where(count > 0, count, np.nan)
        sums = onehot.T @ controls
        squares = [controls[own].T @ controls[own] for own in (onehot.T > 0)]
        for block in blocks(len(rows), rows.shape[1]):
            part = rows[block]
            product = part @ sums.T
            means[block] = (product.sum(axis=1, keepdims=True) - product) / count
            square = np.stack([((part @ own) * part).sum(axis=1) for own in squares], axis=1)
            square = (square.sum(axis=1, keepdims=True) - square) / count
            spreads[block] = np.sqrt(np.maximum(square - means[block] ** 2, 0.0))
        return means, spreads

    def sizes(self, negatives: list[Array]) -> Array:
        """Return the number of negatives of each member without each set (members, sets)."""
        count = len(self.groups)
        return np.array([len(own) - np.bincount(self._member[own], minlength=count) for own in negatives])

    def add(self, value: float, chance: float, left: Array, chance_left: Array) -> None:
        """Add a treatment: its value and its chance level, and both without each set (sets,)."""
        self._value.append(value)
        self._chance.append(chance)
        self._left.append(left)
        self._chance_left.append(chance_left)

    def jackknives(self, units: pd.DataFrame, chance: Array) -> tuple[Jackknife, ...]:
        """Return the jackknives of the mean of the units (cluster, value) over their clusters and over the controls.

        The controls move the mean of all units as they move that of the treatments that were added.
        """
        if not len(units):
            return ()
        value, families = units["value"].to_numpy(float), Groups.of(units["cluster"].to_numpy())
        whole = float(value.mean())
        rows = np.repeat(value[:, None], len(families), axis=1)
        level = np.repeat(chance[:, None], len(families), axis=1)
        rise, _ = of_queries(value, rows, chance, level, families.code)
        index = list(families.names)
        found = Jackknife("mechanisms", pd.Series(whole - rise, index=index), sets=families.worth())
        mean, left = np.array(self._value), np.array(self._left)
        nobody = np.full(len(mean), -1)
        rise, _ = of_queries(mean, left, np.array(self._chance), np.array(self._chance_left), nobody)
        return found, Jackknife("controls", pd.Series(whole - rise, index=list(self.groups.names)))


def apart_from(controls: Mapping[str, Array], rows: Array, places: Array, plate: Array) -> dict[int, Array]:
    """Return the similarities of each of the wells `places` with the controls of its plate, (n,) names of plates."""
    found = dict[int, Array]()
    for name, own in wells.places(plate[places]).items():
        if name in controls:
            found |= zip(places[own].tolist(), wells.cosine(rows[places[own]], rows[controls[name]]), strict=True)
    return found


def mean_precision(
    rows: Array, members: Array, mates: Array, against: list[Array], apart: Mapping[int, Array], without: Controls
) -> tuple[float, int, Array]:
    """Return the members' mean average precision, their fewest negatives, and the mean without each set of controls.

    Parameters
    ----------
    rows
        (n, d) unit rows.
    members, mates
        (m,) places of the replicates, and which of them are each other's, (m, m) bool.
    against, apart
        Places of the negatives of each member, and the members' similarities with them (`apart_from`).
    without
        The sets of controls.
    """
    between = wells.cosine(rows[members], rows[members])
    counts, sizes = mates.sum(axis=1), [len(own) for own in against]
    equal = len({*counts.tolist()}) == 1 == len({*sizes})
    step = max(1, CELLS_AT_ONCE // (counts[0] * sizes[0])) if equal else 1
    parts = []
    for start in range(0, len(members), step):
        part = slice(start, start + step)
        positive = between[part][mates[part]].reshape(-1, counts[start])
        negative = np.stack([apart[member] for member in members[part].tolist()])
        parts.append(without.average_precisions(positive, negative, np.stack(against[part])))
    values, left = (np.concatenate(each) for each in zip(*parts, strict=True))
    return float(values.mean()), min(sizes), left.mean(axis=0)


def shortened(near: Nearest, references: Array, group: int, k: int) -> tuple[Array, Array]:
    """Return the first k neighbours (q, k) that are not of a group, and which of them exist; `references` has codes."""
    keep = near.valid & (references[near.index] != group)
    order = remaining(near, references, group, k)
    return np.take_along_axis(near.index, order, axis=1), np.take_along_axis(keep, order, axis=1)


def remaining(near: Nearest, references: Array, group: int, k: int) -> Array:
    """Return the places in the lists (q, k) of the first k neighbours that are not of a group, then of the others."""
    gone = ~near.valid | (references[near.index] == group)
    result: Array = np.tile(np.arange(min(k, gone.shape[1])), (len(gone), 1))
    changed = gone[:, :k].any(axis=1)  # the first k of other lists stay
    result[changed] = np.argsort(gone[changed], axis=1, kind="stable")[:, :k]
    return result


def listed(groups: Groups, k: int, count: int) -> int:
    """Return how many neighbours to keep so that k are left without the largest group, of `count` references."""
    largest = int(np.bincount(groups.code).max(initial=0))
    return min(count, max(k, min(LISTED, largest + k)))


class Listed:
    """Neighbour lists of queries without each group of references, for shares among the k nearest."""

    population = "mechanisms"

    def __init__(self, near: Nearest, queries: Array, labels: Array, *, seed: int) -> None:
        """Take lists (q, listed), the places of the queries, and the labels of all rows, whose groups are left out."""
        self.groups = Groups.of(labels)
        self._mine = wells.drawn(np.asarray(labels)[queries], at_most=QUERIES, seed=seed)
        mine, self._labels = self._mine, wells.codes(labels)
        self._queries = queries[mine]
        self._near = Nearest(near.index[mine], near.similarity[mine], near.allowed[mine], near.matching[mine])
        size = np.bincount(self.groups.code, minlength=len(self.groups))
        own = self.groups.code[self._queries]
        same = np.bincount(self._labels)[self._labels[self._queries]]
        outside = (self._near.allowed - self._near.matching) / np.maximum(len(labels) - same, 1)
        gone = size[None, :] * outside[:, None]
        gone[np.arange(len(own)), own] = self._near.allowed
        self.allowed = np.maximum(self._near.allowed[:, None] - gone, self._near.matching[:, None])

    def right(self, k: int) -> tuple[Array, Array]:
        """Return (q, groups) how many of the k nearest have the query's label, and how many neighbours there are."""
        found = []
        for group in range(len(self.groups)):
            index, valid = shortened(self._near, self.groups.code, group, k)
            same = valid & (self._labels[index] == self._labels[self._queries][:, None])
            found.append((same.sum(axis=1), valid.sum(axis=1)))
        return np.array([same for same, _ in found]).T, np.array([count for _, count in found]).T

    @property
    def share(self) -> Array:
        """The label's share (q, groups) among the references allowed."""
        return self._near.matching[:, None] / np.maximum(self.allowed, 1)

    @property
    def matching(self) -> Array:
        """The number of references with the query's label (q, 1); those of another group stay when a group goes."""
        return self._near.matching[:, None]

    def jackknife(self, value: Array, left: Array, chance: Array, chance_left: Array) -> tuple[Jackknife, ...]:
        """Return the jackknife of the mean of `value` (all queries,); `left`, `chance_left` are (q, groups)."""
        mine = self._mine
        if not np.isfinite(value[mine]).any():
            return ()
        whole = float(np.nanmean(value))
        own = self.groups.code[self._queries]
        rise, shared = of_queries(value[mine], left, chance[mine], chance_left, own)
        return (Jackknife(self.population, pd.Series(whole - rise, index=list(self.groups.names)), shared),)
