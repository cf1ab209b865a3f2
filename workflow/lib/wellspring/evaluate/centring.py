"""The chance levels of batch and plate effects where plates were centred on the controls that are read.

The centre of a plate follows its controls, so that these are less alike than controls of two plates: without any plate
effect, the plate of a control is read less often than by chance (0.37 against 0.47 on two plates of eight controls).
Taken for chance, the frequency of the plate would make such profiles look free of plate effects.

In each round the controls change places with those of other plates of their line and take a random sign (without it
the controls of a plate, whose sum was 0, would still differ from each other), each plate is centred and scaled anew on
as many controls as before, and the scores are read again. Where only some of these controls are judged (by halves),
the others are drawn from the same line. The mean difference from the frequencies is added to the chance levels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.levels import CENTRED, defined_controls
from wellspring.evaluate.neighbours import Nearest
from wellspring.evaluate.nuisance import tasks
from wellspring.evaluate.wells import Array
from wellspring.io import tables

SIGNS = (-1.0, 1.0)
ROUNDS, FEWEST, PAIRS = 100, 4, 5_000_000  # rounds, fewer for many pairs of controls


@dataclass(frozen=True)
class Centre:
    """How a plate was centred on its negative controls.

    Attributes
    ----------
    count
        Number of the controls.
    mean
        By mean and standard deviation; else by median and median absolute deviation.
    """

    count: int
    mean: bool

    def of(self, values: Array) -> tuple[Array, Array]:
        """Return centre and spread (d,) of the values (n, d), a spread of 1 where there is none."""
        centre = values.mean(axis=0) if self.mean else np.median(values, axis=0)
        spread = values.std(axis=0) if self.mean else np.median(np.abs(values - centre), axis=0)
        return centre, np.where(spread > 0, spread, 1.0)


def centred(frame: pd.DataFrame) -> dict[str, Centre]:
    """Return the centre of each plate whose negative controls have the median or the mean 0."""
    control, plate = defined_controls(frame), wells.column(frame, wells.PLATE).astype(str)
    values, found = frame.loc[control, tables.features(frame)].to_numpy(dtype=float), dict[str, Centre]()
    for name, places in wells.places(plate[control]).items():
        mine = values[places]
        mine = mine[np.isfinite(mine).all(axis=1)]
        for centre in (Centre(len(mine), mean=False), Centre(len(mine), mean=True)) if mine.size else ():
            if (np.abs(centre.of(mine)[0]) < CENTRED).all():
                found[name] = centre
                break
    return found


def excess(
    features: Array,
    metadata: pd.DataFrame,
    centres: Mapping[str, Centre],
    *,
    neighbours: int = 1,
    queries: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return by how much the scores `nuisance.*` of controls without any effect differ from the frequencies.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows of the wells that are judged together.
    centres
        How each plate was centred; other plates stay as they are. Without any, the result is empty.
    neighbours, queries
        As of `wellspring.evaluate.nuisance.nuisance`.
    """
    control = wells.kind(metadata, "negcon") & wells.directed(features, metadata)
    values, table = features[control], metadata[control].reset_index(drop=True)
    plate, line = (wells.column(table, name).astype(str) for name in (wells.PLATE, wells.LINE))
    asked = [task for task in tasks(table, queries=queries, seed=seed) if task.readable.any()]
    if not set(centres) & set(plate) or not asked:
        return {}
    rng, found = np.random.default_rng([seed, 31]), np.zeros(len(asked))
    pairs = len(values) * min(len(values), queries or len(values))
    rounds = int(np.clip(PAIRS // pairs, FEWEST, ROUNDS))
    for _ in range(rounds):
        dealt, _ = dealt_anew(values, plate, line, centres, rng)
        rows, lists = wells.units(dealt), dict[str, Nearest]()
        for place, task in enumerate(asked):
            if task.among not in lists:
                lists[task.among] = task.nearest(rows, neighbours)
            found[place] += task.balanced(task.read(lists[task.among], neighbours).astype(float))
    return {
        f"nuisance.{task.target}": float(total / rounds - task.balanced(task.level))
        for task, total in zip(asked, found, strict=True)
    }


def dealt_anew(
    values: Array, plate: Array, line: Array, centres: Mapping[str, Centre], rng: np.random.Generator
) -> tuple[Array, dict[str, tuple[Array, Array]]]:
    """Return controls (n, d) that changed places in their line, centred and scaled anew, and how each plate was."""
    lines, order, found = wells.places(line), np.arange(len(values)), dict[str, tuple[Array, Array]]()
    for places in lines.values():
        order[places] = rng.permutation(places)
    dealt: Array = values[order] * rng.choice(SIGNS, size=(len(values), 1))
    for name, mine in wells.places(plate).items():
        if name in centres:
            others, pool = max(0, centres[name].count - len(mine)), lines[line[mine[0]]]
            drawn = rng.choice(pool, others, replace=others > len(pool))
            rest = values[drawn] * rng.choice(SIGNS, size=(others, 1))
            found[name] = centres[name].of(np.concatenate([dealt[mine], rest]))
            dealt[mine] = (dealt[mine] - found[name][0]) / found[name][1]
    return dealt, found
