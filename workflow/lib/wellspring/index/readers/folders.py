"""Separate folders of one measurement, as of its wells or channels, from those of several plates or measurements.

A reader that walks through all sub-folders would otherwise read two plates as one: the second plate's images become
further sites, or further wells. A sub-folder belongs to the measurement if it holds one well, row, column or site and
has its name, or if no other folder has its channels, focal planes or time points at the same place. Any other
sub-folder is an acquisition of its own, of which one is chosen, as of a vendor's.
"""

import logging
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pandas as pd

from wellspring.index.readers.listing import DEFAULTS
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

HERE = "."  # the acquisition of files that lie beside the sub-folders
STEPS = ("channel", "plane", "timepoint")
PLACE = ["well", "site"]
_WELL = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{1,2})[ _-]?([0-9]{1,2})(?![0-9])")
_NUMBERS = re.compile(r"(?i)r(?:ow)?[ _-]?([0-9]+)[^0-9]*c(?:ol|olumn)?[ _-]?([0-9]+)")
_ROW = re.compile(r"(?i)(?:row|r|well)?[ _-]*([A-Z]{1,2}|[0-9]{1,2})")
_COLUMN = re.compile(r"(?i)(?:column|col|c|well)?[ _-]*([0-9]{1,2})")
_NUMBERED = re.compile(r"(?i)w(?:ell)?[ _-]*[0-9]+")
_WORDS = "site|s|field|fld|fov|f|xy|position|pos|tile|scene"
_SITE = re.compile(rf"(?i)((?:.*[^A-Z0-9])?(?:{_WORDS})[ _#-]*)?0*([0-9]+)")


def apart(planes: pd.DataFrame, *, plate: str, counted: bool = False) -> pd.DataFrame:
    """Return the planes with the sub-folders of several plates or measurements as their ``acquisition``.

    Parameters
    ----------
    planes
        As ``listing.complete``, of a reader that looks into all sub-folders.
    plate
        For the log.
    counted
        The reader counts the sites of a well over all folders, so that folders `1` and `2` need not be its sites.

    Examples
    --------
    >>> wells = [("P1/A01.tif", "A01"), ("P2/A01.tif", "A01")]
    >>> table = pd.DataFrame(wells, columns=["path", "well"])
    >>> table = table.assign(site=["1", "2"], channel="1", plane="1", timepoint="1", acquisition="1")
    >>> apart(table, plate="day")["acquisition"].tolist()
    ['P1', 'P2']
    """
    above = planes["path"].fillna("").map(lambda path: path.rpartition("/")[0])
    if above.nunique() < 2:
        return planes
    parts = above.map(lambda folder: tuple(folder.split("/")) if folder else ())
    levels = []
    for depth in range(int(parts.map(len).max())):
        names = parts.map(lambda part, depth=depth: part[depth] if depth < len(part) else HERE)
        if names.nunique() > 1 and not _ordered(planes, names, counted):
            levels.append(names)
    if not levels:
        return planes
    chosen = levels[0].str.cat(levels[1:], sep="/")
    logger.info("%s: the sub-folders %s are acquisitions of their own", plate, sorted(chosen.unique())[:10])
    if (planes.groupby(chosen)["acquisition"].nunique() > 1).any():
        chosen = chosen + "/" + planes["acquisition"]
    return planes.assign(acquisition=chosen)


def by_file(rows: list[dict[str, Any]], named: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return rows with an ``acquisition`` where files of one folder hold the same wells, and one holds several.

    Files of one well each may be its sites. Two files of the same wells are two plates or measurements.

    Parameters
    ----------
    rows
        With ``well``, and ``source`` or ``path``: the file that describes the plane.
    named
        Name of a file -> the name that the files of its plate or measurement share.
    """
    folders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    sources = [str(row.get("source") or row["path"]) for row in rows]
    for row, path in zip(rows, sources, strict=True):
        folders[posixpath.dirname(path)][named(path)].add(row["well"])
    shared = set()
    for folder, files in folders.items():
        counts = Counter(well for wells in files.values() for well in wells)
        if max(map(len, files.values())) > 1 and max(counts.values()) > 1:
            shared.add(folder)
    usual = {"acquisition": DEFAULTS["acquisition"]}
    return [
        {**usual, **row, **({"acquisition": named(path) or HERE} if posixpath.dirname(path) in shared else {})}
        for row, path in zip(rows, sources, strict=True)
    ]


def _ordered(planes: pd.DataFrame, names: pd.Series, counted: bool) -> bool:
    """Return whether folders of these names, one per plane, are the order of one measurement."""
    for column, states, alone in STATED:
        pairs = pd.DataFrame({"name": names, "value": planes[column]}).drop_duplicates()
        stated = all(states(name, value) for name, value in pairs.itertuples(index=False, name=None))
        if column == "site" and counted and names.str.isdecimal().any():
            continue
        if stated and not (alone and pairs["name"].duplicated().any()):
            return True
    table = planes.assign(_name=names)
    shared = table[[*PLACE, "_name"]].drop_duplicates().duplicated(PLACE, keep=False)
    one_place = set(table.loc[shared.index[shared], "_name"]) == set(names)
    return one_place and any(_own(table, step) for step in STEPS)


def _own(table: pd.DataFrame, step: str) -> bool:
    """Return whether no value of a column is in two folders, and there are several values."""
    pairs = table[[step, "_name"]].drop_duplicates()
    return pairs[step].nunique() > 1 and not pairs[step].duplicated().any()


def _states_well(name: str, well: str) -> bool:
    found = {"".join(match.groups()) for match in _WELL.finditer(name)}
    position = well_names.position(well)
    return (
        any(well_names.is_well(text) and well_names.normalise(text) == well for text in found)
        or any((int(row) - 1, int(column) - 1) == position for row, column in _NUMBERS.findall(name))
        or _NUMBERED.fullmatch(name) is not None
    )


def _states_row(name: str, well: str) -> bool:
    match = _ROW.fullmatch(name)
    row = well_names.position(well)[0]
    return match is not None and match[1].upper().lstrip("0") in (str(row + 1), well_names.row_name(row))


def _states_column(name: str, well: str) -> bool:
    match = _COLUMN.fullmatch(name)
    return match is not None and int(match[1]) == well_names.position(well)[1] + 1


def _states_site(name: str, site: str) -> bool:
    match = _SITE.fullmatch(name)
    return name.casefold() == site.casefold() or (match is not None and match[2] == site.lstrip("0"))


# What a folder may state: the column, how its name states a value, and whether a name has one value.
STATED = (
    ("well", _states_well, True),
    ("well", _states_row, False),
    ("well", _states_column, False),
    ("site", _states_site, True),
)
