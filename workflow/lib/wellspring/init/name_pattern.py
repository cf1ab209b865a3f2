"""Propose a regular expression for file names, for folders that no reader recognises.

Names are split into letters, digits and the rest. The well is a row letter before a column number, or `r` and `c`
before numbers; what varies besides is a site, channel, plane or time point by the letters before it, or by its values.
Words that differ within wells are channels; a number that the well and other parts determine, as that of the channel
beside its name or that of the image in a list of all, is no part of the place.
A proposal counts only if it matches nearly all images and gives each of them another place.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from wellspring.screen import stain_names, well_names

ENDINGS = (".tif", ".tiff", ".png", ".jp2")
HINTS = {
    "site": ("s", "f", "fld", "site", "field", "fov", "xy", "pos", "position", "tile"),
    "channel": ("w", "ch", "chan", "c", "wv", "channel", "wavelength", "wave", "color", "colour", "d", "a"),
    "plane": ("z", "p", "plane", "slice", "zstep", "stack"),
    "timepoint": ("t", "tp", "time", "timepoint"),
}
MATCHED = 0.95  # share of the images that a proposal must match; the others are overviews and thumbnails
_GUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_GLUED = "(?:[Ww]ell|Point|Position)(?=[A-Z]{1,2}[0-9])|Channel(?=[A-Z])"  # words before a well or a stain
TOKEN = re.compile(rf"\[?{_GUID}\]?|{_GLUED}|[A-Za-z]+|[0-9]+|[^A-Za-z0-9]+")
Tokens = list[str]


@dataclass(frozen=True)
class Proposal:
    """A pattern for `index.pattern`, the number of images that it matches, and an example of one."""

    pattern: str
    matched: int
    total: int
    example: str


def propose(paths: Sequence[str], *, plates: bool = False, others: Sequence[Sequence[str]] = ()) -> Proposal | None:
    r"""Return a pattern for the images among relative paths; None if none gives each image a place of its own.

    With ``plates`` the pattern also has a group ``plate``, of a part of the names that differs apart from the well.
    ``others`` are the paths in the folders of other plates, which the pattern has to fit too: what differs between
    folders alone, as the name of the plate before the well, is no part of an image's place.

    Examples
    --------
    >>> names = [f"Channel{c}-{n:02d}-{row}-{n:02d}.tif" for c in (1, 2) for n in (1, 2, 3) for row in "AB"]
    >>> propose(names).pattern
    'Channel(?P<channel>[0-9]+)\\-[0-9]+\\-(?P<row>[A-Za-z]{1,2})\\-(?P<column>[0-9]+)\\.tif'
    """
    images = [
        (folder, path)
        for folder, below in enumerate((paths, *others))
        for path in below
        if path.lower().endswith(ENDINGS)
    ]
    if not images:
        return None
    best: Proposal | None = None
    for names in ([PurePosixPath(path).name for _, path in images], [path for _, path in images]):
        tokens = [TOKEN.findall(name) for name in names]
        shapes = Counter(shape(each) for each in tokens)
        usual = shapes.most_common(1)[0][0]
        kept = [place for place, each in enumerate(tokens) if shape(each) == usual]
        alike, folders = [tokens[place] for place in kept], [images[place][0] for place in kept]
        for first in _wells(alike):
            pattern = _pattern(alike, folders, first, plates=plates)
            found = _verified(pattern, images)
            if found is not None and (best is None or found.matched > best.matched):
                best = found
        if best is not None:
            break
    return best


def shape(tokens: Tokens) -> tuple[str, ...]:
    """Return the kinds of the tokens of a name: letters, digits, a GUID, or the text between."""
    return tuple("G" if "-" in t and len(t) > 30 else "L" if t.isalpha() else "D" if t.isdigit() else t for t in tokens)


def _wells(rows: list[Tokens]) -> Iterator[tuple[int, int, str]]:
    """Yield the places of row and column among the tokens, the likeliest first, and their kind.

    One letter for all images that is a usual sign of something else, as in `S01` or `r01`, is the last choice; of two
    such letters the first is taken.
    """
    found: list[tuple[tuple[int, ...], tuple[int, int, str]]] = []
    columns = list(zip(*rows, strict=True))
    for place, values in enumerate(columns[:-1]):
        letters = {value.casefold() for value in values}
        if letters <= {"r", "row"} and place + 3 < len(columns):
            other = {value.casefold() for value in columns[place + 2]}
            if other <= {"c", "col", "column"} and all(value.isdigit() for value in columns[place + 1]):
                found.append(((3,), (place + 1, place + 3, "numbers")))
        if all(value.isalpha() and len(value) <= 2 for value in values):
            step = 1 if columns[place + 1][0].isdigit() else 2
            if place + step < len(columns) and columns[place + step][0].isdigit():
                pairs = {a + b for a, b in zip(values, columns[place + step], strict=True)}
                upper = all(value.isupper() for value in values)
                hinted = {value.casefold() for value in values} & {hint for hints in HINTS.values() for hint in hints}
                if all(well_names.is_well(pair) for pair in pairs) and (upper or not hinted or len(letters) > 1):
                    wide = len(set(values)) + (2 if max(map(len, columns[place + step])) == 2 else 0)
                    sure = len(letters) > 1 or (upper and not hinted)
                    rank = (int(sure), int(upper), (len(pairs) + wide) * sure)
                    found.append((rank, (place, place + step, "joined" if step == 1 else "letters")))
    yield from (places for _, places in sorted(found, key=lambda each: [-part for part in each[0]]))


def _pattern(rows: list[Tokens], folders: list[int], well: tuple[int, int, str], *, plates: bool) -> str:
    row, column, kind = well
    columns = [list(values) for values in zip(*rows, strict=True)]
    wells = [f"{folder},{a},{b}" for folder, a, b in zip(folders, columns[row], columns[column], strict=True)]
    groups: dict[int, str] = {}
    taken: set[str] = set()
    several = len(set(folders))
    varying = [
        place
        for place, values in enumerate(columns)
        if place not in (row, column) and len(set(zip(folders, values, strict=True))) > several
    ]
    heads = _heads(columns)
    alone = "z" in heads.values() or not set(heads.values()) & set(HINTS["site"])
    for place in varying:
        before = heads.get(place, "")
        hint = next((key for key, words in HINTS.items() if before in words), None)
        if before == "p" and alone:  # the position of scanR and LAS; the plane of Phenix stands beside a field
            hint = "site"
        if before == "w" and len(set(zip(wells, columns[place], strict=True))) == len(set(wells)):
            continue  # the number of the well
        if columns[place][0].isdigit() and hint and hint not in taken:
            groups[place] = hint
            taken.add(hint)
    word = _stained(columns, [place for place in varying if place not in groups], wells)
    if word is not None and "channel" not in taken:
        groups[word] = "channel"
        taken.add("channel")
    for place in sorted(varying, key=lambda place: (_running(columns[place], wells), place)):
        values = columns[place]
        if place in groups or not values[0].isdigit() or _barcode(columns, place, row):
            continue
        known = list(zip(wells, *(columns[other] for other in groups), strict=True))
        key = next((key for key in ("site", "channel", "plane") if key not in taken), None)
        if key and len(set(zip(known, values, strict=True))) > len(set(known)):  # else the other parts determine it
            groups[place] = key
            taken.add(key)
    free = [place for place in varying if place not in groups and "-" not in columns[place][0]]
    known = list(zip(wells, *(columns[place] for place in groups), strict=True))
    start = next((place for place in free if len(set(zip(known, columns[place], strict=True))) > len(set(known))), None)
    if plates and start is not None:
        groups[start] = "plate"
        head = columns[start - 1] if start else [""]
        if head[0].isalpha() and len(set(head)) == 1 and start - 1 not in (row, column):  # BR00117 is one name
            parts = [_part(columns[place], place, groups, row, column, kind) for place in range(len(columns))]
            parts[start - 1 : start + 1] = ["", f"(?P<plate>{head[0]}[0-9]+)"]
            return "".join(parts).replace(r"\ ", " ")
    return "".join(_part(columns[place], place, groups, row, column, kind) for place in range(len(columns))).replace(
        r"\ ", " "
    )


def _heads(columns: list[list[str]]) -> dict[int, str]:
    """Return the letters before the numbers, in small letters, where all names have the same, by the numbers' place."""
    numbers = [place for place in range(1, len(columns)) if columns[place][0].isdigit()]
    return {place: columns[place - 1][0].casefold() for place in numbers if len(set(columns[place - 1])) == 1}


