"""Separate folders of one measurement, as of its wells or channels, from those of several plates or measurements.

A reader that walks through all sub-folders would otherwise read two plates as one: the second plate's images become
further sites, wells or channels. Sub-folders are parts of one measurement only on evidence: `index.pattern` takes the
well, row, column, site, channel, focal plane or time point from the folder, or the folder's name states with a word
what its files hold (`DNA`, `w1`, `Row 2`, `site 3`). A bare number or letter is no such word, since plates are numbered
too. Any other sub-folder is an acquisition of its own, as a vendor's, of which the config chooses one or joins all.
Files whose names begin differently before the well are judged by :mod:`wellspring.index.readers.beginnings`.
"""

import logging
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from wellspring.index.readers import beginnings
from wellspring.index.readers.listing import DEFAULTS
from wellspring.index.readers.pattern import NUMBERED, compile_pattern
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

HERE = "."  # the acquisition of files that lie beside the sub-folders
STEPS = ("channel", "plane", "timepoint")
PLACES = ("well", "row", "column", "site", *NUMBERED)  # groups of a pattern that name a place
PLACE = ["well", "site"]
_WELL = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{1,2})[ _-]?([0-9]{1,2})(?![0-9])")
_NUMBERS = re.compile(r"(?i)r(?:ow)?[ _-]?([0-9]+)[^0-9]*c(?:ol|olumn)?[ _-]?([0-9]+)")
_ROW = re.compile(r"(?i)row[ _-]*([A-Z]{1,2}|[0-9]{1,2})")
_COLUMN = re.compile(r"(?i)col(?:umn)?[ _-]*([0-9]{1,2})")
_NUMBERED = re.compile(r"(?i)w(?:ell)?[ _-]*([0-9]+)")
_WORDS = "site|s|field|fld|fov|f|xy|position|pos|tile|scene"
_SITE = re.compile(rf"(?i)(?:.*[^A-Z0-9])?({_WORDS})[ _#-]*0*([0-9]+)")
_STEP = {
    "channel": "channel|chan|ch|c|wavelength|wave|w",
    "plane": "zstep|z|plane|slice|stack",
    "timepoint": "timepoint|time|tp|t",
}


def apart(planes: pd.DataFrame, *, plate: str, counted: bool = False, pattern: str = "") -> pd.DataFrame:
    """Return the planes with the sub-folders of several plates or measurements as their ``acquisition``.

    Parameters
    ----------
    planes
        As ``listing.complete``, of a reader that looks into all sub-folders. ``separate`` becomes true where an
        acquisition is a folder.
    plate
        For the log.
    counted
        The reader counts the sites of a well over all folders, so that folders `s1` and `s2` need not be its sites.
    pattern
        ``index.pattern`` of a reader that has it.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["P1/A01.tif", "P2/A01.tif"], "well": "A01"})
    >>> table = table.assign(site=["1", "2"], channel="1", plane="1", timepoint="1", acquisition="1")
    >>> apart(table, plate="day")["acquisition"].tolist()
    ['P1', 'P2']
    """
    paths = planes["path"].fillna("")
    parts = paths.map(lambda path: tuple(path.split("/")[:-1]))
    groups, heads = _of_pattern(paths, pattern)
    levels: list[pd.Series] = []
    for depth in range(int(parts.map(len).max())):
        names = parts.map(lambda part, depth=depth: part[depth] if depth < len(part) else HERE)
        if names.nunique() > 1 and not _ordered(planes, names, counted, groups.get(depth, set())):
            levels.append(names)
    if heads is not None and heads.nunique() > 1:
        explained = levels and planes.assign(_head=heads).groupby(levels)["_head"].nunique().max() < 2
        if not explained and not _ordered(planes, heads, counted, set()):
            named = beginnings.of_plates(heads, planes, plate=plate, keys=[*PLACE, *STEPS])
            levels += [] if named is None else [named.replace("", HERE)]
    if not levels:
        return planes
    chosen = levels[0].str.cat(levels[1:], sep="/")
    logger.info("%s: the sub-folders %s are acquisitions of their own", plate, sorted(chosen.unique())[:10])
    if (planes.groupby(chosen)["acquisition"].nunique() > 1).any():
        chosen = chosen + "/" + planes["acquisition"]
    return planes.assign(acquisition=chosen, separate=True)


