"""Rank normal: replace values by the normal scores of their ranks.

Each feature becomes normally distributed among the wells of the fit: the value of rank r among n becomes the normal
quantile of `(r - 3/8) / (n + 1/4)` (Blom 1958, the offset of the JUMP consortium's recipe; ties share their mean rank).
Other values are placed in the empirical distribution of the fit, with linear interpolation of the probability between
two fitted values. Beyond all of them the outermost probability, `5/8 / (n + 1/4)` from the end, is used, because ranks
carry no distance. All values beyond the wells of the fit are therefore equal: fitted on a dozen controls, every strong
effect becomes 1.6. Fit it on all wells (`fit_on: all`) unless this is intended.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen.sections import Fit

BLOM = 3 / 8
KNOTS = 1000  # largest number of values kept of a feature's distribution; as in pycytominer's inverse_normal


@dataclass(frozen=True)
class Ranks(State):
    """The distributions: `knots`, `levels` (k, d), NaN at the end of those with fewer, and `counts` (d,)."""

    knots: Array
    levels: Array
    counts: Array


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Ranks:
    """Fit the distribution of each feature, over all plates together. Options: fit_on."""
    names = tuple(tables.features(frame))
    rows = frames.fitted(frame, controls=controls, options=options)
    knots, levels, counts = distributions(frames.matrix(frame.loc[rows], names))
    return Ranks(names, (Note("ranks_fitted", {"wells": int(rows.sum())}),), knots, levels, counts)


def apply(frame: pd.DataFrame, state: Ranks) -> pd.DataFrame:
    """Return `frame` with normal scores; a value that is not finite stays NaN, a feature without a fit as it is."""
    values = frames.matrix(frame, state.features)
    known = state.counts > 0
    values[:, known] = scores(values[:, known], state.knots[:, known], state.levels[:, known], state.counts[known])
    return frames.replaced(frame, state.features, values)


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
