"""Dose curves. Input: aligned profiles. Output: points of one panel per compound, with all encoders."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate.dose import axis_scores
from wellspring.io import tables
from wellspring.report.naming import natural
from wellspring.report.svg import fixed, number

Points = list[tuple[float, float, str]]
COLUMNS = ["Metadata_Plate", "Metadata_Well", "Metadata_Compound", "Metadata_Concentration", "Metadata_pert_type"]
LIMIT = 60  # compounds that are drawn


def curves(
    aligned: Mapping[str, pd.DataFrame], *, minimum: int = 3, limit: int = LIMIT
) -> dict[str, dict[str, Points]]:
    """Return compound -> encoder -> (concentration, score, words) of the wells.

    The first `limit` compounds with at least `minimum` concentrations. A score is a well's place on the axis from the
    negative (0) to the positive (1) controls of its plate, as the evaluation reads it.
    """
    dosed = {}
    for encoder, frame in aligned.items():
        names = tables.features(frame)
        if frame.empty or not names or not set(COLUMNS) <= set(frame):
            continue
        rows = frame[COLUMNS].assign(Score=axis_scores(frame[names].to_numpy(dtype=float), frame))
        rows = rows[(rows["Metadata_pert_type"] == "trt") & rows["Metadata_Concentration"].notna()]
        rows = rows[np.isfinite(rows["Score"]) & rows["Metadata_Compound"].notna()]
        levels = rows.groupby("Metadata_Compound")["Metadata_Concentration"].nunique()
        dosed[encoder] = rows[rows["Metadata_Compound"].isin(levels.index[levels >= minimum])]
    compounds = sorted({str(name) for rows in dosed.values() for name in rows["Metadata_Compound"]}, key=natural)[
        :limit
    ]
    found: dict[str, dict[str, Points]] = {compound: {} for compound in compounds}
    for encoder, rows in dosed.items():
        shown = rows[rows["Metadata_Compound"].astype(str).isin(compounds)]
        for compound, wells in shown.groupby("Metadata_Compound", sort=True):
            found[str(compound)][encoder] = [_point(encoder, row) for row in wells.to_dict("records")]
    return found


def unit(aligned: Mapping[str, pd.DataFrame]) -> str:
    """Return the unit of the concentrations, empty if it is not known."""
    name = "Metadata_Concentration_Unit"
    found = {str(value) for frame in aligned.values() if name in frame for value in frame[name].dropna().unique()}
    return found.pop() if len(found) == 1 else ""


def _point(encoder: str, row: Mapping[str, Any]) -> tuple[float, float, str]:
    dose, score = float(row["Metadata_Concentration"]), float(row["Score"])
    head = f"{encoder}, {row['Metadata_Plate']} {row['Metadata_Well']}"
    return dose, score, f"{head}\n{row['Metadata_Compound']} {number(dose)}: {fixed(score)}"
