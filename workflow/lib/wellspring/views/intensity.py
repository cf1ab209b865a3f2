"""From corrected pixels to the robust intensity scale of a plate's channels.

In: fields (C, H, W) uint16, one at a time. Out: counts of grey values, and from them one row a channel: the limits
that become 0 and 1, and mean and standard deviation of the scaled pixels. The scale belongs to plate and channel,
never to a field or a crop, because absolute intensity within a plate is signal.
"""

import numpy as np
import pandas as pd

LEVELS = 2**16
# Of a plate every fourth row of pixels is counted, since neighbouring rows are alike: the limits of single fields of
# 1080 px, real ones and the demo's, move by less than 1 %, and counting all rows takes a sixth of the stage's time.
STEP = 4


def scale(pixels: np.ndarray, low: np.ndarray, high: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Scale corrected pixels to [0, 1] by the limits of their channel, clipped.

    Parameters
    ----------
    pixels
        (..., C, H, W), any real dtype; counts.
    low, high
        (C,) counts that become 0 and 1. A channel with ``high <= low`` becomes 0 everywhere.
    out
        Where the result goes, of the same shape and float32; a new array without.

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
    # In place: memory that is touched for the first time costs several times what the arithmetic does.
    scaled = np.empty(pixels.shape, dtype=np.float32) if out is None else out
    scaled[...] = pixels
    scaled -= low[:, None, None]
    scaled *= factor[:, None, None]
    return np.clip(scaled, 0, 1, out=scaled)


def counts(pixels: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Count the grey values of a field (C, H, W) uint16; returns (C, 65536) int64, ``out`` with them added."""
    if pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ValueError(f"expected a field (C, H, W) of uint16, found {pixels.shape} of {pixels.dtype}")
    out = np.zeros((len(pixels), LEVELS), dtype=np.int64) if out is None else out
    for total, channel in zip(out, pixels, strict=True):
        found = np.bincount(channel.ravel())
        total[: len(found)] += found
    return out


def quantile(histogram: np.ndarray, share: float) -> float:
    """Return the smallest grey value that at least ``share`` of the pixels of a histogram (65536,) do not exceed."""
    total = histogram.sum()
    if total == 0:
        return float("nan")
    return float(np.searchsorted(np.cumsum(histogram), max(share * total, 1)))


def summarise(
    histograms: np.ndarray, *, plate: str, channels: list[str], fields: int, low: float = 0.001, high: float = 0.999
) -> pd.DataFrame:
    """Turn a plate's grey-value counts (C, 65536) into the table ``intensity``, one row a channel.

    ``low`` and ``high`` are shares of the pixels. A plate without pixels has rows with ``fields`` 0 and limits 0 and 1,
    so that whoever scales with them finds numbers.
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
