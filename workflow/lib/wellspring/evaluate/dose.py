"""Dose monotonicity and Z' along the axis from the negative to the positive controls.

In flow well profiles with doses, out flow `dose.spearman` and `dose.z_prime`. The axis of a plate is fitted on the
controls of all of its rows but one and read on the wells of that row (rows are the replicates of a dose series), so no
well is read along an axis that it helped to fit.
"""

import numpy as np
import pandas as pd

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
    for name in sorted(set(plate)):
        for left_out in np.unique(row[(plate == name) & np.isfinite(row)]):
            fitted, read = (plate == name) & (row != left_out), (plate == name) & (row == left_out) & usable
            if not (negative & fitted).any() or not (positive & fitted).any():
                continue
            start = features[negative & fitted].mean(axis=0, dtype=np.float64)
            axis = features[positive & fitted].mean(axis=0, dtype=np.float64) - start
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
    """Return Spearman's rank correlation, ties at their mean rank; NaN where one side is constant."""
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
    groups, lost = {}, 0
    for name in series:
        member = treated & (compound.astype(str) == name) & np.isfinite(concentration)
        groups[name] = (score[member & read], concentration[member & read])
        lost += int((member & ~read).sum())
    by_plate = {
        str(name): tuple(score[read & (plate == name) & wells.kind(metadata, kind)] for kind in ("poscon", "negcon"))
        for name in sorted(set(plate))
    }
    controls = wells.kind(metadata, "poscon", "negcon")
    return [
        _scored(NAMES[0], groups, spearman, lost, True, bootstrap, rng, note, "no relation of score and dose", 0.0),
        _scored(
            NAMES[1], by_plate, z_prime, int((controls & ~read).sum()), False, bootstrap, rng, AXIS, "", float("nan")
        ),
    ]


def _scored(
    metric, groups, statistic, lost, paired, bootstrap, rng, note, guard, chance
) -> tuple[Score, tuple[float, float]]:
    values = {name: statistic(*pair) for name, pair in groups.items()}
    items = pd.DataFrame({"Metadata_Item": list(values), "value": list(values.values())})
    items["n"] = [len(first) if paired else len(first) + len(second) for first, second in groups.values()]
    scored = [name for name, value in values.items() if np.isfinite(value)]
    count = int(items["n"].sum())
    if not scored:
        return Score(metric, items=items, n=0, n_undefined=lost + count, note="too few wells to tell"), (np.nan, np.nan)
    units = pd.DataFrame({"stratum": metric, "cluster": scored, "value": [values[name] for name in scored]})
    draws = []
    for _ in range(bootstrap):
        means = []
        for name in scored:
            first, second = groups[name]
            if paired:
                chosen = rng.integers(len(first), size=len(first))
                drawn = first[chosen], second[chosen]
            else:
                drawn = _redrawn(first, rng), _redrawn(second, rng)
            means.append(statistic(*drawn))
        draws.append(np.mean(means))
    finite = np.array(draws)[np.isfinite(draws)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    score = Score(metric, items=items, units=units, chance=chance, guard=guard, n=count, n_undefined=lost, note=note)
    return score, (float(low), float(high))


def _redrawn(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sample (n,) moved and stretched to a mean and spread that could have given it, for normal values."""
    if len(values) < 2:
        return values
    middle, degrees = values.mean(), len(values) - 1
    stretch = np.sqrt(degrees / rng.chisquare(degrees))
    shift = stretch * np.std(values, ddof=1) * rng.standard_normal() / np.sqrt(len(values))
    return middle + shift + (values - middle) * stretch


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
