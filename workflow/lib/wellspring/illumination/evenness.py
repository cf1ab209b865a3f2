"""Evenness of fields before and after the illumination correction, with confidence intervals.

Cells lie anywhere in a field, so over many fields every place gets as much light. What is left of a difference between
places is the light path's, or chance: the intervals are of a bootstrap over fields.
"""

from collections.abc import Mapping

import numpy as np

from wellspring.illumination.flatfield import Light, smooth_basis
from wellspring.views.binning import bin_area, shape_of

MEASURES = ("residual_before", "residual_after", "residual_change", "edge_before", "edge_after")
GRID = 16  # bins along the shorter edge
DEGREE = 4  # of the smooth part
REPEATS = 400  # of the bootstrap: ends of intervals then repeat within a twentieth of their length
BRIGHTEST = 0.95  # quantile over the fields at which a bin's light is cut: above is debris
RING = 0.75  # distance from the centre, of half the edge, from which a bin is of the edge, along either axis
CORE = 0.33  # and below which it is of the centre


def measured(stack: np.ndarray, light: Light, *, base: float | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """Measure the evenness of fields before and after correction.

    Parameters
    ----------
    stack
        (n, h, w) views without NaN, of fields that the light path was not fitted to. Two halves that are each corrected
        by the fit to the other are not to be pooled: what chance put into one comes out of the other.
    light
        The light path to correct them by.
    base
        Counts that are not light; None: the mean of the dark field.

    Returns
    -------
    dict
        Each of ``MEASURES`` -> (3,) float32, a figure and the ends of its 95 % interval. ``residual``: rms over the
        field of the smooth part, a share of the mean light; of each place's fields those brighter than its median count
        as that, so that it is background rather than cells. ``change``: after minus before. ``edge``: light at the edge
        minus that in the centre, a share of the mean light.
    """
    shape = shape_of(*stack.shape[1:], edge=GRID)
    raw = bin_area(stack, shape).reshape(len(stack), -1).astype(np.float64)
    flat, dark = (bin_area(part, shape).ravel() for part in (light.flat, light.dark))
    done = (raw - dark) / flat + dark.mean()
    counts = np.random.default_rng(seed).multinomial(len(stack), np.full(len(stack), 1 / len(stack)), REPEATS)
    draws = np.vstack([np.ones(len(stack)), counts]) / len(stack)
    base = float(light.dark.mean()) if base is None else base
    before, after = (_figures(values, shape, draws, base) for values in (raw, done))
    return {
        "residual_before": np.maximum(_interval(before["residual"]), 0),
        "residual_after": np.maximum(_interval(after["residual"]), 0),
        "residual_change": _interval(after["residual"] - before["residual"]),
        "edge_before": _interval(before["edge"]),
        "edge_after": _interval(after["edge"]),
    }


def unknown() -> dict[str, np.ndarray]:
    """Return what :func:`measured` returns where there are too few fields."""
    return {name: np.full(3, np.nan, dtype=np.float32) for name in MEASURES}


def _figures(values: np.ndarray, shape: tuple[int, int], draws: np.ndarray, base: float) -> Mapping[str, np.ndarray]:
    """Return residual and edge of bins (n, p) for each row of shares of the fields (r, n)."""
    basis = smooth_basis(shape, DEGREE)
    dim = draws @ np.minimum(values, np.median(values, axis=0))
    light = draws @ (np.minimum(values, np.quantile(values, BRIGHTEST, axis=0)).mean(axis=1) - base)
    light = np.maximum(light, 1e-9)
    smooth = (dim @ np.linalg.pinv(basis).T) @ basis.T
    y, x = (np.abs((np.arange(n) + 0.5) / n * 2 - 1) for n in shape)
    away = np.maximum(y[:, None], x[None, :]).ravel()
    edge = smooth[:, away >= RING].mean(axis=1) - smooth[:, away <= CORE].mean(axis=1)
    return {"residual": smooth.std(axis=1) / light, "edge": edge / light}


def _interval(values: np.ndarray) -> np.ndarray:
    """Return the first value with the ends of the 95 % interval of its repeats, reflected (basic bootstrap)."""
    low, high = 2 * values[0] - np.quantile(values[1:], [0.975, 0.025])
    return np.array([values[0], low, high], dtype=np.float32)
