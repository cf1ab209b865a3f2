"""Evaluate profiles: every metric of `METRICS` on every population, as the tables `items` and `summary`.

Beside a score stand its baselines: `<score>.permuted` (mechanisms permuted over compounds) and `<score>.position_only`
(row and column of the well as the only features). The names of scores of held-out plates end in `.heldout`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from wellspring.evaluate import chance_levels, wells
from wellspring.evaluate.chance_levels import Judged
from wellspring.evaluate.guards import confounding, position_features
from wellspring.evaluate.metric import PERMUTED, POSITION_ONLY, Compute, Metric, Reads
from wellspring.evaluate.metrics import METRICS, chosen, metric_of
from wellspring.evaluate.populations import HELD_OUT, Population, populations
from wellspring.evaluate.score import Score, filled, merge, row
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.heldout import held_out
from wellspring.screen.sections import Evaluate, Fit

READS: tuple[Reads, ...] = ("controls", "adjusted", "across", "treated", "dose")


def evaluate(
    aggregated: Sequence[pd.DataFrame],
    normalised: Sequence[pd.DataFrame],
    aligned: pd.DataFrame,
    *,
    options: Evaluate,
    fit: Fit,
    seed: int = 0,
    heldout: Sequence[int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `items` and `summary` of all levels.

    Parameters
    ----------
    aggregated, normalised
        One table per plate, of the plates that are kept.
    aligned
        The published aligned profiles, joined.
    options, fit
        Config sections `evaluate` and `fit`.
    seed
        Of permutations, draws and resamples.
    heldout
        Number of folds and the fold of compounds that gave no labels to training: treatments of others are left out of
        all scores (`wellspring.screen.heldout`). None judges all.

    Raises
    ------
    ValueError
        `options.metrics` has an unknown name.
    """
    metrics = chosen(options.metrics)
    if not aggregated or not normalised:
        none = Score("activity", notes=(Note("no_plate_kept"),))
        return _items(none, "").iloc[:0], pd.DataFrame([row(none, level="aligned")])
    note: tuple[Note, ...] = ()
    if heldout is not None:
        note = (_labels_note(normalised, heldout),)
        aggregated = [_unlabelled(frame, heldout) for frame in aggregated]
        normalised = [_unlabelled(frame, heldout) for frame in normalised]
        aligned = _unlabelled(aligned, heldout)
    found, of_places = [], dict[str, list[Score]]()
    judged = populations(aggregated, normalised, aligned, options=options, fit=fit, seed=seed)
    del aggregated, normalised, aligned  # held by `populations` alone, level by level
    for population in judged:
        if population.suffix not in of_places:
            # Positions do not change with the level, and neither do the scores of the position alone.
            of_places[population.suffix] = of_position(population.treated, metrics=metrics, options=options, seed=seed)
        known = of_places[population.suffix]
        scored = scores(population, metrics=metrics, options=options, seed=seed, position=known)
        found.append((population.emptied(), [score.noted(*note) for score in scored]))
    return tabulate(found)


def _unlabelled(frame: pd.DataFrame, heldout: Sequence[int]) -> pd.DataFrame:
    """Return the wells without those of treatments whose labels training may have read."""
    folds, fold = heldout
    control = (frame["Metadata_pert_type"] != "trt").to_numpy()
    return frame[control | held_out(frame["Metadata_Compound"], folds=folds, fold=fold)].reset_index(drop=True)


def _labels_note(frames: Sequence[pd.DataFrame], heldout: Sequence[int]) -> Note:
    treated = [frame.loc[frame["Metadata_pert_type"] == "trt", "Metadata_Compound"] for frame in frames]
    names = pd.concat(treated).dropna().unique()
    judged = int(held_out(names, folds=heldout[0], fold=heldout[1]).sum())
    return Note("labels_held_out", {"judged": judged, "total": len(names)})


