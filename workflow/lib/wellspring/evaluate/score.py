"""What every metric returns: a `Score` with items, units, chance and notes; and the confidence interval of its value.

A score is a weighted sum, over strata, of the mean of its units: one stratum for a plain mean, one per class for
balanced accuracy, one per pair for transfer. Its interval is a jackknife over groups (mechanisms, plates, control
wells), see `wellspring.evaluate.jackknife`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from wellspring.evaluate.jackknife import (
    LEAST,
    Jackknife,
    at_least,
    bounded,
    merged,
    of_units,
    plain,
    share_interval,
    spread,
)
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note, dumps

ROUNDING = 1e-9  # how far a bounded score may be beyond its bounds
ITEM_COLUMNS = ["Metadata_Item", "value", "p", "q", "n", "n_undefined", "Metadata_Group", "Metadata_Group_By_Line"]
NO_ITEMS = pd.DataFrame({name: pd.Series(dtype=object) for name in ITEM_COLUMNS})
NO_UNITS = pd.DataFrame(
    {"stratum": pd.Series(dtype=str), "cluster": pd.Series(dtype=str), "value": pd.Series(dtype=float)}
)


@dataclass(frozen=True)
class Score:
    """One metric on one set of profiles.

    Attributes
    ----------
    metric
        Its name, as in the tables.
    items
        One row per item: Metadata_Item, value, p, q, n, n_undefined, Metadata_Group (missing columns are filled).
    units
        One row per unit of the mean: stratum, cluster, value (finite).
    weights
        Weight of each stratum; None for equal weights.
    chance
        Expected value without signal; NaN where there is none.
    n, n_undefined
        Number of things counted, and of things without a value.
    notes
        What limits the value, or why there is none.
    interval
        The 95 % interval, where it does not come from a jackknife.
    jackknives
        The score without each group, one for each kind of group that is sampled; without any, the clusters of the units
        are left out one at a time, as if they did not score each other.
    proportion
        The units are right or wrong, or shares of few neighbours: Wilson's interval.
    unbounded
        The score is not between 0 and 1.
    spreads
        The score counts standard deviations: an interval on the scale of asinh.
    ceiling, trials
        Largest possible value of a proportion, and the number of yes-or-no answers of each of its `n` items.
    left_p
        p of each item without each set of controls, (items, sets): for the share of items below a threshold.
    disjoint
        Two folds judge different things (their counts add), not the same things twice.
    median
        The score is the median of its units, not their mean.
    chance_error
        Standard error that chance alone gives the score (`precision.chance_error`); 0 where it is not known.
    """

    metric: str
    items: pd.DataFrame = field(default_factory=NO_ITEMS.copy)
    units: pd.DataFrame = field(default_factory=NO_UNITS.copy)
    weights: Mapping[str, float] | None = None
    chance: float = float("nan")
    n: int = 0
    n_undefined: int = 0
    notes: tuple[Note, ...] = ()
    interval: tuple[float, float] | None = None
    jackknives: tuple[Jackknife, ...] = ()
    proportion: bool = False
    unbounded: bool = False
    spreads: bool = False
    ceiling: float = 1.0
    trials: int = 1
    left_p: pd.DataFrame | None = None
    disjoint: bool = False
    median: bool = False
    chance_error: float = 0.0

    @property
    def value(self) -> float:
        """The score; NaN without units."""
        if self.median and len(self.units):
            return float(self.units["value"].median())
        return _statistic(self.units, self.weights) if len(self.units) else float("nan")

    def named(self, metric: str) -> "Score":
        """Return the score under another name."""
        return replace(self, metric=metric)

    def noted(self, *notes: Note) -> "Score":
        """Return the score with further notes, each kept once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))


def absent(metric: str, *notes: Note, n_undefined: int = 0) -> Score:
    """Return the score of a metric that the data do not allow: value NaN, and notes that give the reason."""
    return Score(metric, notes=notes, n_undefined=n_undefined)


