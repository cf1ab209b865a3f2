"""What every metric returns: a `Score` with items, units, chance and notes; and the confidence interval of its value.

A score is a weighted sum, over strata, of the mean of its units: one stratum for a plain mean, one per class for
balanced accuracy, one per pair for transfer. Its interval comes from resampling clusters (compounds, or wells for
nuisance), so that replicates do not count as independent evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note, dumps

ITEM_COLUMNS = ["Metadata_Item", "value", "p", "q", "n", "n_undefined", "Metadata_Group"]
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
        The 95 % interval, where it does not come from resampling the units.
    proportion
        The units are right or wrong, so that Wilson's interval replaces a bootstrap without width.
    disjoint
        Two folds judge different things (their counts add), not the same things twice.
    median
        The score is the median of its units, not their mean.
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
    proportion: bool = False
    disjoint: bool = False
    median: bool = False

    @property
    def value(self) -> float:
        """The score; NaN without units."""
        if self.median and len(self.units):
            return float(self.units["value"].median())
        return _statistic(*_cells(self.units), self.weights)[0] if len(self.units) else float("nan")

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
        value=("value", "mean"), n_undefined=("n_undefined", "max"), Metadata_Group=("Metadata_Group", "first")
    )
    items["n"] = grouped["n"].sum() if first.disjoint else grouped["n"].max()
    items["p"] = grouped["p"].agg(lambda column: column.max(skipna=False))
    items["q"] = benjamini_hochberg(items["p"].to_numpy(dtype=float))
    ends = [score.interval for score in (first, second) if score.interval is not None]
    chances = [score.chance for score in (first, second) if np.isfinite(score.chance)]
    merged = replace(
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
    )
    return merged.noted(*second.notes)


def filled(items: pd.DataFrame) -> pd.DataFrame:
    """Return items with every column of the table, numbers as float64 or int."""
    items = items.copy()
    for name in ITEM_COLUMNS:
        if name not in items:
            items[name] = 0 if name.startswith("n") else (np.nan if name != "Metadata_Group" else None)
    for name in ("value", "p", "q"):
        items[name] = items[name].astype(float)
    for name in ("n", "n_undefined"):
        items[name] = items[name].astype(int)
    return items[ITEM_COLUMNS]


def row(score: Score, *, level: str, bootstrap: int, seed: int, chance: str = "") -> dict[str, object]:
    """Return the score's row of the table `summary`, with the 95 % interval of `bootstrap` resamples.

    `chance` describes the chance level; it is left out where there is no such level.
    """
    if score.interval is None:
        low, high = interval(score, bootstrap=bootstrap, rng=np.random.default_rng(seed))
        if bootstrap and np.isfinite(score.value) and score.units["cluster"].nunique() < 2:
            score = score.noted(Note("single_unit"))
    else:
        low, high = score.interval
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
    }


def interval(score: Score, *, bootstrap: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % percentile interval of the score over resampled clusters.

    With fewer than two clusters it is NaN. Where all units of a proportion agree, the bootstrap has no width, and
    Wilson's interval on the number of clusters is returned instead.
    """
    if not len(score.units) or score.units["cluster"].nunique() < 2 or bootstrap < 1:
        return float("nan"), float("nan")
    if score.median:
        return _median_interval(score.units, bootstrap=bootstrap, rng=rng)
    sums, counts, strata = _cells(score.units)
    clusters = sums.shape[0]
    draws = []
    for start in range(0, bootstrap, 100):
        taken = _resampled(clusters, min(100, bootstrap - start), rng)
        draws.append(_statistic(sums, counts, strata, score.weights, taken))
    low, high = np.percentile(np.concatenate(draws), [2.5, 97.5])
    if score.proportion and score.weights is None and high - low < 1e-12:
        return wilson(score.value * clusters, clusters)
    return float(low), float(high)


def _median_interval(units: pd.DataFrame, *, bootstrap: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the interval of the median over resampled clusters; a unit counts as often as its cluster is drawn."""
    units = units.sort_values("value", kind="stable")
    cluster, names = pd.factorize(units["cluster"], sort=True)
    value, clusters = units["value"].to_numpy(float), len(names)
    draws = []
    for _ in range(bootstrap):
        weight = _resampled(clusters, 1, rng)[0, cluster]
        draws.append(value[np.searchsorted(np.cumsum(weight), weight.sum() / 2)])
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _resampled(clusters: int, draws: int, rng: np.random.Generator) -> Array:
    """Return how often each cluster is drawn (draws, clusters) when as many are drawn with replacement."""
    chosen = rng.integers(clusters, size=(draws, clusters)) + clusters * np.arange(draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(float)


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


def _cells(units: pd.DataFrame) -> tuple[csr_array, csr_array, list[str]]:
    """Return sums and counts by (cluster, stratum), sparse, and the names of the strata."""
    cluster, _ = pd.factorize(units["cluster"], sort=True)
    stratum, names = pd.factorize(units["stratum"], sort=True)
    shape, value = (cluster.max() + 1, len(names)), units["value"].to_numpy(float)
    sums, counts = (csr_array((data, (cluster, stratum)), shape=shape) for data in (value, np.ones(len(value))))
    return sums, counts, list(names)


def _statistic(
    sums: csr_array,
    counts: csr_array,
    strata: list[str],
    weights: Mapping[str, float] | None,
    taken: Array | None = None,
) -> Array:
    """Return the weighted sum of strata means for each row of `taken` (resamples, clusters); None: each once.

    A stratum that a resample misses keeps its observed mean.
    """
    taken = np.ones((1, sums.shape[0])) if taken is None else taken
    observed = sums.sum(axis=0) / counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (taken @ sums) / (taken @ counts)
    means = np.where(np.isfinite(means), means, observed)
    share = (
        np.full(len(strata), 1 / len(strata)) if weights is None else np.array([weights.get(s, 0.0) for s in strata])
    )
    result: Array = means @ share
    return result