def by_file(rows: list[dict[str, Any]], named: Callable[[str], str], *, plates: bool = True) -> list[dict[str, Any]]:
    """Return rows with an ``acquisition`` where the files of one folder are of several plates or measurements.

    Files of one well each may be its sites. Two files of the same wells, one of which holds several, are two plates or
    measurements; so may be files of other wells, one of which holds several or whose names number plates, unless all
    have one name or each states its row or column.

    Parameters
    ----------
    rows
        With ``well``, and ``source`` or ``path``: the file that describes the plane.
    named
        Name of a file -> the name that the files of its plate or measurement share.
    plates
        Files of other wells may be of other plates.
    """
    folders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    sources = [str(row.get("source") or row["path"]) for row in rows]
    for row, path in zip(rows, sources, strict=True):
        folders[posixpath.dirname(path)][named(path)].add(row["well"])
    shared = set()
    for folder, files in folders.items():
        counts = Counter(well for wells in files.values() for well in wells)
        twice = max(map(len, files.values())) > 1 and max(counts.values()) > 1
        several = max(map(len, files.values())) > 1 or _numbered_plates(files)
        others = plates and len(files) > 1 and several and not _lines(files)
        if twice or others:
            shared.add(folder)
    usual = {key: DEFAULTS[key] for key in ("acquisition", "separate")}
    return [
        {**usual, **row, **(_own_name(named(path)) if posixpath.dirname(path) in shared else {})}
        for row, path in zip(rows, sources, strict=True)
    ]


def undecided(planes: pd.DataFrame) -> str:
    """Return why acquisitions that are folders may be parts of one plate as well as plates, empty if they are plates.

    They have other channels at the same wells, or a bare number or letter as name that is that of their row, column or
    well.
    """
    names = planes["acquisition"].str.split("/").str[0]
    if _together(planes, names, PLACE) and _own(planes, names, "channel"):
        return "other channels of the same wells"
    for column in (0, 1):
        lines = planes["well"].map(lambda well, column=column: well_names.position(well)[column])
        marks = lines.map(lambda line, column=column: (str(line + 1), "" if column else well_names.row_name(line)))
        if all(name and name.upper().lstrip("0") in mark for name, mark in zip(names, marks, strict=True)):
            return f"one {('row', 'column')[column]} each, whose name they have"
    return ""


def _own_name(name: str) -> dict[str, Any]:
    return {"acquisition": name or HERE, "separate": True}


def _lines(files: dict[str, set[str]]) -> bool:
    """Return whether each file states in its name the row, or the column, of all its wells."""
    return any(
        all(any(states(part, well) for part in _tails(name)) for name, wells in files.items() for well in wells)
        for states in (_states_row, _states_column)
    )


def _numbered_plates(files: Mapping[str, set[str]]) -> bool:
    """Return whether names of files number plates, before the well that a name may state."""
    heads = [name for name, wells in files.items() if not any(_states_well(name, well) for well in wells)]
    cut = [name[: match.start()] for name in files if (match := _WELL.search(name)) and name not in heads]
    return beginnings.numbers_differ([*heads, *cut])


def _tails(name: str) -> list[str]:
    """Return the ends of a name that begin at a word."""
    return [name[match.start() :] for match in re.finditer(r"(?<![A-Za-z])[A-Za-z]", name)]


def _of_pattern(paths: pd.Series, pattern: str) -> tuple[dict[int, set[str]], pd.Series | None]:
    """Return the groups that the pattern finds in the folder of each depth, in all paths, and how file names begin.

    The beginning is what precedes the first group; None where a path does not match, or has its well in the folder.
    """
    compiled = compile_pattern(pattern) if pattern else None
    found: dict[int, set[str]] | None = None
    heads: dict[str, str] = {}
    for path in paths.unique() if compiled is not None else ():
        match = compiled.fullmatch(path) if compiled is not None else None
        if match is None:
            return {}, None
        start = path.rfind("/") + 1
        here: dict[int, set[str]] = defaultdict(set)
        first = len(path)
        for group in match.re.groupindex:
            at = match.start(group)
            if 0 <= at < start and "/" not in match[group]:
                here[path.count("/", 0, at)].add(group)
            elif at >= start:
                first = min(first, at)
        heads[path] = path[start:first].strip(" _.-").casefold()
        found = dict(here) if found is None else {depth: found[depth] & here[depth] for depth in found.keys() & here}
    wells = {"well", "row", "column", *NUMBERED}
    inside = any(groups & wells for groups in (found or {}).values())
    return found or {}, None if inside or not heads else paths.map(heads)


