"""Intensity features of objects, as cp_measure's ``get_intensity`` defines them."""

import numpy as np

from wellspring.measure.objects import Objects, compiled

NAMES = (
    *("IntegratedIntensity", "MeanIntensity", "StdIntensity", "MinIntensity", "MaxIntensity"),
    *("IntegratedIntensityEdge", "MeanIntensityEdge", "StdIntensityEdge", "MinIntensityEdge", "MaxIntensityEdge"),
    *("MassDisplacement", "LowerQuartileIntensity", "MedianIntensity", "MADIntensity", "UpperQuartileIntensity"),
)


def measure(objects: Objects, values: np.ndarray, order: np.ndarray) -> dict[str, np.ndarray]:
    """Return name to (m,) values.

    Parameters
    ----------
    values
        (P,) float64 intensities of the objects' pixels.
    order
        (P,) from `Objects.order` of the values.
    """
    found = _measure(values, order, objects.starts, objects.rows, objects.columns, objects.edge)
    return {f"Intensity_{name}": column for name, column in zip(NAMES, found.T, strict=True)}


@compiled
def _measure(
    values: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    edge: np.ndarray,
) -> np.ndarray:
    out = np.zeros((len(starts) - 1, 15))
    for number in range(len(starts) - 1):
        first, last = starts[number], starts[number + 1]
        ranked = values[order[first:last]]
        _sums(ranked, out[number, 0:5])
        _sums(values[first:last][edge[first:last]], out[number, 5:10])
        y = x = weighted_y = weighted_x = 0.0
        for pixel in range(first, last):
            y += rows[pixel]
            x += columns[pixel]
            weighted_y += rows[pixel] * values[pixel]
            weighted_x += columns[pixel] * values[pixel]
        total, count = out[number, 0], last - first
        away_y, away_x = weighted_y / total - y / count, weighted_x / total - x / count
        out[number, 10] = np.sqrt(away_y * away_y + away_x * away_x)
        out[number, 11] = _quantile(ranked, 0.25)
        out[number, 12] = _quantile(ranked, 0.5)
        out[number, 13] = _quantile(np.sort(np.abs(ranked - out[number, 12])), 0.5)
        out[number, 14] = _quantile(ranked, 0.75)
    return out


@compiled
def _sums(values: np.ndarray, out: np.ndarray) -> None:
    """Write sum, mean, standard deviation, minimum and maximum; all are 0 without values."""
    if len(values):
        out[0], out[1], out[2] = values.sum(), values.mean(), values.std()
        out[3], out[4] = values.min(), values.max()


@compiled
def _quantile(ranked: np.ndarray, share: float) -> float:
    """Return a quantile of sorted values by linear interpolation."""
    place = (len(ranked) - 1) * share
    low = int(place)
    part = place - low
    return float(ranked[low] * (1 - part) + ranked[min(low + 1, len(ranked) - 1)] * part)
