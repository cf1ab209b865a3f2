"""Low rank and sparse: binned views of many fields in, a smooth flat field and a smooth dark field out.

The model is BaSiC's (Peng et al. 2017, Nature Communications 8, 14836): views sorted at each place are
``level[t] * flat[p] + dark[p] + sparse[t, p]``. Sorting makes them nearly of rank one, as light has the same
distribution everywhere in a field; dim levels (background) and bright ones (cells) separate dark from flat. Two things
differ. Smooth is a polynomial whose degree is judged by other fields, in place of few cosines, which are level at the
edge where vignettes are steep. And levels, fields and the sparse part are fitted in turn by least squares, in place of
an augmented Lagrangian. Beside BaSiCPy: benchmarks/illumination.py.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wellspring.illumination import flatfield
from wellspring.illumination.flatfield import FEW, Light, halves, light, smooth_basis
from wellspring.views.binning import bin_area, shape_of

LEVELS = np.linspace(0.02, 0.9, 18)  # above: debris, and cells that are in the field by chance
GRID = 32  # bins along the shorter edge, enough for polynomials of low degree
# Degrees of flat and dark field: a dark field is none, an offset or a tilted plane.
DEGREES = tuple((flat, dark) for flat in (2, 4, 6) for dark in (None, 0, 1))
BOWLS = DEGREES[:3]  # for few fields
USUAL, USUAL_OF_FEW = (4, 1), (2, 1)  # of the least median error on simulated fields of every kind
CLEARLY = 0.95  # other degrees must predict the other half 5 % better: less is chance on simulated fields
PROBE = 8  # degree up to which a model is compared with other fields: finer structure is cells
EVEN = 0.02  # spread of the levels relative to their mean, below which dark and flat field cannot be separated
SPARSE = 2.0  # standard deviations of a level, beyond which a value counts as that far away
ROUNDS = 8  # of the fits in turn; after six the flat field changes by less than 0.001
SETTLING = 1e-4  # ridge on the shift of all levels, which the flat field would otherwise leave undecided
TINY = 1e-9

Fields = tuple[np.ndarray, np.ndarray]  # coefficients of a flat and a dark field


def basic(
    stack: np.ndarray,
    *,
    offset: float | None = None,
    degrees: tuple[int, int | None] | None = None,
    darkest: float | None = None,
) -> Light:
    """Fit flat and dark field to views (n, h, w).

    A bowl in the dark field cannot be distinguished from a higher offset, as ``level * flat`` is the sum of
    ``(level - c) * flat`` and ``c * flat``; it changes a corrected image by a constant. So the dark field is a plane
    at most.

    Parameters
    ----------
    stack
        (n, h, w) views without NaN, n >= 1.
    offset
        Counts of an even dark field, if known; None estimates the dark field, its mean from 0 to the darkest value.
    degrees
        Of the flat field and of the dark field (None: 0 counts); None takes those of :func:`degrees_for`.
    darkest
        Counts that an estimated dark field does not exceed anywhere; None: :func:`flatfield.darkest` of the views.
    """
    degrees = degrees_for(stack, offset=offset) if degrees is None else degrees
    table, shape = _levels(stack)
    flat, dark = _fit(table, shape, degrees, offset)
    plane = _drawn(dark, stack.shape[1:])
    if offset is None:
        possible = _possible(plane, flatfield.darkest(stack) if darkest is None else darkest)
        if not np.array_equal(possible, plane):
            plane = possible
            flat, _ = _fit(table - bin_area(plane, shape).ravel(), shape, degrees, 0.0)
    return light(_drawn(flat, stack.shape[1:]), plane)


def _possible(plane: np.ndarray, darkest: float) -> np.ndarray:
    """Return a dark field (h, w) between 0 and the darkest counts: its tilt is reduced, then its mean moved."""
    highest = max(darkest, 0.0)
    mean = float(np.clip(plane.mean(), 0.0, highest))
    tilt = plane - plane.mean()
    room = min(mean / max(-float(tilt.min()), TINY), (highest - mean) / max(float(tilt.max()), TINY), 1.0)
    possible: np.ndarray = plane if room == 1 and mean == plane.mean() else np.clip(mean + room * tilt, 0.0, highest)
    return possible


def degrees_for(stack: np.ndarray, *, offset: float | None = None) -> tuple[int, int | None]:
    """Return the degrees for views (n, h, w): ``USUAL``, or those that clearly better predict the other half of them.

    With fewer than ``FEW`` fields the flat field is a bowl. There is no dark field with fewer than 4, which cannot be
    halved, nor where all fields are as bright as each other.
    """
    table, _ = _levels(stack)
    if len(stack) < 4 or offset is None and np.std(table.mean(axis=1)) <= EVEN * table.mean():
        return BOWLS[0]
    choice: Sequence[tuple[int, int | None]] = BOWLS if len(stack) < FEW else DEGREES
    usual: tuple[int, int | None] = USUAL_OF_FEW if len(stack) < FEW else USUAL
    if offset is not None:
        choice, usual = [pair for pair in choice if pair[1] is None], (usual[0], None)
    half = halves(len(stack))
    (one, shape), (other, _) = _levels(stack[half]), _levels(stack[~half])
    fits = [[_fit(table, shape, degrees, offset) for degrees in choice] for table in (one, other)]
    scores = _surprise(other, shape, *fits) + _surprise(one, shape, *fits[::-1])
    best = int(scores.argmin())
    return choice[best] if scores[best] < CLEARLY * scores[choice.index(usual)] else usual


def _levels(stack: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return sorted views thinned to ``LEVELS``, (t, p) float64, and the shape of their grid."""
    shape = shape_of(*stack.shape[1:], edge=GRID)
    return np.quantile(bin_area(stack, shape), LEVELS, axis=0).reshape(len(LEVELS), -1).astype(np.float64), shape


