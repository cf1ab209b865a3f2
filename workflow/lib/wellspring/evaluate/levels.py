"""Which wells are judged at each level (aggregated, normalised, aligned): the same, so that levels can be compared.

In flow the plates' tables, out flow joined frames. At `aligned` every plate is judged with all of its controls by a
transform that did not see them (`wellspring.evaluate.crossfit`). A plate that can not be judged so is `halved`: judged
twice, with one half of its controls each time, and at all levels, so that these differ in nothing but the processing.

Plates are centred on their controls, and the error of that centre is common to all treated wells of a plate, but not to
the controls, which it follows. So replicates on one plate resemble each other more than the controls: of inactive
treatments with four wells on a single plate (768 features) p < .05 reach 87 % with 8 controls, 54 % with 16, 27 % with
32. A halved plate is therefore centred anew, on the half that it is not judged with: 7.9, 4.1, 5.1 %.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.io import tables

LEVELS = ("aggregated", "normalised", "aligned")
CENTRED = 1e-4


def join(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the plates' tables as one, sorted by plate and well, empty wells left out, with `Metadata_Edge` (bool)."""
    frame = pd.concat(list(frames), ignore_index=True)
    for plate in sorted(set(wells.column(frame, wells.PLATE))):
        mine = (frame[wells.PLATE] == plate).to_numpy()
        frame.loc[mine, "Metadata_Edge"] = wells.positions(frame[mine].drop(columns="Metadata_Edge", errors="ignore"))[
            "edge"
        ].to_numpy()
    return by_place(frame[~wells.kind(frame, "empty")])


def by_place(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by plate and well."""
    keys = frame[[wells.PLATE, "Metadata_Well"]].astype(str)
    return frame.loc[keys.sort_values([wells.PLATE, "Metadata_Well"], kind="stable").index].reset_index(drop=True)


def kept(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows (n,) have a profile by their verdict; all, where the table has none."""
    if "Metadata_Verdict" not in frame:
        return np.ones(len(frame), dtype=bool)
    return (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)


def defined_controls(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows (n,) are negative controls with a profile."""
    return wells.kind(frame, "negcon") & kept(frame)


def fitting(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows (n,) are of plates of role `fit`; all, where no plate has a role."""
    role = wells.column(frame, "Metadata_Role")
    return role == "fit" if any(value is not None for value in role) else np.ones(len(frame), dtype=bool)


def halves(frame: pd.DataFrame, *, plates: Collection[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two disjoint masks (n,) that split the defined negative controls of each of `plates`, at random, evenly.

    Of an odd number the extra one goes to one half and the other in turn.
    """
    control, plate = defined_controls(frame), wells.column(frame, wells.PLATE).astype(str)
    first, second = np.zeros((2, len(frame)), dtype=bool)
    rng, turn = np.random.default_rng(seed), 0
    for name in sorted(plates):
        mine = rng.permutation(np.flatnonzero(control & (plate == name)))
        size = len(mine) // 2 + (turn if len(mine) % 2 else 0)
        turn = 1 - turn if len(mine) % 2 else turn
        first[mine[:size]] = True
        second[mine[size:]] = True
    return first, second


def recentred(frame: pd.DataFrame, half: np.ndarray, *, aligned: bool = False) -> pd.DataFrame:
    """Return the frame with each plate of the controls `half`, (n,) bool, centred on them.

    By the median or the mean, whichever is zero over all controls of the plate. A plate of which neither is (profiles
    that were not normalised) stays as it is, but of `aligned` profiles, which have moved on since, by the median.
    """
    features, plate = tables.features(frame), wells.column(frame, wells.PLATE).astype(str)
    values, control = frame[features].to_numpy(dtype=np.float64, copy=True), defined_controls(frame)
    for name in sorted(set(plate[half])):
        mine = plate == name
        for center in (np.median, np.mean):
            # Profiles are float32 in units of the controls' spread; what is centred is within 1e-6.
            whole = center(values[mine & control], axis=0)
            if aligned or (np.abs(whole[np.isfinite(whole)]) < CENTRED).all():
                values[mine] -= np.nan_to_num(center(values[mine & half], axis=0))
                break
    metadata = frame[[name for name in frame.columns if name.startswith("Metadata_")]]
    return pd.concat([metadata, pd.DataFrame(values, columns=features, index=frame.index)], axis=1)


def judged(
    frame: pd.DataFrame, *, halved: Collection[str], seed: int, recentre: bool = True, aligned: bool = False
) -> tuple[pd.DataFrame, ...]:
    """Return the frame, or, with plates that are `halved`, twice: without a half of their controls, centred on it."""
    here = set(halved) & set(wells.column(frame, wells.PLATE).astype(str))
    if not here:
        return (frame,)
    both = halves(frame, plates=here, seed=seed)
    frames = ((recentred(frame, half, aligned=aligned) if recentre else frame, half) for half in both)
    return tuple(each[~half].reset_index(drop=True) for each, half in frames)


def split_role(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the wells of plates that fit or are projected, and those of plates held out."""
    held = wells.column(frame, "Metadata_Role") == "heldout"
    return frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True)
