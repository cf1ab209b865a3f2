"""Make well profiles with known effects, without images, and the table of their truth.

For statistics with hundreds of treatments, for which drawing cells would take hours without further insight.
"""

import numpy as np
import pandas as pd

from wellspring.io.keys import WELL_KEY

FORMATS = ((8, 12), (16, 24), (32, 48))
"""Rows and columns of the plates that wells are placed on: the smallest that holds them."""


def feature_screen(
    *,
    seed: int,
    batches: int = 2,
    cell_lines: int = 1,
    plates: int = 2,
    controls: int = 32,
    active: int = 40,
    inactive: int = 40,
    mechanisms: int = 10,
    replicates: int = 1,
    features: int = 64,
    effect: float = 1.0,
    mechanism_share: float = 0.7,
    batch_shift: float = 0.5,
    plate_shift: float = 0.5,
    plate_scale: float = 0.15,
    edge_shift: float = 0.3,
    correlation: float = 0.5,
    fixed_layout: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a screen of well profiles.

    Each batch has `plates` plates of each cell line; each plate has every treatment `replicates` times. Shifts are in
    units of the spread between control wells of a plate, root mean square over the features. `effect` is the shift of
    an active compound: a `mechanism_share` of its square is common to its mechanism, the rest specific to the compound;
    inactive compounds have no shift. `batch_shift` and `plate_shift` are shifts of all wells of a batch or plate,
    `edge_shift` of outer wells, in one direction per plate. `plate_scale` is the log sd of a plate's spread, per
    feature; `correlation` is the share of the wells' variance in a few common directions. With `fixed_layout`, all
    plates have the same layout.

    Returns (profiles, truth). Profiles: one row per well, the well columns of a profile table, then float32 features
    "x_0" ... . Truth: one row per treatment: compound, concentration, mechanism (None where inactive), active, effect.
    Raises ValueError where a plate cannot hold its wells or a number is out of range.
    """
    if active and not 1 <= mechanisms <= active:
        raise ValueError(f"mechanisms: expected 1 to {active} (active compounds), found {mechanisms}")
    if not 0 <= mechanism_share <= 1 or not 0 <= correlation < 1:
        raise ValueError(
            f"expected mechanism_share in [0, 1] and correlation in [0, 1), found {mechanism_share} and {correlation}"
        )
    count = controls + replicates * (active + inactive)
    positions, outer = _positions(count)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    truth = _truth(active, inactive, mechanisms=mechanisms, effect=effect)
    shifts = _shifts(truth, rng, features=features, effect=effect, share=mechanism_share)
    contents = np.concatenate([np.full(controls, -1), np.repeat(np.arange(len(truth)), replicates)])
    loadings = _unit(rng.standard_normal((max(1, features // 8), features)))
    order = rng.permutation(len(positions))[:count]
    frames, values = [], []
    for batch in range(batches):
        of_batch = batch_shift * _unit(rng.standard_normal(features))
        for line in range(cell_lines):
            for plate in range(plates):
                order = order if fixed_layout else rng.permutation(len(positions))[:count]
                common = rng.standard_normal((count, len(loadings))) @ loadings / np.sqrt(len(loadings))
                wells = np.sqrt(correlation) * common
                wells += np.sqrt(1 - correlation) * rng.standard_normal((count, features))
                wells += np.where(contents[:, None] < 0, 0.0, shifts[contents] if len(shifts) else 0.0)
                wells += outer[order][:, None] * edge_shift * _unit(rng.standard_normal(features))
                wells *= np.exp(plate_scale * rng.standard_normal(features))
                wells += of_batch + plate_shift * _unit(rng.standard_normal(features))
                names = (f"B{batch + 1}", f"L{line + 1}", f"B{batch + 1}_L{line + 1}_P{plate + 1}")
                frames.append(_describe(truth, contents, positions[order], *names))
                values.append(wells)
    profiles = pd.concat(frames, ignore_index=True)
    columns = pd.DataFrame(np.concatenate(values).astype(np.float32), columns=[f"x_{at}" for at in range(features)])
    profiles = pd.concat([profiles, columns], axis=1)
    return profiles.sort_values(WELL_KEY, ignore_index=True), truth


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (..., F) to a root mean square of 1."""
    scaled: np.ndarray = vectors / np.sqrt((vectors**2).mean(axis=-1, keepdims=True))
    return scaled


def _positions(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Well names of the smallest plate that holds `count` wells, and whether each is an outer one (bool)."""
    for rows, columns in FORMATS:
        if rows * columns >= count:
            letters = [chr(65 + row) if row < 26 else f"A{chr(65 + row - 26)}" for row in range(rows)]
            names = np.array([f"{letter}{column + 1:02d}" for letter in letters for column in range(columns)])
            row, column = np.divmod(np.arange(rows * columns), columns)
            return names, np.isin(row, (0, rows - 1)) | np.isin(column, (0, columns - 1))
    raise ValueError(f"expected at most {FORMATS[-1][0] * FORMATS[-1][1]} wells per plate, found {count}")


def _truth(active: int, inactive: int, *, mechanisms: int, effect: float) -> pd.DataFrame:
    """One row per treatment; active compounds are dealt to the mechanisms in turn."""
    names = [f"mechanism {number % mechanisms + 1:03d}" for number in range(active)] + [None] * inactive
    return pd.DataFrame(
        {
            "compound": [f"compound {number + 1:04d}" for number in range(active + inactive)],
            "concentration": 10.0,
            "mechanism": pd.Series(names, dtype=object),
            "active": [True] * active + [False] * inactive,
            "effect": [effect] * active + [0.0] * inactive,
        }
    )


def _shifts(truth: pd.DataFrame, rng: np.random.Generator, *, features: int, effect: float, share: float) -> np.ndarray:
    """Shift of every treatment, (treatments, features)."""
    own = _unit(rng.standard_normal((len(truth), features)))
    common = {name: _unit(rng.standard_normal(features)) for name in truth["mechanism"].dropna().unique()}
    shifts = np.zeros((len(truth), features))
    for row in np.flatnonzero(truth["active"]):
        shifts[row] = _unit(np.sqrt(share) * common[truth["mechanism"][row]] + np.sqrt(1 - share) * own[row])
    return effect * shifts


def _describe(
    truth: pd.DataFrame, contents: np.ndarray, wells: np.ndarray, batch: str, line: str, plate: str
) -> pd.DataFrame:
    """Metadata of a plate's wells; `contents` is a row of the truth, or -1 for a control."""
    control = contents < 0
    chosen = truth.iloc[np.where(control, 0, contents)].reset_index(drop=True) if len(truth) else None

    def treated(name: str, otherwise: object) -> pd.Series:
        column = chosen[name] if chosen is not None else pd.Series([otherwise] * len(contents), dtype=object)
        return column.astype(object).where(~control, otherwise)

    compound = treated("compound", "DMSO").astype(str)
    return pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": wells,
            "Metadata_Batch": batch,
            "Metadata_Cell_Line": line,
            "Metadata_Optics": plate,
            "Metadata_Role": "fit",
            "Metadata_Compound": compound,
            "Metadata_Concentration": treated("concentration", np.nan).astype(float),
            "Metadata_Perturbation": compound.where(control, compound + "@10.0"),
            "Metadata_pert_type": np.where(control, "negcon", "trt"),
            "Metadata_moa": treated("mechanism", None),
            "Metadata_target": pd.Series([None] * len(contents), dtype=object),
            "Metadata_Site_Count": np.int32(2),
            "Metadata_View_Count": np.int32(80),
            "Metadata_Count_Cells": np.int32(80),
            "Metadata_Verdict": "keep",
            "Metadata_Reason": "",
        }
    )
