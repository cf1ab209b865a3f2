"""From views to wells: the embeddings of a plate's tiles or cells become one profile a well.

In flow the views (keys and vectors), the plate's wells and what the survey excluded; out flows a frame with every well
of the index. A well without views is a result, not a gap: counts 0, verdict `undefined`, the reason, no features.
"""

import logging
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd

from wellspring.io.embeddings import Vectors
from wellspring.io.keys import WELL_KEY

logger = logging.getLogger(__name__)

SITE = [*WELL_KEY, "Metadata_Site"]
# what an index says of a plane; all else is of its well
OF_PLANE = "Site Channel Plane Path Page Bytes Timepoint Pixel_Size Exposure Position_X Position_Y Position_Z"
PLANE = [f"Metadata_{name}" for name in OF_PLANE.split()]
OPERATIONS = {"mean": np.nanmean, "median": np.nanmedian}
NOTHING = {"tile": "no tile with foreground", "cell": "no cells", "well": "no row in the table"}  # a well without views
WORKERS = 2  # runs that are aggregated at a time; sums and medians leave the interpreter to others
COMPARTMENTS = ("Cells_", "Cytoplasm_", "Nuclei_")  # the names by which pycytominer knows hand-made features


def wells_of(index: pd.DataFrame) -> pd.DataFrame:
    """Return one row a well with all that the index knows of it (its columns but those of a plane), sorted.

    Raises
    ------
    ValueError
        Names the wells whose planes do not agree about the well.
    """
    columns = [name for name in index.columns if name not in PLANE]
    wells = index[columns].drop_duplicates().sort_values(WELL_KEY).reset_index(drop=True)
    doubled = wells.loc[wells.duplicated(WELL_KEY), "Metadata_Well"].tolist()
    if doubled:
        raise ValueError(f"index: expected the planes of a well to agree about it, found several versions of {doubled}")
    return wells


def hand_made(names: Sequence[str]) -> bool:
    """Whether features are hand-made, which their names say."""
    return bool(names) and all(name.startswith(COMPARTMENTS) for name in names)


