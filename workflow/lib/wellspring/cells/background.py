"""Haze removed from an image of nuclei, and levels of background and foreground, for thresholds."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

BINS = 512
# Window of the background, in diameters: wider than a clump of nuclei, narrower than haze. On the tuning half of
# benchmarks/segmentation.py, 8 was better than none, and 4 and 6 about as good.
WINDOW = 8.0
# Dead cells are far brighter than others and fewer: what is dimmer are nuclei if its threshold is so many times lower,
# its area so many times larger, and its threshold so many standard deviations of the background above that.
BRIGHTER, OUTNUMBERED, CLEAR = 10.0, 1.5, 2.0
ODD = 4  # one in so many fields of a plate may be brighter than any other without moving the plate's thresholds
GRAIN = 6  # px per diameter on which the background is found; it has no finer structure


def smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return an image (H, W) after a Gaussian of at least half a pixel, float32."""
    smooth: np.ndarray = ndimage.gaussian_filter(image.astype(np.float32), max(sigma, 0.5))
    return smooth


def flattened(smooth: np.ndarray, diameter: float) -> np.ndarray:
    """Return a smoothed image (H, W) without its background, which is a smoothed morphological opening.

    The window is `WINDOW` diameters wide, so that light wider than that is removed: haze, scattered light, a residual
    of the illumination. Nuclei and clumps of them are narrower.
    """
    step = max(1, int(diameter / GRAIN))
    edge = max(3, round(WINDOW * diameter / step) | 1)
    coarse = ndimage.gaussian_filter(smooth[::step, ::step], 1)
    opened = ndimage.maximum_filter(ndimage.minimum_filter(coarse, edge), edge)
    opened = ndimage.gaussian_filter(opened, edge / 4)
    grid = np.mgrid[: smooth.shape[0], : smooth.shape[1]] / step
    flat: np.ndarray = smooth - ndimage.map_coordinates(opened, grid, order=1, mode="nearest")
    return flat


def levels(values: np.ndarray) -> tuple[float, float]:
    """Return background and Otsu threshold of square roots, where shot noise is uniform and dim cells count more."""
    low = float(values.min())
    roots = np.sqrt(values - low)
    cut = float(threshold_otsu(roots.ravel(), nbins=BINS)) ** 2 + low
    below = values[values <= cut]
    return float(np.median(below)) if below.size else low, cut


def capped(fields: Sequence[np.ndarray], noises: Sequence[float]) -> np.ndarray:
    """Return the pixels (n,) of all fields, in the brightest of them no brighter than in the usual ones.

    Of the fields with signal, one in `ODD` may hold brighter objects than all others, such as precipitate or a glow.
    Nuclei of the other fields are then not taken for background.

    Parameters
    ----------
    fields
        Smoothed pixels of each field.
    noises
        Standard deviation of the noise of each.
    """
    tops = []
    for values, noise in zip(fields, noises, strict=True):
        low, cut = levels(values) if values.min() < values.max() else (0.0, 0.0)
        if cut - low > 6 * noise:
            tops.append(float(values.max()))
    pixels = np.concatenate([values.ravel() for values in fields])
    return np.minimum(pixels, sorted(tops)[-1 - len(tops) // ODD]) if tops else pixels


def plate_levels(values: np.ndarray) -> tuple[float, float]:
    """Return background and threshold (n,) of a plate's pixels: of the dimmer objects where brighter ones are fewer.

    Bright pyknotic bodies in most fields of a plate raise Otsu's threshold above all other nuclei. Then a second
    threshold of the pixels below the first one separates these nuclei from the background.
    """
    background, cut = levels(values)
    below = values[values <= cut]
    if not below.size or below.min() == below.max():
        return background, cut
    low, lower = levels(below)
    noise = 1.4826 * float(np.median(np.abs(below[below <= lower] - low)))
    many = np.count_nonzero(below > lower) >= OUTNUMBERED * np.count_nonzero(values > cut)
    bright, clear = cut - background >= BRIGHTER * (lower - low), lower - low > CLEAR * noise
    return (low, lower) if many and bright and clear else (background, cut)
