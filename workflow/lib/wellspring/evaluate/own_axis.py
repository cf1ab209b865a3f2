"""A treatment's own axis: from the negative controls to the treatment (of a dose series: its highest dose).

Each well is projected on an axis that was fitted on other replicates and other controls: on the other plates, or, where
the treatment is on one plate, on the plate's other rows. An axis that is fitted on the wells that it judges separates
them from the controls even where the treatment does nothing (in 128 features, by several standard deviations).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.wells import Array

FOLDS = 10  # most groups of plates that an axis is fitted without


@dataclass(frozen=True)
class Projection:
    """Wells on a treatment's own axis.

    Attributes
    ----------
    rows
        Places (m,) of the projected wells, treated and controls, in the table.
    score
        (m,) positions, in standard deviations of the held-out controls; the mean of each plate's controls is 0.
    control
        (m,) whether the well is a negative control.
    """

    rows: Array
    score: Array
    control: Array

    @property
    def treated(self) -> Array:
        """The positions of the treated wells."""
        return self.score[~self.control]


def project(features: Array, metadata: pd.DataFrame, *, member: Array, top: Array) -> Projection | None:
    """Return the wells of a series and the controls of their plates on the axis from the controls to `top`.

    Parameters
    ----------
    features, metadata
        (n, d) aligned profiles and n rows with Metadata_Plate, Metadata_Well, Metadata_pert_type. Where the table has
        cell lines, the axis of a well is fitted on plates of its line if others of it hold `top` wells.
    member
        (n,) bool, the wells of the series.
    top
        (n,) bool, those of them that the axis points to.

    Returns
    -------
    Projection or None
        None where no axis can be fitted without the wells that it judges: fewer than 2 wells of `top` with a profile,
        or fewer than 4 controls on the plates of the series.
    """
    usable = wells.defined(features, metadata)
    plate, line = wells.column(metadata, wells.PLATE).astype(str), wells.lines(metadata)
    member, top = member & usable, top & member & usable
    control = wells.kind(metadata, "negcon") & usable & np.isin(plate, plate[member])
    rows = np.flatnonzero(member | control)
    if top.sum() < 2 or control.sum() < 4:
        return None
    fold, score = _folds(metadata.iloc[rows], top[rows]), np.full(len(rows), np.nan)
    for number in np.unique(fold):
        for own in np.unique(line[rows][fold == number]):
            read = (fold == number) & (line[rows] == own)
            others = fold != number
            same = others & (line[rows] == own)
            fitted = same if (same & top[rows]).any() and (same & control[rows]).any() else others
            start, end = (features[rows[fitted & kind[rows]]] for kind in (control, top))
            if not len(start) or not len(end):
                continue
            origin = start.mean(axis=0, dtype=np.float64)
            axis = end.mean(axis=0, dtype=np.float64) - origin
            length = float(np.linalg.norm(axis))
            if length > 0:
                score[read] = (features[rows[read]] - origin) @ axis / length
    return _scaled(rows, score, control[rows], plate[rows])


def _folds(metadata: pd.DataFrame, top: Array) -> Array:
    """Return the fold (m,) of each well: groups of plates, rows of the one plate, or single wells of the one row."""
    plate = wells.codes(wells.column(metadata, wells.PLATE))
    if len(set(plate[top])) > 1:
        return plate % FOLDS if len(set(plate[top] % FOLDS)) > 1 else plate
    row = wells.positions(metadata)["row"].fillna(0).to_numpy().astype(int)
    held = sorted(set(row[top]))
    if len(held) > 1:  # a row without a well of `top` joins one with
        place = {number: held.index(number) if number in held else number % len(held) for number in set(row)}
        return np.array([place[number] for number in row])
    fold = np.arange(len(metadata)) % int(top.sum())
    fold[top] = np.arange(int(top.sum()))
    return fold


def _scaled(rows: Array, score: Array, control: Array, plate: Array) -> Projection | None:
    """Return the positions centred on the controls of each plate, in units of their pooled standard deviation."""
    squares, degrees, centred = 0.0, 0, np.full(len(rows), np.nan)
    for name in sorted(set(plate)):
        mine = plate == name
        own = score[mine & control & np.isfinite(score)]
        if len(own) < 2:
            continue
        centred[mine] = score[mine] - own.mean()
        squares, degrees = squares + float(((own - own.mean()) ** 2).sum()), degrees + len(own) - 1
    read = np.isfinite(centred)
    if degrees < 2 or squares <= 0 or not (read & ~control).any():
        return None
    return Projection(rows[read], centred[read] / np.sqrt(squares / degrees), control[read])
