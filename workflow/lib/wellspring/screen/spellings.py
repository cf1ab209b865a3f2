"""Names that may be slips: two spellings of one compound or cell line, and words for a value that is not known."""

import html
import re
from collections.abc import Iterable, Mapping

from wellspring.screen.dose_units import flat

# Flat spellings of an empty cell. Read as names they would be one compound, or one mechanism of many compounds.
PLACEHOLDERS = frozenset(
    ("na", "n/a", "nan", "none", "null", "unknown", "unk", "notknown", "unclear", "tbd", "tba", "missing", "undefined",
     "notavailable", "notapplicable", "notannotated", "nd", "notdetermined", "novalue", "other", "various", "")
)  # fmt: skip
SHORTEST = 5  # letters of a name, from which one wrong letter is taken for a slip
LETTERED = re.compile(r"[^A-Za-z][A-Za-z]$")  # `compound 7a` and `compound 7b`, `siRNA_A` and `siRNA_B` are two
NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")  # of a few digits: longer ones are identifiers
RARE = 4  # times as many wells has the usual spelling


def placeholders(names: Iterable[str]) -> list[str]:
    """Return the names that stand for no value.

    Examples
    --------
    >>> placeholders(["taxol", "N/A", "-", "unknown"])
    ['-', 'N/A', 'unknown']
    """
    return sorted(name for name in set(names) if flat(name) in PLACEHOLDERS)


def shown(names: Iterable[str]) -> list[str]:
    """Return names for a sentence: those that could be read as its own words are in quotes.

    Examples
    --------
    >>> shown(["DMSO", "none"])
    ['DMSO', "'none'"]
    """
    return [f"'{name}'" if placeholders([name]) else name for name in names]


def variants(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return pairs of a rarer and a usual spelling.

    They differ in case, spaces and punctuation alone, by a wrong encoding, are one number in two forms (`7` and `07` or
    `7.0`), or differ in one letter where the rarer one has a quarter of the wells at most. Other names that differ in a
    digit, or in a letter that counts them, are different names.

    Parameters
    ----------
    counts
        Name to the number of its wells.

    Examples
    --------
    >>> variants({"nocodazole": 40, "nocadazole": 1, "U2OS": 9, "U-2 OS": 3, "PP242": 8, "PP243": 1, "7": 2, "7.0": 1})
    [('7.0', '7'), ('U-2 OS', 'U2OS'), ('nocadazole', 'nocodazole')]
    >>> variants({"\u03b2-estradiol": 8, "\u00ce\u00b2-estradiol": 2, "&beta;-estradiol": 1}) == [
    ...     ("&beta;-estradiol", "\u03b2-estradiol"), ("\u00ce\u00b2-estradiol", "\u03b2-estradiol")]
    True
    """
    by_flat: dict[str, list[str]] = {}
    for name in counts:
        key = str(float(name)) if NUMBER.fullmatch(name) else flat(_repaired(name))
        by_flat.setdefault(key, []).append(name)
    found = []
    for group in by_flat.values():
        usual = max(group, key=lambda name: (counts[name], name))
        found += [(name, usual) for name in group if name != usual]
    wells = {plain: sum(counts[name] for name in group) for plain, group in by_flat.items()}
    words = [plain for plain in by_flat if len(plain) >= SHORTEST]
    shortened: dict[str, list[str]] = {}
    for word in words:
        for short in {word[:place] + word[place + 1 :] for place in range(len(word))} | {word}:
            shortened.setdefault(short, []).append(word)
    pairs = {(rare, usual) for group in shortened.values() for rare in group for usual in group if rare != usual}
    for rare, usual in pairs:
        names = by_flat[rare][0], by_flat[usual][0]
        if RARE * wells[rare] <= wells[usual] and _one_letter(rare, usual) and not all(map(LETTERED.search, names)):
            found.append(names)
    return sorted(found)


def _repaired(name: str) -> str:
    """Return a name without the marks of HTML, and with the letters that were read in another encoding than written."""
    text = html.unescape(name)
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


def alike(name: str, other: str) -> bool:
    """Return whether two different names have one flat spelling, or one is a slip of the other.

    A slip is one letter of five or more, or two letters of three or more in reverse order.

    Examples
    --------
    >>> alike("Cell Line", "cell_line"), alike("cell_lnie", "cell_line"), alike("dsoe", "dose"), alike("cond", "conc")
    (True, True, True, False)
    """
    one, two = flat(name), flat(other)
    short = min(len(one), len(two))
    slip = _one_letter(one, two) and (short >= SHORTEST or (short >= 3 and sorted(one) == sorted(two)))
    return name != other and (one == two or slip)


def _one_letter(one: str, other: str) -> bool:
    """Return whether two texts differ in one letter: another one, one more or less, or two in reverse order."""
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    left, right = one[start:], other[start:]
    end = 0
    while end < min(len(left), len(right)) and left[-1 - end] == right[-1 - end]:
        end += 1
    a, b = left[: len(left) - end], right[: len(right) - end]
    swapped = len(a) == len(b) == 2 and a == b[::-1]
    return (swapped or max(len(a), len(b)) <= 1) and (a + b).isalpha()
