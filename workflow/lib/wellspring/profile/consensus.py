"""Join the aligned plates, and compute one consensus profile per perturbation.

Input: the plates' aligned profiles with their verdicts. Output: one joined frame of the plates with the verdict keep,
and one row per perturbation with its counts of wells, plates and batches.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.io.notes import Note, in_words
from wellspring.io.tables import Verdict
from wellspring.screen.treatments import harmonised

logger = logging.getLogger(__name__)

OPERATIONS = ("median", "mean", "modz")
DESCRIBED = ("Metadata_Compound", "Metadata_Concentration", "Metadata_pert_type", "Metadata_moa", "Metadata_target")
UNIT = ("Metadata_Concentration_Unit",)  # there if the platemaps or `index.unit` state a unit


def join_plates(
    plates: Sequence[pd.DataFrame], *, names: Sequence[str], verdicts: Sequence[Verdict], features: str = "error"
) -> tuple[pd.DataFrame, Verdict]:
    """Return the rows of the plates with the verdict keep, and a verdict with the reasons of the other plates.

    The order of a plate's features does not matter: that of the first plate is used.

    Parameters
    ----------
    features
        For plates with different features. `error`: refuse them; `intersection`: keep those that all plates have, with
        a reason that names the others.

    Raises
    ------
    ValueError
        A plate lacks features that others have; names them, plate by plate.
    """
    kept = [(name, plate) for name, plate, verdict in zip(names, plates, verdicts, strict=True) if verdict.keep]
    reasons = tuple(
        str(Note("plate_left_out", {"plate": name, "notes": "; ".join(verdict.reasons)}))
        for name, verdict in zip(names, verdicts, strict=True)
        if not verdict.keep
    )
    for reason in reasons:
        logger.warning("%s", in_words([reason]))
    if not kept:
        # An empty table with the columns of a plate is valid for its readers.
        return plates[0].iloc[:0].reset_index(drop=True), Verdict(False, (*reasons, str(Note("no_plate_to_join"))))
    shared, lost = common_features([plate for _, plate in kept], names=[name for name, _ in kept])
    if lost and features == "error":
        raise ValueError(
            f"expected the same features in all plates, found features that plates lack: {lost} "
            "(profile.features: intersection keeps the others)"
        )
    if lost:
        left = {
            "features": len({one for each in lost.values() for one in each}),
            "plates": len(lost),
            "kept": len(shared),
        }
        listed = ", ".join(dict.fromkeys(one for each in lost.values() for one in each))
        reasons = (*reasons, str(Note("features_of_some_plates", {**left, "names": listed[:1000]})))
        logger.warning("%s", in_words(reasons[-1:]))
    parts = [pd.concat([plate[metadata_of(plate)], plate[shared]], axis=1) for _, plate in kept]
    return harmonised(pd.concat(parts, ignore_index=True)), Verdict(True, reasons)


def common_features(plates: Sequence[pd.DataFrame], *, names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the features that all plates have, in the order of the first, and for each plate those that it lacks."""
    each = [dict.fromkeys(tables.features(plate)) for plate in plates]
    every = dict.fromkeys(one for own in each for one in own)
    lost = {name: [one for one in every if one not in own] for name, own in zip(names, each, strict=True)}
    return [one for one in each[0] if all(one in own for own in each)], {name: one for name, one in lost.items() if one}


