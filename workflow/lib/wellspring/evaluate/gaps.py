"""Values that are missing at a level: features and wells with too many are left out, other gaps are filled.

The scores compare whole profiles, so that one missing value would take its well away, and one empty feature all wells.
The rules are, in this order:

1. a well that lacks more than half of the features that have any value is undefined;
2. a feature that more than `max_missing` of the other wells lack is left out (as in the step `select`);
3. any other gap is filled with the median of the feature in the negative controls of the plate, or in all wells of the
   plate, or of the table, whichever exists first. So a gap makes a well more like a control, not less.

Notes record how many values, features and wells each rule concerned, and how many wells have no direction (all values
zero) or no spread (all values equal): the cosine of the former and the correlation of both is undefined.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.levels import defined_controls, kept
from wellspring.evaluate.wells import Array
from wellspring.io import tables
from wellspring.io.notes import Note

MOST = 0.5  # share of the features that a well may lack


def closed(frame: pd.DataFrame, *, max_missing: float = 0.05) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """Return the profiles without gaps in wells that have a profile, and notes on what was left out and filled.

    A frame without gaps is returned as it is.

    Examples
    --------
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "x": [1.0, 2.0, np.nan, 4.0], "y": [5.0, 6.0, 7.0, np.nan]})
    >>> closed(frame, max_missing=0.3)[0]["x"].tolist()
    [1.0, 2.0, 2.0, 4.0]
    """
    names = tables.features(frame)
    values = frame[names].to_numpy(dtype=np.float64, copy=True)
    finite, mine = np.isfinite(values), kept(frame)
    if finite[mine].all() or not mine.any():
        return frame, _flat(values, mine)
    values[~finite] = np.nan
    some = finite[mine].any(axis=0)
    lacking = (~finite[:, some]).mean(axis=1) if some.any() else np.ones(len(frame))
    sound = mine & (lacking <= MOST)
    absent = (~finite[sound]).mean(axis=0) if sound.any() else np.ones(len(names))
    chosen = absent <= max_missing
    values, gaps = values[:, chosen], ~finite[:, chosen] & sound[:, None]
    notes = _left_out(int((~chosen).sum()), len(names), int((mine & ~sound).sum()), int(mine.sum()))
    if gaps.any():
        values = np.where(gaps, _medians(frame, values, sound), values)
        counts = {"values": int(gaps.sum()), "features": int(gaps.any(axis=0).sum())}
        notes = (*notes, Note("gaps_filled", {**counts, "wells": int(gaps.any(axis=1).sum())}))
    values[~sound] = np.nan
    notes = (*notes, *_flat(values, sound))
    metadata = frame[[name for name in frame.columns if name.startswith("Metadata_")]]
    columns = [name for name, one in zip(names, chosen, strict=True) if one]
    return pd.concat([metadata, pd.DataFrame(values, columns=columns, index=frame.index)], axis=1), notes


def _left_out(features: int, of_features: int, lost: int, of_wells: int) -> tuple[Note, ...]:
    notes = (Note("features_missing", {"features": features, "total": of_features}),) if features else ()
    return (*notes, Note("wells_missing", {"wells": lost, "total": of_wells})) if lost else notes


def _flat(values: Array, sound: Array) -> tuple[Note, ...]:
    """Return notes on wells whose profile is zero, and on others whose values are all equal."""
    if values.shape[1] < 2:
        return ()
    equal = sound & (values == values[:, :1]).all(axis=1)
    zero = equal & (values[:, 0] == 0)
    counts = {"profile_zero": int(zero.sum()), "profile_constant": int((equal & ~zero).sum())}
    return tuple(Note(code, {"wells": count, "total": int(sound.sum())}) for code, count in counts.items() if count)


def _medians(frame: pd.DataFrame, values: Array, sound: Array) -> Array:
    """Return for each row (n, d) the median of its plate's controls, of its plate, or of the table."""
    plate, control = wells.column(frame, wells.PLATE).astype(str), defined_controls(frame) & sound
    fill, whole = np.empty(values.shape), _median(values[sound])
    for name in sorted(set(plate)):
        here, found = plate == name, whole
        for rows in (here & sound, here & control):
            own = _median(values[rows])
            found = np.where(np.isfinite(own), own, found)
        fill[here] = found
    return fill


def _median(values: Array) -> Array:
    result = np.full(values.shape[1], np.nan)
    some = np.isfinite(values).any(axis=0)
    result[some] = np.nanmedian(values[:, some], axis=0)
    return result
