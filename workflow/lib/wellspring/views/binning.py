"""Binned fields: area averages of whole images, and smooth upsampling to full size.

The survey keeps a binned field of every image, so that illumination and foreground are estimated without a second read.
"""

import itertools

import numpy as np

EDGE = 64  # bins along the shorter edge: illumination and foreground are smooth at that scale


def shape_of(height: int, width: int, *, edge: int = EDGE) -> tuple[int, int]:
    """Return the shape (h, w) of a binned field (height, width): ``edge`` square bins along the shorter side.

    Examples
    --------
    >>> shape_of(1080, 2160, edge=64)
    (64, 128)
    """
    step = max(1.0, min(height, width) / edge)
    return max(1, round(height / step)), max(1, round(width / step))


def bin_area(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Average images (..., H, W) over bins that tile them: (..., *shape) float32.

    Bin edges are rounded to pixels, so the edges of two bins differ by at most 1 px.
    """
    edges = [_edges(full, small) for full, small in zip(pixels.shape[-2:], shape, strict=True)]
    area = np.diff(edges[0])[:, None] * np.diff(edges[1])[None, :]
    total = np.empty((*pixels.shape[:-2], shape[0], pixels.shape[-1]), dtype=_sums(pixels.dtype, int(area.max())))
    for row, (top, bottom) in enumerate(itertools.pairwise(edges[0])):  # takes 1/5 of the time of `reduceat` on rows
        np.add.reduce(pixels[..., top:bottom, :], axis=-2, dtype=total.dtype, out=total[..., row, :])
    averages: np.ndarray = np.add.reduceat(total, edges[1][:-1], axis=-1) / area
    return averages.astype(np.float32)


def enlarge(view: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Upsample a smooth binned field (h, w) to ``shape`` by a cubic spline through the bin centres: float32.

    The half bin beyond the outermost centres is extrapolated linearly. With fewer than 3 bins along an edge, the mean
    is returned everywhere.
    """
    from scipy.interpolate import RectBivariateSpline

    if min(view.shape) < 3:
        return np.full(shape, view.mean(), dtype=np.float32)
    padded = np.pad(np.asarray(view, dtype=np.float64), 1, mode="reflect", reflect_type="odd")
    centres = []
    for full, small in zip(shape, view.shape, strict=True):
        edges = _edges(full, small)
        centres.append(np.pad((edges[:-1] + edges[1:] - 1) / 2, 1, mode="reflect", reflect_type="odd"))
    full_size: np.ndarray = RectBivariateSpline(*centres, padded)(*(np.arange(full) for full in shape))
    return full_size.astype(np.float32)


def _sums(dtype: np.dtype, pixels: int) -> type[np.generic]:
    """Return the smallest dtype that holds the sum of `pixels` values of `dtype`."""
    if dtype.kind == "f":
        return np.float64
    return np.uint32 if dtype.kind == "u" and pixels * np.iinfo(dtype).max < 2**32 else np.int64


def _edges(full: int, small: int) -> np.ndarray:
    return np.round(np.linspace(0, full, small + 1)).astype(int)
