"""Normal scores of ranks, for the normalisation of a plate and for the alignment's step `rank_normal`.

The value of rank r among n becomes the normal quantile of `(r - 3/8) / (n + 1/4)` (Blom 1958, the offset of the JUMP
consortium's recipe; ties share their mean rank). Other values are placed in the empirical distribution of the fit, with
linear interpolation of the probability between two fitted values. Beyond all of them the outermost probability,
`5/8 / (n + 1/4)` from the end, is used, because ranks carry no distance.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[Any]
BLOM = 3 / 8
KNOTS = 1000  # largest number of values kept of a feature's distribution; as in pycytominer's inverse_normal


def distributions(values: Array) -> tuple[Array, Array, Array]:
    """Return the distribution of each column of (n, d), by its finite values.

    Returns
    -------
    knots
        (k, d) float64, distinct values in order, NaN after the last. Of more than `KNOTS` values, `KNOTS` are kept,
        evenly spaced in their score, always with the outermost.
    levels
        (k, d) float64, their probabilities by Blom.
    counts
        (d,) int64, number of finite values of each column.
    """
    found = [_distribution(column[np.isfinite(column)]) for column in values.T]
    most = max((len(knots) for knots, _ in found), default=0)
    knots, levels = np.full((2, most, values.shape[1]), np.nan)
    for place, (known, level) in enumerate(found):
        knots[: len(known), place], levels[: len(level), place] = known, level
    return knots, levels, np.isfinite(values).sum(axis=0)


def scores(values: Array, knots: Array, levels: Array, counts: Array) -> Array:
    """Return the normal scores of (n, d) by the distributions; NaN for NaN and in a column without a fit."""
    result = np.full(values.shape, np.nan)
    for place in np.flatnonzero(counts):
        kept = np.isfinite(knots[:, place])
        known, end = knots[kept, place], (1 - BLOM) / (counts[place] + 1 - 2 * BLOM)
        column = values[:, place]
        level = np.interp(column, known, levels[kept, place])
        level = np.where(column < known[0], end, np.where(column > known[-1], 1 - end, level))
        result[:, place] = np.where(np.isnan(column), np.nan, ndtri(level))
    return result


def _distribution(values: Array) -> tuple[Array, Array]:
    knots, first, count = np.unique(np.sort(values), return_index=True, return_counts=True)
    level = (first + (count + 1) / 2 - BLOM) / (len(values) + 1 - 2 * BLOM)
    if len(knots) > KNOTS:
        # Even spacing in the score keeps the tails, where scores differ most between ranks.
        grid = ndtr(np.linspace(ndtri(level[0]), ndtri(level[-1]), KNOTS)[1:-1])
        chosen = np.unique([0, *np.searchsorted(level, grid), len(level) - 1])
        knots, level = knots[chosen], level[chosen]
    return knots, level
