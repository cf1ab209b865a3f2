"""Mixing of batches and plates, after scIB (Luecken et al. 2022).

Scores: `mixing.<kbet | ilisi | silhouette>.<batch | plate>.<controls | wells>`. Neighbours are the nearest by cosine
among wells of the same cell line, so that lines do not count as batches; their distance is the chord |x - y| between
unit rows. Chance is the same score of the same neighbourhoods after labels were permuted, because the score of full
mixing depends on the numbers of wells and labels; of plates that were centred on their controls, see
`wellspring.evaluate.mixing_chance`.

The controls are one treatment, so that batches whose controls differ have a batch effect. Over all wells, batches also
differ where they hold different compounds.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.mixing_plates import without_plates
from wellspring.evaluate.neighbourhood_formulas import (
    LEAST,
    ROUNDS,
    SHARE,
    by_label,
    chord,
    dealt_silhouettes,
    kbet,
    kernel,
    mixture,
    too_few,
)
from wellspring.evaluate.neighbours import itself, nearest
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

TARGETS = {"batch": wells.BATCH, "plate": wells.PLATE}
Part = tuple[pd.DataFrame, Array]  # values of the wells of a cell line, and those after permutations (rounds, n)
ALPHA = 0.05  # of kBET's test (Büttner et al. 2019)


def mixing(
    features: Array,
    metadata: pd.DataFrame,
    *,
    neighbours: int = 90,
    tested: int = 50,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return kBET's acceptance rate, scaled iLISI and batch silhouette, of batch and plate, of controls and all wells.

    All lie between 0 and 1; 1 is full mixing. kBET: the share of wells whose neighbourhood passes the test at 0.05.
    iLISI: (median LISI - 1) / (labels - 1). Silhouette: the mean, over sets of replicates in a line (the controls are
    one set), of the mean of 1 - |s|.

    Parameters
    ----------
    neighbours, tested
        Number of wells of a neighbourhood for LISI, and for kBET (including the well itself); at most a quarter of the
        wells of the line. With fewer than 10, the wells of the line are undefined.
    queries
        Largest number of wells whose neighbourhoods are used, drawn evenly over replicates; None: all.
    """
    found, line = [], wells.lines(metadata)
    for scope, names, keep, lost in scopes(features, metadata):
        part, rows, place = metadata.iloc[keep].reset_index(drop=True), wells.units(features[keep]), line[keep]
        given: dict[str, Any] = {"seed": seed, "lost": lost, "scope": scope, "neighbours": neighbours, "tested": tested}
        scores = of_wells(rows, part, names, pd.factorize(place)[0], queries=queries, **given)

        def again(kept: Array, at_most: int, of: tuple[Any, ...] = (rows, part, names, place, given)) -> list[Score]:
            vectors, table, treatment, lines, options = of
            mine = table.iloc[kept].reset_index(drop=True), treatment[kept], pd.factorize(lines[kept])[0]
            return of_wells(vectors[kept], *mine, queries=at_most, rounds=1, **options)

        found += without_plates(scores, wells.column(part, wells.PLATE).astype(str), again)
    return found


def scopes(features: Array, metadata: pd.DataFrame) -> Iterator[tuple[str, Array, Array, int]]:
    """Yield each scope, names of the replicates and places of its wells, and how many others it has."""
    usable, control = wells.directed(features, metadata), wells.kind(metadata, "negcon")
    names = wells.perturbations(metadata).astype(str)
    names[control] = "control"
    for scope, member in (("controls", control), ("wells", ~wells.kind(metadata, "empty"))):
        keep = np.flatnonzero(member & usable)
        yield scope, names[keep], keep, int(member.sum() - len(keep))


def of_wells(rows: Array, metadata: pd.DataFrame, names: Array, place: Array, **given: Any) -> list[Score]:
    """Return all scores of one set of wells."""
    local = _local(rows, metadata, names, place, **given)
    return local + _silhouette(
        rows, metadata, names, place, **{name: given[name] for name in given if name not in ("neighbours", "tested")}
    )


