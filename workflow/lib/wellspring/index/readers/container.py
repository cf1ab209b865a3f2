"""Read a folder of files that hold the images of many positions: Nikon ND2, Leica LIF and Zeiss CZI.

The well is in the name of the file or of the position. ``index.pattern`` is matched to both, as to
``scan.nd2/A01_0001`` or ``scan.lif/TileScan 1/A/1/R1``; names of the usual forms need none.
"""

import logging
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wellspring.index.readers import folders
from wellspring.index.readers.listing import complete, files
from wellspring.index.readers.pattern import compile_pattern, well_of
from wellspring.io import container

logger = logging.getLogger(__name__)

# Well in the folders of a position (LAS X) or its name (NIS-Elements), the first that matches; and in the file's name
# (JOBS). A position and a file of different wells are refused.
POSITION = (
    r"(?P<row>[A-Z])/(?P<column>[0-9]{1,2})(?:/R(?P<site>[0-9]+)|/[^/]*)?",
    r"(?P<well>[A-Z]{1,2}[0-9]{1,2})(?:[^A-Za-z0-9/][^/]*)?",
)
FILE = r"(?:[^/]*[^A-Za-z0-9/])?(?:Well)?(?P<well>[A-Z][0-9]{1,2})(?:[^A-Za-z0-9/][^/]*)?\.(?:nd2|lif|czi)/.*"


def present(folder: Path | str, *, pattern: str, roots: Sequence[Path | str] = ()) -> bool:
    """Return whether the folder holds such a file."""
    return any(path.lower().endswith(container.ENDINGS) for path, _ in files(Path(folder), roots=roots))


def planes(folder: Path | str, *, plate: str, pattern: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate's folder, sub-folders included.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Where the pattern has a group ``plate``, positions of other plates are ignored.
    pattern
        ``index.pattern``: matched to the path of a file, ``/`` and the name of a position.
    roots
        Folders outside of the plate's that links may lead to.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``. Positions of a well are sites, numbered from 1 in their order, unless the
        pattern names them. Files of a folder that hold the same wells are acquisitions of their own. A file that cannot
        be opened is left out; the log names it.

    Raises
    ------
    ValueError
        No file, no name with a well, or one with two; as ``io.container.frames``.
    """
    folder = Path(folder)
    own = compile_pattern(pattern)
    rows: list[dict[str, Any]] = []
    unnamed: list[str] = []
    count = 0
    for path, size in files(folder, roots=roots):
        if not path.lower().endswith(container.ENDINGS):
            continue
        count += 1
        try:
            found = container.frames(folder / path)
        except container.ContainerError:
            raise
        except Exception as error:  # the packages raise whatever they meet in a damaged file
            logger.warning("%s: %s cannot be read (%s: %s)", plate, path, type(error).__name__, error)
            continue
        for row in _rows(path, found, own, unnamed):
            if row.pop("plate") in (plate, None):
                rows.append(row | {"bytes": size})
    if unnamed:
        logger.warning("%s: %d positions have no well in their names: %s", plate, len(unnamed), unnamed[:5])
    if not rows:
        raise ValueError(
            f"{plate}: expected files {' or '.join(container.ENDINGS)} in {folder} with wells in their names or in "
            f"those of positions, found {unnamed[:5] or f'none that opens among {count}'} (set index.pattern)"
        )
    logger.info("%s: %d planes in %d files", plate, len(rows), count)
    return complete(pd.DataFrame(folders.by_file(_numbered(rows), _set)))


def _rows(
    path: str, found: list[container.Frame], own: re.Pattern[str], unnamed: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield the planes of a file; positions without a well are added to ``unnamed``."""
    for page, frame in enumerate(found):
        name = f"{path}/{frame.position}"
        stated = own.fullmatch(name)
        matches = [stated] if stated else list(_matches(name))
        wells = sorted({well_of(match) for match in matches})
        if len(wells) > 1:
            raise ValueError(f"expected one well in {name!r}, found {wells} (state it in index.pattern)")
        if not matches:
            unnamed += [name] if name not in unnamed else []
            continue
        match = matches[0]
        said = match.groupdict()
        yield {
            "path": path, "page": page, "well": well_of(match), "channel": said.get("channel") or frame.channel,
            "site": said.get("site"), "position": (path, frame.number), "plane": str(frame.plane),
            "timepoint": str(frame.time), "pixel_size": frame.pixel_size, "plate": said.get("plate"),
        }  # fmt: skip


def _matches(name: str) -> Iterator[re.Match[str]]:
    """Yield what names a well in a position, and in the file, without a pattern of the config."""
    position = (compile_pattern(each).fullmatch(name) for each in POSITION)
    found = (next(filter(None, position), None), compile_pattern(FILE).fullmatch(name))
    yield from filter(None, found)


def _numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give positions without a site the numbers from 1 within their well."""
    positions: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for row in rows:
        positions[row["well"]].add(row["position"])
    sites = {(well, one): str(n + 1) for well, all_of in positions.items() for n, one in enumerate(sorted(all_of))}
    return [row | {"site": row["site"] or sites[row["well"], row["position"]]} for row in rows]


def _set(path: str) -> str:
    """Return the name that the files of a measurement share: what is before the well, or else the whole name."""
    name = posixpath.basename(path)
    match = compile_pattern(FILE).fullmatch(f"{name}/")
    return name[: match.start("well")].removesuffix("Well").rstrip(" _-.") if match else name.rpartition(".")[0]
