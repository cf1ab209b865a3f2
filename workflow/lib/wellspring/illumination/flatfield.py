"""What estimates of a light path share: a flat field with its dark field, smooth surfaces, halves, and the median.

A light path makes ``view[i, p] = dark[p] + flat[p] * light[i, p]`` of the light from field i at place p.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from scipy.ndimage import median_filter
from scipy.optimize import brentq

FEW = 16  # fields below which nothing finer than a bowl is estimated
LOWEST = 0.05  # quantile over the fields of their darkest value: a dark field is below it
SMALLEST = 0.05  # of the mean, where an estimate would not be positive


@dataclass(frozen=True)
class Light:
    """``flat`` (h, w) float64 of mean 1, positive; ``dark`` (h, w) float64 counts."""

    flat: np.ndarray
    dark: np.ndarray


def light(flat: np.ndarray, dark: np.ndarray | float = 0.0) -> Light:
    """Return a flat field (h, w) of any scale at mean 1 and positive, with a dark field (h, w) or of one value."""
    flat = np.asarray(flat, dtype=np.float64)
    flat = np.maximum(flat / flat.mean(), SMALLEST) if flat.mean() > 0 else np.ones_like(flat)
    return Light(flat / flat.mean(), np.broadcast_to(np.asarray(dark, dtype=np.float64), flat.shape).copy())


def limited(flat: np.ndarray, gain: float) -> np.ndarray:
    """Return a flat field (h, w) of mean 1 cut so that pixels are multiplied by at most ``gain``, at least its inverse.

    Examples
    --------
    >>> limited(np.array([[0.1, 1.0, 1.9]]), 2.0).round(3).tolist()
    [[0.5, 0.862, 1.638]]
    """
    flat = np.asarray(flat, dtype=np.float64)
    flat = np.maximum(flat / flat.mean(), SMALLEST / gain)
    if flat.min() >= 1 / gain and flat.max() <= gain:
        return flat

    def cut(level: float) -> np.ndarray:
        """Return the flat field cut about a level; the right level is the one that makes its mean 1."""
        return np.clip(flat / level, 1 / gain, gain)

    ends = float(flat.min()) / gain, float(flat.max())  # all are cut to the gain; none is above 1
    return cut(brentq(lambda level: cut(level).mean() - 1, *ends, xtol=1e-9)) if gain > 1 else np.ones_like(flat)


def darkest(stack: np.ndarray) -> float:
    """Return the counts that no dark field of views (n, h, w) exceeds.

    The 5 % quantile over the fields of each field's darkest bin, so that one failed exposure does not decide.
    """
    return float(np.quantile(stack.min(axis=(1, 2)), LOWEST))


def median(stack: np.ndarray, *, offset: float = 0.0, window: float = 0.09) -> Light:
    """Smooth the mean of views (n, h, w) over fields, as the JUMP pipelines do, by a median filter.

    ``window`` is the filter's edge as a share of the field: 20 px at a fifth of 1080 (JUMP_illum_LoadData_v1.cppipe).
    JUMP takes no ``offset`` off, and divides by the 2nd percentile where 1 is here the mean. With fewer than ``FEW``
    fields a bowl is fitted to the result.
    """
    size = max(3, round(window * min(stack.shape[1:])))
    smooth = median_filter(stack.mean(axis=0, dtype=np.float64) - offset, size=size, mode="nearest")
    smooth = np.maximum(smooth, np.quantile(smooth, 0.02))
    if len(stack) < FEW:
        basis = smooth_basis(smooth.shape, 2)
        smooth = (basis @ np.linalg.lstsq(basis, smooth.ravel(), rcond=None)[0]).reshape(smooth.shape)
    return light(smooth, offset)


def halves(count: int) -> np.ndarray:
    """Return the fields (count,) of one half, bool; sites of a well, which follow each other, mostly stay together."""
    return np.arange(count) % 4 < 2


def smooth_basis(shape: tuple[int, int], degree: int) -> np.ndarray:
    """Return the Legendre products of total degree up to ``degree`` on a grid: (h * w, terms), the constant first."""
    axes = [legendre.legvander((np.arange(n) + 0.5) / n * 2 - 1, degree) for n in shape]
    terms = sorted(((i, j) for i in range(degree + 1) for j in range(degree + 1 - i)), key=sum)
    return np.stack([np.outer(axes[0][:, i], axes[1][:, j]).ravel() for i, j in terms], axis=1)
