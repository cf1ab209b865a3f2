"""Dose response: a four-parameter curve, its EC50 with interval, and a benchmark concentration; or why there is none.

The curve is y = bottom + (top - bottom) / (1 + (EC50 / dose)^slope), with the controls at dose 0. For each EC50 and
slope of a grid, bottom and top follow by least squares, so that no start value matters. Intervals are of the profile
likelihood (Bates and Watts 1988): all values for which the residual sum of squares stays below that of the best fit
times 1 + F(1, n - 4) / (n - 4).

The benchmark concentration (BMC) is the dose at which the curve exceeds the controls by the benchmark response, 1.349
standard deviations of the controls, as in tcpl (tcplfit2: `bmr_scale`; Sheffield et al. 2022) and the Cell Painting
pipeline of the EPA (Nyffeler et al. 2020).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note

BENCHMARK = 1.349  # standard deviations of the controls: 10 % of the controls lie beyond 1.28, half of 1.349 twice
SLOPES = np.geomspace(0.3, 8, 28)  # the range of tcplfit2's Hill model
STEPS = 40  # doses of the grid per factor of 10
BEYOND = 10.0  # the grid reaches beyond the doses by this factor on both sides
LEVEL = 0.95
ALPHA = 0.05  # a curve must fit better than no effect of dose at this level
ROUNDING = 1e-24  # of the responses' squares
NONE = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Curve:
    """A dose-response curve, or why there is none.

    Attributes
    ----------
    note
        Why there is no curve or no EC50; None where there is one.
    bottom, top
        Response of the controls and at saturation, in the units of the responses; NaN without a curve.
    slope
        Hill coefficient.
    ec50, ec50_interval
        In the unit of the doses; an end that the data do not bound is 0 or infinite.
    bmc, bmc_interval
        Benchmark concentration; NaN where the curve stays below the benchmark response.
    bmc_note
        Given where the benchmark concentration is outside the doses, so that it is extrapolated.
    p
        Of the F test of the curve against no effect of dose.
    n
        Wells, with the controls.
    """

    note: Note | None = None
    bottom: float = float("nan")
    top: float = float("nan")
    slope: float = float("nan")
    ec50: float = float("nan")
    ec50_interval: tuple[float, float] = NONE
    bmc: float = float("nan")
    bmc_interval: tuple[float, float] = NONE
    bmc_note: Note | None = None
    p: float = float("nan")
    n: int = 0

    def at(self, dose: Array) -> Array:
        """Return the curve's response (n,) at doses (n,); NaN without a curve."""
        return self.bottom + (self.top - self.bottom) * rise(np.asarray(dose, dtype=float), self.ec50, self.slope)


def rise(dose: Array, ec50: Array | float, slope: Array | float) -> Array:
    """Return 1 / (1 + (ec50 / dose)^slope), which is 0 at dose 0; the arguments are broadcast."""
    with np.errstate(divide="ignore", over="ignore"):
        result: Array = 1 / (1 + (np.asarray(ec50) / np.asarray(dose)) ** slope)
    return result


def fit(dose: Array, response: Array, *, control_sd: float | None = None, minimum: int = 4) -> Curve:
    """Fit the curve of one series.

    Parameters
    ----------
    dose
        (n,) doses of the wells, 0 for the controls.
    response
        (n,) responses of the same wells; the effect is expected upwards.
    control_sd
        Standard deviation of the controls for the benchmark response; None: that of the wells at dose 0.
    minimum
        Fewest different doses above 0.

    Examples
    --------
    >>> doses = np.repeat([0, 0.1, 0.3, 1, 3, 10, 30], 4)
    >>> noise = np.tile([-1.0, -0.5, 0.5, 1.0], 7)
    >>> curve = fit(doses, 10 / (1 + (2 / np.maximum(doses, 1e-9)) ** 1.5) + noise)
    >>> 1.5 < curve.ec50 < 2.5
    True
    """
    dose, response = np.asarray(dose, dtype=float), np.asarray(response, dtype=float)
    read = np.isfinite(dose) & np.isfinite(response) & (dose >= 0)
    dose, response = dose[read], response[read]
    doses, count = np.unique(dose[dose > 0]), len(dose)
    if len(doses) < minimum:
        return Curve(Note("curve_few_doses", {"found": len(doses), "needed": minimum}), n=count)
    if count < 6:
        return Curve(Note("curve_few_wells", {"found": count, "needed": 6}), n=count)
    grid = np.geomspace(doses[0] / BEYOND, doses[-1] * BEYOND, _steps(doses))
    squares, bottom, top = _squares(dose, response, grid)
    best = np.unravel_index(np.argmin(squares), squares.shape)
    least, flat = float(squares[best]), float(((response - response.mean()) ** 2).sum())
    degrees = count - 4
    if flat <= ROUNDING * float((response**2).sum()):  # constant but for rounding, of which F makes an effect
        return Curve(Note("curve_no_effect", {"p": 1.0}), p=1.0, n=count)
    ratio = (flat - least) / 3 / max(least / degrees, 1e-300)
    p = float(stats.f.sf(ratio, 3, degrees))
    if p >= ALPHA:
        return Curve(Note("curve_no_effect", {"p": round(p, 4)}), p=p, n=count)
    allowed = least * (1 + stats.f.ppf(LEVEL, 1, degrees) / degrees)
    ec50, slope = float(grid[best[0]]), float(SLOPES[best[1]])
    line = Curve(None, float(bottom[best]), float(top[best]), slope, ec50, p=p, n=count)
    interval = _range(grid, squares.min(axis=1), allowed)
    sd = float(np.std(response[dose == 0], ddof=1)) if control_sd is None and (dose == 0).sum() > 1 else control_sd
    bmc, around = _benchmark(dose, response, grid, sd, allowed, line) if sd else (float("nan"), NONE)
    ends = float(doses[0]), float(doses[-1])
    beyond = _outside(ec50, ends, below="curve_below_doses", above="curve_above_doses")
    found = line if beyond is None else Curve(beyond, p=p, n=count)
    outside = _outside(bmc, ends, below="bmc_below_doses", above="bmc_above_doses")
    return replace(found, ec50_interval=interval, bmc=bmc, bmc_interval=around, bmc_note=outside)


