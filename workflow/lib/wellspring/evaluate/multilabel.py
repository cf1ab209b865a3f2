"""Consistency, NSC and hits where a compound may have several labels, as targets `a|b`.

Labels are split at `evaluate.separator`. Two wells that share a label are never each other's negatives, as in the
multilabel mode of `copairs`: the precision of a well is computed label by label, with the wells of other compounds
that have this label as positives and those that share no label with it as negatives. Its value is the mean over labels.
For NSC and hits, a neighbour is right if it shares any label. Where no label holds the separator, the functions of
`consistency`, `nearest` and `hits` are used.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate import hits, wells
from wellspring.evaluate.consistency import significance
from wellspring.evaluate.jackknife import Groups
from wellspring.evaluate.left_out import listed
from wellspring.evaluate.left_out_labels import ListedLabels, RankedLabels
from wellspring.evaluate.metric import Compute, Metric
from wellspring.evaluate.nearest import asked, permuted, same_compound, treatment_profiles
from wellspring.evaluate.neighbours import nearest
from wellspring.evaluate.precision import average_precision, expected
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

# Metrics of this module, and the one whose function computes them.
NAMES = {"consistency": "consistency", "nsc": "nsc", "nscb": "nscb"} | dict.fromkeys(hits.KINDS, "hit")
CALLS = 100_000  # precisions that are computed for the permuted labels, at most


def split(label: object, separator: str) -> tuple[str, ...]:
    """Return the labels of a value, each once, without white space around them.

    Examples
    --------
    >>> split("EGFR| ERBB2|EGFR", "|")
    ('EGFR', 'ERBB2')
    """
    parts = str(label).split(separator) if separator else [str(label)]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def needed(metadata: pd.DataFrame, label: str, separator: str | None) -> bool:
    """Return whether a treated well has several labels."""
    if not separator:
        return False
    found = pd.unique(wells.column(metadata, label)[wells.labelled(metadata, label)])
    return any(len(split(value, separator)) > 1 for value in found)


def membership(labels: Array, separator: str) -> tuple[Array, list[str]]:
    """Return which labels each row has, (n, labels) bool, and the labels in order."""
    parts = [split(value, separator) for value in labels]
    names = sorted({name for one in parts for name in one})
    place = {name: number for number, name in enumerate(names)}
    result = np.zeros((len(parts), len(names)), dtype=bool)
    for row, one in enumerate(parts):
        result[row, [place[name] for name in one]] = True
    return result, names


def precisions(similar: Array, allowed: Array, mine: Array, member: Array) -> tuple[Array, Array]:
    """Return the average precision (labels,) for each label of a query, and its numbers of positives and pairs.

    The numbers are (labels, 2) int. A label without positives has NaN.

    Parameters
    ----------
    similar
        (n,) similarities of all wells to the query.
    allowed
        (n,) bool, the wells of other compounds.
    mine, member
        (labels,) and (n, labels) bool, the labels of the query and of all wells.
    """
    negative = allowed & ~member[:, mine].any(axis=1)
    values, shapes = [], []
    for label in np.flatnonzero(mine):
        positive = allowed & member[:, label]
        count, total = int(positive.sum()), int(positive.sum() + negative.sum())
        values.append(average_precision(similar[positive], similar[negative]) if count else np.nan)
        shapes.append((count, total))
    return np.array(values), np.array(shapes)


def consistency(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str,
    separator: str,
    permutations: int = 0,
    queries: int | None = None,
    null_size: int = 1000,
    seed: int = 0,
) -> tuple[Score, Array]:
    """Return the score `consistency`, and its values (rounds,) after labels were permuted over compounds."""
    value, compound = wells.column(metadata, label), wells.column(metadata, "Metadata_Compound")
    labelled = wells.labelled(metadata, label, "Metadata_Compound")
    keep = labelled & wells.directed(features, metadata)
    lost = int(labelled.sum() - keep.sum())
    member, names = membership(value[keep], separator)
    if len(names) < 2:
        note = Note("too_few_mechanisms", {"found": len(names), "needed": 2})
        return absent("consistency", note, n_undefined=lost), np.zeros(0)
    rows, owner = wells.units(features[keep]), compound[keep].astype(str)
    taken = np.arange(len(rows)) if queries is None else wells.drawn(owner, at_most=queries, seed=seed)
    rounds = min(permutations, max(20, CALLS // len(taken))) if permutations else 0
    _, first, code = np.unique(owner, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    deals = [member, *(member[first][rng.permutation(len(first))][code] for _ in range(rounds))]
    found, chance = np.full((len(deals), len(taken)), np.nan), np.full(len(taken), np.nan)
    lists, ranked = list[tuple[str, int, int]](), RankedLabels(owner, taken, seed=seed)
    for place, query in enumerate(taken):
        similar, allowed = wells.cosine(rows[query][None], rows)[0], code != code[query]
        for number, dealt in enumerate(deals):
            scores, shapes = precisions(similar, allowed, dealt[query], dealt)
            known = np.isfinite(scores)
            if known.any():
                found[number, place] = scores[known].mean()
            if known.any() and number == 0:
                chance[place] = expected(*shapes[known].T).mean()
                lists += [(owner[query], *map(int, shape)) for shape in shapes[known]]
                ranked.read(query, similar, allowed, member[query], member)
    drawn = owner[taken]
    frame = pd.DataFrame({"Metadata_Item": drawn, "value": found[0], "chance": chance, "label": value[keep][taken]})
    by = frame.groupby("Metadata_Item", sort=True)
    items = by.agg(value=("value", "mean"), n=("value", "count"), Metadata_Group=("label", "first")).reset_index()
    undefined = pd.Series(compound[labelled & ~keep].astype(str)).value_counts()
    items["n_undefined"] = items["Metadata_Item"].map(undefined).fillna(0).astype(int)
    of, shapes = np.array([name for name, *_ in lists]), np.array([shape for _, *shape in lists]).reshape(-1, 2)
    items["p"], items["q"] = significance(items, of, shapes, size=null_size, seed=seed)
    scored = items[np.isfinite(items["value"].to_numpy(float))]
    if not len(scored):
        note = Note("no_shared_mechanism")
        return Score("consistency", items=items, n_undefined=lost + len(rows), notes=(note,)), np.zeros(0)
    of_well, level = np.full((2, len(rows)), np.nan)
    of_well[taken], level[taken] = found[0], chance
    score = Score(
        "consistency",
        items=items,
        jackknives=ranked.jackknife(of_well, level, owner, float(scored["value"].mean())),
        units=pd.DataFrame({"stratum": "trt", "cluster": scored["Metadata_Item"], "value": scored["value"]}),
        chance=float(by["chance"].mean().mean()),
        n=len(scored),
        n_undefined=lost + int((~np.isfinite(found[0])).sum()),
        notes=(Note("several_labels", {"labels": len(names)}), *wells.sampling(len(taken), len(rows))),
    )
    return score, np.array([pd.Series(row).groupby(drawn).mean().mean() for row in found[1:]])


def nearest_labels(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str,
    separator: str,
    neighbours: tuple[int, ...] = (),
    apart: bool = False,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return `nsc` or, with `apart` (no shared batch), `nscb`; with `neighbours` the scores of `hits` in its place."""
    profiles, frame, lost = treatment_profiles(features, metadata, label=label)
    shared = membership(frame["label"].to_numpy(), separator)[0].astype(np.float32)
    alike, batches, dropped = same_compound(frame), np.zeros((len(frame), 1), dtype=np.float32), 0
    if apart:
        batches = membership(np.array(["\0".join(map(str, own)) for own in frame["batches"]]), "\0")[0].astype(
            np.float32
        )
        several = (shared.T @ batches > 0).sum(axis=1) > 1  # labels that occur in several batches
        kept = (shared[:, several] > 0).any(axis=1)
        profiles, frame, shared = profiles[kept], frame[kept].reset_index(drop=True), shared[kept]
        batches, dropped, alike = batches[kept], int((~kept).sum()), same_compound(frame)

    def barred(query: Array) -> Array:
        result: Array = alike(query) | (batches[query] @ batches.T > 0)
        return result

    names = [f"{kind}.k{k}" for k in neighbours for kind in hits.KINDS] or ["nscb" if apart else "nsc"]
    if not len(frame):
        note = Note("no_labelled_treatments_in_batches" if apart else "no_labelled_treatments")
        return [absent(name, note, n_undefined=lost) for name in names]
    taken = asked(frame, queries=queries, seed=seed)
    owner = frame["compound"].to_numpy()
    near = nearest(
        wells.units(profiles),
        queries=taken,
        references=np.arange(len(frame)),
        k=listed(Groups.of(owner), max(neighbours, default=1), len(frame)),
        barred=barred,
    )
    right = near.valid & (np.einsum("ql,qkl->qk", shared[taken], shared[near.index]) > 0)
    pieces = np.array_split(taken, 1 + len(taken) // 500)
    matching = np.concatenate([((shared[one] @ shared.T > 0) & ~barred(one)).sum(axis=1) for one in pieces])
    if (near.allowed > 0).any() and not matching.any():
        return [absent(name, Note("no_shared_mechanism"), n_undefined=lost + len(taken)) for name in names]
    mine, without = (
        frame.iloc[taken].reset_index(drop=True),
        ListedLabels(near, taken, owner, shared, barred, seed=seed),
    )
    notes: tuple[Note, ...] = (Note("several_labels", {"labels": shared.shape[1]}),)
    notes += (Note("mechanism_in_one_batch", {"treatments": dropped}),) if dropped else ()
    notes += wells.sampling(len(taken), len(frame), "treatments")
    # NSC is hit@1.
    scores = hits.of_lists(right, near.allowed, matching, mine, without, neighbours=neighbours or (1,), lost=lost)
    found = scores if neighbours else [scores[0].named(names[0])]
    return [score.noted(*notes) if len(score.units) else score for score in found]


def aware(metric: Metric) -> Metric:
    """Return the metric whose function takes several labels per compound, for those of this module."""
    name = NAMES.get(metric.name)
    return replace(metric, compute=_either(metric.compute, name)) if name and metric.compute else metric


@cache
def _either(single: Compute, name: str) -> Compute:
    """Return the function that computes by `single` where each compound has one label, else by this module."""

    def compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
        if not needed(metadata, options.label, options.separator):
            return list(single(features, metadata, options, seed))
        return _several(name, features, metadata, options, seed)

    return compute


def _several(name: str, features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    given: dict[str, Any] = {"label": options.label, "separator": options.separator, "seed": seed}
    if name == "consistency":
        queries = wells.most_queries(len(metadata), options.pairs)
        given |= {"permutations": options.permutations, "null_size": options.null_size}
        score, null = consistency(features, metadata, **given, queries=queries)
        return [score, permuted(score, null)] if len(null) else [score]
    queries = wells.most_queries(len(set(wells.treatments(metadata))), options.pairs)
    near = options.hit_neighbours if name == "hit" else ()
    return nearest_labels(features, metadata, **given, neighbours=near, apart=name == "nscb", queries=queries)
