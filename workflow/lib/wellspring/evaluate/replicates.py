"""Percent replicating and percent matching: groups whose members correlate more than those of random groups.

Percent replicating (Way et al. 2022; the JUMP pilots) is the share of treatments whose median pairwise Pearson
correlation of replicates lies above the 95th percentile of a null of groups of as many wells of different compounds.
Percent matching is the same for mechanisms, whose members are compounds (medians of their wells). Groups of one size
share a null; p is the share of the null at or above the group.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

ALPHA = 0.05  # the 95th percentile of the null
MEMBERS = 48  # as in `precision.shared_null`: a larger group is judged by this many of its members, drawn at random
CELLS_AT_ONCE = 8_000_000


def replicating(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    replicates_share: tuple[str, ...] = (),
    null_size: int = 1000,
    seed: int = 0,
) -> Score:
    """Return the share of treatments (`trt`) whose replicates correlate; items are treatments, values the medians."""
    treated = wells.kind(metadata, "trt")
    keep = np.flatnonzero(treated & wells.varied(features, metadata))
    names, compound = (
        wells.replicate_names(metadata, replicates_share),
        wells.column(metadata, "Metadata_Compound"),
    )
    everything = pd.Series(names[treated]).value_counts()
    if not treated.any():
        return absent("replicating", Note("no_treated_wells"))
    score = _judged(
        "replicating",
        wells.correlated(features[keep]),
        names[keep],
        owner=compound[keep].astype(str),
        cluster=wells.families(metadata, label)[keep],
        group=wells.column(metadata, wells.MOA)[keep],
        sizes=everything,
        null_size=null_size,
        seed=seed,
    )
    return score if len(score.units) else score.noted(Note("no_replicates_beside_other_compounds"))


def matching(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    null_size: int = 1000,
    seed: int = 0,
) -> Score:
    """Return the share of mechanisms whose compounds correlate; items are mechanisms, values the medians."""
    mechanism, compound = wells.column(metadata, label), wells.column(metadata, "Metadata_Compound")
    named = wells.labelled(metadata, label, "Metadata_Compound")
    keep = np.flatnonzero(named & wells.varied(features, metadata))
    pairs = pd.DataFrame({"compound": compound[named].astype(str), "label": mechanism[named].astype(str)})
    sizes = pairs.drop_duplicates()["label"].value_counts()
    if len(sizes) < 2:
        return absent("matching", Note("too_few_mechanisms", {"found": len(sizes), "needed": 2}))
    own = pd.DataFrame({"compound": compound[keep].astype(str), "label": mechanism[keep].astype(str), "row": keep})
    groups = list(own.groupby(["compound", "label"], sort=True)["row"])
    profiles = np.array([np.median(features[rows.to_numpy()], axis=0) for _, rows in groups])
    labels = np.array([key[1] for key, _ in groups], dtype=object)
    score = _judged(
        "matching",
        wells.correlated(profiles.reshape(len(groups), features.shape[1])),
        labels,
        owner=labels,
        cluster=labels,
        group=labels,
        sizes=sizes,
        null_size=null_size,
        seed=seed,
    )
    return score if len(score.units) else score.noted(Note("no_compounds_beside_other_mechanisms"))


def median_correlation(rows: Array) -> float:
    """Return the median over pairs of rows (m, d), centred and of length 1, of their product."""
    upper = np.triu_indices(len(rows), 1)
    return float(np.median((rows @ rows.T)[upper]))


def null_medians(rows: Array, owner: Array, size: int, *, draws: int, seed: int) -> Array:
    """Return sorted medians (draws,) of random groups of `size` rows, each row of another owner.

    An owner is drawn before its row, so that owners count equally. With fewer owners than `size`, all are drawn: the
    null of a smaller group is wider, hence conservative.
    """
    code = wells.codes(owner)
    by_owner, count = np.argsort(code, kind="stable"), np.bincount(code)
    first, size = np.concatenate([[0], np.cumsum(count)[:-1]]), min(size, len(count))
    rng, upper, medians = np.random.default_rng([seed, size]), np.triu_indices(size, 1), []
    step = max(1, CELLS_AT_ONCE // max(size * rows.shape[1], len(count), 1))
    for start in range(0, draws, step):
        many = min(step, draws - start)
        owners = np.argsort(rng.random((many, len(count))), axis=1)[:, :size]
        chosen = by_owner[first[owners] + (rng.random((many, size)) * count[owners]).astype(int)]
        product = rows[chosen] @ rows[chosen].transpose(0, 2, 1)
        medians.append(np.median(product[:, upper[0], upper[1]], axis=1))
    return np.sort(np.concatenate(medians))


def _judged(
    metric: str,
    rows: Array,
    names: Array,
    *,
    owner: Array,
    cluster: Array,
    group: Array,
    sizes: pd.Series,
    null_size: int,
    seed: int,
) -> Score:
    """Return the share of groups (rows of one name) above the null; `sizes` has the full number of members of each."""
    several, rng, nulls = len(set(owner)) > 1, np.random.default_rng(seed), {}
    members = {name: np.sort(places.to_numpy()) for name, places in pd.Series(np.arange(len(rows))).groupby(names)}
    items, units = [], []
    for name in sorted(sizes.index, key=str):
        mine = members.get(name, np.zeros(0, dtype=int))
        item = {"Metadata_Item": name, "n": len(mine), "n_undefined": int(sizes[name]) - len(mine), "value": np.nan}
        item["p"], item["Metadata_Group"] = np.nan, group[mine[0]] if len(mine) else None
        if len(mine) > 1 and several:
            judged = mine if len(mine) <= MEMBERS else np.sort(rng.choice(mine, MEMBERS, replace=False))
            if len(judged) not in nulls:
                nulls[len(judged)] = null_medians(rows, owner, len(judged), draws=null_size, seed=seed)
            null = nulls[len(judged)]
            item["value"] = median_correlation(rows[judged])
            above = len(null) - int(np.searchsorted(null, item["value"] - 1e-12, side="left"))
            item["p"] = (1 + above) / (1 + len(null))
            # p <= 0.05 is the 95th percentile with the group itself counted in, so that chance gives 0.05 at most.
            units.append((cluster[mine[0]], float(item["p"] <= ALPHA)))
        items.append(item)
    table = filled(pd.DataFrame(items))
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    return Score(
        metric,
        items=table,
        units=pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum=metric),
        chance=ALPHA,
        n=len(units),
        n_undefined=len(items) - len(units),
        proportion=True,
    )


def _compute_replicating(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    share, size = options.replicates_share, options.replicating_null
    return [replicating(features, metadata, label=options.label, replicates_share=share, null_size=size, seed=seed)]


def _compute_matching(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    return [matching(features, metadata, label=options.label, null_size=options.replicating_null, seed=seed)]


REPLICATING = Metric(
    name="replicating",
    family="replicates",
    reads="treated",
    direction=1,
    chance="share of random groups above the 95th percentile of random groups",
    title="Treatments whose replicates correlate (percent replicating)",
    meaning="Share of treatments whose replicates' median correlation is above the 95th percentile of random groups of "
    "as many wells of different compounds; 5 % of inactive treatments are.",
    compute=_compute_replicating,
    position_only=True,
    layout=True,
)
MATCHING = Metric(
    name="matching",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="share of random groups above the 95th percentile of random groups",
    title="Mechanisms whose compounds correlate (percent matching)",
    meaning="Share of mechanisms whose compounds' median correlation is above the 95th percentile of random groups of "
    "as many compounds of different mechanisms; 5 % without effects.",
    compute=_compute_matching,
    position_only=True,
    layout=True,
)
