"""Dose monotonicity and Z' along the axis from the negative to the positive controls.

In flow well profiles with doses, out flow `dose.spearman` and `dose.z_prime`. The axis of a plate is fitted on the
controls of all of its rows but one and read on the wells of that row (rows are the replicates of a dose series), so no
well is read along an axis that it helped to fit.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from wellspring.evaluate import wells
from wellspring.evaluate.score import Score, absent

NAMES = ("dose.spearman", "dose.z_prime")
AXIS = "axis between the control means, fitted on all rows but one and read on that row"


def axis_scores(features: np.ndarray, metadata: pd.DataFrame) -> np.ndarray:
    """Return each well's place (n,) between its plate's negative (0) and positive (1) control mean.

    s = (x - a) . (b - a) / |b - a|^2 with a, b the means of the negative and positive controls on the plate's other
    rows. NaN where the well is undefined, or the other rows lack one of the controls.
    """
    usable, plate = wells.defined(features, metadata), wells.column(metadata, wells.PLATE)
    row = wells.positions(metadata)["row"].to_numpy()
    negative, positive = (usable & wells.kind(metadata, name) for name in ("negcon", "poscon"))
    scores = np.full(len(metadata), np.nan)
    for _, places in pd.Series(np.arange(len(plate))).groupby(plate, sort=True):
        mine = places.to_numpy()
        for left_out in np.unique(row[mine][np.isfinite(row[mine])]):
            fitted, read = mine[row[mine] != left_out], mine[(row[mine] == left_out) & usable[mine]]
            controls = fitted[negative[fitted]], fitted[positive[fitted]]
            if not all(map(len, controls)):
                continue
            start, end = (features[index].mean(axis=0, dtype=np.float64) for index in controls)
            axis = end - start
            length = float(axis @ axis)
            if length > 0:
                scores[read] = (features[read] - start) @ axis / length
    return scores


def z_prime(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return Z' = 1 - 3 (s_p + s_n) / |m_p - m_n| (Zhang et al. 1999), s over n - 1; NaN with fewer than 2 wells."""
    if len(positive) < 2 or len(negative) < 2:
        return float("nan")
    spread = float(np.mean(positive) - np.mean(negative))
    if spread == 0:
        return float("-inf")
    return float(1 - 3 * (np.std(positive, ddof=1) + np.std(negative, ddof=1)) / abs(spread))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; NaN where one side is constant or empty."""
    if not len(first):
        return float("nan")
    a, b = (pd.Series(values).rank().to_numpy() for values in (first, second))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def dose(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    minimum: int = 4,
    bootstrap: int = 1000,
    seed: int = 0,
) -> list[tuple[Score, tuple[float, float]]]:
    """Return both dose scores, each with its 95 % interval, for the axis as it was fitted.

    That of the correlation is a bootstrap over wells. That of Z' is a generalised confidence interval (Weerahandi 1993)
    for normal wells: resamples of a few controls have too small a spread (of 4 and 4, they cover .58 in place of .95).

    `dose.spearman` is the mean, over compounds with at least `minimum` concentrations among the treated wells, of the
    correlation of dose and axis score; items are compounds. `dose.z_prime` is the mean over plates; items are plates.
    """
    concentration = pd.to_numeric(
        pd.Series(wells.column(metadata, "Metadata_Concentration")), errors="coerce"
    ).to_numpy(float)
    compound, treated = wells.column(metadata, "Metadata_Compound"), wells.kind(metadata, "trt")
    levels = pd.Series(concentration[treated]).groupby(pd.Series(compound[treated], dtype=object)).nunique()
    series = sorted(str(name) for name, count in levels.items() if count >= minimum)
    if not wells.kind(metadata, "poscon").any() or not wells.kind(metadata, "negcon").any():
        return _absent("needs positive and negative controls")
    if not series:
        return _absent(f"no compound has {minimum} concentrations")
    score, plate = axis_scores(features, metadata), wells.column(metadata, wells.PLATE)
    read, rng = np.isfinite(score), np.random.default_rng(seed)
    if not read.any():
        return _absent("no row can be left out: the controls of the other rows are missing")
    note = "; ".join(filter(None, [AXIS, _coincidence(metadata, series)]))
    member = np.flatnonzero(treated & np.isfinite(concentration) & np.isin(compound.astype(str), series))
    lost, groups = int((~read[member]).sum()), dict.fromkeys(series, (score[:0], score[:0]))
    told = member[read[member]]
    for name, places in pd.Series(told).groupby(compound[told].astype(str)):
        groups[name] = score[places.to_numpy()], concentration[places.to_numpy()]
    by_plate = {
        str(name): tuple(score[read & (plate == name) & wells.kind(metadata, kind)] for kind in ("poscon", "negcon"))
        for name in sorted(set(plate))
    }
    controls = wells.kind(metadata, "poscon", "negcon")
    return [
        _scored(
            NAMES[0],
            {name: (spearman(*pair), len(pair[0])) for name, pair in groups.items()},
            lambda name: redrawn_spearman(*groups[name], draws=bootstrap, rng=rng),
            lost=lost,
            note=note,
            guard="no relation of score and dose",
            chance=0.0,
        ),
        _scored(
            NAMES[1],
            {name: (z_prime(*pair), sum(map(len, pair))) for name, pair in by_plate.items()},
            lambda name: redrawn_z_prime(*by_plate[name], draws=bootstrap, rng=rng),
            lost=int((controls & ~read).sum()),
            note=AXIS,
        ),
    ]


def redrawn_spearman(first: np.ndarray, second: np.ndarray, *, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return `spearman` (draws,) of as many pairs drawn with replacement; NaN where one side is constant."""
    chosen = rng.integers(len(first), size=(draws, len(first)))
    a, b = (rankdata(side[chosen], axis=1) for side in (first, second))
    a, b = (side - side.mean(axis=1, keepdims=True) for side in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(draws, np.nan), where=scale > 0)


