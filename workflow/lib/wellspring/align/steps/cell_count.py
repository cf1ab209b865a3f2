"""Cell count: take away what follows the number of cells in a line.

In flow profiles with Metadata_Count_Cells, out flow the residuals of each feature's least squares line over the count.
The JUMP consortium's recipe does this with all wells. A treatment that kills cells has few of them, so its effect is
taken away too, as far as it looks like sparse controls do; fitted on `negcon`, no further than the controls' counts
reach: a count beyond theirs counts as the nearest of them, for no control says how the line goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import State
from wellspring.io import tables

COUNT = "Metadata_Count_Cells"


@dataclass(frozen=True)
class Lines(State):
    """A line a feature, in each group.

    Attributes
    ----------
    column, groups
        As of `wellspring.align.steps.sphere.Spheres`.
    slope, intercept
        (groups, d), in units of the feature by cell, and of the feature at `middle`.
    low, middle, high
        (groups,) least, mean and largest count of the fit; without one all 0, as slope and intercept.
    """

    column: str
    groups: tuple[str, ...]
    slope: np.ndarray
    intercept: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Lines:
    """Fit the lines.

    Parameters
    ----------
    frame
        Profiles; wells without a count are left out.
    controls
        (rows,) bool, the controls of this fit.
    options
        fit_on (`negcon` or `all`), by (lines of their own by cell line or batch), min_controls: wells that lines need;
        a group with fewer has those of all, and all with fewer none, which a note says.
    """
    names, counts = tuple(tables.features(frame)), _counts(frame)
    rows = frames.fitted(frame, controls=controls, options=options) & np.isfinite(counts)
    column, found = frames.groups(frame, rows, by=options["by"])
    values, needed = frames.matrix(frame, names), int(options["min_controls"])
    slope, intercept = np.zeros((2, len(found), len(names)))
    low, middle, high = np.zeros((3, len(found)))
    notes = []
    for place, mine in enumerate(frames.members(frame, rows, column=column, names=found)):
        wells = int(mine.sum())
        if wells < needed or np.ptp(counts[mine]) == 0:
            instead = "taken by the lines of all" if place else "left as they are"
            few = f"{wells} wells with a count, {needed} needed" if wells < needed else f"{wells} wells of one count"
            notes.append(f"{found[place]}: {few}: {instead}")
            for part in (slope, intercept, low, middle, high):
                part[place] = part[0]
            continue
        low[place], middle[place], high[place] = counts[mine].min(), counts[mine].mean(), counts[mine].max()
        slope[place], intercept[place] = _lines(counts[mine] - middle[place], values[mine])
        notes.append(f"{found[place]}: {wells} wells of {low[place]:.0f} to {high[place]:.0f} cells")
    return Lines(names, tuple(notes), column, found, slope, intercept, low, middle, high)


def apply(frame: pd.DataFrame, state: Lines) -> pd.DataFrame:
    """Return `frame` less the lines; a well without a count counts as one of the mean count."""
    values, counts = frames.matrix(frame, state.features), _counts(frame)
    place = frames.placed(frame, column=state.column, names=state.groups)
    middle = state.middle[place]
    beyond = np.clip(np.where(np.isfinite(counts), counts, middle), state.low[place], state.high[place]) - middle
    return frames.replaced(
        frame, state.features, values - state.intercept[place] - state.slope[place] * beyond[:, None]
    )


def _lines(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and height at 0, (d,) each, of each column over `counts` (n,), by its finite values."""
    some = np.isfinite(values)
    wells = np.maximum(some.sum(axis=0), 1)
    mean = np.where(some, counts[:, None], 0.0).sum(axis=0) / wells
    height = frames.mean_of(values)
    centred = np.where(some, counts[:, None] - mean, 0.0)
    spread = (centred**2).sum(axis=0)
    product = (centred * np.where(some, values - height, 0.0)).sum(axis=0)
    slope = np.divide(product, spread, out=np.zeros_like(product), where=spread > 0)
    return slope, height - slope * mean


def _counts(frame: pd.DataFrame) -> np.ndarray:
    if COUNT not in frame.columns:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[COUNT]).to_numpy(dtype=np.float64, na_value=np.nan)
