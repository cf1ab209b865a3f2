"""Aggregation: the embeddings of a plate's tiles or cells become one profile per well.

Input: the views (keys and vectors), the wells of the plate, and the survey's exclusions. Output: a frame with every
well of the index. A well without views stays in it, with counts of 0, the verdict `undefined`, the reason as a note
(`wellspring.io.notes`) and null features.
"""

import logging
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.cells import plausible
from wellspring.io.embeddings import Vectors
from wellspring.io.keys import SITE_KEY, TIME, WELL_KEY
from wellspring.io.notes import Note, dumps, in_words

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]
# Columns of an index that describe a plane; all others describe its well.
OF_PLANE = "Site Channel Plane Path Page Bytes Timepoint Pixel_Size Exposure Position_X Position_Y Position_Z"
PLANE = [f"Metadata_{name}" for name in OF_PLANE.split()]
OPERATIONS: dict[str, Callable[..., Array]] = {"mean": np.nanmean, "median": np.nanmedian}
# Why a well has no views, by kind of view.
NOTHING = {"tile": Note("no_foreground_tile"), "cell": Note("no_cells"), "well": Note("no_table_row")}
WORKERS = 2  # runs that are aggregated in parallel; sums and medians release the interpreter lock
COMPARTMENTS = ("Cells_", "Cytoplasm_", "Nuclei_")  # prefixes by which pycytominer recognises classical features


def wells_of(index: pd.DataFrame, *, by_time: bool = False) -> pd.DataFrame:
    """Return one row per well with the index's columns about wells, sorted; `by_time`: with the time point.

    Raises
    ------
    ValueError
        The planes of a well do not agree about it; the message names the wells.
    """
    columns = [name for name in index.columns if name not in PLANE or (by_time and name == TIME)]
    wells = index[columns].drop_duplicates().sort_values(WELL_KEY).reset_index(drop=True)
    doubled = wells.loc[wells.duplicated(WELL_KEY), "Metadata_Well"].tolist()
    if doubled:
        raise ValueError(f"index: expected the planes of a well to agree about it, found several versions of {doubled}")
    return wells


def hand_made(names: Sequence[str]) -> bool:
    """Return whether most features have names of classical features."""
    return 2 * classical(names) > len(names)


def operation_for(operation: str, names: Sequence[str]) -> str:
    """Return the operation that aggregates features of these names; `auto` is decided by most of them."""
    if operation != "auto":
        return operation
    return "median" if hand_made(names) else "mean"


def classical(names: Sequence[str]) -> int:
    """Return the number of features with names of classical features."""
    return sum(name.startswith(COMPARTMENTS) for name in names)


