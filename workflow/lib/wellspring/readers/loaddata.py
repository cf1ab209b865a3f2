"""A CellProfiler LoadData table (CSV or Parquet) and the plate's folder in; the table of planes out.

Images stand in ``FileName_<Channel>`` and ``PathName_<Channel>``, or in ``URL_<Channel>``, with or without ``Orig``
before the channel's name; the rest is ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Site``. Folders named in such
a table are usually those of another machine: a file is found by the longest end of its path that the folder holds.
"""

import logging
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pandas as pd

from wellspring import wells
from wellspring.readers.listing import complete, files

logger = logging.getLogger(__name__)


def planes(folder: Path | str, *, plate: str, table: Path | str) -> pd.DataFrame:
    """List the planes of a plate by its LoadData table.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Rows of other plates are left; a table without ``Metadata_Plate`` is taken as this plate's.
    table
        CSV (also .gz) or Parquet; every column is read as string, so plate ``0012`` stays ``0012``.

    Returns
    -------
    pandas.DataFrame
        As ``readers.pattern.planes``; the path of a named file that the folder lacks is null.

    Raises
    ------
    ValueError
        No row of this plate, no image column, no well, or none of the files in the folder.
    """
    table = Path(table)
    rows = _read(table)
    if "Metadata_Plate" in rows:
        found = sorted(rows["Metadata_Plate"].dropna().unique())
        rows = rows[rows["Metadata_Plate"] == plate]
        if rows.empty:
            raise ValueError(f"{plate}: no row in {table}, which has the plates {found[:10]}")
    well = _wells(rows, table)
    site = _first(rows, "Metadata_Site", "Metadata_FieldID", "Metadata_Field")
    plane = _first(rows, "Metadata_Plane", "Metadata_PlaneID")
    held = dict(files(Path(folder)))
    parts = []
    for channel, named in _images(rows, table).items():
        paths = [_below(name, held) for name in named]
        page = rows[f"Frame_{channel}"].fillna("0").astype(int) if f"Frame_{channel}" in rows else 0
        part = pd.DataFrame({"path": paths, "well": well, "site": site, "plane": plane, "page": page})
        parts.append(part.assign(channel=channel.removeprefix("Orig"), bytes=[held.get(path, 0) for path in paths]))
    frame = pd.concat(parts, ignore_index=True)
    absent = frame["path"].isna()
    if absent.all():
        raise ValueError(f"{plate}: none of the {len(frame)} files named in {table} is below {folder}")
    logger.info("%s: %d planes in %s, %d of them not in %s", plate, len(frame), table.name, absent.sum(), folder)
    return complete(frame)


def _read(table: Path) -> pd.DataFrame:
    if table.suffix == ".parquet":
        frame = pd.read_parquet(table)
        return frame.astype(object).where(frame.isna(), frame.astype(str)).where(frame.notna(), None)
    return pd.read_csv(table, dtype=str, keep_default_na=False, na_values=[""])


def _images(rows: pd.DataFrame, table: Path) -> dict[str, list[str]]:
    """Return the full path of every image as the table names it, by channel (with its ``Orig`` where it has one)."""
    images = {}
    for column in rows.columns:
        kind, _, channel = column.partition("_")
        if kind not in ("FileName", "URL") or channel.startswith("Illum") or channel in images:
            continue
        names = rows[column].fillna("")
        if kind == "URL":
            images[channel] = [unquote(urlsplit(name).path) for name in names]
        else:
            folders = rows.get(f"PathName_{channel}", pd.Series("", index=rows.index)).fillna("")
            images[channel] = [f"{part.rstrip('/')}/{name}" for part, name in zip(folders, names, strict=True)]
    if not images:
        raise ValueError(f"{table}: expected columns FileName_<Channel> or URL_<Channel>, found {list(rows.columns)}")
    return images


def _wells(rows: pd.DataFrame, table: Path) -> list[str]:
    if "Metadata_Well" in rows:
        return [wells.normalise(value) for value in rows["Metadata_Well"]]
    for column in ("Metadata_Col", "Metadata_Column"):
        if {"Metadata_Row", column} <= set(rows.columns):
            return [wells.join(row, col) for row, col in zip(rows["Metadata_Row"], rows[column], strict=True)]
    raise ValueError(f"{table}: expected Metadata_Well, or Metadata_Row and Metadata_Col, found {list(rows.columns)}")


def _first(rows: pd.DataFrame, *columns: str) -> list[str]:
    """Return the first of the columns that is there, or ones."""
    name = next((column for column in columns if column in rows), None)
    return ["1"] * len(rows) if name is None else rows[name].fillna("1").tolist()


def _below(name: str, held: dict[str, int]) -> str | None:
    """Return the longest end of a path that is a file of the folder, or None."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in held), None)
