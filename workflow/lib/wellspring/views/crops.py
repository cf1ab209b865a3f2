"""Training crops: a seeded sample of a plate's cells, packed into one array, and its table.

The sample has the same number of cells per well, so that wells have equal weight in training. The sample of a well
depends on the seed, the plate, the well and its own cells; it does not depend on other wells, row order or threads.
"""

import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from wellspring.io import packed
from wellspring.io.disk import reserve
from wellspring.io.keys import CELL_KEY, WELL_KEY
from wellspring.io.ngff import PlateImages
from wellspring.io.tables import atomic
from wellspring.views.cutting import cut, mask

logger = logging.getLogger(__name__)


def well_generator(seed: int, plate: str, well: str) -> np.random.Generator:
    """Return the random generator of one well, seeded by a hash of (seed, plate, well); equal on every machine."""
    digest = hashlib.sha256(f"{seed}\0{plate}\0{well}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def usable(cells: pd.DataFrame, *, border_cells: bool = True, ignore: Iterable[str] = ()) -> pd.Series:
    """Return which cells may be cropped: a bool per cell, true without flags.

    The flag ``border`` is allowed with `border_cells` (the crop is completed by reflection); flags in `ignore` are
    always allowed.
    """
    passed = {"", *ignore, *(["border"] if border_cells else [])}
    return cells["Metadata_Flags"].fillna("").map(lambda flags: set(flags.split(";")) <= passed).astype(bool)


def sample(
    cells: pd.DataFrame, *, seed: int, cells_per_well: int, border_cells: bool = True, batch: str = ""
) -> pd.DataFrame:
    """Draw up to `cells_per_well` usable cells per well, without replacement.

    Parameters
    ----------
    cells
        Table `cells` of a plate. Wells without usable cells give no rows.
    seed
        Seed of the run.
    cells_per_well
        Cells to draw per well.
    border_cells
        Whether cells at the border of their field may be drawn.
    batch
        Batch of the plate, copied to each row.

    Returns
    -------
    pandas.DataFrame
        The drawn cells in key order: the key, the centre, ``Metadata_Batch``, and ``Metadata_Row`` (0, 1, ...).

    Raises
    ------
    ValueError
        `cells_per_well` is below 1.
    """
    if cells_per_well < 1:
        raise ValueError(f"crops.cells_per_well: expected 1 or more, found {cells_per_well}")
    pool = cells[usable(cells, border_cells=border_cells)].sort_values(CELL_KEY, kind="stable")
    drawn = []
    for (plate, well), rows in pool.groupby(WELL_KEY, sort=True):
        order = well_generator(seed, plate, well).permutation(len(rows))
        drawn.append(rows.iloc[np.sort(order[:cells_per_well])])
    frame = pd.concat(drawn) if drawn else pool
    frame = frame[[*CELL_KEY, "Metadata_Center_Y", "Metadata_Center_X"]].reset_index(drop=True)
    return frame.assign(Metadata_Row=np.arange(len(frame), dtype=np.int64), Metadata_Batch=batch)


def pack(
    images: PlateImages,
    rows: pd.DataFrame,
    path: str | Path,
    *,
    size: int,
    threads: int = 1,
    labels: PlateImages | None = None,
    background: np.ndarray | None = None,
) -> None:
    """Cut the crops of `rows` (from `sample`) and write them as one array (N, C, size, size) uint16 at `path`.

    Each field is read once and its crops are written to their rows, so the bytes do not depend on `threads`. The array
    is memory-mapped, so that one field per thread is in memory. The file appears only when it is complete.

    Parameters
    ----------
    images
        Corrected pixels of the plate.
    rows
        See `sample`.
    path
        The NumPy file to write.
    size
        Edge of a crop, px.
    threads
        Fields that are cut at the same time.
    labels, background
        With the plate's label images, pixels outside the cell become `background` (C,), counts.
    """
    shape = (len(rows), len(images.channels), size, size)
    with atomic(path) as temporary:
        array = open_memmap(temporary, mode="w+", dtype=np.uint16, shape=shape)
        reserve(temporary)

        def fill(field: tuple[tuple[str, str], pd.DataFrame]) -> None:
            (well, site), group = field
            centres = group[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy()
            squares = cut(images.read(well, site), centres, size)
            if labels is not None and background is not None:
                own = cut(labels.read(well, site), centres, size)
                mask(squares, own, group["Metadata_Cell"].to_numpy(), background)
            array[group["Metadata_Row"].to_numpy()] = squares

        with ThreadPoolExecutor(max(1, threads)) as pool:
            list(pool.map(fill, rows.groupby(["Metadata_Well", "Metadata_Site"], sort=True)))
        array.flush()
        packed.seal(temporary)
    logger.info("%s: %d crops of %d px, %d channels", images.plate, *shape[:1], size, shape[1])
