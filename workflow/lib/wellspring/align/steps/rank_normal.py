"""Rank normal: replace values by the normal scores of their ranks.

Each feature becomes normally distributed among the wells of the fit (`wellspring.profile.normal_scores`). All values
beyond the wells of the fit are equal: fitted on a dozen controls, every strong effect becomes 1.6. Fit it on all wells
(`fit_on: all`) unless this is intended.
"""

from dataclasses import dataclass

import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.profile.normal_scores import distributions, scores
from wellspring.screen.sections import Fit


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
