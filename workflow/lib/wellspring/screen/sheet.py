"""The plate sheet: one row per plate, read and checked before any job starts.

Its columns are described in `workflow/schemas/plates.yaml`. Further columns become `Metadata_` columns of the profiles.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import pandas as pd

from wellspring.io import credentials
from wellspring.io.object_store import climbs, home, is_url, plain
from wellspring.io.shipped import SHEET_SCHEMA, read_yaml
from wellspring.screen import not_a_table, spellings
from wellspring.screen.names import check
from wellspring.screen.text_table import read as read_table

TABLE = re.compile(r"\.(csv|tsv|txt|parquet|pq)(\.(gz|bz2|zst|xz))?$", re.IGNORECASE)  # a plate's LoadData
ROLES = ("fit", "project", "heldout", "no")


class Column(TypedDict, total=False):
    """A column of the sheet: whether it is required, its default (of an optional one) and its description."""

    required: bool
    default: str
    doc: str


def columns() -> dict[str, Column]:
    """Return the columns of the sheet by name."""
    found: dict[str, Column] = read_yaml(SHEET_SCHEMA)["columns"]
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
    rows, problems = examined(path, demo=demo, simulated=simulated, images=images)
    if problems:
        raise ValueError("\n".join(problems))
    return pd.DataFrame(rows).set_index("plate", drop=False)


def examined(
    path: str | Path, *, demo: str | Path | None = None, simulated: tuple[str, ...] = (), images: bool = True
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the rows of the plates that can be read, and all problems of the sheet; parameters as :func:`read`."""
    path = Path(path)
    try:
        sheet = _table(path)
    except ValueError as error:
        return [], [str(error)]
    sheet = sheet if images else sheet.assign(images="")
    problems: list[str] = []
    required = [name for name, column in columns().items() if column["required"]]
    missing = [name for name in required if name not in sheet]
    if missing:
        sheet, problem = _without(sheet, missing, path)
        problems = [problem]
        if not any(name in sheet for name in required if images or name != "images"):
            return [], problems
        missing = [name for name in missing if name not in sheet]
        for name in missing:  # the other columns are checked without it
            sheet[name] = _stand_ins(sheet) if name == "plate" else ""
    secret = {line: list(credentials.problems(row.to_dict(), f"line {line}")) for line, row in sheet.iterrows()}
    problems += [f"{path}: {each}" for found in secret.values() for each in found]
    # Lines with credentials are checked no further, since other messages repeat a wrong value.
    sheet = sheet[~sheet.index.isin([line for line, found in secret.items() if found])]
    misspelt = [f"{path}: {each}" for each in _misspelt(sheet)]
    lacking = _lacking(sheet, path, empty=(*missing, *(() if images else ("images",))))
    problems += [*misspelt, *lacking.values(), *([] if misspelt else _merged(sheet, path))]
    sheet = _complete(sheet[~sheet.index.isin(list(lacking))].copy())
    sheet["images"] = sheet["images"].map(plain)
    problems += _names(sheet, path)
    kept = sheet[sheet["role"] != "no"]
    rows = []
    for row in kept.to_dict("records"):
        refused = list(_misplaced(row, path, demo, simulated))
        problems += refused
        rows += [] if refused else [row]
    if kept.empty and not problems:
        problems.append(f"{path}: expected at least one plate whose role is not `no`, found none")
    if len(kept) and not (kept["role"] == "fit").any() and not problems:
        problems.append(f"{path}: expected at least one plate of role `fit`, found {sorted(set(kept['role']))}")
    return rows, problems


def names(path: str | Path) -> list[str]:
    """Return the names of all plates of a sheet, those of role `no` too; none of a sheet without such a column."""
    table = _table(Path(path))
    found: list[str] = table["plate"].tolist() if "plate" in table else []
    return found


def _table(path: Path) -> pd.DataFrame:
    return read_table(path, what="plate sheet", refuse_secrets=False)


def _without(sheet: pd.DataFrame, missing: Sequence[str], path: Path) -> tuple[pd.DataFrame, str]:
    """Return the sheet with the columns that are nearly a missing one under its name, and the problem in words."""
    joined = any(" " in name for name in sheet)
    hint = not_a_table.of_one_column(list(sheet.columns)) or (
        "; names must be separated by a tab, comma or semicolon" if joined else ""
    )
    words = f"{path}: expected the columns {list(missing)}, found {list(sheet.columns)}{hint}"
    near = {name: [one for one in sheet if one not in columns() and spellings.alike(one, name)] for name in missing}
    renamed = {found[0]: name for name, found in near.items() if found}
    if renamed:
        words += "; correct " + ", ".join(f"{wrong!r} to {name!r}" for wrong, name in renamed.items())
    return sheet.rename(columns=renamed), words


def _stand_ins(sheet: pd.DataFrame) -> list[str]:
    """Return names of plates for a sheet without them: those of the folders of images, or the lines."""
    folders = [Path(place).name for place in sheet["images"]] if "images" in sheet else []
    fine = len(set(folders)) == len(sheet) and all(
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) for name in folders
    )
    return folders if fine else [f"line{line}" for line in sheet.index]


