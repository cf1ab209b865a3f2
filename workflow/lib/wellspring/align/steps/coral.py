"""Coral: give the controls of each batch the covariance of all controls (correlation alignment, Sun et al. 2016).

Expects sphered profiles. `sphere` and then `coral`, after the scaling of each plate on its controls, are the typical
variation normalisation (TVN) of Ando et al. 2017 (bioRxiv 161422).
"""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.sphering import inverse_root
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen.sections import Fit

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coral(State):
    """One matrix per batch.

    Attributes
    ----------
    column, batches
        The metadata column, and its values that have a matrix.
    matrices
        (batches, d, d), each applied from the right.
    center
        (d,) mean of the controls, which replaces a value that is not finite.
    """

    column: str
    batches: tuple[str, ...]
    matrices: Array
    center: Array


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Coral:
    """Fit `(C_batch + I)^-1/2 (C_all + I)^1/2` on the controls of each batch, not centred again (Ando et al. 2017).

    Options: batches (the column), min_controls: a batch with fewer controls stays as it is, with a note.
    """
    names, rows = tuple(tables.features(frame)), np.asarray(controls, dtype=bool)
    column, needed = options.batches, options.min_controls
    values = frames.matrix(frame.loc[rows], names)
    center = frames.mean_of(values)
    values = np.where(np.isnan(values), center, values)
    of = frames.text(frame, column)[rows]
    counts = {batch: int((of == batch).sum()) for batch in sorted(set(of.tolist()))}
    found = tuple(batch for batch, count in counts.items() if count >= needed)
    few = {batch: count for batch, count in counts.items() if count < needed}
    notes = [Note("batches_matched", {"matched": len(found), "total": len(counts)})]
    notes += [
        frames.too_few(batch, count, needed, unit="controls", instead="unchanged") for batch, count in few.items()
    ]
    matrices = np.zeros((len(found), len(names), len(names)))
    if found:
        whole = inverse_root(_covariance(values), ridge=1.0, power=0.5)
        for number, batch in enumerate(found):
            matrices[number] = inverse_root(_covariance(values[of == batch]), ridge=1.0, power=-0.5) @ whole
    return Coral(names, tuple(notes), column, found, matrices, center)


def apply(frame: pd.DataFrame, state: Coral) -> pd.DataFrame:
    """Return `frame` with the rows of each fitted batch through its matrix; others stay, with a warning."""
    values, rows = frames.matrix(frame, state.features), frames.defined(frame)
    of = frames.text(frame, state.column)
    for batch in sorted(set(of[rows])):
        mine = rows & (of == batch)
        if batch in state.batches:
            filled = frames.gaps_filled(values[mine], np.ones(mine.sum(), dtype=bool), state.center)
            values[mine] = filled @ state.matrices[state.batches.index(batch)]
        else:
            logger.warning("coral: batch %r has no matrix; its profiles are left unchanged", batch)
    return frames.replaced(frame, state.features, values)


def _covariance(values: Array) -> Array:
    """Return the covariance (ddof 0) of the columns, (d, d); also for a single column."""
    centred = values - values.mean(axis=0)
    result: Array = centred.T @ centred / len(values)
    return result