def aggregate(
    views: pd.DataFrame,
    matrix: np.ndarray | Vectors,
    wells: pd.DataFrame,
    *,
    prefix: str,
    names: Sequence[str] | None = None,
    kind: str = "tile",
    operation: str = "mean",
    survey: pd.DataFrame | None = None,
    cells: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Aggregate views to one profile a well; the order of the rows does not count.

    Parameters
    ----------
    views
        One row a view: Metadata_Plate, _Well, _Site, _View.
    matrix
        (views, d) floats, read a well at a time where it is a file's. A value that is not finite is left out of the
        mean or median of its feature, as a NaN is in `pycytominer.aggregate` (which lets an infinite value through).
    wells
        One row a well, as `wells_of` gives them; all of them come back.
    prefix
        The encoder's name: features are called `<prefix>_0` and so on.
    names
        What they are called instead, where they have names of their own (hand-made features); d of them.
    kind
        What the views are. `tile`: tiles are aggregated to their site and sites to their well, so that a site full of
        cells does not outweigh the others (Dai et al. 2025, multi-position). `cell`: cells to their well at once
        (Perakis et al. 2021). `well`: profiles that a foreign table has made, one a well.
    operation
        `mean`, `median`, or `auto` (the median of hand-made features and the mean of others), at each level.
    survey, cells
        The plate's tables, where there are: the reason for a well without views, and the count of cells.

    Returns
    -------
    pandas.DataFrame
        The columns of `wells`, Metadata_Site_Count, _View_Count, _Count_Cells (null where no cells were looked for),
        _Verdict, _Reason and float32 features.
    """
    names = [f"{prefix}_{number}" for number in range(matrix.shape[1])] if names is None else list(names)
    if len(names) != matrix.shape[1]:
        raise ValueError(f"{prefix}: expected the names of {matrix.shape[1]} features, found {len(names)}")
    if operation == "auto":
        operation = "median" if hand_made(names) else "mean"
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
    reasons = [
        "" if row.any() else ("no finite embedding" if count else excluded.get(well, NOTHING[kind]))
        for row, count, well in zip(np.isfinite(features), profiles["Metadata_View_Count"], at, strict=True)
    ]
    if not matrix.shape[1]:
        reasons = ["no embedding"] * len(profiles)
    profiles["Metadata_Verdict"] = ["undefined" if reason else "keep" for reason in reasons]
    profiles["Metadata_Reason"] = reasons
    undefined = [f"{well} ({reason})" for (_, well), reason in zip(at, reasons, strict=True) if reason]
    if undefined:
        logger.warning("%s: %d of %d wells are undefined: %s", prefix, len(undefined), len(at), ", ".join(undefined))
    return pd.concat([profiles, pd.DataFrame(features, columns=names)], axis=1)


def _check(views: pd.DataFrame, matrix: np.ndarray | Vectors, *, kind: str, operation: str) -> None:
    if kind not in NOTHING:
        raise ValueError(f"views: expected one of the kinds {list(NOTHING)}, found {kind!r}")
    if operation not in OPERATIONS:
        raise ValueError(f"operation: expected one of {list(OPERATIONS)}, found {operation!r}")
    if len(views) != len(matrix):
        raise ValueError(f"views: expected {len(views)} vectors, found {len(matrix)}")


def _order(views: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """Return the rows in the order of site and view, the distinct sites in it, and where each site begins in it."""
    site = np.zeros(len(views), dtype=np.int64)
    for name in SITE:
        codes, values = pd.factorize(views[name], sort=True)
        site = site * max(len(values), 1) + codes
    number = views["Metadata_View"].to_numpy()
    step = np.diff(site)
    if ((step > 0) | ((step == 0) & (np.diff(number) >= 0))).all():
        order = np.arange(len(views))  # as tables of views are written, which saves sorting millions of rows
    else:
        order = np.lexsort((number, site))
    starts = np.flatnonzero(np.diff(site[order], prepend=-1))
    return order, views.iloc[order[starts]][SITE].reset_index(drop=True), starts


def _reduce(matrix: np.ndarray | Vectors, order: np.ndarray, starts: np.ndarray, *, operation: str) -> np.ndarray:
    """Return the (groups, d) float64 aggregates of the runs of `matrix[order]` that begin at `starts`.

    Runs are read one after another, and at most `WORKERS` are aggregated while the next one is read.
    """
    broken = 0
    waiting: deque[tuple[int, Future]] = deque()
    values = np.full((len(starts), matrix.shape[1]), np.nan)

    def finish() -> int:
        group, future = waiting.popleft()
        values[group], gaps = future.result()
        return gaps

    with warnings.catch_warnings(), ThreadPoolExecutor(WORKERS) as pool:
        # A feature without one finite value in a group is NaN by contract.
        warnings.filterwarnings("ignore", message="Mean of empty slice|All-NaN slice", category=RuntimeWarning)
        for group, (start, stop) in enumerate(zip(starts, np.append(starts, len(order))[1:], strict=True)):
            waiting.append((group, pool.submit(_combined, matrix[order[start:stop]], operation=operation)))
            if len(waiting) > WORKERS:
                broken += finish()
        while waiting:
            broken += finish()
    if broken:
        logger.warning("%d of %d rows hold values that are not finite; these values are left out", broken, len(order))
    return values


def _combined(block: np.ndarray, *, operation: str) -> tuple[np.ndarray, int]:
    """Return the aggregate (d,) of a run (n, d), and in how many of its rows a value is not finite."""
    sums = block.sum(axis=0, dtype=np.float64)
    if np.isfinite(sums).all():
        return (sums / len(block) if operation == "mean" else _median(block)), 0
    block = block.astype(np.float64)
    gaps = ~np.isfinite(block)
    block[gaps] = np.nan
    return OPERATIONS[operation](block, axis=0), int(gaps.any(axis=1).sum())


def _median(block: np.ndarray) -> np.ndarray:
    """Return the median of each column of finite numbers (n, d), (d,) float64."""
    # Columns laid side by side, and 32 bits, are what numpy partitions with vector instructions.
    columns = np.array(block.T, dtype=np.float64 if block.dtype == np.float64 else np.float32, order="C")
    half = len(block) // 2
    columns.partition(half, axis=1)
    upper = columns[:, half].astype(np.float64)
    return upper if len(block) % 2 else (columns[:, :half].max(axis=1).astype(np.float64) + upper) / 2


def _cell_count(cells: pd.DataFrame | None, at: pd.MultiIndex) -> pd.Series:
    if cells is None:
        return pd.Series(pd.NA, index=range(len(at)), dtype="Int32")
    counts = cells.groupby(WELL_KEY).size().reindex(at, fill_value=0)
    return pd.Series(counts.to_numpy(), dtype="Int32")


def _excluded(survey: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the wells of which every site is excluded (one bad plane excludes its site), with the reasons."""
    bad = survey[survey["Metadata_Verdict"] == "exclude"]
    sites = survey.drop_duplicates(SITE).groupby(WELL_KEY).size()
    lost = bad.drop_duplicates(SITE).groupby(WELL_KEY).size()
    reasons = {}
    for well in sites.index:
        if lost.get(well, 0) == sites[well]:
            planes = bad[(bad["Metadata_Plate"] == well[0]) & (bad["Metadata_Well"] == well[1])]
            counts = planes["Metadata_Reason"].replace("", "no reason given").value_counts().sort_index()
            listed = ", ".join(f"{reason} ({count})" for reason, count in counts.items())
            reasons[tuple(well)] = f"all sites excluded: {listed}"
    return reasons
