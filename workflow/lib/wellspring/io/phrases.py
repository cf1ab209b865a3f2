"""Phrases that messages and pages share: a number with its noun, and a list of names cut short."""

from collections.abc import Iterable


def count(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural.

    >>> count(1, "plate"), count(2_304, "well"), count(2, "batch")
    ('1 plate', '2,304 wells', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun.

    >>> plural("cell line"), plural("batch")
    ('cell lines', 'batches')
    """
    return noun + ("es" if noun.endswith(("ch", "sh", "s", "x")) else "s")


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Return the first names in a row, and how many more there are.

    >>> listed(["A01", "A02", "A03"], limit=2)
    'A01, A02 and 1 more'
    """
    texts = [str(name) for name in names]
    more = f" and {len(texts) - limit:,} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
