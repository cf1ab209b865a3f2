"""Haralick's texture features of objects, as cp_measure's ``get_texture`` defines them (Haralick et al. 1973).

The co-occurrence matrix has a row per grey level that an object has, not per possible one, which makes it smaller.
"""

import numpy as np
from skimage.exposure import rescale_intensity
from skimage.util import img_as_ubyte

from wellspring.measure.objects import Objects, compiled

NAMES = (
    *("AngularSecondMoment", "Contrast", "Correlation", "Variance", "InverseDifferenceMoment", "SumAverage"),
    *("SumVariance", "SumEntropy", "Entropy", "DifferenceVariance", "DifferenceEntropy", "InfoMeas1", "InfoMeas2"),
)
DIRECTIONS = np.array([[0, 1], [1, 1], [1, 0], [1, -1]])  # rows and columns to the other pixel of a pair
LEVELS = 256


def measure(objects: Objects, values: np.ndarray, *, scale: int, levels: int) -> dict[str, np.ndarray]:
    """Return name to (m,) values.

    Parameters
    ----------
    values
        (P,) intensities of the objects' pixels; above 1 they count as 1.
    scale
        Distance of the two pixels of a pair, px.
    levels
        Grey levels from 0 to 1.
    """
    grey = img_as_ubyte(np.minimum(values, 1.0))
    if levels != LEVELS:
        grey = rescale_intensity(grey, in_range=(0, LEVELS - 1), out_range=(0, levels - 1)).astype(np.uint8)
    found = _measure(grey, objects.starts, objects.rows, objects.columns, scale * DIRECTIONS)
    return {
        f"Texture_{name}_{scale}_{direction:02d}_{levels}": found[:, direction, place]
        for direction in range(len(DIRECTIONS))
        for place, name in enumerate(NAMES)
    }


@compiled
def _measure(
    grey: np.ndarray, starts: np.ndarray, rows: np.ndarray, columns: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return (m, directions, 13); NaN for an object without a pair in one of the directions."""
    out = np.zeros((len(starts) - 1, len(offsets), 13))
    for number in range(len(starts) - 1):
        part = slice(starts[number], starts[number + 1])
        y, x, own = rows[part] - rows[part].min(), columns[part] - columns[part].min(), grey[part]
        place = np.zeros(256, np.int64)  # grey level to its row, from 1; 0 is not counted, as outside
        place[own] = 1
        place[0] = 0
        grades = np.flatnonzero(place)
        place[grades] = np.arange(1, len(grades) + 1)
        crop = np.zeros((y.max() + 1, x.max() + 1), np.int64)
        for pixel in range(len(own)):
            crop[y[pixel], x[pixel]] = place[own[pixel]]
        for direction in range(len(offsets)):
            pairs, count = _pairs(crop, len(grades), offsets[direction, 0], offsets[direction, 1])
            if count == 0:
                out[number] = np.nan
                break
            _haralick(pairs, count, grades, out[number, direction])
    return out


@compiled
def _pairs(crop: np.ndarray, levels: int, down: int, right: int) -> tuple[np.ndarray, int]:
    """Return how often two levels are neighbours, (levels, levels) with the lower level first, and the number of pairs.

    The co-occurrence matrix is the sum of this one and its transpose.
    """
    height, width = crop.shape
    pairs, count = np.zeros((levels, levels), np.int64), 0
    for y in range(height - down):
        for x in range(max(0, -right), min(width, width - right)):
            one, other = crop[y, x], crop[y + down, x + right]
            if one > 0 and other > 0:
                pairs[min(one, other) - 1, max(one, other) - 1] += 1
                count += 1
    return pairs, count


@compiled
def _haralick(pairs: np.ndarray, count: int, grades: np.ndarray, out: np.ndarray) -> None:
    """Write the 13 features of the `count` pairs of `_pairs` of the grey levels `grades` (L,)."""
    size = grades[-1] + 1
    single, total, apart = np.zeros(len(grades)), np.zeros(2 * size), np.zeros(size)
    moment = entropy = product = homogeneous = 0.0
    for row in range(len(grades)):
        for column in range(row, len(grades)):
            if pairs[row, column] > 0:
                one, other, times = grades[row], grades[column], 1 if row == column else 2
                share = pairs[row, column] / count / times  # of each of the two entries of the matrix
                moment += times * share * share
                entropy -= times * share * np.log2(share)
                product += times * one * other * share
                homogeneous += times * share / (1 + (one - other) ** 2)
                single[row] += times * share / 2
                single[column] += times * share / 2
                total[one + other] += times * share
                apart[other - one] += times * share
    mean = variance = average = contrast = squares = 0.0
    for place in range(len(grades)):
        mean += grades[place] * single[place]
    for place in range(len(grades)):
        variance += (grades[place] - mean) ** 2 * single[place]
    for level in range(2 * size):
        average += level * total[level]
        squares += level * level * total[level]
    for step in range(size):
        contrast += step * step * apart[step]
    own = _entropy(single)
    out[0] = moment
    out[1] = contrast
    out[2] = (product - mean * mean) / variance if variance > 0 else 1.0
    out[3] = variance
    out[4] = homogeneous
    out[5] = average
    out[6] = squares - average * average
    out[7] = _entropy(total)
    out[8] = entropy
    out[9] = apart.var()
    out[10] = _entropy(apart)
    # For a symmetric matrix, the entropy of the product of its margins is twice that of one margin.
    out[11] = (entropy - 2 * own) / own if own > 0 else entropy
    out[12] = np.sqrt(max(0.0, 1 - np.exp(-2 * (2 * own - entropy))))


@compiled
def _entropy(shares: np.ndarray) -> float:
    found = 0.0
    for share in shares:
        if share > 0:
            found -= share * np.log2(share)
    return found
