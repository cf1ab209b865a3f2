"""The chance level of grit by mechanism: that of compounds without effect in the layout and the centring of the screen.

Wells without any effect are alike as wells of their plates are. How much, the controls show: R is the mean correlation
of two controls of one plate, and Q that of two plates. A plate that was centred on its n controls has treated wells
which share the error of its centre, while the controls take part in it. With the variance u of that error and of
effects of the plate, and the covariance 1 / n of a control and the centre, both in variances of a well:

    R = (u - 2 / n) / (1 + u - 2 / n)                        of two controls, which gives u
    u / (1 + u)                                              of two treated wells
    (u - 1 / n) / root of (1 + u) (1 + u - 2 / n)            of a treated well and a control

Where a plate was not centred on the controls that are judged, as by halves, 1 / n is 0 and all three are R. The mean of
these over the pairs of the layout is divided by the spread of the correlations of the controls. So a level at which
controls are less alike, as the aligned one, has the higher chance.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.centring import Centre
from wellspring.evaluate.wells import Array

NAME = "grit.mechanism"
LEAST = 3  # controls in all
SMALLEST = 1e-9


def excess(
    features: Array, metadata: pd.DataFrame, centres: Mapping[str, Centre], *, label: str = wells.MOA
) -> dict[str, float]:
    """Return by how much grit by mechanism of compounds without effect exceeds 0; empty where this is unknown.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows of the wells that are judged together.
    centres
        How each plate was centred; others were not.
    label
        Column of the mechanisms.
    """
    usable = wells.directed(features, metadata) & wells.varied(features, metadata)
    plate = wells.column(metadata, wells.PLATE).astype(str)
    control = np.flatnonzero(usable & wells.kind(metadata, "negcon"))
    named = usable & wells.labelled(metadata, label, "Metadata_Compound")
    asked = _layout(metadata[named], plate[named], label)
    if len(control) < LEAST or not len(asked):
        return {}
    rows, of = wells.correlated(features[control]), wells.places(plate[control])
    spread, (same, across) = _spread(rows), _alike(rows, of)
    if not spread > SMALLEST or not np.isfinite(same):
        return {}
    total = 0.0
    for name, part in asked.groupby("plate"):
        count = len(of.get(str(name), ()))
        own = str(name) in centres and centres[str(name)].count <= count
        mates, negative = correlations(same, centres[str(name)].count if own else None)
        share, near = part["same"] / part["all"], count / len(control)
        level = share * mates + (1 - share) * across - near * negative - (1 - near) * across
        total += float((level * part["weight"]).sum())
    return {NAME: total / spread}


def correlations(same: float, count: int | None) -> tuple[float, float]:
    """Return the correlation of two treated wells of a plate, and of one and a control, without any effect.

    `same` is that of two controls, and `count` the number of controls on which the plate was centred, if it was.

    Examples
    --------
    >>> correlations(0.1, None)
    (0.1, 0.1)
    >>> mates, negative = correlations(-0.08, 10)  # centred on the mean of ten: u = 0.1, less 2 / 10
    >>> round(mates, 2), round(negative, 2)
    (0.11, 0.03)
    """
    if count is None or not same < 1:
        return same, same
    part = 1 / count
    error = max((same * (1 - 2 * part) + 2 * part) / (1 - same), 0.0)
    return error / (1 + error), (error - part) / float(np.sqrt((1 + error) * max(1 + error - 2 * part, SMALLEST)))


def _layout(metadata: pd.DataFrame, plate: Array, label: str) -> pd.DataFrame:
    """Return of each well with compounds of its mechanism beside it: their wells, those on its plate, its weight.

    A compound is the mean of its wells, and the score that of the compounds.
    """
    names = {"value": label, "compound": "Metadata_Compound"}
    frame = pd.DataFrame({key: wells.column(metadata, name).astype(str) for key, name in names.items()})
    frame = frame.assign(plate=plate, one=1)

    def count(*keys: str) -> pd.Series:
        return frame.groupby(list(keys))["one"].transform("sum")

    frame["all"] = count("value") - count("value", "compound")
    frame["same"] = count("value", "plate") - count("value", "plate", "compound")
    frame = frame[frame["all"] > 0]
    owners = frame.groupby(["value", "compound"])["one"]
    return frame.assign(weight=1 / owners.transform("sum") / max(owners.ngroups, 1))


def _alike(rows: Array, of: Mapping[str, Array]) -> tuple[float, float]:
    """Return the mean correlation of two controls of one plate and of two plates, by sums; 0 where no two plates are.

    The first is NaN without two controls of one plate.
    """
    sums = np.array([rows[mine].sum(axis=0) for mine in of.values()])
    size = np.array([len(mine) for mine in of.values()], dtype=float)
    inside, pairs = float((sums**2).sum() - size.sum()), float((size * (size - 1)).sum())
    others = float(size.sum() ** 2 - (size**2).sum())
    across = float((sums.sum(axis=0) ** 2).sum() - (sums**2).sum()) / others if others else 0.0
    return (inside / pairs if pairs else float("nan")), across


def _spread(rows: Array) -> float:
    """Return the harmonic mean, over controls, of the standard deviation of the correlations with the others."""
    own = []
    for start in range(0, len(rows), wells.ROWS_AT_ONCE):
        product = rows[start : start + wells.ROWS_AT_ONCE] @ rows.T
        product[np.arange(len(product)), np.arange(start, start + len(product))] = np.nan
        own.append(np.nanstd(product, axis=1))
    spread = np.concatenate(own)
    return float(1 / np.mean(1 / spread)) if (spread > SMALLEST).all() else 0.0
