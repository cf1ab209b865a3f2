"""Which features an alignment is fitted on, and the reason for each one that is left out.

In flow normalised profiles, out flows one row a feature. Nothing here looks at treatments' names or mechanisms.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd


def select_features(
    frame: pd.DataFrame, *, names: list[str], controls: np.ndarray, options: Mapping[str, object]
) -> pd.DataFrame:
    """Judge each feature, in this order: values missing, no spread in the controls, correlated with a kept one.

    Parameters
    ----------
    frame
        Normalised profiles; wells of the verdict keep are looked at.
    names
        The features.
    controls
        (rows,) bool, the controls of this fit.
    options
        The config section `fit`: max_missing, max_correlation (null: not asked).

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
    reasons = []
    for missing, own, whole in zip(broken[defined].sum(axis=0), spread, overall, strict=True):
        if missing > allowed:
            reasons.append(f"not finite in {missing} of {wells} wells")
        elif not controls.any():
            reasons.append("")
        else:
            # Rounding leaves a relative 1e-7 in float32; a thousandth of a thousandth of the whole is no spread.
            reasons.append("no spread in the controls" if own <= 1e-6 * whole or not own > 0 else "")
    table = pd.DataFrame({"Metadata_Feature": names, "Metadata_Kept": False, "Metadata_Reason": reasons})
    table["spread"] = spread.astype(np.float32)
    if options["max_correlation"] is not None:
        kept = [name for name, reason in zip(names, reasons, strict=True) if not reason]
        matrix = pd.DataFrame(values[defined], columns=names)[kept]
        for name, reason in _correlated(matrix, threshold=float(options["max_correlation"])).items():
            table.loc[table["Metadata_Feature"] == name, "Metadata_Reason"] = reason
    table["Metadata_Kept"] = table["Metadata_Reason"] == ""
    return table


def _deviation(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (ddof 0) of each column's finite values, (features,); 0 where there are none."""
    some = np.isfinite(values)
    count = np.maximum(some.sum(axis=0), 1)
    mean = np.where(some, values, 0.0).sum(axis=0) / count
    return np.sqrt(np.where(some, (values - mean) ** 2, 0.0).sum(axis=0) / count)


def _correlated(matrix: pd.DataFrame, *, threshold: float) -> dict[str, str]:
    """Return the features that pycytominer drops at `threshold`, each with its most correlated partner."""
    from pycytominer.operations import correlation_threshold

    if matrix.shape[1] < 2 or len(matrix) < 3:
        return {}
    reasons = {}
    for name in sorted(correlation_threshold(matrix, features=list(matrix.columns), threshold=threshold)):
        partners = matrix.drop(columns=name).corrwith(matrix[name])
        reasons[name] = f"correlated with {partners.idxmax()} (r {partners.max():.3f}, allowed {threshold:g})"
    return reasons
