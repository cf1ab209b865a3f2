"""All metrics at all levels: what the rule evaluate computes.

In flow profile tables (own or foreign), out flow the tables `items` and `summary`. Metrics: activity and
activity.retrieved, consistency, nsc, nscb, nsc.drop, transfer.<group>.<label>.k<k> with .gap, nuisance.*, dose.*;
beside them `<metric>.permuted` (labels dealt anew) and `<metric>.position_only` (row and column as the only features).
Held-out plates are judged apart: their metrics end in `.heldout`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.crossfit import HALVES, crossfitted, crowded_plates, deal
from wellspring.evaluate.dose import dose
from wellspring.evaluate.guards import confounding, position_features
from wellspring.evaluate.levels import join, judged, split_role
from wellspring.evaluate.nearest import drop, nsc, nscb, permuted_nsc
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.retrieval import activity, consistency, retrieved
from wellspring.evaluate.score import Score, filled, merge, row
from wellspring.evaluate.transfer import LABELS, transfer

logger = logging.getLogger(__name__)

LAYOUT = ("activity", "activity.retrieved", "consistency", "nsc", "nscb", "transfer")


def scores(features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, seed: int = 0) -> list[Score]:
    """Return every metric but dose on one set of well profiles.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows. Metadata_Plate, Metadata_Well, Metadata_pert_type and Metadata_Compound; the others where
        there are: a metric that lacks what it needs is there with value NaN and a note.
    options
        The config section `evaluate`.
    """
    features, metadata = wells.in_order(np.asarray(features), metadata)
    share, permutations = tuple(options["replicates_share"]), int(options["permutations"])
    drawn = {"null_size": int(options["null_size"]), "threshold": float(options["threshold"]), "seed": seed}
    found = [activity(features, metadata, replicates_share=share, **drawn)]
    found += _labelled(features, metadata, options=options, permutations=permutations, seed=seed)
    found += nuisance(features, metadata, neighbours=int(options["nuisance_neighbours"]))
    nearest = dict(options) | {"neighbours": options["neighbours"][:1]}
    position = _labelled(position_features(metadata), metadata, options=nearest, permutations=0, seed=seed)
    main = [score for score in position if not score.metric.endswith((".gap", ".drop"))]
    return found + [replace(score, metric=f"{score.metric}.position_only", items=score.items[:0]) for score in main]


def judge(
    first: pd.DataFrame,
    second: pd.DataFrame | None = None,
    *,
    level: str,
    options: Mapping,
    seed: int = 0,
    suffix: str = "",
    note: str = "",
):
    """Return items and summary rows of one level: of `first` alone, or of both frames together.

    Parameters
    ----------
    first, second
        Profile tables that differ in their negative controls (`levels.judged`); nearly always one frame.
    level, suffix
        The level's name, and what is put after each metric's name.
    note
        Put on the rows that negative controls enter.
    """
    frames = [frame for frame in (first, second) if frame is not None]
    parts = [scores(_matrix(frame), frame, options=options, seed=seed) for frame in frames]
    again = {score.metric: score for part in parts[1:] for score in part}
    merged = [merge(score, again[score.metric]) if score.metric in again else score for score in parts[0]]
    share, threshold = tuple(options["replicates_share"]), float(options["threshold"])
    merged.insert(1, retrieved(merged[0], first, replicates_share=share, threshold=threshold))
    by_name = {score.metric: score for score in merged}
    merged.append(drop(by_name["nsc"], by_name["nscb"]))
    layout = confounding(first)
    items, rows = [], []
    for score in merged:
        base = score.metric.split(".")[0] if score.metric.startswith("transfer") else score.metric
        notes = (layout if base in LAYOUT else "", note if base in ("activity", "activity.retrieved") else "")
        score = score.noted(*notes).named(score.metric + suffix)
        items.append(_items(score, level))
        rows.append(row(score, level=level, bootstrap=int(options["bootstrap"]), seed=seed))
        if score.metric.removesuffix(suffix).endswith(".permuted") and len(score.units):
            rows[-1]["low"], rows[-1]["high"] = np.percentile(score.units["value"], [2.5, 97.5])
    for score, (low, high) in _dose(frames, options=options, seed=seed):
        score = score.named(score.metric + suffix)
        items.append(_items(score, level))
        rows.append(row(score, level=level, bootstrap=0, seed=seed) | {"low": low, "high": high})
    kept = [frame for frame in items if len(frame)] or items[:1]
    return pd.concat(kept, ignore_index=True), pd.DataFrame(rows)


def evaluate(
    aggregated: Sequence[pd.DataFrame],
    normalised: Sequence[pd.DataFrame],
    aligned: pd.DataFrame,
    *,
    options: Mapping,
    fit: Mapping,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables items and summary of all levels.

    Parameters
    ----------
    aggregated, normalised
        One table a plate, of the plates that are kept.
    aligned
        The published aligned profiles. They are judged where their plate did not fit; the others are aligned anew by
        fits that did not see them (`wellspring.evaluate.crossfit`).
    options, fit
        Config sections `evaluate` and `fit`.
    """
    if not aggregated or not normalised:
        return _items(Score(""), "").iloc[:0], pd.DataFrame(
            [row(Score("activity", note="no plate is kept"), level="aligned", bootstrap=0, seed=seed)]
        )
    tables = {"aggregated": join(aggregated), "normalised": join(normalised)}
    share, drawn = tuple(options["replicates_share"]), {"options": options, "seed": seed}
    kept, apart = split_role(tables["normalised"])
    published, held = split_role(join([aligned])) if len(aligned) else (aligned, aligned)
    dealt = deal(kept, options=fit, folds=int(options["folds"]), replicates_share=share)
    halved = dealt.halved | crowded_plates(apart, replicates_share=share)
    parts = []
    for level, table in tables.items():
        both = (judged(frame, halved=halved, seed=seed) for frame in split_role(table))
        parts += _both(*both, level=level, note=HALVES if dealt.halved else "", **drawn)
    frames = crossfitted(kept, dealt, options=fit, published=published, seed=seed) if len(kept) else (kept,)
    held = judged(held, halved=halved, seed=seed, aligned=True)
    parts += _both(frames, held, level="aligned", note=dealt.note, **drawn)
    items, summary = zip(*parts, strict=True)
    return pd.concat(items, ignore_index=True), pd.concat(summary, ignore_index=True)


