"""Dose monotonicity along the axis of each compound, and Z' along the axis from negative to positive controls.

Scores: `dose.spearman` and `dose.z_prime`. The axis of a compound goes from the negative controls to its own highest
dose (`wellspring.evaluate.dose_axis`), so that no positive control is needed. For Z', the axis of a plate is fitted on
the controls of all rows but one, and the wells of that row are projected on it. So no well is projected on an axis that
it helped to fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from wellspring.evaluate import wells
from wellspring.evaluate.dose_axis import top_dose_scores
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

NAMES = ("dose.spearman", "dose.z_prime")
UNKNOWN = (float("nan"), float("nan"))  # an interval that could not be computed


def axis_scores(features: Array, metadata: pd.DataFrame) -> Array:
    """Return each well's position (n,) on the axis from its plate's negative (0) to its positive (1) control mean.

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


def z_prime(positive: Array, negative: Array) -> float:
    """Return Z' = 1 - 3 (s_p + s_n) / |m_p - m_n| (Zhang et al. 1999), s over n - 1; NaN with fewer than 2 wells."""
    if len(positive) < 2 or len(negative) < 2:
        return float("nan")
    spread = float(np.mean(positive) - np.mean(negative))
    if spread == 0:
        return float("-inf")
    return float(1 - 3 * (np.std(positive, ddof=1) + np.std(negative, ddof=1)) / abs(spread))


