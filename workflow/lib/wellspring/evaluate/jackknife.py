"""Intervals by a delete-a-group jackknife: what a score would be without each mechanism, plate or set of controls.

A group is removed as a query and as a reference, because the wells of a mechanism score each other and the wells of a
plate share its light: resampling items alone leaves that out. The population of an interval is therefore new groups of
the same kind (`Metric.population`): new mechanisms with their compounds, new plates, new control wells.

Three corrections. A score's chance level changes when a group is removed (a large mechanism raises it), which is no
sampling error: deviations are those of the score above chance. A pair of groups that score each other enters the
deviations of both (Efron and Stein 1981): half of that excess is subtracted, which measured between 0.92 and 0.97 where
none and all of it measured above and below (`benchmarks/interval_coverage.py`). Few groups are Student's t. A share has
Wilson's interval for as many independent items as have its variance, a score between 0 and 1 is symmetric on the logit
scale.

More than 30 groups are dealt into 30 sets, which are left out as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from wellspring.evaluate.wells import Array

SETS = 30
LEAST = 4  # with three groups Student's t is 4.3 and a spread of three values is little more than a guess
SMALLEST = 1e-12
KNOWN = 0.6  # the wider of two intervals covers more than each: 0.5 and 0.75 measured 0.91 to 1.00 and 0.95 to 1.00


@dataclass(frozen=True)
class Groups:
    """The sets of wells that are left out, one at a time.

    Attributes
    ----------
    code
        (n,) set of each well.
    names
        Name of each set: its first group.
    """

    code: Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Array) -> "Groups":
        """Deal the groups of wells, values (n,), into at most `SETS` sets of nearly equal size."""
        names, code, size = np.unique(np.asarray(values).astype(str), return_inverse=True, return_counts=True)
        if len(names) <= SETS:
            return cls(code, tuple(names))
        order = np.argsort(-size, kind="stable")
        turn = np.arange(len(names)) % (2 * SETS)
        sets = np.empty(len(names), dtype=np.intp)
        sets[order] = np.where(turn < SETS, turn, 2 * SETS - 1 - turn)
        return cls(sets[code], tuple(names[order[:SETS]]))

    def __len__(self) -> int:
        """Return the number of sets."""
        return len(self.names)

    def worth(self) -> float:
        """Return the mean of the number of sets and of that of equal sets with the same spread of a mean."""
        size = np.bincount(self.code, minlength=len(self.names)).astype(float)
        return float((len(self.names) + (size**2).sum() ** 2 / (size**4).sum()) / 2)

    def onehot(self, places: Array | slice = slice(None)) -> Array:
        """Return (places, sets) float: 1 for the set of each place."""
        return np.eye(len(self.names))[self.code[places]]


@dataclass(frozen=True)
class Jackknife:
    """A score without each group of one kind.

    Attributes
    ----------
    population
        The kind of group: mechanisms, controls, plates, items.
    left_out
        Score without each group, less the change of its chance level; the index has the groups' names.
    shared
        Variance of pairs of groups, which `left_out` counts twice.
    sets
        Number of groups of equal size that are worth as much: fewer than there are where sizes differ.
    """

    population: str
    left_out: pd.Series
    shared: float = 0.0
    sets: float = float("inf")

    @property
    def variance(self) -> float:
        """Variance of the score over new groups."""
        count = len(self.left_out)
        if count < 2:
            return float("nan")
        total = (count - 1) / count * float(((self.left_out - self.left_out.mean()) ** 2).sum())
        return max(total - self.shared / 2, 0.75 * total)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance."""
        return max(min(float(len(self.left_out)), self.sets) - 1, 1.0)

    def shifted(self, by: float) -> "Jackknife":
        """Return the jackknife of the score plus a number."""
        return replace(self, left_out=self.left_out + by)