def judge(
    population: Population, *, options: Evaluate, seed: int = 0, max_missing: float = 0.05
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `items` and `summary` of one population.

    Only Metadata_Plate, Metadata_Well, Metadata_pert_type and Metadata_Compound are required. A metric that needs
    another column has the value NaN and a note where the column is missing. Gaps are closed first, by the rules of
    `wellspring.evaluate.gaps`.
    """
    population = population.closed(max_missing=max_missing)
    found = scores(population, metrics=chosen(options.metrics), options=options, seed=seed)
    return tabulate([(population, found)])


def scores(
    population: Population,
    *,
    options: Evaluate,
    metrics: Sequence[Metric] = METRICS,
    seed: int = 0,
    position: Sequence[Score] | None = None,
) -> list[Score]:
    """Return the scores of a population, under their names, with notes on layout and cross-fitting.

    `position` has the scores of the position alone (`of_position`) where they are already known.
    """
    if position is None:
        position = of_position(population.treated, metrics=metrics, options=options, seed=seed)
    layout, found = confounding(population.controls[0]), list[Score]()
    for reads in READS:
        for score in _of_kind(population, reads, metrics=metrics, options=options, seed=seed):
            plain = metric_of(score.metric).layout and not score.metric.endswith((PERMUTED, ".gap"))
            notes = (
                *(layout if plain else ()),
                *(population.notes if reads in ("controls", "adjusted") else ()),
                *population.gaps,
            )
            found.append(score.noted(*notes) if np.isfinite(score.value) else score.noted(*population.gaps))
        if reads == "treated":
            found += position
    return [score.named(score.metric + population.suffix) for score in found]


def of_position(
    metadata: pd.DataFrame, *, options: Evaluate, metrics: Sequence[Metric] = METRICS, seed: int = 0
) -> list[Score]:
    """Return the scores of the position alone as `<score>.position_only`, for the first k of each metric."""
    metadata = metadata[[name for name in metadata.columns if name.startswith("Metadata_")]]
    _, metadata = wells.in_order(np.zeros((len(metadata), 0)), metadata)
    one = replace(options, neighbours=options.neighbours[:1], hit_neighbours=options.hit_neighbours[:1])
    one = replace(one, permutations=0, pairs=options.pairs // 4)  # a plate has few positions: fewer queries suffice
    mine = [metric for metric in metrics if metric.position_only]
    found = _computed(mine, position_features(metadata), metadata, options=one, seed=seed)
    by_name: Mapping[str, Score] = {score.metric: score for score in found}
    found += [metric.derive(by_name, metadata, one) for metric in mine if metric.derive is not None]
    return [
        replace(score, metric=f"{score.metric}{POSITION_ONLY}", items=score.items[:0])
        for score in found
        if not score.metric.endswith(".gap")
    ]


def tabulate(found: Sequence[tuple[Population, Sequence[Score]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `items` and `summary` of the scores of populations.

    What has no value at any level has one row in `summary`, at the last level: its notes are those of all scores.
    """
    absent = _absent(found)
    items, rows, shown = [_items(Score(""), "").iloc[:0]], list[dict[str, object]](), set[str]()
    for population, scored in found:
        for score in scored:
            metric, tested = metric_of(score.metric), _tested(population, score)
            if len(score.items):
                items.append(_items(score, population.level))
            if tested in absent:
                last, score = absent[tested]
                if last != population.level or score.metric in shown:
                    continue
                shown.add(score.metric)
            level = "mechanisms permuted over compounds" if PERMUTED in score.metric else metric.chance
            rows.append(row(score, level=population.level, chance=level))
    return pd.concat(items if len(items) == 1 else items[1:], ignore_index=True), pd.DataFrame(rows)


def _absent(found: Sequence[tuple[Population, Sequence[Score]]]) -> dict[str, tuple[str, Score]]:
    """Return what has no value at any level, by what is tested: its last level, and one score in place of all.

    Held-out plates share the row of the others where neither has a value.
    """
    groups = dict[str, list[tuple[Population, Score]]]()
    for population, scored in found:
        for score in scored:
            groups.setdefault(_tested(population, score), []).append((population, score))
    absent = dict[str, tuple[str, Score]]()
    for tested, group in groups.items():
        main = [score for _, score in group if not {PERMUTED[1:], POSITION_ONLY[1:]} & set(score.metric.split("."))]
        if not any(np.isfinite(score.value) for score in main):
            notes = [note for score in main for note in score.notes]
            lost = max((score.n_undefined for score in main), default=0)
            absent[tested] = group[-1][0].level, Score(tested, n_undefined=lost).noted(*notes)
    for tested in [name for name in absent if name.endswith(HELD_OUT) and name.removesuffix(HELD_OUT) in absent]:
        absent[tested] = absent[tested.removesuffix(HELD_OUT)]
    return absent


def _tested(population: Population, score: Score) -> str:
    """Return what a score tests, such as `transfer.batch.mechanism`, with the suffix of the population."""
    name = score.metric.removesuffix(population.suffix)
    return metric_of(name).tested(name) + population.suffix


def _of_kind(
    population: Population, reads: Reads, *, metrics: Sequence[Metric], options: Evaluate, seed: int
) -> list[Score]:
    """Return the scores of the metrics that read the same kind of table; of two tables the merged scores."""
    mine = [metric for metric in metrics if metric.reads == reads]
    if not mine:
        return []
    frames = population.frames(reads)
    options = replace(options, pairs=options.pairs // len(frames))  # two halves compare as many pairs as one table
    first, *second = (_computed(mine, *wells.split(frame), options=options, seed=seed) for frame in frames)
    judged = Judged(frames, population, options, seed)
    levels = [metric.level for metric in mine if metric.level is not None]
    first, *second = chance_levels.stated([first, *second], judged, levels=levels)
    scored = [merge(*pair) for pair in zip(first, *second, strict=True)] if second else list(first)
    for metric in mine:
        if metric.derive is not None:
            by_name: Mapping[str, Score] = {score.metric: score for score in scored}
            place = 1 + max(place for place, score in enumerate(scored) if score.metric in metric.needs)
            scored.insert(place, metric.derive(by_name, population.controls[0], options))
    return scored


def _computed(
    metrics: Sequence[Metric], features: Array, metadata: pd.DataFrame, *, options: Evaluate, seed: int
) -> list[Score]:
    """Return the scores of the metrics that are computed; a function that several metrics share runs once."""
    names = {metric.name for metric in metrics}
    functions: dict[Compute, None] = dict.fromkeys(metric.compute for metric in metrics if metric.compute is not None)
    scored = (score for function in functions for score in function(features, metadata, options, seed))
    return [score for score in scored if metric_of(score.metric).name in names]


def _items(score: Score, level: str) -> pd.DataFrame:
    items = filled(score.items)
    items.insert(0, "Metadata_Level", level)
    items.insert(0, "Metadata_Metric", score.metric)
    return items