def merge(first: Score, second: Score) -> Score:
    """Return the score of two folds: the mean of the values, and for each item the larger p.

    The larger of two valid p-values is valid and conservative: both must be small at once. An item without a p in one
    fold has none. q is computed anew over all items with a p.
    """
    both = pd.concat([filled(first.items), filled(second.items)], ignore_index=True)
    grouped = both.groupby("Metadata_Item", sort=True, dropna=False)
    items = grouped.agg(
        value=("value", "mean"),
        n_undefined=("n_undefined", "max"),
        Metadata_Group=("Metadata_Group", "first"),
        Metadata_Group_By_Line=("Metadata_Group_By_Line", "first"),
    )
    items["n"] = grouped["n"].sum() if first.disjoint else grouped["n"].max()
    items["p"] = grouped["p"].agg(lambda column: column.max(skipna=False))
    items["q"] = benjamini_hochberg(items["p"].to_numpy(dtype=float))
    ends = [score.interval for score in (first, second) if score.interval is not None]
    chances = [score.chance for score in (first, second) if np.isfinite(score.chance)]
    values = [score.value for score in (first, second)]
    joined = [score.jackknives for score in (first, second)] if all(map(np.isfinite, values)) else []
    both_scores = replace(
        first,
        items=filled(items.reset_index()),
        units=pd.concat([first.units, second.units], ignore_index=True),
        chance=float(np.mean(chances)) if chances else float("nan"),
        n=first.n + second.n if first.disjoint else max(first.n, second.n),
        n_undefined=(
            first.n_undefined + second.n_undefined if first.disjoint else max(first.n_undefined, second.n_undefined)
        ),
        interval=(float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends])))
        if ends
        else None,
        jackknives=(),
    )
    if first.left_p is not None and second.left_p is not None:
        both_scores = replace(both_scores, left_p=_merged_p(first, second, items.index))
    if joined and all(joined):
        parts = merged(joined, values, (0.5, 0.5))
        shift = both_scores.value - float(np.mean(values))
        both_scores = replace(both_scores, jackknives=tuple(one.shifted(shift) for one in parts))
    return both_scores.noted(*second.notes)


def _merged_p(first: Score, second: Score, names: pd.Index) -> pd.DataFrame:
    """Return the larger p of two folds without each set of controls; where one fold lacks the set, its p stays."""
    tables = [each.left_p for each in (first, second) if each.left_p is not None]
    whole = [filled(each.items).set_index("Metadata_Item")["p"].reindex(names) for each in (first, second)]
    columns = tables[0].columns.union(tables[1].columns)
    sides = [
        pd.DataFrame({name: table[name].reindex(names) if name in table else p for name in columns}, index=names)
        for table, p in zip(tables, whole, strict=True)
    ]
    result: pd.DataFrame = np.maximum(*sides)
    return result


def filled(items: pd.DataFrame) -> pd.DataFrame:
    """Return items with every column of the table, numbers as float64 or int."""
    items = items.copy()
    for name in ITEM_COLUMNS:
        if name not in items:
            items[name] = 0 if name.startswith("n") else (None if name.startswith("Metadata_Group") else np.nan)
    for name in ("value", "p", "q"):
        items[name] = items[name].astype(float)
    for name in ("n", "n_undefined"):
        items[name] = items[name].astype(int)
    return items[ITEM_COLUMNS]


def row(score: Score, *, level: str, chance: str = "") -> dict[str, object]:
    """Return the score's row of the table `summary`, with its 95 % interval.

    `chance` describes the chance level; it is left out where there is no such level. `Metadata_Left_Out` has the score
    without each group as JSON, for paired differences between encoders.
    """
    low, high = interval(score)
    if score.interval is None and np.isfinite(score.value) and not np.isfinite(low):
        score = score.noted(too_few_groups(score))
    return {
        "Metadata_Metric": score.metric,
        "Metadata_Level": level,
        "value": score.value,
        "low": low,
        "high": high,
        "n": score.n,
        "n_undefined": score.n_undefined,
        "chance": score.chance,
        "Metadata_Guard": chance if np.isfinite(score.chance) else "",
        "Metadata_Note": dumps(score.notes),
        "Metadata_Left_Out": left_out(score),
    }


