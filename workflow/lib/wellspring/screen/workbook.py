"""Read the cells of Excel workbooks as text, as a person sees them.

A merged cell holds its value in each of its cells, except for a title that has its row for itself. A formula has the
value that Excel saved with it. A number has the zeros, the percent sign, the thousands and the words of its format
(`0012`, `5 nM`, `1.5 µM` for 1500). Hidden sheets are left out.
"""

import datetime
import re
import zipfile
from decimal import Decimal
from pathlib import Path

from wellspring.io import budget

Rows = list[tuple[int, list[str]]]  # number of the row and cells
MERGED_BYTES = 2**26  # unpacked, of a workbook with merged cells, which is held in memory
EXACT = 10**15  # numbers of a spreadsheet from here on are rounded to 15 digits
_SUFFIX = re.compile(r'(?:General|[#0.,?]+)((?:"[^"]*"|\\.|[ ]|_.)+)')  # of a format: words after the number
_THOUSANDS = re.compile(r"[0#?](,+)(?![0#?,.])|[0#?](,+)(?=\.)")  # commas behind the digits of a format, not between
_UNQUOTED = re.compile(r'_.|["\\]')
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
    hidden = [sheet.title for sheet in book.worksheets if sheet.sheet_state != "visible"]
    for sheet in (sheet for sheet in book.worksheets if sheet.title not in hidden):
        cells: list[list[str]] = []
        for values in sheet.iter_rows():
            count += len(values)
            budget.within(count, budget.CELLS, "cells", path)
            cells.append([_text(cell.value, cell.number_format) for cell in values])
        for area in sheet.merged_cells.ranges if merged else ():
            _fill(cells, area.bounds)
        found[sheet.title] = list(enumerate(cells, 1))
    if hidden and not any(cell for cells in found.values() for _, row in cells for cell in row):
        raise ValueError(f"{path}: expected a {what} in a visible sheet, found text in hidden sheets only: {hidden}")
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


def _text(value: object, form: str) -> str:
    """Return a cell of a workbook as a person sees it: 3.0 is 3, and 12 in the format `0000` is 0012."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return str(value).removesuffix(" 00:00:00")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    whole = not isinstance(value, float) or value.is_integer()
    text = str(int(value)) if whole else str(value)
    if whole and abs(value) >= EXACT:  # rounded when it was typed: shown as such, names of this form are refused
        return f"{value:.5E}"
    if re.sub(r'"[^"]*"|\\.', "", form).rstrip().endswith("%"):
        return f"{(Decimal(text) * 100).normalize():f}%"
    if re.fullmatch("0{2,}", form) and whole:
        return text.zfill(len(form))
    form = form.split(";", maxsplit=1)[0]
    scaled = _THOUSANDS.search(re.sub(r'"[^"]*"|\\.', "", form))
    if scaled:
        text = f"{Decimal(text).scaleb(-3 * len(scaled[1] or scaled[2])).normalize():f}"
    words = _SUFFIX.fullmatch(form)
    return " ".join([text, *_UNQUOTED.sub("", words[1]).split()]) if words else text
