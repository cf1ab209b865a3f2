"""Masks of patches: draw the patches of each view that are masked for the student.

A view's mask is made of blocks (Bao et al. 2022, BEiT), since single masked patches are read off their neighbours, and
completed by single patches to exactly the share that was drawn for it.
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
    """What a batch of N views hides: `mask` (N, rows, columns) bool, `place` (M,) int64, `weight` (M,) float32.

    `place` numbers the masked patches among all patches of all views, and `weight` is 1 / (N x masked patches of the
    view), with which a sum over masked patches is a mean over a view's and then over views.
    """

    mask: Tensor
    place: Tensor
    weight: Tensor


def hide(mask: np.ndarray, device: torch.device) -> Hidden:
    """Put masks (N, rows, columns) on a device; numbers are found before, so that a GPU is not waited for."""
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
        Share of the views that have a mask: as many of them in every batch (at least one), so that steps compare.
    ratio
        Range of the share of a view's patches that are masked. It is cut into as many parts as there are masked views,
        and each draws from a part of its own (DINOv2), so that a batch holds easy and hard ones alike.
    rng
        Random state.

    Returns
    -------
    np.ndarray
        (views, rows, columns) bool; a view with a mask has at least one masked patch, and one that is not.
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
    """Mask exactly `count` patches of a grid, in blocks as far as they fit; (rows, columns) bool."""
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
