"""Zernike moments of objects and of the intensity in them, as cp_measure defines them.

The basis of a pixel is computed once for the shape and all channels.
"""

import numpy as np
from centrosome import zernike

from wellspring.measure.objects import Objects, compiled

DEGREE = 9
Moments = list[dict[str, np.ndarray]]


def measure(objects: Objects, values: np.ndarray) -> tuple[dict[str, np.ndarray], Moments]:
    """Return the magnitudes of the shape and of each channel, name to (m,), of `values` (C, P)."""
    indexes = zernike.get_zernike_indexes(DEGREE + 1)
    table = np.asarray(zernike.construct_zernike_lookuptable(indexes), dtype=np.float64)
    centres, radii = zernike.minimum_enclosing_circle(objects.labels, np.arange(1, len(objects) + 1))
    weights = np.concatenate([np.ones((1, len(objects.flat))), values])
    sums = _sums(
        *(np.ascontiguousarray(weights.T), objects.starts, objects.rows, objects.columns),
        *(np.asarray(centres, dtype=np.float64), np.asarray(radii, dtype=np.float64)),
        *(np.asarray(indexes, dtype=np.int64), table),
    )
    magnitude = np.hypot(sums[..., 0], sums[..., 1])  # (m, 1 + C, K)
    labels = [f"{n}_{m}" for n, m in indexes]
    area = np.pi * np.square(np.asarray(radii, dtype=np.float64))
    shape = {f"Zernike_{label}": magnitude[:, 0, place] / area for place, label in enumerate(labels)}
    count = np.diff(objects.starts)
    channels = [
        {
            f"RadialDistribution_ZernikeMagnitude_{label}": magnitude[:, channel, place] / count
            for place, label in enumerate(labels)
        }
        for channel in range(1, len(values) + 1)
    ]
    return shape, channels


@compiled
def _sums(
    weights: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    centres: np.ndarray,
    radii: np.ndarray,
    indexes: np.ndarray,
    table: np.ndarray,
) -> np.ndarray:
    """Return the sums over each object of the weights (P, W) times the basis, (m, W, K, 2), real and imaginary."""
    out = np.zeros((len(starts) - 1, weights.shape[1], len(indexes), 2))
    powers = np.empty((indexes[:, 1].max() + 1, 2))
    for number in range(len(starts) - 1):
        for pixel in range(starts[number], starts[number + 1]):
            y = (rows[pixel] - centres[number, 0]) / radii[number]
            x = (columns[pixel] - centres[number, 1]) / radii[number]
            square = x * x + y * y
            if square > 1:
                continue
            powers[0] = 1.0, 0.0
            for power in range(1, len(powers)):
                real, imaginary = powers[power - 1, 0], powers[power - 1, 1]
                powers[power] = real * y - imaginary * x, real * x + imaginary * y
            for place in range(len(indexes)):
                n, m = indexes[place, 0], indexes[place, 1]
                radial = 0.0
                for term in range((n - m) // 2 + 1):
                    radial = radial * square + table[place, term]
                real, imaginary = radial * powers[m, 0], radial * powers[m, 1]
                for channel in range(weights.shape[1]):
                    out[number, channel, place, 0] += weights[pixel, channel] * real
                    out[number, channel, place, 1] += weights[pixel, channel] * imaginary
    return out
