"""Nearest-neighbour search among unit rows, block by block, for all scores that use neighbours.

Input: unit rows and the pairs to exclude. Output: indices of the nearest rows, nearest first; ties keep the order of
the rows. The array of all pairs is never held at once. All pairs are compared in float32, and those that its error
leaves in question in float64; the result is that of float64.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wellspring.evaluate import wells
from wellspring.evaluate.wells import Array

CELLS_AT_ONCE = 2_000_000  # 16 MB: blocks of this size are reused by the allocator, without new pages
FOLDED = 16  # columns for each of the k largest, above which pairs of columns are folded
ROUNDING = 2.0**-24  # largest relative error of one float32 operation
COSTLY = 8  # candidates for each of the k nearest, above which a product of matrices in float64 is faster
TRIED = 16  # queries that show how many candidates there are


@dataclass(frozen=True)
class Nearest:
    """The nearest references of each query.

    Attributes
    ----------
    index
        (q, k) places among all rows; k is smaller where there are fewer references.
    similarity
        (q, k) cosines, falling; -inf where fewer than k references are allowed.
    allowed, matching
        (q,) number of references that are allowed, and of those with the query's label (0 without labels).
    """

    index: Array
    similarity: Array
    allowed: Array
    matching: Array

    @property
    def valid(self) -> Array:
        """Which neighbours (q, k) exist."""
        return np.isfinite(self.similarity)


def blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of `count` rows, each of which has a bounded number of cells when it is `width` wide."""
    step = max(1, CELLS_AT_ONCE // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def bounds(values: Array, k: int) -> Array:
    """Return one number (rows,) per row that is at most its k-th largest value, and mostly equal to it."""
    # The k-th largest of maxima over pairs of columns is at most the k-th largest of all: fewer values to search.
    tops = values
    while tops.shape[1] > FOLDED * k:
        half = tops.shape[1] // 2
        tops = np.maximum(tops[:, :half], tops[:, half : 2 * half])
    found: Array = np.partition(tops, tops.shape[1] - k, axis=1)[:, tops.shape[1] - k]
    return found


def largest(values: Array, k: int) -> tuple[Array, Array]:
    """Return columns and values (rows, k) of the k largest of each row, falling, ties by column.

    Where fewer than k values are above -inf, the columns of the others are arbitrary.
    """
    k = min(k, values.shape[1])
    places = np.zeros((len(values), k), dtype=np.intp)
    for row, least in enumerate(bounds(values, k)):
        near = np.flatnonzero(values[row] >= least)
        places[row] = near[np.argsort(-values[row, near], kind="stable")[:k]]
    return places, np.take_along_axis(values, places, axis=1)


class Search:
    """The k nearest rows of a pool, of queries of which some pairs are barred.

    Products of unit rows in float32 are wrong by at most `slack`, by the bound on the error of a sum of d products, so
    that the k nearest are among the rows that are at most twice that below the k-th. Where these are too many for the
    first queries, as in profiles that hardly differ, all pairs are compared in float64.
    """

    def __init__(self, pool: Array, k: int) -> None:
        self.pool, self.k, self.slack = pool, k, (pool.shape[1] + 4) * ROUNDING
        self.rough: Array | None = pool.astype(np.float32)
        self.tried = False

    def read(self, queries: Array, barred: Array) -> tuple[Array, Array]:
        """Return columns and cosines (q, k), falling, -inf where fewer are allowed, of unit rows `queries` (q, d)."""
        if self.rough is not None and not self.tried:
            first = self._near(queries[:TRIED], barred[:TRIED], self.rough)
            self.tried, self.rough = True, self.rough if first.sum() <= COSTLY * self.k * len(first) else None
        if self.rough is not None:
            return self._exact(queries, self._near(queries, barred, self.rough))
        similar = wells.cosine(queries, self.pool)
        similar[barred] = -np.inf
        return largest(similar, self.k)

    def _near(self, queries: Array, barred: Array, rough: Array) -> Array:
        """Return which of the pool (q, n) may be among the k nearest."""
        similar = queries.astype(np.float32) @ rough.T
        similar[barred] = -np.inf
        least = bounds(similar, self.k) - np.float32(2 * self.slack)
        found: Array = (similar >= least[:, None]) & ~barred
        return found

    def _exact(self, queries: Array, near: Array) -> tuple[Array, Array]:
        places = np.zeros((len(queries), self.k), dtype=np.intp)
        found = np.full((len(queries), self.k), -np.inf)
        for row, query in enumerate(queries):
            columns = np.flatnonzero(near[row])
            similar = wells.cosine(query[None], self.pool[columns])[0]
            order = np.argsort(-similar, kind="stable")[: self.k]
            places[row, : len(order)], found[row, : len(order)] = columns[order], similar[order]
        return places, found


def nearest(
    rows: Array,
    *,
    queries: Array,
    references: Array,
    k: int,
    barred: Callable[[Array], Array],
    labels: Array | None = None,
) -> Nearest:
    """Return the k nearest references of each query by cosine.

    Parameters
    ----------
    rows
        (n, d) unit rows.
    queries, references
        Places among the rows.
    barred
        From places of queries (b,) to a mask (b, references) of those that may not be used.
    labels
        (n,) codes, for the count of references that match.
    """
    k = min(k, len(references))
    whole = len(references) == len(rows) and bool((references == np.arange(len(rows))).all())
    pool = rows if whole else rows[references]
    index, best = np.zeros((len(queries), k), dtype=np.intp), np.full((len(queries), k), -np.inf)
    allowed, matching = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
    search = Search(pool, k)
    for block in blocks(len(queries), len(references)):
        mine = queries[block]
        shut = barred(mine)
        places, best[block] = search.read(rows[mine], shut)
        index[block] = references[places]
        open_ = ~shut
        allowed[block] = open_.sum(axis=1)
        if labels is not None:
            matching[block] = (open_ & (labels[mine, None] == labels[None, references])).sum(axis=1)
    return Nearest(index, best, allowed, matching)


def itself(references: Array) -> Callable[[Array], Array]:
    """Return the function from places of queries (q,) to a mask (q, references) that excludes only the query itself."""
    return lambda query: np.equal(query[:, None], references[None, :])


def winners(labels: Array, valid: Array) -> Array:
    """Return the label with most votes (q,) among neighbours (q, k), nearest first; a tie goes to the nearest of them.

    Votes that are not `valid` do not count; without any the result is arbitrary.
    """
    same = (labels[:, :, None] == labels[:, None, :]) & valid[:, None, :]
    votes = np.where(valid, same.sum(axis=2), -1)
    best: Array = labels[np.arange(len(labels)), votes.argmax(axis=1)]
    return best