def _both(
    kept: tuple[pd.DataFrame, ...],
    held: tuple[pd.DataFrame, ...],
    *,
    level: str,
    note: str,
    options: Mapping,
    seed: int,
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Return items and summary of the wells that are judged together, and of held-out plates, whose names end so."""
    parts = [judge(*kept, level=level, options=options, seed=seed, note=note)] if len(kept[0]) else []
    if len(held[0]):
        note = HALVES if len(held) > 1 else ""
        parts.append(judge(*held, level=level, options=options, seed=seed, note=note, suffix=".heldout"))
    return parts


def _labelled(
    features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, permutations: int, seed: int
) -> list[Score]:
    """Return the scores that read labels, in an order that depends on the options alone."""
    label, found = str(options["label"]), []
    labels = LABELS | {"mechanism": label}
    for part in (
        consistency(features, metadata, label=label, permutations=permutations, seed=seed),
        [
            nsc(features, metadata, label=label),
            *permuted_nsc(features, metadata, label=label, permutations=permutations, seed=seed),
        ],
        [nscb(features, metadata, label=label)],
    ):
        found += part
    for between in options["transfer_between"]:
        for name in options["transfer_labels"]:
            found += transfer(
                features,
                metadata,
                between=between,
                label=name,
                labels=labels,
                permutations=permutations,
                seed=seed,
                neighbours=tuple(options["neighbours"]),
            )
    return found


def _dose(frames: list[pd.DataFrame], *, options: Mapping, seed: int) -> list[tuple[Score, tuple[float, float]]]:
    """Return the dose scores; of two frames the mean of values and of interval ends."""
    drawn = {"minimum": int(options["dose_levels"]), "bootstrap": int(options["bootstrap"]), "seed": seed}
    found = [dose(*wells.in_order(_matrix(frame), frame), **drawn) for frame in frames]
    if len(found) == 1:
        return found[0]
    return [
        (merge(a, b), tuple(float(np.mean(ends)) for ends in zip(first, second, strict=True)))
        for (a, first), (b, second) in zip(*found, strict=True)
    ]


def _matrix(frame: pd.DataFrame) -> np.ndarray:
    return frame[[name for name in frame.columns if not name.startswith("Metadata_")]].to_numpy(dtype=np.float64)


def _items(score: Score, level: str) -> pd.DataFrame:
    items = filled(score.items)
    items.insert(0, "Metadata_Level", level)
    items.insert(0, "Metadata_Metric", score.metric)
    return items
