"""Scores of compounds with several labels without each compound: as a query, as a positive and as a negative.

Compounds that share labels in part are in no separate groups, so that the groups left out are compounds (in sets of
equal size, where there are many). Everything is updated from the full result, as in `wellspring.evaluate.left_out`.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.left_out import QUERIES, Listed, shortened
from wellspring.evaluate.neighbours import Nearest
from wellspring.evaluate.precision import expected
from wellspring.evaluate.wells import Array

POPULATION = "compounds"


class ListedLabels(Listed):
    """Neighbour lists of queries without each compound, where a neighbour is right if it shares any label."""

    population = POPULATION

    def __init__(
        self,
        near: Nearest,
        queries: Array,
        compounds: Array,
        shared: Array,
        barred: Callable[[Array], Array],
        *,
        seed: int,
    ) -> None:
        """Take lists (q, listed), places of the queries, compounds (n,), labels (n, labels), and what is barred."""
        self.groups, self._labels_of = Groups.of(compounds), shared
        self._mine = wells.drawn(np.asarray(compounds)[queries], at_most=QUERIES, seed=seed)
        mine = self._mine
        self._queries = queries[mine]
        self._near = Nearest(near.index[mine], near.similarity[mine], near.allowed[mine], near.matching[mine])
        allowed, onehot = ~barred(self._queries), self.groups.onehot()
        same = allowed & (shared[self._queries] @ shared.T > 0)
        self.allowed = allowed.sum(axis=1)[:, None] - allowed @ onehot
        self._same: Array = same.sum(axis=1)[:, None] - same @ onehot

    def right(self, k: int) -> tuple[Array, Array]:
        """Return (q, groups) how many of the k nearest share a label, and how many neighbours there are."""
        found = []
        for group in range(len(self.groups)):
            index, valid = shortened(self._near, self.groups.code, group, k)
            alike = np.einsum("ql,qkl->qk", self._labels_of[self._queries], self._labels_of[index]) > 0
            found.append(((valid & alike).sum(axis=1), valid.sum(axis=1)))
        return np.array([same for same, _ in found]).T, np.array([count for _, count in found]).T

    @property
    def share(self) -> Array:
        """The share (q, groups) of the references allowed that share a label."""
        result: Array = self._same / np.maximum(self.allowed, 1)
        return result

    @property
    def matching(self) -> Array:
        """The number (q, groups) of references allowed that share a label."""
        return self._same


class RankedLabels:
    """Average precisions of queries, label by label, without each compound."""

    def __init__(self, owner: Array, queries: Array, *, seed: int) -> None:
        """Take the compounds of all wells (n,), and the places of the queries, of which some are used."""
        self.groups = Groups.of(owner)
        self._drawn = frozenset(queries[wells.drawn(owner[queries], at_most=QUERIES, seed=seed)].tolist())
        self._rows: list[tuple[int, Array, Array]] = []

    def read(self, query: int, similar: Array, allowed: Array, mine: Array, member: Array) -> None:
        """Add a query; parameters as of `wellspring.evaluate.multilabel.precisions`."""
        if int(query) not in self._drawn:
            return
        negative = allowed & ~member[:, mine].any(axis=1)
        parts = [
            without_each(similar, allowed & member[:, label], negative, self.groups) for label in np.flatnonzero(mine)
        ]
        values, chances = (_mean(np.array([part[place] for part in parts])) for place in (0, 1))
        self._rows.append((int(query), values, chances))

    def jackknife(self, value: Array, chance: Array, owner: Array, whole: float) -> tuple[Jackknife, ...]:
        """Return the jackknife of the mean over compounds; value and chance (n,) are of wells, NaN if not queried."""
        places = np.array([place for place, *_ in self._rows], dtype=int)
        if not np.isfinite(value[places]).any():
            return ()
        left, level = (np.array([row[number] for row in self._rows]) for number in (1, 2))
        count = pd.Series(value[places]).groupby(owner[places]).transform("count").to_numpy(dtype=float)
        rise, shared = of_queries(
            value[places], left, chance[places], level, self.groups.code[places], weight=1 / np.maximum(count, 1)
        )
        return (Jackknife(POPULATION, pd.Series(whole - rise, index=list(self.groups.names)), shared),)


def without_each(similar: Array, positive: Array, negative: Array, groups: Groups) -> tuple[Array, Array]:
    """Return average precision and its chance (groups,) without each group; NaN where no positive is left.

    `similar` (n,), `positive` and `negative` (n,) bool are of all wells.
    """
    own, others = groups.onehot(positive), groups.onehot(negative)
    good, bad = similar[positive], similar[negative]
    above = good[None, :] >= good[:, None]
    hits = above.sum(axis=1)[:, None] - above @ own
    misses = (bad[None, :] >= good[:, None]).astype(float)
    misses = misses.sum(axis=1)[:, None] - misses @ others
    stays = 1 - own
    left, total = stays.sum(axis=0), stays.sum(axis=0) + len(bad) - others.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (stays * hits / np.maximum(hits + misses, 1)).sum(axis=0) / left
    known = left > 0
    level = expected(np.maximum(left, 1).astype(int), np.maximum(total, 1).astype(int))
    return np.where(known, value, np.nan), np.where(known, level, np.nan)


def _mean(rows: Array) -> Array:
    """Return the mean (groups,) of the known values of each column."""
    known = np.isfinite(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(known, rows, 0.0).sum(axis=0) / known.sum(axis=0)
    return result
