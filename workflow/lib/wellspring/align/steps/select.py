"""Select: leave features out, each for a recorded reason.

Names and mechanisms of treatments are not used. These operations of pycytominer's `feature_select` are reproduced:
`drop_na_columns`, `frequency_threshold`, `drop_outliers`, `blocklist` and `correlation_threshold`. `noise_removal` is
left out, because it uses the labels that the evaluation tests.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.profile.aggregate import hand_made
from wellspring.screen.sections import Fit

HAND_MADE = 0.9  # pycytominer's threshold of correlation
Reason = Callable[[int], Note]


@dataclass(frozen=True)
class Selection(State):
    """`features` are the kept ones; `dropped` the others, with notes in `reasons`, in the order of the input."""

    dropped: tuple[str, ...]
    reasons: tuple[str, ...]


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Selection:
    """Test each feature. The first reason to drop it counts; correlation is tested among the features that are left.

    Parameters
    ----------
    frame
        Normalised profiles; wells of the verdict keep are used.
    controls
        (rows,) bool, the controls of this fit.
    options
        In the order of the tests: blocklist, max_missing, max_equal, freq_cut and unique_cut, (no spread in the
        controls), max_value, max_correlation. Null skips a test. max_correlation `auto`: 0.9 where all features have
        names of classical features, skipped otherwise.
    """
    names = tables.features(frame)
    rows = frames.defined(frame)
    values = frames.matrix(frame, names)
    reasons: list[Note | None] = [None] * len(names)
    tested = values if rows.all() else values[rows]
    for dropped, why in _tests(tested, values[np.asarray(controls, dtype=bool)], names, options):
        for place in np.flatnonzero(dropped).tolist():
            reasons[place] = reasons[place] or why(place)
    threshold = options.max_correlation
    if threshold == "auto":
        threshold = HAND_MADE if hand_made(names) else None
    if threshold is not None:
        left = [place for place, reason in enumerate(reasons) if not reason]
        found = _correlated(
            values[np.ix_(rows, np.array(left, dtype=np.int64))], [names[place] for place in left], float(threshold)
        )
        for place, reason in zip(left, found, strict=True):
            reasons[place] = reason
    kept = tuple(name for name, reason in zip(names, reasons, strict=True) if not reason)
    lost = [(name, reason) for name, reason in zip(names, reasons, strict=True) if reason]
    note = Note("features_kept", {"kept": len(kept), "total": len(names)})
    return Selection(kept, (note,), tuple(name for name, _ in lost), tuple(str(reason) for _, reason in lost))


def apply(frame: pd.DataFrame, state: Selection) -> pd.DataFrame:
    """Return `frame` with the features that were kept; a value that is not finite is NaN."""
    return frames.replaced(frame, state.features, frames.matrix(frame, state.features))


def _tests(values: Array, controls: Array, names: list[str], options: Fit) -> Iterator[tuple[Array, Reason]]:
    """Yield, for each test but the last, which features (d,) bool it drops, and the note of one of them."""
    wells = len(values)
    blocked = _blocklist(options.blocklist)
    yield np.asarray([name in blocked for name in names], dtype=bool), lambda place: Note("on_blocklist")
    missing = (~np.isfinite(values)).sum(axis=0)
    many = missing > options.max_missing * wells
    yield many, lambda place: Note("not_finite", {"wells": int(missing[place]), "total": wells})
    same = _commonest(values)
    constant = (same > 1) & (same > options.max_equal * (wells - missing))
    yield constant, lambda place: Note("near_constant", {"wells": int(same[place]), "total": wells})
    ratio, unique = _frequencies(values, options)
    rare = (ratio < (options.freq_cut or 0)) | (unique < (options.unique_cut or 0))
    yield rare, lambda place: Note("few_values", {"ratio": _short(ratio[place]), "distinct": _short(unique[place])})
    if len(controls):
        own, whole = frames.deviation_of(controls), frames.deviation_of(values)
        # Rounding leaves a relative 1e-7 in float32, so that a millionth of the whole spread counts as none.
        yield ~(own > 1e-6 * whole), lambda place: Note("no_spread_in_controls")
    if options.max_value is not None and wells:
        largest = np.maximum(np.fmax.reduce(values, axis=0, initial=0.0), -np.fmin.reduce(values, axis=0, initial=0.0))
        yield largest > options.max_value, lambda place: Note("large_value", {"value": _short(largest[place], 4)})


def _short(value: float, digits: int = 3) -> float:
    """Return the value rounded to significant digits."""
    return float(f"{value:.{digits}g}")


def _blocklist(given: str | tuple[str, ...] | None) -> set[str]:
    """Return the names to leave out: pycytominer's `default` list (Way 2019), those given, or none."""
    if given == "default":
        from pycytominer.cyto_utils.blocklist import Blocklist

        return set(Blocklist("default").to_list())
    return set(given or ())


