"""Label images: numbers made consecutive, small objects dropped. 0 is the background."""

import numpy as np
from scipy import ndimage


def relabel(labels: np.ndarray) -> np.ndarray:
    """Renumber labels 1, 2, ... in the order of their old numbers, uint32."""
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    numbers = np.zeros(len(present), dtype=np.uint32)
    numbers[present] = np.arange(1, present.sum() + 1)
    renumbered: np.ndarray = numbers[labels]
    return renumbered


def small(labels: np.ndarray, least: float) -> np.ndarray:
    """Return which labels 0 ... n have an area below `least` px, (n + 1,) bool; the background is none of them."""
    found: np.ndarray = np.bincount(labels.ravel()) < least
    found[0] = False
    return found


def drop_small(mask: np.ndarray, least: float) -> np.ndarray:
    """Return a mask (H, W) without its components of an area below `least` px."""
    labels, _ = ndimage.label(mask)
    kept: np.ndarray = mask & ~small(labels, least)[labels]
    return kept
