"""What the steps share: which wells fit, which group a well is of, values out of a frame and back into it."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)

POOLED = "*"
GROUPS = {None: None, "cell_line": "Metadata_Cell_Line", "batch": "Metadata_Batch"}


def defined(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows have a profile, (rows,) bool."""
    return (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)


def fitted(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> np.ndarray:
    """Return which rows a step is fitted on by the option `fit_on`, (rows,) bool.

    `negcon`: the controls of this fit. `all`: these and every well with a profile that is no negative control; controls
    that are kept apart to judge the fit by do not enter.
    """
    if options["fit_on"] == "negcon":
        return np.asarray(controls, dtype=bool)
    return defined(frame) & (np.asarray(controls, dtype=bool) | (frame["Metadata_pert_type"] != "negcon").to_numpy())


def matrix(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return the features `names`, (rows, d) float64, NaN for what is not finite or in a well without a profile.

    Raises
    ------
    ValueError
        Names features that `frame` lacks.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"profile: expected the {len(names)} features of the fit, found none called {missing[:5]}")
    values = frame[list(names)].to_numpy(dtype=np.float64, copy=True)
    values[~np.isfinite(values) | ~defined(frame)[:, None]] = np.nan
    return values


def replaced(frame: pd.DataFrame, names: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    """Return the metadata of `frame` with `values` (rows, d) as its features `names`."""
    metadata = frame[[name for name in frame.columns if name.startswith("Metadata_")]]
    return pd.concat([metadata, pd.DataFrame(values, columns=list(names), index=frame.index)], axis=1)


def gaps_filled(values: np.ndarray, rows: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Return `values` (n, d) with NaN in `rows` replaced by `fill`, (d,) or (n, d), and say how many they were."""
    gaps = np.isnan(values) & np.asarray(rows, dtype=bool)[:, None]
    if gaps.any():
        logger.warning("%d values that are not finite count as the mean of the fit", int(gaps.sum()))
    return np.where(gaps, fill, values)


def mean_of(values: np.ndarray) -> np.ndarray:
    """Return the mean of each column's finite values, (d,); 0 where there are none."""
    some = np.isfinite(values)
    return np.where(some, values, 0.0).sum(axis=0) / np.maximum(some.sum(axis=0), 1)


def deviation_of(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (ddof 0) of each column's finite values, (d,); 0 where there are none."""
    some = np.isfinite(values)
    squares = np.where(some, (values - mean_of(values)) ** 2, 0.0)
    return np.sqrt(squares.sum(axis=0) / np.maximum(some.sum(axis=0), 1))


def text(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a metadata column as text, "" for a null, (rows,); `ValueError` where the frame lacks it."""
    if column not in frame.columns:
        raise ValueError(f"profile: expected the column {column}, found {[*frame.columns][:30]}")
    values = frame[column].astype(object)
    return values.where(values.notna(), "").astype(str).to_numpy(dtype=str)


def groups(frame: pd.DataFrame, rows: np.ndarray, *, by: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the column by which a step is fitted in groups, and their names among `rows`: `*` (all of them) first.

    Without `by`, or where all are of one group, the column is "" and `*` the only group.
    """
    column = GROUPS[by]
    found = sorted(set(text(frame, column)[rows])) if column else []
    return (column, (POOLED, *found)) if len(found) > 1 else ("", (POOLED,))


def members(frame: pd.DataFrame, rows: np.ndarray, *, column: str, names: Sequence[str]) -> list[np.ndarray]:
    """Return, for each group of `names`, which of `rows` are of it, (rows,) bool each; `*` has all."""
    of = text(frame, column) if column else np.full(len(frame), POOLED)
    return [rows & ((of == name) | (name == POOLED)) for name in names]


def placed(frame: pd.DataFrame, *, column: str, names: Sequence[str]) -> np.ndarray:
    """Return the place of each row's group in `names`, (rows,) int; 0 (`*`) for one without a fit, which is said."""
    place = np.zeros(len(frame), dtype=np.int64)
    if not column:
        return place
    of, known = text(frame, column), {name: number for number, name in enumerate(names)}
    for group in sorted(set(of[defined(frame)])):
        if group in known:
            place[of == group] = known[group]
        else:
            logger.warning("%s %r: without a fit of its own, taken by that of all", column, group)
    return place
