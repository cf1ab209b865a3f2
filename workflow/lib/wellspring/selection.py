"""Which features an alignment is fitted on, and the reason for each one that is left out.

In flow normalised profiles, out flows one row a feature. Nothing here looks at treatments' names or mechanisms.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.profile import hand_made

HAND_MADE = 0.9  # pycytominer's threshold of correlation


def select_features(
    frame: pd.DataFrame, *, names: list[str], controls: np.ndarray, options: Mapping[str, object]
) -> pd.DataFrame:
    """Judge each feature, in this order: values missing, near constant, no spread in the controls, correlated.

    Parameters
    ----------
    frame
        Normalised profiles; wells of the verdict keep are looked at.
    names
        The features.
    controls
        (rows,) bool, the controls of this fit.
    options
        The config section `fit`: max_missing, max_equal, max_correlation (null: not asked; `auto`: .9 where all
        features bear the names of hand-made ones, not asked otherwise).

    Returns
    -------
    pandas.DataFrame
        Table `features`: Metadata_Feature, Metadata_Kept, Metadata_Reason ("" where kept), spread (standard deviation
        in the controls).
    """
    defined = (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)
    values = frame[names].to_numpy(dtype=np.float64, copy=True)
    broken = ~np.isfinite(values)
    values[broken] = np.nan
    spread = _deviation(values[controls])
    overall = _deviation(values[defined])
    wells = int(defined.sum())
    allowed = float(options["max_missing"]) * wells
    same = _commonest(values[defined])
    reasons = []
    for missing, equal, own, whole in zip(broken[defined].sum(axis=0), same, spread, overall, strict=True):
        if missing > allowed:
            reasons.append(f"not finite in {missing} of {wells} wells")
        elif equal > 1 and equal > float(options["max_equal"]) * (wells - missing):
            reasons.append(f"near constant: one value in {equal} of {wells} wells")
        elif not controls.any():
            reasons.append("")
        else:
            # Rounding leaves a relative 1e-7 in float32; a thousandth of a thousandth of the whole is no spread.
            reasons.append("no spread in the controls" if own <= 1e-6 * whole or not own > 0 else "")
    table = pd.DataFrame({"Metadata_Feature": names, "Metadata_Kept": False, "Metadata_Reason": reasons})
    table["spread"] = spread.astype(np.float32)
    threshold = options["max_correlation"]
    if threshold == "auto":
        threshold = HAND_MADE if hand_made(names) else None
    if threshold is not None:
        kept = np.flatnonzero(table["Metadata_Reason"] == "")
        correlated = _correlated(values[np.ix_(defined, kept)], [names[place] for place in kept], float(threshold))
        table.loc[kept, "Metadata_Reason"] = correlated
    table["Metadata_Kept"] = table["Metadata_Reason"] == ""
    return table


def _deviation(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (ddof 0) of each column's finite values, (features,); 0 where there are none."""
    some = np.isfinite(values)
    count = np.maximum(some.sum(axis=0), 1)
    mean = np.where(some, values, 0.0).sum(axis=0) / count
    return np.sqrt(np.where(some, (values - mean) ** 2, 0.0).sum(axis=0) / count)


def _commonest(values: np.ndarray) -> np.ndarray:
    """Return in how many rows each column has its commonest finite value, (features,) int64."""
    ordered = np.sort(values, axis=0)  # NaN last
    longest = np.isfinite(ordered[:1]).sum(axis=0) if len(ordered) else np.zeros(values.shape[1], dtype=np.int64)
    run = longest.copy()
    for above, below in zip(ordered[1:], ordered[:-1], strict=True):
        run = np.where(above == below, run + 1, np.isfinite(above))
        longest = np.maximum(longest, run)
    return longest


def _correlated(values: np.ndarray, names: list[str], threshold: float) -> list[str]:
    """Return a reason for each column (wells, features) that pycytominer's correlation_threshold drops, else "".

    Of each pair with r above the threshold the one goes whose absolute correlations with all features sum to more.
    Ours, because pycytominer walks through the pairs one by one, of which hand-made features have half a million. A
    missing value counts as its column's mean.
    """
    if values.shape[1] < 2 or len(values) < 3:
        return [""] * values.shape[1]
    some = np.isfinite(values)
    mean = np.where(some, values, 0.0).sum(axis=0) / np.maximum(some.sum(axis=0), 1)
    matrix = np.corrcoef(np.where(some, values, mean).T)
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
