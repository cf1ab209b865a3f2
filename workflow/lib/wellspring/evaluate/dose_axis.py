"""The axis of a compound, from the negative controls to its own highest dose, fitted without the well that it places.

Compounds of different mechanisms move profiles in different directions, so that one axis (that of a positive control)
orders the doses of few of them. The axis of a compound in a cell line is the mean of the wells of its highest dose,
each less the mean negative control of its own plate. A well of the highest dose is placed on the axis of the others.
So no well is placed on an axis that it helped to fit, and a compound without effect has no order of its doses.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.wells import Array


def top_dose_scores(features: Array, metadata: pd.DataFrame, concentration: Array, member: Array) -> Array:
    """Return the place (n,) of each well of a dose series on its compound's axis: 0 for controls, 1 for the top dose.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows with Metadata_Plate, Metadata_pert_type and Metadata_Compound.
    concentration
        (n,) doses.
    member
        (n,) bool, the wells of dose series. Wells of other compounds are NaN, and so is a well without a profile, on a
        plate without negative controls, or that is the only one of its compound's highest dose.
    """
    usable, plate = wells.defined(features, metadata), wells.column(metadata, wells.PLATE).astype(str)
    control, scores = usable & wells.kind(metadata, "negcon"), np.full(len(metadata), np.nan)
    centres = {name: features[control & (plate == name)].mean(axis=0) for name in sorted(set(plate[control]))}
    known = usable & member & np.isin(plate, list(centres))
    compound, line = wells.column(metadata, "Metadata_Compound").astype(str), wells.lines(metadata)
    series = pd.Series([f"{a} in {b}" for a, b in zip(compound, line, strict=True)], dtype=object)
    for _, places in pd.Series(np.flatnonzero(known)).groupby(series[known].to_numpy(), sort=True):
        mine = places.to_numpy()
        moved = features[mine] - np.array([centres[name] for name in plate[mine]])
        top = concentration[mine] == concentration[mine].max()
        total, count = moved[top].sum(axis=0), int(top.sum())
        # The axis of a well of the highest dose is that of the others.
        axis = (total - np.where(top[:, None], moved, 0.0)) / np.maximum(count - top, 1)[:, None]
        length = (axis**2).sum(axis=1)
        place = np.divide((moved * axis).sum(axis=1), length, out=np.full(len(mine), np.nan), where=length > 0)
        scores[mine] = np.where(count - top > 0, place, np.nan)
    return scores
