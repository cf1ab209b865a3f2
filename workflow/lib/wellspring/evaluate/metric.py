"""The record of a metric: what it reads, how it is computed, and how the report describes it.

Each metric is a module with the function that computes it and one `Metric` beside it. `wellspring.evaluate.metrics`
lists all records; `wellspring.evaluate.run` walks that list, and the report takes titles and sentences from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from wellspring.evaluate.score import Score
from wellspring.evaluate.wells import Array
from wellspring.screen.sections import Evaluate

# Profiles (n, d), metadata (n rows, sorted by plate and well), options and seed in; one score or several out.
Compute = Callable[[Array, pd.DataFrame, Evaluate, int], Sequence[Score]]
# Scores that were computed before, by name, the metadata and the options in; one score out.
Derive = Callable[[Mapping[str, Score], pd.DataFrame, Evaluate], Score]
Reads = Literal["controls", "adjusted", "across", "treated", "dose"]
Level = Literal["replicates", "adjusted", "mechanisms", "nuisances", "mixing"]

PERMUTED, POSITION_ONLY = ".permuted", ".position_only"


@dataclass(frozen=True)
class Metric:
    """One metric; adding one takes its module and one line in `wellspring.evaluate.metrics`.

    Attributes
    ----------
    name
        Its scores are called this, or this and further parts after a dot (`hit.k5`).
    family
        Metrics that `evaluate.metrics` can choose together.
    reads
        `controls`: treated wells against the negative controls of their own plate. `adjusted`: the same without effects
        of position (`wellspring.evaluate.position`). `across`: wells of different plates,
        negative controls among them. `treated`: treated wells alone. `dose`: controls and doses of a plate. Profiles
        for `controls` and `dose` are aligned by fits that did not see the controls, those for `across` by halves, and
        `treated` reads the published profiles (`wellspring.evaluate.populations`).
    direction
        1 where higher is better, -1 where lower is better.
    chance
        The expected value without signal, in words; empty where there is none.
    level
        How the expected value follows from the level of processing (`wellspring.evaluate.chance_levels`); None where
        it does not.
    title, meaning
        What the report calls it, and one sentence that explains it.
    compute
        Several records may share one function; it then runs once, and returns the scores of all of them.
    derive
        In place of `compute`, for a metric that follows from other scores; `needs` names their metrics.
    permuted
        Whether `<score>.permuted` makes sense: the score after mechanisms were permuted over compounds.
    position_only
        Whether `<score>.position_only` makes sense: the score of the wells' rows and columns as the only features.
    layout
        Whether treatments that always have the same wells could raise it.
    best_at_chance
        Chance is the best possible value, as for mixing: a value below it is a batch effect.
    bounds
        Least and largest possible value; None where one of them does not exist.
    main
        Whether the report shows it at first.
    splits
        Number of further parts of a score's name that give what is tested (`transfer.cell_line.mechanism`: 2). Where
        none of the scores with the same parts has a value, `summary` has one row for all of them.
    """

    name: str
    family: str
    reads: Reads
    direction: Literal[1, -1]
    chance: str
    title: str
    meaning: str
    compute: Compute | None = None
    derive: Derive | None = None
    needs: tuple[str, ...] = ()
    permuted: bool = False
    position_only: bool = False
    layout: bool = False
    best_at_chance: bool = False
    bounds: tuple[float, float] | None = (0.0, 1.0)
    main: bool = False
    splits: int = 0
    level: Level | None = None

    def owns(self, score: str) -> bool:
        """Return whether a score's name begins with this metric's name."""
        return score == self.name or score.startswith(f"{self.name}.")

    def tested(self, score: str) -> str:
        """Return the part of a score's name that gives what is tested: the metric's name and `splits` further parts."""
        return ".".join(score.split(".")[: self.name.count(".") + 1 + self.splits])
