"""Phenotypic activity: mean average precision of replicates against controls (Kalinin et al. 2025), and its share.

Activity ranks, for each well of a treatment, its replicates on all plates and the negative controls of its own plate.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Jackknife, of_units
from wellspring.evaluate.left_out import Controls
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.precision import average_precision, expected, p_value, shared_null
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate


def activity(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    replicates_share: tuple[str, ...] = (),
    null_size: int = 10_000,
    threshold: float = 0.05,
    seed: int = 0,
) -> Score:
    """Return mean average precision of each perturbation's replicates against the negative controls of their plates.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows with Metadata_Plate, Metadata_pert_type and the perturbation.
    label
        Column whose mechanisms are the groups of the interval.
    replicates_share
        Further columns that replicates must have in common, such as the cell line; none by default.
    null_size, seed
        Of the null distribution, see `precision.shared_null`. A perturbation whose plates have unequal numbers of
        controls is compared with the null of the smallest number, which is conservative.
    threshold
        A perturbation whose smallest possible p is not below it has no p: it is undefined, not negative.

    Returns
    -------
    Score
        Items: every treatment and positive control. The mean is over treatments (`trt`) alone.
    """
    treated = wells.kind(metadata, "trt", "poscon")
    control = wells.kind(metadata, "negcon") & wells.defined(features, metadata)
    if not control.any() or not treated.any():
        return absent("activity", Note("no_negative_controls" if treated.any() else "no_treated_wells"))
    usable = wells.defined(features, metadata)
    rows, plate = wells.units(features), wells.column(metadata, wells.PLATE)
    controls = {name: np.flatnonzero(control & (plate == name)) for name in sorted(set(plate[control]))}
    names = wells.replicate_names(metadata, replicates_share)
    groups = pd.Series(np.flatnonzero(treated), index=names[treated]).groupby(level=0, sort=True)
    compound, moa, kind = (wells.column(metadata, n) for n in ("Metadata_Compound", wells.MOA, "Metadata_pert_type"))
    family = wells.families(metadata, label)
    items, units, chances, without = [], [], [], Controls.of(controls, metadata)
    left_p = list[list[float]]()
    for name, group in groups:
        index = group.to_numpy()
        members = np.array([i for i in index if usable[i] and plate[i] in controls], dtype=int)
        item = {
            "Metadata_Item": name,
            "n": len(members),
            "n_undefined": len(index) - len(members),
            "value": np.nan,
            "p": np.nan,
        }
        item["Metadata_Group"] = moa[index[0]] if moa[index[0]] is not None else kind[index[0]]
        left_p.append([np.nan] * len(without.groups))
        if len(members) > 1:
            own = [controls[plate[i]] for i in members]
            item["value"], few, left = _mean_precision(rows, members, own, without)
            null = shared_null(len(members), few, size=null_size, seed=seed)
            item["p"] = p_value(item["value"], null) if p_value(1.0, null) < threshold else np.nan
            sizes = np.array([len(mine) for mine in own])
            chance = float(expected(len(members) - 1, sizes + len(members) - 1).mean())
            level = expected(len(members) - 1, without.sizes(own) + len(members) - 1).mean(axis=0)
            # Chance rises where controls are left out; the null of all of them is read at the value less that rise.
            left_p[-1] = [p_value(value, null) for value in left - (level - chance)]
            if kind[index[0]] == "trt":
                units.append((family[index[0]], item["value"]))
                chances.append(chance)
                without.add(left, level)
        items.append(item)
    table = filled(pd.DataFrame(items))
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    frame = pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum="trt")
    lost = sum(1 for item in items if not np.isfinite(item["value"]))
    return Score(
        "activity",
        items=table,
        units=frame,
        chance=float(np.mean(chances)) if chances else float("nan"),
        n=len(units),
        n_undefined=lost,
        jackknives=without.jackknives(frame, np.array(chances)),
        left_p=pd.DataFrame(left_p, index=table["Metadata_Item"], columns=list(without.groups.names)),
        notes=() if units else (Note("no_replicates_with_controls"),),
    )


def retrieved(
    score: Score,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    replicates_share: tuple[str, ...] = (),
    threshold: float = 0.05,
) -> Score:
    """Return the share of treatments of the score `activity` with q below `threshold`.

    q is by Benjamini and Hochberg over all items with a p. Items without a p count as undefined.
    """
    items = filled(score.items)
    family, treated = wells.families(metadata, label), wells.kind(metadata, "trt")
    owner = dict(zip(wells.replicate_names(metadata, replicates_share)[treated], family[treated], strict=True))
    mine = items[items["Metadata_Item"].isin(list(owner))]
    tested = mine[np.isfinite(mine["q"].to_numpy(float))]
    if not len(tested):
        return absent(
            "activity.retrieved",
            Note("threshold_out_of_reach", {"threshold": threshold}),
            n_undefined=len(mine),
        )
    units = pd.DataFrame(
        {
            "stratum": "trt",
            "cluster": [str(owner[name]) for name in tested["Metadata_Item"]],
            "value": (tested["q"] < threshold).astype(float),
        }
    )
    value = float(units["value"].mean())
    parts = [of_units(units, None).shifted(value)]
    if score.left_p is not None:
        known = items.set_index("Metadata_Item")["p"].notna()
        left = score.left_p.where(known.reindex(score.left_p.index, fill_value=False), np.nan, axis=0)
        shares = {
            name: (pd.Series(benjamini_hochberg(left[name].to_numpy()), index=left.index) < threshold)
            .reindex(tested["Metadata_Item"])
            .mean()
            for name in left.columns
        }
        mean = float(np.mean(list(shares.values())))
        parts.append(Jackknife("controls", pd.Series(shares, dtype=float) + value - mean))
    return Score(
        "activity.retrieved",
        units=units,
        chance=0.0,
        n=len(tested),
        n_undefined=len(mine) - len(tested),
        jackknives=tuple(parts),
        proportion=True,
    )


def _mean_precision(rows: Array, members: Array, negatives: list[Array], without: Controls) -> tuple[float, int, Array]:
    """Return the members' mean average precision, their fewest negatives, and the mean without each set of controls."""
    between = wells.cosine(rows[members], rows[members])
    values, left = [], []
    for place, (member, against) in enumerate(zip(members, negatives, strict=True)):
        positive, negative = np.delete(between[place], place), wells.cosine(rows[member][None], rows[against])[0]
        values.append(average_precision(positive, negative))
        left.append(without.average_precision(positive, negative, against))
    return float(np.mean(values)), min(len(against) for against in negatives), np.mean(left, axis=0)


