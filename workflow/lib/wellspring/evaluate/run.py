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
from wellspring.evaluate.batches import mixing
from wellspring.evaluate.crossfit import HALVES, crossfitted, crowded_plates, deal
from wellspring.evaluate.dose import dose
from wellspring.evaluate.grit import grit
from wellspring.evaluate.guards import confounding, position_features
from wellspring.evaluate.hits import hits
from wellspring.evaluate.levels import join, judged, split_role
from wellspring.evaluate.nearest import drop, nsc_permuted, nscb
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.purity import clisi, replicate_connectivity
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
    controls = [*of_controls(features, metadata, **given), *of_nuisance(features, metadata, **given)]
    return [*controls, *of_treated(features, metadata, **given), *of_position(metadata, **given)]


def of_controls(features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, seed: int) -> list[Score]:
    """Return the scores that hold treated wells against the negative controls of their own plate, activity first."""
    share = tuple(options["replicates_share"])
    drawn = {"null_size": int(options["null_size"]), "threshold": float(options["threshold"]), "seed": seed}
    found = activity(features, metadata, replicates_share=share, **drawn)
    return [found, grit(features, metadata, replicates_share=share)]


def of_nuisance(features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, seed: int) -> list[Score]:
    """Return the scores that hold wells of different plates against each other, negative controls among them."""
    near = {"neighbours": int(options["lisi_neighbours"]), "tested": int(options["kbet_neighbours"])}
    found = nuisance(features, metadata, neighbours=int(options["nuisance_neighbours"]))
    return found + mixing(features, metadata, queries=most_queries(len(metadata), options), seed=seed, **near)


def of_treated(
    features: np.ndarray, metadata: pd.DataFrame, *, options: Mapping, seed: int, permute: bool = True
) -> list[Score]:
    """Return the scores that read treated wells alone, in an order that depends on the options alone."""
    label, permutations = str(options["label"]), int(options["permutations"]) if permute else 0
    groups = {"null_size": int(options["replicating_null"]), "seed": seed}
    counts = len(metadata), len(set(wells.treatments(metadata)))
    some, few = ({"queries": most_queries(count, options), "seed": seed} for count in counts)
    return [
        replicating(features, metadata, replicates_share=tuple(options["replicates_share"]), **groups),
        *consistency(features, metadata, permutations=permutations, label=label, **some),
        matching(features, metadata, label=label, **groups),
        *nsc_permuted(features, metadata, permutations=permutations, label=label, **few),
        nscb(features, metadata, label=label, **few),
        *hits(features, metadata, label=label, neighbours=tuple(options["hit_neighbours"]), **few),
        *transfers(
            features,
            metadata,
            between=options["transfer_between"],
            label=options["transfer_labels"],
            labels=LABELS | {"mechanism": label},
            neighbours=tuple(options["neighbours"]),
            permutations=permutations,
            **some,
        ),
        clisi(features, metadata, label=label, neighbours=int(options["lisi_neighbours"]), **some),
        replicate_connectivity(features, metadata, neighbours=int(options["graph_neighbours"]), **some),
    ]


def most_queries(count: int, options: Mapping) -> int:
    """Return for how many of `count` wells or treatments neighbours are looked up: all, or what `pairs` leaves."""
    return max(QUERIES, int(options["pairs"]) // max(1, count))


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
    across: Sequence[pd.DataFrame] | None = None,
    treated: pd.DataFrame | None = None,
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
    across
        One frame or two for the scores that compare controls across plates (`of_nuisance`); default: as given.
    treated
        The frame for the scores that read treated wells alone (`of_treated`); default: `first`.
    position
        The scores of position alone (`of_position`), which are the same at all levels; default: of `first`.
    """
    frames = [frame for frame in (first, second) if frame is not None]
    given, treated = {"options": options, "seed": seed}, first if treated is None else treated
    merged = _merged([of_controls(*_in_order(frame), **given) for frame in frames])
    merged += _merged([of_nuisance(*_in_order(frame), **given) for frame in across or frames])
    merged += of_treated(*_in_order(treated), **given)
    merged += of_position(_in_order(treated)[1], **given) if position is None else position
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
        The published aligned profiles. What reads treated wells alone reads these; what reads controls of plates that
        fit reads profiles aligned by fits that did not see them (`wellspring.evaluate.crossfit`).
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
    published = published[published[wells.PLATE].isin(set(kept[wells.PLATE]))].reset_index(drop=True)
    every = dealt.by_halves()
    # Position is the same at all levels, and so are the scores of it.
    drawn["position"] = [of_position(frame, **drawn) for frame in (kept, apart)]
    parts = []
    for level, table in tables.items():
        both = split_role(table)
        frames = (judged(frame, halved=halved, seed=seed) for frame in both)
        across = (judged(both[0], halved=every.halved, seed=seed, recentre=False), both[1:])
        note = HALVES if dealt.halved else ""
        parts += _both(*frames, across=across, treated=both, level=level, note=note, **drawn)
    frames = across = (kept,)
    if len(kept):
        given = {"options": fit, "published": published, "seed": seed}
        frames, across = crossfitted(kept, dealt, **given), crossfitted(kept, every, recentre=False, **given)
    frames = (frames, judged(held, halved=halved, seed=seed, aligned=True))
    across, treated = (across, (held,)), (published, held)
    parts += _both(*frames, across=across, treated=treated, level="aligned", note=dealt.note, **drawn)
    items, summary = zip(*parts, strict=True)
    return pd.concat(items, ignore_index=True), pd.concat(summary, ignore_index=True)


def _both(
    kept: tuple[pd.DataFrame, ...],
    held: tuple[pd.DataFrame, ...],
    *,
    level: str,
    note: str,
    across: Sequence[Sequence[pd.DataFrame]],
    treated: Sequence[pd.DataFrame],
    position: Sequence[Sequence[Score]],
    **drawn: object,
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Return items and summary of the wells that are judged together, and of held-out plates, whose names end so."""
    notes, parts = (note, HALVES if len(held) > 1 else ""), []
    for place, (frames, suffix) in enumerate(((kept, ""), (held, ".heldout"))):
        if len(frames[0]):
            given = {"across": across[place], "treated": treated[place], "position": position[place]}
            parts.append(judge(*frames, level=level, note=notes[place], suffix=suffix, **given, **drawn))
    return parts


def _merged(parts: list[list[Score]]) -> list[Score]:
    """Return the scores of one fold, or of two merged."""
    return parts[0] if len(parts) == 1 else [merge(*pair) for pair in zip(*parts, strict=True)]


def _dose(frames: list[pd.DataFrame], *, options: Mapping, seed: int) -> list[tuple[Score, tuple[float, float]]]:
    """Return the dose scores; of two folds the mean of values and of interval ends."""
    drawn = {"minimum": int(options["dose_levels"]), "bootstrap": int(options["bootstrap"]), "seed": seed}
    found = [dose(*_in_order(frame), **drawn) for frame in frames]
    if len(found) == 1:
        return found[0]
    return [
        (merge(a, b), tuple(float(np.mean(ends)) for ends in zip(first, second, strict=True)))
        for (a, first), (b, second) in zip(*found, strict=True)
    ]


def _in_order(frame: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the features (n, d) and the table, by plate and well."""
    names = [name for name in frame.columns if not name.startswith("Metadata_")]
    return wells.in_order(frame[names].to_numpy(dtype=np.float64), frame)


def _items(score: Score, level: str) -> pd.DataFrame:
    items = filled(score.items)
    items.insert(0, "Metadata_Level", level)
    items.insert(0, "Metadata_Metric", score.metric)
    return items
