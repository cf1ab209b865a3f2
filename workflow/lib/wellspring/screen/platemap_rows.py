"""Rows of a platemap: of the file or sheet of a plate, of the plate, and one per well."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wellspring.screen import (
    decimal_sign,
    lookalikes,
    not_a_table,
    platemap_columns,
    platemap_grid,
    spellings,
    text_table,
    well_names,
)

ENDINGS = (".txt", ".csv", ".tsv", ".xlsx")  # of the platemaps of a folder, in the order in which they are looked for
TITLE = 20  # lines among which the names of the columns are looked for, after a title


def of_plate(table: pd.DataFrame, column: str, plate: str, path: Path) -> pd.DataFrame:
    """Return the rows of a plate.

    Raises
    ------
    ValueError
        No row is of the plate, with similar names; or a row has no plate.
    """
    bare = table.index[table[column].isna()].tolist()
    if bare:
        raise ValueError(
            f"{path}: expected a plate in column {column!r}, found none in the lines {bare[:10]}: fill it in, or "
            "remove these lines (a merged cell keeps its value in one row alone when it is saved as text)"
        )
    rows = table[table[column] == plate]
    if rows.empty:
        known = sorted(table[column].unique())
        raise ValueError(f"{plate}: no row in {path}, column {column} has {known[:10]}{near_plate(plate, known)}")
    return rows


def near_plate(plate: str, known: Sequence[str]) -> str:
    """Return which of the names may be the plate's, as part of a message.

    Examples
    --------
    >>> near_plate("P001", ["p001", "p002"])
    "; did you mean 'p001'? (write it as in the sheet, upper and lower case too)"
    """
    cased = [name for name in known if name.strip().casefold() == plate.casefold()]
    if cased:
        return f"; did you mean {cased[0]!r}? (write it as in the sheet, upper and lower case too)"
    alike = [name for name in known if _number(name) == _number(plate)]
    near = alike or difflib.get_close_matches(plate, known, n=1, cutoff=0.6)
    reason = " (a spreadsheet removes leading zeros: give the column the format Text)" if alike else ""
    if alike and alike[0].endswith(".0"):
        reason = " (a program made a number of it: write the column as text)"
    if any(re.fullmatch(r"[0-9.]+E\+[0-9]+", name, re.IGNORECASE) for name in known):
        reason = " (a spreadsheet rounded these numbers: give the column the format Text, and enter them again)"
    return f"; did you mean {near[0]!r}?{reason}" if near else reason


def _number(name: str) -> str:
    """Return a name as a spreadsheet may have changed it: without leading zeros and `.0`."""
    return re.sub(r"^0+|\.0$", "", name)


def by_barcode(folder: Path, plate: str) -> Path:
    """Return the platemap of a plate in a folder with ``barcode_platemap.csv``; `ValueError` if that names none."""
    barcodes = text_table.read(folder / "barcode_platemap.csv", what="platemap")
    absent = [name for name in ("Assay_Plate_Barcode", "Plate_Map_Name") if name not in barcodes]
    if absent:
        raise ValueError(f"{folder / 'barcode_platemap.csv'}: expected the columns {absent}, found {list(barcodes)}")
    names = barcodes.loc[barcodes["Assay_Plate_Barcode"] == plate, "Plate_Map_Name"].unique()
    if len(names) != 1:
        near = "" if len(names) else near_plate(plate, sorted(barcodes["Assay_Plate_Barcode"].unique()))
        raise ValueError(
            f"{plate}: expected one platemap in {folder / 'barcode_platemap.csv'}, found {list(names)}{near}"
        )
    files = [folder / "platemap" / f"{names[0]}{ending}" for ending in ENDINGS]
    return next((file for file in files if file.is_file()), files[0])


def table(path: Path, plate: str) -> tuple[pd.DataFrame, str]:
    """Return the cells (text or None) with a row per well or more, and the form of the file.

    Cells have what a person sees: single spaces, no characters without width.

    Raises
    ------
    ValueError
        The file cannot be read; its sheets hold grids and tables, or several tables, and none is called as the plate.
    """
    found, form = _cells(path, plate)
    for column in found.columns:
        cells = found[column].astype(object).where(found[column].notna(), None)
        looks = {cell: lookalikes.tidy(cell) or None for cell in cells.unique() if cell is not None}
        found[column] = [looks.get(cell) for cell in cells]
    return found, form


def _cells(path: Path, plate: str) -> tuple[pd.DataFrame, str]:
    sheets = text_table.sheets(path, what="platemap")
    sheets = {plate: sheets[plate]} if plate in sheets else {name: rows for name, rows in sheets.items() if rows}
    grids = {name: found for name, rows in sheets.items() if (found := platemap_grid.find(rows))}
    tables = [name for name, rows in sheets.items() if name not in grids and platemap_columns.names_wells(rows[0][1])]
    if grids and tables:
        raise ValueError(
            f"{path}: expected grids or a table with a row per well, found grids in the sheets {list(grids)} and a "
            f"table in {tables}: remove the sheets that are not the platemap, or hide them"
        )
    if grids:
        for name, found in grids.items():
            platemap_grid.check(sheets[name], found, where=str(path))
        return platemap_grid.joined(platemap_grid.of_plate(grids, plate), where=str(path))
    _refuse_rows_above(sheets, path)
    if len(sheets) > 1:
        mapped = {name: rows for name, rows in sheets.items() if platemap_columns.names_wells(rows[0][1])}
        if len(mapped) != 1:
            raise ValueError(
                f"{path}: expected one sheet with a column of wells, a sheet called {plate!r}, or grids, found "
                f"{list(mapped) or 'none'} among the sheets {list(sheets)}"
            )
        sheets = mapped
    framed = text_table.framed(next(iter(sheets.values())), path).astype(object)
    return framed.where(framed != "", None), "table"


def _refuse_rows_above(sheets: Mapping[str, text_table.Rows], path: Path) -> None:
    """Refuse a table whose names of columns come after a title or other rows, where no sheet begins with them."""
    if any(platemap_columns.names_wells(rows[0][1]) for rows in sheets.values()):
        return
    for name, rows in sheets.items():
        top = enumerate(rows[:TITLE])
        place = next((place for place, (_, cells) in top if platemap_columns.names_wells(cells)), None)
        if place is not None and all(_filled(cells) < _filled(rows[place][1]) for _, cells in rows[:place]):
            late = rows[place][0]
            sheet = f" of the sheet {name!r}" if len(sheets) > 1 else ""
            raise ValueError(
                f"{path}: expected the names of the columns in the first row{sheet}, found a column of wells in line "
                f"{late}: remove the lines above it"
            )


def _filled(cells: Sequence[str]) -> int:
    return sum(cell != "" for cell in cells)


def wells(table: pd.DataFrame, found: Mapping[str, str], path: Path) -> list[str]:
    """Return the normalised well of each row, from its column or from those of row and column."""
    if "well" not in found and not {"row", "column"} <= set(found):
        usual = " or ".join(("well", "Well", "well_position", "row and column"))
        raise ValueError(
            f"{path}: expected a column {usual}, found {list(table.columns)}{_hint(list(table.columns))}; set "
            "index.columns.well, or draw the plate as a grid with the numbers of its columns above and the letters of "
            "its rows before"
        )
    names = [found[key] for key in (("well",) if "well" in found else ("row", "column"))]
    of = well_names.normalise if "well" in found else well_names.of_pair
    named = []
    for line, cells in zip(table.index, table[names].itertuples(index=False), strict=True):
        try:
            named.append(of(*("" if cell is None else cell for cell in cells)))
        except ValueError as error:
            raise ValueError(f"{path}: line {line}: {error}; correct the row, or remove it") from error
    if "well" not in found:
        _refuse_swapped(table[names], path)
    return named


def check_points(table: pd.DataFrame, column: str, path: Path, *, lines: bool) -> None:
    """Refuse concentrations such as `1.000` whose point may separate thousands; wells are in the column ``""``.

    ``lines``: the index of the table has the lines of the file.
    """
    cells = table[column].tolist()
    if not decimal_sign.may_be(cells):
        return
    others = (table[name].tolist() for name in table.columns if name not in ("", column))
    found = decimal_sign.doubtful(cells, others, separator=text_table.separator(path))
    if found:
        place, cell = found[0], str(cells[found[0]])
        where = f"line {table.index[place]}" if lines else f"well {table[''].iloc[place]}"
        number = cell.replace(".", "")
        raise ValueError(
            f"{path}: {where}: expected a number with one meaning in column {column!r}, found {cell!r} ("
            f"{len(found)} such numbers), which may be {cell.rstrip('0').rstrip('.')} or {number}, since the "
            "other numbers of the file do not show whether points separate decimals or thousands: write the numbers "
            "without zeros at the end and without separators of thousands"
        )


def _refuse_swapped(pairs: pd.DataFrame, path: Path) -> None:
    """Refuse rows and columns by number that have the extent of a plate which lies on its side."""
    if not all(str(cell).removesuffix(".0").isdecimal() for cell in pairs.to_numpy().ravel()):
        return
    extent = tuple(int(pairs[name].astype(float).max()) for name in pairs.columns)
    if extent[::-1] in well_names.PLATES and len(pairs.drop_duplicates()) == extent[0] * extent[1]:
        row, column = pairs.columns
        raise ValueError(
            f"{path}: expected a plate of {extent[1]} rows and {extent[0]} columns, found {extent[0]} rows in {row!r} "
            f"and {extent[1]} columns in {column!r}: swap the names of the two columns, or write rows as letters"
        )


def _hint(columns: list[str]) -> str:
    """Return why a table has no column of wells, as part of a message."""
    if len(columns) == 1:
        return not_a_table.of_one_column(columns)
    first = [name for name in columns[:2] if well_names.is_well(name)]
    if first:
        return f" ({first[0]!r} is a well: is the line with the names of the columns missing, or begun with #?)"
    near = [name for name in columns if spellings.alike(platemap_columns.plain(name), "well")]
    return f" (is {near[0]!r} a slip of 'well'?)" if near else ""


def one_per_well(
    table: pd.DataFrame, found: Mapping[str, str], plate: str, path: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per well (column ``""``) of a table that may have a row per site, and the columns left out.

    The rows of a well agree in all columns that were recognised; other columns that differ within a well are left out.
    """
    twice = table[""].duplicated(keep=False)
    if not twice.any():
        return table.reset_index(drop=True), []
    content = [column for key, column in found.items() if key not in ("well", "row", "column", "plate")]
    kinds = table.groupby("", sort=False)[content].nunique(dropna=False) if content else pd.DataFrame()
    doubled = table.loc[twice, ""].unique()
    wrong = sorted(kinds.index[(kinds > 1).any(axis=1)]) if content else sorted(doubled)
    if not wrong and 2 * len(doubled) < table[""].nunique():  # a few doubled rows are a slip, not a row per site
        wrong = sorted(doubled)
    if wrong:
        raise ValueError(f"{plate}: expected a well once in {path}, found twice {wrong[:20]}")
    others = [column for column in table.columns if column and column not in found.values()]
    varied = table.groupby("", sort=False)[others].nunique(dropna=False).max() > 1
    left_out = [str(column) for column in varied.index[varied]]
    return table.drop_duplicates("").drop(columns=left_out).reset_index(drop=True), left_out
