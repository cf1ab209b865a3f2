"""Helpers of the steps: the wells of a fit, groups of wells, and feature values out of a frame and back into it."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from wellspring.align.steps.state import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Fit

logger = logging.getLogger(__name__)

POOLED = "*"
COLUMNS = 128  # that are copied at once
GROUPS: dict[str | None, str | None] = {None: None, "cell_line": "Metadata_Cell_Line", "batch": "Metadata_Batch"}


def defined(frame: pd.DataFrame) -> Array:
    """Return which rows have a profile, (rows,) bool."""
    result: Array = (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)
    return result


def fitted(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Array:
    """Return which rows a step is fitted on by the option `fit_on`, (rows,) bool.

    `negcon`: the controls of this fit. `all`: these and all wells with a profile that are not negative controls. The
    controls with which the fit will be judged are left out.
    """
    if options.fit_on == "negcon":
        return np.asarray(controls, dtype=bool)
    result: Array = defined(frame) & (
        np.asarray(controls, dtype=bool) | (frame["Metadata_pert_type"] != "negcon").to_numpy()
    )
    return result


def matrix(frame: pd.DataFrame, names: Sequence[str]) -> Array:
    """Return the features `names`, (rows, d) float64, NaN for what is not finite or in a well without a profile.

    Raises
    ------
    ValueError
        Names features that `frame` lacks.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"profile: expected the {len(names)} features of the fit, found none called {missing[:5]}")
    values = np.empty((len(frame), len(names)))
    for part in columns(len(names)):
        values[:, part] = frame[list(names[part])].to_numpy(dtype=np.float64)
    values[~np.isfinite(values) | ~defined(frame)[:, None]] = np.nan
    return values


def columns(count: int) -> Iterator[slice]:
    """Yield slices of at most `COLUMNS` of `count` columns, so that no second array of a whole table is needed."""
    for start in range(0, count, COLUMNS):
        yield slice(start, min(start + COLUMNS, count))


def replaced(frame: pd.DataFrame, names: Sequence[str], values: Array) -> pd.DataFrame:
    """Return the metadata of `frame` with `values` (rows, d), not copied, as its features `names`."""
    result = pd.DataFrame(values, columns=list(names), index=frame.index, copy=False)
    # `pd.concat` would merge the features with metadata of their type, and copy them all.
    for place, name in enumerate([name for name in frame.columns if name.startswith("Metadata_")]):
        result.insert(place, name, frame[name])
    return result


def gaps_filled(values: Array, rows: Array, fill: Array) -> Array:
    """Return `values` (n, d) with NaN in `rows` replaced by `fill`, (d,) or (n, d); their number is logged."""
    gaps = np.isnan(values) & np.asarray(rows, dtype=bool)[:, None]
    if gaps.any():
        logger.warning("%d values are not finite and are replaced by the mean of the fit", int(gaps.sum()))
    return np.where(gaps, fill, values)


def mean_of(values: Array) -> Array:
    """Return the mean of each column's finite values, (d,); 0 where there are none."""
    some = np.isfinite(values)
    result: Array = np.where(some, values, 0.0).sum(axis=0) / np.maximum(some.sum(axis=0), 1)
    return result


def deviation_of(values: Array) -> Array:
    """Return the standard deviation (ddof 0) of each column's finite values, (d,); 0 where there are none."""
    result = np.zeros(values.shape[1])
    for part in columns(values.shape[1]):
        own = values[:, part]
        some = np.isfinite(own)
        squares = np.where(some, (own - mean_of(own)) ** 2, 0.0)
        result[part] = np.sqrt(squares.sum(axis=0) / np.maximum(some.sum(axis=0), 1))
    return result


def text(frame: pd.DataFrame, column: str) -> Array:
    """Return a metadata column as text, "" for a null, (rows,); `ValueError` where the frame lacks it."""
    if column not in frame.columns:
        raise ValueError(f"profile: expected the column {column}, found {[*frame.columns][:30]}")
    values = frame[column].astype(object)
    result: Array = values.where(values.notna(), "").astype(str).to_numpy(dtype=str)
    return result


def groups(frame: pd.DataFrame, rows: Array, *, by: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the column by which a step is fitted in groups, and the groups among `rows`; the first, `*`, is all rows.

    Without `by`, or with a single group, the column is "" and `*` the only group.
    """
    column = GROUPS[by]
    found = sorted(set(text(frame, column)[rows].tolist())) if column else []
    return (column, (POOLED, *found)) if column and len(found) > 1 else ("", (POOLED,))


def members(frame: pd.DataFrame, rows: Array, *, column: str, names: Sequence[str]) -> list[Array]:
    """Return, for each group of `names`, its rows among `rows`, (rows,) bool each; `*` has all of them."""
    of = text(frame, column) if column else np.full(len(frame), POOLED)
    return [rows & ((of == name) | (name == POOLED)) for name in names]


def placed(frame: pd.DataFrame, *, column: str, names: Sequence[str]) -> Array:
    """Return the place of each row's group in `names`, (rows,) int; 0 (`*`), with a warning, for unknown groups."""
    place = np.zeros(len(frame), dtype=np.int64)
    if not column:
        return place
    of, known = text(frame, column), {name: number for number, name in enumerate(names)}
    for group in sorted(set(of[defined(frame)])):
        if group in known:
            place[of == group] = known[group]
        else:
            logger.warning("%s %r has no fit of its own; the fit of all controls is used", column, group)
    return place


def too_few(group: str, found: int, needed: int, *, unit: str, instead: str) -> Note:
    """Return the note of a group with too few wells for a fit.

    Parameters
    ----------
    unit
        What was counted: `controls`, `wells` or `wells_with_count`.
    instead
        `standardised`, `pooled` (the fit of all wells is used) or `unchanged`.
    """
    return Note(
        "too_few_for_step", {"group": group, "found": found, "needed": needed, "unit": unit, "instead": instead}
    )
