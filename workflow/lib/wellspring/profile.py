"""From views to wells: the embeddings of a plate's tiles or cells become one profile a well.

In flow the views (keys and vectors), the plate's wells and what the survey excluded; out flows a frame with every well
of the index. A well without views is a result, not a gap: counts 0, verdict `undefined`, the reason, no features.
"""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from wellspring.vectors import Vectors

logger = logging.getLogger(__name__)

WELL = ["Metadata_Plate", "Metadata_Well"]
SITE = [*WELL, "Metadata_Site"]
PLANE = ["Metadata_Site", "Metadata_Channel", "Metadata_Plane", "Metadata_Path", "Metadata_Page", "Metadata_Bytes"]
OPERATIONS = {"mean": np.nanmean, "median": np.nanmedian}
NOTHING = {"tile": "no tile with foreground", "cell": "no cells", "well": "no row in the table"}  # a well without views
COMPARTMENTS = ("Cells_", "Cytoplasm_", "Nuclei_")  # the names by which pycytominer knows hand-made features


def wells_of(index: pd.DataFrame) -> pd.DataFrame:
    """Return one row a well with all that the index knows of it (its columns but those of a plane), sorted.

    Raises
    ------
    ValueError
        Names the wells whose planes do not agree about the well.
    """
    columns = [name for name in index.columns if name not in PLANE]
    wells = index[columns].drop_duplicates().sort_values(WELL).reset_index(drop=True)
    doubled = wells.loc[wells.duplicated(WELL), "Metadata_Well"].tolist()
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
    _check(views, matrix, wells, kind=kind, operation=operation)
    views = views.reset_index(drop=True)
    order = views.sort_values([*SITE, "Metadata_View"], kind="stable").index.to_numpy()
    views = views.loc[order]
    keys, values = _reduce(matrix, order, views, by=SITE if kind == "tile" else WELL, operation=operation)
    if kind == "tile":
        keys, values = _reduce(values, np.arange(len(keys)), keys, by=WELL, operation=operation)

    profiles = wells.sort_values(WELL).reset_index(drop=True)
    at = pd.MultiIndex.from_frame(profiles[WELL])
    sites = views[views["Metadata_Site"] != ""].drop_duplicates(SITE).groupby(WELL).size()
    profiles["Metadata_Site_Count"] = sites.reindex(at, fill_value=0).to_numpy("int32")
    profiles["Metadata_View_Count"] = views.groupby(WELL).size().reindex(at, fill_value=0).to_numpy("int32")
    profiles["Metadata_Count_Cells"] = _cell_count(views if kind == "cell" else cells, at)

    features = np.full((len(profiles), matrix.shape[1]), np.nan, dtype=np.float32)
    features[at.get_indexer(pd.MultiIndex.from_frame(keys))] = values
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


def _check(
    views: pd.DataFrame, matrix: np.ndarray | Vectors, wells: pd.DataFrame, *, kind: str, operation: str
) -> None:
    if kind not in NOTHING:
        raise ValueError(f"views: expected one of the kinds {list(NOTHING)}, found {kind!r}")
    if operation not in OPERATIONS:
        raise ValueError(f"operation: expected one of {list(OPERATIONS)}, found {operation!r}")
    if len(views) != len(matrix):
        raise ValueError(f"views: expected {len(views)} vectors, found {len(matrix)}")
    known = set(map(tuple, wells[WELL].to_numpy()))
    strange = sorted(set(map(tuple, views[WELL].drop_duplicates().to_numpy())) - known)
    if strange:
        raise ValueError(f"views: expected wells of the index, found {strange[:10]}")


def _reduce(
    matrix: np.ndarray | Vectors, order: np.ndarray, keys: pd.DataFrame, *, by: Sequence[str], operation: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the distinct rows of `keys[by]` and their (groups, d) float64 aggregates of `matrix[order]`.

    `keys` is sorted by `by`, so a group is a run of rows, and no more than one is read, and in float64, at a time.
    """
    broken = 0
    starts = np.flatnonzero(~keys.duplicated(by).to_numpy())
    values = np.full((len(starts), matrix.shape[1]), np.nan)
    with warnings.catch_warnings():
        # A feature without one finite value in a group is NaN by contract.
        warnings.filterwarnings("ignore", message="Mean of empty slice|All-NaN slice", category=RuntimeWarning)
        for group, (start, stop) in enumerate(zip(starts, np.append(starts, len(keys))[1:], strict=True)):
            block = matrix[order[start:stop]].astype(np.float64)
            gaps = ~np.isfinite(block)
            broken += int(gaps.any(axis=1).sum())
            block[gaps] = np.nan
            values[group] = OPERATIONS[operation](block, axis=0)
    if broken:
        logger.warning("%d of %d rows hold values that are not finite; these values are left out", broken, len(keys))
    return keys.iloc[starts][list(by)].reset_index(drop=True), values


def _cell_count(cells: pd.DataFrame | None, at: pd.MultiIndex) -> pd.Series:
    if cells is None:
        return pd.Series(pd.NA, index=range(len(at)), dtype="Int32")
    counts = cells.groupby(WELL).size().reindex(at, fill_value=0)
    return pd.Series(counts.to_numpy(), dtype="Int32")


def _excluded(survey: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the wells of which every site is excluded (one bad plane excludes its site), with the reasons."""
    bad = survey[survey["Metadata_Verdict"] == "exclude"]
    sites = survey.drop_duplicates(SITE).groupby(WELL).size()
    lost = bad.drop_duplicates(SITE).groupby(WELL).size()
    reasons = {}
    for well in sites.index:
        if lost.get(well, 0) == sites[well]:
            planes = bad[(bad["Metadata_Plate"] == well[0]) & (bad["Metadata_Well"] == well[1])]
            counts = planes["Metadata_Reason"].replace("", "no reason given").value_counts().sort_index()
            listed = ", ".join(f"{reason} ({count})" for reason, count in counts.items())
            reasons[tuple(well)] = f"all sites excluded: {listed}"
    return reasons
