"""What metrics read of a profile table: which wells are defined, their unit vectors, their place on the plate.

In flow a feature matrix and the wells' metadata (own tables or foreign ones), out flow arrays over the same wells.
"""

import numpy as np
import pandas as pd

from wellspring.screen import well_names as names

PLATE, LINE, BATCH, MOA = "Metadata_Plate", "Metadata_Cell_Line", "Metadata_Batch", "Metadata_moa"


def column(metadata: pd.DataFrame, name: str) -> np.ndarray:
    """Return a metadata column as objects with None for a null, all None where the table lacks it."""
    if name not in metadata:
        return np.full(len(metadata), None, dtype=object)
    values = metadata[name].astype(object)
    return values.where(values.notna(), None).to_numpy()


def defined(features: np.ndarray, metadata: pd.DataFrame) -> np.ndarray:
    """Return which wells (n,) have finite features and, where the table says, the verdict keep."""
    finite = np.isfinite(features).all(axis=1) if features.shape[1] else np.zeros(len(metadata), dtype=bool)
    if "Metadata_Verdict" in metadata:
        finite &= (metadata["Metadata_Verdict"] == "keep").to_numpy()
    return finite


def units(features: np.ndarray) -> np.ndarray:
    """Return rows (n, d) float64 scaled to length 1; a row of zeros or with a NaN becomes zeros."""
    rows = np.nan_to_num(np.asarray(features, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def correlated(features: np.ndarray) -> np.ndarray:
    """Return rows (n, d) less their mean and of length 1: their products are Pearson's correlations."""
    rows = np.asarray(features, dtype=np.float64)
    return units(rows - rows.mean(axis=1, keepdims=True)) if rows.shape[1] else rows


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return cosine similarities of unit rows, rounded to 10 digits so that equal profiles tie exactly."""
    return np.round(first @ second.T, 10)


def kind(metadata: pd.DataFrame, *names: str) -> np.ndarray:
    """Return which wells (n,) are of the given `Metadata_pert_type`s."""
    return np.isin(column(metadata, "Metadata_pert_type").astype(str), names)


def labelled(metadata: pd.DataFrame, *columns: str) -> np.ndarray:
    """Return which wells (n,) are treatments (`trt`) of which the table states all of `columns`."""
    known = [pd.notna(column(metadata, name)) for name in columns]
    return np.logical_and.reduce([kind(metadata, "trt"), *known])


def treatments(metadata: pd.DataFrame) -> np.ndarray:
    """Return the name of each well's treatment (n,): compound@concentration, or the compound where there is no dose."""
    compound, dose = column(metadata, "Metadata_Compound"), column(metadata, "Metadata_Concentration")
    return np.array(
        [None if c is None else (str(c) if d is None else f"{c}@{d}") for c, d in zip(compound, dose, strict=True)],
        dtype=object,
    )


def perturbations(metadata: pd.DataFrame) -> np.ndarray:
    """Return `Metadata_Perturbation` (n,), or the treatment where the table lacks it."""
    return column(metadata, "Metadata_Perturbation") if "Metadata_Perturbation" in metadata else treatments(metadata)


def replicate_names(metadata: pd.DataFrame, share: tuple[str, ...] = ()) -> np.ndarray:
    """Return the name of each well's set of replicates (n,): its perturbation, and the columns they must share."""
    parts = [perturbations(metadata), *(column(metadata, name) for name in share)]
    return np.array(["|".join(str(part) for part in row) for row in zip(*parts, strict=True)], dtype=object)


def codes(values: np.ndarray) -> np.ndarray:
    """Return a whole number for each value (n,) int32, the same for the same text."""
    return pd.factorize(np.asarray(values).astype(str), sort=True)[0].astype(np.int32)


def drawn(groups: np.ndarray, *, at_most: int, seed: int) -> np.ndarray:
    """Return the sorted places of at most `at_most` wells, drawn at random but evenly over `groups` (n,).

    No group gives a second well before each has given its first. All places where there are no more than `at_most`.
    """
    if len(groups) <= at_most:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    turn = pd.Series(codes(groups)[order]).groupby(codes(groups)[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")[:at_most]])


def drawn_whole(groups: np.ndarray, *, at_most: int, seed: int) -> np.ndarray:
    """Return the sorted places of all wells of some groups, drawn at random as long as they fit into `at_most`."""
    if len(groups) <= at_most:
        return np.arange(len(groups))
    code, room = codes(groups), at_most
    size, taken = np.bincount(code), np.zeros(code.max() + 1, dtype=bool)
    for group in np.random.default_rng(seed).permutation(len(size)):
        taken[group] = size[group] <= room
        room -= size[group] if taken[group] else 0
    return np.flatnonzero(taken[code])


def sampling(taken: int, total: int, what: str = "wells") -> str:
    """Return the note of a score that was read for a part of the wells, empty where it was read for all."""
    return f"read for {taken} of {total} {what}, drawn at random" if taken < total else ""


def in_order(features: np.ndarray, metadata: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return both sorted by plate and well, so that no result depends on the order of the rows."""
    keys = [name for name in (PLATE, "Metadata_Well") if name in metadata]
    metadata = metadata.reset_index(drop=True)
    order = (
        metadata[keys].astype(str).sort_values(keys, kind="stable").index.to_numpy()
        if keys
        else np.arange(len(metadata))
    )
    return features[order], metadata.iloc[order].reset_index(drop=True)


def positions(metadata: pd.DataFrame) -> pd.DataFrame:
    """Return row and column (1-based, NaN where the well's name says nothing) and edge (bool) of each well.

    Edge is the outermost row or column of those in the table, or the table's own `Metadata_Edge`.
    """
    places = np.array([_place(well) for well in column(metadata, "Metadata_Well")], dtype=float).reshape(-1, 2)
    rows, columns = places.T
    if "Metadata_Edge" in metadata:
        edge = metadata["Metadata_Edge"].astype(bool).to_numpy()
    else:
        edge = np.zeros(len(metadata), dtype=bool)
        if np.isfinite(rows).any():
            for place in (rows, columns):
                edge |= (place == np.nanmin(place)) | (place == np.nanmax(place))
    return pd.DataFrame({"row": rows, "column": columns, "edge": edge})


def _place(well: object) -> tuple[float, float]:
    """Return row and column from 1; NaN for what is no well, which is undefined for every position score."""
    try:
        row, column_ = names.position(names.normalise(str(well)))
    except ValueError:
        return float("nan"), float("nan")
    return row + 1.0, column_ + 1.0
