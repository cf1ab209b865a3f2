"""Scores of mixing without each set of plates: the neighbourhoods are read anew, because all of them change."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from wellspring.evaluate.jackknife import LEAST, Groups, Jackknife
from wellspring.evaluate.score import Score
from wellspring.evaluate.wells import Array

SETS, QUERIES = 10, 300  # of plates that are left out, and of wells whose neighbourhoods are read each time


def without_plates(
    scores: Sequence[Score], plates: Array, again: Callable[[Array, int], Sequence[Score]]
) -> list[Score]:
    """Return the scores with their jackknives over at most `SETS` sets of plates.

    `plates` (n,) are the plates of the wells; `again(places, queries)` returns the same scores of a part of the wells,
    for at most so many neighbourhoods. These shrink with the number of wells, as those of a smaller screen would.
    """
    groups = Groups.of(plates)
    if len(groups) > SETS:
        groups = Groups(groups.code % SETS, groups.names[:SETS])
    names = list(groups.names)
    if len(groups) < LEAST or not any(np.isfinite(score.value) for score in scores):
        none = Jackknife("plates", pd.Series(0.0, index=names))
        return [replace(score, jackknives=(none.shifted(score.value),)) for score in scores]
    left: dict[str, list[float]] = {score.metric: [] for score in scores}
    for group in range(len(groups)):
        for score in again(np.flatnonzero(groups.code != group), min(QUERIES, len(plates))):
            left[score.metric].append(score.value)
    found = []
    for score in scores:
        values = pd.Series(left[score.metric], index=names).dropna()
        found.append(replace(score, jackknives=(Jackknife("plates", values - values.mean() + score.value),)))
    return found
