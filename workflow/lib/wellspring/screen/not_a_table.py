"""Files that are called a table and are none: what they are by their first bytes, and how to save a table instead."""

import re
from collections.abc import Sequence
from pathlib import Path

from wellspring.screen import well_names

SAVE = "save it as .xlsx or CSV (UTF-8)"
_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PACKED = b"PK\x03\x04"
# First bytes -> what the file is, and what to do.
_KINDS = (
    (b"%PDF", "a PDF; save the table as CSV (UTF-8)"),
    (b"{\\rtf", "a document in RTF; save it as plain text in UTF-8"),
    (b"PAR1", "a Parquet file; write it as CSV"),
    (b"\x89HDF\r\n", "an HDF5 file; write it as CSV"),
)


def refuse(data: bytes, path: Path, what: str) -> None:
    """Refuse the bytes of a file that is no text.

    Raises
    ------
    ValueError
        Names the file, what it is and what to do.
    """
    found = next((words for head, words in _KINDS if data.startswith(head)), None)
    if data.startswith(_OLD):
        locked = b"E\0n\0c\0r\0y\0p\0t\0" in data
        kind = "a workbook with a password; remove it, and " if locked else "a workbook of Excel 97 to 2003 (.xls); "
        found = kind + SAVE
    elif data[:2] == b"PK":
        found = "a workbook or archive; give Excel files the ending .xlsx"
        if b"opendocument" in data[:200]:
            found = f"an OpenDocument spreadsheet (.ods); {SAVE}"
    elif re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|table|workbook)", data[:200], re.IGNORECASE):
        found = f"a web page or XML, as some programs write under the ending .xls; open it in Excel, and {SAVE}"
    elif re.match(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*"', data[:200]):
        found = "JSON; write it as CSV"
    if found is not None:
        raise ValueError(f"{path}: expected a {what} as text, found {found}")


def refuse_workbook(path: Path, what: str) -> None:
    """Refuse a file with the ending of a workbook that is another kind of file; errors as :func:`refuse`."""
    with path.open("rb") as file:
        head = file.read(2**16)
    if not head.startswith(_PACKED):
        refuse(head, path, what)
        raise ValueError(f"{path}: expected an Excel workbook, found another kind of file; give text the ending .csv")


def of_one_column(names: Sequence[str]) -> str:
    """Return why a header has one column, as part of a message; empty where nothing else separates its names.

    Examples
    --------
    >>> of_one_column(["plate|well"]), of_one_column(["plate", "well"])
    ('; names are separated by `|`: expected a tab, comma or semicolon', '')
    """
    if len(names) != 1:
        return ""
    head = names[0]
    if re.search(r"[,;\t]", head):
        return "; each line is in quotes as a whole: remove the quotes around the lines"
    if "|" in head:
        return "; names are separated by `|`: expected a tab, comma or semicolon"
    return "; names must be separated by a tab, comma or semicolon" if re.search(r"\S\s+\S", head) else ""


def of_header(names: Sequence[str]) -> str:
    """Return what is wrong with the header of a table of profiles, as part of a message; empty where nothing is known.

    Examples
    --------
    >>> of_header(["feature", "A01", "A02", "B01"]), of_header(["plate", "well", "area"])
    ('; wells are columns: transpose the table, so that each well is a row', '')
    """
    few = of_one_column(names)
    if few or not names:
        return few
    half = len(names) / 2
    if all(re.fullmatch(r"'.*'", name.strip()) for name in names):
        return "; names are in single quotes: write double quotes, or none"
    if sum(bool(re.fullmatch(r"-?\d*\.\d+(?:[eE][-+]?\d+)?", name.strip())) for name in names) >= half:
        return "; the first line holds values: write the names of the columns above them"
    wells = [well_names.normalise(name) for name in names if well_names.is_well(name)]
    if len(wells) >= half and len({well_names.position(name)[0] for name in wells}) > 1:
        return "; wells are columns: transpose the table, so that each well is a row"
    if len(set(names)) <= half:
        return "; names repeat: remove lines above the header, or transpose the table, so that each well is a row"
    return ""
