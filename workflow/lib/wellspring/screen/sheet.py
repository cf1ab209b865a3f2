"""The plate sheet: one row per plate, read and checked before any job starts.

Its columns are described in `workflow/schemas/plates.yaml`. Further columns become `Metadata_` columns of the profiles.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pandas as pd
import yaml

from wellspring.io.object_store import climbs, is_url, plain
from wellspring.io.shipped import SHEET_SCHEMA
from wellspring.screen import credentials
from wellspring.screen.names import check
from wellspring.screen.text_table import read as read_table

ROLES = ("fit", "project", "heldout", "no")


class Column(TypedDict, total=False):
    """A column of the sheet: whether it is required, its default (of an optional one) and its description."""

    required: bool
    default: str
    doc: str


def columns() -> dict[str, Column]:
    """Return the columns of the sheet by name."""
    found: dict[str, Column] = yaml.safe_load(SHEET_SCHEMA.read_text())["columns"]
    return found


def read(
    path: str | Path, *, demo: str | Path | None = None, simulated: tuple[str, ...] = (), images: bool = True
) -> pd.DataFrame:
    """Read and check the plate sheet.

    Parameters
    ----------
    path
        One row per plate; see :mod:`wellspring.screen.text_table` for what is read.
    demo
        The folder of the rule `simulate`; only simulated plates may be in it.
    simulated
        The plates that `simulate` makes.
    images
        Whether the plates have images; if not, the column is empty.

    Returns
    -------
    DataFrame of str, indexed by plate (which also stays a column), without the plates of role `no`.

    Raises
    ------
    ValueError
        Names the file, the row or column, what was expected and what was found; lists all missing folders.
    """
    path = Path(path)
    sheet = _table(path)
    sheet = sheet if images else sheet.assign(images="")
    missing = [name for name, column in columns().items() if column["required"] and name not in sheet]
    if missing:
        raise ValueError(f"{path}: expected the columns {missing}, found {list(sheet.columns)}")
    sheet = _complete(sheet, path, empty=() if images else ("images",))
    secret = [each for line, row in sheet.iterrows() for each in credentials.problems(row.to_dict(), f"line {line}")]
    if secret:  # first, since other messages repeat a wrong value
        raise ValueError("\n".join(f"{path}: {each}" for each in secret))
    sheet["images"] = sheet["images"].map(plain)
    _check_names(sheet, path)
    sheet = sheet[sheet["role"] != "no"]
    refused = [text for row in sheet.to_dict("records") for text in _misplaced(row, path, demo, simulated)]
    if refused:
        raise ValueError("\n".join(refused))
    if sheet.empty:
        raise ValueError(f"{path}: expected at least one plate whose role is not `no`, found none")
    if not (sheet["role"] == "fit").any():
        raise ValueError(f"{path}: expected at least one plate of role `fit`, found {sorted(set(sheet['role']))}")
    return sheet.set_index("plate", drop=False)


def names(path: str | Path) -> list[str]:
    """Return the names of all plates of a sheet, those of role `no` too."""
    found: list[str] = _table(Path(path))["plate"].tolist()
    return found


def _table(path: Path) -> pd.DataFrame:
    return read_table(path, what="plate sheet")


def _complete(sheet: pd.DataFrame, path: Path, *, empty: tuple[str, ...]) -> pd.DataFrame:
    """Fill in optional columns; columns of `empty` may have empty cells although they are required."""
    for name, column in columns().items():
        if column["required"]:
            lacking = sheet.index[sheet[name] == ""]
            if len(lacking) and name not in empty:
                raise ValueError(f"{path}: line {lacking[0]}: expected a value in column {name!r}, found none")
        elif name not in sheet:
            sheet[name] = sheet["plate"] if name == "optics" else column["default"]
        elif name != "role":  # a plate whose role was forgotten must not train
            default = sheet["plate"] if name == "optics" else column["default"]
            sheet[name] = sheet[name].where(sheet[name] != "", default)
    return sheet


def _check_names(sheet: pd.DataFrame, path: Path) -> None:
    for column, what in (("plate", "plate"), ("optics", "light path")):
        for line, name in sheet[column].items():
            check(name, what=what, where=f"{path}: line {line}")
    doubled = sheet.loc[sheet["plate"].duplicated(), "plate"].unique().tolist()
    if doubled:
        raise ValueError(f"{path}: expected each plate once, found {doubled} more than once")
    for line, role in sheet.loc[~sheet["role"].isin(ROLES), "role"].items():
        raise ValueError(f"{path}: line {line}: expected a role of {ROLES}, found {role!r}")


def _misplaced(row: dict[str, str], path: Path, demo: str | Path | None, simulated: tuple[str, ...]) -> Iterator[str]:
    """Yield the problems of the paths of a plate's images and platemap."""
    plate, images, where = row["plate"], Path(row["images"]), f"{path}: plate {row['plate']}"
    if row["images"] and demo is not None and _inside(images, Path(demo)):
        if plate not in simulated or images.resolve() != (Path(demo) / plate).resolve():
            owner = f"{demo} belongs to the demo, whose folders are deleted and rewritten"
            yield f"{where}: expected images outside of the demo's folder ({owner}), found {row['images']!r}"
        return
    for column in ("images", "platemap"):
        if column == "images" and is_url(row["images"]):
            if climbs(row["images"]):
                yield f"{where}: expected a URL without `..`, found {row['images']!r}"
        elif (column != "images" or row["images"]) and not Path(row[column]).exists():
            yield f"{where}: expected {column} at {row[column]!r}, found no such file or folder"


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve() == folder.resolve() or folder.resolve() in path.resolve().parents
