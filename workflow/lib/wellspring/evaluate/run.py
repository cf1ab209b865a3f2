"""All metrics at all levels: what the rule evaluate computes.

In flow profile tables (own or foreign), out flow the tables `items` and `summary`. Metrics: activity and
activity.retrieved, grit, replicating, consistency, matching, nsc, nscb, nsc.drop, hit.k<k>, precision.k<k>,
enrichment.k<k>, transfer.<group>.<label>.k<k> with .gap, clisi, connectivity, nuisance.*, mixing.*, dose.*; beside
them `<metric>.permuted` (labels dealt anew) and `<metric>.position_only` (row and column as the only features).
Held-out plates are judged apart: their metrics end in `.heldout`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.batches import clisi, mixing, replicate_connectivity
from wellspring.evaluate.crossfit import HALVES, crossfitted, crowded_plates, deal
from wellspring.evaluate.dose import dose
from wellspring.evaluate.grit import grit
from wellspring.evaluate.guards import confounding, position_features
from wellspring.evaluate.hits import hits
from wellspring.evaluate.levels import join, judged, split_role
from wellspring.evaluate.nearest import drop, nsc_permuted, nscb
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.replicates import matching, replicating
from wellspring.evaluate.retrieval import activity, consistency, retrieved
from wellspring.evaluate.score import Score, filled, merge, row
from wellspring.evaluate.transfer import LABELS, transfers

logger = logging.getLogger(__name__)

FAMILIES = ("transfer", "hit", "precision", "enrichment")
LAYOUT = ("activity", "activity.retrieved", "grit", "replicating", "consistency", "matching", "nsc", "nscb", "clisi")
LAYOUT += ("connectivity", *FAMILIES)
QUERIES = 1000  # at least, however large the screen: a share then has a standard error of .016 at most
AGAINST = ("activity", "activity.retrieved", "grit")


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
    given = {"options": options, "seed": seed}
    against = of_controls(features, metadata, **given)
    return [*against, *of_treated(features, metadata, **given), *of_position(metadata, **given)]


def of_controls(features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, seed: int) -> list[Score]:
    """Return the scores that read negative controls, activity first."""
    share = tuple(options["replicates_share"])
    drawn = {"null_size": int(options["null_size"]), "threshold": float(options["threshold"]), "seed": seed}
    found = [activity(features, metadata, replicates_share=share, **drawn)]
    found.append(grit(features, metadata, replicates_share=share))
    found += nuisance(features, metadata, neighbours=int(options["nuisance_neighbours"]))
    near = {"neighbours": int(options["lisi_neighbours"]), "tested": int(options["kbet_neighbours"])}
    return found + mixing(features, metadata, queries=most_queries(metadata, options), seed=seed, **near)


def of_treated(
    features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, seed: int, permute: bool = True
) -> list[Score]:
    """Return the scores that read treated wells alone, in an order that depends on the options alone."""
    label, queries = str(options["label"]), most_queries(metadata, options)
    permutations = int(options["permutations"]) if permute else 0
    groups = {"null_size": int(options["replicating_null"]), "seed": seed}
    dealt, some = {"label": label, "permutations": permutations, "seed": seed}, {"queries": queries, "seed": seed}
    return [
        replicating(features, metadata, replicates_share=tuple(options["replicates_share"]), **groups),
        *consistency(features, metadata, queries=queries, **dealt),
        matching(features, metadata, label=label, **groups),
        *nsc_permuted(features, metadata, **dealt),
        nscb(features, metadata, label=label),
        *hits(features, metadata, label=label, neighbours=tuple(options["hit_neighbours"])),
        *transfers(
            features,
            metadata,
            between=options["transfer_between"],
            label=options["transfer_labels"],
            labels=LABELS | {"mechanism": label},
            neighbours=tuple(options["neighbours"]),
            permutations=permutations,
            queries=queries,
            seed=seed,
        ),
        clisi(features, metadata, label=label, neighbours=int(options["lisi_neighbours"]), **some),
        replicate_connectivity(features, metadata, neighbours=int(options["graph_neighbours"]), **some),
    ]


def most_queries(metadata: pd.DataFrame, options: Mapping) -> int:
    """Return for how many wells of the table neighbours are looked up: all, or what the option `pairs` leaves."""
    return max(QUERIES, int(options["pairs"]) // max(1, len(metadata)))


def of_position(metadata: pd.DataFrame, *, options: Mapping, seed: int) -> list[Score]:
    """Return the scores of treated wells on their position alone, as `<metric>.position_only`, for one k each."""
    metadata = metadata[[name for name in metadata.columns if name.startswith("Metadata_")]]
    one = dict(options) | {name: options[name][:1] for name in ("neighbours", "hit_neighbours")}
    position = of_treated(position_features(metadata), metadata, options=one, seed=seed, permute=False)
    main = [score for score in position if not score.metric.endswith((".gap", ".drop"))]
    return [replace(score, metric=f"{score.metric}.position_only", items=score.items[:0]) for score in main]


def judge(
    first: pd.DataFrame,
    second: pd.DataFrame | None = None,
    *,
    level: str,
    options: Mapping,
    seed: int = 0,
    suffix: str = "",
    note: str = "",
    position: Sequence[Score] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return items and summary rows of one level: of `first` alone, or of both folds together.

    Parameters
    ----------
    first, second
        Profile tables that differ in their negative controls (`levels.judged`); nearly always one frame.
    level, suffix
        The level's name, and what is put after each metric's name.
    note
        Put on the rows that negative controls enter.
    position
        The scores of position alone (`of_position`), which are the same at all levels; default: of `first`.
    """
    frames = [frame for frame in (first, second) if frame is not None]
    given, tables = {"options": options, "seed": seed}, [wells.in_order(_matrix(frame), frame) for frame in frames]
    merged = _merged([of_controls(*table, **given) for table in tables])
    # Folds of a level that is not fitted anew differ in their controls alone: treated wells are judged once.
    different = tables[:1] if len(frames) == 2 and _same_treated(*frames) else tables
    merged += _merged([of_treated(*table, **given) for table in different])
    merged += of_position(tables[0][1], **given) if position is None else position
    share, threshold = tuple(options["replicates_share"]), float(options["threshold"])
    merged.insert(1, retrieved(merged[0], first, replicates_share=share, threshold=threshold))
    by_name = {score.metric: score for score in merged}
    merged.append(drop(by_name["nsc"], by_name["nscb"]))
    layout = confounding(first)
    items, rows = [], []
    for score in merged:
        family = score.metric.split(".")[0]
        base = family if family in FAMILIES else score.metric
        notes = (layout if base in LAYOUT else "", note if base in AGAINST else "")
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
    # Position is the same at all levels, and so are the scores of it.
    drawn["position"] = [of_position(frame, **drawn) for frame in (kept, apart)]
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
    position: Sequence[Sequence[Score]],
    **drawn: object,
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Return items and summary of the wells that are judged together, and of held-out plates, whose names end so."""
    parts = [judge(*kept, level=level, note=note, position=position[0], **drawn)] if len(kept[0]) else []
    if len(held[0]):
        note = HALVES if len(held) > 1 else ""
        parts.append(judge(*held, level=level, note=note, position=position[1], suffix=".heldout", **drawn))
    return parts


def _merged(parts: list[list[Score]]) -> list[Score]:
    """Return the scores of one fold, or of two merged."""
    return parts[0] if len(parts) == 1 else [merge(*pair) for pair in zip(*parts, strict=True)]


def _same_treated(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Return whether two frames are the same but for their negative controls."""
    rest = (frame[~wells.kind(frame, "negcon")].reset_index(drop=True) for frame in (first, second))
    return next(rest).equals(next(rest))


def _dose(frames: list[pd.DataFrame], *, options: Mapping, seed: int) -> list[tuple[Score, tuple[float, float]]]:
    """Return the dose scores; of two folds the mean of values and of interval ends."""
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
