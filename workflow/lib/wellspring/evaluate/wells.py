"""Columns, masks and vectors of a profile table that metrics share: defined wells, unit vectors, plate positions.

Input: a feature matrix and the metadata of the same wells, of tables of this workflow or of others. Output: arrays over
the same wells.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.io import tables
from wellspring.io.keys import TIME
from wellspring.io.notes import Note
from wellspring.screen import well_names as names
from wellspring.screen.treatments import joined, name

Array = npt.NDArray[Any]
ROWS_AT_ONCE = 256  # rows that stay in the cache while they are scaled
QUERIES = 1000  # fewest wells that look for neighbours: a share then has a standard error of 0.016 at most

PLATE, LINE, BATCH, MOA = "Metadata_Plate", "Metadata_Cell_Line", "Metadata_Batch", "Metadata_moa"


def column(metadata: pd.DataFrame, name: str) -> Array:
    """Return a metadata column as objects with None for a null, all None where the table lacks it."""
    if name not in metadata:
        return np.full(len(metadata), None, dtype=object)
    values = metadata[name].astype(object)
    result: Array = values.where(values.notna(), None).to_numpy()
    return result


def defined(features: Array, metadata: pd.DataFrame) -> Array:
    """Return which wells (n,) have finite features and, in a table with verdicts, the verdict keep."""
    finite = np.zeros(len(metadata), dtype=bool)
    if features.shape[1]:
        finite = np.asarray(np.isfinite(features).all(axis=1))
    if "Metadata_Verdict" in metadata:
        finite &= (metadata["Metadata_Verdict"] == "keep").to_numpy()
    return finite


def directed(features: Array, metadata: pd.DataFrame) -> Array:
    """Return which wells (n,) are defined and have a direction: a profile of zeros has no cosine with any other."""
    result: Array = defined(features, metadata) & np.asarray((features != 0).any(axis=1))
    return result


def varied(features: Array, metadata: pd.DataFrame) -> Array:
    """Return which wells (n,) are defined and differ over features: a constant profile has no correlation."""
    if not features.shape[1]:
        return defined(features, metadata)
    result: Array = defined(features, metadata) & np.asarray((features != features[:, :1]).any(axis=1))
    return result


def units(features: Array) -> Array:
    """Return rows (n, d) float64 scaled to length 1; values that are not finite count as 0, a row of zeros stays."""
    rows: Array = np.array(features, dtype=np.float64)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        if not (finite := np.isfinite(part)).all():
            part[~finite] = 0
        length = np.sqrt(np.einsum("ij,ij->i", part, part))[:, None]
        np.divide(part, length, out=part, where=length > 0)
    return rows


def correlated(features: Array) -> Array:
    """Return rows (n, d) less their mean and of length 1: their products are Pearson's correlations."""
    rows = np.asarray(features, dtype=np.float64)
    return units(rows - rows.mean(axis=1, keepdims=True)) if rows.shape[1] else rows


def cosine(first: Array, second: Array) -> Array:
    """Return cosine similarities of unit rows, rounded to 10 digits so that equal profiles tie exactly."""
    product: Array = first @ second.T
    return np.round(product, 10, out=product)


def kind(metadata: pd.DataFrame, *names: str) -> Array:
    """Return which wells (n,) are of the given `Metadata_pert_type`s."""
    return np.isin(column(metadata, "Metadata_pert_type").astype(str), names)


def labelled(metadata: pd.DataFrame, *columns: str) -> Array:
    """Return which wells (n,) are treatments (`trt`) with a value in all of `columns`."""
    known = [pd.notna(column(metadata, name)) for name in columns]
    result: Array = np.logical_and.reduce([kind(metadata, "trt"), *known])
    return result


def treatments(metadata: pd.DataFrame) -> Array:
    """Return the name of each well's treatment (n,): compound@concentration, or the compound where there is no dose."""
    compound, dose = column(metadata, "Metadata_Compound"), column(metadata, "Metadata_Concentration")
    return np.array(
        [None if c is None else _named(str(c), d) for c, d in zip(compound, dose, strict=True)],
        dtype=object,
    )


def _named(compound: str, dose: object) -> str:
    whole = name(compound, None)
    return whole if dose is None else f"{whole}@{dose}"


def perturbations(metadata: pd.DataFrame) -> Array:
    """Return `Metadata_Perturbation` (n,), or the treatment where the table lacks it."""
    return column(metadata, "Metadata_Perturbation") if "Metadata_Perturbation" in metadata else treatments(metadata)


def concentrations(metadata: pd.DataFrame) -> Array:
    """Return the concentration of each well (n,) float64; NaN without one."""
    values = pd.to_numeric(pd.Series(column(metadata, "Metadata_Concentration")), errors="coerce")
    result: Array = values.to_numpy(dtype=float)
    return result


def lines(metadata: pd.DataFrame) -> Array:
    """Return the cell line of each well (n,) as text, with the time point where the table has several.

    Cells answer differently in other lines and at other times, so that scores compare wells of one line and time.
    """
    line, time = column(metadata, LINE).astype(str), column(metadata, TIME).astype(str)
    if len(set(time)) < 2:
        return line
    return np.array([joined(pair) for pair in zip(line, time, strict=True)], dtype=object)


