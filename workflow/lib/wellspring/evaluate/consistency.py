"""Consistency: mean average precision with which wells find other compounds of their mechanism (Kalinin et al. 2025).

A well ranks the wells of other compounds: those of its mechanism against those of other mechanisms; wells of the same
compound are left out. The mean is over compounds. p of a compound is that of copairs (`precision.listed_p`), q is after
Benjamini and Hochberg; `consistency.retrieved` is the share of compounds with a small q.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.left_out import QUERIES, Ranked
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.nearest import dealt_labels, permuted
from wellspring.evaluate.neighbours import blocks
from wellspring.evaluate.precision import expected, listed_p, ranked_precisions, ranks
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

PERMUTED_CELLS = 300_000_000


def consistency(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    permutations: int = 0,
    queries: int | None = None,
    null_size: int = 1000,
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
    keep = labelled & wells.directed(features, metadata)
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
    shapes = np.zeros((len(taken), 2), dtype=int)
    ranked = Ranked(Groups.of(mechanism), taken[wells.drawn(compound[taken], at_most=QUERIES, seed=seed)])
    for block in blocks(len(taken), count):
        query = taken[block]
        allowed = owner[query, None] != owner[None, :]
        found = ranks(wells.cosine(rows[query], rows), allowed)
        for number, (dealt, by_label) in enumerate(zip(deals, members, strict=True)):
            precision[number, block] = ranked_precisions(found, by_label, dealt[query])
        for place, well in enumerate(query):
            mine = found[place, members[0][code[well]]]
            ranked.read(well, found[place], mine[mine <= count], allowed[place])
        total = allowed.sum(axis=1)
        positives = (allowed & (code[query, None] == code[None, :])).sum(axis=1)
        chance[block] = np.where(positives > 0, expected(positives, total), np.nan)
        shapes[block] = np.column_stack([positives, total])
    drawn = compound[taken]
    frame = pd.DataFrame({"compound": drawn, "mechanism": mechanism[taken], "value": precision[0], "chance": chance})
    by = frame.groupby("compound", sort=True)
    items = by.agg(value=("value", "mean"), n=("value", "count"), Metadata_Group=("mechanism", "first")).reset_index()
    items = items.rename(columns={"compound": "Metadata_Item"})
    known = np.isfinite(precision[0])
    items["p"], items["q"] = significance(items, drawn[known], shapes[known], size=null_size, seed=seed)
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
        jackknives=_without_mechanisms(ranked, frame.set_index(taken), float(scored["value"].mean())),
        notes=wells.sampling(len(taken), count),
    )
    if not rounds:
        return [main]
    means = [pd.Series(row).groupby(drawn).mean().mean() for row in precision[1:]]
    return [main, permuted(main, np.array(means))]


def significance(items: pd.DataFrame, owner: Array, shapes: Array, *, size: int, seed: int) -> tuple[Array, Array]:
    """Return p and q of the items (Metadata_Item, value).

    `owner` (q,) are the items of the queries that have a value, `shapes` (q, 2) their numbers of positives and pairs.
    """
    rows = {name: places.to_numpy() for name, places in pd.Series(np.arange(len(owner))).groupby(owner)}
    p = np.full(len(items), np.nan)
    for place, (name, mean) in enumerate(zip(items["Metadata_Item"], items["value"], strict=True)):
        if name in rows:
            p[place] = listed_p(mean, *shapes[rows[name]].T, size=size, seed=seed)
    return p, benjamini_hochberg(p)


def retrieved(score: Score, *, threshold: float = 0.05) -> Score:
    """Return the share of items of a score with q below `threshold`; its interval leaves out the items' groups."""
    items = filled(score.items)
    tested = items[np.isfinite(items["q"].to_numpy(float))]
    name = f"{score.metric}.retrieved"
    if not len(tested):
        return absent(name, *score.notes, n_undefined=len(items))
    units = pd.DataFrame(
        {
            "stratum": "trt",
            "cluster": tested["Metadata_Group"].astype(str),
            "value": (tested["q"] < threshold).astype(float),
        }
    )
    return Score(
        name,
        units=units,
        chance=0.0,
        n=len(tested),
        n_undefined=len(items) - len(tested),
        proportion=True,
        notes=score.notes,
    )


def _members(labels: Array) -> list[Array]:
    """Return the places of each label code."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels))[:-1])


def compound_of_lost(metadata: pd.DataFrame, mask: Array) -> list[str]:
    """Return the compound of each well of `mask` as text."""
    return [str(name) for name in wells.column(metadata, "Metadata_Compound")[mask]]


def _without_mechanisms(ranked: Ranked, frame: pd.DataFrame, value: float) -> tuple[Jackknife, ...]:
    """Return the jackknife over mechanisms; `frame` has compound, value and chance of each queried well."""
    places = np.array(ranked.places, dtype=int)
    mine = frame.loc[places]
    count = mine.groupby("compound")["value"].transform("count").to_numpy(dtype=float)
    rise, shared = of_queries(
        mine["value"].to_numpy(),
        np.array(ranked.values),
        mine["chance"].to_numpy(),
        np.array(ranked.chances),
        ranked.groups.code[places],
        weight=1 / np.maximum(count, 1),
    )
    left = pd.Series(value - rise, index=list(ranked.groups.names))
    return (Jackknife("mechanisms", left, shared, ranked.groups.worth()),)


def _compute_consistency(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    rounds, queries = options.permutations, wells.most_queries(len(metadata), options.pairs)
    given = {"permutations": rounds, "queries": queries, "null_size": options.null_size}
    return consistency(features, metadata, label=options.label, **given, seed=seed)


def _derive_retrieved(scores: Mapping[str, Score], metadata: pd.DataFrame, options: Evaluate) -> Score:
    return retrieved(scores["consistency"], threshold=options.threshold)


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
RETRIEVED = Metric(
    name="consistency.retrieved",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="no compound passes where none resembles its mechanism",
    title="Compounds that find their mechanism (share)",
    meaning="Share of compounds whose consistency is above chance, at a controlled false discovery rate.",
    derive=_derive_retrieved,
    needs=("consistency",),
    position_only=True,
    layout=True,
)