def redrawn_z_prime(positive: np.ndarray, negative: np.ndarray, *, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return `z_prime` (draws,) of means and spreads that could have given the samples, for normal values."""
    means, spreads = [], []
    for values in (positive, negative):
        degrees = len(values) - 1
        spreads.append(np.std(values, ddof=1) * np.sqrt(degrees / rng.chisquare(degrees, size=draws)))
        means.append(values.mean() + spreads[-1] * rng.standard_normal(draws) / np.sqrt(len(values)))
    return 1 - 3 * (spreads[0] + spreads[1]) / np.abs(means[0] - means[1])


def _scored(
    metric: str,
    found: dict[str, tuple[float, int]],
    redrawn: Callable[[str], np.ndarray],
    *,
    lost: int,
    note: str,
    guard: str = "",
    chance: float = float("nan"),
) -> tuple[Score, tuple[float, float]]:
    """Return the mean score of the items, `found` (value, wells), and its interval by what is `redrawn` for each."""
    items = pd.DataFrame(
        {"Metadata_Item": list(found), "value": [v for v, _ in found.values()], "n": [n for _, n in found.values()]}
    )
    scored = [name for name, (value, _) in found.items() if np.isfinite(value)]
    count = int(items["n"].sum())
    if not scored:
        return Score(metric, items=items, n=0, n_undefined=lost + count, note="too few wells to tell"), (np.nan, np.nan)
    units = pd.DataFrame({"stratum": metric, "cluster": scored, "value": [found[name][0] for name in scored]})
    # An item whose draw can not be ranked is left out of that draw.
    draws = pd.DataFrame({name: redrawn(name) for name in scored}).mean(axis=1).dropna()
    low, high = np.percentile(draws, [2.5, 97.5]) if len(draws) else (np.nan, np.nan)
    score = Score(metric, items=items, units=units, chance=chance, guard=guard, n=count, n_undefined=lost, note=note)
    return score, (float(low), float(high))


def _coincidence(metadata: pd.DataFrame, series: list[str]) -> str:
    """Return a sentence where, on every plate, the column of a dosed well tells its dose and the dose its column."""
    name, place = wells.treatments(metadata), wells.positions(metadata)["column"].to_numpy()
    dosed = wells.kind(metadata, "trt") & np.isin(wells.column(metadata, "Metadata_Compound").astype(str), series)
    frame = pd.DataFrame({"plate": wells.column(metadata, wells.PLATE), "dose": name, "column": place})[dosed]
    one_dose = (frame.groupby(["plate", "column"])["dose"].nunique() == 1).all()
    one_column = (frame.groupby(["plate", "dose"])["column"].nunique() == 1).all()
    if one_dose and one_column and frame["column"].nunique() > 1:
        return "dose and column coincide: a gradient across the plate would look like a dose response"
    return ""


def _absent(note: str) -> list[tuple[Score, tuple[float, float]]]:
    return [(absent(name, note), (float("nan"), float("nan"))) for name in NAMES]
