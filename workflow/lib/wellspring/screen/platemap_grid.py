"""Platemaps drawn as plates: a header of column numbers, then a line per row that begins with its letter.

Each grid is one variable. Its name is the text in its upper left corner, or the line above, or the name of the
workbook's sheet. Several grids lie below each other, or in several sheets. A grid that has the name of the plate holds
its compounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from wellspring.screen import dose_columns, platemap_columns, text_table, well_names

Rows = list[tuple[int, list[str]]]  # line number and cells
CORNERS = ("", "row", "rows", "well", "/", "row/col", "row/column", "rows/columns", "plate")


@dataclass(frozen=True)
class Grid:
    """One grid: ``name`` (empty if none is given), ``line``, and ``wells``: well to the text of its cell."""

    name: str
    line: int
    height: int
    width: int
    wells: Mapping[str, str]


def find(rows: Rows) -> list[Grid]:
    """Return the grids among the lines of a table, none if it is not drawn as a plate."""
    grids: list[Grid] = []
    place, end = 0, 0
    while place < len(rows):
        width = _width(rows[place][1])
        height = _height(rows, place + 1) if width else 0
        if not width or not height:
            place += 1
            continue
        wells = {
            well_names.name(row, column): _cell(rows[place + 1 + row][1], column + 1)
            for row in range(height)
            for column in range(width)
        }
        grids.append(Grid(_name(rows, place, end), rows[place][0], height, width, wells))
        place = end = place + 1 + height
    return grids


def _check_width(rows: Rows, width: int, where: str) -> None:
    """Refuse a row with a cell beside the last column of its header: it would be left out."""
    wide = {line: _cell(cells, width + 1) for line, cells in rows}
    beyond = {line: cell for line, cell in wide.items() if cell}
    letters = [_cell(cells, 0) for _, cells in rows]
    if beyond and list(wide.values()) != letters:  # letters may be repeated at the right
        line, cell = next(iter(beyond.items()))
        raise ValueError(
            f"{where}: line {line}: expected {width} cells as in the header of the grid, found {cell!r} in column "
            f"{width + 1}: number this column in the header, or leave a blank column before a legend"
        )


def check(rows: Rows, grids: list[Grid], *, where: str) -> None:
    """Refuse cells of a plate that would be left out silently: rows below no header, columns without a number.

    Raises
    ------
    ValueError
        Names the line and what a header is.
    """
    places = {line: place for place, (line, _) in enumerate(rows)}
    inside = {place for grid in grids for place in range(places[grid.line], places[grid.line] + grid.height + 1)}
    for grid in grids:
        first = places[grid.line] + 1
        _check_width(rows[first : first + grid.height], grid.width, where)
    width = min(grid.width for grid in grids)
    for place, (line, cells) in enumerate(rows):
        letter = cells[0].strip().upper() if cells else ""
        letters = {well_names.row_name(row) for row in range(well_names.ROWS)}
        if place not in inside and letter in letters and len([cell for cell in cells[1:] if cell.strip()]) > width // 3:
            above = rows[place - 1][1][:6] if place else []
            raise ValueError(
                f"{where}: line {line}: expected the row {letter} of a grid to follow its row above, or a header with "
                f"the numbers of the columns, 1, 2, 3, ..., found it below {above}"
            )


def of_plate(sheets: Mapping[str, list[Grid]], plate: str) -> dict[str, list[Grid]]:
    """Return the grids without those of other plates: all, unless one has the plate's name and holds its compounds."""
    if not any(grid.name == plate for found in sheets.values() for grid in found):
        return dict(sheets)
    return {
        sheet: [
            replace(grid, name="compound") if grid.name == plate else grid
            for grid in found
            if grid.name == plate or _is_variable(grid.name)
        ]
        for sheet, found in sheets.items()
    }


def joined(sheets: Mapping[str, list[Grid]], *, where: str) -> tuple[pd.DataFrame, str]:
    """Return a row per well and a column per grid (text, or None), and the form as words, as `grids of 8 x 12`.

    Raises
    ------
    ValueError
        Grids of different size, two grids of one name, or several of which one has no name.
    """
    named: dict[str, Grid] = {}
    several = sum(map(len, sheets.values())) > 1
    for sheet, grids in sheets.items():
        for grid in grids:
            name = grid.name or (sheet if len(grids) == 1 and several else "")
            if not name and several:
                raise ValueError(
                    f"{where}: line {grid.line}: expected the name of the variable (compound, concentration, ...) in "
                    "the corner of the grid or on the line above, found none"
                )
            if name in named:
                raise ValueError(
                    f"{where}: line {grid.line}: expected one grid of {name!r}, found one at line {named[name].line}"
                )
            named[name] = grid
            text_table.check_errors(grid.wells.values(), f"{where}: grid at line {grid.line}")
    sizes = {f"{grid.height} x {grid.width}": name for name, grid in named.items()}
    if len(sizes) > 1:
        raise ValueError(f"{where}: expected grids of one size, found {sizes}")
    if not several:  # the only grid of a plate holds its compounds, unless its name is another known one
        ((name, grid),) = named.items()
        named = {name if _is_variable(name) else "compound": grid}
    first = next(iter(named.values()))
    table = pd.DataFrame({"well": list(first.wells)}, dtype=object)
    for name, grid in named.items():
        table[name] = [grid.wells[well] or None for well in table["well"]]
    return table, f"{len(named)} grid{'s' * (len(named) > 1)} of {first.height} x {first.width}"


def _is_variable(name: str) -> bool:
    """Return whether a name is a usual one of a variable, as of compounds or doses."""
    known = {each for names in platemap_columns.SURE.values() for each in names}
    return platemap_columns.plain(name) in known or bool(dose_columns.dose_names(pd.DataFrame(columns=[name])))


def _width(cells: list[str]) -> int:
    """Return the number of columns that a header counts from 1, 0 if the line is no header of a grid."""
    body = [cell.strip().removesuffix(".0") for cell in cells[1:]]
    while body and not body[-1]:
        body.pop()
    if "" in body and not any(cell.isdecimal() for cell in body[body.index("") :]):  # a legend beside the grid
        body = body[: body.index("")]
    if len(body) < 2 or len(body) > well_names.COLUMNS:
        return 0
    return len(body) if all(cell.isdecimal() and int(cell) == place for place, cell in enumerate(body, 1)) else 0


def _height(rows: Rows, start: int) -> int:
    """Return the number of lines from `start` that begin with A, B, C, ..."""
    height = 0
    while start + height < len(rows) and height < well_names.ROWS:
        cells = rows[start + height][1]
        if not cells or cells[0].strip().upper() != well_names.row_name(height):
            break
        height += 1
    return height


def _name(rows: Rows, place: int, end: int) -> str:
    """Return the name of the grid whose header is at `place`; the grid before it ends before `end`."""
    corner = _cell(rows[place][1], 0)
    if corner.casefold() not in CORNERS:
        return corner
    above = [cell.strip() for cell in rows[place - 1][1] if cell.strip()] if place > end else []
    return above[0].rstrip(":") if len(above) == 1 else ""


def _cell(cells: list[str], place: int) -> str:
    return cells[place].strip() if place < len(cells) else ""
