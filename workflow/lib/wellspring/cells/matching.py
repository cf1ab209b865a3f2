"""Label images of nuclei and of cells that know nothing of each other in, the same with one number a pair out.

A nucleus belongs to the cell that holds more than half of it, so to one at most; of several nuclei in a cell the one
with the largest part in it. What finds no partner keeps a number of its own and is not dropped: a cell's second
nucleus, a nucleus whose cell was not found, a cell without one.
"""

import numpy as np

from wellspring.cells.segment import relabel


def match(nuclei: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nuclei and cells (H, W) uint32 in which a pair bears one number, and a cell holds its whole nucleus.

    Numbers follow the first pixels, row by row: nuclei 1, 2, ..., then the cells without one. How the labels that come
    in are numbered does not count.

    Parameters
    ----------
    nuclei, cells
        (H, W) labels of any integer type, 0 the background.
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
    # Of each cell's nuclei the largest part, of equal ones the first: written last, so it stays.
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
    """Return the labels numbered 1, 2, ... by their first pixels, row by row: int64."""
    present, first, place = np.unique(labels, return_index=True, return_inverse=True)
    number = np.zeros(len(present), dtype=np.int64)
    objects = np.flatnonzero(present)
    number[objects[np.argsort(first[objects])]] = np.arange(1, len(objects) + 1)
    return number[place].reshape(labels.shape)