def spearman(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation, ties with their mean rank; NaN where one side is constant or empty."""
    if not len(first):
        return float("nan")
    a, b = (pd.Series(values).rank().to_numpy() for values in (first, second))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def dose(
    features: Array,
    metadata: pd.DataFrame,
    *,
    minimum: int = 4,
    bootstrap: int = 1000,
    seed: int = 0,
) -> list[Score]:
    """Return both dose scores, each with its 95 % interval for the axis as it was fitted.

    The interval of the correlation is a bootstrap over wells. The interval of Z' is a generalised confidence interval
    (Weerahandi 1993) for normal wells, because resamples of a few controls have too small a spread: with 4 and 4
    controls, a bootstrap covers the true value 0.58 of the time, not 0.95.

    `dose.spearman` is the mean, over compounds with at least `minimum` concentrations among the treated wells, of the
    correlation of dose and place on the compound's axis; items are compounds, at each time point where there are
    several. `dose.z_prime` is the mean over plates;
    items are plates.
    """
    rng = np.random.default_rng(seed)
    return [
        _monotonicity(features, metadata, minimum=minimum, draws=bootstrap, rng=rng),
        _quality(features, metadata, draws=bootstrap, rng=rng),
    ]


def _monotonicity(
    features: Array, metadata: pd.DataFrame, *, minimum: int, draws: int, rng: np.random.Generator
) -> Score:
    concentration = wells.concentrations(metadata)
    compound, treated = wells.series(metadata), wells.kind(metadata, "trt")
    levels = pd.Series(concentration[treated]).groupby(pd.Series(compound[treated], dtype=object)).nunique()
    series = sorted(str(name) for name, count in levels.items() if count >= minimum)
    if not series:
        return _absent(NAMES[0], Note("too_few_concentrations", {"needed": minimum}))
    if not (wells.kind(metadata, "negcon") & wells.defined(features, metadata)).any():
        return _absent(NAMES[0], Note("no_negative_controls"))
    member = treated & np.isfinite(concentration) & np.isin(compound.astype(str), series)
    score = top_dose_scores(features, metadata, concentration, member)
    placed = np.flatnonzero(member & np.isfinite(score))
    groups = dict.fromkeys(series, (score[:0], score[:0]))
    for name, places in pd.Series(placed).groupby(compound[placed].astype(str)):
        groups[name] = score[places.to_numpy()], concentration[places.to_numpy()]
    return _scored(
        NAMES[0],
        {name: (spearman(*pair), len(pair[0])) for name, pair in groups.items()},
        lambda name: redrawn_spearman(*groups[name], draws=draws, rng=rng),
        lost=int(member.sum()) - len(placed),
        notes=(Note("own_axis"), *_coincidence(metadata, series)),
        chance=0.0,
    )


def _quality(features: Array, metadata: pd.DataFrame, *, draws: int, rng: np.random.Generator) -> Score:
    if not wells.kind(metadata, "poscon").any() or not wells.kind(metadata, "negcon").any():
        return _absent(NAMES[1], Note("needs_positive_and_negative_controls"))
    score, plate = axis_scores(features, metadata), wells.column(metadata, wells.PLATE)
    read, controls = np.isfinite(score), wells.kind(metadata, "poscon", "negcon")
    if not read.any():
        return _absent(NAMES[1], Note("no_controls_on_other_rows"))
    positive = wells.kind(metadata, "poscon")
    by_plate = {
        str(name): tuple(score[mine[read[mine] & controls[mine] & (positive[mine] == kind)]] for kind in (True, False))
        for name, mine in wells.places(plate).items()
    }
    return _scored(
        NAMES[1],
        {name: (z_prime(*pair), sum(map(len, pair))) for name, pair in by_plate.items()},
        lambda name: redrawn_z_prime(*by_plate[name], draws=draws, rng=rng),
        lost=int((controls & ~read).sum()),
        notes=(Note("axis"),),
    )


def redrawn_spearman(first: Array, second: Array, *, draws: int, rng: np.random.Generator) -> Array:
    """Return `spearman` (draws,) of as many pairs drawn with replacement; NaN where one side is constant."""
    chosen = rng.integers(len(first), size=(draws, len(first)))
    a, b = (rankdata(side[chosen], axis=1) for side in (first, second))
    a, b = (side - side.mean(axis=1, keepdims=True) for side in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    result: Array = np.divide((a * b).sum(axis=1), scale, out=np.full(draws, np.nan), where=scale > 0)
    return result


def redrawn_z_prime(positive: Array, negative: Array, *, draws: int, rng: np.random.Generator) -> Array:
    """Return `z_prime` (draws,) of means and spreads that could have given the samples, for normal values."""
    means, spreads = [], []
    for values in (positive, negative):
        degrees = len(values) - 1
        spreads.append(np.std(values, ddof=1) * np.sqrt(degrees / rng.chisquare(degrees, size=draws)))
        means.append(values.mean() + spreads[-1] * rng.standard_normal(draws) / np.sqrt(len(values)))
    result: Array = 1 - 3 * (spreads[0] + spreads[1]) / np.abs(means[0] - means[1])
    return result


def _scored(
    metric: str,
    found: Mapping[str, tuple[float, int]],
    redrawn: Callable[[str], Array],
    *,
    lost: int,
    notes: tuple[Note, ...],
    chance: float = float("nan"),
) -> Score:
    """Return the mean score of the items `found` (value, wells); its interval comes from the draws of each item."""
    items = pd.DataFrame(
        {"Metadata_Item": list(found), "value": [v for v, _ in found.values()], "n": [n for _, n in found.values()]}
    )
    scored = [name for name, (value, _) in found.items() if np.isfinite(value)]
    count = int(items["n"].sum())
    if not scored:
        few = (Note("too_few_wells"),)
        return Score(metric, items=items, n=0, n_undefined=lost + count, notes=few, interval=UNKNOWN)
    units = pd.DataFrame({"stratum": metric, "cluster": scored, "value": [found[name][0] for name in scored]})
    # An item whose draw cannot be ranked is left out of that draw.
    draws = pd.DataFrame({name: redrawn(name) for name in scored}).mean(axis=1).dropna()
    low, high = np.percentile(draws, [2.5, 97.5]) if len(draws) else (np.nan, np.nan)
    return Score(
        metric,
        items=items,
        units=units,
        chance=chance,
        n=count,
        n_undefined=lost,
        notes=notes,
        interval=(float(low), float(high)),
    )


def _coincidence(metadata: pd.DataFrame, series: list[str]) -> tuple[Note, ...]:
    """Return a note where, on every plate, each column has one dose and each dose one column; else nothing."""
    name, place = wells.treatments(metadata), wells.positions(metadata)["column"].to_numpy()
    dosed = wells.kind(metadata, "trt") & np.isin(wells.series(metadata).astype(str), series)
    frame = pd.DataFrame({"plate": wells.column(metadata, wells.PLATE), "dose": name, "column": place})[dosed]
    one_dose = (frame.groupby(["plate", "column"])["dose"].nunique() == 1).all()
    one_column = (frame.groupby(["plate", "dose"])["column"].nunique() == 1).all()
    if one_dose and one_column and frame["column"].nunique() > 1:
        return (Note("dose_fixed_to_column"),)
    return ()


def _absent(name: str, note: Note) -> Score:
    return replace(absent(name, note), interval=UNKNOWN)


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    return dose(features, metadata, minimum=options.dose_levels, bootstrap=options.bootstrap, seed=seed)


SPEARMAN = Metric(
    name=NAMES[0],
    family="dose",
    reads="dose",
    direction=1,
    bounds=(-1.0, 1.0),
    chance="no relation between score and dose",
    title="Dose monotonicity (Spearman)",
    meaning="Rank correlation of a compound's dose and place between the negative controls and its highest dose.",
    compute=_compute,
    main=True,
)
Z_PRIME = Metric(
    name=NAMES[1],
    family="dose",
    reads="dose",
    direction=1,
    bounds=None,
    chance="",
    title="Z′ of the positive controls",
    meaning="Separation of positive and negative controls in units of their spread; above 0.5 the assay is excellent.",
    compute=_compute,
)
