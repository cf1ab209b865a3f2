"""The table of a plate's ready-made crops: one row per crop, with its cell and where its pixels are.

Keys have the names that other tools give them (`wellspring.encoders.table_keys.KEYS`). Nothing is opened but the
table.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.encoders.table_columns import texts
from wellspring.encoders.table_format import open_source
from wellspring.encoders.table_keys import KEYS, known_keys
from wellspring.index.readers.listing import places, within
from wellspring.io import packed
from wellspring.io.object_store import is_url
from wellspring.screen import well_names
from wellspring.screen.sections import GivenCrops

CELL = ["Metadata_Well", "Metadata_Site", "Metadata_Cell"]
# Usual names of the columns, besides those of profile tables.
NAMES = {
    "plate": KEYS["plate"],
    "well": KEYS["well"],
    "site": KEYS["site"],
    "cell": ("Metadata_Cell", "cell", "Cell", *KEYS["view"]),
    "file": ("Metadata_Path", "path", "file_path", "filepath", "file", "filename", "file_name", "image", "Path")
    + ("Image_Name", "image_path", "Image_Path"),  # the first of DeepProfiler's sc-metadata.csv
    "item": ("Metadata_Row", "item", "index", "array_index", "crop_index"),
}
CENTRE = {"Y": ("Metadata_Center_Y", "center_y", "Nuclei_Location_Center_Y", "y"),
          "X": ("Metadata_Center_X", "center_x", "Nuclei_Location_Center_X", "x")}  # fmt: skip
WELL_ROW = "Metadata_Row"  # number of a crop in our tables; beside one of the next columns, the row of the well
WELL_COLUMN = ("Metadata_Col", "Metadata_Column")
MOST_ITEMS = 2**53  # whole numbers up to here are exact as floats
PER_CHANNEL = ("path_{}", "file_{}", "FileName_{}", "Metadata_Path_{}")


@dataclass(frozen=True)
class Listing:
    """The crops of one plate.

    Attributes
    ----------
    rows
        In key order: the columns CELL, ``Metadata_Center_Y``, ``Metadata_Center_X`` (of the crop in its field, px; NaN
        where the table does not state it), ``files`` (tuple of paths: one per crop, or one per channel; empty with an
        array) and ``item`` (number in the array or file; -1 for a file that is the crop).
    table
        The table's file.
    array
        The array of all crops, None for files.
    total
        Rows of the whole table, with those of other plates.
    others
        Plates of the table's other rows.
    counted
        Whether crops are numbered by the order of the rows.
    by_plate
        Whether the table has a column of plates.
    """

    rows: pd.DataFrame
    table: Path
    array: Path | None
    total: int
    others: tuple[str, ...] = ()
    counted: bool = False
    by_plate: bool = True


def table_of(given: GivenCrops, folder: str | Path, plate: str) -> Path:
    """Return the file of the plate's table."""
    return Path(folder) / str(given.table).replace("{plate}", plate)


def read(
    given: GivenCrops,
    folder: str | Path,
    *,
    plate: str,
    channels: Sequence[str],
    roots: Sequence[str] = (),
) -> Listing:
    """List the crops of a plate.

    Parameters
    ----------
    given
        ``crops.given`` of the config.
    folder
        The plate's folder, as the sheet names it; on this machine.
    plate
        Where the table has a column of plates, rows of others are left out.
    channels
        Channels of the crops, in their order.
    roots
        Folders outside of the plate's in which crops may lie (``index.roots``).

    Raises
    ------
    ValueError
        No table or one of another format; a column is missing; a well has no name; a cell is there twice; a path leads
        out of the plate's folder. The message names the table.
    """
    if is_url(folder):
        raise ValueError(f"{plate}: expected ready-made crops in a folder of this machine, found {folder}")
    table = table_of(given, folder, plate)
    try:
        frame = cells_of(table)
        columns = _columns(list(frame), given, table, channels)
        keep, others = _of_plate(frame, columns.get("plate"), plate, table)
        array = None if given.array is None else Path(folder) / given.array.replace("{plate}", plate)
        rows = _cells(frame[keep], columns, table)
        rows["item"] = _items(frame[keep], columns.get("item"), table, array=array is not None)
        rows["files"] = [()] * len(rows) if array is not None else _files(frame[keep], columns, table, channels)
        _distinct(rows, columns.get("item"), table)
        _inside(rows["files"], Path(folder), roots, table)
    except ValueError as error:
        if plate in str(error):
            raise
        raise ValueError(f"{plate}: {error}") from error
    rows = rows.sort_values(CELL, kind="stable", ignore_index=True)
    return Listing(rows, table, array, len(frame), others, counted="item" not in columns, by_plate="plate" in columns)


