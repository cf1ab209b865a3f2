"""Correlation of two channels within objects, as cp_measure defines it: Pearson, slope, Manders, rank-weighted."""

import numpy as np

from wellspring.measure.objects import Objects, compiled

# Manders and rank-weighted colocalisation count pixels above this share of an object's maximum (CellProfiler).
THRESHOLD = 0.15
NAMES = ("Pearson", "Slope", "Manders_1", "Manders_2", "RWC_1", "RWC_2")


def ranks(objects: Objects, values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the dense ranks (P,) int64 of `values` (P,) within their object; equal values have equal ranks."""
    return _ranks(values, order, objects.starts)


def measure(
    objects: Objects, first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return name to (m,) values; `first` and `second` are the values (P,) and the ranks (P,) of a channel."""
    found = _measure(*first, *second, objects.starts)
    return {f"Correlation_{name}": column for name, column in zip(NAMES, found.T, strict=True)}


@compiled
def _ranks(values: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    out = np.zeros(len(values), np.int64)
    for number in range(len(starts) - 1):
        rank = 0
        for place in range(starts[number] + 1, starts[number + 1]):
            rank += values[order[place]] != values[order[place - 1]]
            out[order[place]] = rank
    return out


@compiled
def _measure(
    one: np.ndarray, one_rank: np.ndarray, two: np.ndarray, two_rank: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    out = np.zeros((len(starts) - 1, 6))
    for number in range(len(starts) - 1):
        part = slice(starts[number], starts[number + 1])
        a, b, rank_a, rank_b = one[part], two[part], one_rank[part], two_rank[part]
        from_a, from_b = a - a.mean(), b - b.mean()
        both, own, other = (from_a * from_b).sum(), (from_a * from_a).sum(), (from_b * from_b).sum()
        out[number, 0] = max(-1.0, min(1.0, both / np.sqrt(own * other))) if own > 0 and other > 0 else np.nan
        out[number, 1] = both / own
        least_a, least_b = THRESHOLD * a.max(), THRESHOLD * b.max()
        steps = max(rank_a.max(), rank_b.max()) + 1
        total_a = total_b = shared_a = shared_b = weighted_a = weighted_b = 0.0
        found = False
        for pixel in range(len(a)):
            above_a, above_b = a[pixel] >= least_a, b[pixel] >= least_b
            total_a += a[pixel] if above_a else 0.0
            total_b += b[pixel] if above_b else 0.0
            if above_a and above_b:
                found = True
                weight = (steps - abs(rank_a[pixel] - rank_b[pixel])) / steps
                shared_a += a[pixel]
                shared_b += b[pixel]
                weighted_a += a[pixel] * weight
                weighted_b += b[pixel] * weight
        if found:
            out[number, 2], out[number, 3] = shared_a / total_a, shared_b / total_b
            out[number, 4], out[number, 5] = weighted_a / total_a, weighted_b / total_b
    return out
