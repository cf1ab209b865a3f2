"""The views of a plate, field by field: a stored plate flows in, what an encoder looks at flows out, read ahead.

A view is a tile of a grid over the field, or a square around a cell. Each field is read once, in its order, by threads
that are some fields ahead of the network and no more, so that memory does not grow with the plate.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.io.ngff import PlateImages
from wellspring.views import cutting

AHEAD = 2  # fields a reader is ahead
CELLS = [f"Metadata_{name}" for name in ("Well", "Site", "Cell", "Center_Y", "Center_X", "Flags")]


@dataclass(frozen=True)
class Part:
    """The views of one field.

    Numbers (n,) of the tiles or cells, centres (n, 2) in pixels, pixels (n, C, size, size) uint16, and the whole field
    (C, H, W), from which they are.
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
    """Yield the tiles of each field that hold foreground; fields without one are left out.

    Parameters
    ----------
    plate
        Corrected pixels.
    channels
        In the order of the encoder.
    size, stride
        Edge of a tile and step of the grid, pixels. Tiles are numbered from 1, row by row.
    stain, above, least
        A tile is taken when the share `least` of its pixels is above `above` counts in the channel `stain`.
    readers
        Threads.
    """

    def read(well: str, site: str) -> Part | None:
        field = plate.read(well, site, channels)
        origins = cutting.tile_grid(*field.shape[1:], size, stride)
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
        The plate's table `cells`, of which the columns CELLS are needed.
    channels
        In the order of the encoder.
    size
        Edge of a square in pixels.
    leave_out
        Cells with one of these flags are left out.
    labels, background
        With the plate's label images what is not the cell becomes `background` (C,) counts.
    readers
        Threads.
    """
    chosen = without_flags(table[CELLS], leave_out)
    numbers = chosen["Metadata_Cell"].to_numpy()
    centres = chosen[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy(np.float64)
    rows = chosen.groupby(["Metadata_Well", "Metadata_Site"], sort=False).indices

    def read(well: str, site: str) -> Part:
        here, field = rows[well, site], plate.read(well, site, channels)
        squares = cutting.cut(field, centres[here], size)
        if labels is not None:
            cutting.mask(squares, cutting.cut(labels.read(well, site), centres[here], size), numbers[here], background)
        return Part(well, site, numbers[here], centres[here], squares, field)

    return _ahead(read, [field for field in plate.fields if field in rows], readers=readers)


def without_flags(table: pd.DataFrame, flags: Collection[str]) -> pd.DataFrame:
    """Return the rows of a table `cells` that bear none of `flags`, in the order of `Metadata_Cell`."""
    own = table["Metadata_Flags"].fillna("")
    refused = [each for each in own.unique() if not set(flags).isdisjoint(each.split(";"))]
    return table[~own.isin(refused)].sort_values("Metadata_Cell")


def batches(parts: Iterator[Part], size: int) -> Iterator[list[Part]]:
    """Regroup the views of fields into lists of `size` views in all, the last one smaller; a field may be split."""
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
    """Yield what `read` makes of each field, in their order, while threads read the next ones."""
    waiting: deque = deque()
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
