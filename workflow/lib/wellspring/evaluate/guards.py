"""Guards of a score: profiles of the well position alone, and notes where position and treatment coincide."""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note


def position_features(metadata: pd.DataFrame) -> Array:
    """Return features (n, 4) that hold the row and column of each well and nothing else.

    Row and column are angles on two half circles, so that the cosine of two wells is 1 at the same position and falls
    with their distance in each direction. A well without a readable position is NaN (undefined).
    """
    place = wells.positions(metadata)
    turns = []
    for name in ("row", "column"):
        values = place[name].to_numpy(dtype=float)
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
        turns.append(np.pi / 2 * (values - low) / max(high - low, 1.0))
    return np.column_stack([function(angle) for angle in turns for function in (np.cos, np.sin)])


def confounding(metadata: pd.DataFrame) -> tuple[Note, ...]:
    """Return a note where more than half of the treatments have the same wells on every plate, else nothing.

    Counts treatments on at least two plates.
    """
    treated = wells.kind(metadata, "trt")
    frame = pd.DataFrame(
        {
            "name": wells.perturbations(metadata),
            "plate": wells.column(metadata, wells.PLATE),
            "well": wells.column(metadata, "Metadata_Well"),
        }
    )[treated].dropna()
    sets = frame.groupby(["name", "plate"])["well"].agg(lambda names: frozenset(names)).reset_index()
    by_name = sets.groupby("name")["well"].agg(["size", "nunique"])
    several = by_name[by_name["size"] > 1]
    fixed = int((several["nunique"] == 1).sum())
    if fixed > len(several) / 2:
        return (Note("treatment_fixed_to_wells", {"fixed": fixed, "total": len(several)}),)
    return ()
