"""Coral: give the controls of each batch the covariance of all controls.

In flow profiles that were sphered, out flow profiles whose batches agree in how controls vary. `sphere` and then
`coral`, after the scaling of each plate on its controls, are the typical variation normalisation (TVN) of Ando et al.
2017 (bioRxiv 161422), which took correlation alignment from Sun et al. 2016.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.sphering import inverse_root
from wellspring.align.steps.state import State
from wellspring.io import tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coral(State):
    """A matrix a batch.

    Attributes
    ----------
    column, batches
        The metadata column, and those of its values that have a matrix.
    matrices
        (batches, d, d), each applied from the right.
    center
        (d,) mean of the controls, which stands for a value that is not finite.
    """

    column: str
    batches: tuple[str, ...]
    matrices: np.ndarray
    center: np.ndarray


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Coral:
    """Fit `(C_batch + I)^-1/2 (C_all + I)^1/2` on the controls of each batch, not centred again (Ando et al. 2017).

    Options: batches (the column), min_controls: a batch with fewer stays as it is, and a note says so.
    """
    names, rows = tuple(tables.features(frame)), np.asarray(controls, dtype=bool)
    column, needed = str(options["batches"]), int(options["min_controls"])
    values = frames.matrix(frame.loc[rows], names)
    center = frames.mean_of(values)
    values = np.where(np.isnan(values), center, values)
    of = frames.text(frame, column)[rows]
    counts = {batch: int((of == batch).sum()) for batch in sorted(set(of))}
    found = tuple(batch for batch, count in counts.items() if count >= needed)
    few = {batch: count for batch, count in counts.items() if count < needed}
    notes = [f"{len(found)} of {len(counts)} batches matched"]
    notes += [f"{batch}: {count} controls, {needed} needed: left as it is" for batch, count in few.items()]
    matrices = np.zeros((len(found), len(names), len(names)))
    if found:
        whole = inverse_root(_covariance(values), ridge=1.0, power=0.5)
        for number, batch in enumerate(found):
            matrices[number] = inverse_root(_covariance(values[of == batch]), ridge=1.0, power=-0.5) @ whole
    return Coral(names, tuple(notes), column, found, matrices, center)


def apply(frame: pd.DataFrame, state: Coral) -> pd.DataFrame:
    """Return `frame` with the rows of each fitted batch through its matrix, the others as they are, which is said."""
    values, rows = frames.matrix(frame, state.features), frames.defined(frame)
    of = frames.text(frame, state.column)
    for batch in sorted(set(of[rows])):
        mine = rows & (of == batch)
        if batch in state.batches:
            filled = frames.gaps_filled(values[mine], np.ones(mine.sum(), dtype=bool), state.center)
            values[mine] = filled @ state.matrices[state.batches.index(batch)]
        else:
            logger.warning("batch %r: no CORAL was fitted, left as it is", batch)
    return frames.replaced(frame, state.features, values)


def _covariance(values: np.ndarray) -> np.ndarray:
    """Return the covariance (ddof 0) of rows, (d, d); also of a single column."""
    centred = values - values.mean(axis=0)
    return centred.T @ centred / len(values)
