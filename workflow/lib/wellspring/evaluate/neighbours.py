"""Nearest neighbours among unit rows, block by block: what every score that looks for neighbours is built on.

In flow unit rows and which pairs are barred, out flow indices of the nearest, nearest first; equal similarities stand
in the order of the rows. No array of all pairs is held at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wellspring.evaluate import wells

CELLS_AT_ONCE = 2_000_000  # 16 MB: blocks that the allocator hands out again, without new pages
FEW = 12  # up to here one search of the largest after the other is quicker than a partition


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
        (q,) how many references are allowed, and how many of these have the query's label (0 without labels).
    """

    index: np.ndarray
    similarity: np.ndarray
    allowed: np.ndarray
    matching: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """Which neighbours (q, k) there are."""
        return np.isfinite(self.similarity)


def blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of `count` rows, each of which has a bounded number of cells when it is `width` wide."""
    step = max(1, CELLS_AT_ONCE // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def largest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and values (rows, k) of the k largest of each row, falling, ties by column.

    Where fewer than k values are above -inf, the columns of the others mean nothing.
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
    bound = np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k]
    for row, least in enumerate(bound):
        near = np.flatnonzero(values[row] >= least)
        places[row] = near[np.argsort(-values[row, near], kind="stable")[:k]]
    return places, np.take_along_axis(values, places, axis=1)


def nearest(
    rows: np.ndarray,
    *,
    queries: np.ndarray,
    references: np.ndarray,
    k: int,
    barred: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray | None = None,
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
    k, pool = min(k, len(references)), rows[references]
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


def winners(labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the label with most votes (q,) among neighbours (q, k), nearest first; a tie goes to the nearest of them.

    Votes that are not `valid` do not count; without any the result means nothing.
    """
    same = (labels[:, :, None] == labels[:, None, :]) & valid[:, None, :]
    votes = np.where(valid, same.sum(axis=2), -1)
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]