def jackknives(score: Score) -> tuple[Jackknife, ...]:
    """Return the score without each group: its own jackknives, or that over the clusters of its units."""
    if score.jackknives or not len(score.units):
        return score.jackknives
    return (of_units(score.units, score.weights, median=score.median).shifted(score.value),)


def left_out(score: Score) -> str:
    """Return the score without each group as JSON: population -> {shared, groups: {name -> value}}; "" without any."""
    if score.interval is not None or not np.isfinite(score.value):
        return ""
    found = {
        one.population: {
            "shared": float(f"{one.shared:.6g}"),
            "groups": {str(name): float(f"{value:.7g}") for name, value in one.left_out.items()},
        }
        for one in jackknives(score)
    }
    return json.dumps(found, ensure_ascii=False)


def interval(score: Score) -> tuple[float, float]:
    """Return the 95 % interval of the score for new groups of the same kind; NaN with fewer than `LEAST` groups.

    `ValueError` names a bounded score whose value is not between 0 and its ceiling.
    """
    if score.interval is not None:
        return score.interval
    parts = jackknives(score)
    if not parts or not np.isfinite(score.value):
        return float("nan"), float("nan")
    error, freedom, fewest = spread(parts)
    if fewest < LEAST or not np.isfinite(error):
        return float("nan"), float("nan")
    error = at_least(error, score.chance_error, freedom)
    if score.unbounded or score.weights is not None:
        return plain(score.value, error, freedom, spreads=score.spreads)
    top = score.ceiling
    if not -ROUNDING <= score.value / top <= 1 + ROUNDING:
        found = f"between 0 and {top:g}, found {score.value:g}"
        raise ValueError(f"{score.metric}: expected a value {found}; a score without bounds has unbounded=True")
    form = share_interval if score.proportion else bounded
    items = max(score.n * score.trials, fewest)
    low, high = form(min(score.value / top, 1.0), error / top, freedom, groups=fewest, items=items)
    return top * low, top * high


def too_few_groups(score: Score) -> Note:
    """Return the note of a score without an interval."""
    parts = jackknives(score)
    least = min(parts, key=lambda one: len(one.left_out))
    found = len(least.left_out)
    return Note("too_few_groups_for_interval", {"population": least.population, "found": found, "needed": LEAST})


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion of `hits` in `n`."""
    if n < 1:
        return float("nan"), float("nan")
    z2, p = 1.959963984540054**2, hits / n
    middle, half = p + z2 / (2 * n), np.sqrt(z2) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At no hit and at all hits the ends are 0 and 1; rounding must not put 0 hits above a chance level of 0.
    low = 0.0 if hits <= 0 else (middle - half) / (1 + z2 / n)
    return float(low), 1.0 if hits >= n else float((middle + half) / (1 + z2 / n))


def benjamini_hochberg(p: Array) -> Array:
    """Return q of each p (Benjamini and Hochberg 1995); a NaN stays NaN and does not count as a test."""
    p = np.asarray(p, dtype=float)
    q = np.full(p.shape, np.nan)
    tests = np.flatnonzero(np.isfinite(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    raw = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return q


def _statistic(units: pd.DataFrame, weights: Mapping[str, float] | None) -> float:
    """Return the weighted sum of the strata's means."""
    stratum, names = pd.factorize(units["stratum"], sort=True)
    means = np.bincount(stratum, weights=units["value"].to_numpy(float)) / np.bincount(stratum)
    share = np.full(len(names), 1 / len(names)) if weights is None else np.array([weights.get(s, 0.0) for s in names])
    return float(means @ share)
