"""The views of a plate, field by field: tiles of a grid over the field, or squares around its cells.

Each field is read once, in order, by threads that read a limited number of fields ahead, so that memory does not grow
with the plate.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.io.ngff import PlateImages
from wellspring.views import cutting

AHEAD = 2  # fields that each thread reads ahead
CELLS = [f"Metadata_{name}" for name in ("Well", "Site", "Cell", "Center_Y", "Center_X", "Flags")]


@dataclass(frozen=True)
class Part:
    """The views of one field.

    Attributes
    ----------
    well, site
        Of the field.
    numbers
        (n,) of the tiles (from 1, row by row) or cells.
    centres
        (n, 2), (y, x) in pixels.
    pixels
        (n, C, size, size) uint16.
    field
        (C, H, W) uint16, the whole field.
    """

    well: str
    site: str
    numbers: np.ndarray
    centres: np.ndarray
    pixels: np.ndarray
    field: np.ndarray


def tiles(
    plate: PlateImages,
    channels: list[str],
    *,
    size: int,
    stride: int,
    stain: str,
    above: float,
    least: float,
    readers: int = 1,
) -> Iterator[Part]:
    """Yield the tiles with foreground of each field; fields without such tiles are left out.

    Parameters
    ----------
    plate
        Corrected pixels.
    channels
        In the order of the encoder.
    size, stride
        Edge of a tile and step of the grid, px. Tiles are numbered from 1, row by row.
    stain, above, least
        A tile is taken when the share of its pixels above `above` counts in the channel `stain` is at least `least`,
        and not 0.
    readers
        Number of threads.
    """

    def read(well: str, site: str) -> Part | None:
        field = plate.read(well, site, channels)
        height, width = field.shape[1:]
        origins = cutting.tile_grid(height, width, size, stride)
        share = cutting.foreground_fraction(field[channels.index(stain)] > above, origins, size)
        filled = np.flatnonzero((share >= least) & (share > 0))
        if not len(filled):
            return None
        corners = origins[filled]
        return Part(well, site, filled + 1, corners + (size - 1) / 2, cutting.blocks(field, corners, size), field)

    return _ahead(read, plate.fields, readers=readers)


def cells(
    plate: PlateImages,
    table: pd.DataFrame,
    channels: list[str],
    *,
    size: int,
    leave_out: tuple[str, ...] = (),
    labels: PlateImages | None = None,
    background: np.ndarray | None = None,
    readers: int = 1,
) -> Iterator[Part]:
    """Yield the squares of edge `size` around each field's cells; fields without a cell are left out.

    Parameters
    ----------
    plate
        Corrected pixels.
    table
        Table `cells` of the plate, with the columns CELLS.
    channels
        In the order of the encoder.
    size
        Edge of a square, px.
    leave_out
        Cells with any of these flags are left out.
    labels, background
        With the plate's label images, pixels outside the cell become `background` (C,), counts.
    readers
        Number of threads.
    """
    chosen = without_flags(table[CELLS], leave_out)
    numbers = chosen["Metadata_Cell"].to_numpy()
    centres = chosen[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy(np.float64)
    rows = chosen.groupby(["Metadata_Well", "Metadata_Site"], sort=False).indices

    def read(well: str, site: str) -> Part:
        here, field = rows[well, site], plate.read(well, site, channels)
        squares = cutting.cut(field, centres[here], size)
        if labels is not None and background is not None:
            cutting.mask(squares, cutting.cut(labels.read(well, site), centres[here], size), numbers[here], background)
        return Part(well, site, numbers[here], centres[here], squares, field)

    return _ahead(read, [field for field in plate.fields if field in rows], readers=readers)


def without_flags(table: pd.DataFrame, flags: Collection[str]) -> pd.DataFrame:
    """Return the rows of a table `cells` without any of `flags`, ordered by `Metadata_Cell`."""
    own = table["Metadata_Flags"].fillna("")
    refused = [each for each in own.unique() if not set(flags).isdisjoint(each.split(";"))]
    return table[~own.isin(refused)].sort_values("Metadata_Cell")


def batches(parts: Iterator[Part], size: int) -> Iterator[list[Part]]:
    """Regroup the views of fields into lists with `size` views in total (the last may have fewer); splits fields."""
    waiting: list[Part] = []
    missing = size
    for part in parts:
        start = 0
        while len(part.numbers) - start >= missing:
            yield [*waiting, _slice(part, start, start + missing)]
            start, missing, waiting = start + missing, size, []
        if start < len(part.numbers):
            waiting.append(_slice(part, start, len(part.numbers)))
            missing -= len(part.numbers) - start
    if waiting:
        yield waiting


def _slice(part: Part, start: int, stop: int) -> Part:
    return Part(
        part.well,
        part.site,
        part.numbers[start:stop],
        part.centres[start:stop],
        part.pixels[start:stop],
        part.field,
    )


def _ahead(read: Callable[[str, str], Part | None], fields: list[tuple[str, str]], *, readers: int) -> Iterator[Part]:
    """Yield the result of `read` per field, in order, while threads read the next fields; None is left out."""
    waiting: deque[Future[Part | None]] = deque()
    with ThreadPoolExecutor(readers) as pool:
        try:
            for field in fields:
                waiting.append(pool.submit(read, *field))
                if len(waiting) > AHEAD * readers and (part := waiting.popleft().result()) is not None:
                    yield part
            while waiting:
                if (part := waiting.popleft().result()) is not None:
                    yield part
        finally:
            pool.shutdown(cancel_futures=True)
