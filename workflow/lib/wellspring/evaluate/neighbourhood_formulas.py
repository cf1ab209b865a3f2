"""Formulas of neighbourhood scores: kBET, LISI, batch silhouette, graph connectivity.

Input: lists of nearest neighbours (or unit rows) and integer labels. Output: values per well. The results equal those
of scib-metrics for the same neighbours; silhouettes equal those of scikit-learn for the cosine distance.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2

from wellspring.evaluate.neighbours import CELLS_AT_ONCE, blocks
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note

TRIES, TOLERANCE = 50, 1e-5  # of the search for the kernel's width, as in Korsunsky et al. 2019

ROUNDS = 20  # permutations of labels for the chance levels
LEAST = 10  # fewest neighbours of a neighbourhood (scIB's minimum for kBET)
SHARE = 4  # a neighbourhood holds at most one in SHARE of the wells (scIB's for kBET), so that it stays local


def kbet(neighbours: Array, labels: Array, expected: Array) -> Array:
    """Return the p-value (n,) that a neighbourhood's labels are a sample of all (Büttner et al. 2019).

    Pearson's chi-squared over `expected` (labels,), the share of each label; one degree of freedom fewer than labels.

    Parameters
    ----------
    neighbours
        (n, k) places of the wells of each neighbourhood, the well itself among them.
    labels
        Codes from 0 of all wells.
    """
    found = _by_label(labels[neighbours], np.ones(neighbours.shape), len(expected))
    wanted = expected * neighbours.shape[1]
    statistic = ((found - wanted) ** 2 / wanted).sum(axis=1)
    result: Array = chi2.sf(statistic, len(expected) - 1)
    return result


def kernel(distances: Array, perplexity: float) -> Array:
    """Return weights (n, k) that fall as exp(-beta d) and sum to 1, each row with entropy log(perplexity).

    Korsunsky et al. 2019; beta is found by bisection from 1. A row without a solution keeps its last beta.
    """
    distances = np.asarray(distances, dtype=np.float64)
    beta, goal = np.ones(len(distances)), np.log(perplexity)
    low, high = np.full(len(distances), -np.inf), np.full(len(distances), np.inf)
    entropy, weights = _entropy(distances, beta)
    for _ in range(TRIES):
        open_ = np.abs(entropy - goal) > TOLERANCE
        if not open_.any():
            break
        above = entropy > goal
        low, high = np.where(open_ & above, beta, low), np.where(open_ & ~above, beta, high)
        with np.errstate(invalid="ignore"):
            middle = np.where(np.isinf(high), beta * 2, np.where(np.isinf(low), beta / 2, (low + high) / 2))
        beta = np.where(open_, middle, beta)
        entropy[open_], weights[open_] = _entropy(distances[open_], beta[open_])
    return weights


def lisi(weights: Array, neighbours: Array, labels: Array, *, count: int) -> Array:
    """Return the local inverse Simpson index (n,): the effective number of labels in a neighbourhood.

    One over the sum of squared shares of the `count` labels, shares by the `weights` (n, k) of `kernel`.
    """
    result: Array = 1 / (_by_label(labels[neighbours], weights, count) ** 2).sum(axis=1)
    return result


def silhouettes(rows: Array, labels: Array) -> Array:
    """Return the silhouette (n,) of each unit row by cosine distance; 0 where its label has no other row.

    The mean distance to a label is 1 - x . (mean row of the label), so that no pairs are formed.
    """
    names, code, size = np.unique(labels, return_inverse=True, return_counts=True)
    sums = csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=(len(names), len(code))) @ rows
    result = np.zeros(len(rows))
    for block in blocks(len(rows), len(names)):
        own = (rows[block] ** 2).sum(axis=1)
        result[block] = _silhouettes(rows[block] @ sums.T, own, code[block], size)
    return result


def dealt_silhouettes(rows: Array, dealt: Array) -> Array:
    """Return the silhouettes (deals, n) of unit rows (n, d) under each row of label codes, `dealt` (deals, n).

    Every label of a deal has as many rows as in the others. The products of a small set are formed once.
    """
    size = np.bincount(dealt[0])
    if len(rows) * dealt.size * len(size) > CELLS_AT_ONCE:
        return np.array([silhouettes(rows, labels) for labels in dealt])
    gram, onehot = rows @ rows.T, np.eye(len(size))[dealt]
    every = (gram @ onehot).reshape(-1, len(size))
    own = np.tile(np.diag(gram), len(dealt))
    return _silhouettes(every, own, dealt.ravel(), size).reshape(dealt.shape)


def _silhouettes(products: Array, square: Array, code: Array, size: Array) -> Array:
    """Return silhouettes (n,) from products with the sum of each label's rows (n, labels) and with itself (n,)."""
    place = np.arange(len(code)), code
    distance, own = 1 - products / size, products[place] - square
    inside = 1 - own / np.maximum(size[code] - 1, 1)
    distance[place] = np.inf
    outside = distance.min(axis=1)
    longer = np.maximum(inside, outside)
    value = np.divide(outside - inside, longer, out=np.zeros(len(inside)), where=longer > 0)
    return np.where(size[code] > 1, value, 0.0)