def metadata_of(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns that are not features."""
    return [name for name in frame.columns if name.startswith("Metadata_")]


def consensus(
    frame: pd.DataFrame,
    *,
    operation: str = "median",
    group_by: Sequence[str] = ("Metadata_Cell_Line",),
    of: str = "Metadata_Perturbation",
) -> pd.DataFrame:
    """Return one row per perturbation (or mechanism) and group: the consensus of its wells over plates.

    Wells without a profile count in Metadata_Undefined_Count only; a perturbation with only such wells stays, with 0
    replicates and null features. Empty wells, wells without a perturbation and held-out plates are left out: a held-out
    plate is judged separately, so its wells must not enter the profiles of the others.

    Parameters
    ----------
    frame
        Joined profiles, table `profile`.
    operation
        `median`, `mean`, or `modz` (replicates weighted by their mean Spearman correlation, by pycytominer).
    group_by
        Metadata columns beside the perturbation.
    of
        The column whose values are combined: the perturbation, or Metadata_moa for one profile per mechanism. Its value
        is in `Metadata_Perturbation`.

    Returns
    -------
    pandas.DataFrame
        Table `consensus`: Metadata_Perturbation, Metadata_Group (the values of `group_by`, joined by ";"), counts,
        plates and batches, metadata of the perturbation (several values joined by ";"; null where there are several
        concentrations), features.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"consensus: expected one of {list(OPERATIONS)}, found {operation!r}")
    absent = [name for name in (of, *group_by) if name not in frame.columns]
    if absent:
        raise ValueError(f"group_by: expected columns of the profiles, found none called {absent}")
    names = tables.features(frame)
    out = (frame["Metadata_pert_type"] == "empty") | frame[of].isna()
    chosen = frame[~out & (frame["Metadata_Role"] != "heldout")].reset_index(drop=True)
    keys = chosen[[of, *group_by]].fillna("").astype(str)
    rows, profiles = (
        list[dict[str, object]](),
        np.full((keys.drop_duplicates().shape[0], len(names)), np.nan, dtype=np.float32),
    )
    for number, (key, index) in enumerate(keys.groupby(list(keys.columns), sort=True).indices.items()):
        wells = chosen.iloc[index].sort_values(WELL_KEY)
        defined = wells[wells["Metadata_Verdict"] == "keep"]
        key = key if isinstance(key, tuple) else (key,)
        rows.append(_describe(wells, defined, perturbation=key[0], group=dict(zip(group_by, key[1:], strict=True))))
        if len(defined) and names:
            profiles[number] = _combine(defined[names], operation=operation)
    columns = ["Metadata_Perturbation", "Metadata_Group", "Metadata_Replicate_Count", "Metadata_Undefined_Count"]
    columns += ["Metadata_Plates", "Metadata_Batches", *DESCRIBED, *(name for name in UNIT if name in frame), *group_by]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    return pd.concat([table, pd.DataFrame(profiles, columns=names)], axis=1)


def _describe(
    wells: pd.DataFrame, defined: pd.DataFrame, *, perturbation: str, group: Mapping[str, str]
) -> dict[str, object]:
    """Return the metadata of one consensus row."""
    concentrations = wells["Metadata_Concentration"].dropna().unique()
    return {
        "Metadata_Perturbation": perturbation,
        "Metadata_Group": ";".join(group.values()),
        "Metadata_Replicate_Count": len(defined),
        "Metadata_Undefined_Count": len(wells) - len(defined),
        "Metadata_Plates": _joined(defined["Metadata_Plate"]) or "",
        "Metadata_Batches": _joined(defined["Metadata_Batch"]) or "",
        **{name: _joined(wells[name]) for name in DESCRIBED if name != "Metadata_Concentration"},
        **{name: _joined(wells[name]) for name in UNIT if name in wells},
        "Metadata_Concentration": float(concentrations[0]) if len(concentrations) == 1 else np.nan,
        **group,
    }


def _joined(column: pd.Series) -> str | None:
    values = sorted(set(column.dropna().astype(str)))
    return ";".join(values) if values else None


def _combine(replicates: pd.DataFrame, *, operation: str) -> npt.NDArray[np.float64]:
    """Return one profile (features,) of the replicates' (n, features); a value that is not finite is left out.

    For modz a gap is first filled with the median of the other replicates. A feature without a value is NaN.
    """
    values = replicates.to_numpy(dtype=np.float64, copy=True)
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).any():
        logger.info("%d values of %d replicates are not finite and are left out", np.isnan(values).sum(), len(values))
    combined = np.full(values.shape[1], np.nan)
    some = np.isfinite(values).any(axis=0)
    values = values[:, some]
    if operation == "modz" and len(values) > 1:
        from pycytominer.cyto_utils.modz import modz_base

        whole = np.where(np.isnan(values), np.nanmedian(values, axis=0), values)
        combined[some] = modz_base(pd.DataFrame(whole)).to_numpy()
    else:
        combined[some] = np.nanmean(values, axis=0) if operation == "mean" else np.nanmedian(values, axis=0)
    return combined