def series(metadata: pd.DataFrame) -> Array:
    """Return the name of each well's dose series (n,): its compound, with the time point where there are several."""
    compound, time = column(metadata, "Metadata_Compound"), column(metadata, TIME).astype(str)
    if len(set(time)) < 2:
        return compound
    pairs = zip(compound, time, strict=True)
    return np.array([None if name is None else joined((name, at)) for name, at in pairs], dtype=object)


def families(metadata: pd.DataFrame, label: str = MOA) -> Array:
    """Return the mechanism of each well (n,) as text, or its compound where no mechanism is known.

    Wells of a family are not independent evidence: a new screen would have other families.
    """
    mechanism, compound = column(metadata, label), column(metadata, "Metadata_Compound")
    named = ((m, f"mechanism {m}", f"compound {c}") for m, c in zip(mechanism, compound, strict=True))
    return np.array([own if m is not None else alone for m, own, alone in named], dtype=object)


def replicate_names(metadata: pd.DataFrame, share: tuple[str, ...] = ()) -> Array:
    """Return the name of each well's set of replicates (n,): its perturbation and its values of the columns `share`."""
    parts = [perturbations(metadata), *(column(metadata, name) for name in share)]
    return np.array([joined(row) for row in zip(*parts, strict=True)], dtype=object)


def codes(values: Array) -> Array:
    """Return a whole number for each value (n,) int32, the same for the same text."""
    result: Array = pd.factorize(np.asarray(values).astype(str), sort=True)[0].astype(np.int32)
    return result


def places(values: Array) -> dict[str, Array]:
    """Return, for each value as text, in order, the sorted places (k,) that have it."""
    code, names = pd.factorize(np.asarray(values).astype(str), sort=True)
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(code, minlength=len(names)))[:-1])
    return dict(zip(map(str, names), parts, strict=bool(len(names))))


def drawn(groups: Array, *, at_most: int, seed: int) -> Array:
    """Return the sorted places of at most `at_most` wells, drawn at random but evenly over `groups` (n,).

    No group contributes a second well before each has contributed its first. With no more than `at_most` wells, all
    places are returned.
    """
    if len(groups) <= at_most:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    turn = pd.Series(codes(groups)[order]).groupby(codes(groups)[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")[:at_most]])


def drawn_whole(groups: Array, *, at_most: int, seed: int) -> Array:
    """Return the sorted places of all wells of groups that are drawn at random as long as they fit into `at_most`."""
    if len(groups) <= at_most:
        return np.arange(len(groups))
    code, room = codes(groups), at_most
    size, taken = np.bincount(code), np.zeros(code.max() + 1, dtype=bool)
    for group in np.random.default_rng(seed).permutation(len(size)):
        taken[group] = size[group] <= room
        room -= size[group] if taken[group] else 0
    return np.flatnonzero(taken[code])


def most_queries(count: int, pairs: int) -> int:
    """Return how many of `count` wells or treatments look for neighbours, so that `pairs` bounds the comparisons."""
    return max(QUERIES, pairs // max(1, count))


def sampling(taken: int, total: int, unit: str = "wells") -> tuple[Note, ...]:
    """Return the note of a score that was computed for a part of the wells; no note where it was for all."""
    return (Note("sampled", {"taken": taken, "total": total, "unit": unit}),) if taken < total else ()


def in_order(features: Array, metadata: pd.DataFrame) -> tuple[Array, pd.DataFrame]:
    """Return both sorted by plate and well, so that no result depends on the order of the rows."""
    keys = [name for name in (PLATE, "Metadata_Well") if name in metadata]
    metadata = metadata.reset_index(drop=True)
    order = metadata[keys].astype(str).sort_values(keys, kind="stable").index.to_numpy() if keys else metadata.index
    if np.array_equal(order, metadata.index):
        return features, metadata
    return features[order], metadata.iloc[order].reset_index(drop=True)


def split(frame: pd.DataFrame) -> tuple[Array, pd.DataFrame]:
    """Return the features (n, d) as float64 and the metadata of a table, both sorted by plate and well."""
    features = tables.features(frame)
    metadata = frame[[one for one in frame.columns if one.startswith("Metadata_")]]
    return in_order(frame[features].to_numpy(dtype=np.float64), metadata)


def positions(metadata: pd.DataFrame) -> pd.DataFrame:
    """Return row and column (1-based, NaN where the name is not a well name) and edge (bool) of each well.

    Edge is the outermost row or column of those in the table, or the table's own `Metadata_Edge`.
    """
    places = np.array([_place(str(well)) for well in column(metadata, "Metadata_Well")], dtype=float).reshape(-1, 2)
    rows, columns = places.T
    if "Metadata_Edge" in metadata:
        edge = metadata["Metadata_Edge"].astype(bool).to_numpy()
    else:
        edge = np.zeros(len(metadata), dtype=bool)
        if np.isfinite(rows).any():
            for place in (rows, columns):
                edge |= (place == np.nanmin(place)) | (place == np.nanmax(place))
    return pd.DataFrame({"row": rows, "column": columns, "edge": edge})


@lru_cache(maxsize=4096)
def _place(well: str) -> tuple[float, float]:
    """Return row and column from 1; NaN for a name that is not a well name, undefined for every position score."""
    try:
        row, column_ = names.position(names.normalise(well))
    except ValueError:
        return float("nan"), float("nan")
    return row + 1.0, column_ + 1.0
