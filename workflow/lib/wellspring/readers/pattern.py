"""A folder of images whose names say what they are, and a regular expression, in; the table of planes out.

Named groups: ``well`` (or ``row`` and ``column``), and optionally ``plate``, ``site``, ``channel``, ``plane``. Files
are listed and their size is read; one is opened only to count the pages of a multi-page TIFF, never its pixels.
"""

import logging
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import tifffile

from wellspring import wells
from wellspring.readers.listing import complete, files

logger = logging.getLogger(__name__)

Page = tuple[int, str | None, str | None]  # number, channel, plane; None: as the file's name says


def planes(folder: Path | str, *, plate: str, pattern: str, pages: str = "single") -> pd.DataFrame:
    """List the planes of a plate's folder, sub-folders included.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Where the pattern has a group ``plate``, files of another plate are left.
    pattern
        Matches the end of a file's path relative to the folder, from the start or after a ``/``.
    pages
        ``single``: a file is one plane. ``channel`` or ``plane``: page n of a TIFF is channel or plane n (from 1).
        ``ome``: channels and planes of an OME-TIFF by its OME-XML (numbers from 1 where channels are unnamed).

    Returns
    -------
    pandas.DataFrame
        Columns path (relative), well (normalised), site, channel, plane, page (int), bytes (int); strings otherwise.
        What the name does not say is ``1``.

    Raises
    ------
    ValueError
        The pattern has no well, or no file matches it.
    """
    folder = Path(folder)
    compiled = re.compile(rf"(?:.*/)?(?:{pattern})")
    groups = set(compiled.groupindex)
    if "well" not in groups and not {"row", "column"} <= groups:
        raise ValueError(f"index.pattern: expected a group well, or row and column, found {sorted(groups)}")
    rows: list[tuple[str, str, str, str, str, int]] = []
    others: list[str] = []
    for path, size in files(folder):
        match = compiled.fullmatch(path)
        if match is None:
            others.append(path)
            continue
        found = match.groupdict()
        if found.get("plate", plate) in (plate, None):
            well = wells.normalise(found["well"]) if "well" in found else wells.join(found["row"], found["column"])
            rows.append((path, well, *(found.get(key) or "1" for key in ("site", "channel", "plane")), size))
    logger.info("%s: %d files are planes, %d do not match the pattern %s", plate, len(rows), len(others), others[:5])
    if not rows:
        raise ValueError(
            f"{plate}: no file in {folder} matches index.pattern {pattern!r}; found {len(others)} files, {others[:3]}"
        )
    frame = pd.DataFrame(rows, columns=["path", "well", "site", "channel", "plane", "bytes"])
    if pages == "single":
        return complete(frame)
    return complete(_unfolded(frame, _layouts(folder, frame["path"], pages, plate)))


def _unfolded(frame: pd.DataFrame, layouts: dict[str, list[Page]]) -> pd.DataFrame:
    """Return a row a page in place of a row a file."""
    frame = frame.assign(_page=frame["path"].map(layouts)).explode("_page", ignore_index=True)
    page = pd.DataFrame(frame.pop("_page").tolist(), columns=["page", "_channel", "_plane"], index=frame.index)
    frame["page"] = page["page"].astype(int)
    for key in ("channel", "plane"):
        frame[key] = page[f"_{key}"].where(page[f"_{key}"].notna(), frame[key])
    return frame


def _layouts(folder: Path, paths: pd.Series, pages: str, plate: str) -> dict[str, list[Page]]:
    """Return the pages of each file; a file that can not be opened is given those that most files have."""
    layouts: dict[str, list[Page]] = {}
    broken: list[str] = []
    for path in paths:
        try:
            with tifffile.TiffFile(folder / path) as tiff:
                layouts[path] = _ome(tiff, path) if pages == "ome" else _numbered(len(tiff.pages), pages)
        except (tifffile.TiffFileError, OSError) as error:
            logger.warning("%s: %s: pages can not be counted (%s)", plate, path, error)
            broken.append(path)
    if not layouts:
        raise ValueError(f"{plate}: index.pages is {pages}, and none of {len(broken)} files opens as TIFF in {folder}")
    usual = Counter(tuple(layout) for layout in layouts.values()).most_common(1)[0][0]
    return layouts | {path: list(usual) for path in broken}


def _numbered(count: int, pages: str) -> list[Page]:
    return [(n, str(n + 1), None) if pages == "channel" else (n, None, str(n + 1)) for n in range(count)]


def _ome(tiff: tifffile.TiffFile, path: str) -> list[Page]:
    """Return channel and plane of each page by the OME-XML; axes other than C, Z, Y, X must have one step."""
    if not tiff.is_ome:
        raise ValueError(f"{path}: index.pages is ome, and the file has no OME-XML")
    series = tiff.series[0]
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if any(size > 1 for axis, size in sizes.items() if axis not in "CZYX") or len(series.pages) != len(tiff.pages):
        raise ValueError(f"{path}: expected the axes C, Z, Y, X in one file, found {sizes} on {len(tiff.pages)} pages")
    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    channels = (image[0] if isinstance(image, list) else image)["Pixels"].get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = [str(channel.get("Name") or n + 1) for n, channel in enumerate(channels)]
    names += [str(n + 1) for n in range(len(names), sizes.get("C", 1))]
    order = [axis for axis in series.axes if axis in "CZ"]
    layout: list[Page] = []
    for number in range(len(tiff.pages)):
        step, rest = {}, number
        for axis in reversed(order):
            rest, step[axis] = divmod(rest, sizes[axis])
        layout.append((number, names[step["C"]] if "C" in step else names[0], str(step.get("Z", 0) + 1)))
    return layout
