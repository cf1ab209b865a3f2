"""Cell count: subtract the linear dependence of each feature on the number of cells.

Returns the residuals of each feature's least-squares line over Metadata_Count_Cells. The JUMP consortium's recipe fits
the line on all wells. A treatment that kills cells has low counts, so the part of its effect that resembles sparse
controls is subtracted as well. Fitted on `negcon`, the line is used within the range of the controls' counts only: a
count beyond it is replaced by the nearest count in the range, because no control supports an extrapolation.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen.sections import Fit

COUNT = "Metadata_Count_Cells"


@dataclass(frozen=True)
class Lines(State):
    """One line per feature and group.

    Attributes
    ----------
    column, groups
        As of `wellspring.align.steps.sphere.Spheres`.
    slope, intercept
        (groups, d), in units of the feature per cell, and of the feature at `middle`.
    low, middle, high
        (groups,) smallest, mean and largest count of the fit; all 0 without a fit, as are slope and intercept.
    """

    column: str
    groups: tuple[str, ...]
    slope: Array
    intercept: Array
    low: Array
    middle: Array
    high: Array


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Lines:
    """Fit the lines.

    Parameters
    ----------
    frame
        Profiles; wells without a count are left out.
    controls
        (rows,) bool, the controls of this fit.
    options
        fit_on (`negcon` or `all`), by (separate lines per cell line or batch), min_controls: wells that a fit needs. A
        group with fewer uses the lines of all wells; if all together are fewer, nothing is subtracted. A note records
        this.
    """
    names, counts = tuple(tables.features(frame)), _counts(frame)
    rows = frames.fitted(frame, controls=controls, options=options) & np.isfinite(counts)
    column, found = frames.groups(frame, rows, by=options.by)
    values, needed = frames.matrix(frame, names), options.min_controls
    slope, intercept = np.zeros((2, len(found), len(names)))
    low, middle, high = np.zeros((3, len(found)))
    notes: list[Note] = []
    for place, mine in enumerate(frames.members(frame, rows, column=column, names=found)):
        wells = int(mine.sum())
        if wells < needed or np.ptp(counts[mine]) == 0:
            instead = "pooled" if place else "unchanged"
            if wells < needed:
                notes.append(frames.too_few(found[place], wells, needed, unit="wells_with_count", instead=instead))
            else:
                notes.append(Note("single_count", {"group": found[place], "wells": wells, "instead": instead}))
            for part in (slope, intercept, low, middle, high):
                part[place] = part[0]
            continue
        low[place], middle[place], high[place] = counts[mine].min(), counts[mine].mean(), counts[mine].max()
        slope[place], intercept[place] = _lines(counts[mine] - middle[place], values[mine])
        counted = {"wells": wells, "low": float(low[place]), "high": float(high[place])}
        notes.append(Note("counts_fitted", {"group": found[place], **counted}))
    return Lines(names, tuple(notes), column, found, slope, intercept, low, middle, high)


def apply(frame: pd.DataFrame, state: Lines) -> pd.DataFrame:
    """Return `frame` minus the lines; a well without a count gets the mean count."""
    values, counts = frames.matrix(frame, state.features), _counts(frame)
    place = frames.placed(frame, column=state.column, names=state.groups)
    middle = state.middle[place]
    beyond = np.clip(np.where(np.isfinite(counts), counts, middle), state.low[place], state.high[place]) - middle
    return frames.replaced(
        frame, state.features, values - state.intercept[place] - state.slope[place] * beyond[:, None]
    )


def _lines(counts: Array, values: Array) -> tuple[Array, Array]:
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


def _counts(frame: pd.DataFrame) -> Array:
    if COUNT not in frame.columns:
        return np.full(len(frame), np.nan)
    result: Array = pd.to_numeric(frame[COUNT]).to_numpy(dtype=np.float64, na_value=np.nan)
    return result