def aggregate(
    views: pd.DataFrame,
    matrix: Array | Vectors,
    wells: pd.DataFrame,
    *,
    prefix: str,
    names: Sequence[str] | None = None,
    kind: str = "tile",
    operation: str = "mean",
    survey: pd.DataFrame | None = None,
    cells: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Aggregate views to one profile per well; the order of the rows does not matter.

    Parameters
    ----------
    views
        One row per view: Metadata_Plate, _Well, _Site, _View.
    matrix
        (views, d) floats; a file is read well by well. A value that is not finite is left out of the mean or median of
        its feature, as `pycytominer.aggregate` does for NaN (it does not for infinite values).
    wells
        One row per well, as `wells_of` returns them; all of them are in the result.
    prefix
        The encoder's name: features are called `<prefix>_0` and so on.
    names
        Names of the d features, where they have their own (classical features).
    kind
        Kind of the views. `tile`: tiles are aggregated to their site and sites to their well, so that a site full of
        cells does not outweigh the others (Dai et al. 2025, multi-position). `cell`: cells are aggregated to their well
        directly (Perakis et al. 2021). `well`: profiles of an external table, one per well.
    operation
        `mean`, `median`, or `auto` (the median of classical features and the mean of others), at each level.
    survey, cells
        Optional tables of the plate: they give the reason for a well without views, the count of cells, and the fields
        whose segmentation is implausible, which the reason of a well with a profile then has.

    Returns
    -------
    pandas.DataFrame
        The columns of `wells`, Metadata_Site_Count, _View_Count, _Count_Cells (null without segmentation),
        _Verdict, _Reason and float32 features.
    """
    names = [f"{prefix}_{number}" for number in range(matrix.shape[1])] if names is None else list(names)
    if len(names) != matrix.shape[1]:
        raise ValueError(f"{prefix}: expected the names of {matrix.shape[1]} features, found {len(names)}")
    operation = operation_for(operation, names)
    _check(views, matrix, kind=kind, operation=operation)
    order, sites, starts = _order(views)
    known = set(map(tuple, wells[WELL_KEY].to_numpy()))
    strange = sorted(set(map(tuple, sites[WELL_KEY].to_numpy())) - known)
    if strange:
        raise ValueError(f"views: expected wells of the index, found {strange[:10]}")
    first = np.flatnonzero(~sites.duplicated(WELL_KEY).to_numpy())
    by_well = starts[first]
    if kind == "tile":
        values = _reduce(matrix, order, starts, operation=operation)
        values = _reduce(values, np.arange(len(sites)), first, operation=operation)
    else:
        values = _reduce(matrix, order, by_well, operation=operation)

    profiles = wells.sort_values(WELL_KEY).reset_index(drop=True)
    at = pd.MultiIndex.from_frame(profiles[WELL_KEY])
    place = at.get_indexer(pd.MultiIndex.from_frame(sites[WELL_KEY].iloc[first]))
    named = (sites["Metadata_Site"] != "").to_numpy(dtype=int)
    counts = np.zeros((2, len(profiles)), dtype=np.int32)
    if len(first):
        counts[:, place] = np.add.reduceat(named, first), np.diff(by_well, append=len(order))
    profiles["Metadata_Site_Count"], profiles["Metadata_View_Count"] = counts
    if kind == "cell":
        profiles["Metadata_Count_Cells"] = pd.Series(counts[1], dtype="Int32")
    else:
        profiles["Metadata_Count_Cells"] = _cell_count(cells, at)

    features = np.full((len(profiles), matrix.shape[1]), np.nan, dtype=np.float32)
    features[place] = values
    excluded = _excluded(survey) if survey is not None else {}
    reasons: list[tuple[Note, ...]] = [
        () if row.any() else ((Note("no_finite_embedding"),) if count else excluded.get(well, (NOTHING[kind],)))
        for row, count, well in zip(np.isfinite(features), profiles["Metadata_View_Count"], at, strict=True)
    ]
    if not matrix.shape[1]:
        reasons = [(Note("no_embedding"),)] * len(profiles)
    profiles["Metadata_Verdict"] = ["undefined" if reason else "keep" for reason in reasons]
    profiles["Metadata_Reason"] = [dumps(reason) for reason in reasons]
    undefined = [f"{well} ({in_words(reason)})" for (_, well), reason in zip(at, reasons, strict=True) if reason]
    if cells is not None and plausible.COLUMN in cells:
        doubtful = _implausible(cells)
        kept = profiles["Metadata_Verdict"] == "keep"
        profiles.loc[kept, "Metadata_Reason"] = [doubtful.get(well, "") for well in at[kept]]
    if undefined:
        logger.warning("%s: %d of %d wells are undefined: %s", prefix, len(undefined), len(at), ", ".join(undefined))
    return pd.concat([profiles, pd.DataFrame(features, columns=names)], axis=1)


def _check(views: pd.DataFrame, matrix: Array | Vectors, *, kind: str, operation: str) -> None:
    if kind not in NOTHING:
        raise ValueError(f"views: expected one of the kinds {list(NOTHING)}, found {kind!r}")
    if operation not in OPERATIONS:
        raise ValueError(f"operation: expected one of {list(OPERATIONS)}, found {operation!r}")
    if len(views) != len(matrix):
        raise ValueError(f"views: expected {len(views)} vectors, found {len(matrix)}")


def _order(views: pd.DataFrame) -> tuple[Array, pd.DataFrame, Array]:
    """Return the order of rows by site and view, the distinct sites, and the start of each site in that order."""
    site = np.zeros(len(views), dtype=np.int64)
    for name in SITE_KEY:
        codes, values = pd.factorize(views[name], sort=True)
        site = site * max(len(values), 1) + codes
    number = views["Metadata_View"].to_numpy()
    step = np.diff(site)
    if ((step > 0) | ((step == 0) & (np.diff(number) >= 0))).all():
        order = np.arange(
            len(views)
        )  # the order in which tables of views are written: no need to sort millions of rows
    else:
        order = np.lexsort((number, site))
    starts = np.flatnonzero(np.diff(site[order], prepend=-1))
    return order, views.iloc[order[starts]][SITE_KEY].reset_index(drop=True), starts


def _reduce(matrix: Array | Vectors, order: Array, starts: Array, *, operation: str) -> Array:
    """Return the (groups, d) float64 aggregates of the runs of `matrix[order]` that begin at `starts`.

    Runs are read sequentially; up to `WORKERS` of them are aggregated while the next one is read.
    """
    broken = 0
    waiting: deque[tuple[int, Future[tuple[Array, int]]]] = deque()
    values = np.full((len(starts), matrix.shape[1]), np.nan)

    def finish() -> int:
        group, future = waiting.popleft()
        values[group], gaps = future.result()
        return gaps

    with warnings.catch_warnings(), ThreadPoolExecutor(WORKERS) as pool:
        # A feature without a finite value in a group is NaN, as documented.
        warnings.filterwarnings("ignore", message="Mean of empty slice|All-NaN slice", category=RuntimeWarning)
        for group, (start, stop) in enumerate(zip(starts, np.append(starts, len(order))[1:], strict=True)):
            waiting.append((group, pool.submit(_combined, matrix[order[start:stop]], operation=operation)))
            if len(waiting) > WORKERS:
                broken += finish()
        while waiting:
            broken += finish()
    if broken:
        logger.warning("%d of %d rows have values that are not finite; these values are left out", broken, len(order))
    return values


def _combined(block: Array, *, operation: str) -> tuple[Array, int]:
    """Return the aggregate (d,) of a run (n, d), and the number of rows with a value that is not finite."""
    sums = block.sum(axis=0, dtype=np.float64)
    if np.isfinite(sums).all():
        return (sums / len(block) if operation == "mean" else _median(block)), 0
    block = block.astype(np.float64)
    gaps = ~np.isfinite(block)
    block[gaps] = np.nan
    return OPERATIONS[operation](block, axis=0), int(gaps.any(axis=1).sum())


def _median(block: Array) -> Array:
    """Return the median of each column of finite numbers (n, d), (d,) float64."""
    # numpy partitions contiguous columns of 32-bit floats with vector instructions.
    columns = np.array(block.T, dtype=np.float64 if block.dtype == np.float64 else np.float32, order="C")
    half = len(block) // 2
    columns.partition(half, axis=1)
    upper = columns[:, half].astype(np.float64)
    return upper if len(block) % 2 else (columns[:, :half].max(axis=1).astype(np.float64) + upper) / 2


def _implausible(cells: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the note of each well with implausible fields: their number, and the notes on them."""
    fields = cells.drop_duplicates(SITE_KEY)
    own = fields[plausible.COLUMN].fillna("").map(plausible.of_field)
    return {
        (str(plate), str(well)): str(
            Note("implausible_fields", {"fields": len(notes), "notes": dumps(note for each in notes for note in each)})
        )
        for (plate, well), notes in own[own.map(bool)].groupby([fields[name] for name in WELL_KEY], sort=False)
    }


def _cell_count(cells: pd.DataFrame | None, at: pd.MultiIndex) -> pd.Series:
    if cells is None:
        return pd.Series(pd.NA, index=range(len(at)), dtype="Int32")
    counts = cells.groupby(WELL_KEY).size().reindex(at, fill_value=0)
    return pd.Series(counts.to_numpy(), dtype="Int32")


def _excluded(survey: pd.DataFrame) -> dict[tuple[str, str], tuple[Note, ...]]:
    """Return the wells whose sites are all excluded (one bad plane excludes its site): a note per reason."""
    bad = survey[survey["Metadata_Verdict"] == "exclude"]
    sites = survey.drop_duplicates(SITE_KEY).groupby(WELL_KEY).size()
    lost = bad.drop_duplicates(SITE_KEY).groupby(WELL_KEY).size()
    reasons = dict[tuple[str, str], tuple[Note, ...]]()
    for well in sites.index:
        if lost.get(well, 0) == sites[well]:
            planes = bad[(bad["Metadata_Plate"] == well[0]) & (bad["Metadata_Well"] == well[1])]
            counts = planes["Metadata_Reason"].value_counts().sort_index()
            reasons[well] = tuple(
                Note("all_sites_excluded", {"planes": int(count), "notes": str(reason)})
                for reason, count in counts.items()
            )
    return reasons