def _local(
    rows: Array,
    metadata: pd.DataFrame,
    names: Array,
    place: Array,
    *,
    neighbours: int,
    tested: int,
    queries: int | None,
    seed: int,
    lost: int,
    scope: str,
    rounds: int = ROUNDS,
) -> list[Score]:
    """Return kBET and iLISI of one set of wells; `place` are the codes of their cell lines."""
    taken = np.arange(len(rows)) if queries is None else wells.drawn(names, at_most=queries, seed=seed)
    notes, largest = wells.sampling(len(taken), len(rows)), int(np.bincount(place).max()) if len(place) else 0
    metrics = [(kind, target) for kind in ("kbet", "ilisi") for target in TARGETS]
    parts: dict[tuple[str, str], list[Part]] = {key: [] for key in metrics}
    for number in range(int(place.max(initial=-1)) + 1):
        here, mine = np.flatnonzero(place == number), taken[place[taken] == number]
        reach = len(here) // SHARE
        if reach < LEAST or not len(mine):
            continue
        near = nearest(
            rows,
            queries=mine,
            references=here,
            k=min(max(neighbours, tested), reach),
            barred=itself(here),
        )
        k, size = min(neighbours, reach), min(tested, reach)
        weights = kernel(chord(near.similarity[:, :k]), k // 3)
        tested_wells = np.column_stack([mine, near.index[:, : size - 1]])
        for target, column in TARGETS.items():
            truth = wells.column(metadata, column).astype(str)
            code = np.full(len(rows), -1)
            labels, code[here] = np.unique(truth[here], return_inverse=True)
            if len(labels) < 2:
                continue
            share = np.bincount(code[here]) / len(here)
            readers = {
                "kbet": partial(_accepted, neighbours=tested_wells, expected=share),
                "ilisi": partial(mixture, neighbours=near.index[:, :k], weights=weights, count=len(labels)),
            }
            for kind, read in readers.items():
                rng, dealt, chances = np.random.default_rng(seed), code.copy(), []
                for _ in range(rounds):
                    dealt[here] = rng.permutation(code[here])
                    chances.append(read(dealt))
                frame = pd.DataFrame({"row": mine, "value": read(code), "label": truth[mine]})
                parts[kind, target].append((frame, np.array(chances)))
    cluster = wells.column(metadata, wells.PLATE).astype(str)
    return [
        _mixed(f"mixing.{kind}.{target}.{scope}", parts[kind, target], cluster, len(taken), largest, lost, notes, kind)
        for kind, target in metrics
    ]


def _accepted(labels: Array, *, neighbours: Array, expected: Array) -> Array:
    """Return 1.0 for each neighbourhood (n,) that kBET accepts, else 0.0."""
    return (kbet(neighbours, labels, expected) >= ALPHA).astype(float)


def _mixed(
    metric: str,
    parts: list[Part],
    cluster: Array,
    total: int,
    largest: int,
    lost: int,
    notes: tuple[Note, ...],
    kind: str,
) -> Score:
    if not parts:
        small = largest // SHARE < LEAST
        note = too_few("too_few_wells_of_a_cell_line", largest) if small else Note("single_label_per_cell_line")
        return absent(metric, note, n_undefined=lost + total)
    frame = pd.concat([part for part, _ in parts], ignore_index=True)
    dealt = np.concatenate([chances for _, chances in parts], axis=1)
    centre = np.median if kind == "ilisi" else np.mean
    return Score(
        metric,
        items=by_label(frame),
        units=pd.DataFrame({"stratum": metric, "cluster": cluster[frame["row"]], "value": frame["value"]}),
        chance=float(np.mean(centre(dealt, axis=1))),
        n=len(frame),
        n_undefined=lost + total - len(frame),
        proportion=kind == "kbet",
        disjoint=metric.endswith("controls"),
        median=kind == "ilisi",
        notes=notes,
    )


def _silhouette(
    rows: Array,
    metadata: pd.DataFrame,
    names: Array,
    place: Array,
    *,
    queries: int | None,
    seed: int,
    lost: int,
    scope: str,
    rounds: int = ROUNDS,
) -> list[Score]:
    """Return the batch silhouettes of one set of wells, by sets of replicates in a line."""
    group = np.array([f"{name}|{line}" for name, line in zip(names, place, strict=True)], dtype=object)
    taken = np.arange(len(rows))
    if queries is not None and len(set(group)) > 1:
        taken = wells.drawn_whole(group, at_most=queries, seed=seed)
    cluster, scores = wells.column(metadata, wells.PLATE).astype(str), []
    # Chance is a mean over permutations and sets: with many sets, few permutations of each suffice.
    rounds = min(rounds, max(3, rounds // max(1, len(set(group[taken])))))
    sets = [(name, members.to_numpy()) for name, members in pd.Series(taken).groupby(group[taken], sort=True)]
    for target, column in TARGETS.items():
        metric, truth = f"mixing.silhouette.{target}.{scope}", wells.column(metadata, column).astype(str)
        code, rng, parts, chances = wells.codes(truth), np.random.default_rng(seed), [], []
        for name, mine in sets:
            labels, own = np.unique(code[mine], return_inverse=True)
            # A silhouette needs two labels, one of them with two wells.
            if len(labels) < 2 or len(labels) == len(mine):
                continue
            dealt = np.array([own, *(rng.permutation(own) for _ in range(rounds))])
            overlap = 1 - np.abs(dealt_silhouettes(rows[mine], dealt))
            parts.append((mine, overlap[0], np.full(len(mine), name, dtype=object)))
            chances.append(overlap[1:].mean(axis=1).mean())
        if not parts:
            scores.append(absent(metric, Note("no_replicates_of_two_labels"), n_undefined=lost + len(taken)))
            continue
        row, value, stratum = (np.concatenate(each) for each in zip(*parts, strict=True))
        frame = pd.DataFrame({"row": row, "value": value, "label": truth[row], "stratum": stratum})
        units = frame[["stratum", "value"]].assign(cluster=cluster[frame["row"]])
        scores.append(
            Score(
                metric,
                items=by_label(frame),
                units=units,
                chance=float(np.mean(chances)),
                n=len(frame),
                n_undefined=lost + len(taken) - len(frame),
                disjoint=scope == "controls",
                notes=wells.sampling(len(taken), len(rows)),
            )
        )
    return scores


def sizes(options: Evaluate) -> dict[str, int]:
    """Return the sizes of neighbourhoods that `mixing` takes."""
    return {"neighbours": options.lisi_neighbours, "tested": options.kbet_neighbours}


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    queries = wells.most_queries(len(metadata), options.pairs)
    return mixing(features, metadata, queries=queries, seed=seed, **sizes(options))


def _metric(kind: str, title: str, meaning: str) -> Metric:
    return Metric(
        name=f"mixing.{kind}",
        family="mixing",
        reads="across",
        direction=1,
        chance="full mixing (labels permuted over the wells), as far as plates centred on few controls can be mixed",
        level="mixing",
        title=title,
        meaning=meaning,
        compute=_compute,
        best_at_chance=True,
        splits=1,
    )


KBET = _metric(
    "kbet",
    "Neighbourhoods mixed as all wells are (kBET)",
    "Share of wells whose neighbourhood has batches (plates) in the proportions of all wells, by a chi-squared test at "
    "5 %.",
)
ILISI = _metric(
    "ilisi",
    "Number of labels in a neighbourhood (iLISI)",
    "Effective number of batches (plates) in a neighbourhood, scaled: 0 for one, 1 for all in equal parts.",
)
SILHOUETTE = _metric(
    "silhouette",
    "Overlap of batches within replicates (1 - silhouette)",
    "Overlap of batches (plates) within sets of replicates: 1 where they overlap completely.",
)