def _fit(
    table: np.ndarray, shape: tuple[int, int], degrees: tuple[int, int | None], offset: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the coefficients of the flat field, of mean 1, and of the dark field to sorted views (t, p)."""
    basis = smooth_basis(shape, degrees[0])
    if offset is not None or degrees[1] is None:
        return _in_turn(table, basis, basis[:, :0], offset or 0.0)
    plane = smooth_basis(shape, degrees[1])
    flat, dark = _in_turn(table, basis, plane, None)
    highest = max(float(np.median(table[0])), 0.0)
    if 0 <= dark[0] <= highest:
        return flat, dark
    return _in_turn(table, basis, plane[:, 1:], float(np.clip(dark[0], 0, highest)))


def _in_turn(
    table: np.ndarray, basis: np.ndarray, plane: np.ndarray, offset: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit fields, levels and the sparse part in turn; with `offset` None a constant is in the dark field's `plane`."""
    table = table - (offset or 0.0)
    model, flat, terms = np.median(table, axis=1, keepdims=True), np.ones(table.shape[1]), basis.shape[1]
    level = _without_sparse(table, model)[0].mean(axis=1)
    for turn in range(ROUNDS):
        kept, weight = _without_sparse(table, model)
        # All levels may rise while the dark field falls by a multiple of the flat field: fitted beside, that settles.
        shift = [flat[:, None]] if turn and offset is None else []
        design = np.column_stack([basis, plane, *shift])
        squares = np.full((design.shape[1],) * 2, weight.sum())
        squares[:terms, :terms] = level @ (weight * level)
        squares[:terms, terms:] = squares[terms:, :terms] = level @ weight
        right = np.concatenate([((weight * level) @ kept) @ basis, (weight @ kept) @ design[:, terms:]])
        found = _solved(squares * (design.T @ design), right, shifted=bool(shift))
        mean = float(basis.mean(axis=0) @ found[:terms])
        coefficients = found[:terms] / mean if mean > TINY else np.eye(terms)[0]
        dark = found[terms : terms + plane.shape[1]]
        flat = basis @ coefficients
        level = (kept - plane @ dark) @ flat / (flat @ flat)
        model = np.outer(level, flat) + plane @ dark
    return coefficients, dark if offset is None else np.concatenate([[offset], dark])


def _without_sparse(table: np.ndarray, model: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the table (t, p) without its sparse part, and a weight (t,) of each level, the inverse variance."""
    rest = table - model
    spread = 1.4826 * np.median(np.abs(rest), axis=1)  # the standard deviation, were it a normal distribution
    spread = np.maximum(spread, max(0.02 * spread.max(), TINY))
    bound = SPARSE * spread[:, None]
    weight = spread**-2
    return model + np.clip(rest, -bound, bound), weight / weight.mean()


def _solved(matrix: np.ndarray, right: np.ndarray, *, shifted: bool) -> np.ndarray:
    """Solve normal equations whose unknowns have scales of their own; what the data do not decide stays near 0."""
    scale = np.sqrt(np.maximum(np.diag(matrix), TINY))
    matrix = matrix / np.outer(scale, scale) + TINY * np.eye(len(scale))
    if shifted:
        matrix[-1, -1] += SETTLING
    return np.linalg.solve(matrix, right / scale) / scale


def _surprise(
    table: np.ndarray, shape: tuple[int, int], fits: Sequence[Fields], own: Sequence[Fields]
) -> NDArray[np.float64]:
    """Return how badly each of `fits` describes the smooth part of other fields' sorted views (t, p).

    A fit to half of the fields has twice the variance of one to all. What that adds is taken off: half of a fit's
    variance, a quarter of the square of its difference from the fit of the same degrees to these fields, `own`.
    """
    probe = smooth_basis(shape, PROBE)
    inverse = np.linalg.pinv(probe)
    rests = np.stack([[_rest(table, shape, fit) for fit in pair] for pair in zip(fits, own, strict=True)])
    weight = 1 / np.maximum((rests[:, 0] ** 2).mean(axis=2).min(axis=0), TINY)
    smooth = rests @ inverse.T @ probe.T
    squares = (smooth[:, 0] ** 2 - (smooth[:, 0] - smooth[:, 1]) ** 2 / 4).mean(axis=2)
    surprise: NDArray[np.float64] = squares @ weight
    return surprise


def _rest(table: np.ndarray, shape: tuple[int, int], fit: Fields) -> NDArray[np.float64]:
    """Return what a fit leaves of sorted views (t, p), at the levels that suit them best, large values cut."""
    flat, dark = (_drawn(part, shape).ravel() for part in fit)
    model = np.outer((table - dark) @ flat / (flat @ flat), flat) + dark
    rest: NDArray[np.float64] = _without_sparse(table, model)[0] - model
    return rest


def _drawn(coefficients: np.ndarray, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the polynomial of these coefficients on a grid: (h, w) float64."""
    degree = round((np.sqrt(8 * len(coefficients) + 1) - 3) / 2)
    surface: NDArray[np.float64] = (smooth_basis(shape, degree) @ coefficients).reshape(shape)
    return surface