def _outside(value: float, ends: tuple[float, float], *, below: str, above: str) -> Note | None:
    """Return the note of a concentration below or above the doses; None within them, or where there is none."""
    if value < ends[0]:
        return Note(below, {"limit": ends[0]})
    return Note(above, {"limit": ends[1]}) if value > ends[1] else None


def _steps(doses: Array) -> int:
    return int(np.ceil(STEPS * np.log10(doses[-1] / doses[0] * BEYOND**2))) + 1


def _squares(dose: Array, response: Array, grid: Array) -> tuple[Array, Array, Array]:
    """Return residual sums of squares, bottoms and tops (EC50s, slopes) of the best lines; tops not below bottoms."""
    levels, place = np.unique(dose, return_inverse=True)  # wells of one dose share a response
    count, total = np.bincount(place), np.bincount(place, weights=response)
    shape = rise(levels, grid[:, None, None], SLOPES[:, None])
    n, mean = len(dose), response.mean()
    centre = shape @ count / n
    spread = (shape**2) @ count - n * centre**2
    along = shape @ total - n * centre * mean
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(spread > 1e-12, np.maximum(along, 0) / spread, 0.0)
    squares = ((response - mean) ** 2).sum() - 2 * gain * along + gain**2 * spread
    bottom = mean - gain * centre
    return np.maximum(squares, 0), bottom, bottom + gain


def _range(grid: Array, squares: Array, allowed: float) -> tuple[float, float]:
    """Return the ends of the values with at most the `allowed` squares, between the grid's by interpolation."""
    inside = np.flatnonzero(squares <= allowed)
    first, last = inside[0], inside[-1]
    low = 0.0 if first == 0 else _crossing(grid, squares, allowed, first - 1, first)
    high = np.inf if last == len(grid) - 1 else _crossing(grid, squares, allowed, last + 1, last)
    return float(low), float(high)


def _crossing(grid: Array, squares: Array, allowed: float, outside: int, inside: int) -> float:
    share = (squares[outside] - allowed) / max(squares[outside] - squares[inside], 1e-300)
    return float(np.exp(np.log(grid[outside]) + share * (np.log(grid[inside]) - np.log(grid[outside]))))


def _benchmark(
    dose: Array, response: Array, grid: Array, sd: float, allowed: float, best: Curve
) -> tuple[float, tuple[float, float]]:
    """Return the benchmark concentration of the best curve and its interval; NaN where the curve stays below it.

    A curve that passes the benchmark response at a concentration has the top bottom + response / rise(concentration),
    so that only the bottom is free.
    """
    height = BENCHMARK * sd
    share = height / (best.top - best.bottom) if best.top > best.bottom else np.inf
    if not 0 < share < 1:
        return float("nan"), NONE
    bmc = float(best.ec50 * (share / (1 - share)) ** (1 / best.slope))
    levels, place = np.unique(dose, return_inverse=True)
    count = np.bincount(place)
    mean = np.bincount(place, weights=response) / count
    within = float(((response - mean[place]) ** 2).sum())
    coarse, slopes = grid[::2], SLOPES[::2]
    least = np.full(len(coarse), np.inf)
    shape = rise(levels, coarse[:, None, None], slopes[:, None])  # (EC50s, slopes, doses)
    for number, concentration in enumerate(coarse):
        gain = height / rise(concentration, coarse[:, None], slopes)
        difference = mean - gain[..., None] * shape
        centre = difference @ count / count.sum()
        least[number] = within + float(((difference - centre[..., None]) ** 2 @ count).min())
    low, high = _range(coarse, least, max(allowed, least.min()))
    return bmc, (min(low, bmc), max(high, bmc))
