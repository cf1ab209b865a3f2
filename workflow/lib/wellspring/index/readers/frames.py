"""Find the page of a file that CellProfiler's columns ``Series_<Channel>`` and ``Frame_<Channel>`` mean.

A frame is a plane within an image of a file, a series is one of several images in a file, both counted from 0. Where no
series is named a frame is a page. A file is opened only where its series is not the first.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import tifffile

from wellspring.io import tiff_plane

PAGES = 10**6  # of one file


def of(rows: pd.DataFrame, channel: str, paths: pd.Series, *, folder: Path, table: Path | str) -> list[int]:
    """Return the page of each row's image of a channel, 0 where the table has no such columns.

    Parameters
    ----------
    rows
        The table.
    channel
        The channel as in the names of its columns.
    paths
        Path of each row's file relative to ``folder``, null where it is missing.
    table
        The table, for errors.

    Raises
    ------
    ValueError
        A number is not a count, or a file has no such series or frame; names the table or the file.
    """
    frame, series = (_counts(rows, f"{kind}_{channel}", table) for kind in ("Frame", "Series"))
    found: dict[tuple[str, int, int], int] = {}
    pages = []
    for path, one, number in zip(paths, series, frame, strict=True):
        if one and isinstance(path, str):
            key = (path, one, number)
            found[key] = found[key] if key in found else _page(folder / path, one, number)
            pages.append(found[key])
        else:
            pages.append(number)
    return pages


def _counts(rows: pd.DataFrame, column: str, table: Path | str) -> list[int]:
    if column not in rows:
        return [0] * len(rows)
    numbers = pd.to_numeric(rows[column].fillna("0"), errors="coerce")
    if not (numbers.between(0, PAGES) & (numbers % 1 == 0)).all():
        raise ValueError(f"{table}: {column}: expected numbers from 0 to {PAGES}, found others")
    return [int(number) for number in numbers]


def _page(path: Path, series: int, frame: int) -> int:
    """Return the page of a frame of a series; in a file of one series, its pages count as series of one frame."""
    if not path.is_file():
        raise ValueError(f"{path}: expected a file on disk, since its series {series} is named, found none")
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = list(_pages(tiff))
    except Exception as error:  # decoders raise whatever they meet in a damaged file
        raise ValueError(f"{path}: expected a TIFF, since its series {series} is named, found: {error}") from error
    if len(pages) == 1 and not frame:
        pages = [[page] for page in pages[0]]
    if series >= len(pages) or frame >= len(pages[series]):
        counts = [len(each) for each in pages][:10]
        raise ValueError(f"{path}: expected frame {frame} of series {series}, found series of {counts} frames")
    return pages[series][frame]


def _pages(tiff: tifffile.TiffFile) -> Iterator[list[int]]:
    """Yield the pages of each series, numbered as :func:`wellspring.io.tiff_plane.images` does."""
    whole = range(len(tiff.pages)) if tiff.is_ome else tiff_plane.images(tiff)
    numbers = {directory: number for number, directory in enumerate(whole)}
    for series in tiff.series:
        found = [numbers[page.index] for page in series.pages if page is not None and page.index in numbers]
        if found:
            yield found
