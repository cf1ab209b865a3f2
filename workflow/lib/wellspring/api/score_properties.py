"""Properties of treatments, plates or positions among the features: constant in all wells of one, as a mass or an edge.

No measurement of an image has exactly the same value in two wells, so that such a column is not a feature.
"""

from collections.abc import Sequence

import pandas as pd

from wellspring.screen import well_names

FEWEST = 2  # groups of several wells, within which a property is constant
# Columns whose groups may have a property of their own, and how many groups of several wells are needed to see it.
GROUPS = {
    "Metadata_Perturbation": FEWEST,
    "Metadata_Plate": 1,
    "Metadata_Well": FEWEST,
    "Metadata_Batch": FEWEST,
    "Metadata_Cell_Line": FEWEST,
    "Metadata_moa": FEWEST,
    "Metadata_target": FEWEST,
}


def described(frame: pd.DataFrame, features: Sequence[str], *, label: str | None = None) -> list[str]:
    """Return the features that are constant within each group of `GROUPS`, or each row or column of a plate.

    Groups of the column `label` count too. None is returned if most features are constant.

    Examples
    --------
    >>> wells = {"Metadata_Plate": ["p"] * 4, "Metadata_Perturbation": ["a", "a", "b", "b"]}
    >>> described(pd.DataFrame({**wells, "mass": [3.0, 3.0, 4.0, 4.0], "area": [1.0, 2.0, 3.0, 4.0]}), ["mass", "area"])
    ['mass']
    """
    found = set[str]()
    groups = GROUPS | ({label: FEWEST} if label is not None else {})
    keys = [(frame[name], fewest) for name, fewest in groups.items() if name in frame]
    if "Metadata_Well" in frame and frame["Metadata_Well"].map(well_names.is_well).all():
        places = frame["Metadata_Well"].map(well_names.normalise).map(well_names.position)
        keys += [(places.str[axis], FEWEST) for axis in (0, 1)]
    for key, fewest in keys:
        several = key.notna() & key.duplicated(keep=False)
        if key[several].nunique() < fewest:
            continue
        within = frame.loc[several, list(features)].groupby(key[several])
        least, most = within.min(), within.max()
        same = ((least == most) | (least.isna() & most.isna())).all() & least.notna().any()
        found |= set(same.index[same])
    constant = [name for name in features if name in found]
    return [] if len(constant) * 2 > len(features) else constant
