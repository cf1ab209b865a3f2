"""Properties of treatments or plates among the features: constant in all wells of one, as a mass or a temperature.

No measurement of an image has exactly the same value in two wells, so that such a column is not a feature.
"""

from collections.abc import Sequence

import pandas as pd

FEWEST = 2  # treatments or plates of several wells, within which a property is constant


def described(frame: pd.DataFrame, features: Sequence[str]) -> list[str]:
    """Return the features that are constant within each treatment, or within each plate; none if most features are.

    Examples
    --------
    >>> wells = {"Metadata_Plate": ["p"] * 4, "Metadata_Perturbation": ["a", "a", "b", "b"]}
    >>> described(pd.DataFrame({**wells, "mass": [3.0, 3.0, 4.0, 4.0], "area": [1.0, 2.0, 3.0, 4.0]}), ["mass", "area"])
    ['mass']
    """
    found = set[str]()
    for key, fewest in (("Metadata_Perturbation", FEWEST), ("Metadata_Plate", 1)):
        known = frame[frame[key].notna()]
        several = known[known.duplicated(key, keep=False)]
        if several[key].nunique() < fewest:
            continue
        groups = several.groupby(key)[list(features)]
        least, most = groups.min(), groups.max()
        same = ((least == most) | (least.isna() & most.isna())).all() & least.notna().any()
        found |= set(same.index[same])
    constant = [name for name in features if name in found]
    return [] if len(constant) * 2 > len(features) else constant