def _stained(columns: list[list[str]], places: list[int], wells: list[str]) -> int | None:
    """Return the place of the words that are channels: they differ within wells; names of stains come first."""
    words = [place for place in places if all(value.isalpha() for value in columns[place])]
    few = [place for place in words if len(set(columns[place])) <= 12]
    named = [place for place in few if any(map(stain_names.of_name, columns[place]))]
    differ = [place for place in few if len(set(zip(wells, columns[place], strict=True))) > len(set(wells))]
    return next(iter([*(place for place in named if place in differ), *differ, *named]), None)


def _running(values: list[str], wells: list[str]) -> bool:
    """Return whether numbers run on from well to well, as those of a list of all images do."""
    of_well: dict[str, set[str]] = {}
    for well, value in zip(wells, values, strict=True):
        of_well.setdefault(well, set()).add(value)
    return len(set(values)) > 2 * max(map(len, of_well.values()))


def _barcode(columns: list[list[str]], place: int, row: int) -> bool:
    """Return whether digits before the well are those of a plate, as `BR00117` or `1234`, and not a site's."""
    before = columns[place - 1][0] if place else ""
    word = before.isalpha() and before.casefold() not in {hint for hints in HINTS.values() for hint in hints}
    return place < row and (word or len(columns[place][0]) >= 4)


