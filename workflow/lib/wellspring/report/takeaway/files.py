"""Write tables for people: CSV files, and one Excel workbook whose bytes depend on nothing but the tables."""

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from wellspring.io import spreadsheet
from wellspring.io.tables import atomic

WIDEST = 40  # characters of the widest column
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can hold
ROWS = 100_000  # rows of the longest sheet: Excel holds ten times as many, and opens few
CELL = 32_767  # characters that a cell of Excel holds


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV, numbers with six digits; text that a spreadsheet would run as a formula is text."""
    with atomic(path) as temporary:
        spreadsheet.as_text(frame).to_csv(temporary, index=False, float_format="%.6g")


def write_workbook(sheets: Mapping[str, pd.DataFrame], path: str | Path) -> None:
    """Write tables as the sheets of an Excel workbook, with a fixed head row and a filter.

    A table of more than `ROWS` rows is a sheet that names its file `NAME.csv`.
    """
    book = Workbook()
    book.remove(book.active)
    for name, frame in sheets.items():
        if len(frame) > ROWS:
            frame = pd.DataFrame({name: [f"{len(frame):,} rows are too many for a workbook: they are in {name}.csv"]})
        _fill(book, name, spreadsheet.as_text(frame))
    raw = io.BytesIO()
    book.save(raw)
    with atomic(path) as temporary, zipfile.ZipFile(raw) as given, zipfile.ZipFile(temporary, "w") as kept:
        for entry in sorted(given.namelist()):
            data = given.read(entry)
            if entry == "docProps/core.xml":  # the time at which it was written
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", data)
            kept.writestr(zipfile.ZipInfo(entry, EPOCH), data, compress_type=zipfile.ZIP_DEFLATED)


def _fill(book: Workbook, name: str, frame: pd.DataFrame) -> None:
    sheet = book.create_sheet(name)
    sheet.append([str(column) for column in frame.columns])
    for row in frame.itertuples(index=False):
        sheet.append([_value(value) for value in row])
    sheet.freeze_panes = "B2"
    if len(frame):
        sheet.auto_filter.ref = sheet.dimensions
    for number, column in enumerate(frame.columns, start=1):
        shown = [str(column), *(str(_value(value)) for value in frame[column].head(200))]
        sheet.column_dimensions[get_column_letter(number)].width = min(WIDEST, 2 + max(map(len, shown)))
        sheet.cell(1, number).font = Font(bold=True)


def _value(value: object) -> object:
    """Return a cell's value: nothing for a missing one, six digits of a number, text that Excel can hold."""
    if isinstance(value, str):
        return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "\ufffd", value)[:CELL]
    if value is None or pd.isna(value):
        return None
    if isinstance(value, bool | int):
        return value
    number = float(f"{float(str(value)):.6g}")
    return number if abs(number) != float("inf") else str(number)
