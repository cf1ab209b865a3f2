"""Scores of mechanisms cell line by cell line, joined after.

Two lines may answer a mechanism in opposite ways, so that neither the median of a compound over both nor the distance
between profiles of different lines means anything. NSC, NSCB, hits and percent matching therefore judge each line on
its own. The joined score is the mean over the items of all lines.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import merged
from wellspring.evaluate.metric import PERMUTED, Compute, Metric
from wellspring.evaluate.nearest import permuted
from wellspring.evaluate.score import Score, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

NAMES = ("nsc", "nscb", "hit", "precision", "enrichment", "matching")


def by_line(metric: Metric) -> Metric:
    """Return the metric whose function judges each cell line on its own, for those of this module."""
    if metric.name not in NAMES or metric.compute is None:
        return metric
    return replace(metric, compute=_each(metric.compute))


@cache
def _each(whole: Compute) -> Compute:
    def compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
        line = wells.lines(metadata)
        names = sorted(set(line[~wells.kind(metadata, "negcon", "empty")]))
        if len(names) < 2:
            return list(whole(features, metadata, options, seed))
        found = []
        for name in names:
            mine = line == name
            found.append(list(whole(features[mine], metadata[mine].reset_index(drop=True), options, seed)))
        return joined(found, names)

    return compute


def joined(lines: Sequence[Sequence[Score]], names: Sequence[str]) -> list[Score]:
    """Return the scores of all cell lines as one, by name; each line has its own list, in the order of `names`."""
    by_name = dict[str, list[Score]]()
    for line, scores in zip(names, lines, strict=True):
        for score in scores:
            by_name.setdefault(score.metric, []).append(replace(score, items=_named(filled(score.items), line)))
    found = {name: _joined(parts) for name, parts in by_name.items() if not name.endswith(PERMUTED)}
    for name, parts in by_name.items():
        if name.endswith(PERMUTED):
            found[name] = _permuted(found[name.removesuffix(PERMUTED)], by_name[name.removesuffix(PERMUTED)], parts)
    return [found[name] for name in by_name]


def _joined(parts: Sequence[Score]) -> Score:
    """Return the score over the units of all parts; items that several lines have become one, the mean."""
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    known = [part for part in parts if len(part.units)]
    items = _items(pd.concat([filled(part.items) for part in parts], ignore_index=True))
    lost = sum(part.n_undefined for part in parts)
    if not known:
        return replace(parts[0], items=items, n_undefined=lost, notes=notes)
    # What is missing in one line is no reason where another line has a value.
    notes = tuple(dict.fromkeys(note for part in known for note in part.notes))
    weights = np.array([len(part.units) for part in known], dtype=float)
    weights /= weights.sum()
    values = [part.value for part in known]
    chances = [part.chance for part in known]
    every = all(part.jackknives for part in known)
    return replace(
        known[0],
        items=items,
        units=pd.concat([part.units for part in known], ignore_index=True),
        chance=float(weights @ chances),
        n=sum(part.n for part in known),
        n_undefined=lost,
        notes=(*notes, Note("by_cell_line", {"lines": len(known)})),
        jackknives=merged([part.jackknives for part in known], values, list(weights)) if every else (),
        ceiling=float(weights @ [part.ceiling for part in known]),
    )


def _permuted(main: Score, mains: Sequence[Score], parts: Sequence[Score]) -> Score:
    """Return the score under permuted labels: round by round the mean over the lines, weighted as the score itself."""
    pairs = [(len(one.units), part) for one, part in zip(mains, parts, strict=True) if len(part.units)]
    if not pairs:
        return parts[0]
    rounds = min(len(part.units) for _, part in pairs)
    weights = np.array([weight for weight, _ in pairs], dtype=float)
    values = np.array([part.units["value"].to_numpy(float)[:rounds] for _, part in pairs])
    return permuted(main, weights @ values / weights.sum())


def _named(items: pd.DataFrame, line: str) -> pd.DataFrame:
    """Return the items with their groups under the name of their cell line, as JSON."""
    groups = [None if pd.isna(group) else json.dumps({line: str(group)}) for group in items["Metadata_Group"]]
    return items.assign(Metadata_Group_By_Line=pd.Series(groups, index=items.index, dtype=object))


def _together(groups: pd.Series) -> str | None:
    """Return the groups of several cell lines in one JSON text."""
    found: dict[str, str] = {}
    for text in groups.dropna():
        found |= json.loads(text)
    return json.dumps(found, sort_keys=True) if found else None


def _items(items: pd.DataFrame) -> pd.DataFrame:
    """Return one row per item: the mean value, the sum of wells; the group is that of the line with the lowest value.

    For NSC the group is the predicted mechanism; `Metadata_Group_By_Line` has the prediction in each line.
    """
    if not items["Metadata_Item"].duplicated().any():
        return items
    rows = items.sort_values(["Metadata_Item", "value"], kind="stable")
    by = rows.groupby("Metadata_Item", sort=True)
    result = by.agg(
        value=("value", "mean"),
        n=("n", "sum"),
        n_undefined=("n_undefined", "sum"),
        Metadata_Group=("Metadata_Group", "first"),
        Metadata_Group_By_Line=("Metadata_Group_By_Line", _together),
    )
    several = by["p"].count() > 0
    # Bonferroni over the lines: a mechanism is found where any of them has it.
    result["p"] = np.where(several, np.minimum(by["p"].min() * by["p"].count(), 1.0), np.nan)
    result["q"] = benjamini_hochberg(result["p"].to_numpy())
    return filled(result.reset_index())
