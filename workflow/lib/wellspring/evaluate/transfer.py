"""Transfer between cell lines or batches: is a label read in one group with references from another.

In flow well profiles, out flow scores. A[s, t] is the accuracy of k-nearest-neighbour (cosine) reading of the wells of
group t with references from group s; where s = t the references are those on other plates. Reading mechanisms, wells of
the same compound are barred as references; reading compounds (as CPJUMP1 does) they are what is looked for. The
score is the mean over pairs s ≠ t, the gap is the mean of the diagonal minus that.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.nearest import permuted, permuted_labels
from wellspring.evaluate.score import Score, absent

LABELS = {"mechanism": wells.MOA, "compound": "Metadata_Compound"}
ROWS_AT_ONCE = 4_000_000


def transfer(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    between: str = wells.LINE,
    label: str = "mechanism",
    neighbours: tuple[int, ...] = (1, 5),
    labels: dict[str, str] | None = None,
    permutations: int = 0,
    seed: int = 0,
) -> list[Score]:
    """Return, for each k, the transfer score and its gap; items are the pairs `s->t` with s the references.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows; wells of type `trt` with a label and a group take part.
    between
        Column of the groups; the metric's name is `transfer.<its name in lower case>.<label>.k<k>`.
    label
        `mechanism` or `compound`, a key of `labels` (default `Metadata_moa`, `Metadata_Compound`).
    neighbours
        Values of k; with fewer references than k all of them vote. A tie of votes goes to the label of the nearest.
    permutations, seed
        Deals of the mechanisms over whole compounds for the score `<metric>.permuted`, made where k = 1 is asked for.
    """
    stem = f"transfer.{between.removeprefix('Metadata_').lower()}.{label}"
    target, group = wells.column(metadata, (labels or LABELS)[label]), wells.column(metadata, between)
    compound, plate = wells.column(metadata, "Metadata_Compound"), wells.column(metadata, wells.PLATE)
    named = wells.kind(metadata, "trt") & np.array(
        [all(v is not None for v in values) for values in zip(target, group, compound, strict=True)], dtype=bool
    )
    keep = named & wells.defined(features, metadata)
    lost, groups = int(named.sum() - keep.sum()), sorted({str(name) for name in group[keep]})
    if len(groups) < 2 or len(set(target[keep])) < 2:
        what = between.removeprefix("Metadata_").replace("_", " ").lower()
        found = f"{len(groups)} {what} and {len(set(target[keep]))} of the labels"
        return [absent(f"{stem}.k{k}", f"needs two of each, found {found}", n_undefined=lost) for k in neighbours]
    rows = wells.units(features)[keep]
    target, group, compound, plate = (values[keep].astype(str) for values in (target, group, compound, plate))
    found = {k: [] for k in neighbours}
    for source in groups:
        reference = np.flatnonzero(group == source)
        for query_group in groups:
            query = np.flatnonzero(group == query_group)
            open_ = np.ones((len(query), len(reference)), dtype=bool)
            if label == "mechanism":
                open_ &= compound[query, None] != compound[None, reference]
            if source == query_group:
                open_ &= plate[query, None] != plate[None, reference]
            partners = (open_ & (target[query, None] == target[None, reference])).sum(axis=1)
            predicted, chance, nearest = vote(
                rows[query], rows[reference], target[reference], target[query], open_, neighbours
            )
            for k, names in predicted.items():
                right = np.where([name is None for name in names], np.nan, names == target[query])
                pair = f"{source}->{query_group}"
                frame = pd.DataFrame(
                    {"stratum": pair, "cluster": compound[query], "value": right.astype(float), "chance": chance}
                )
                places = {
                    "diagonal": source == query_group,
                    "query": query,
                    "nearest": reference[nearest],
                    "partners": partners,
                }
                found[k].append(frame.assign(**places))
    tables = {k: pd.concat(frames, ignore_index=True) for k, frames in found.items()}
    scores = [score for k, table in tables.items() for score in _scores(f"{stem}.k{k}", table, lost, k)]
    if label == "mechanism" and 1 in tables and permutations and len(scores[0].units):
        rng = np.random.default_rng(seed)
        deals = [permuted_labels(compound, target, rng) for _ in range(permutations)]
        main = next(score for score in scores if score.metric == f"{stem}.k1")
        scores.append(permuted(main, _dealt(tables[1], deals)))
    return scores


def vote(
    query: np.ndarray,
    reference: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    allowed: np.ndarray,
    neighbours: tuple[int, ...],
) -> tuple[dict[int, np.ndarray], np.ndarray, np.ndarray]:
    """Return each query's predicted label for each k (None without references), its chance, its nearest reference.

    Parameters
    ----------
    query, reference
        Unit rows (q, d) and (r, d).
    labels, truth
        Of the references (r,) and of the queries (q,); chance is the share of allowed references with the true one.
    allowed
        (q, r) which references may be used.
    """
    names, code = np.unique(labels, return_inverse=True)
    predicted = {k: np.full(len(query), None, dtype=object) for k in neighbours}
    chance, nearest = np.full(len(query), np.nan), np.zeros(len(query), dtype=int)
    step = max(1, ROWS_AT_ONCE // max(1, len(reference)))
    for start in range(0, len(query), step):
        block = slice(start, start + step)
        similarity = np.where(allowed[block], wells.cosine(query[block], reference), -np.inf)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, : max(neighbours)]
        valid = np.take_along_axis(allowed[block], order, axis=1)
        count = allowed[block].sum(axis=1)
        same = (allowed[block] & (labels[None, :] == truth[block, None])).sum(axis=1)
        chance[block] = np.where(count > 0, same / np.maximum(count, 1), np.nan)
        index, nearest[block] = np.arange(len(order)), order[:, 0]
        for k in neighbours:
            votes = np.zeros((len(order), len(names)))
            for place in range(min(k, order.shape[1])):
                np.add.at(votes, (index, code[order[:, place]]), valid[:, place])
            decided = _decide(votes, code, order, valid, min(k, order.shape[1]))
            predicted[k][block] = np.where(count > 0, names[decided], None)
    return predicted, chance, nearest


def _decide(votes: np.ndarray, code: np.ndarray, order: np.ndarray, valid: np.ndarray, k: int) -> np.ndarray:
    """Return the label with most votes; among labels with as many, that of the nearest reference."""
    best = votes.max(axis=1)
    decided = code[order[:, 0]].copy()
    open_ = np.ones(len(votes), dtype=bool)
    for place in range(k):
        candidate = code[order[:, place]]
        wins = open_ & valid[:, place] & (votes[np.arange(len(votes)), candidate] == best)
        decided[wins] = candidate[wins]
        open_ &= ~wins
    return decided


def _dealt(table: pd.DataFrame, deals: list[np.ndarray]) -> np.ndarray:
    """Return the 1-nearest-neighbour score under each dealt labelling of the wells."""
    off = table[~table["diagonal"] & np.isfinite(table["value"])]
    pair, names = pd.factorize(off["stratum"])
    query, nearest = off["query"].to_numpy(), off["nearest"].to_numpy()
    count = np.bincount(pair, minlength=len(names))
    return np.array([(np.bincount(pair, weights=dealt[query] == dealt[nearest]) / count).mean() for dealt in deals])


def _scores(metric: str, frame: pd.DataFrame, lost: int, k: int) -> list[Score]:
    by = frame.groupby("stratum", sort=True)
    items = by.agg(value=("value", "mean"), n=("value", "count"), size=("value", "size")).reset_index()
    items["n_undefined"] = items["size"] - items["n"]
    items = items.rename(columns={"stratum": "Metadata_Item"})
    scored = frame[np.isfinite(frame["value"])]
    off, on = scored[~scored["diagonal"]], scored[scored["diagonal"]]
    if not len(off):
        return [
            Score(
                metric, items=items, n_undefined=lost + len(frame), note="no well has a reference of another compound"
            )
        ]
    main = Score(
        metric,
        items=items,
        units=off[["stratum", "cluster", "value"]],
        chance=float(off.groupby("stratum")["chance"].mean().mean()),
        guard="frequency of the label among the references allowed",
        n=len(off),
        proportion=True,
        n_undefined=lost + int((~frame["diagonal"] & ~np.isfinite(frame["value"])).sum()),
    )
    few = int((scored["partners"] < (k + 1) // 2).sum())
    weak = f"{few} of {len(scored)} queries have too few references of their label to win {k} votes" if few else ""
    main = main.noted(weak)
    if not len(on):
        return [main, absent(f"{metric}.gap", "no group has two plates: the diagonal is undefined")]
    diagonal, others = sorted(set(on["stratum"])), sorted(set(off["stratum"]))
    weights = {name: 1 / len(diagonal) for name in diagonal} | {name: -1 / len(others) for name in others}
    gap = Score(
        f"{metric}.gap",
        units=scored[["stratum", "cluster", "value"]],
        weights=weights,
        n=len(scored),
        chance=0.0,
        guard="no difference",
        n_undefined=lost,
        note="mean of the diagonal (references on other plates) minus the mean off it",
    )
    return [main, gap.noted(weak)]
