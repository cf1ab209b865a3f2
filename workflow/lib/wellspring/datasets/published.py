"""Read published files as tables of strings, and find the folders of plates.

Each error names the file and the line.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

DEPTH = 3  # folders between the one that is named and a plate's


def table(path: Path | str, *, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """Read a published table as strings, null where a cell is empty.

    Parameters
    ----------
    path
        CSV or, with `separator`, TSV; also ``.gz``.
    columns
        Those that it must have.

    Returns
    -------
    pandas.DataFrame
        ``line(index)`` of an index value is the line of the file.

    Raises
    ------
    ValueError
        The file or a column is missing, or the file has no row.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected a file, found none")
    rows = pd.read_csv(
        path,
        sep=separator,
        dtype=str,
        keep_default_na=False,
        na_values=[""],
        skip_blank_lines=False,
        encoding="utf-8-sig",
    )
    rows.columns = rows.columns.str.strip()
    missing = [name for name in columns if name not in rows]
    if missing:
        raise ValueError(f"{path}: expected the columns {missing}, found {list(rows.columns)}")
    rows = rows.apply(lambda column: column.str.strip()).dropna(how="all")
    if rows.empty:
        raise ValueError(f"{path}: expected rows, found none")
    return rows.astype(object).where(rows.notna(), None)


def line(index: int) -> int:
    """Return the line of the file that holds the row `index` of a table (the header is line 1)."""
    return int(index) + 2


def complete(rows: pd.DataFrame, columns: Sequence[str], path: Path | str) -> None:
    """Refuse a row without a value in one of the columns."""
    for name in columns:
        empty = rows.index[rows[name].isna()]
        if len(empty):
            raise ValueError(f"{path}: line {line(empty[0])}: expected a value in column {name}, found none")


def numbers(rows: pd.DataFrame, column: str, path: Path | str) -> pd.Series:
    """Return a column as float64, the double nearest to the text; an empty cell is NaN."""
    values = []
    for index, value in rows[column].items():
        try:
            values.append(float("nan") if value is None else float(value))
        except ValueError as error:
            message = f"expected a number in column {column}, found {value!r}"
            raise ValueError(f"{path}: line {line(index)}: {message}") from error
    return pd.Series(values, index=rows.index, dtype="float64")


def locate(folder: Path | str, name: str, *, within: str = "") -> Path:
    """Return the one file called `name` (or ``name.gz``) in a folder or below it; see ``located``.

    Raises
    ------
    ValueError
        There is no such file, or there are several; lists them.
    """
    found = located(folder, name, within=within)
    if len(found) != 1:
        listed = [str(path.relative_to(folder)) for path in found] or "none"
        raise ValueError(f"{folder}: expected one file {name} in it or below, found {listed}")
    return found[0]


def located(folder: Path | str, name: str, *, within: str = "") -> list[Path]:
    """Return the files called `name` (or ``name.gz``): the one in the folder itself, else those below it.

    If there are several, those below a folder called `within` have precedence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of metadata files, found {_what(folder)}")
    names = (name, f"{name}.gz")
    found = [folder / each for each in names if (folder / each).is_file()][:1]
    found = found or sorted(path for path in folder.rglob("*") if path.name in names and path.is_file())
    return [path for path in found if within and within in path.relative_to(folder).parts] or found


def plate_folders(folder: Path | str, pattern: str) -> dict[str, Path]:
    """Return plate -> its folder of images: folders at or below `folder` whose name `pattern` matches.

    The group ``plate`` of the pattern is the plate. Folders of illumination functions (``illum``) have plates' names
    too and are left out.

    Raises
    ------
    ValueError
        No folder matches, or two are of one plate.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of plates, found {_what(folder)}")
    found: dict[str, Path] = {}
    for plate, path in _walk(folder, re.compile(pattern), DEPTH):
        if plate in found:
            raise ValueError(f"{folder}: expected one folder of plate {plate}, found {found[plate]} and {path}")
        found[plate] = path
    if not found:
        raise ValueError(f"{folder}: expected folders of plates, whose names match {pattern!r}, found none")
    return found


def _walk(folder: Path, pattern: re.Pattern[str], depth: int) -> Iterator[tuple[str, Path]]:
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        match = pattern.fullmatch(path.name)
        if match is not None:
            yield match["plate"], path
        elif depth > 1 and path.name != "illum":
            yield from _walk(path, pattern, depth - 1)


def _what(path: Path) -> str:
    return "a file" if path.exists() else "nothing"
