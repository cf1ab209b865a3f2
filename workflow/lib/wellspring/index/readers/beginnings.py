"""Judge whether the files of one folder, whose names begin differently before the well, are of one plate.

Of one plate are beginnings that differ by what each well has of its own: a stamp of date and time, a GUID, a number
that runs on from well to well, or, of three wells and more, a name. Of several plates are beginnings of several wells
each, those that differ in the number after a word for plates (`P1`, `plate_2`) or in a date without time, and two other
names. That no well exists twice is no reason to join them.
"""

import logging
import re
from collections.abc import Iterator, Sequence

import pandas as pd

from wellspring.screen import well_names

logger = logging.getLogger(__name__)

FEW, MANY = 3, 8  # wells from which a name, or a number, of each well is more likely than as many plates of one well
# Words that number plates and measurements, which a part's name may hold too: `P1 DNA` and `P2 ER` are two plates.
_WORDS = (
    r"(?<![a-z0-9])(?:[a-z]*(?:plate|platte|plaque|placa)|plt|pl|p|br|barcode|bc|day|d|week|wk|run|batch|experiment|exp|"
    r"replicate|rep|screen|donor|slide|chip|dish|set)"
)
_PLATES = re.compile(rf"(?i)({_WORDS})[ _#-]*0*([0-9]+)(?![0-9])")
_PLATE_BEFORE = re.compile(rf"(?i){_WORDS}[ _#-]*$")
_DAY = (
    r"(?:(?:19|20)[0-9]{2}[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12][0-9]|3[01])|"
    r"[0-9]{1,2}[-_. ]?(?:jan|feb|m[a\u00e4]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]{0,6}[-_. ]?"
    r"(?:19|20)[0-9]{2}|"
    r"[0-3]?[0-9](?:-[0-3]?[0-9]-|_[0-3]?[0-9]_|\.[0-3]?[0-9]\.)(?:19|20)[0-9]{2})"
)
_DATE = re.compile(rf"(?i)(?<![0-9]){_DAY}(?![0-9])")
_STAMPS = re.compile(
    r"(?i)[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"  # GUID
    rf"|(?<![a-z0-9])(?!{_DAY}(?![a-z0-9]))(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{{8,}}(?![a-z0-9])"  # hash
    rf"|(?<![a-z0-9]){_DAY}(?:[t _.-]*|[ _.-]+at[ _.-]+)[0-9]{{1,2}}[-_.: h]?[0-9]{{2}}(?:[-_.: m]?[0-9]{{2}})?"
    r"(?:[.,_][0-9]{1,6})?(?:s|z| ?[ap]m)?(?![a-z0-9])"
    r"|(?<![a-z0-9])1[0-9]{9}(?:[0-9]{3})?(?![a-z0-9])"  # seconds or milliseconds since 1970
    r"|(?<![a-z0-9])t[0-9]{4}(?:[0-9]{2})?(?![a-z0-9])|(?<![a-z0-9])[0-9]{1,2}h[0-9]{2}m?(?:[0-9]{2}s?)?(?![a-z0-9])"
)
_TOKEN = re.compile(rf"(?i)(?<![0-9]){_DAY}(?![0-9])|[0-9]+|[^0-9]+")


def of_plates(heads: pd.Series, planes: pd.DataFrame, *, plate: str, keys: Sequence[str]) -> pd.Series | None:
    """Return the name of the plate or measurement of each plane, or None if all are of one.

    Parameters
    ----------
    heads
        How the name of each plane's file begins, before the well, in small letters.
    planes
        As ``listing.complete``.
    plate
        For the log.
    keys
        Columns that identify a plane.

    Examples
    --------
    >>> planes = pd.DataFrame({"well": ["A01", "A02"]})
    >>> of_plates(pd.Series(["p1", "p2"]), planes, plate="x", keys=["well"]).tolist()
    ['p1', 'p2']
    >>> of_plates(pd.Series(["20240131t1201", "20240131t1203"]), planes, plate="x", keys=["well"]) is None
    True
    """
    if heads.nunique() < 2 or _copied(heads, planes, keys):
        return None
    wells = planes["well"]
    bare = _without_stamps(heads, wells)
    cores = _without_running(bare, wells)
    if cores.nunique() < 2:
        if 1 < bare.nunique() < MANY:  # so few may be in the order of the wells by chance
            _warn(bare, "numbers", plate)
        return None
    several = wells.groupby(cores).transform("nunique") > 1
    days = {match[0] for core in cores.unique() for match in _DATE.finditer(core)}
    if several.any() or numbers_differ(cores.unique()) or len(days) > 1 or cores.nunique() < FEW:
        return cores
    _warn(cores, "names", plate)
    return None


