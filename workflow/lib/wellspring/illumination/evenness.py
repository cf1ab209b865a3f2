"""Evenness of fields before and after the illumination correction, with confidence intervals.

Cells lie anywhere in a field, so over many fields every place gets as much light. What is left of a difference between
places is the light path's, or chance: the intervals are of a bootstrap over wells. The background cannot reveal a
correction that follows the background alone, so that objects are measured too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from wellspring.illumination import objects
from wellspring.illumination.flatfield import Light, smooth_basis
from wellspring.views.binning import bin_area, shape_of

OBJECTS = ("objects_before", "objects_after", "objects_change", "objects_full", "objects_density")
SIGNED = ("change", "full", "density")  # ends of names of figures that may be negative
MEASURES = ("residual_before", "residual_after", "residual_change", "edge_before", "edge_after", *OBJECTS)
GRID = 16  # bins along the shorter edge
DEGREE = 4  # of the smooth part
REPEATS = 400  # of the bootstrap: ends of intervals then repeat within a twentieth of their length
BRIGHTEST = 0.95  # quantile over the fields at which a bin's light is cut: above is debris
RING = 0.75  # distance from the centre, of half the edge, from which a bin is of the edge, along either axis
CORE = 0.33  # and below which it is of the centre
FEWEST = 10  # objects below which nothing is stated about them
OWN = 2.0  # objects of a well at which half of the well's own mean is taken off


def measured(
    stack: np.ndarray, light: Light, *, base: float | None = None, wells: np.ndarray | None = None, seed: int = 0
) -> dict[str, np.ndarray]:
    """Measure the evenness of fields before and after correction.

    Parameters
    ----------
    stack
        (n, h, w) views without NaN, of fields that the light path was not fitted to. Two halves that are each corrected
        by the fit to the other are not to be pooled: what chance put into one comes out of the other
        (:func:`both_ways` measures each and takes the mean).
    light
        The light path to correct them by.
    base
        Counts that are not light; None: the mean of the dark field.
    wells
        (n,) the well of each field; None: each field is a well. Wells are drawn for the intervals, since fields of a
        well share their cells and staining.

    Returns
    -------
    dict
        Each of ``MEASURES`` -> (3,) float32, a figure and the ends of its 95 % interval. ``residual``: rms over the
        field of the smooth part, a share of the mean light; of each place's fields those brighter than its median count
        as that, so that it is background rather than cells. ``change``: after minus before. ``edge``: light at the edge
        minus that in the centre, a share of the mean light. ``objects``: standard deviation of the part of the objects'
        logarithmic brightness that follows the flat field (:mod:`wellspring.illumination.objects`); NaN with fewer than
        ``FEWEST`` objects. ``objects_full``: its change if the flat field were exactly right. ``objects_density``: the
        power of the flat field that the number of objects per area follows, to first order; 0 if they lie anywhere.
    """
    return _summary([_repeats(stack, light, base=base, wells=wells, seed=seed)])


def both_ways(
    stack: np.ndarray,
    half: np.ndarray,
    lights: tuple[Light, Light],
    *,
    base: float | None = None,
    wells: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Measure each half of the fields by the light path of the other, and return the means of the two.

    Parameters
    ----------
    stack, base, wells
        As in :func:`measured`.
    half
        (n,) bool, true for the fields that the first of `lights` was fitted to.
    lights
        Fitted to the first half and to the second.
    """
    wells = np.arange(len(stack)) if wells is None else wells
    pairs = ((~half, lights[0]), (half, lights[1]))
    return _summary(
        [
            _repeats(stack[part], one, base=base, wells=wells[part], seed=seed + turn)
            for turn, (part, one) in enumerate(pairs)
        ]
    )


def unknown() -> dict[str, np.ndarray]:
    """Return what :func:`measured` returns where there are too few fields."""
    return {name: np.full(3, np.nan, dtype=np.float32) for name in MEASURES}


@dataclass(frozen=True)
class _Repeats:
    """Figures (1 + REPEATS,) by name, the first of them of the wells as they are, and the number of wells."""

    figures: dict[str, np.ndarray]
    wells: int


def _repeats(stack: np.ndarray, light: Light, *, base: float | None, wells: np.ndarray | None, seed: int) -> _Repeats:
    shape = shape_of(*stack.shape[1:], edge=GRID)
    raw = bin_area(stack, shape).reshape(len(stack), -1).astype(np.float64)
    flat, dark = (bin_area(part, shape).ravel() for part in (light.flat, light.dark))
    done = (raw - dark) / flat + dark.mean()
    names, well = np.unique(np.arange(len(stack)) if wells is None else wells, return_inverse=True)
    count = len(names)
    counts = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), REPEATS)
    draws = np.vstack([np.ones(count), counts])
    fields = draws[:, well]
    fields = fields / fields.sum(axis=1, keepdims=True)
    base = float(light.dark.mean()) if base is None else base
    before, after = (_figures(values, shape, fields, base) for values in (raw, done))
    figures = {f"{name}_before": before[name] for name in before} | {f"{name}_after": after[name] for name in after}
    figures["residual_change"] = after["residual"] - before["residual"]
    return _Repeats(figures | _objects(stack, light, well, draws), count)


def _objects(stack: np.ndarray, light: Light, well: np.ndarray, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Return how objects follow the flat field for each row of counts of the wells (r, w)."""
    found = objects.peaks(stack)
    chosen, shade, bright = objects.followed(found, light.flat)
    if chosen.sum() < FEWEST:
        return {name: np.full(len(draws), np.nan) for name in OBJECTS}
    place = well[found.field[chosen]]
    count = draws.shape[1]
    everywhere = np.log(light.flat[1:-1, 1:-1])  # peaks at the border are no objects

    def total(values: np.ndarray) -> np.ndarray:
        return draws @ np.bincount(place, values, minlength=count)

    number = np.maximum(total(np.ones(len(shade))), 1e-9)
    density = (total(shade) / number - everywhere.mean()) / max(float(everywhere.var()), 1e-12)
    # A part of a well's mean is taken off, the larger the more objects it has: wells differ in staining.
    share = np.bincount(place, minlength=count)
    share = share / (share + OWN)
    for values in (shade, bright):
        mean = np.bincount(place, values, minlength=count) / np.maximum(np.bincount(place, minlength=count), 1)
        values -= (share * (mean - values.mean()))[place]
    spread = np.maximum(total(shade**2) / number - (total(shade) / number) ** 2, 0)
    along = total(shade * bright) / number - total(shade) * total(bright) / number**2
    slope = np.divide(along, spread, out=np.zeros_like(along), where=spread > 1e-12)
    width = float(np.sqrt(spread[0]))
    before, after = np.abs(slope) * width, np.abs(slope - 1) * width
    return {
        "objects_before": before,
        "objects_after": after,
        "objects_change": after - before,
        "objects_full": np.full(len(draws), -width),
        "objects_density": density,
    }


def _summary(parts: Sequence[_Repeats]) -> dict[str, np.ndarray]:
    """Return the mean over parts of each figure with its interval, widened for few wells."""
    wells = sum(part.wells for part in parts)
    free = max(wells - len(parts), 1)
    wider = float(stats.t.ppf(0.975, free) / stats.norm.ppf(0.975) * np.sqrt(wells / free))
    found = {}
    for name in MEASURES:
        figure, low, high = _interval(np.mean([part.figures[name] for part in parts], axis=0))
        ends = np.array([figure, figure - wider * (figure - low), figure + wider * (high - figure)], dtype=np.float32)
        found[name] = ends if name.endswith(SIGNED) or name.startswith("edge") else np.maximum(ends, 0)
    return found


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
