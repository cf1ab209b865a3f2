"""Keep one plate from harming the others: wells and plates that a fit leaves out, and an output without spread.

A plate whose normalisation failed can have values of 1e15 where all others have values near 1. In a fit on all plates
it would hold nearly all variance: every other plate would be divided by it. Three limits prevent this. Wells beyond
`max_deviation` spreads of the controls are not used. A plate whose controls alone multiply the largest variance of all
controls by more than `max_influence` is not used (leave-one-out, the plate of the largest contribution first). An
alignment that leaves the treated wells without spread has a note. Wells that a fit leaves out are aligned all the same.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array
from wellspring.io import tables
from wellspring.io.notes import Note, Scalar
from wellspring.screen.sections import Fit

LEFT_OUT = ("wells_left_out_of_fit", "plate_left_out_of_fit")  # codes of notes that name a plate
COLLAPSED = "no_spread_after_alignment"
FLOOR = 0.3  # smallest spread of a feature, as a share of the median over features
LEAST_SPREAD = 1e-6  # share of the treated wells' spread before alignment, below which there is none left
SAMPLED = 1000  # treated wells on which the spread after alignment is measured
ROUNDS, TOLERANCE = 100, 1e-4  # of the power iteration


@dataclass(frozen=True)
class Usual:
    """Usual centre and spread of each feature in the controls of a plate, (d,) each: medians over plates."""

    center: Array
    spread: Array


def used_wells(frame: pd.DataFrame, *, controls: Array, options: Fit) -> tuple[Array, tuple[Note, ...]]:
    """Return which rows a fit may use, (rows,) bool, and a note per plate of which wells are left out.

    Parameters
    ----------
    frame
        Normalised profiles of the plates that fit, joined.
    controls
        (rows,) bool, the controls of the fit.
    options
        The config section `fit`: `max_deviation`, `max_influence` (null switches a limit off), `by`.

    Returns
    -------
    tuple
        Without limits, controls or several plates all rows are used. Rows are never left out if no control would be
        left.
    """
    everything = np.ones(len(frame), dtype=bool)
    controls = np.asarray(controls, dtype=bool)
    plates, names = frames.text(frame, "Metadata_Plate"), tables.features(frame)
    if not controls.any() or not names or len(np.unique(plates)) < 2:
        return everything, ()
    own = frames.matrix(frame[controls], names)
    usual = _usual(own, plates[controls])
    used, notes = everything.copy(), []
    if options.max_deviation is not None:
        # Plate by plate: an array of all deviations would be as large as the profiles.
        for plate in np.unique(plates):
            mine = plates == plate
            deviations = np.abs(frames.matrix(frame[mine], names) - usual.center) / usual.spread
            used[mine] = ~(np.nan_to_num(deviations) > options.max_deviation).any(axis=1)
            if not used[mine].all():
                notes.append(_beyond(plate, deviations, names, limit=options.max_deviation))
    if options.max_influence is not None:
        column, found = frames.groups(frame, controls & used, by=options.by)
        scaled = np.nan_to_num((own - usual.center) / usual.spread)
        for group, mine in zip(found, frames.members(frame, controls, column=column, names=found), strict=True):
            rows = (mine & used)[controls]
            for plate, ratio in _influential(scaled, plates[controls], rows, limit=options.max_influence):
                used = used & (plates != plate)
                values_of: dict[str, Scalar] = {
                    "plate": plate,
                    "group": group,
                    "ratio": _short(ratio),
                    "limit": options.max_influence,
                }
                notes.append(Note("plate_left_out_of_fit", values_of))
    return (used, tuple(notes)) if (controls & used).any() else (everything, ())


def limits(frame: pd.DataFrame, *, controls: Array, options: Fit) -> tuple[Array, Array]:
    """Return the smallest and largest value that each feature may have, (d,) each; infinite without a limit."""
    names = tables.features(frame)
    if options.max_deviation is None or not np.any(controls):
        return np.full(len(names), -np.inf), np.full(len(names), np.inf)
    usual = _usual(frames.matrix(frame[controls], names), frames.text(frame[controls], "Metadata_Plate"))
    reach = options.max_deviation * usual.spread
    return usual.center - reach, usual.center + reach


def lost_spread(before: pd.DataFrame, after: pd.DataFrame, *, names: list[str]) -> Note | None:
    """Return a note if the spread of wells is less than a millionth of what it was before alignment, or of 1.

    The smaller of the two counts, since steps make spreads about 1, whatever the units were. The spread is the median
    over features of the median absolute deviation over wells.

    Parameters
    ----------
    before, after
        The same wells, normalised and aligned.
    names
        Features of both.
    """
    if len(before) < 2 or not names:
        return None
    found = [_spread(frames.matrix(frame, names)) for frame in (before, after)]
    if found[0] == 0 or found[1] >= LEAST_SPREAD * min(found[0], 1.0):
        return None
    return Note(COLLAPSED, {"before": _short(found[0]), "after": _short(found[1]), "wells": len(before)})


def sample(frame: pd.DataFrame, used: Array) -> pd.DataFrame:
    """Return up to `SAMPLED` rows of `frame`, evenly spaced: treated wells among `used`, else all of these."""
    rows = frames.defined(frame) & used
    treated = rows & (frame["Metadata_pert_type"] != "negcon").to_numpy(dtype=bool)
    places = np.flatnonzero(treated if treated.sum() > 1 else rows)
    return frame.iloc[places[:: max(1, -(-len(places) // SAMPLED))]]


def _usual(controls: Array, plates: Array) -> Usual:
    """Return medians over plates, since fewer than half of the plates cannot move them."""
    each = [controls[plates == plate] for plate in np.unique(plates)]
    center = _median(np.stack([_median(part) for part in each]))
    spreads = np.stack([_deviation(part) for part in each if len(part) > 1] or [_deviation(controls)])
    spread = np.nanmedian(spreads, axis=0)
    some = spread > 0
    least = FLOOR * float(np.median(spread[some])) if some.any() else 1.0
    return Usual(center, np.maximum(spread, least))


def _median(values: Array) -> Array:
    """Return the median of each column's finite values, 0 where there are none."""
    if len(values) and np.isfinite(values).all():
        whole: Array = np.median(values, axis=0)
        return whole  # in a tenth of the time of nanmedian
    result = np.zeros(values.shape[1])
    some = np.isfinite(values).any(axis=0)
    result[some] = np.nanmedian(values[:, some], axis=0)
    return result


