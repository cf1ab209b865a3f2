"""Compare the pages of a plate's TIFF files with the planes that its reader lists: no page is left out unnoticed.

A reader that lists one plane per file has not looked into it. A few files of each channel are opened. Where most of
them have several pages, these are named by ImageJ's metadata, or by the number of z steps in a ``.HTD``; else they are
an error. Where ImageJ names the pages, each file has its own number. Another file that differs from most is a damaged
image: the survey excludes it.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tifffile

from wellspring.index.readers import labels
from wellspring.io import tiff_plane
from wellspring.io.raw_image import TIFF_ENDINGS

logger = logging.getLogger(__name__)

AXES = {"channel": "channels", "plane": "slices", "timepoint": "frames"}  # ImageJ's names, the fastest first
SAMPLE = 5  # files of a channel that are opened, spread over the listing, besides the largest one


@dataclass(frozen=True)
class Content:
    """A file's number of pages, the number that can be read one by one, sizes of axes and labels if it states them."""

    count: int
    readable: int
    axes: dict[str, int]
    labels: tuple[str, ...] = ()


def complete(
    planes: pd.DataFrame,
    folder: Path,
    *,
    plate: str,
    option: str,
    steps: int | None = None,
    aliases: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the planes, with a row for each page of files that were listed as one plane.

    Parameters
    ----------
    planes
        As ``listing.complete``.
    folder
        The plate's folder on disk.
    option
        ``index.pages``: ``first`` takes the first page of each file.
    steps
        Number of focal planes that the acquisition has by its settings, if they state it.
    aliases
        `index.channels`, with which ImageJ's labels of the pages are compared.

    Raises
    ------
    ValueError
        Files have more pages than planes are listed, and nothing names these pages.
    """
    if option == "first":
        return planes
    pages = planes.dropna(subset=["path"]).groupby("path")["page"].agg(["count", "max"])
    single = set(pages.index[(pages["count"] == 1) & (pages["max"] == 0)])
    rows = planes[planes["path"].isin(single)]
    rows = rows[rows["path"].str.lower().str.endswith(TIFF_ENDINGS)]
    opened = {path: found for path in _sample(rows) if (found := content(folder / path))}
    if not opened:
        return planes
    usual = Counter(found.count for found in opened.values()).most_common(1)[0][0]
    if usual == 1:
        stacks = [each for each in opened.values() if each.count > 1 and each.count == each.readable]
        several = [axis for stack in stacks for axis, size in stack.axes.items() if size > 1]
        if not several or any(rows[axis].nunique() > 1 for axis in several):
            return planes  # a file of several pages that nothing names: the survey excludes it
        return _unfolded(planes, set(rows["path"]), folder, {}, 1, plate, aliases or {})
    path, found = next((path, found) for path, found in opened.items() if found.count == usual)
    axes = found.axes or ({"plane": steps} if steps == found.count else {})
    named = [axis for axis, size in axes.items() if size > 1]
    taken = [axis for axis in named if rows[axis].nunique() > 1]
    if not named or taken or found.readable < found.count:
        raise ValueError(_refusal(plate, path, found, taken))
    logger.info("%s: files have %d pages, which are %s", plate, found.count, " and ".join(named))
    return _unfolded(planes, set(rows["path"]), folder, axes, found.count, plate, aliases or {})


def content(path: Path) -> Content | None:
    """Return what a TIFF holds, None where it cannot be opened: the survey finds its fault."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        with tifffile.TiffFile(path) as tiff:
            readable = len(tiff.pages) if tiff.is_ome else len(tiff_plane.images(tiff))
            imagej = tiff.imagej_metadata or {} if tiff.is_imagej else {}
            stack = (tiff.stk_metadata or {}).get("NumberPlanes", 1) if tiff.is_stk else 1
            count = max(readable, int(imagej.get("images", 1)), int(stack))
            axes = {axis: int(imagej.get(name, 1)) for axis, name in AXES.items()}
            named = labels.of(tiff)
    except Exception as error:  # decoders raise whatever they meet in a damaged file
        logger.info("%s: pages cannot be counted: %s", path, error)
        return None
    whole = axes["channel"] * axes["plane"] * axes["timepoint"]
    return Content(count, readable, axes if imagej and whole == count else {}, named)


def _sample(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a few files of each channel: some that are spread over the listing, and the largest."""
    chosen: dict[str, None] = {}
    for _, part in rows.groupby("channel", sort=True):
        step = max(1, len(part) // SAMPLE)
        chosen |= dict.fromkeys([*part["path"].iloc[::step][:SAMPLE], part.loc[part["bytes"].idxmax(), "path"]])
    yield from chosen


def _refusal(plate: str, path: str, found: Content, taken: list[str]) -> str:
    head = f"{plate}: expected files of one page, found {path} with {found.count}"
    if found.readable < found.count:
        return f"{head}, stored as one block, which is not read page by page: save it with a page per plane"
    if taken:
        return f"{head}, which are {taken} by its metadata, although the files already name {taken} (set index.pages)"
    return (
        f"{head}, and nothing in it names them: set index.pages to channel or plane (with the reader pattern), or to "
        "first to leave out all but the first"
    )


def _unfolded(
    planes: pd.DataFrame,
    paths: set[str],
    folder: Path,
    axes: dict[str, int],
    count: int,
    plate: str,
    aliases: Mapping[str, str],
) -> pd.DataFrame:
    """Return a row per page of the files, by each file's own metadata.

    A file without metadata that has other pages than most has rows without path.
    """
    usual = tuple(axes.get(axis, 1) for axis in AXES)
    sizes: dict[str, tuple[int, ...]] = {}
    odd = {}
    labelled: dict[str, tuple[str, ...]] = {}
    for path in sorted(paths):
        found = content(folder / path)
        sizes[path] = usual
        if found is not None and found.axes.get("channel", 1) > 1:  # channels are the fastest axis
            labelled[path] = found.labels[: found.axes["channel"]]
        if found is None or found.count == count and found.axes in ({}, axes):
            continue
        if found.axes and found.readable == found.count:  # wells may have different numbers of focal planes
            sizes[path] = tuple(found.axes[axis] for axis in AXES)
        else:
            odd[path] = found.count
    labels.check(labelled, aliases, plate=plate)
    if odd:
        shown = dict(list(odd.items())[:5])
        logger.warning("%s: %d files count as missing: expected %d pages, found %s", plate, len(odd), count, shown)
    pages = pd.DataFrame([(path, *row) for path, size in sizes.items() for row in _numbered(size)])
    pages.columns = ["path", "page", *(f"_{axis}" for axis in AXES)]
    inside = planes["path"].isin(paths)
    opened = planes[inside].drop(columns="page").merge(pages, how="left", on="path")
    for axis in AXES:
        number = opened.pop(f"_{axis}")
        opened[axis] = number.where(number.notna(), opened[axis])
    lost = opened["path"].isin(odd)
    opened = opened.assign(path=opened["path"].where(~lost, None), bytes=opened["bytes"].where(~lost, 0))
    return pd.concat([planes[~inside], opened[planes.columns]], ignore_index=True)


def _numbered(sizes: tuple[int, ...]) -> Iterator[tuple[int | str | None, ...]]:
    """Yield number, channel, plane and time point of each page, the channels fastest; None for an axis of one."""
    for page in range(math.prod(sizes)):
        rest, found = page, []
        for size in sizes:
            found.append(str(rest % size + 1) if size > 1 else None)
            rest //= size
        yield page, *found
