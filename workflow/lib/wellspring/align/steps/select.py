"""Select: leave features out, each for a reason in words.

In flow profiles, out flow the same with fewer features. Nothing here looks at treatments' names or mechanisms. What
pycytominer's `feature_select` does of the same is reproduced: `drop_na_columns`, `frequency_threshold`,
`drop_outliers`, `blocklist` and `correlation_threshold`; `noise_removal` is not there, since it reads the labels that
an evaluation asks for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import State
from wellspring.io import tables
from wellspring.profile.aggregate import hand_made

HAND_MADE = 0.9  # pycytominer's threshold of correlation
Reason = Callable[[int], str]


@dataclass(frozen=True)
class Selection(State):
    """`features` are those that were kept, `dropped` the others, for `reasons`, in the order they were offered."""

    dropped: tuple[str, ...]
    reasons: tuple[str, ...]


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Selection:
    """Judge each feature; the first reason to drop it counts, and the last question is asked of those that are left.

    Parameters
    ----------
    frame
        Normalised profiles; wells of the verdict keep are looked at.
    controls
        (rows,) bool, the controls of this fit.
    options
        In the order in which they are asked: blocklist, max_missing, max_equal, freq_cut and unique_cut, (no spread in
        the controls), max_value, max_correlation. Null: not asked. max_correlation `auto`: .9 where all features bear
        the names of hand-made ones, not asked otherwise.
    """
    names = tables.features(frame)
    rows = frames.defined(frame)
    values = frames.matrix(frame, names)
    reasons = [""] * len(names)
    for dropped, why in _questions(values[rows], values[np.asarray(controls, dtype=bool)], names, options):
        for place in np.flatnonzero(dropped):
            reasons[place] = reasons[place] or why(place)
    threshold = options["max_correlation"]
    if threshold == "auto":
        threshold = HAND_MADE if hand_made(names) else None
    if threshold is not None:
        left = [place for place, reason in enumerate(reasons) if not reason]
        found = _correlated(values[np.ix_(rows, left)], [names[place] for place in left], float(threshold))
        for place, reason in zip(left, found, strict=True):
            reasons[place] = reason
    kept = tuple(name for name, reason in zip(names, reasons, strict=True) if not reason)
    lost = [(name, reason) for name, reason in zip(names, reasons, strict=True) if reason]
    note = f"{len(kept)} of {len(names)} features kept"
    return Selection(kept, (note,), tuple(name for name, _ in lost), tuple(reason for _, reason in lost))


def apply(frame: pd.DataFrame, state: Selection) -> pd.DataFrame:
    """Return `frame` with the features that were kept; a value that is not finite is NaN."""
    return frames.replaced(frame, state.features, frames.matrix(frame, state.features))


def _questions(
    values: np.ndarray, controls: np.ndarray, names: list[str], options: Mapping[str, object]
) -> Iterator[tuple[np.ndarray, Reason]]:
    """Yield, for each question but the last, which features (d,) bool it drops, and the words for one of them."""
    wells = len(values)
    blocked = _blocklist(options["blocklist"])
    yield np.asarray([name in blocked for name in names], dtype=bool), lambda place: "on the blocklist"
    missing = (~np.isfinite(values)).sum(axis=0)
    many = missing > float(options["max_missing"]) * wells
    yield many, lambda place: f"not finite in {missing[place]} of {wells} wells"
    same = _commonest(values)
    constant = (same > 1) & (same > float(options["max_equal"]) * (wells - missing))
    yield constant, lambda place: f"near constant: one value in {same[place]} of {wells} wells"
    ratio, unique = _frequencies(values, options)
    rare = (ratio < float(options["freq_cut"] or 0)) | (unique < float(options["unique_cut"] or 0))
    yield rare, lambda place: f"few values: ratio {ratio[place]:.3g} of the two commonest, {unique[place]:.3g} distinct"
    if len(controls):
        own, whole = frames.deviation_of(controls), frames.deviation_of(values)
        # Rounding leaves a relative 1e-7 in float32; a thousandth of a thousandth of the whole is no spread.
        yield ~(own > 1e-6 * whole), lambda place: "no spread in the controls"
    if options["max_value"] is not None and wells:
        largest = np.fmax.reduce(np.abs(values), axis=0, initial=0.0)
        yield largest > float(options["max_value"]), lambda place: f"a value of {largest[place]:.4g} in a well"


def _blocklist(given: object) -> set[str]:
    """Return the names to leave out: pycytominer's `default` list (Way 2019), those given, or none."""
    if given == "default":
        from pycytominer.cyto_utils.blocklist import Blocklist

        return set(Blocklist("default").to_list())
    return set(given or ())


