"""Rank normal: replace values by the normal scores of their ranks.

In flow profiles, out flow profiles whose every feature is normal among the wells of the fit: the value of rank r among
n becomes the normal quantile of `(r - 3/8) / (n + 1/4)` (Blom 1958, the offset that the JUMP consortium's recipe takes;
ties share their mean rank). A later value takes its place in the empirical distribution of the fit: between two fitted
values by linear interpolation of the probability, and beyond all of them the outermost probability, `5/8 / (n + 1/4)`
from the end, since ranks know no distance. So what lies beyond the wells of the fit is all alike: fitted on a dozen
controls, every strong effect is the same 1.6. Fit it on all wells (`fit_on: all`), unless that is meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from wellspring.align.steps import frames
from wellspring.align.steps.state import State
from wellspring.io import tables

BLOM = 3 / 8
KNOTS = 1000  # values that a feature's distribution is kept by; as many as pycytominer's inverse_normal


@dataclass(frozen=True)
class Ranks(State):
    """The distributions: `knots`, `levels` (k, d), NaN at the end of those with fewer, and `counts` (d,)."""

    knots: np.ndarray
    levels: np.ndarray
    counts: np.ndarray


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Ranks:
    """Fit the distribution of each feature, over all plates together. Options: fit_on."""
    names = tuple(tables.features(frame))
    rows = frames.fitted(frame, controls=controls, options=options)
    knots, levels, counts = distributions(frames.matrix(frame.loc[rows], names))
    return Ranks(names, (f"ranks of {int(rows.sum())} wells",), knots, levels, counts)


def apply(frame: pd.DataFrame, state: Ranks) -> pd.DataFrame:
    """Return `frame` with normal scores; a value that is not finite stays NaN, a feature without a fit as it is."""
    values = frames.matrix(frame, state.features)
    known = state.counts > 0
    values[:, known] = scores(values[:, known], state.knots[:, known], state.levels[:, known], state.counts[known])
    return frames.replaced(frame, state.features, values)


def distributions(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distribution of each column of (n, d), by its finite values.

    Returns
    -------
    knots
        (k, d) float64, distinct values in order, NaN behind the last; of more than `KNOTS` so many are kept, evenly in
        their score, the outermost always.
    levels
        (k, d) float64, their probabilities by Blom.
    counts
        (d,) int64, values that each column has.
    """
    found = [_distribution(column[np.isfinite(column)]) for column in values.T]
    most = max((len(knots) for knots, _ in found), default=0)
    knots, levels = np.full((2, most, values.shape[1]), np.nan)
    for place, (known, level) in enumerate(found):
        knots[: len(known), place], levels[: len(level), place] = known, level
    return knots, levels, np.isfinite(values).sum(axis=0)


def scores(values: np.ndarray, knots: np.ndarray, levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the normal scores of (n, d) by the distributions; NaN for NaN and in a column that the fit had none of."""
    result = np.full(values.shape, np.nan)
    for place in np.flatnonzero(counts):
        kept = np.isfinite(knots[:, place])
        known, end = knots[kept, place], (1 - BLOM) / (counts[place] + 1 - 2 * BLOM)
        column = values[:, place]
        level = np.interp(column, known, levels[kept, place])
        level = np.where(column < known[0], end, np.where(column > known[-1], 1 - end, level))
        result[:, place] = np.where(np.isnan(column), np.nan, ndtri(level))
    return result


def _distribution(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    knots, first, count = np.unique(np.sort(values), return_index=True, return_counts=True)
    level = (first + (count + 1) / 2 - BLOM) / (len(values) + 1 - 2 * BLOM)
    if len(knots) > KNOTS:
        # Even in the score, so that the tails, where scores differ most from rank to rank, are kept whole.
        grid = ndtr(np.linspace(*ndtri(level[[0, -1]]), KNOTS)[1:-1])
        chosen = np.unique([0, *np.searchsorted(level, grid), len(level) - 1])
        knots, level = knots[chosen], level[chosen]
    return knots, level
