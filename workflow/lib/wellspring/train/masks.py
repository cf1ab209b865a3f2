"""Masks of patches: draw the patches of each view that are masked for the student.

A view's mask consists of blocks (Bao et al. 2022, BEiT), since single masked patches can be inferred from their
neighbours. Single patches complete it to exactly the share that was drawn for the view.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ASPECT = 0.3  # of a block, height to width, log-uniform in [0.3, 1 / 0.3] (BEiT, DINOv2)
LEAST = 4  # patches of a block (BEiT, DINOv2)
TRIES = 10  # to place a block before single patches complete the mask (BEiT, DINOv2)


@dataclass(frozen=True)
class Hidden:
    """Masks of a batch of N views: `mask` (N, rows, columns) bool, `place` (M,) int64, `weight` (M,) float32.

    `place` is the index of each masked patch among the patches of all views. `weight` is 1 / (N x masked patches of the
    view), so that a weighted sum is the mean over the masked patches of a view, then over views.
    """

    mask: Tensor
    place: Tensor
    weight: Tensor


def hide(mask: np.ndarray, device: torch.device) -> Hidden:
    """Copy masks (N, rows, columns) to a device; indices are computed on the CPU to avoid a synchronisation."""
    share = mask / (len(mask) * mask.sum(axis=(1, 2), keepdims=True).clip(min=1))
    return Hidden(
        mask=torch.from_numpy(mask).to(device, non_blocking=True),
        place=torch.from_numpy(np.flatnonzero(mask)).to(device, non_blocking=True),
        weight=torch.from_numpy(share[mask].astype(np.float32)).to(device, non_blocking=True),
    )


def draw(
    views: int,
    grid: tuple[int, int],
    *,
    probability: float,
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the masks of a batch.

    Parameters
    ----------
    views
        Number of views.
    grid
        Rows and columns of patches.
    probability
        Share of the views that have a mask; the number is the same in every batch (at least one).
    ratio
        Range of the share of a view's patches that are masked. It is divided into one interval per masked view, and
        each view draws from its own interval (DINOv2), so that every batch has both easy and hard masks.
    rng
        Random state.

    Returns
    -------
    np.ndarray
        (views, rows, columns) bool; a view with a mask has at least one masked and one visible patch.
    """
    total = math.prod(grid)
    if total < 2:
        raise ValueError(f"masks: expected crops of two patches or more, found {grid[0]} x {grid[1]}")
    found = np.zeros((views, *grid), dtype=bool)
    chosen = rng.permutation(views)[: max(round(views * probability), 1)]
    edges = np.linspace(*ratio, len(chosen) + 1)
    for view, low, high in zip(chosen, edges[:-1], edges[1:], strict=True):
        count = min(max(round(rng.uniform(low, high) * total), 1), total - 1)
        found[view] = blocks(grid, count, rng=rng)
    return found


def blocks(grid: tuple[int, int], count: int, *, rng: np.random.Generator) -> np.ndarray:
    """Mask exactly `count` patches of a grid, in blocks if they fit, then single patches; (rows, columns) bool."""
    rows, columns = grid
    mask = np.zeros(grid, dtype=bool)
    left, tries = count, TRIES
    while left >= LEAST and tries:
        area = rng.uniform(LEAST, left)
        aspect = math.exp(rng.uniform(math.log(ASPECT), -math.log(ASPECT)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        tries -= 1
        if not (0 < height <= rows and 0 < width <= columns):
            continue
        top, start = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
        block = mask[top : top + height, start : start + width]
        new = block.size - int(block.sum())
        if 0 < new <= left:
            block[:] = True
            left, tries = left - new, TRIES
    seen = np.flatnonzero(~mask.ravel())
    mask.ravel()[rng.choice(seen, size=left, replace=False)] = True
    return mask