def _part(values: list[str], place: int, groups: dict[int, str], row: int, column: int, kind: str) -> str:
    digits, same = values[0].isdigit(), len(set(values)) == 1
    if place == row and kind == "joined":
        return "(?P<well>[A-Za-z]{1,2}[0-9]{1,2})"
    if place == row:
        return "(?P<row>[0-9]+)" if kind == "numbers" else "(?P<row>[A-Za-z]{1,2})"
    if place == column:
        return "" if kind == "joined" else "(?P<column>[0-9]+)"
    if "-" in values[0] and len(values[0]) > 30:
        return "[\\[\\]0-9A-Fa-f-]+"
    what = "[0-9]+" if digits else "[A-Za-z]+"
    if place in groups:
        return f"(?P<{groups[place]}>{what})"
    return re.escape(values[0]) if same else what


def _verified(pattern: str, images: Sequence[tuple[int, str]]) -> Proposal | None:
    compiled = re.compile(rf"(?:.*/)?(?:{pattern})")
    matches = [(folder, path, match) for folder, path in images if (match := compiled.fullmatch(path))]
    places = {
        (folder, str(PurePosixPath(path).parent), *sorted((match.groupdict()).items()))
        for folder, path, match in matches
    }
    if len(matches) < MATCHED * len(images) or len(places) < len(matches):
        return None
    return Proposal(pattern, len(matches), len(images), matches[0][1])


def fits(pattern: str, paths: Sequence[str]) -> bool:
    """Return whether a pattern matches any image among relative paths."""
    compiled = re.compile(rf"(?:.*/)?(?:{pattern})")
    return any(compiled.fullmatch(path) for path in paths if path.lower().endswith(ENDINGS))
