"""Read the user's tables (plate sheets, platemaps, exclusion lists) as text, all by the same rules.

The separator (tab, comma or semicolon) is found in the header, not in the file's name. The text is UTF-8, or UTF-16
with a byte order mark, and may be packed by gzip. A line that begins with `#` is a comment; a `#` elsewhere is text.
Cells are text: `NA` and `null` are words, and an empty cell is the empty string.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import pandas as pd

from wellspring.io import budget, credentials
from wellspring.screen import not_a_table, workbook

LARGEST = 2**28  # bytes of a table that a person keeps; a platemap of 1,000 plates has some 50 MB
WORKBOOKS = (".xlsx", ".xlsm")
SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
Rows = list[tuple[int, list[str]]]  # line number and cells
ERRORS = ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!")  # of formulas, in Excel and its CSV
_FORCED = re.compile(r'\s*="([^"]*)"\s*')  # ="007": a number that a program marked as text for Excel
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read(path: Path | str, *, what: str = "table", refuse_secrets: bool = True) -> pd.DataFrame:
    r"""Read a table of text.

    Parameters
    ----------
    path
        A text file, or an Excel workbook (`.xlsx`) with one sheet that is not empty.
    what
        What the table is, for messages.
    refuse_secrets
        Refuse cells with credentials. A caller that takes some of them looks for the others itself.

    Returns
    -------
    DataFrame of str
        White space around names and cells is removed. The index `line` is each row's line (or row of the workbook).

    Raises
    ------
    ValueError
        Names the file and line, what was expected and what was found: no file, bytes that are not text, no header, a
        doubled or empty column name, a row of more cells than the header, credentials.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "plates.csv"
    >>> _ = path.write_text("# made by hand\nplate;cell_line\nP1;iPSC #3\n")
    >>> read(path).to_dict("index")
    {3: {'plate': 'P1', 'cell_line': 'iPSC #3'}}
    """
    found = sheets(path, what=what, refuse_secrets=refuse_secrets)
    if len(found) > 1:
        raise ValueError(f"{path}: expected a {what} in the only sheet of the workbook, found the sheets {list(found)}")
    return framed(next(iter(found.values())), path)


def sheets(path: Path | str, *, what: str = "table", refuse_secrets: bool = True) -> dict[str, Rows]:
    """Return the lines of a text file (under the name ``""``) or of each sheet of a workbook.

    Empty sheets that have the name of a new workbook's, as ``Sheet2``, are left out.
    Empty lines and comments are left out; white space around cells is removed. Raises as :func:`read`.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except OSError as error:  # a name that the file system does not take
        raise ValueError(f"{path}: expected the {what} here, found: {error.strerror}") from error
    if not there:
        found = "a folder" if path.is_dir() else "no such file"
        raise ValueError(f"{path}: expected the {what} here, found {found}")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: expected a {what} of at most {LARGEST} bytes, found {path.stat().st_size}")
    state = path.stat()
    return _filled(path, what, refuse_secrets, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _filled(path: Path, what: str, refuse_secrets: bool, changed: int, size: int) -> dict[str, Rows]:
    """Return the lines of each sheet; kept, since the plates of a screen often share one platemap."""
    book = path.suffix.lower() in WORKBOOKS
    if book:
        not_a_table.refuse_workbook(path, what)
    found_rows = _without_comments(workbook.rows(path, what)) if book else {"": _lines(path, what)}
    filled = {
        name: [(line, [cell.strip() for cell in cells]) for line, cells in rows if any(cell.strip() for cell in cells)]
        for name, rows in found_rows.items()
    }
    if not any(filled.values()):
        raise ValueError(f"{path}: expected a {what} with a header and rows, found no text")
    for name, rows in filled.items() if refuse_secrets else ():
        credentials.check_lines(rows, f"{path}: sheet {name}" if name else str(path))
    return {name: rows for name, rows in filled.items() if rows or not re.fullmatch(r"[^\W\d]+[2-9]", name)}


def framed(rows: Rows, path: Path | str) -> pd.DataFrame:
    """Return lines, of which the first is the header, as :func:`read` does."""
    rows = _without_blank_columns(rows)
    (_, head), *body = rows
    head = list(head)
    _check_head(head, Path(path))
    return pd.DataFrame(
        [_row(cells, head, f"{path}: line {line}") for line, cells in body],
        columns=head,
        index=pd.Index([line for line, _ in body], name="line", dtype=int),
        dtype=str,
    )


def _without_blank_columns(rows: Rows) -> Rows:
    """Leave out columns without a name and without a cell, as before or beside the table of a spreadsheet."""
    wide = max(len(cells) for _, cells in rows)
    filled = [place for place in range(wide) if any(place < len(cells) and cells[place] for _, cells in rows)]
    if len(filled) == wide:
        return rows
    return [(line, [cells[place] for place in filled if place < len(cells)]) for line, cells in rows]


def check_errors(cells: Iterable[str], where: str) -> None:
    """Refuse cells with the error of a formula, which would become a compound or a mechanism; `ValueError` names it."""
    wrong = sorted({cell for cell in cells if cell in ERRORS})
    if wrong:
        raise ValueError(f"{where}: expected values, found {wrong} of a formula that failed; correct or empty the cell")


def _is_comment(text: str) -> bool:
    return text.startswith("#") and not text.startswith(ERRORS)


def _without_comments(found: Mapping[str, Rows]) -> dict[str, Rows]:
    return {
        name: [(line, cells) for line, cells in rows if not (cells and _is_comment(cells[0]))]
        for name, rows in found.items()
    }


def separator(path: Path | str) -> str:
    """Return what separates the cells of a table: a tab, comma or semicolon; empty for a workbook."""
    path = Path(path)
    return "" if path.suffix.lower() in WORKBOOKS else _separator(_kept(path, "table"))[0]


def _lines(path: Path, what: str) -> Rows:
    separator, kept = _separator(_kept(path, what))
    # A quoted cell may span lines: the number of a row is that of its first line.
    reader = csv.reader(io.StringIO("\n".join(line for _, line in kept)), delimiter=separator, strict=True)
    rows, start = [], 0
    try:
        for cells in reader:
            rows.append((kept[start][0], [_FORCED.sub(r"\1", cell) for cell in cells]))
            start = reader.line_num
    except csv.Error as error:
        raise ValueError(
            f"{path}: line {kept[start][0]}: expected cells between {SEPARATORS[separator]}: {error}"
        ) from error
    return rows


def _kept(path: Path, what: str) -> list[tuple[int, str]]:
    """Return the lines of a file with their numbers, without comments and without empty lines at the beginning."""
    lines = _decoded(path, what).replace("\r\n", "\n").replace("\r", "\n").removesuffix("\x1a").split("\n")
    kept = [(number, line) for number, line in enumerate(lines, 1) if not _is_comment(line)]
    while kept and (kept[0][1].startswith('"#') or not kept[0][1].strip()):  # a comment that a spreadsheet saved
        kept.pop(0)
    return kept


def _separator(kept: list[tuple[int, str]]) -> tuple[str, list[tuple[int, str]]]:
    """Return the separator of the lines, and the lines without Excel's `sep=;`; a title may precede the header."""
    filled = [line for _, line in kept if line.strip()]
    stated = re.fullmatch(r"sep=(.)", filled[0].strip().strip('"')) if filled else None
    if stated and stated[1] in SEPARATORS:
        number = next(place for place, (_, line) in enumerate(kept) if line.strip())
        return stated[1], kept[number + 1 :]
    for line in filled[:5]:
        best = max(SEPARATORS, key=line.count)
        if line.count(best) > (line is not filled[0]):  # below a title, one separator may be a part of the text
            return best, kept
    return "\t", kept


def _decoded(path: Path, what: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: expected a {what} that can be read, found: {error.strerror}") from error
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data, path)
    not_a_table.refuse(data, path, what)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line}: expected UTF-8, found byte 0x{data[error.start]:02x}, which is no UTF-8 (Latin-1 or "
            "Windows-1252?); save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{path}: expected a {what} as text, found zero bytes (UTF-16 without a mark?); save it as UTF-8"
        )
    budget.check_cells(text, path)
    return text


