"""Matching independently segmented labels of nuclei and cells: a matched pair gets one number.

A nucleus is matched with the cell that holds more than half of its area. Of several nuclei in a cell, the one with the
largest overlap is matched. Unmatched objects keep a number of their own: a second nucleus of a cell, a nucleus without
a cell, a cell without a nucleus.
"""

import numpy as np

from wellspring.cells.labels import relabel


def match(nuclei: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nuclei and cells (H, W) uint32 where a matched pair has one number and a cell contains its nucleus.

    Objects are numbered by their first pixel, row by row: nuclei 1, 2, ..., then cells without a nucleus. The numbers
    of the input do not matter.

    Parameters
    ----------
    nuclei, cells
        (H, W) labels of any integer type, 0 is background.

    Raises
    ------
    ValueError
        The images differ in shape.
    """
    if nuclei.shape != cells.shape:
        raise ValueError(f"label images: expected one shape, found {nuclei.shape} and {cells.shape}")
    nuclei, cells = in_order(nuclei), in_order(cells)
    count, cell_count = int(nuclei.max(initial=0)), int(cells.max(initial=0))
    both = (nuclei > 0) & (cells > 0)
    pairs, overlap = np.unique(np.stack([nuclei[both], cells[both]]), axis=1, return_counts=True)
    owner, mine = pairs.astype(np.int64)
    inside = 2 * overlap > np.bincount(nuclei.ravel(), minlength=count + 1)[owner]
    owner, mine, overlap = owner[inside], mine[inside], overlap[inside]
    # The largest overlap per cell is written last and wins; of equal overlaps, the first nucleus.
    order = np.lexsort((-owner, overlap))
    number = np.arange(cell_count + 1) + count
    number[0] = 0
    number[mine[order]] = owner[order]
    cells = number[cells]
    matched = np.isin(nuclei, number[np.unique(mine)]) & (nuclei > 0)
    cells = np.where(matched, nuclei, cells)
    nuclei, cells = relabel(np.stack([nuclei, cells]))
    return nuclei, cells


def in_order(labels: np.ndarray) -> np.ndarray:
    """Renumber labels 1, 2, ... by their first pixel, row by row: int64."""
    present, first, place = np.unique(labels, return_index=True, return_inverse=True)
    number = np.zeros(len(present), dtype=np.int64)
    objects = np.flatnonzero(present)
    number[objects[np.argsort(first[objects])]] = np.arange(1, len(objects) + 1)
    return number[place].reshape(labels.shape)
