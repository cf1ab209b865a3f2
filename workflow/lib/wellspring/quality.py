"""What is measured of one plane: pixels in; quantiles, saturation and focus out."""

import numpy as np
from scipy import fft

QUANTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
TILE = 256  # edge of a tile whose power spectrum is taken; shorter where the field is


def measure(pixels: np.ndarray, *, saturation: float | None = None) -> dict[str, float]:
    """Measure a plane (H, W) of uint8 or uint16.

    Parameters
    ----------
    saturation
        Grey value from which a pixel counts as saturated; None: the largest of the dtype.

    Returns
    -------
    dict
        ``quantile_<share>``, ``mean``, ``saturated`` (share of the pixels), ``focus`` (see :func:`focus`).
    """
    histogram = np.bincount(pixels.ravel(), minlength=np.iinfo(pixels.dtype).max + 1)
    cumulated = np.cumsum(histogram)
    at = np.searchsorted(cumulated, np.maximum(np.array(QUANTILES) * pixels.size, 1))
    level = np.iinfo(pixels.dtype).max if saturation is None else int(np.ceil(saturation))
    measures = {f"quantile_{share}": float(value) for share, value in zip(QUANTILES, at, strict=True)}
    measures["mean"] = float(histogram @ np.arange(len(histogram)) / pixels.size)
    measures["saturated"] = float(histogram[level:].sum() / pixels.size)
    measures["focus"] = focus(pixels)
    return measures


def focus(pixels: np.ndarray) -> float:
    """Return the slope of log power over log spatial frequency; the blurrier, the more negative (0 is white noise).

    The quantity of CellProfiler's MeasureImageQuality (PowerLogLogSlope; Field et al. 1997, Bray et al. 2012), here on
    the mean spectrum of windowed tiles (Welch), from 2 cycles a tile to the Nyquist frequency. NaN for a blank plane.
    """
    edge = min(TILE, *pixels.shape)
    if edge < 16:
        return float("nan")
    starts = [np.unique(np.linspace(0, full - edge, -(-full // edge)).astype(int)) for full in pixels.shape]
    window = np.outer(np.hanning(edge), np.hanning(edge)).astype(np.float32)
    power = np.zeros((edge, edge // 2 + 1))
    for y in starts[0]:
        for x in starts[1]:
            tile = pixels[y : y + edge, x : x + edge].astype(np.float32)
            power += np.abs(fft.rfft2((tile - tile.mean()) * window)) ** 2
    radius = np.hypot(fft.fftfreq(edge)[:, None], fft.rfftfreq(edge)[None, :]) * edge
    ring = np.round(radius).astype(int)
    count = np.bincount(ring.ravel())
    profile = np.bincount(ring.ravel(), power.ravel()) / np.maximum(count, 1)
    at = np.arange(2, edge // 2 + 1)
    if not (profile[at] > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(at), np.log(profile[at]), 1)[0])
