"""The null of activity by exchange: treated wells change places with negative controls of their own plates.

The null of `precision.shared_null` draws every similarity on its own. Real profiles lie in few directions: where a well
resembles two others, these resemble each other. Groups of inactive wells are therefore alike more often than that null
expects, above all at small p: with 64 controls and 4 replicates on one plate (64 features, half of their variance in 8
directions), 0.25 % of inactive treatments reach p <= 0.002 in both halves of the controls, 0.04 % by exchange.

A treatment without effect is like the controls of its plates. So which of these wells are called treated is arbitrary,
and the mean average precision after the names were dealt anew, plate by plate, has the same distribution (Fisher 1935).

Wells are exchanged where replicates share plates (`crowded`), because these plates are judged with controls that they
were not centred on. Controls that a plate was centred on resemble those of other plates more than each other, and a
null among them would hide weak effects.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.precision import TOLERANCE
from wellspring.evaluate.wells import Array

MOST = 2000  # wells of a pool (a treatment and the controls of its plates); a larger one is not exchanged
CELLS_AT_ONCE = 2_000_000
# Largest share of a treatment's pairs of replicates on one plate. Of inactive treatments on 2 plates (8 controls, 768
# features; normalised), 2 % reach p < 0.05 at a third (2 wells per plate), 9 % at 0.4 (3), 24 % at 0.43 (4).
SAME_PLATE = 1 / 3


class Exchange:
    """Nulls of treatments among the controls of their plates."""

    def __init__(self, rows: Array, controls: Mapping[str, Array], metadata: pd.DataFrame) -> None:
        """Take the unit rows of all wells (n, d), and the places of the controls by plate."""
        self._rows, self._controls, self._plate = rows, dict(controls), wells.column(metadata, wells.PLATE)
        well = wells.column(metadata, "Metadata_Well").astype(str)
        # Draws must not depend on the order of the rows.
        keys = pd.Series([f"{plate} {name}" for plate, name in zip(self._plate, well, strict=True)])
        self._order = keys.rank(method="first").to_numpy()

    def crowded(self, members: Array, mates: Array) -> bool:
        """Return whether more than a third of the pairs of replicates are on one plate."""
        plate = self._plate[members].astype(str)
        same = mates & (plate[:, None] == plate[None, :])
        return bool(same.sum() > SAME_PLATE * mates.sum() + 1e-9)

    def null(self, members: Array, mates: Array, *, draws: int, seed: list[int]) -> Array | None:
        """Return sorted mean average precisions (draws,) of exchanged wells; None for too large a pool.

        Parameters
        ----------
        members, mates
            Places of the treated wells (m,), and which of them are each other's replicates (m, m) bool.
        """
        first = np.argsort(self._order[members], kind="stable")
        members, mates = members[first], mates[np.ix_(first, first)]
        own = self._plate[members].astype(str)
        others = [self._controls[plate] for plate in dict.fromkeys(own)]
        pool = np.concatenate([members, *(each[np.argsort(self._order[each])] for each in others)])
        if len(pool) > MOST:
            return None
        similar = wells.cosine(self._rows[pool], self._rows[pool])
        plate = wells.codes(self._plate[pool])
        count, rng, means = _at_least(similar, plate), np.random.default_rng(seed), []
        step = max(1, CELLS_AT_ONCE // max(len(pool), len(members) ** 2))
        for start in range(0, draws, step):
            chosen = _dealt(plate, len(members), min(step, draws - start), rng)
            means.append(_precision(similar, count, chosen, mates, plate[: len(members)]))
        return np.sort(np.concatenate(means))


def _at_least(similar: Array, plate: Array) -> Array:
    """Return how many other wells of the plate of i are at least as similar to i as j is, (n, n) int."""
    result = np.empty(similar.shape, dtype=np.int32)
    for row, values in enumerate(similar):
        mine = plate == plate[row]
        mine[row] = False
        ranked = np.sort(values[mine])
        result[row] = len(ranked) - np.searchsorted(ranked, values - TOLERANCE, side="left")
    return result


def _dealt(plate: Array, members: int, draws: int, rng: np.random.Generator) -> Array:
    """Return wells (draws, members): for each member one of its plate, none twice."""
    chosen = np.empty((draws, members), dtype=np.intp)
    for name in np.unique(plate[:members]):
        slots, mine = np.flatnonzero(plate[:members] == name), np.flatnonzero(plate == name)
        chosen[:, slots] = mine[np.argsort(rng.random((draws, len(mine))), axis=1)[:, : len(slots)]]
    return chosen


def _precision(similar: Array, count: Array, chosen: Array, mates: Array, plate: Array) -> Array:
    """Return the mean average precision (draws,) of the wells `chosen` (draws, m), `plate` (m,) are their plates."""
    total = np.zeros(len(chosen))
    for slot in range(chosen.shape[1]):
        others = np.delete(np.arange(chosen.shape[1]), slot)
        query, theirs = chosen[:, [slot]], chosen[:, others]
        values = similar[query, theirs]
        order = np.argsort(-values, axis=1)
        ranked = np.take_along_axis(values, order, axis=1)
        mate, same = mates[slot][others][order], (plate[others] == plate[slot])[order]
        # The last of equal values: ties enter the ranking together.
        last = np.ones(ranked.shape, dtype=bool)
        last[:, :-1] = ranked[:, :-1] - ranked[:, 1:] > TOLERANCE
        ends = np.where(last, np.arange(ranked.shape[1]), ranked.shape[1])
        ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        hits, gone = (np.take_along_axis(np.cumsum(each, axis=1), ends, axis=1) for each in (mate, same))
        above = np.take_along_axis(count[query, theirs], order, axis=1)
        total += (mate * hits / np.maximum(hits + above - gone, 1)).sum(axis=1) / mate.sum(axis=1)
    result: Array = total / chosen.shape[1]
    return result