def cells_of(table: Path) -> pd.DataFrame:
    """Return the table as text; an archive of vectors has a column per vector."""
    if not table.is_file():
        raise ValueError(f"{table}: expected the table of crops here (crops.given.table), found no such file")
    if table.suffix != ".npz":
        source = open_source(table)
        return texts(source, [name for name in source.schema.names if name not in source.lists])
    vectors = {name: values for name, values in packed.archive(table).items() if values.ndim == 1}
    lengths = {name: len(values) for name, values in vectors.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{table}: expected vectors of one length, one per column, found {lengths or 'none'}")
    return pd.DataFrame(
        {
            name: values.astype(str) if values.dtype.kind != "S" else np.char.decode(values, "utf-8")
            for name, values in vectors.items()
        }
    )


def _columns(names: list[str], given: GivenCrops, table: Path, channels: Sequence[str]) -> dict[str, str]:
    """Return key to column."""
    absent = sorted(name for name in given.columns.values() if name not in names)
    ours = [name for name in names if name != WELL_ROW or not set(WELL_COLUMN) & set(names)]
    usual = {key: next((name for name in some if name in ours), None) for key, some in NAMES.items()}
    found = {key: name for key, name in usual.items() if name is not None}
    found |= {key: name for key, name in known_keys(names).items() if key in ("plate", "well", "site")}
    found |= given.columns
    for axis, some in CENTRE.items():
        name = next((name for name in some if name in names), None)
        found |= {} if name is None else {axis: name}
    needed = ["well"]
    if given.array is None:
        each = [
            next((form.format(name) for form in PER_CHANNEL if form.format(name) in names), None) for name in channels
        ]
        if all(each):
            found |= {f"file {name}": str(column) for name, column in zip(channels, each, strict=True)}
        else:
            needed.append("file")
    lacking = [f"{key} ({' or '.join(NAMES[key][:4])})" for key in needed if key not in found]
    if absent or lacking:
        words = [*lacking, *(f"{name!r}, which crops.given.columns names" for name in absent)]
        raise ValueError(f"{table}: expected a column of {'; '.join(words)}, found {names[:20]} (crops.given.columns)")
    return found


def _of_plate(frame: pd.DataFrame, column: str | None, plate: str, table: Path) -> tuple[pd.Series, tuple[str, ...]]:
    """Return which rows are of the plate, and the other plates."""
    if column is None:
        return pd.Series(True, index=frame.index), ()
    keep = frame[column] == plate
    others = tuple(sorted({str(name) for name in frame.loc[~keep, column]}))
    if not keep.any():
        raise ValueError(f"{table}: expected rows of plate {plate} in column {column!r}, found those of {others[:10]}")
    return keep, others


def _cells(frame: pd.DataFrame, columns: Mapping[str, str], table: Path) -> pd.DataFrame:
    """Return the keys of the crops; cells without numbers are numbered within their site, by name or row."""
    bare = frame[columns["well"]].isna() | (frame[columns["well"]] == "")
    if bare.any():
        raise ValueError(f"{table}: expected a well in each row, found none in row {int(np.flatnonzero(bare)[0]) + 1}")
    try:
        names = {value: well_names.normalise(value) for value in frame[columns["well"]].unique()}
    except ValueError as error:
        raise ValueError(f"{table}: {error}") from error
    rows = pd.DataFrame({"Metadata_Well": frame[columns["well"]].map(names)})
    rows["Metadata_Site"] = frame[columns["site"]].fillna("") if "site" in columns else "1"
    odd = sorted({site for site in rows["Metadata_Site"] if not str(site).isalnum()})
    if odd:
        raise ValueError(f"{table}: expected sites of letters and digits, found {odd[:5]}")
    site = [rows["Metadata_Well"], rows["Metadata_Site"]]
    if "cell" in columns:
        stated = frame[columns["cell"]].fillna("")
        doubled = pd.DataFrame({"well": site[0], "site": site[1], "cell": stated}).duplicated()
        if doubled.any():
            first = rows[doubled].iloc[0].tolist()
            raise ValueError(
                f"{table}: expected each cell once, found {int(doubled.sum())} again, the first is cell "
                f"{stated[doubled].iloc[0]} of {first[0]} site {first[1]}"
            )
        numbers = pd.to_numeric(stated, errors="coerce")
        whole = numbers.notna().all() and ((numbers % 1 == 0) & (numbers >= 0) & (numbers < 2**31)).all()
        rows["Metadata_Cell"] = numbers if whole else stated.groupby(site).rank(method="first")
    else:
        rows["Metadata_Cell"] = rows.groupby(site).cumcount() + 1
    rows["Metadata_Cell"] = rows["Metadata_Cell"].astype("int32")
    for axis in CENTRE:
        stated = frame[columns[axis]] if axis in columns else pd.Series(np.nan, index=frame.index)
        rows[f"Metadata_Center_{axis}"] = pd.to_numeric(stated, errors="coerce").astype("float32")
    return rows


def _items(frame: pd.DataFrame, column: str | None, table: Path, *, array: bool) -> np.ndarray:
    """Return the numbers of the crops in their array: those of the table, else the number of the row."""
    if column is None:
        return frame.index.to_numpy(np.int64) if array else np.full(len(frame), -1, dtype=np.int64)
    numbers = pd.to_numeric(frame[column], errors="coerce")
    odd = numbers.isna() | (numbers < 0) | (numbers % 1 != 0) | (numbers >= MOST_ITEMS)
    if odd.any():
        raise ValueError(f"{table}: expected numbers from 0 in {column!r}, found {frame.loc[odd, column].iloc[0]!r}")
    if array and numbers.duplicated().any():
        again = int(numbers[numbers.duplicated()].iloc[0])
        raise ValueError(f"{table}: expected each crop of the array once in {column!r}, found {again} again")
    found: np.ndarray = numbers.to_numpy(np.int64)
    return found


def _files(
    frame: pd.DataFrame, columns: Mapping[str, str], table: Path, channels: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the files of each crop; one file for two crops is refused unless its items are numbered."""
    names = [columns[f"file {name}"] for name in channels if f"file {name}" in columns] or [columns["file"]]
    found = [tuple(each) for each in frame[names].fillna("").to_numpy()]
    if "item" not in columns:
        every = pd.Series([name for each in found for name in each if name])
        if every.duplicated().any():
            raise ValueError(f"{table}: expected each file once, found {every[every.duplicated()].iloc[0]!r} again")
    return found


def _distinct(rows: pd.DataFrame, column: str | None, table: Path) -> None:
    """Refuse two crops of one number in one file: the column has another meaning, such as the row of the well."""
    named = rows[rows["files"].map(any).astype(bool)]
    again = named[pd.Series(list(zip(named["files"], named["item"], strict=True)), index=named.index).duplicated()]
    if column is not None and len(again):
        raise ValueError(
            f"{table}: expected each crop of a file once in {column!r}, found {again['item'].iloc[0]} of "
            f"{again['files'].iloc[0][0]!r} again (crops.given.columns.item names the column of numbers)"
        )


def _inside(files: Collection[tuple[str, ...]], folder: Path, roots: Sequence[str], table: Path) -> None:
    """Refuse paths that lead out of the plate's folder and the roots."""
    allowed = places(folder, roots)
    for parent in sorted({name.rpartition("/")[0] for each in files for name in each}):
        real = os.path.realpath(folder / parent)
        if not within(real, allowed):
            raise ValueError(f"{table}: expected crops in {folder} or index.roots, found the folder {real}")