def _commonest(values: Array) -> Array:
    """Return the number of rows with the most common finite value of each column, (features,) int64."""
    found = np.zeros(values.shape[1], dtype=np.int64)
    for part in frames.columns(values.shape[1]):
        ordered = np.sort(values[:, part], axis=0)  # NaN last
        longest = np.isfinite(ordered[:1]).sum(axis=0)
        run = longest.copy()
        for above, below in zip(ordered[1:], ordered[:-1], strict=True):
            run = np.where(above == below, run + 1, np.isfinite(above))
            longest = np.maximum(longest, run)
        found[part] = longest
    return found


def _frequencies(values: Array, options: Fit) -> tuple[Array, Array]:
    """Return the two figures of pycytominer's frequency_threshold, (d,) each; infinite where both are switched off.

    The first is the count of the second most common value divided by that of the most common (0 for a single value);
    the second is the number of distinct values per well.
    """
    ratio, unique = np.full((2, values.shape[1]), np.inf)
    if options.freq_cut is None and options.unique_cut is None:
        return ratio, unique
    for place, column in enumerate(values.T):
        counts = np.sort(np.unique(column[np.isfinite(column)], return_counts=True)[1])
        ratio[place] = counts[-2] / counts[-1] if len(counts) > 1 else 0.0
        unique[place] = len(counts) / max(len(column), 1)
    return ratio, unique


def _correlated(values: Array, names: list[str], threshold: float) -> list[Note | None]:
    """Return a note for each column (wells, features) that pycytominer's correlation_threshold drops, else None.

    Of each pair with r above the threshold, the feature with the larger sum of absolute correlations with all features
    is dropped. Reimplemented because pycytominer loops over pairs, of which classical features have half a million.
    """
    if values.shape[1] < 2 or len(values) < 3:
        return [None] * values.shape[1]
    matrix = correlation(values)
    order = pd.DataFrame(matrix).abs().sum().sort_values().index.to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    np.fill_diagonal(matrix, -np.inf)
    matrix = np.where(np.isnan(matrix), -np.inf, matrix)
    lost = np.asarray(((matrix > threshold) & (rank[:, None] > rank[None, :])).any(axis=1))
    partner = matrix.argmax(axis=1)
    return [
        Note("correlated", {"with": names[other], "r": round(float(matrix[place, other]), 3), "allowed": threshold})
        if lost[place]
        else None
        for place, other in enumerate(partner)
    ]


def correlation(values: Array) -> Array:
    """Return Pearson correlations of columns, (d, d), each pair over the rows where both are finite; NaN for constants.

    As `pandas.DataFrame.corr`, by products of matrices.
    """
    some = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        if some.all():
            return np.corrcoef(values.T)
        # Values are centred first, so that the differences of sums below lose no digits.
        centred, present = np.where(some, values - frames.mean_of(values), 0.0), some.astype(np.float64)
        count, sums = present.T @ present, centred.T @ present
        spread = (centred**2).T @ present - sums**2 / count
        spread[spread <= 1e-12 * (centred**2).sum(axis=0)[:, None]] = np.nan
        return (centred.T @ centred - sums * sums.T / count) / np.sqrt(spread * spread.T)
