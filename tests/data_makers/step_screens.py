"""Screens of noise for the tests of the steps, and a function that applies steps to them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from options import options
from wellspring.align.alignment import STEPS, apply_alignment, fit_alignment
from wellspring.io import tables

OPTIONS = options("fit", max_correlation=None)
SIZE = 6
NAMES = [f"e_{number}" for number in range(SIZE)]
# Harmony's package is in no environment of the tests; all other steps can be fitted here.
ALONE = [name for name in STEPS if name != "harmony"]


def screen(rng, *, plates=6, controls=16, treated=24, shuffled=True):
    """Return plates of one line and two batches, pure noise, each treatment once per plate.

    Positions are shuffled on each plate; without `shuffled`, controls have the first ones and each treatment its own.
    """
    wells = controls + treated
    parts = []
    for plate in range(plates):
        place = rng.permutation(wells) if shuffled else np.arange(wells)
        part = pd.DataFrame(
            {"Metadata_Plate": f"P{plate}", "Metadata_Well": [f"A{number + 1:02d}" for number in place]}
        )
        part["Metadata_Cell_Line"] = "U2OS"
        part["Metadata_Batch"] = f"b{plate % 2}"
        part["Metadata_pert_type"] = ["negcon"] * controls + ["trt"] * treated
        part["Metadata_Perturbation"] = ["DMSO"] * controls + [f"t{number}" for number in range(treated)]
        part["Metadata_Count_Cells"] = pd.array(rng.integers(80, 121, wells), dtype="Int32")
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    frame["Metadata_Verdict"], frame["Metadata_Reason"] = "keep", ""
    return pd.concat([frame, pd.DataFrame(rng.normal(size=(len(frame), SIZE)), columns=NAMES)], axis=1)


def controls_of(frame):
    return (frame["Metadata_pert_type"] == "negcon").to_numpy()


def through(frame, *names, controls=None, **changed):
    """Return the frame after the steps, which are fitted on it, and the alignment."""
    alignment = fit_alignment(frame, options=replace(OPTIONS, steps=names, **changed), controls=controls)
    return apply_alignment(frame, alignment), alignment


def values(frame, rows=slice(None)):
    return frame.loc[rows, tables.features(frame)].to_numpy(dtype=np.float64)
