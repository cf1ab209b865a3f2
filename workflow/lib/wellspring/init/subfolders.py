"""What sub-folders of images mean: plates, parts of one plate, or time points; refused where names do not decide."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from wellspring.index.readers import detect, folders
from wellspring.index.readers.listing import SYSTEM, files
from wellspring.init import name_pattern
from wellspring.screen.sections import Index

Meaning = Literal["plates", "parts", "timepoints"]
NOTHING, NAMES, FORMAT = range(3)  # what a folder is known by
MEANINGS: tuple[Meaning, ...] = ("plates", "parts", "timepoints")
_TIME = re.compile(
    r"(?i)(?:.*[^a-z0-9])?(?:(?:time[ _-]?points?|times?|tp|t)[ _=#-]*[0-9]+(?:[^0-9].*)?"
    r"|[0-9]+(?:\.[0-9]+)?[ _-]*(?:h|hrs?|hours?|min|mins|minutes?|sec|seconds?))"
)
# Words of series that may be time points of one plate, or plates of several days.
_SERIES = re.compile(r"(?i)(?:.*[^a-z0-9])?(?:days?|d|weeks?|wk|cycles?|rounds?|passages?)[ _=#-]*[0-9]+(?:[^0-9].*)?")


def meaning(names: Sequence[str], planes: pd.DataFrame | None, given: Meaning | None, *, where: Path) -> Meaning:
    """Return what sub-folders of these names mean.

    Parameters
    ----------
    names
        The sub-folders.
    planes
        Their planes as `readers.listing.complete`, whose `acquisition` begins with the sub-folder; None: not listed.
    given
        As a person states it (`--subfolders`).
    where
        The folder above, for messages.

    Raises
    ------
    ValueError
        Neither names nor planes decide.
    """
    if given is not None:
        return given
    reason = "" if planes is None else folders.undecided(planes)
    if len(names) > 1 and all(_TIME.fullmatch(name) for name in names):
        return "timepoints"
    if len(names) > 1 and all(_SERIES.fullmatch(name) for name in names):
        reason = "the names of a series"
    if reason:
        raise ValueError(
            f"{where}: expected sub-folders that are plates, found {list(names)[:6]} with {reason}: plates, parts of "
            f"one plate (as its channels or rows), or time points? State it by --subfolders {', '.join(MEANINGS[:2])} "
            f"or {MEANINGS[2]}"
        )
    return "plates"


def times_error(folder: Path, names: Sequence[str]) -> ValueError:
    """Return the error of time points in sub-folders that a vendor's files describe."""
    return ValueError(
        f"{folder}: expected one plate, found time points by the names of the sub-folders {list(names)[:6]}, which "
        "only the reader of file names takes from folders: --subfolders plates makes a plate of each"
    )


def below(folder: Path, options: Index, notes: list[str], subfolders: Meaning | None, depth: int = 3) -> list[Path]:
    """Return the folders of plates in a folder: itself, or its sub-folders (or those below) if it is no plate.

    Sub-folders in a known format have precedence over a pattern of the file names in all of them.
    """
    if subfolders in ("parts", "timepoints"):
        return [folder]
    own = _known(folder, options)
    above = [place.resolve() for place in (folder, *folder.parents)]  # which a link may lead back to
    inside = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and path.name.casefold() not in SYSTEM
        and path.resolve() not in above
    )
    if not inside or not depth or (own == FORMAT and len(inside) < 2):
        return [folder]
    plates = {
        plate: _known(plate, options) for one in inside for plate in below(one, options, [], subfolders, depth - 1)
    }
    found = [plate for plate, known in plates.items() if known == FORMAT]
    if own == FORMAT and (len(found) < 2 or is_listed(folder, options)):  # several measurements of one plate
        return [folder]
    if not found and own == NOTHING:
        found = [plate for plate, known in plates.items() if known]
    if found:
        names = sorted({plate.relative_to(folder).parts[0] for plate in found})
        if meaning(names, None, subfolders, where=folder) == "timepoints":
            raise times_error(folder, names)
        notes.append(f"{folder}: {len(found)} plates in sub-folders: {', '.join(path.name for path in found[:6])}")
    return found or [folder]


def is_listed(folder: Path, options: Index) -> bool:
    """Return whether the reader of a folder can list it as one plate."""
    try:
        detect.planes(str(folder), plate=folder.name, options=options)
    except ValueError:
        return False
    return True


def _known(folder: Path, options: Index) -> int:
    """Return whether a folder is in a known format (FORMAT), or its file names have a pattern (NAMES)."""
    try:
        reader = detect.choose(folder, plate=folder.name, options=options)
    except detect.SeveralReadersError:
        return FORMAT  # the error names the readers to choose from
    except ValueError:
        paths = [path for path, _ in files(folder)]
        return NAMES if any(name_pattern.propose(paths, plates=plates) for plates in (False, True)) else NOTHING
    return NAMES if reader == detect.LAST else FORMAT


def timed(pattern: str, names: Sequence[str]) -> str | None:
    r"""Return a pattern with the time points of sub-folders before a pattern of file names; None without a number.

    Examples
    --------
    >>> timed("(?P<well>[A-Z][0-9]+).tif", ["T1", "T2"])
    '(?:.*/)?T(?P<timepoint>[0-9]+)/(?:.*/)?(?:(?P<well>[A-Z][0-9]+).tif)'
    """
    numbers = [re.findall(r"[0-9]+", name) for name in names]
    if len(set(map(len, numbers))) != 1 or "(?P<timepoint>" in pattern:
        return None
    for place in range(len(numbers[0])):
        parts = {tuple(_around(name, place)) for name in names}
        if len(parts) == 1 and len({found[place] for found in numbers}) == len(names):
            before, after = map(re.escape, parts.pop())
            return rf"(?:.*/)?{before}(?P<timepoint>[0-9]+){after}/(?:.*/)?(?:{pattern})"
    return None


def _around(name: str, place: int) -> tuple[str, str]:
    """Return what is before and after a number of a name."""
    match = list(re.finditer(r"[0-9]+", name))[place]
    return name[: match.start()], name[match.end() :]
