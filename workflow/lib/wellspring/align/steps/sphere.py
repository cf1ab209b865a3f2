"""Sphere: whiten the variation of the negative controls, over all of them or per cell line or batch.

Profiles are rotated and scaled so that the controls have the same variance in all directions, as far as the
regularisation allows (`wellspring.align.steps.sphering`). Followed by `coral`, this is typical variation normalisation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.sphering import Sphere, fit_sphere
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note, Scalar, dumps, loads
from wellspring.screen.sections import Fit


@dataclass(frozen=True)
class Spheres(State):
    """One sphere per group.

    Attributes
    ----------
    column
        Metadata column whose values have separate spheres, "" for none.
    groups
        These values; the first, `*`, is fitted on all controls and used for values without a sphere.
    spheres
        In the order of `groups`.
    """

    column: str
    groups: tuple[str, ...]
    spheres: tuple[Sphere, ...]

    def pack(self) -> dict[str, Array]:
        """Return all fields as arrays, those of the spheres by number."""
        stored = {name: np.asarray(getattr(self, name), dtype=str) for name in ("features", "column", "groups")}
        stored["notes"] = np.asarray(dumps(self.notes))
        for number, sphere in enumerate(self.spheres):
            stored |= {f"{number}.{name}": np.asarray(value) for name, value in vars(sphere).items()}
        return stored

    @classmethod
    def unpack(cls, stored: Mapping[str, Array]) -> Self:
        """Return the state that was packed to `stored`."""
        names = {name: tuple(stored[name].tolist()) for name in ("features", "groups")}
        spheres = []
        for number in range(len(names["groups"])):
            values: dict[str, Any] = {each.name: stored[f"{number}.{each.name}"] for each in fields(Sphere)}
            # A scalar comes back as an array without dimensions.
            spheres.append(Sphere(**{name: value if value.ndim else value.item() for name, value in values.items()}))
        notes = loads(str(stored["notes"]))
        return cls(names["features"], notes, str(stored["column"]), names["groups"], tuple(spheres))


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Spheres:
    """Fit a sphere on the controls, and one on each group of them by the option `by`.

    Options: sphering, rank_fraction, ridge, min_controls, by. A value of a control that is not finite is replaced by
    the mean of the controls. A group with fewer controls than min_controls is standardised, with a note.
    """
    names, rows = tuple(tables.features(frame)), np.asarray(controls, dtype=bool)
    column, found = frames.groups(frame, rows, by=options.by)
    values = frames.matrix(frame.loc[rows], names)
    values = np.where(np.isnan(values), frames.mean_of(values), values)
    of = frames.members(frame, rows, column=column, names=found)
    spheres = tuple(fit_sphere(values[mine[rows]], options=options) for mine in of)
    notes = tuple(_note(group, sphere) for group, sphere in zip(found, spheres, strict=True))
    return Spheres(names, notes, column, found, spheres)


def apply(frame: pd.DataFrame, state: Spheres) -> pd.DataFrame:
    """Return `frame` with its features whitened; a value that is not finite is replaced by the mean of its group's fit.

    A group without a fit uses the sphere of all controls.
    """
    values, rows = frames.matrix(frame, state.features), frames.defined(frame)
    place = frames.placed(frame, column=state.column, names=state.groups)
    centers = np.stack([sphere.center for sphere in state.spheres])
    values = frames.gaps_filled(values, rows, centers[place] if len(centers) > 1 else centers[0])
    for number in np.unique(place[rows]):
        mine = rows & (place == number)
        values[mine] = state.spheres[number].apply(values[mine])
    return frames.replaced(frame, state.features, values)


def _note(group: str, sphere: Sphere) -> Note:
    if sphere.reason:
        (reason,) = loads(sphere.reason)
        return Note(reason.code, {"group": group, **reason.values})
    fitted: dict[str, Scalar] = {"method": sphere.method, "controls": sphere.controls, "directions": len(sphere.gains)}
    largest, strength = (float(f"{value:.4g}") for value in (sphere.variance[:1].sum(), sphere.regularisation))
    return Note("sphere_fitted", {"group": group, **fitted, "variance": largest, "regularisation": strength})
