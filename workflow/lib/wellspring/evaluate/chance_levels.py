"""Chance levels that follow from the level of processing and the layout: each kind moves those of its metrics.

`wellspring.evaluate.metric.Metric.level` names the kind. A level is found per table that the metrics read, and moves
what a metric states by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from wellspring.evaluate import centring, chance, mechanism_chance, mixing, mixing_chance, nuisance, position, wells
from wellspring.evaluate.metric import Level
from wellspring.evaluate.populations import Population
from wellspring.evaluate.score import Score
from wellspring.evaluate.wells import Array
from wellspring.screen.sections import Evaluate


@dataclass(frozen=True)
class Judged:
    """Tables that metrics read, the population that they are of, and what the config says."""

    frames: Sequence[pd.DataFrame]
    population: Population
    options: Evaluate
    seed: int

    def split(self) -> list[tuple[Array, pd.DataFrame]]:
        """Return features (n, d) and metadata of each table, by plate and well."""
        return [wells.split(frame) for frame in self.frames]


# Scores of each table in and out.
Tables = list[list[Score]]
Rule = Callable[[Tables, Judged], Tables]


def stated(scores: Tables, judged: Judged, *, levels: Sequence[Level]) -> Tables:
    """Return the scores of each table with the chance levels of these kinds."""
    for level in dict.fromkeys(levels):
        scores = RULES[level](scores, judged)
    return scores


def _of_replicates(scores: Tables, judged: Judged) -> Tables:
    """Move activity and grit by what controls in the place of treatments have."""
    found = []
    for frame in judged.population.chance or judged.frames:
        share = judged.options.replicates_share
        values = chance.excess(*wells.split(frame), replicates_share=share, seed=judged.seed)
        found.append(dict(zip(("activity", "grit"), values, strict=True)))
    return [chance.with_chance(each, found[place % len(found)]) for place, each in enumerate(scores)]


def _of_adjusted(scores: Tables, judged: Judged) -> Tables:
    """Move activity adjusted for position by what adjusted controls in the place of treatments have."""
    share, tables = judged.options.replicates_share, judged.population.adjusted_chance()
    found = [{position.NAME: position.excess(each, replicates_share=share, seed=judged.seed)} for each in tables]
    return [chance.with_chance(each, found[place % len(found)]) for place, each in enumerate(scores)]


def _of_mechanisms(scores: Tables, judged: Judged) -> Tables:
    """Move grit by mechanism by what compounds without effect have."""
    centres, label = judged.population.centred, judged.options.label
    found = [mechanism_chance.excess(*table, centres, label=label) for table in judged.split()]
    return [chance.with_chance(*pair) for pair in zip(scores, found, strict=True)]


def _of_nuisances(scores: Tables, judged: Judged) -> Tables:
    """Move batch and plate effects by those that centring on few controls makes."""
    centres, found = judged.population.centred, list[list[Score]]()
    if not centres:
        return scores
    for each, (features, metadata) in zip(scores, judged.split(), strict=True):
        asked = nuisance.searched(metadata, judged.options)
        moved = centring.excess(features, metadata, centres, seed=judged.seed, **asked)
        found.append(chance.with_chance(each, moved, least=0.0))
    return found


def _of_mixing(scores: Tables, judged: Judged) -> Tables:
    """Move mixing by what centring on few controls makes; the halves of the controls have the same level."""
    centres = judged.population.centred
    if not centres:
        return scores
    features, metadata = wells.split(judged.frames[0])
    moved = mixing_chance.excess(features, metadata, centres, seed=judged.seed, **mixing.sizes(judged.options))
    return [mixing_chance.stated(each, moved) for each in scores]


RULES: dict[Level, Rule] = {
    "replicates": _of_replicates,
    "adjusted": _of_adjusted,
    "mechanisms": _of_mechanisms,
    "nuisances": _of_nuisances,
    "mixing": _of_mixing,
}