def _ordered(planes: pd.DataFrame, names: pd.Series, counted: bool, groups: set[str]) -> bool:
    """Return whether folders of these names, one per plane, are the order of one measurement.

    ``groups``: those that `index.pattern` finds in these names.
    """
    if groups & set(PLACES):
        return True
    if not groups & set(STEPS) and _of_plates(names, planes["well"]):
        return False
    for column, states, alone in STATED:
        pairs = pd.DataFrame({"name": names, "value": planes[column]}).drop_duplicates()
        stated = all(states(name, value) for name, value in pairs.itertuples(index=False, name=None))
        if stated and column == "site" and counted and any(map(_is_short, pairs["name"])):
            continue
        if stated and column == "site" and not _together(planes, names, ["well"]):
            continue
        if stated and not (alone and pairs["name"].duplicated().any()):
            return True
    if not _together(planes, names, PLACE):
        return False
    return any(_own(planes, names, step) and (step in groups or _named(planes, names, step)) for step in STEPS)


def _of_plates(names: pd.Series, wells: pd.Series) -> bool:
    """Return whether a word that numbers plates is in all names, with different numbers; `D1` may be a well."""
    least = 2 if all(_states_well(name, well) for name, well in set(zip(names, wells, strict=True))) else 1
    parts = [beginnings.of_words(name) for name in names.unique()]
    found = [{word: number for word, number in part.items() if len(word) >= least} for part in parts]
    return any(len({each[word] for each in found}) > 1 for word in set.intersection(*map(set, found)))


def _together(planes: pd.DataFrame, names: pd.Series, place: list[str]) -> bool:
    """Return whether each folder shares a place, as its well and site, with another one."""
    table = planes[place].assign(_name=names).drop_duplicates()
    shared = table.loc[table.duplicated(place, keep=False), "_name"]
    return set(shared) == set(names)


def _own(planes: pd.DataFrame, names: pd.Series, step: str) -> bool:
    """Return whether no value of a column is in two folders, and there are several values."""
    pairs = planes[[step]].assign(_name=names).drop_duplicates()
    return pairs[step].nunique() > 1 and not pairs[step].duplicated().any()


def _named(planes: pd.DataFrame, names: pd.Series, step: str) -> bool:
    """Return whether each folder's name states the only channel, focal plane or time point of its files."""
    pairs = pd.DataFrame({"name": names, "value": planes[step]}).drop_duplicates()
    return not pairs["name"].duplicated().any() and all(_states_step(step, *pair) for pair in pairs.to_numpy())


def _states_step(step: str, name: str, value: str) -> bool:
    if value.isdecimal():
        before, text = rf"(?:{_STEP[step]})[ _#-]*0*", value.lstrip("0") or "0"
    elif len(value) > 1:
        before, text = "", re.escape(value)
    else:
        return False
    return re.search(rf"(?i)(?<![a-z0-9]){before}{text}(?![a-z0-9])", name) is not None


def _states_well(name: str, well: str) -> bool:
    found = {"".join(match.groups()) for match in _WELL.finditer(name)}
    position = well_names.position(well)
    number = _NUMBERED.fullmatch(name)
    return (
        any(well_names.is_well(text) and well_names.normalise(text) == well for text in found)
        or any((int(row) - 1, int(column) - 1) == position for row, column in _NUMBERS.findall(name))
        or (number is not None and any(_number(position, size) == int(number[1]) for size in well_names.PLATES))
    )


def _number(position: tuple[int, int], size: tuple[int, int]) -> int:
    """Return the number of a well along the rows of a plate, 0 for one beside it."""
    (row, column), (rows, columns) = position, size
    return row * columns + column + 1 if row < rows and column < columns else 0


def _states_row(name: str, well: str) -> bool:
    match = _ROW.fullmatch(name)
    row = well_names.position(well)[0]
    return match is not None and match[1].upper().lstrip("0") in (str(row + 1), well_names.row_name(row))


def _states_column(name: str, well: str) -> bool:
    match = _COLUMN.fullmatch(name)
    return match is not None and int(match[1]) == well_names.position(well)[1] + 1


def _states_site(name: str, site: str) -> bool:
    match = _SITE.fullmatch(name)
    same = name.casefold() == site.casefold() and len(name) > 1 and not name.isdecimal()
    return same or (match is not None and match[2] == (site.lstrip("0") or "0"))


def _is_short(name: str) -> bool:
    """Return whether a folder's name states a site by one letter."""
    match = _SITE.fullmatch(name)
    return match is not None and len(match[1]) < 2


# What a folder may state: the column, how its name states a value, and whether a name has one value.
STATED = (
    ("well", _states_well, True),
    ("well", _states_row, False),
    ("well", _states_column, False),
    ("site", _states_site, True),
)
