"""Retrieval scores: phenotypic activity (replicates against controls) and consistency (shared mechanism).

Mean average precision after Kalinin et al. 2025. Activity ranks, for each well of a treatment, its replicates on all
plates and the negative controls of its own plate. Consistency ranks wells of other compounds with the same mechanism
and wells of other mechanisms; wells of the same compound are left out.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.nearest import dealt_labels, permuted
from wellspring.evaluate.neighbours import blocks
from wellspring.evaluate.precision import average_precision, expected, p_value, ranked_precision, ranks, shared_null
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

PERMUTED_CELLS = 300_000_000


def activity(
    features: Array,
    metadata: pd.DataFrame,
    *,
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
    items, units, chances = [], [], []
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
        if len(members) > 1:
            item["value"], few = _mean_precision(rows, members, [controls[plate[i]] for i in members])
            null = shared_null(len(members), few, size=null_size, seed=seed)
            item["p"] = p_value(item["value"], null) if p_value(1.0, null) < threshold else np.nan
            if kind[index[0]] == "trt":
                units.append((str(compound[index[0]]), item["value"]))
                sizes = [len(controls[plate[i]]) + len(members) - 1 for i in members]
                chances.append(float(expected(len(members) - 1, np.array(sizes)).mean()))
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
        notes=() if units else (Note("no_replicates_with_controls"),),
    )


def retrieved(
    score: Score, metadata: pd.DataFrame, *, replicates_share: tuple[str, ...] = (), threshold: float = 0.05
) -> Score:
    """Return the share of treatments of the score `activity` with q below `threshold`.

    q is by Benjamini and Hochberg over all items with a p. Items without a p count as undefined.
    """
    items = filled(score.items)
    compound = wells.column(metadata, "Metadata_Compound")
    treated = wells.kind(metadata, "trt")
    owner = dict(zip(wells.replicate_names(metadata, replicates_share)[treated], compound[treated], strict=True))
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
    return Score(
        "activity.retrieved",
        units=units,
        chance=0.0,
        n=len(tested),
        n_undefined=len(mine) - len(tested),
        proportion=True,
    )


def consistency(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    permutations: int = 0,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return mean average precision of the same mechanism in other compounds, per well, and its permutation null.

    Uses wells of type `trt` with a label. Negatives are wells of other mechanisms; wells of the same compound are left
    out. Items are compounds. With `permutations`, a second score `consistency.permuted` holds the means after
    mechanisms were permuted over compounds (fewer times for very large screens). With `queries`, at most that many
    wells, drawn evenly over compounds, are queries; references are always all wells.
    """
    mechanism, compound = wells.column(metadata, label), wells.column(metadata, "Metadata_Compound")
    labelled = wells.labelled(metadata, label, "Metadata_Compound")
    keep = labelled & wells.defined(features, metadata)
    lost = int(labelled.sum() - keep.sum())
    if len(set(mechanism[keep])) < 2:
        note = Note("too_few_mechanisms", {"found": len(set(mechanism[keep])), "needed": 2})
        return [absent("consistency", note, n_undefined=lost)]
    rows, mechanism, compound = (
        wells.units(features[keep]),
        mechanism[keep].astype(str),
        compound[keep].astype(str),
    )
    owner, code, count = wells.codes(compound), wells.codes(mechanism), len(rows)
    taken = np.arange(count) if queries is None else wells.drawn(compound, at_most=queries, seed=seed)
    rounds = int(min(permutations, max(20, PERMUTED_CELLS // (count * len(taken))))) if permutations else 0
    deals = [code, *dealt_labels(compound, mechanism, rounds, np.random.default_rng(seed))]
    members = [_members(dealt) for dealt in deals]
    precision, chance = np.full((len(deals), len(taken)), np.nan), np.full(len(taken), np.nan)
    for block in blocks(len(taken), count):
        query = taken[block]
        allowed = owner[query, None] != owner[None, :]
        found = ranks(wells.cosine(rows[query], rows), allowed)
        for place, well in enumerate(query):
            for number, (dealt, by_label) in enumerate(zip(deals, members, strict=True)):
                mine = found[place, by_label[dealt[well]]]
                precision[number, block.start + place] = ranked_precision(mine[mine <= count])
        total = allowed.sum(axis=1)
        positives = (allowed & (code[query, None] == code[None, :])).sum(axis=1)
        chance[block] = np.where(positives > 0, expected(positives, total), np.nan)
    drawn = compound[taken]
    frame = pd.DataFrame({"compound": drawn, "mechanism": mechanism[taken], "value": precision[0], "chance": chance})
    by = frame.groupby("compound", sort=True)
    items = by.agg(value=("value", "mean"), n=("value", "count"), Metadata_Group=("mechanism", "first")).reset_index()
    items = items.rename(columns={"compound": "Metadata_Item"})
    undefined = pd.Series(compound_of_lost(metadata, labelled & ~keep)).value_counts()
    items["n_undefined"] = items["Metadata_Item"].map(undefined).fillna(0).astype(int)
    scored = items[np.isfinite(items["value"].to_numpy(float))]
    if not len(scored):
        return [Score("consistency", items=items, n_undefined=lost + count, notes=(Note("no_shared_mechanism"),))]
    units = pd.DataFrame({"stratum": "trt", "cluster": scored["Metadata_Item"], "value": scored["value"]})
    main = Score(
        "consistency",
        items=items,
        units=units,
        chance=float(by["chance"].mean().mean()),
        n=len(scored),
        n_undefined=lost + int((~np.isfinite(precision[0])).sum()),
        notes=wells.sampling(len(taken), count),
    )
    if not rounds:
        return [main]
    means = [pd.Series(row).groupby(drawn).mean().mean() for row in precision[1:]]
    return [main, permuted(main, np.array(means))]


def _members(labels: Array) -> list[Array]:
    """Return the places of each label code."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels))[:-1])


def compound_of_lost(metadata: pd.DataFrame, mask: Array) -> list[str]:
    """Return the compound of each well of `mask` as text."""
    return [str(name) for name in wells.column(metadata, "Metadata_Compound")[mask]]


def _mean_precision(rows: Array, members: Array, negatives: list[Array]) -> tuple[float, int]:
    between = wells.cosine(rows[members], rows[members])
    values = []
    for place, (member, against) in enumerate(zip(members, negatives, strict=True)):
        positive = np.delete(between[place], place)
        values.append(average_precision(positive, wells.cosine(rows[member][None], rows[against])[0]))
    return float(np.mean(values)), min(len(against) for against in negatives)


def _compute_activity(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    share, size = options.replicates_share, options.null_size
    return [
        activity(features, metadata, replicates_share=share, null_size=size, threshold=options.threshold, seed=seed)
    ]


def _derive_retrieved(scores: Mapping[str, Score], metadata: pd.DataFrame, options: Evaluate) -> Score:
    share, threshold = options.replicates_share, options.threshold
    return retrieved(scores["activity"], metadata, replicates_share=share, threshold=threshold)


def _compute_consistency(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    rounds, queries = options.permutations, wells.most_queries(len(metadata), options.pairs)
    return consistency(features, metadata, label=options.label, permutations=rounds, queries=queries, seed=seed)


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
    layout=True,
    main=True,
)
CONSISTENCY = Metric(
    name="consistency",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="random ranking",
    title="Consistency of mechanisms (mAP)",
    meaning="Mean average precision with which a well retrieves wells of other compounds with its mechanism among all "
    "others.",
    compute=_compute_consistency,
    permuted=True,
    position_only=True,
    layout=True,
    main=True,
)
