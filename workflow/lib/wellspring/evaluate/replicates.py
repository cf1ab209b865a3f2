"""Percent replicating and percent matching: which groups correlate among themselves more than random groups do.

In flow well profiles, out flow the two scores. Percent replicating (Way et al. 2022; the JUMP pilots): the share of
treatments whose median pairwise Pearson correlation of replicates lies above the 95th percentile of a null of groups of
as many wells of different compounds. Percent matching: the same for mechanisms, whose members are compounds (median of
their wells). Groups of one size share a null; p is the share of the null at or above the group.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled

ALPHA = 0.05  # the 95th percentile of the null
MEMBERS = 48  # as in `precision.shared_null`: a larger group is judged by so many of its members, drawn at random
CELLS_AT_ONCE = 8_000_000


def replicating(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    replicates_share: tuple[str, ...] = (),
    null_size: int = 1000,
    seed: int = 0,
) -> Score:
    """Return the share of treatments (`trt`) whose replicates correlate; items are treatments, values the medians."""
    treated = wells.kind(metadata, "trt")
    keep = np.flatnonzero(treated & wells.defined(features, metadata))
    names, compound = (
        wells.replicate_names(metadata, replicates_share),
        wells.column(metadata, "Metadata_Compound"),
    )
    everything = pd.Series(names[treated]).value_counts()
    if not treated.any():
        return absent("replicating", "no treated well")
    score = _judged(
        "replicating",
        wells.correlated(features[keep]),
        names[keep],
        owner=compound[keep].astype(str),
        cluster=compound[keep].astype(str),
        group=wells.column(metadata, wells.MOA)[keep],
        sizes=everything,
        null_size=null_size,
        seed=seed,
    )
    return score if len(score.units) else score.noted("no treatment has two defined wells beside another compound")


def matching(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    null_size: int = 1000,
    seed: int = 0,
) -> Score:
    """Return the share of mechanisms whose compounds correlate; items are mechanisms, values the medians."""
    mechanism, compound = wells.column(metadata, label), wells.column(metadata, "Metadata_Compound")
    named = wells.labelled(metadata, label, "Metadata_Compound")
    keep = np.flatnonzero(named & wells.defined(features, metadata))
    pairs = pd.DataFrame({"compound": compound[named].astype(str), "label": mechanism[named].astype(str)})
    sizes = pairs.drop_duplicates()["label"].value_counts()
    if len(sizes) < 2:
        return absent("matching", f"needs two mechanisms, found {len(sizes)} among the treatments")
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
    return score if len(score.units) else score.noted("no mechanism has two defined compounds beside another mechanism")


def median_correlation(rows: np.ndarray) -> float:
    """Return the median over pairs of rows (m, d), centred and of length 1, of their product."""
    upper = np.triu_indices(len(rows), 1)
    return float(np.median((rows @ rows.T)[upper]))


def null_medians(rows: np.ndarray, owner: np.ndarray, size: int, *, draws: int, seed: int) -> np.ndarray:
    """Return sorted medians (draws,) of random groups of `size` rows, each row of another owner.

    An owner is drawn before its row, so that owners count alike. Of fewer owners than `size` all are drawn: the null of
    a smaller group is wider (conservative).
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
    rows: np.ndarray,
    names: np.ndarray,
    *,
    owner: np.ndarray,
    cluster: np.ndarray,
    group: np.ndarray,
    sizes: pd.Series,
    null_size: int,
    seed: int,
) -> Score:
    """Return the share of groups (rows of one name) above the null; `sizes` is how many members each should have."""
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
            # p <= .05 is the 95th percentile with the group itself counted in, so that chance gives no more than .05.
            units.append((cluster[mine[0]], float(item["p"] <= ALPHA)))
        items.append(item)
    table = filled(pd.DataFrame(items))
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    return Score(
        metric,
        items=table,
        units=pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum=metric),
        chance=ALPHA,
        guard="share of random groups above the 95th percentile of their own",
        n=len(units),
        n_undefined=len(items) - len(units),
        proportion=True,
    )