def merged(
    parts: Sequence[Sequence[Jackknife]], values: Sequence[float], weights: Sequence[float]
) -> tuple[Jackknife, ...]:
    """Return the jackknives of the weighted sum of scores with these `values`.

    A group that one score does not have leaves it as it is: halves of the controls are different groups.
    """
    found = []
    for population in dict.fromkeys(one.population for part in parts for one in part):
        mine = [[one for one in part if one.population == population] for part in parts]
        index = reduce(pd.Index.union, [one.left_out.index for part in mine for one in part])
        total, shared = pd.Series(0.0, index=index), 0.0
        sets = min((one.sets for part in mine for one in part), default=float("inf"))
        for part, value, weight in zip(mine, values, weights, strict=True):
            for one in part:
                total += weight * (one.left_out.reindex(index).fillna(value) - value)
                shared += weight**2 * one.shared
        overall = float(np.dot(values, weights))
        found.append(Jackknife(population, total + overall, shared, sets))
    return tuple(found)


def of_queries(
    value: Array,
    left: Array,
    chance: Array,
    chance_left: Array,
    group: Array,
    *,
    weight: Array | None = None,
    stratum: Array | None = None,
    shares: Mapping[str, float] | None = None,
    median: bool = False,
) -> tuple[Array, float]:
    """Return by how much each group raises a score (groups,), and the variance that pairs of groups share.

    Parameters
    ----------
    value, left
        Value of each query (q,), and without each group (q, groups); NaN where there is none.
    chance, chance_left
        Their chance levels, of the same shapes.
    group
        (q,) group of each query, -1 for none; a query is left out with its group.
    weight, stratum, shares
        The score is the sum, over strata, of `shares` (default: equal) times the weighted mean of the queries.
    median
        The score is the median of the queries.
    """
    groups, count = left.shape[1], len(value)
    weight = np.ones(count) if weight is None else weight
    stratum = np.zeros(count, dtype=int) if stratum is None else np.asarray(stratum)
    gone = group[:, None] == np.arange(groups)
    left, chance_left = (np.where(gone, np.nan, each) for each in (left, chance_left))
    names = list(dict.fromkeys(stratum.tolist()))
    share = np.array([1.0 if shares is None else shares.get(name, 0.0) for name in names])
    masks = [stratum == name for name in names]

    def score(values: Array) -> Array:
        if median:
            empty = ~np.isfinite(values).any(axis=0)
            return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, values), axis=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            means = []
            for mask in masks:
                known = np.isfinite(values[mask])
                total = (known * weight[mask, None]).sum(axis=0)
                means.append((np.where(known, values[mask], 0.0) * weight[mask, None]).sum(axis=0) / total)
        table = np.array(means)
        known = np.isfinite(table)
        if shares is None:
            result: Array = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
            return result
        whole = np.where(known, table, table[:, :1]) if table.shape[1] > 1 else table
        return np.asarray(share @ whole)

    whole, level = (float(score(each[:, None])[0]) for each in (value, chance))
    above = (1 - whole) / (1 - level) if level < 1 - SMALLEST and np.isfinite(level) else 0.0
    change = np.nan_to_num(level - score(chance_left)) if np.isfinite(level) else np.zeros(groups)
    rise = whole - score(left) - above * change
    unit = np.zeros(count)
    for mask, part in zip(masks, share if shares is not None else share / len(names), strict=True):
        known = mask & np.isfinite(value)
        unit[known] = part * weight[known] / max(float(weight[known].sum()), SMALLEST)
    with np.errstate(invalid="ignore"):
        moved = value[:, None] - left - above * np.nan_to_num(chance[:, None] - chance_left)
    moved = np.nan_to_num(unit[:, None] * moved)
    known = group >= 0
    block = np.zeros((groups, groups))
    np.add.at(block, group[known], moved[known])
    pairs = (block + block.T)[np.triu_indices(groups, 1)]
    return rise, float(((pairs - pairs.mean()) ** 2).sum()) if len(pairs) else 0.0


