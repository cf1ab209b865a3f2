"""Foreign tables in Excel workbooks, read as platemaps and sheets are (:mod:`wellspring.screen.text_table`)."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from wellspring.encoders.table_text import NOTHING
from wellspring.screen import text_table

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?inf", re.IGNORECASE)
_COMMA = re.compile(r"-?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def is_workbook(path: Path) -> bool:
    """Return whether a file is a workbook of Excel 2007 and later."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/workbook") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def read(path: Path) -> pa.Table:
    """Return the only sheet of a workbook that is not empty; columns of numbers are integers or floats.

    Columns `Metadata_*` are text, and so are those with leading zeros. A first column without a name that counts the
    rows, as pandas writes it, is left out.

    Raises
    ------
    ValueError
        As `text_table.read`; the file has another ending than a workbook's.
    """
    if path.suffix.lower() not in text_table.WORKBOOKS:
        endings = " or ".join(text_table.WORKBOOKS)
        raise ValueError(
            f"{path}: expected an Excel workbook with the ending {endings}, found {path.suffix!r}: rename it"
        )
    sheets = text_table.sheets(path, what="table of profiles")
    if len(sheets) > 1:
        raise ValueError(
            f"{path}: expected the table in the only sheet of the workbook, found the sheets {list(sheets)}: remove or "
            "hide the others"
        )
    frame = text_table.framed(_without_counter(next(iter(sheets.values()))), path)
    return pa.table({str(name): _column(str(name), frame[name].tolist()) for name in frame})


def _without_counter(rows: text_table.Rows) -> text_table.Rows:
    (_, head), *body = rows
    first = [cells[0] if cells else "" for _, cells in body]
    counts = any(first == [str(start + n) for n in range(len(body))] for start in (0, 1))
    return [(line, cells[1:]) for line, cells in rows] if body and not head[0] and counts else rows


def _column(name: str, cells: Sequence[str]) -> pa.Array:
    values = [None if cell in NOTHING else cell for cell in cells]
    known = [value for value in values if value is not None]
    if name.startswith(("Metadata_", "Image_Metadata_")):
        return pa.array(values, pa.string())
    if known and all(map(_WHOLE.fullmatch, known)):
        return pa.array([None if value is None else int(value) for value in values], pa.int64())
    if any("," in value for value in known) and all(map(_COMMA.fullmatch, known)):
        values = [None if value is None else value.replace(",", ".") for value in values]
        known = [value for value in values if value is not None]
    zeros = any(re.match(r"-?0[0-9]", value) for value in known)
    if not zeros and all(map(_NUMBER.fullmatch, known)):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array(values, pa.string())
