"""The chance levels of mixing where plates were centred on a few controls.

All wells of a plate share the error of its centre, and its controls are less alike than those of two plates. Profiles
without any effect of plates are therefore not fully mixed: on 4 plates of 12 controls (64 features), kBET accepts the
plates around 0.78 of the wells, and 0.99 before they were centred (`benchmarks/null.py --parts levels`).

In each round the controls change places as in `wellspring.evaluate.centring`, the wells of a treatment change places
with each other in their line, and all wells of a plate are centred and scaled as its controls. The difference of these
scores from full mixing is added to the chance levels. Where most treated wells are on one plate with all their
replicates, a plate's effect stays in them, and the level of all wells remains that of full mixing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate import chance, wells
from wellspring.evaluate.centring import Centre, dealt_anew
from wellspring.evaluate.mixing import of_wells, scopes
from wellspring.evaluate.score import Score
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note

ROUNDS, FEWEST, CELLS = 12, 2, 8_000_000  # rounds, fewer for many values
QUERIES = 300  # wells whose neighbourhoods are read in each round
SPREAD = 0.5  # share of the treated wells that need a replicate on another plate


def excess(
    features: Array,
    metadata: pd.DataFrame,
    centres: Mapping[str, Centre],
    *,
    neighbours: int = 90,
    tested: int = 50,
    seed: int = 0,
) -> dict[str, float]:
    """Return by how much each score of mixing differs from full mixing without any effect of plates.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows of the wells that are judged together.
    centres
        How each plate was centred; without any, the result is empty.
    neighbours, tested
        As of `wellspring.evaluate.mixing.mixing`.
    """
    usable = wells.directed(features, metadata) & ~wells.kind(metadata, "empty")
    values, table = features[usable], metadata[usable].reset_index(drop=True)
    plate, line = wells.column(table, wells.PLATE).astype(str), wells.lines(table)
    control = np.flatnonzero(wells.kind(table, "negcon"))
    if not set(centres) & set(plate[control]):
        return {}
    treated = np.setdiff1d(np.arange(len(table)), control)
    names = np.array([f"{a}|{b}" for a, b in zip(wells.perturbations(table), line, strict=True)], dtype=object)
    sets = [treated[own] for own in wells.places(names[treated]).values()]
    several = sum(len(own) for own in sets if len(set(plate[own])) > 1)
    whole = several > SPREAD * len(treated)
    rng, found = np.random.default_rng([seed, 37]), dict[str, list[float]]()
    for _ in range(int(np.clip(CELLS // max(values.size, 1), FEWEST, ROUNDS))):
        dealt = values.copy()
        for own in sets:
            dealt[own] = values[rng.permutation(own)]
        dealt[control], how = dealt_anew(values[control], plate[control], line[control], centres, rng)
        for name, (centre, spread) in how.items():
            mine = treated[plate[treated] == name]
            dealt[mine] = (dealt[mine] - centre) / spread
        for score in _scores(dealt, table, neighbours=neighbours, tested=tested, seed=seed):
            if np.isfinite(score.value) and (whole or score.metric.endswith("controls")):
                found.setdefault(score.metric, []).append(score.value - score.chance)
    return {name: float(np.mean(differences)) for name, differences in found.items()}


def stated(scores: Sequence[Score], moved: Mapping[str, float]) -> list[Score]:
    """Return the scores with the chance levels of `excess`, and the silhouettes of plates without an interval.

    Of 40 screens without effects (4 plates of 12 controls), their intervals at the aligned level cover the stated level
    in 0.80: it is known to about 0.01, which is half the width of the interval.
    """
    found = []
    for score in chance.with_chance(scores, moved, least=0.0):
        narrow = score.metric.startswith("mixing.silhouette.plate.") and score.metric in moved
        unknown = replace(score, interval=(float("nan"), float("nan"))).noted(Note("chance_known_roughly"))
        found.append(unknown if narrow and np.isfinite(score.value) else score)
    return found


def _scores(features: Array, metadata: pd.DataFrame, **given: int) -> list[Score]:
    """Return the scores of mixing without intervals, with one permutation for full mixing."""
    found, line = list[Score](), pd.factorize(wells.lines(metadata))[0]
    for scope, names, keep, lost in scopes(features, metadata):
        options: dict[str, Any] = {"scope": scope, "lost": lost, "queries": QUERIES, "rounds": 1, **given}
        part = metadata.iloc[keep].reset_index(drop=True)
        found += of_wells(wells.units(features[keep]), part, names, line[keep], **options)
    return found
