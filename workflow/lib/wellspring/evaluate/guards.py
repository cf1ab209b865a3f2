"""What a score is held against: profiles of the well's position alone, and words where it coincides with treatment.

In flow well metadata, out flow features or sentences.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells


def position_features(metadata: pd.DataFrame) -> np.ndarray:
    """Return features (n, 4) that hold the well's row and column and nothing else.

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


def confounding(metadata: pd.DataFrame) -> str:
    """Return a sentence where treatments stand in the same wells on every plate they are on, else "".

    Judged on treatments that are on at least two plates.
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
    if not len(several):
        return ""
    fixed = int((several["nunique"] == 1).sum())
    if fixed == len(several):
        return "perturbation and position coincide: each treatment has the same wells on all plates"
    if fixed > len(several) / 2:
        return f"perturbation and position coincide for {fixed} of {len(several)} treatments"
    return ""
