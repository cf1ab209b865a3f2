"""Purity of neighbourhoods in mechanism and compound, after scIB (Luecken et al. 2022): what mixing must not cost.

Neighbours are the nearest by cosine; their distance is the chord |x - y| between unit rows. For `clisi` they come from
all cell lines, without wells of the same compound; for `connectivity` from the same line. Chance is the same score of
the same neighbourhoods after labels were permuted.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.left_out import QUERIES, listed, remaining, shortened
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.nearest import dealt_labels
from wellspring.evaluate.neighbourhood_formulas import (
    LEAST,
    ROUNDS,
    SHARE,
    by_label,
    chord,
    connectivity,
    kernel,
    lisi,
    mixture,
    too_few,
)
from wellspring.evaluate.neighbours import Nearest, itself, nearest
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate


def clisi(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    neighbours: int = 90,
    queries: int | None = None,
    seed: int = 0,
) -> Score:
    """Return scaled cLISI, (labels - median LISI) / (labels - 1), of the mechanisms of wells of other compounds."""
    mechanism, compound = wells.column(metadata, label), wells.column(metadata, "Metadata_Compound")
    named = wells.labelled(metadata, label, "Metadata_Compound")
    keep = np.flatnonzero(named & wells.directed(features, metadata))
    lost = int(named.sum()) - len(keep)
    compound, mechanism = compound[keep].astype(str), mechanism[keep].astype(str)
    count, k = len(set(mechanism)), min(neighbours, len(keep) // SHARE)
    if count < 2:
        return absent("clisi", Note("too_few_mechanisms", {"found": count, "needed": 2}), n_undefined=lost)
    if k < LEAST:
        return absent("clisi", too_few("too_few_labelled_wells", len(keep)), n_undefined=lost + len(keep))
    taken = np.arange(len(keep)) if queries is None else wells.drawn(compound, at_most=queries, seed=seed)
    owner, code = wells.codes(compound), wells.codes(mechanism)
    families = Groups.of(wells.families(metadata, label)[keep])
    find = partial(
        nearest,
        wells.units(features[keep]),
        references=np.arange(len(keep)),
        barred=lambda query: owner[query, None] == owner[None, :],
    )
    near = find(queries=taken, k=k)
    whole = near.valid.all(axis=1)
    if not whole.any():
        return absent("clisi", Note("too_few_wells_of_other_compounds"), n_undefined=lost + len(keep))
    weights, index = kernel(chord(near.similarity[whole]), k // 3), near.index[whole]
    # scIB scales cLISI the other way round: one label is 1, all evenly are 0.
    read = partial(mixture, neighbours=index, weights=weights, count=count)
    value = 1 - read(code)
    deals = dealt_labels(compound, mechanism, ROUNDS, np.random.default_rng(seed))
    chance = [np.median(1 - read(dealt)) for dealt in deals]
    frame = pd.DataFrame({"cluster": compound[taken][whole], "value": value, "label": mechanism[taken][whole]})
    return Score(
        "clisi",
        items=by_label(frame),
        units=frame[["cluster", "value"]].assign(stratum="clisi"),
        chance=float(np.mean(chance)),
        n=len(frame),
        n_undefined=lost + int((~whole).sum()),
        median=True,
        jackknives=_without_families(find, taken, code, families, k, value=float(np.median(value)), seed=seed),
        notes=wells.sampling(len(taken), len(keep)),
    )


def _without_families(
    find: Callable[..., Nearest], taken: Array, code: Array, families: Groups, k: int, *, value: float, seed: int
) -> tuple[Jackknife, ...]:
    """Return the jackknife of cLISI over families, from longer lists of a part of the wells `taken`."""
    drawn = wells.drawn(families.code[taken], at_most=QUERIES // 2, seed=seed)
    near = find(queries=taken[drawn], k=listed(families, k, len(code)))
    own, scores = families.code[taken[drawn]], []
    for group in range(-1, len(families)):
        order = remaining(near, families.code, group, k)
        index, similarity = (np.take_along_axis(each, order, axis=1) for each in (near.index, near.similarity))
        valid = np.isfinite(similarity) & (families.code[index] != group)
        whole, count = valid.all(axis=1) & (own != group), len(set(code[families.code != group]))
        if not whole.any() or count < 2:
            return ()
        weights = kernel(chord(similarity[whole]), k // 3)
        found = 1 - lisi(weights, index[whole], code, count=int(code.max()) + 1)
        scores.append(float(np.median(1 + found / (count - 1))))
    rise = scores[0] - np.array(scores[1:])
    return (Jackknife("mechanisms", pd.Series(value - rise + rise.mean(), index=list(families.names))),)


def replicate_connectivity(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    neighbours: int = 15,
    queries: int | None = None,
    seed: int = 0,
) -> Score:
    """Return graph connectivity: how far the wells of a compound are connected in the graph of nearest neighbours.

    The score is the mean, over compounds in a cell line with at least two wells, of the share of wells in the largest
    connected part; these compounds are the items. With `queries`, whole compounds are drawn, up to so many wells.
    """
    compound = wells.column(metadata, "Metadata_Compound")
    named = wells.labelled(metadata, "Metadata_Compound")
    keep = np.flatnonzero(named & wells.directed(features, metadata))
    lost, line = int(named.sum()) - len(keep), wells.lines(metadata)[keep]
    owner = np.array([f"{a}|{b}" for a, b in zip(compound[keep], line, strict=True)], dtype=object)
    place, rows, parts = pd.factorize(line)[0], wells.units(features[keep]), []
    families, without = Groups.of(wells.families(metadata, label)[keep]), list[tuple[Array, Array]]()
    taken = np.arange(len(keep)) if queries is None else wells.drawn_whole(owner, at_most=queries, seed=seed)
    for number in range(int(place.max(initial=-1)) + 1):
        here = np.flatnonzero(place == number)
        k = min(neighbours, len(here) // SHARE)
        mine = taken[place[taken] == number]
        if k < 1 or not len(mine) or len(set(owner[mine])) < 2:
            continue
        near = nearest(rows, queries=mine, references=here, k=k, barred=itself(here))
        parts.append((mine, _inside(mine, near.index)))
        # Long lists, from which a family is left out, of a part of the compounds.
        some = mine[wells.drawn_whole(owner[mine], at_most=QUERIES, seed=seed)]
        near = nearest(rows, queries=some, references=here, k=listed(families, k, len(here)), barred=itself(here))
        for group in range(len(families)):
            index, valid = shortened(near, families.code, group, k)
            without.append((some, np.where(valid, _inside(some, index), -1)))
    if not parts:
        note = Note("too_few_for_connectivity", {"found": len(keep), "needed": SHARE})
        return absent("connectivity", note, n_undefined=lost + len(keep))
    rng, chances = np.random.default_rng(seed), list[list[float]]()
    values, sizes = dict[str, float](), dict[str, int]()
    for mine, index in parts:
        names, code, size = np.unique(owner[mine].astype(str), return_inverse=True, return_counts=True)
        values |= {names[label]: value for label, value in connectivity(index, code).items() if size[label] > 1}
        sizes |= dict(zip(names, size, strict=True))
        for _ in range(ROUNDS):
            dealt = connectivity(index, rng.permutation(code))
            chances.append([value for label, value in dealt.items() if size[label] > 1])
    left = dict[str, Array]()
    for number, (mine, index) in enumerate(without):
        names, code = np.unique(owner[mine].astype(str), return_inverse=True)
        for label_code, value in connectivity(index, code).items():
            if names[label_code] in values:
                left.setdefault(names[label_code], np.full(len(families), np.nan))[number % len(families)] = value
    items = pd.DataFrame({"Metadata_Item": list(values), "value": list(values.values())})
    items["n"] = [int(sizes[name]) for name in values]
    family = dict(zip(owner, families.code, strict=True))
    of = np.array([family[name] for name in values], dtype=int)
    units = pd.DataFrame({"cluster": [families.names[code] for code in of], "value": list(values.values())})
    jackknives = _connected(values, left, dict(zip(values, of, strict=True)), families)
    flat, notes = [value for part in chances for value in part], wells.sampling(len(taken), len(keep))
    return Score(
        "connectivity",
        items=items,
        units=units.assign(stratum="connectivity"),
        jackknives=jackknives,
        chance=float(np.mean(flat)) if flat else float("nan"),
        n=len(values),
        n_undefined=lost + sum(1 for size in sizes.values() if size < 2),
        notes=notes if values else (Note("no_compound_with_two_wells"),),
    )


def _inside(mine: Array, index: Array) -> Array:
    """Return places among `mine` (sorted), -1 for a well that was not drawn: it is of another compound's graph."""
    place = np.searchsorted(mine, index).clip(max=len(mine) - 1)
    return np.where(mine[place] == index, place, -1)


