"""Parse the values of vendors' tables: counts, real numbers, and channel names that may repeat."""

import math
from collections import Counter
from collections.abc import Mapping

DIGITS = 9  # of a count; no plate has 10^9 of anything


def count(text: str) -> str:
    """Return the text of a count without leading zeros.

    Raises
    ------
    ValueError
        The text is not a count.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > DIGITS:
        raise ValueError(f"expected a count, found {text[:20]!r}")
    return str(int(text))


def real(text: str | None) -> float:
    """Return a real number; NaN if the text is not a number or not finite."""
    try:
        value = float(text or "nan")
    except ValueError:
        return float("nan")
    return value if math.isfinite(value) else float("nan")


def distinct(names: Mapping[str, str], *, nameless: str = "{}", repeated: str = "{}_{}") -> dict[str, str]:
    """Return a unique name for each channel's number.

    Parameters
    ----------
    names
        Number of a channel -> the vendor's name, which is kept if it is unique.
    nameless, repeated
        Format of the name of a channel without one (from the number), and with a repeated one (from name and number).
    """
    labels = {number: name or nameless.format(number) for number, name in names.items()}
    while shared := {label for label, times in Counter(labels.values()).items() if times > 1}:
        labels = {
            number: repeated.format(label, number) if label in shared else label for number, label in labels.items()
        }
    return labels
