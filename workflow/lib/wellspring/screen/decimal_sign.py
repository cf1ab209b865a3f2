"""Whether `1.000` is one or a thousand: decided by the other numbers of the file, or not at all.

A program that separates cells by commas writes points as decimal signs. Semicolons and tabs are those of spreadsheets
in languages that write 0,5 and 1.000, and of programs that write 0.5. A column of dates or times (12.03, 3.12.,
10.30) proves nothing.
"""

import re
from collections.abc import Iterable, Sequence

from wellspring.screen.lookalikes import folded

_DOUBTFUL = re.compile(r"[<>~=\s]*[+-]?[1-9][0-9]{0,2}\.[0-9]{3}(?![0-9.,])(?!\s*[eE][+-]?[0-9])")
_COMMA = re.compile(r"[<>~=\s]*[+-]?[1-9][0-9]{0,2},[0-9]{3}(?![0-9.,])")
# A unit may follow a number; `2,4-D` and `3.5-xylenol` are names, which have commas or points of another meaning.
_NUMBER = r"[+-]?(?:[0-9]+{0}[0-9]*|{0}[0-9]+)(?:[eE][+-]?[0-9]+)?(?:\s*(?:[^\W\d_]|[%(\[]).*)?"
_WITH_POINT, _WITH_COMMA = (re.compile(_NUMBER.format(re.escape(sign))) for sign in ".,")
_THOUSANDS = re.compile(
    r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}(?:,[0-9]+)?|[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+"
)
# Day and month, month and year, hours and minutes; a version or a section (1.2) looks like a day, too.
_MOMENT = re.compile(
    r"(?:0?[1-9]|[12][0-9]|3[01])\.(?:0?[1-9]|[12][0-9]|3[01])\.?(?![0-9])|(?:0?[1-9]|1[0-2])\.(?:19|20)[0-9]{2}(?![0-9])"
    r"|(?:19|20)[0-9]{2}\.(?:0?[1-9]|1[0-2])(?![0-9])|(?:[01]?[0-9]|2[0-3])\.[0-5][0-9](?![0-9])"
)


def doubtful(cells: Sequence[str | None], others: Iterable[Iterable[str | None]], *, separator: str) -> list[int]:
    """Return the places of numbers with a point that may separate thousands.

    Parameters
    ----------
    cells
        Numbers as text, perhaps with a unit.
    others
        The cells of each other column: numbers among them are evidence too, unless a column may hold dates or times.
    separator
        What separates the cells of the file; empty for a workbook, whose numbers are no text unless they end in 0.

    Examples
    --------
    >>> doubtful(["1.000", "30"], [["12.03"]], separator=";"), doubtful(["1.000", "30"], [["0.125"]], separator=";")
    ([0], [])
    """
    if separator == ",":
        return []
    texts = [folded(cell).strip() if cell else "" for cell in cells]
    found = [place for place, text in enumerate(texts) if _DOUBTFUL.match(text) and (separator or _typed(text))]
    if not found:
        return []
    columns = [[folded(cell).strip() for cell in column if cell] for column in others]
    known = [text for text in [*texts, *(text for column in columns for text in column)] if text]
    point = any(_points(texts)) or any(
        _points(column) and not all(map(_MOMENT.match, _points(column))) for column in columns
    )
    comma = any(_WITH_COMMA.fullmatch(text) and not _COMMA.match(text) for text in known)
    return [] if point and not comma and not any(map(_THOUSANDS.fullmatch, known)) else found


def _points(texts: Sequence[str]) -> list[str]:
    """Return the numbers with a point that separates no thousands."""
    return [text for text in texts if _WITH_POINT.fullmatch(text) and not _DOUBTFUL.match(text)]


def may_be(cells: Sequence[str | None]) -> bool:
    """Return whether any number has a point that may separate thousands, whatever the rest of the file shows."""
    return any(cell is not None and _DOUBTFUL.match(folded(cell).strip()) for cell in cells)


def _typed(text: str) -> bool:
    """Return whether a number in a workbook was entered as text: numbers have no zeros at their end."""
    return re.match(r"[^0-9]*[0-9]+\.[0-9]*0(?![0-9])", text) is not None
