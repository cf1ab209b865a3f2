"""What every reader returns, and which files it may name: a folder and the allowed roots in, files and planes out.

A plate's files lie below its folder. A link may lead elsewhere, and a vendor's table may name another place, only below
a root that the config allows; what it does not allow is left and named in the log, never opened.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

logger = logging.getLogger(__name__)

# What a reader must say, and what a plane has where it does not.
REQUIRED = ["path", "well", "channel"]
DEFAULTS: dict[str, object] = {"site": "1", "plane": "1", "timepoint": "1", "page": 0, "bytes": 0}
DEFAULTS |= dict.fromkeys(["pixel_size", "x", "y", "z", "exposure"], float("nan"))
COLUMNS = [*REQUIRED, *DEFAULTS]


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table of planes of a reader with all its columns, in their order and types.

    Parameters
    ----------
    frame
        ``path`` relative to the plate's folder with ``/`` (null: named but not there), ``well`` normalised,
        ``channel``; and of ``site``, ``plane``, ``timepoint`` (strings), ``page`` and ``bytes`` (int), ``pixel_size``
        (micrometres a pixel), ``x``, ``y``, ``z`` (micrometres, the field's centre on the stage) and ``exposure`` (ms)
        what the reader knows.

    Returns
    -------
    pandas.DataFrame
        The columns ``COLUMNS``; what is not known is ``1``, 0 or NaN.
    """
    missing = {name: value for name, value in DEFAULTS.items() if name not in frame}
    kinds = {name: type(value) for name, value in DEFAULTS.items() if not isinstance(value, str)}
    return frame.assign(**missing)[COLUMNS].astype(kinds).reset_index(drop=True)


def files(folder: Path, *, roots: Sequence[Path | str] = ()) -> Iterator[tuple[str, int]]:
    """Yield path (relative, with ``/``) and size of every file below a folder in sorted order, hidden ones left out.

    Links are followed within the folder and the ``roots``, each folder once, so that a loop of links ends.

    Raises
    ------
    ValueError
        ``folder`` is not a folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a plate's folder, found {'a file' if folder.exists() else 'nothing'}")
    seen: set[Path] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = Path(parent).resolve()
        if here in seen or not inside(here, folder, roots):
            reason = "was listed already" if here in seen else "lies outside the plate's folder and index.roots"
            logger.warning("%s: the link to %s is not followed: it %s", parent, here, reason)
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file():
                continue
            if path.is_symlink() and not inside(path, folder, roots):
                logger.warning(
                    "%s: the link to %s lies outside the plate's folder and index.roots", path, path.resolve()
                )
                continue
            yield path.relative_to(folder).as_posix(), path.stat().st_size


def inside(path: Path | str, folder: Path | str, roots: Sequence[Path | str] = ()) -> bool:
    """Tell whether a path, all links resolved, lies in the folder or below one of the roots."""
    found = Path(path).resolve()
    return any(found.is_relative_to(Path(root).resolve()) for root in (folder, *roots))