def _misspelt(sheet: pd.DataFrame) -> list[str]:
    """Return the columns that are nearly one of ours which is not there: `Role` would leave all plates in the fit."""
    absent = [name for name in columns() if name not in sheet]
    found = []
    for name in (column for column in sheet if column not in columns()):
        near = [each for each in absent if spellings.alike(name, each)]
        if near:
            found.append(f"expected the column {near[0]!r}, found {name!r}; correct its name, or choose another one")
    return found


def _lacking(sheet: pd.DataFrame, path: Path, *, empty: tuple[str, ...]) -> dict[int, str]:
    """Return line to problem for rows without a required value; columns of `empty` may have empty cells."""
    found: dict[int, str] = {}
    for name, column in columns().items():
        if not column["required"] or name in empty:
            continue
        for line in sheet.index[sheet[name] == ""]:
            cells = [cell for cell in sheet.loc[line] if cell]
            joined = [cell for cell in cells if " " in cell or "\t" in cell]
            hint = f" (is a tab missing in {joined[0]!r}?)" if joined and len(cells) < sheet.shape[1] else ""
            found.setdefault(line, f"{path}: line {line}: expected a value in column {name!r}, found none{hint}")
    return found


def _merged(sheet: pd.DataFrame, path: Path) -> list[str]:
    """Return the problem of a batch that some plates alone have, as where cells were merged."""
    kept = sheet[sheet["role"] != "no"] if "role" in sheet else sheet
    empty = kept.index[kept["batch"] == ""].tolist() if "batch" in kept else []
    if not 0 < len(empty) < len(kept):
        return []
    where = f"found none in the lines {empty} (merged cells? fill it in)"
    return [f"{path}: expected batch for all plates or for none, {where}"]


def _complete(sheet: pd.DataFrame) -> pd.DataFrame:
    """Fill in optional columns."""
    for name, column in columns().items():
        if column["required"]:
            continue
        if name not in sheet:
            sheet[name] = sheet["plate"] if name == "optics" else column["default"]
        elif name != "role":  # a plate whose role was forgotten must not train
            default = sheet["plate"] if name == "optics" else column["default"]
            sheet[name] = sheet[name].where(sheet[name] != "", default)
    return sheet


def _names(sheet: pd.DataFrame, path: Path) -> list[str]:
    """Return the problems of names and roles."""
    found = []
    for column, what in (("plate", "plate"), ("optics", "light path")):
        for line, name in sheet[column].items():
            try:
                check(name, what=what, where=f"{path}: line {line}")
            except ValueError as error:
                found.append(str(error))
    doubled = sheet.loc[sheet["plate"].duplicated(), "plate"].unique().tolist()
    if doubled:
        found.append(f"{path}: expected each plate once, found {doubled} more than once")
    by_case = sheet["plate"].drop_duplicates().groupby(sheet["plate"].str.casefold()).agg(list)
    for alike in by_case[by_case.map(len) > 1]:
        found.append(f"{path}: expected names of plates that differ in more than case, found {alike}")
    for line, role in sheet.loc[~sheet["role"].isin(ROLES), "role"].items():
        found.append(f"{path}: line {line}: expected a role of {ROLES}, found {role!r}{_near(role)}")
    return found


def _near(role: str) -> str:
    near = difflib.get_close_matches(role.casefold(), ROLES, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _misplaced(row: dict[str, str], path: Path, demo: str | Path | None, simulated: tuple[str, ...]) -> Iterator[str]:
    """Yield the problems of the paths of a plate's images and platemap."""
    plate, images, where = row["plate"], Path(row["images"]), f"{path}: plate {row['plate']}"
    if row["images"] and demo is not None and _inside(images, Path(demo)):
        if plate not in simulated or images.resolve() != (Path(demo) / plate).resolve():
            owner = f"{demo} belongs to the demo, whose folders are deleted and rewritten"
            yield f"{where}: expected images outside of the demo's folder ({owner}), found {row['images']!r}"
        return
    if row["images"] and not is_url(row["images"]) and _swapped(images, Path(row["platemap"])):
        found = f"images {row['images']!r} and platemap {row['platemap']!r}"
        yield f"{where}: expected a folder of images and a platemap, found the reverse: {found} (swap the two columns)"
        return
    if row["images"] and not is_url(row["images"]) and images.is_file() and not TABLE.search(images.name):
        found = f"the file {row['images']!r} (unpack an archive; of images name the folder above)"
        yield f"{where}: expected a folder of images or its LoadData table (CSV, Parquet), found {found}"
        return
    for column in ("images", "platemap"):
        if column == "images" and is_url(row["images"]):
            if climbs(row["images"]):
                yield f"{where}: expected a URL without `..`, found {row['images']!r}"
        elif (column != "images" or row["images"]) and not Path(_at(row, column)).exists():
            yield f"{where}: expected {column} at {row[column]!r}, found no such file or folder"


def _at(row: dict[str, str], column: str) -> str:
    """Return the path that must be there: of images, the folder or store that holds them."""
    return home(row[column]) if column == "images" else row[column]


def _swapped(images: Path, platemap: Path) -> bool:
    """Return whether the folder is in the column of platemaps, and a table in that of images."""
    return images.is_file() and platemap.is_dir() and not (platemap / "barcode_platemap.csv").exists()


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve() == folder.resolve() or folder.resolve() in path.resolve().parents
