"""Quality of one plane: quantiles, saturation and two measures of focus.

The two measures fail differently: :func:`focus` uses all spatial frequencies and therefore responds to noise;
:func:`sharpness` is insensitive to noise, but uses distances of one to eight pixels only.
"""

from functools import cache

import numpy as np
from scipy import fft

from wellspring.survey import ceiling

QUANTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
TILE = 256  # edge of a tile whose power spectrum is taken; shorter where the field is
# Distances of the differences, px. Of the sets with which sharpness fell at every step of blur in all of 120 real and
# simulated fields, with and without noise, this one separates a blur of 2 px from none best (benchmarks/sharpness.py).
LAGS = (1, 3, 8)
BLOCK = 2**22  # pixels that are counted at once
STRIP = 64  # rows per strip, so that differences stay in the CPU cache: a third of the time of whole fields


def measure(pixels: np.ndarray, *, saturation: float | None = None) -> dict[str, float]:
    """Measure a plane (H, W) of uint8 or uint16.

    Parameters
    ----------
    saturation
        Grey value from which a pixel counts as saturated; None: the largest of the dtype.

    Returns
    -------
    dict
        ``quantile_<share>``, ``mean``, ``saturated`` (share of the pixels), ``focus`` (see :func:`focus`),
        ``sharpness`` (see :func:`sharpness`), and the top of the histogram (see :mod:`wellspring.survey.ceiling`).
    """
    histogram = np.zeros(np.iinfo(pixels.dtype).max + 1, dtype=np.int64)
    step = max(1, BLOCK // max(1, pixels.shape[1]))  # bincount copies its input to 8 bytes per pixel
    for top in range(0, len(pixels), step):
        histogram += np.bincount(pixels[top : top + step].ravel(), minlength=len(histogram))
    cumulated = np.cumsum(histogram)
    at = np.searchsorted(cumulated, np.maximum(np.array(QUANTILES) * pixels.size, 1))
    level = np.iinfo(pixels.dtype).max if saturation is None else int(np.ceil(saturation))
    measures = {f"quantile_{share}": float(value) for share, value in zip(QUANTILES, at, strict=True)}
    measures["mean"] = float(histogram @ np.arange(len(histogram)) / pixels.size)
    measures["saturated"] = float(histogram[level:].sum() / pixels.size)
    measures |= ceiling.measure(histogram)
    measures["focus"] = focus(pixels)
    measures["sharpness"] = sharpness(pixels)
    return measures


def focus(pixels: np.ndarray) -> float:
    """Return the slope of log power over log spatial frequency; the blurrier, the more negative (0 is white noise).

    The quantity of CellProfiler's MeasureImageQuality (PowerLogLogSlope; Field et al. 1997, Bray et al. 2012), here on
    the mean spectrum of windowed tiles (Welch), from 2 cycles a tile to the Nyquist frequency. NaN for a blank plane.
    Noise is detail to it: far out of focus, where a dim image holds little else, the slope is shallow again.
    """
    edge = min(TILE, *pixels.shape)
    if edge < 16:
        return float("nan")
    starts = [np.unique(np.linspace(0, full - edge, -(-full // edge)).astype(int)) for full in pixels.shape]
    window, ring, count = _rings(edge)
    squares = np.zeros((edge, 2 * ring.shape[1]), dtype=np.float32)
    for y in starts[0]:
        for x in starts[1]:
            tile = pixels[y : y + edge, x : x + edge].astype(np.float32)
            tile -= tile.mean()
            tile *= window
            parts = fft.rfft2(tile, overwrite_x=True).view(np.float32)  # real and imaginary parts side by side
            parts *= parts
            squares += parts
    power = squares.reshape(*ring.shape, 2).sum(axis=2, dtype=np.float64)
    profile = np.bincount(ring.ravel(), power.ravel()) / np.maximum(count, 1)
    at = np.arange(2, edge // 2 + 1)
    if not (profile[at] > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(at), np.log(profile[at]), 1)[0])


def sharpness(pixels: np.ndarray) -> float:
    """Return the share of the contrast within 8 pixels that is reached within 3; lower is blurrier.

    With D(k) the mean squared difference of pixels k apart, along rows and columns, (D(3) - D(1)) / (D(8) - D(1)).
    A difference of two D is twice that of two autocovariances, as in Vollath's F4 (1988), of the kind that Santos et
    al. (1997) found best among 13 focus functions on stained nuclei: the noise of single pixels is in every D alike,
    and so in no difference of two. The quotient takes out brightness, offset, gain, and how many cells there are.
    It is 8/63 = 0.13 for smooth images, 2/7 = 0.29 for straight edges, and up to 1 for grains of a pixel or two.

    NaN where the contrast is no more than noise alone would leave (as in a well without cells), and for planes of less
    than 16 pixels a side.
    """
    if min(pixels.shape) < 16:
        return float("nan")
    height = len(pixels)
    sums, pairs = np.zeros(len(LAGS)), np.zeros(len(LAGS))
    for top in range(0, height, STRIP):
        rows = pixels[top : top + STRIP + LAGS[-1]].astype(np.float32)
        here = min(STRIP, height - top)
        for number, lag in enumerate(LAGS):
            below = max(0, min(here, height - top - lag))
            for found in (rows[:here, lag:] - rows[:here, :-lag], rows[lag : lag + below] - rows[:below]):
                sums[number] += np.vdot(found, found)
                pairs[number] += found.size
    near, middle, far = sums / pairs
    # Of white noise (far - near) / near has a standard deviation of 0.7 to 0.9 / sqrt(pixels).
    if far - near <= 5 * near / np.sqrt(pixels.size):
        return float("nan")
    return float((middle - near) / (far - near))


@cache
def _rings(edge: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a tile's window (edge, edge), the ring of each of its frequencies, and how many each ring has."""
    window = np.outer(np.hanning(edge), np.hanning(edge)).astype(np.float32)
    radius = np.hypot(fft.fftfreq(edge)[:, None], fft.rfftfreq(edge)[None, :]) * edge
    ring = np.round(radius).astype(int)
    return window, ring, np.bincount(ring.ravel())