def _compute_activity(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    share, size = options.replicates_share, options.null_size
    return [
        activity(
            features,
            metadata,
            label=options.label,
            replicates_share=share,
            null_size=size,
            threshold=options.threshold,
            seed=seed,
        )
    ]


def _derive_retrieved(scores: Mapping[str, Score], metadata: pd.DataFrame, options: Evaluate) -> Score:
    share, threshold = options.replicates_share, options.threshold
    return retrieved(scores["activity"], metadata, label=options.label, replicates_share=share, threshold=threshold)


ACTIVITY = Metric(
    name="activity",
    family="replicates",
    reads="controls",
    direction=1,
    chance="random ranking",
    title="Phenotypic activity (mAP)",
    meaning="Mean average precision with which a well retrieves its replicates among its plate's negative controls; 1 "
    "where every replicate ranks first.",
    compute=_compute_activity,
    position_only=True,
    layout=True,
    main=True,
)
RETRIEVED = Metric(
    name="activity.retrieved",
    family="replicates",
    reads="controls",
    direction=1,
    chance="no treatment passes where none is active",
    title="Active treatments (share)",
    meaning="Share of treatments whose activity is above chance, at a controlled false discovery rate.",
    derive=_derive_retrieved,
    needs=("activity",),
    position_only=True,
    layout=True,
    main=True,
)
