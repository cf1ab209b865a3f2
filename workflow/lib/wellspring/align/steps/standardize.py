"""Standardise: centre and scale each feature, over all plates together or by cell line or batch.

The result is in units of the spread of the wells of the fit. `wellspring.profile.normalise` does the same per plate;
this step is for use after other steps.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.profile.normalise import center_and_spread
from wellspring.screen.sections import Fit


@dataclass(frozen=True)
class Scales(State):
    """`x -> (x - center) / scale`, (groups, d) each; `column` and `groups` as of `Spheres`."""

    column: str
    groups: tuple[str, ...]
    center: Array
    scale: Array


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Scales:
    """Fit centre and scale: median and 1.4826 MAD where the option `robust` is true, else mean and deviation (ddof 0).

    Options: robust, fit_on, by, min_controls. A group with fewer wells than min_controls uses the scale of all wells;
    if all together are fewer, they stay as they are. A note records this. A feature whose MAD is 0 is divided by its
    standard deviation, and a feature without spread is only centred.
    """
    names = tuple(tables.features(frame))
    rows = frames.fitted(frame, controls=controls, options=options)
    column, found = frames.groups(frame, rows, by=options.by)
    values, needed = frames.matrix(frame, names), options.min_controls
    center, scale = np.zeros((len(found), len(names))), np.ones((len(found), len(names)))
    notes: list[Note] = []
    for place, mine in enumerate(frames.members(frame, rows, column=column, names=found)):
        wells = int(mine.sum())
        if wells < needed:
            instead = "pooled" if place else "unchanged"
            notes.append(frames.too_few(found[place], wells, needed, unit="wells", instead=instead))
            center[place], scale[place] = center[0], scale[0]
        else:
            notes.append(Note("scale_fitted", {"group": found[place], "wells": wells}))
            center[place], scale[place] = _fit(values[mine], robust=options.robust)
    return Scales(names, tuple(notes), column, found, center, scale)


def apply(frame: pd.DataFrame, state: Scales) -> pd.DataFrame:
    """Return `frame` centred and scaled; a value that is not finite stays NaN."""
    values = frames.matrix(frame, state.features)
    place = frames.placed(frame, column=state.column, names=state.groups)
    return frames.replaced(frame, state.features, (values - state.center[place]) / state.scale[place])


def _fit(values: Array, *, robust: bool) -> tuple[Array, Array]:
    center, spread = center_and_spread(values, "mad_robustize" if robust else "standardize")
    if robust:
        spread = np.where(spread > 0, spread, center_and_spread(values, "standardize")[1])
    # A feature without a finite value in the fit stays as it is.
    return np.nan_to_num(center), np.where(spread > 0, spread, 1.0)