def _warn(heads: pd.Series, what: str, plate: str) -> None:
    logger.warning(
        "%s: %d beginnings of file names with one well each, as %s, are taken for %s of the wells of one plate (if "
        "they are of several plates, give each a folder of its own, or name it by a group plate in index.pattern)",
        plate, heads.nunique(), sorted(heads.unique())[:4], what,
    )  # fmt: skip


def numbers_differ(names: Sequence[str]) -> bool:
    """Return whether a word that numbers plates has different numbers in several names.

    Examples
    --------
    >>> numbers_differ(["P1 DNA", "P2 ER"]), numbers_differ(["P1 DNA", "P1 ER"])
    (True, False)
    """
    found: dict[str, set[str]] = {}
    for name in names:
        for word, number in of_words(name).items():
            found.setdefault(word, set()).add(number)
    return any(len(numbers) > 1 for numbers in found.values())


def of_words(name: str) -> dict[str, str]:
    """Return word to number, of the words in a name that number plates."""
    return {word.casefold(): number for word, number in _PLATES.findall(name)}


def _copied(heads: pd.Series, planes: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Return whether beginnings but the commonest are of one well each, and of copied files: planes exist twice.

    The checks of planes name these. A name with more text before the commonest beginning counts as a copy, too;
    without a separator between them, where the commonest is a word of several wells.
    """
    few, counts = planes.groupby(heads)["well"].transform("nunique") < 2, heads.value_counts()
    common = min(counts.index[counts == counts.max()], key=len)
    word = re.compile(rf"(?<![a-z0-9]){re.escape(common)}(?![a-z0-9])")
    longer = heads.map(lambda head: common != "" and word.search(head) is not None)
    if len(common) >= FEW and common[0].isalpha() and not few[heads == common].any():
        longer |= heads.str.endswith(common)
    twice = planes.duplicated([*keys], keep=False) & (not few[heads == common].any())
    return bool((few & (twice | longer))[heads != common].all())


def _without_stamps(heads: pd.Series, wells: pd.Series) -> pd.Series:
    """Return beginnings without date and time, GUID or hash, where each such beginning is of one well."""
    bare = heads.map({head: _STAMPS.sub("", head) for head in heads.unique()})
    stamped = bare != heads
    if not stamped.any() or (wells[stamped].groupby(heads[stamped]).nunique() > 1).any():
        return heads
    return bare.map(_trimmed)


def _without_running(heads: pd.Series, wells: pd.Series) -> pd.Series:
    """Return beginnings without the numbers that run on from well to well."""
    tokens = {head: _TOKEN.findall(head) for head in heads.unique()}
    kinds = {tuple(token.isdigit() and not _DATE.fullmatch(token) for token in each) for each in tokens.values()}
    if len(kinds) > 1:
        return heads
    for place, digits in enumerate(next(iter(kinds))):
        values = [each[place] for each in tokens.values()]
        if not digits or len(set(values)) < 2:
            continue
        numbers = heads.map({head: int(each[place]) for head, each in tokens.items()})
        word = any(_PLATE_BEFORE.search("".join(each[:place])) for each in tokens.values())
        if _runs(numbers, wells, word):
            for each in tokens.values():
                each[place] = ""
    return heads.map({head: _trimmed("".join(each)) for head, each in tokens.items()})


def _runs(numbers: pd.Series, wells: pd.Series, word: bool) -> bool:
    """Return whether each number has one well, and their order is evidence that they number the wells of a plate."""
    pairs = pd.DataFrame({"number": numbers, "well": wells}).drop_duplicates()
    if pairs["number"].duplicated().any() or pairs["well"].duplicated().any() or len(pairs) < FEW:
        return False
    ordered = pairs.sort_values("number")
    follow = any(_increase(order) for order in _orders(ordered["well"].map(well_names.position).tolist()))
    if word:  # `P1` to `P8` are plates, unless they count the wells without a gap
        return follow and len(pairs) >= MANY and int(ordered["number"].max() - ordered["number"].min()) < len(pairs)
    return follow or len(pairs) >= MANY


def _orders(places: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield sort keys of wells as stages visit them: along rows or columns, in one direction or to and fro."""
    for lines in (places, [(column, row) for row, column in places]):
        yield list(lines)
        for turned in (0, 1):
            yield [(line, -step if line % 2 == turned else step) for line, step in lines]


def _increase(keys: Sequence[tuple[int, int]]) -> bool:
    return all(first < second for first, second in zip(keys, keys[1:], strict=False))


def _trimmed(name: str) -> str:
    return re.sub(r"[ _.-]{2,}", "_", name).strip(" _.-")
