"""Find the files that a vendor's table names, in the plate's folder or below an allowed root.

A table is not trusted: a name that leads out of the folder and the roots, or is an address, is refused and logged. Only
files in the listing of the folder are opened or inspected.
"""

import logging
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from wellspring.index.readers import origin
from wellspring.index.readers.listing import files, inside

logger = logging.getLogger(__name__)

IMAGES = (".tif", ".tiff", ".png", ".jp2", ".flex")  # what a folder may hold besides a vendor's tables and layouts
LENGTH = 4000  # characters that a path may have on disk
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # file:, http://, and C: of another machine


def locate(
    names: Iterable[str],
    *,
    folder: Path,
    base: Path,
    roots: Sequence[Path | str] = (),
    plate: str,
    table: Path,
    pages: Iterable[str] | None = None,
) -> pd.DataFrame:
    r"""Find the files that a table names.

    Parameters
    ----------
    names
        As in the table: relative to ``base``, with ``/`` or ``\``; an absolute one only below ``roots``. A file that
        is not at its place but once elsewhere in the folder is taken from there (tables may lie above the images),
        unless its name has a folder of another name, or that folder is of another measurement.
        An empty name is an image that the table lists and the microscope did not write.
    folder, base
        The plate's folder, and the folder in it that names are relative to.
    plate, table
        For the log, which has the number and first names of files that are refused, missing, or not in the table.
    pages
        The page of each name, where a file has several planes: the table then names it once for each.

    Returns
    -------
    pandas.DataFrame
        One row per name: ``path`` relative to ``folder`` (absolute below a root; null: refused or not there),
        ``bytes``.
    """
    names, held = list(names), dict(files(folder, roots=roots))
    start = base.relative_to(folder).as_posix()
    meant = {name: _wanted(name, start, folder) for name in set(names) if name}
    moved = _elsewhere({path for path in meant.values() if path and not posixpath.isabs(path)}, held)
    moved = _own(moved, {path: name for name, path in meant.items() if path}, held, plate)
    refused, absent = [], []
    found: dict[str, tuple[str | None, int]] = {"": (None, 0)}
    for name, wanted in sorted(meant.items()):
        if wanted is None or posixpath.isabs(wanted):
            size = _below_root(wanted, folder, roots)
            found[name] = (None, 0) if size is None else (wanted, size)
            refused += [name] if size is None else []
        else:
            path = wanted if wanted in held else moved.get(wanted)
            found[name] = (path, 0 if path is None else held.get(path, 0))
            absent += [name] if path is None else []
    rows = [found[name] for name in names]
    frame = pd.DataFrame(rows, columns=["path", "bytes"], dtype=object)
    planes = frame[["path"]].assign(page="" if pages is None else list(pages)).dropna(subset=["path"])
    twice = planes.loc[planes.duplicated(), "path"].unique()
    if len(twice):
        logger.warning("%s: %d files are named more than once in %s: %r", plate, len(twice), table, list(twice[:5]))
    _told(frame, held, refused, absent, len(moved), folder, plate, table)
    return frame


def entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in a folder, sorted, hidden ones left out.

    None if it is not a folder or cannot be listed; the listing of the plate raises the error.
    """
    try:
        with os.scandir(folder) as listing:  # one query of the disk, not one for each of some 10,000 images
            found = sorted((entry.name, *_kind(entry)) for entry in listing)
    except OSError:
        return [], []
    shown = [(folder / name, is_dir, is_file) for name, is_dir, is_file in found if not name.startswith(".")]
    return [path for path, is_dir, _ in shown if is_dir], [path for path, _, is_file in shown if is_file]


def owned(path: Path, folder: Path, roots: Sequence[Path | str]) -> Path:
    """Return the path of a table that is about to be opened.

    Raises
    ------
    ValueError
        It is a link that leads out of the folder and the roots.
    """
    if not inside(path, folder, roots):
        raise ValueError(f"{path}: expected a file in {folder} or below index.roots, found a link to {path.resolve()}")
    return path


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Return whether an entry is a folder, and whether it is a file; neither if the disk refuses the query."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself
        return False, False


def _wanted(name: str, start: str, folder: Path) -> str | None:
    """Return the path of a name, relative to the folder or absolute; None if it is not a path."""
    if _ADDRESS.match(name) or "\0" in name:
        return None
    path = posixpath.normpath(posixpath.join(start, name.replace("\\", "/")))
    if path.startswith("../"):
        path = posixpath.normpath(posixpath.join(folder.absolute().as_posix(), path))
    if posixpath.isabs(path) and Path(path).is_relative_to(folder.absolute()):
        return Path(path).relative_to(folder.absolute()).as_posix()
    return path


def _elsewhere(wanted: set[str], held: dict[str, int]) -> dict[str, str]:
    """Return the places of files that are not where named; ambiguous files, and files of other names, are left out."""
    missing = [path for path in wanted if path not in held]
    if not missing:
        return {}
    asked = Counter(posixpath.basename(path) for path in missing)
    places: dict[str, list[str]] = {}
    for path in held.keys() - wanted:
        places.setdefault(posixpath.basename(path), []).append(path)
    found = {path: places.get(posixpath.basename(path), []) for path in missing if asked[posixpath.basename(path)] == 1}
    return {path: there[0] for path, there in found.items() if len(there) == 1}


def _own(moved: dict[str, str], meant: Mapping[str, str], held: Mapping[str, int], plate: str) -> dict[str, str]:
    """Return the moved files whose folder may be the one that the table means.

    It has the name that the table gives it, where the table names one. Where other files are at their places, a moved
    one lies beside or below them, or in a folder such as ``Images``: one of another name is another measurement.
    """
    places = {posixpath.dirname(path) for path in meant if path in held}
    kept = {}
    for path, found in moved.items():
        stated, actual = origin.folders(meant[path]), origin.folders(found)
        below = origin.measurement(actual)
        home = not places or not below or any(below == origin.measurement(origin.folders(f"{p}/x")) for p in places)
        agrees = not origin.measurement(stated) or origin.rank(stated, actual, plate=plate) == 3
        if home and agrees:
            kept[path] = found
        else:
            logger.warning("%s: %s counts as missing: a file of its name is in another folder, %s", plate, path, found)
    return kept


def _below_root(path: str | None, folder: Path, roots: Sequence[Path | str]) -> int | None:
    """Return the size of a file outside of the folder; None if it does not exist or no root allows it."""
    if path is None or not inside(path, folder, roots) or len(path) > LENGTH or not Path(path).is_file():
        return None
    return Path(path).stat().st_size


def _told(
    frame: pd.DataFrame,
    held: dict[str, int],
    refused: list[str],
    absent: list[str],
    moved: int,
    folder: Path,
    plate: str,
    table: Path,
) -> None:
    if refused:
        logger.warning(
            "%s: %s names %d files that are not below the plate's folder or index.roots, and are not opened: %r",
            plate, table, len(refused), refused[:5],
        )  # fmt: skip
    if absent:
        logger.warning("%s: %d files named in %s are not in %s: %r", plate, len(absent), table, folder, absent[:5])
    if moved:
        logger.info("%s: %d files named in %s lie in another folder below %s", plate, moved, table, folder)
    named = set(frame["path"].dropna())
    others = [path for path in held if path not in named and path.lower().endswith(IMAGES)]
    if others:
        logger.info("%s: %d images in %s are not named in %s: %r", plate, len(others), folder, table, others[:5])
