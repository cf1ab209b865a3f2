"""Harmony: move the wells of each batch towards those that they resemble in other batches (Korsunsky et al. 2019).

In flow profiles, out flow the same wells corrected. Harmony is no map that could be applied to another well: it
clusters the wells that it is given and moves them. What is fitted is therefore the corrected values themselves, by
plate and well, and a plate that was not among them is refused. For the same reason a score of its output is not
cross-fitted: the wells that are judged were always there when it was computed.

`harmonypy` (version 2; GPL-3.0-or-later) is no part of this workflow's environments. Whoever wants the step installs
it, or runs with `--software-deployment-method conda`, for which `envs/harmony.yaml` has it.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import State
from wellspring.io import tables
from wellspring.io.keys import WELL_KEY

WELLS_A_CLUSTER, MOST = 30, 100  # harmonypy's own numbers, which gives no cluster to fewer than 15 wells


@dataclass(frozen=True)
class Corrected(State):
    """`values` (wells, d) of the wells with a profile, by their `plates` and `wells`."""

    plates: tuple[str, ...]
    wells: tuple[str, ...]
    values: np.ndarray


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Corrected:
    """Correct all wells with a profile; where there is one batch only, they stay as they are, and a note says so.

    Parameters
    ----------
    frame
        Profiles; their order does not count. A value that is not finite counts as the controls' mean.
    controls
        (rows,) bool, the controls of this fit.
    options
        batches: the metadata column that tells batches apart.

    Raises
    ------
    ModuleNotFoundError
        Without harmonypy; says how to get it.
    """
    names, column = tuple(tables.features(frame)), str(options["batches"])
    values = frames.matrix(frame, names)
    values = frames.gaps_filled(values, frames.defined(frame), frames.mean_of(values[np.asarray(controls, dtype=bool)]))
    order = frame.reset_index(drop=True).loc[frames.defined(frame), WELL_KEY].astype(str).sort_values(WELL_KEY)
    batches, values = frames.text(frame, column)[order.index], values[order.index]
    found, key = sorted(set(batches)), (tuple(order[name]) for name in WELL_KEY)
    if len(found) < 2 or not names:
        return Corrected(names, (f"one value of {column}: left as they are",), *key, values)
    clusters = int(np.clip(round(len(values) / WELLS_A_CLUSTER), 1, MOST))
    result = _package().run_harmony(
        np.ascontiguousarray(values.T), {column: batches}, [column], nclust=clusters, random_state=0, verbose=False
    )
    corrected = np.asarray(result.Z_corr, dtype=np.float64)
    if corrected.shape != values.shape:
        raise ValueError(f"harmony: expected harmonypy 2, which gives {values.shape}, found {corrected.shape}")
    note = f"{len(values)} wells of {len(found)} values of {column}, {clusters} clusters; not cross-fitted in scores"
    return Corrected(names, (note,), *key, corrected)


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
            f"harmony: expected wells of the {len(set(state.plates))} plates that it was fitted on, found others of "
            f"{strange}; Harmony has no map for them: give their plates the role fit, or leave the step out"
        )
    values = np.full((len(frame), len(state.features)), np.nan)
    values[rows] = state.values[place]
    return frames.replaced(frame, state.features, values)


def _package() -> ModuleType:
    try:
        return importlib.import_module("harmonypy")
    except ModuleNotFoundError as error:
        message = (
            "harmony: expected the package harmonypy (GPL-3.0-or-later, no part of this workflow's environments), "
            "found none: `pip install harmonypy==2.1.0`, or run with conda, or take harmony out of fit.steps"
        )
        raise ModuleNotFoundError(message, name="harmonypy") from error
