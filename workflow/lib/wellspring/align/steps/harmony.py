"""Harmony: move the wells of each batch towards similar wells of other batches (Korsunsky et al. 2019).

Harmony is not a map that could be applied to other wells: it clusters the given wells and moves them. The state
therefore holds the corrected values by plate and well, and other plates are refused. For the same reason scores of its
output are not cross-fitted: the wells that are judged took part in the fit.

Wells that are unlike all others (:mod:`wellspring.align.odd_plates`) take no part, so that they cannot move the others.
They get the values of a second fit, of all wells: a plate far from all others may be a batch that can be corrected.

`harmonypy` (version 2; GPL-3.0-or-later) is not in this workflow's environments. Install it to use the step, or run
with `--software-deployment-method conda`, which installs it from `envs/harmony.yaml`.
"""

import importlib
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.io.notes import Note, Scalar
from wellspring.screen.sections import Fit

WELLS_PER_CLUSTER, MOST = 30, 100  # harmonypy's defaults; it makes no cluster of fewer than 15 wells


@dataclass(frozen=True)
class Corrected(State):
    """`values` (wells, d) of the wells with a profile, by their `plates` and `wells`."""

    plates: tuple[str, ...]
    wells: tuple[str, ...]
    values: Array


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Corrected:
    """Correct all wells with a profile; with a single batch they stay as they are, with a note.

    Parameters
    ----------
    frame
        Profiles, in any order. A value that is not finite is replaced by the mean of the controls.
    controls
        (rows,) bool, the controls of this fit.
    options
        batches: the metadata column of the batches.

    Raises
    ------
    ModuleNotFoundError
        harmonypy is not installed.
    """
    names, column = tuple(tables.features(frame)), options.batches
    values = frames.matrix(frame, names)
    values = frames.gaps_filled(values, frames.defined(frame), frames.mean_of(values[np.asarray(controls, dtype=bool)]))
    order = frame.reset_index(drop=True).loc[frames.defined(frame), WELL_KEY].astype(str).sort_values(WELL_KEY)
    batches, values = frames.text(frame, column)[order.index], values[order.index]
    found, (plates, wells) = sorted(set(batches)), (tuple(order[name]) for name in WELL_KEY)
    if len(found) < 2 or not names:
        return Corrected(names, (Note("single_batch", {"column": column}),), plates, wells, values)
    clusters = int(np.clip(round(len(values) / WELLS_PER_CLUSTER), 1, MOST))
    result = _package().run_harmony(
        np.ascontiguousarray(values.T), {column: batches}, [column], nclust=clusters, random_state=0, verbose=False
    )
    corrected = np.asarray(result.Z_corr, dtype=np.float64)
    if corrected.shape != values.shape:
        raise ValueError(f"harmony: expected harmonypy 2, which gives {values.shape}, found {corrected.shape}")
    fitted: dict[str, Scalar] = {"wells": len(values), "batches": len(found), "column": column, "clusters": clusters}
    note = Note("harmony_fitted", fitted)
    return Corrected(names, (note,), plates, wells, corrected)


def joined(state: Corrected, whole: Corrected) -> Corrected:
    """Return the state of a fit with the wells that took no part in it, at the values of a fit of all wells.

    Parameters
    ----------
    state
        Of a fit without some wells.
    whole
        Of a fit of all wells, with the same features.
    """
    known = pd.MultiIndex.from_arrays([state.plates, state.wells])
    further = np.flatnonzero(known.get_indexer(pd.MultiIndex.from_arrays([whole.plates, whole.wells])) < 0)
    return replace(
        state,
        plates=(*state.plates, *(whole.plates[place] for place in further)),
        wells=(*state.wells, *(whole.wells[place] for place in further)),
        values=np.concatenate([state.values, whole.values[further]]),
    )


def apply(frame: pd.DataFrame, state: Corrected) -> pd.DataFrame:
    """Return `frame` with the values that were computed for its wells.

    Raises
    ------
    ValueError
        Names plates or wells that Harmony did not see.
    """
    known = pd.MultiIndex.from_arrays([state.plates, state.wells], names=WELL_KEY)
    rows = frames.defined(frame)
    wells = frame.loc[rows, WELL_KEY].astype(str)
    place = known.get_indexer(pd.MultiIndex.from_frame(wells))
    if (place < 0).any():
        strange = sorted(set(wells.loc[place < 0, "Metadata_Plate"]))[:5]
        raise ValueError(
            f"harmony: expected wells of the {len(set(state.plates))} plates of the fit, found other wells of plates "
            f"{strange}; Harmony cannot be applied to new wells: give these plates the role fit, or remove the step"
        )
    values = np.full((len(frame), len(state.features)), np.nan)
    values[rows] = state.values[place]
    return frames.replaced(frame, state.features, values)


def _package() -> ModuleType:
    try:
        return importlib.import_module("harmonypy")
    except ModuleNotFoundError as error:
        message = (
            "harmony: expected the package harmonypy (GPL-3.0-or-later, not in this workflow's environments), found "
            "none: `pip install harmonypy==2.1.0`, or run with conda, or remove harmony from fit.steps"
        )
        raise ModuleNotFoundError(message, name="harmonypy") from error