def _commonest(values: np.ndarray) -> np.ndarray:
    """Return in how many rows each column has its commonest finite value, (features,) int64."""
    ordered = np.sort(values, axis=0)  # NaN last
    longest = np.isfinite(ordered[:1]).sum(axis=0) if len(ordered) else np.zeros(values.shape[1], dtype=np.int64)
    run = longest.copy()
    for above, below in zip(ordered[1:], ordered[:-1], strict=True):
        run = np.where(above == below, run + 1, np.isfinite(above))
        longest = np.maximum(longest, run)
    return longest


def _frequencies(values: np.ndarray, options: Mapping[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """Return the two figures of pycytominer's frequency_threshold, (d,) each; infinite where neither is asked for.

    How often the second commonest value is there for once of the commonest (0 where there is but one), and distinct
    values for each well.
    """
    ratio, unique = np.full((2, values.shape[1]), np.inf)
    if options["freq_cut"] is None and options["unique_cut"] is None:
        return ratio, unique
    for place, column in enumerate(values.T):
        counts = np.sort(np.unique(column[np.isfinite(column)], return_counts=True)[1])
        ratio[place] = counts[-2] / counts[-1] if len(counts) > 1 else 0.0
        unique[place] = len(counts) / max(len(column), 1)
    return ratio, unique


def _correlated(values: np.ndarray, names: list[str], threshold: float) -> list[str]:
    """Return a reason for each column (wells, features) that pycytominer's correlation_threshold drops, else "".

    Of each pair with r above the threshold the one goes whose absolute correlations with all features sum to more.
    Ours, because pycytominer walks through the pairs one by one, of which hand-made features have half a million.
    """
    if values.shape[1] < 2 or len(values) < 3:
        return [""] * values.shape[1]
    matrix = correlation(values)
    order = pd.DataFrame(matrix).abs().sum().sort_values().index.to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    np.fill_diagonal(matrix, -np.inf)
    matrix = np.where(np.isnan(matrix), -np.inf, matrix)
    lost = ((matrix > threshold) & (rank[:, None] > rank[None, :])).any(axis=1)
    partner = matrix.argmax(axis=1)
    return [
        f"correlated with {names[other]} (r {matrix[place, other]:.3f}, allowed {threshold:g})" if lost[place] else ""
        for place, other in enumerate(partner)
    ]


def correlation(values: np.ndarray) -> np.ndarray:
    """Return Pearson correlations of columns, (d, d), each pair over the rows where both are finite; NaN for constants.

    As `pandas.DataFrame.corr`, by products of matrices.
    """
    some = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        if some.all():
            return np.corrcoef(values.T)
        # Centred first, so that the differences of sums below lose no digits.
        centred, present = np.where(some, values - frames.mean_of(values), 0.0), some.astype(np.float64)
        count, sums = present.T @ present, centred.T @ present
        spread = (centred**2).T @ present - sums**2 / count
        spread[spread <= 1e-12 * (centred**2).sum(axis=0)[:, None]] = np.nan
        return (centred.T @ centred - sums * sums.T / count) / np.sqrt(spread * spread.T)
