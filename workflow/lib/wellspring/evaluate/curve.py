"""Dose response: a four-parameter curve, its EC50 with interval, and a benchmark concentration; or why there is none.

The curve is y = bottom + (top - bottom) / (1 + (EC50 / dose)^slope), with the controls at dose 0. For each EC50 and
slope of a grid, bottom and top follow by least squares, so that no start value matters; a search from the best of them
gives the fit. Intervals are of the profile likelihood (Bates and Watts 1988): all values for which the residual sum of
squares stays below that of the best fit times 1 + F(1, n - 4) / (n - 4). Of a strong effect they are narrower than a
step of the grid, so that the grid is drawn anew around them.

The benchmark concentration (BMC) is the dose at which the curve exceeds the controls by the benchmark response, 1.349
standard deviations of the controls, as in tcpl (tcplfit2: `bmr_scale`; Sheffield et al. 2022) and the Cell Painting
pipeline of the EPA (Nyffeler et al. 2020).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note

BENCHMARK = 1.349  # standard deviations of the controls: 10 % of the controls lie beyond 1.28, half of 1.349 twice
SLOPES = np.geomspace(0.3, 8, 28)  # the range of tcplfit2's Hill model
STEPS = 40  # doses of the grid per factor of 10
CLOSE = 1 + 1e-9
FINE, RESOLVED, ZOOMS = 48, 12, 12  # steps of a finer grid, steps that an interval spans at least, grids at most
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
    series = _Series.of(dose, response)
    first = series.lines(grid, SLOPES)
    flat, degrees = float(((response - response.mean()) ** 2).sum()), count - 4
    if flat <= ROUNDING * float((response**2).sum()):  # constant but for rounding, of which F makes an effect
        return Curve(Note("curve_no_effect", {"p": 1.0}), p=1.0, n=count)
    best = _search(series, first)
    least = float(best.squares[0, 0])
    ratio = (flat - least) / 3 / max(least / degrees, 1e-300)
    p = float(stats.f.sf(ratio, 3, degrees))
    if p >= ALPHA:
        return Curve(Note("curve_no_effect", {"p": round(p, 4)}), p=p, n=count)
    allowed = least * (1 + stats.f.ppf(LEVEL, 1, degrees) / degrees)
    region = _around(series, first, best, allowed)
    ec50, bottom, gain = float(best.ec50[0]), float(best.bottom[0, 0]), float(best.gain[0, 0])
    line = Curve(None, bottom, bottom + gain, float(best.slope[0]), ec50, p=p, n=count)
    low, high = _range(region.ec50, region.squares.min(axis=1), allowed)
    interval = 0.0 if low <= grid[0] else min(low, ec50), np.inf if high >= grid[-1] else max(high, ec50)
    sd = float(np.std(response[dose == 0], ddof=1)) if control_sd is None and (dose == 0).sum() > 1 else control_sd
    bmc, around = _benchmark(best, region, (grid[0], grid[-1]), BENCHMARK * sd, allowed) if sd else (np.nan, NONE)
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


@dataclass(frozen=True)
class _Lines:
    """The best lines of EC50s (e,) and slopes (s,): residual squares, bottom, gain, and spread of the rise, (e, s)."""

    ec50: Array
    slope: Array
    squares: Array
    bottom: Array
    gain: Array
    spread: Array


@dataclass(frozen=True)
class _Series:
    """A series by dose, since wells of one dose share a response: levels, wells, sums; all wells, mean, squares."""

    levels: Array
    count: Array
    total: Array
    n: int
    mean: float
    squares: float

    @classmethod
    def of(cls, dose: Array, response: Array) -> "_Series":
        levels, place = np.unique(dose, return_inverse=True)
        count, total = np.bincount(place), np.bincount(place, weights=response)
        mean = float(response.mean())
        return cls(levels, count, total, len(dose), mean, float(((response - mean) ** 2).sum()))

    def lines(self, ec50: Array, slope: Array) -> _Lines:
        """Return the best lines of a grid; tops are not below bottoms."""
        shape = rise(self.levels, ec50[:, None, None], slope[:, None])
        centre = shape @ self.count / self.n
        spread = (shape**2) @ self.count - self.n * centre**2
        along = shape @ self.total - self.n * centre * self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(spread > 1e-12, np.maximum(along, 0) / spread, 0.0)
        squares = np.maximum(self.squares - 2 * gain * along + gain**2 * spread, 0)
        return _Lines(ec50, slope, squares, self.mean - gain * centre, gain, spread)


def _search(series: _Series, grid: _Lines) -> _Lines:
    """Return the best line near the best of a grid, as a grid of one EC50 and slope."""
    place = np.unravel_index(np.argmin(grid.squares), grid.squares.shape)
    start = np.log([grid.ec50[place[0]], grid.slope[place[1]]])
    bounds = [np.log([grid.ec50[0], grid.ec50[-1]]), np.log([SLOPES[0], SLOPES[-1]])]

    def line(at: Array) -> _Lines:
        return series.lines(np.exp(at[:1]), np.exp(at[1:]))

    scale = max(float(grid.squares[place]), 1e-300)
    found = optimize.minimize(
        lambda at: float(line(at).squares[0, 0]) / scale, start, method="Nelder-Mead", bounds=bounds
    )
    return min(line(start), line(found.x), key=lambda one: float(one.squares[0, 0]))


def _around(series: _Series, grid: _Lines, best: _Lines, allowed: float) -> _Lines:
    """Return a grid in which the lines of at most the `allowed` squares span several steps each way, or `grid`.

    It reaches beyond these lines, but not beyond `grid`.
    """
    whole, found = (grid.ec50, grid.slope), grid
    for _ in range(ZOOMS):
        inside = found.squares <= allowed
        axes = [
            _axis(found.ec50, np.any(inside, axis=1), float(best.ec50[0]), whole[0]),
            _axis(found.slope, np.any(inside, axis=0), float(best.slope[0]), whole[1]),
        ]
        if all(resolved for _, resolved in axes):
            break
        found = series.lines(*(values for values, _ in axes))
    return found


def _axis(values: Array, inside: Array, best: float, whole: Array) -> tuple[Array, bool]:
    """Return finer values around those inside and the best, and whether these are resolved and not cut off already."""
    here, step, quarter = np.append(values[inside], best), values[1] / values[0], (values[-1] / values[0]) ** 0.25
    below, above = (inside[0] and values[0] > whole[0] * CLOSE), (inside[-1] and values[-1] * CLOSE < whole[-1])
    low = max(here.min() / (quarter if below else step**2), whole[0])
    high = min(here.max() * (quarter if above else step**2), whole[-1])
    return np.geomspace(low, high, FINE), bool(inside.sum() >= RESOLVED and not below and not above)


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
    best: _Lines, region: _Lines, ends: tuple[float, float], height: float, allowed: float
) -> tuple[float, tuple[float, float]]:
    """Return the concentration at which the best line reaches `height`, and its interval; NaN where it stays below.

    For each EC50 and slope, the gains with at most the `allowed` squares lie around the best gain; the larger the gain,
    the lower the concentration. Beyond the `ends` of the grid of EC50s, an end of the interval is open.
    """
    bmc = float(_reached(best, best.gain, height)[0, 0])
    if not np.isfinite(bmc):
        return float("nan"), NONE
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.sqrt((allowed - region.squares) / region.spread)
    inside = np.isfinite(room)
    low = np.where(inside, _reached(region, region.gain + room, height), np.inf).min()
    high = np.where(inside, _reached(region, region.gain - room, height), 0.0).max()
    low, high = min(float(low), bmc), max(float(high), bmc)
    return bmc, (0.0 if low <= ends[0] else low, np.inf if high >= ends[1] else high)


def _reached(lines: _Lines, gain: Array, height: float) -> Array:
    """Return the concentrations (e, s) at which lines of these gains rise by `height`; infinite where they do not."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.where(gain > height, height / gain, np.nan)
        found: Array = lines.ec50[:, None] * (share / (1 - share)) ** (1 / lines.slope)
    return np.where(np.isfinite(share), found, np.inf)
