"""Estimate the light path of one channel: binned views of many fields in, a flat field and the camera's offset out.

The model is ``view[i, p] = offset + flat[p] * light[i, p]`` with light of the same distribution everywhere in a field.
Then every quantile over the fields obeys it too, ``quantile[t, p] = offset + flat[p] * light[t]``: a rank-one matrix
and a constant, in which dim quantiles (background) and bright ones (cells) tell the offset from the flat field.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from scipy.ndimage import median_filter
from scipy.optimize import minimize_scalar

from wellspring.binning import bin_area, shape_of

LEVELS = np.linspace(0.02, 0.95, 18)  # above: debris, and cells that are in the field by chance
FEW = 16  # fields below which nothing finer than a bowl is estimated
GRID = 32
DEGREES = (2, 3, 4, 6)
CLEARLY = 0.95  # a finer surface must predict the other half 5 % better: on simulated plates less is noise


@dataclass(frozen=True)
class Light:
    """``flat`` (h, w) float64 of mean 1, ``offset`` in counts."""

    flat: np.ndarray
    offset: float


def quantile(stack: np.ndarray, *, offset: float | None = None, degree: int | None = None) -> Light:
    """Fit offset and flat field to the quantiles over the fields.

    The flat field is the exponential of a polynomial, hence positive and smooth.

    Parameters
    ----------
    stack
        (n, h, w) views without NaN, n >= 1.
    offset
        Counts; None estimates it between 0 and the darkest value seen.
    degree
        Of the polynomial; None takes that of :func:`degree_for`.
    """
    degree = degree_for(stack, offset=offset) if degree is None else degree
    coefficients, found = _fitted(_coarse(stack), offset, degree)
    flat = np.exp(smooth_basis(stack.shape[1:], degree) @ coefficients).reshape(stack.shape[1:])
    return Light(flat / flat.mean(), found)


def degree_for(stack: np.ndarray, *, offset: float | None = None) -> int:
    """Return the smallest degree that predicts the other half of the fields (n, h, w) nearly as well as any.

    With fewer than ``FEW`` fields it is 2, a bowl that may be tilted and off centre.
    """
    if len(stack) < FEW:
        return DEGREES[0]
    coarse = _coarse(stack)
    one, other = coarse[halves(len(stack))], coarse[~halves(len(stack))]
    scores = [
        sum(_surprise(seen, *_fitted(unseen, offset, each), each) for seen, unseen in ((one, other), (other, one)))
        for each in DEGREES
    ]
    return next(each for each, score in zip(DEGREES, scores, strict=True) if score * CLEARLY <= min(scores))


def halves(count: int) -> np.ndarray:
    """Return the fields (count,) of one half, bool; sites of a well, which follow each other, mostly stay together."""
    return np.arange(count) % 4 < 2


def mean(stack: np.ndarray, *, offset: float | None = None, window: float = 0.09) -> Light:
    """Smooth the mean over fields, as the JUMP pipelines do: median filter, no offset of its own.

    ``window`` is the filter's edge as a share of the field: 20 px at a fifth of 1080 (JUMP_illum_LoadData_v1.cppipe).
    The offset, if None, is that of :func:`quantile`. The result differs from JUMP's only by the constant that it is
    divided by (mean in place of the 2nd percentile), which the intensity scale takes out again.
    """
    offset = quantile(stack, degree=DEGREES[0]).offset if offset is None else offset
    size = max(3, round(window * min(stack.shape[1:])))
    smooth = median_filter(stack.mean(axis=0, dtype=np.float64) - offset, size=size, mode="nearest")
    if len(stack) < FEW:
        basis = smooth_basis(smooth.shape, DEGREES[0])
        smooth = np.exp(basis @ _surface(smooth.ravel(), basis)).reshape(smooth.shape)
    smooth = np.maximum(smooth, max(np.quantile(smooth, 0.02), smooth.max() * 1e-3))
    return Light(smooth / smooth.mean(), offset)


def smooth_basis(shape: tuple[int, int], degree: int) -> np.ndarray:
    """Return the Legendre products of total degree up to ``degree`` on a grid: (h * w, terms)."""
    axes = [legendre.legvander((np.arange(n) + 0.5) / n * 2 - 1, degree) for n in shape]
    terms = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack([np.outer(axes[0][:, i], axes[1][:, j]).ravel() for i, j in terms], axis=1)


def unevenness(image: np.ndarray, *, degree: int = 4) -> float:
    """Return the rms of the smooth part of an image (h, w) about its mean, relative to the mean."""
    basis = smooth_basis(image.shape, degree)
    smooth = basis @ np.linalg.lstsq(basis, image.ravel(), rcond=None)[0]
    return float(smooth.std() / max(abs(smooth.mean()), 1e-9))


def _coarse(stack: np.ndarray) -> np.ndarray:
    """Average views to ``GRID`` bins along the shorter edge, enough for a polynomial of low degree."""
    return bin_area(stack, shape_of(*stack.shape[1:], edge=GRID))


def _fitted(stack: np.ndarray, offset: float | None, degree: int) -> tuple[np.ndarray, float]:
    """Return the coefficients of the logarithm of the flat field, and the offset."""
    table = np.quantile(stack, LEVELS, axis=0).reshape(len(LEVELS), -1)
    basis = smooth_basis(stack.shape[1:], degree)
    weight = np.ones(len(LEVELS))
    highest = float(np.median(table[0]))
    found = 0.0 if offset is None else offset
    for _ in range(3):  # the weights settle in two rounds
        if offset is None and highest > 0:
            loss = lambda value, weight=weight: _fit(table, value, weight, basis)[1].sum()  # noqa: E731
            found = minimize_scalar(loss, bounds=(0, highest), method="bounded", options={"xatol": highest / 1000}).x
        coefficients, misfit = _fit(table, found, weight, basis)
        spread = misfit / weight
        weight = 1 / np.maximum(spread, spread.max() * 1e-6 + 1e-12)
        weight /= weight.mean()
    return coefficients, float(found)


def _fit(table: np.ndarray, offset: float, weight: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the logarithm of the flat field to quantiles (t, p) at an offset; also return the weighted misfit (t,)."""
    light = table - offset
    flat = np.ones(table.shape[1])
    for _ in range(3):
        level = weight * (light @ flat)
        coefficients = _surface(level @ light / max(level @ level, 1e-12), basis)
        flat = np.exp(basis @ coefficients)
        coefficients[0] -= np.log(flat.mean())  # the first term is the constant: the mean is 1
        flat /= flat.mean()
    level = light @ flat / (flat @ flat)
    return coefficients, weight * ((light - level[:, None] * flat) ** 2).mean(axis=1)


def _surprise(stack: np.ndarray, coefficients: np.ndarray, offset: float, degree: int) -> float:
    """Return how badly a light path describes other fields: misfit of their quantiles, relative to their spread."""
    table = np.quantile(stack, LEVELS, axis=0).reshape(len(LEVELS), -1) - offset
    flat = np.exp(smooth_basis(stack.shape[1:], degree) @ coefficients)
    level = table @ flat / (flat @ flat)
    return float((((table - level[:, None] * flat) ** 2).mean(axis=1) / np.maximum(table.var(axis=1), 1e-12)).sum())


def _surface(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Fit a polynomial to the logarithm of positive values (p,), weighted so that errors count as they are."""
    values = np.maximum(values, max(values.max(), 1e-9) * 1e-3)
    weighted = basis * (values / values.max())[:, None] ** 2
    return np.linalg.solve(basis.T @ weighted, weighted.T @ np.log(values))