def _unpacked(data: bytes, path: Path) -> bytes:
    """Return the content of a gzip file; `ValueError` for a damaged one, or one that is far larger unpacked."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            content = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a gzip file that can be unpacked, found: {error}") from error
    budget.within(len(content), LARGEST, budget.UNPACKED, path)
    return content


def _check_head(head: list[str], path: Path) -> None:
    doubled = sorted({name for name in head if name and head.count(name) > 1})
    if doubled:
        raise ValueError(f"{path}: expected each column once, found {doubled} more than once")
    while head and not head[-1]:  # a separator at the end of the line, as spreadsheets leave them
        head.pop()
    if "" in head:
        raise ValueError(
            f"{path}: expected a name for each column, found none for column {head.index('') + 1}; name it, or "
            "remove it if it holds row numbers"
        )


def _row(cells: list[str], head: list[str], where: str) -> list[str]:
    check_errors(cells, where)
    if any(cells[len(head) :]):
        hint = f" (a title above the header? remove the line {head[0]!r}, or begin it with #)" if len(head) == 1 else ""
        if any(re.fullmatch(r"[0-9]+", cell) for cell in cells[1:]) and len(cells) > len(head) > 1:
            hint = " (a decimal comma in a file with commas between cells? write a point, or put the number in quotes)"
        raise ValueError(
            f"{where}: expected {len(head)} cells as in the header, found {len(cells)}: {cells[len(head) :]}{hint}"
        )
    return [*cells, *[""] * (len(head) - len(cells))][: len(head)]
