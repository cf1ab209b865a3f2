"""Read the cells of Excel workbooks as text, as a person sees them.

A merged cell holds its value in each of its cells, except for a title that has its row for itself. A formula has the
value that Excel saved with it.
"""

import re
import zipfile
from pathlib import Path

from wellspring.io import budget

Rows = list[tuple[int, list[str]]]  # number of the row and cells
MERGED_BYTES = 2**26  # unpacked, of a workbook with merged cells, which is held in memory
_FORMULA = re.compile(
    rb'<c (?=[^>]*\br="([A-Z]+[0-9]+)")(?![^>]*\bt="str")[^>]*>\s*<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*'
    rb"(?:<v\s*/>|<v>\s*</v>)?\s*</c>"
)


def rows(path: Path, what: str) -> dict[str, Rows]:
    """Return the rows of each sheet.

    Raises
    ------
    ValueError
        Names the file: it is no workbook, too large, or has formulas without a value.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise ValueError(
            f"{path}: expected the package openpyxl for Excel files: pip install openpyxl, or save as CSV"
        ) from error
    try:
        budget.check_workbook(path)
        merged = _inspected(path, what)
        book = openpyxl.load_workbook(path, read_only=not merged, data_only=True)
    except (budget.OverBudgetError, NoValueError):
        raise
    except Exception as error:  # a damaged workbook raises what its parts raise
        raise ValueError(f"{path}: expected an Excel workbook, found {type(error).__name__}: {error}") from error
    found: dict[str, Rows] = {}
    count = 0
    for sheet in book.worksheets:
        cells: list[list[str]] = []
        for values in sheet.iter_rows(values_only=True):
            count += len(values)
            budget.within(count, budget.CELLS, "cells", path)
            cells.append([_text(value) for value in values])
        for area in sheet.merged_cells.ranges if merged else ():
            _fill(cells, area.bounds)
        found[sheet.title] = list(enumerate(cells, 1))
    return found


class NoValueError(ValueError):
    """A formula whose value is not in the file."""


def _inspected(path: Path, what: str) -> bool:
    """Return whether a workbook has merged cells; `NoValueError` for a formula whose value is not saved."""
    merged = False
    with zipfile.ZipFile(path) as archive:
        parts = [part for part in archive.infolist() if part.filename.startswith("xl/worksheets/")]
        for part in parts:
            data = archive.read(part)
            merged |= b"<mergeCell " in data
            lost = _FORMULA.search(data) if b"<f" in data else None
            if lost:
                raise NoValueError(
                    f"{path}: expected a {what} with the values of its formulas, found none for cell "
                    f"{lost[1].decode()} of {Path(part.filename).stem}; open it in Excel or LibreOffice, and save it"
                )
        if merged:
            budget.within(sum(part.file_size for part in parts), MERGED_BYTES, budget.UNPACKED, path)
    return merged


def _fill(cells: list[list[str]], bounds: tuple[int, int, int, int]) -> None:
    """Write the value of a merged area (columns and rows from 1, both ends in it) in all its cells."""
    left, top, right, bottom = bounds
    first = cells[top - 1] if top <= len(cells) else []
    if not any(cell.strip() for cell in [*first[: left - 1], *first[right:]]):
        return  # a title, which has its row for itself
    for row in cells[top - 1 : bottom]:
        row[left - 1 : right] = [first[left - 1]] * len(row[left - 1 : right])


def _text(value: object) -> str:
    """Return a cell of a workbook as a person sees it: 3.0 is 3."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
