"""Standardise: centre and scale each feature, over all plates together or by cell line or batch.

In flow profiles, out flow the same in units of the spread of the wells of the fit.
(`wellspring.profile.normalise` does so plate by plate; this is for what comes after other steps.)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import State
from wellspring.io import tables
from wellspring.profile.normalise import center_and_spread


@dataclass(frozen=True)
class Scales(State):
    """`x -> (x - center) / scale`, (groups, d) each; `column` and `groups` as of `Spheres`."""

    column: str
    groups: tuple[str, ...]
    center: np.ndarray
    scale: np.ndarray


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Scales:
    """Fit centre and scale: median and 1.4826 MAD where the option `robust` is true, else mean and deviation (ddof 0).

    Options: robust, fit_on, by, min_controls: a group with fewer wells is taken by the scale of all, and all with fewer
    are left as they are, which a note says. A feature whose MAD is 0 has its deviation instead, and one without any
    spread is only centred.
    """
    names = tuple(tables.features(frame))
    rows = frames.fitted(frame, controls=controls, options=options)
    column, found = frames.groups(frame, rows, by=options["by"])
    values, needed = frames.matrix(frame, names), int(options["min_controls"])
    center, scale = np.zeros((len(found), len(names))), np.ones((len(found), len(names)))
    notes = []
    for place, mine in enumerate(frames.members(frame, rows, column=column, names=found)):
        wells = int(mine.sum())
        if wells < needed:
            instead = "taken by the scale of all" if place else "left as they are"
            notes.append(f"{found[place]}: {wells} wells, {needed} needed: {instead}")
            center[place], scale[place] = center[0], scale[0]
        else:
            notes.append(f"{found[place]}: {wells} wells")
            center[place], scale[place] = _fit(values[mine], robust=bool(options["robust"]))
    return Scales(names, tuple(notes), column, found, center, scale)


def apply(frame: pd.DataFrame, state: Scales) -> pd.DataFrame:
    """Return `frame` centred and scaled; a value that is not finite stays NaN."""
    values = frames.matrix(frame, state.features)
    place = frames.placed(frame, column=state.column, names=state.groups)
    return frames.replaced(frame, state.features, (values - state.center[place]) / state.scale[place])


def _fit(values: np.ndarray, *, robust: bool) -> tuple[np.ndarray, np.ndarray]:
    center, spread = center_and_spread(values, "mad_robustize" if robust else "standardize")
    if robust:
        spread = np.where(spread > 0, spread, center_and_spread(values, "standardize")[1])
    # A feature without a finite value in the fit stays as it is.
    return np.nan_to_num(center), np.where(spread > 0, spread, 1.0)