def connectivity(neighbours: Array, labels: Array) -> dict[int, float]:
    """Return, for each label, the share of its wells in the largest strongly connected part of its own neighbour graph.

    `neighbours` (n, k) places; negative ones are left out. (Luecken et al. 2022; strongly, as scib-metrics counts.)
    """
    source = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    target = neighbours.ravel()
    inside = target >= 0
    inside[inside] = labels[source[inside]] == labels[target[inside]]
    edges = source[inside], target[inside]
    graph = csr_array((np.ones(len(edges[0])), edges), shape=(len(labels), len(labels)))
    _, part = connected_components(graph, connection="strong")
    # Edges join wells of one label only, so that a part has one label.
    size, first = np.bincount(part), np.unique(part, return_index=True)[1]
    owner, total, result = labels[first], np.bincount(labels), {}
    largest = np.zeros(len(total))
    np.maximum.at(largest, owner, size)
    for label in np.flatnonzero(total):
        result[int(label)] = float(largest[label] / total[label])
    return result


def mixture(labels: Array, *, neighbours: Array, weights: Array, count: int) -> Array:
    """Return LISI (n,) scaled so that one label is 0 and all `count` labels in equal parts are 1 (iLISI of scIB)."""
    return (lisi(weights, neighbours, labels, count=count) - 1) / (count - 1)


def chord(similarity: Array) -> Array:
    """Return the length |x - y| between unit rows of these cosine similarities."""
    length: Array = np.sqrt(np.maximum(2 - 2 * similarity, 0))
    return length


def by_label(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of `value` by `label`, as items of a score."""
    names, code, count = np.unique(frame["label"].to_numpy().astype(str), return_inverse=True, return_counts=True)
    mean = np.bincount(code, weights=frame["value"].to_numpy(dtype=float)) / count
    return pd.DataFrame({"Metadata_Item": names.astype(object), "value": mean, "n": count})


def too_few(code: str, found: int) -> Note:
    """Return the note of a score with too few wells for a neighbourhood."""
    return Note(code, {"found": found, "needed": LEAST * SHARE})


def _by_label(labels: Array, weights: Array, count: int) -> Array:
    """Return the sums of weights (n, count) by label of neighbours (n, k)."""
    place = np.arange(len(labels))[:, None] * count + labels
    return np.bincount(place.ravel(), weights=weights.ravel(), minlength=len(labels) * count).reshape(-1, count)


def _entropy(distances: Array, beta: Array) -> tuple[Array, Array]:
    """Return entropy (n,) and weights (n, k) of a kernel of width beta (n,)."""
    # Subtracting the smallest distance changes no weight and keeps the sum from underflowing.
    moved = distances - distances.min(axis=1, keepdims=True)
    weights = np.exp(-moved * beta[:, None])
    total = weights.sum(axis=1)
    return np.log(total) + beta * (moved * weights).sum(axis=1) / total, weights / total[:, None]
