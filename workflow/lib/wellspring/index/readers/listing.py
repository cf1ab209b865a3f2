"""The table that every reader returns, and the files that it may name.

A plate's files are below its folder. A link, or a path in a vendor's table, may lead elsewhere only below a root that
the config allows. A link to any other place raises an error that names the key to set. A warning would not do: planes
would be missing, and if every well has such a link no other table would show it.
"""

import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from wellspring.io import budget

logger = logging.getLogger(__name__)

# Columns that a reader must return, and the values of the others if it does not.
REQUIRED = ["path", "well", "channel"]
DEFAULTS: dict[str, object] = {"site": "1", "plane": "1", "timepoint": "1", "acquisition": "1", "page": 0, "bytes": 0}
DEFAULTS |= {"separate": False}
DEFAULTS |= dict.fromkeys(["pixel_size", "x", "y", "z", "exposure"], float("nan"))
COLUMNS = [*REQUIRED, *DEFAULTS]

# Folders of operating systems and disk stations: deleted files, thumbnails, copies of metadata.
SYSTEM = frozenset(("$recycle.bin", "system volume information", "__macosx", "@eadir", "#recycle", "lost+found"))


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table of planes of a reader with all its columns, in their order and types.

    Parameters
    ----------
    frame
        ``path`` relative to the plate's folder with ``/`` (null: named but not there), ``well`` normalised,
        ``channel``; and of ``site``, ``plane``, ``timepoint``, ``acquisition`` (strings), ``page`` and ``bytes``
        (int), ``separate`` (bool: the acquisition is a folder or file that may be another plate), ``pixel_size``
        (micrometres per pixel), ``x``, ``y``, ``z`` (micrometres, field centre on the stage) and ``exposure`` (ms)
        those that the reader knows.

    Returns
    -------
    pandas.DataFrame
        The columns ``COLUMNS``; unknown values are ``1``, 0, false or NaN.
    """
    missing = {name: value for name, value in DEFAULTS.items() if name not in frame}
    kinds = {name: type(value) for name, value in DEFAULTS.items() if not isinstance(value, str)}
    return frame.assign(**missing)[COLUMNS].astype(kinds).reset_index(drop=True)


def files(folder: Path, *, roots: Sequence[Path | str] = ()) -> Iterator[tuple[str, int]]:
    """Yield path (relative, with ``/``) and size of every file below a folder in sorted order.

    Hidden ones and folders of the operating system (``SYSTEM``) are left out. Links are followed within the folder and
    the ``roots``, each folder once, so that a loop of links ends. Broken links and entries that are not regular files
    have size 0; the survey reports them.

    Raises
    ------
    ValueError
        ``folder`` is not a folder; a folder cannot be listed; a link leads outside of the folder and the roots.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a plate's folder, found {'a file' if folder.exists() else 'nothing'}")
    allowed = places(folder, roots)
    yield from _below(str(folder), allowed[0], "", allowed, set())


def inside(path: Path | str, folder: Path | str, roots: Sequence[Path | str] = ()) -> bool:
    """Return whether a path, all links resolved, lies in the folder or below one of the roots."""
    return within(os.path.realpath(path), places(folder, roots))


def places(folder: Path | str, roots: Sequence[Path | str] = ()) -> list[str]:
    """Return the real paths of the folder, which is the first, and of the roots that are not prefixes of URLs."""
    return [os.path.realpath(root) for root in (folder, *roots) if "://" not in str(root)]


def within(real: str, places: Sequence[str]) -> bool:
    """Return whether a real path is one of the places or below one."""
    return any(real == place or real.startswith(place.rstrip("/") + "/") for place in places)


def named(name: str, held: Collection[str]) -> str | None:
    """Return the longest end of a path, as another machine names it, that is a file of the folder, or None.

    Parts ``..`` are left out, and only listed files are returned, so no name can lead outside of the folder.
    """
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in held), None)


def unambiguous(held: Mapping[str, int]) -> dict[str, str]:
    """Return the files by their path in small letters, without those that differ from another in case alone."""
    folded: dict[str, list[str]] = {}
    for path in held:
        folded.setdefault(path.casefold(), []).append(path)
    return {name: paths[0] for name, paths in folded.items() if len(paths) == 1}


def check_plate(stated: Iterable[str], *, plate: str, where: Path | str) -> None:
    """Log a warning if a microscope's own names of the plate, as ``stated`` in the table ``where``, are all others."""
    names = sorted({name.strip() for name in stated if name and name.strip()})
    if names and not any(_alike(name, plate) or _alike(plate, name) for name in names):
        logger.warning(
            "%s: %s is of the plate %s by its own metadata: check that the sheet's row names the right folder",
            plate, where, ", ".join(names[:5]),
        )  # fmt: skip


def _alike(name: str, longer: str) -> bool:
    """Return whether a name is in a longer one as a whole word: ``P1`` is in ``P1__run2`` and not in ``P10``."""
    return re.search(rf"(?<![a-z0-9]){re.escape(name.casefold())}(?![a-z0-9])", longer.casefold()) is not None


def _below(parent: str, here: str, prefix: str, allowed: Sequence[str], seen: set[str]) -> Iterator[tuple[str, int]]:
    """Yield the files below a folder (real path ``here``), with ``prefix`` before their paths."""
    if prefix.count("/") > budget.DEPTH:
        raise budget.OverBudgetError(f"{parent}: expected at most {budget.DEPTH} folders within each other, found more")
    if here in seen:
        logger.warning("%s: link to %s not followed, since that folder is already listed", parent, here)
        return
    seen.add(here)
    try:
        with os.scandir(parent) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{parent}: expected a folder that can be listed, found {error.strerror}") from error
    folders = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.casefold() in SYSTEM:
            continue
        if not _text(entry.name):
            logger.warning("%s: %a skipped, since its name is not UTF-8", parent, entry.name)
            continue
        target = os.path.realpath(entry.path) if entry.is_symlink() else f"{here}/{entry.name}"
        if entry.is_symlink() and not within(target, allowed):
            raise ValueError(
                f"{entry.path}: expected links within the plate's folder or index.roots, found one to {target} (name "
                f"a folder above it in index.roots, or remove the link)"
            )
        if _is_folder(entry):
            folders.append((entry, target))
        else:
            yield prefix + entry.name, _size(entry)
    for entry, target in folders:
        yield from _below(entry.path, target, f"{prefix}{entry.name}/", allowed, seen)


def _text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except OSError:
        return 0
