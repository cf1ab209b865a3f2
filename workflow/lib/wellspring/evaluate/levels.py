"""Which profiles are judged at each level: aggregated, normalised, aligned; always in two folds of negative controls.

In flow joined tables of the first two levels, out flow, for each level, two frames. The negative controls of each plate
are split into two seeded halves. At `aligned`, the transform of a fold is fitted on one half and its frame holds the
other half, because sphering judged on the controls that it was fitted on makes noise look active. At the other
levels the folds hold the same halves, so that levels differ in nothing but the processing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from wellspring.evaluate import wells

logger = logging.getLogger(__name__)

LEVELS = ("aggregated", "normalised", "aligned")


def join(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the plates' tables as one, sorted by plate and well, empty wells left out, with `Metadata_Edge` (bool)."""
    frame = pd.concat(list(frames), ignore_index=True)
    for plate in sorted(set(wells.column(frame, wells.PLATE))):
        mine = (frame[wells.PLATE] == plate).to_numpy()
        frame.loc[mine, "Metadata_Edge"] = wells.positions(frame[mine].drop(columns="Metadata_Edge", errors="ignore"))[
            "edge"
        ].to_numpy()
    frame = frame[~wells.kind(frame, "empty")]
    order = (
        frame[[wells.PLATE, "Metadata_Well"]]
        .astype(str)
        .sort_values([wells.PLATE, "Metadata_Well"], kind="stable")
        .index
    )
    return frame.loc[order].reset_index(drop=True)


def halves(metadata: pd.DataFrame, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two disjoint masks (n,) that split the defined negative controls of each plate, at random, evenly.

    Of an odd number the extra one goes to one half and the other in turn.
    """
    control = wells.kind(metadata, "negcon")
    if "Metadata_Verdict" in metadata:
        control &= (metadata["Metadata_Verdict"] == "keep").to_numpy()
    plate, rng, turn = wells.column(metadata, wells.PLATE), np.random.default_rng(seed), 0
    first = np.zeros(len(metadata), dtype=bool)
    for name in sorted({str(value) for value in plate[control]}):
        mine = rng.permutation(np.flatnonzero(control & (plate.astype(str) == name)))
        size = len(mine) // 2 + (turn if len(mine) % 2 else 0)
        turn = 1 - turn if len(mine) % 2 else turn
        first[mine[:size]] = True
    return first, control & ~first


def folds(frame: pd.DataFrame, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frame twice, each time with one half of the negative controls left out."""
    first, second = halves(frame, seed=seed)
    return frame[~first].reset_index(drop=True), frame[~second].reset_index(drop=True)


def aligned_folds(
    frame: pd.DataFrame,
    *,
    seed: int,
    options: Mapping[str, object],
    fit: Callable | None = None,
    apply: Callable | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return normalised profiles aligned twice; each holds the half of the controls that its transform did not see.

    Parameters
    ----------
    frame
        Normalised profiles, joined (`join`). Plates of role `fit` are fitted on, the others only projected.
    options
        The config section `fit`; its `min_controls` is halved, so that a half is treated as the whole was.
    fit, apply
        `fit(frame, features=, options=, controls=)` and `apply(frame, state)`; default those of `wellspring.align`.
    """
    if fit is None or apply is None:
        from wellspring.align import apply_alignment, fit_alignment

        fit, apply = fit or fit_alignment, apply or apply_alignment
    options = dict(options)
    if "min_controls" in options:
        options["min_controls"] = max(2, (int(options["min_controls"]) + 1) // 2)
    features = [name for name in frame.columns if not name.startswith("Metadata_")]
    role = wells.column(frame, "Metadata_Role")
    fitted = np.isin(role, ["fit"]) if any(value is not None for value in role) else np.ones(len(frame), dtype=bool)
    source = frame[fitted].reset_index(drop=True)
    results = []
    for half in halves(frame, seed=seed):
        state = fit(source, features=features, options=options, controls=half[fitted])
        results.append(apply(frame[~half].reset_index(drop=True), state))
    return results[0], results[1]


def split_role(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the wells of plates that fit or are projected, and those of plates held out."""
    held = wells.column(frame, "Metadata_Role") == "heldout"
    return frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True)
