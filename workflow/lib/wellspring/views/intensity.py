"""The robust intensity scale of a plate's channels, from histograms of its corrected pixels.

The table `intensity` has one row per channel: the limits (counts) that are scaled to 0 and 1, and mean and standard
deviation of the scaled pixels. The scale is per plate and channel, not per field or crop, because absolute intensity
within a plate is signal.
"""

import numpy as np
import pandas as pd

LEVELS = 2**16
# Every 4th row of pixels is counted, since neighbouring rows are similar: the limits of single fields of 1080 px (real
# and demo) change by less than 1 %, and counting all rows takes 1/6 of the time of the stage.
STEP = 4


def scale(pixels: np.ndarray, low: np.ndarray, high: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Scale corrected pixels linearly to [0, 1] by the limits of their channel, and clip.

    Parameters
    ----------
    pixels
        (..., C, H, W), any real dtype; counts.
    low, high
        (C,) counts that become 0 and 1. A channel with ``high <= low`` becomes 0 everywhere.
    out
        Array for the result, same shape, float32; None allocates one.

    Returns
    -------
    numpy.ndarray
        Same shape, float32.
    """
    low = np.asarray(low, dtype=np.float32)
    span = np.asarray(high, dtype=np.float32) - low
    if pixels.ndim < 3 or low.shape != span.shape or low.shape != (pixels.shape[-3],):
        raise ValueError(
            f"pixels of shape {pixels.shape}: expected (..., C, H, W) with {low.size} channels, the limits' number"
        )
    factor = np.where(span > 0, 1 / np.where(span > 0, span, 1), 0).astype(np.float32)
    # In place: touching new memory takes several times as long as the arithmetic.
    scaled: np.ndarray = np.empty(pixels.shape, dtype=np.float32) if out is None else out
    scaled[...] = pixels
    scaled -= low[:, None, None]
    scaled *= factor[:, None, None]
    np.clip(scaled, 0, 1, out=scaled)
    return scaled


def counts(pixels: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the histograms of a field (C, H, W) uint16, (C, 65536) int64; added to ``out`` where it is given."""
    if pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ValueError(f"expected a field (C, H, W) of uint16, found {pixels.shape} of {pixels.dtype}")
    out = np.zeros((len(pixels), LEVELS), dtype=np.int64) if out is None else out
    for total, channel in zip(out, pixels, strict=True):
        found = np.bincount(channel.ravel())
        total[: len(found)] += found
    return out


def quantile(histogram: np.ndarray, share: float) -> float:
    """Return a quantile of a histogram (65536,): the smallest grey value with at least ``share`` of pixels <= it.

    NaN for an empty histogram.
    """
    total = histogram.sum()
    if total == 0:
        return float("nan")
    return float(np.searchsorted(np.cumsum(histogram), max(share * total, 1)))


def summarise(
    histograms: np.ndarray, *, plate: str, channels: list[str], fields: int, low: float = 0.001, high: float = 0.999
) -> pd.DataFrame:
    """Turn the histograms of a plate (C, 65536) into the table ``intensity``, one row per channel.

    ``low`` and ``high`` are quantiles, 0 to 1. A plate without pixels gets ``fields`` 0 and the limits 0 and 1, so that
    scaling still works.
    """
    rows = []
    values = np.arange(LEVELS, dtype=np.float64)
    for channel, histogram in zip(channels, histograms, strict=True):
        limits = (quantile(histogram, low), quantile(histogram, high)) if fields else (0.0, 1.0)
        if limits[1] <= limits[0]:
            limits = (limits[0], limits[0] + 1)
        scaled = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
        weight = histogram / max(histogram.sum(), 1)
        mean = float(weight @ scaled)
        deviation = float(np.sqrt(weight @ (scaled - mean) ** 2))
        rows.append((plate, channel, *limits, mean, deviation, fields))
    frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Channel", "low", "high", "mean", "std", "fields"])
    return frame.astype({"low": "float32", "high": "float32", "mean": "float32", "std": "float32", "fields": "int32"})
