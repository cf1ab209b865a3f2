"""Nearest-neighbour search among unit rows, block by block, for all scores that use neighbours.

Input: unit rows and the pairs to exclude. Output: indices of the nearest rows, nearest first; ties keep the order of
the rows. The array of all pairs is never held at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wellspring.evaluate import wells
from wellspring.evaluate.wells import Array

CELLS_AT_ONCE = 2_000_000  # 16 MB: blocks of this size are reused by the allocator, without new pages
FOLDED = 16  # columns for each of the k largest, above which pairs of columns are folded
FEW = 12  # up to this k, repeated search of the maximum is faster than a partition


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


def largest(values: Array, k: int) -> tuple[Array, Array]:
    """Return columns and values (rows, k) of the k largest of each row, falling, ties by column.

    Where fewer than k values are above -inf, the columns of the others are arbitrary.
    """
    k, index = min(k, values.shape[1]), np.arange(len(values))
    places, found = np.zeros((len(values), k), dtype=np.intp), np.full((len(values), k), -np.inf)
    if k <= FEW:
        rest = values.copy()
        for place in range(k):
            places[:, place] = rest.argmax(axis=1)
            found[:, place] = rest[index, places[:, place]]
            rest[index, places[:, place]] = -np.inf
        return places, found
    # The k-th largest of maxima over pairs of columns is at most the k-th largest of all: fewer values to search.
    tops = values
    while tops.shape[1] > FOLDED * k:
        half = tops.shape[1] // 2
        tops = np.maximum(tops[:, :half], tops[:, half : 2 * half])
    bound = np.partition(tops, tops.shape[1] - k, axis=1)[:, tops.shape[1] - k]
    for row, least in enumerate(bound):
        near = np.flatnonzero(values[row] >= least)
        places[row] = near[np.argsort(-values[row, near], kind="stable")[:k]]
    return places, np.take_along_axis(values, places, axis=1)


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
    for block in blocks(len(queries), len(references)):
        mine = queries[block]
        similarity = wells.cosine(rows[mine], pool)
        similarity[barred(mine)] = -np.inf
        places, best[block] = largest(similarity, k)
        index[block] = references[places]
        open_ = np.isfinite(similarity)
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
