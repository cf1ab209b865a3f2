"""Complete a table of profiles of other software with the columns that this workflow adds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.screen import treatments

NULLS = ("Cell_Line", "Batch", "moa", "target", "Concentration", "pert_type", "Compound", "Perturbation")


def complete(profiles: pd.DataFrame, *, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table with the columns that this workflow adds, where they can be filled in."""
    frame = profiles.reset_index(drop=True)
    names = tables.features(frame)
    if "Metadata_Perturbation" not in frame and "Metadata_Compound" in frame:
        doses = frame["Metadata_Concentration"] if "Metadata_Concentration" in frame else [None] * len(frame)
        pairs = zip(frame["Metadata_Compound"], doses, strict=True)
        frame["Metadata_Perturbation"] = [None if pd.isna(one) else treatments.name(one, dose) for one, dose in pairs]
    absent = [name for name in (*WELL_KEY, *needed) if name not in frame]
    if absent:
        raise ValueError(
            f"profiles: no column {', '.join(absent)}; rename the columns that hold this, for example "
            f"profiles.rename(columns={{'NAME': '{absent[0]}'}})"
        )
    words = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
    if words:
        raise ValueError(f"profiles: features must be numeric, found text in {words[:10]}; call them Metadata_NAME")
    finite = np.isfinite(frame[names].to_numpy(dtype=np.float64)).any(axis=1)
    fill: dict[str, Any] = {
        "Metadata_Role": "fit",
        "Metadata_Reason": "",
        "Metadata_Verdict": np.where(finite, "keep", "undefined"),
    }
    fill |= {f"Metadata_{name}": None for name in NULLS}
    return frame.assign(**{name: value for name, value in fill.items() if name not in frame})