def _deviation(values: Array) -> Array:
    """Return the deviation of each column, 1.4826 MAD, or the standard deviation where the MAD is 0."""
    robust = 1.4826 * _median(np.abs(values - _median(values)))
    return np.where(robust > 0, robust, frames.deviation_of(values))


def _influential(values: Array, plates: Array, rows: Array, *, limit: float) -> list[tuple[str, float]]:
    """Return the plates among `rows` that are left out, with the ratio of the largest variances with and without them.

    At least half of the plates stay.
    """
    left = np.unique(plates[rows]).tolist()
    most, found = len(left) // 2, list[tuple[str, float]]()
    share = {plate: _largest(values[rows & (plates == plate)], centred=False) for plate in left}
    while len(found) < most:
        plate = max(left, key=lambda name: share[name])
        others = rows & (plates != plate)
        whole, without = _largest(values[rows]) / rows.sum(), _largest(values[others]) / others.sum()
        if not whole > limit * without:
            break
        found.append((plate, whole / without if without > 0 else np.inf))
        left.remove(plate)
        rows = others
    return found


def _largest(values: Array, *, centred: bool = True) -> float:
    """Return the largest eigenvalue of `x.T @ x` by power iteration from the longest row."""
    rows = values - values.mean(axis=0) if centred else values
    lengths = np.linalg.norm(rows, axis=1)
    if not len(rows) or not lengths.max() > 0:
        return 0.0
    vector, largest = rows[lengths.argmax()] / lengths.max(), 0.0
    for _ in range(ROUNDS):
        vector = rows.T @ (rows @ vector)
        before, largest = largest, float(np.linalg.norm(vector))
        if largest <= before * (1 + TOLERANCE):
            break
        vector = vector / largest
    return largest


def _beyond(plate: str, deviations: Array, names: list[str], *, limit: float) -> Note:
    largest = np.nan_to_num(deviations)
    wells, features = (int((largest > limit).any(axis=axis).sum()) for axis in (1, 0))
    worst = int(largest.max(axis=0).argmax())
    found: dict[str, Scalar] = {
        "feature": names[worst],
        "deviations": _short(float(largest[:, worst].max())),
        "limit": limit,
    }
    counts: dict[str, Scalar] = {"plate": plate, "wells": wells, "total": len(largest), "features": features}
    return Note("wells_left_out_of_fit", {**counts, **found})


def _spread(values: Array) -> float:
    return float(np.median(_median(np.abs(values - _median(values)))))


def _short(value: float) -> float:
    """Return the value rounded to three significant digits; infinity is the largest float, since notes are JSON."""
    return float(f"{min(value, np.finfo(np.float64).max):.3g}") if np.isfinite(value) else 1e300
