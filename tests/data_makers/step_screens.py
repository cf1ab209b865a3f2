"""Screens of noise for the tests of the steps, and the way through them."""

import numpy as np
import pandas as pd

from wellspring.align.alignment import STEPS, apply_alignment, fit_alignment
from wellspring.io import tables
from wellspring.screen.config import schema

SECTION = schema()["properties"]["fit"]["properties"]
OPTIONS = {name: part["default"] for name, part in SECTION.items()} | {"max_correlation": None}
SIZE = 6
NAMES = [f"e_{number}" for number in range(SIZE)]
# Harmony's package is in no environment of the tests; all others can be fitted here.
ALONE = [name for name in STEPS if name != "harmony"]


def screen(rng, *, plates=6, controls=16, treated=24, shuffled=True):
    """Return plates of one line and two batches, pure noise, each treatment once a plate.

    Positions are dealt anew on each plate, or else the controls hold the first ones and each treatment its own.
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
    """Return the frame through the steps, fitted on itself, and the alignment."""
    alignment = fit_alignment(frame, options=OPTIONS | {"steps": list(names)} | changed, controls=controls)
    return apply_alignment(frame, alignment), alignment


def values(frame, rows=slice(None)):
    return frame.loc[rows, tables.features(frame)].to_numpy(dtype=np.float64)