def of_units(units: pd.DataFrame, shares: Mapping[str, float] | None, *, median: bool = False) -> Jackknife:
    """Return the jackknife of a score whose clusters do not score each other; columns stratum, cluster, value."""
    groups = Groups.of(units["cluster"].to_numpy())
    value = units["value"].to_numpy(float)
    left, none = np.repeat(value[:, None], len(groups), axis=1), np.full(len(value), np.nan)
    rise, _ = of_queries(
        value,
        left,
        none,
        np.full(left.shape, np.nan),
        groups.code,
        stratum=units["stratum"].to_numpy(),
        shares=shares,
        median=median,
    )
    return Jackknife("items", pd.Series(-rise, index=list(groups.names)), sets=groups.worth())


def spread(parts: Sequence[Jackknife]) -> tuple[float, float, int]:
    """Return standard error, degrees of freedom (Satterthwaite 1946), and the smallest number of groups."""
    variances = np.array([one.variance for one in parts])
    freedom = np.array([one.freedom for one in parts])
    total, fewest = float(variances.sum()), min(len(one.left_out) for one in parts)
    if not total > 0:
        return (0.0 if total == 0 else total), float(freedom.min()), fewest
    return float(np.sqrt(total)), float(total**2 / (variances**2 / freedom).sum()), fewest


def at_least(error: float, known: float, freedom: float) -> float:
    """Return the estimated error, or the one whose Student's interval is as wide as that of `KNOWN` of a known error.

    The average precision of few wells in random order is mostly low and seldom high. Groups of which by chance none is
    high differ too little: without this bound, intervals of four to twelve treatments in duplicate covered chance in
    0.80 to 0.90 of screens without effects.

    Examples
    --------
    >>> round(at_least(0.01, 0.1, 3.0), 3), at_least(0.2, 0.1, 3.0)
    (0.037, 0.2)
    """
    return max(error, KNOWN * known * float(norm.ppf(0.975) / student.ppf(0.975, freedom)))


def plain(value: float, error: float, freedom: float, *, spreads: bool = False) -> tuple[float, float]:
    """Return Student's 95 % interval; of a score that counts standard deviations (`spreads`), on the scale of asinh.

    Strong groups differ more than weak ones: asinh is linear within one standard deviation, logarithmic beyond.

    Examples
    --------
    >>> [round(end, 2) for end in plain(2.0, 0.5, 10.0)], [round(end, 2) for end in plain(2.0, 0.5, 10.0, spreads=True)]
    ([0.89, 3.11], [1.09, 3.41])
    """
    half = float(student.ppf(0.975, freedom)) * error
    if not spreads:
        return value - half, value + half
    middle, half = float(np.arcsinh(value)), half / float(np.hypot(1, value))
    return float(np.sinh(middle - half)), float(np.sinh(middle + half))


def share_interval(value: float, error: float, freedom: float, *, groups: int, items: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share for as many independent items as have this error.

    They are at most the `items` there are, and where the groups do not differ at all, as many as the `groups`.
    """
    drawn = (value * items + 0.5) / (items + 1)
    count = min(max(drawn * (1 - drawn) / error**2, groups / 2), items) if error > SMALLEST else float(groups)
    square = float(student.ppf(0.975, freedom)) ** 2
    middle, half = (
        value + square / (2 * count),
        np.sqrt(square * (value * (1 - value) / count + square / (4 * count**2))),
    )
    # At no hit and at all hits the ends are 0 and 1; rounding must not put 0 hits above a chance level of 0.
    low = 0.0 if value <= 0 else (middle - half) / (1 + square / count)
    return float(low), 1.0 if value >= 1 else float((middle + half) / (1 + square / count))


def bounded(value: float, error: float, freedom: float, *, groups: int, items: int) -> tuple[float, float]:
    """Return the 95 % interval of a score between 0 and 1, symmetric on the logit scale."""
    if error <= SMALLEST or not SMALLEST < value < 1 - SMALLEST:
        return share_interval(min(max(value, 0.0), 1.0), error, freedom, groups=groups, items=items)
    half = float(student.ppf(0.975, freedom)) * error / (value * (1 - value))
    logit = np.log(value / (1 - value))
    return float(1 / (1 + np.exp(half - logit))), float(1 / (1 + np.exp(-half - logit)))
