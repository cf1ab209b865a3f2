"""Hit@k, precision@k and enrichment@k: the mechanism among the nearest treatments of other compounds.

Treatments, their profiles and the excluded pairs are those of NSC (`nearest`), so that hit@1 is NSC. Hit@k is the share
of treatments with their mechanism among the k nearest; precision@k is the share of the k nearest that have it;
enrichment@k is that share divided by the mechanism's share among all treatments allowed. Items are treatments.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import gammaln

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife
from wellspring.evaluate.left_out import Listed, listed
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.nearest import asked, same_compound, treatment_profiles
from wellspring.evaluate.neighbours import nearest
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

KINDS = ("hit", "precision", "enrichment")


def hits(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    operation: str = "median",
    neighbours: tuple[int, ...] = (5, 10),
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return `hit.k<k>`, `precision.k<k>` and `enrichment.k<k>` for each k of `neighbours`.

    A treatment with fewer than k others allowed is judged on all of them. A treatment whose mechanism no other compound
    has is a miss (as for NSC) and has no enrichment. With `queries`, at most that many treatments, drawn evenly over
    compounds, look for their nearest among all.
    """
    names = [f"{kind}.k{k}" for k in neighbours for kind in KINDS]
    profiles, frame, lost = treatment_profiles(features, metadata, label=label, operation=operation)
    if not len(frame):
        return [absent(name, Note("no_labelled_treatments"), n_undefined=lost) for name in names]
    labels, taken = wells.codes(frame["label"].to_numpy()), asked(frame, queries=queries, seed=seed)
    near = nearest(
        wells.units(profiles),
        queries=taken,
        references=np.arange(len(frame)),
        k=listed(Groups.of(labels), max(neighbours), len(frame)),
        barred=same_compound(frame),
        labels=labels,
    )
    without = Listed(near, taken, frame["label"].to_numpy(), seed=seed)
    found, drawn = near.allowed > 0, wells.sampling(len(taken), len(frame), "treatments")
    frame = frame.iloc[taken].reset_index(drop=True)
    if not found.any():
        return [absent(name, Note("single_compound"), n_undefined=lost + len(frame)) for name in names]
    if not near.matching[found].any():
        return [absent(name, Note("no_shared_mechanism"), n_undefined=lost + len(frame)) for name in names]
    right = near.valid & (labels[near.index] == labels[taken, None])
    few = int((near.matching[found] == 0).sum())
    notes = (Note("mechanism_of_one_compound", {"treatments": few, "total": int(found.sum())}),) if few else ()
    if len(set(labels)) < 2:
        notes = (Note("single_mechanism"),)
    scores = of_lists(right, near.allowed, near.matching, frame, without, neighbours=neighbours, lost=lost)
    return [score.noted(*notes, *drawn) for score in scores]


def of_lists(
    right: Array,
    allowed: Array,
    matching: Array,
    frame: pd.DataFrame,
    without: Listed,
    *,
    neighbours: tuple[int, ...],
    lost: int,
) -> list[Score]:
    """Return the scores of neighbour lists.

    Parameters
    ----------
    right
        (q, k) bool, which of the nearest of each query have its mechanism.
    allowed, matching
        (q,) number of references that are allowed, and of those that have the mechanism.
    frame
        The queries, see `wellspring.evaluate.nearest.treatment_profiles`.
    without
        The lists without each group.
    neighbours, lost
        Values of k; number of treatments without a profile.
    """
    found, scores = allowed > 0, list[Score]()
    share, allowed = matching / np.maximum(allowed, 1), np.maximum(allowed, 1)
    for k in neighbours:
        reach = np.minimum(k, allowed)
        count = right[:, :k].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = {
                "hit": (count > 0).astype(float),
                "precision": count / reach,
                "enrichment": np.where(matching > 0, count / reach / share, np.nan),
            }
        chances = {"hit": any_hit(matching, allowed, reach), "precision": share, "enrichment": np.ones(len(frame))}
        left, levels = _left_out(without, k)
        most = np.minimum(matching, reach) / reach
        ceilings = {"hit": np.ones(len(frame)), "precision": most, "enrichment": most / np.maximum(share, 1e-12)}
        for kind, value in values.items():
            value = np.where(found, value, np.nan)
            jackknives = without.jackknife(value, left[kind], chances[kind], levels[kind])
            score = scored(f"{kind}.k{k}", frame, value, chances[kind], lost, jackknives)
            known = np.isfinite(value)
            ceiling = float(ceilings[kind][known].mean()) if known.any() else 1.0
            scores.append(replace(score, ceiling=max(ceiling, 1e-12), trials=1 if kind == "hit" else k))
    return scores