def _connected(
    values: dict[str, float], left: dict[str, Array], group: dict[str, int], families: Groups
) -> tuple[Jackknife, ...]:
    """Return the jackknife of connectivity over families; `left` has (families,) of some compounds."""
    if not values or not left:
        return ()
    value, rows = np.array([values[name] for name in left]), np.array(list(left.values()))
    mine, none = np.array([group[name] for name in left]), np.full(rows.shape, np.nan)
    rise, shared = of_queries(value, rows, none[:, 0], none, mine)
    whole = float(np.mean(list(values.values())))
    found = pd.Series(whole - rise + rise.mean(), index=list(families.names))
    return (Jackknife("mechanisms", found, shared, families.worth()),)


def _compute_clisi(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    queries = wells.most_queries(len(metadata), options.pairs)
    near = options.lisi_neighbours
    return [clisi(features, metadata, label=options.label, neighbours=near, queries=queries, seed=seed)]


def _compute_connectivity(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    queries = wells.most_queries(len(metadata), options.pairs)
    near = options.graph_neighbours
    given = {"neighbours": near, "queries": queries, "seed": seed}
    return [replicate_connectivity(features, metadata, label=options.label, **given)]


CLISI = Metric(
    name="clisi",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="mechanisms permuted over compounds",
    title="Neighbourhoods of one mechanism (cLISI)",
    meaning="Purity in mechanism of the neighbourhoods of wells, without wells of the same compound: 1 where a "
    "neighbourhood has one mechanism, 0 where it has all of them equally.",
    compute=_compute_clisi,
    position_only=True,
    layout=True,
)
CONNECTIVITY = Metric(
    name="connectivity",
    family="replicates",
    reads="treated",
    direction=1,
    chance="compounds permuted over the wells of the same graph",
    title="Replicates connected in the neighbour graph (graph connectivity)",
    meaning="Share of a compound's wells that are connected in the graph of nearest neighbours.",
    compute=_compute_connectivity,
    position_only=True,
    layout=True,
)
