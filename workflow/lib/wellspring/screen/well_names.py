"""Names of wells: the forms of files and platemaps are brought to one form (``A01`` ... ``AF48``)."""

import re

from wellspring.screen.lookalikes import folded, shown, tidy

ROWS = 32  # a 1536-well plate has the rows A to Z, AA to AF
COLUMNS = 48
PLATES = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))  # rows and columns
_WELL = re.compile(r"([A-Za-z]{1,2})\s*[-_]?\s*([0-9]{1,3})")
_PLACE = re.compile(r"r([0-9]{1,3})c([0-9]{1,3})", re.IGNORECASE)  # as Harmony names wells in its files
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?E[+-]?[0-9]+", re.IGNORECASE)  # E01 to E48 after digits, as a number
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00:00)?|[0-9]{1,2}[-. /]+[A-Za-z\u00e4]{3,9}\.?|[A-Z][a-z]{2}-[0-9]{2,4}"
)
_NORMALISED = re.compile(r"([A-Z]{1,2})([0-9]{2})")


def normalise(value: str) -> str:
    """Return a well in the form ``A01``; ``a1``, ``A1``, ``A-1``, ``A - 01``, ``A001``, ``r01c01`` are the same well.

    Raises
    ------
    ValueError
        The value is not a well of a 6- to 1536-well plate; it is in the message.

    Examples
    --------
    >>> normalise("b-3"), normalise("r02c03")
    ('B03', 'B03')
    """
    text = str(value).strip()
    place = _PLACE.fullmatch(text)
    if place is not None:
        return name(int(place[1]) - 1, int(place[2]) - 1, value=value)
    match = _WELL.fullmatch(text) or _WELL.fullmatch(folded(tidy(text)))
    if match is None:
        raise ValueError(
            f"well {shown(text[:40])}: expected a row of letters and a column number, as A01 or AF48{_reason(text)}"
        )
    return name(_row(match[1]), int(match[2]) - 1, value=value)


def is_well(value: str) -> bool:
    """Return whether a text is the name of a well."""
    try:
        normalise(value)
    except ValueError:
        return False
    return True


def join(row: str, column: str) -> str:
    """Return the well of a row (letters, or a number from 1) and a column (a number from 1)."""
    number = int(row) - 1 if str(row).isdigit() else _row(str(row))
    return name(number, int(column) - 1, value=f"{row},{column}")


def of_pair(row: object, column: object) -> str:
    """Return the well of two cells of a table, a row (letters, or a number from 1) and a column (a number from 1).

    Examples
    --------
    >>> of_pair("B", "3"), of_pair("2", "03")
    ('B03', 'B03')
    """
    letters, number = str(row).strip().removesuffix(".0"), str(column).strip().removesuffix(".0")
    if not re.fullmatch(r"[A-Za-z]{1,2}|[0-9]{1,2}", letters) or not re.fullmatch(r"[0-9]{1,3}", number):
        raise ValueError(f"well: expected a row of letters and a column number, found {row!r} and {column!r}")
    return join(letters, number)


def name(row: int, column: int, *, value: object = None) -> str:
    """Return the well at a row and column, counted from 0; ``value`` is the text that an error shows."""
    if not (0 <= row < ROWS and 0 <= column < COLUMNS):
        raise ValueError(f"well {value or (row, column)!r}: expected rows A to AF and columns 1 to {COLUMNS}")
    return f"{row_name(row)}{column + 1:02d}"


def numbered(number: int, rows: int, columns: int) -> str:
    """Return the well of a number from 1, counted along the rows of a plate.

    Raises
    ------
    ValueError
        The plate has no such number: numbers from 0, or of a larger plate.

    Examples
    --------
    >>> numbered(13, 8, 12), numbered(384, 16, 24)
    ('B01', 'P24')
    """
    if not 1 <= number <= rows * columns:
        raise ValueError(f"well {number}: expected a number from 1 to {rows * columns}, counted along the rows")
    return name((number - 1) // columns, (number - 1) % columns)


def row_name(row: int) -> str:
    """Return the letters of a row, counted from 0: A for 0, AF for 31."""
    return chr(ord("A") + row) if row < 26 else f"{chr(ord('A') + row // 26 - 1)}{chr(ord('A') + row % 26)}"


def position(well: str) -> tuple[int, int]:
    """Return row and column, counted from 0, of a well in the form ``A01``; `ValueError` for another name.

    Examples
    --------
    >>> position("B03")
    (1, 2)
    """
    match = _NORMALISED.fullmatch(well)
    if match is None:
        raise ValueError(f"well {well[:40]!r}: expected a row of letters and two digits, as A01 or AF48")
    return _row(match[1]), int(match[2]) - 1


def _reason(text: str) -> str:
    """Return what a text that is no well may be, as part of a message."""
    if not text:
        return ", found an empty cell"
    if _NUMBER.fullmatch(text) or _DATE.fullmatch(text):
        return " (a spreadsheet made a number or a date of it? give the column the format Text, and enter it again)"
    if re.fullmatch(r"[0-9]+", text):
        return " (wells by number: write their names, or row and column in two columns)"
    return ""


def _row(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