def _left_out(without: Listed, k: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return values and chance levels of each kind without each group (q, groups)."""
    same, count = without.right(k)
    share, reach = without.share, np.maximum(count, 1)
    known = count > 0
    left = {
        "hit": np.where(known, same > 0, np.nan),
        "precision": np.where(known, same / reach, np.nan),
        "enrichment": np.where(known & (share > 0), same / reach / np.maximum(share, 1e-12), np.nan),
    }
    allowed = np.maximum(without.allowed, reach)
    matching = np.broadcast_to(without.matching, allowed.shape)
    return left, {"hit": any_hit(matching, allowed, reach), "precision": share, "enrichment": np.ones(share.shape)}


def any_hit(matching: Array, allowed: Array, k: Array) -> Array:
    """Return the probability that k of `allowed` drawn without replacement hold one of `matching` (hypergeometric)."""
    others = allowed - matching
    with np.errstate(invalid="ignore"):
        log_none = gammaln(others + 1) + gammaln(allowed - k + 1) - gammaln(others - k + 1) - gammaln(allowed + 1)
    return np.where(others < k, 1.0, 1 - np.exp(np.where(others < k, 0.0, log_none)))


def scored(
    metric: str, frame: pd.DataFrame, value: Array, chance: Array, lost: int, jackknives: tuple[Jackknife, ...]
) -> Score:
    """Return the score of treatments with these values and chance levels (q,), NaN where undefined."""
    items = pd.DataFrame(
        {
            "Metadata_Item": frame["treatment"],
            "value": value,
            "n": frame["wells"],
            "n_undefined": (~np.isfinite(value)).astype(int),
            "Metadata_Group": frame["label"],
        }
    )
    known = np.isfinite(value)
    units = pd.DataFrame({"stratum": metric, "cluster": frame["compound"], "value": value})[known]
    return Score(
        metric,
        items=items,
        units=units,
        chance=float(chance[known].mean()) if known.any() else float("nan"),
        n=int(known.sum()),
        n_undefined=lost + int((~known).sum()),
        proportion=True,
        jackknives=jackknives,
        notes=() if known.any() else (Note("no_shared_mechanism"),),
    )


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    queries = wells.most_queries(len(set(wells.treatments(metadata))), options.pairs)
    return hits(features, metadata, label=options.label, neighbours=options.hit_neighbours, queries=queries, seed=seed)


HIT = Metric(
    name="hit",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="random order of the treatments allowed",
    title="Mechanism among the nearest treatments (hit)",
    meaning="Share of treatments with their mechanism among the k nearest treatments of other compounds.",
    compute=_compute,
    position_only=True,
    layout=True,
)
PRECISION = Metric(
    name="precision",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="frequency of the mechanism among the treatments allowed",
    title="Share of the nearest with the mechanism (precision)",
    meaning="Share of the k nearest treatments of other compounds that have the treatment's mechanism.",
    compute=_compute,
    position_only=True,
    layout=True,
)
ENRICHMENT = Metric(
    name="enrichment",
    family="mechanisms",
    reads="treated",
    direction=1,
    bounds=None,
    chance="as frequent as among all treatments allowed",
    title="Precision over the frequency of the mechanism (enrichment)",
    meaning="Precision divided by the mechanism's share among all treatments; 1 where profiles carry no information.",
    compute=_compute,
    position_only=True,
    layout=True,
)
