"""Sphere: whiten what varies among the negative controls, in all or by cell line or batch.

In flow profiles, out flow the same rotated and scaled so that the controls vary alike in all directions, as far as the
regularisation lets them (`wellspring.align.steps.sphering`). With `coral` after it this is typical variation
normalisation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.sphering import Sphere, fit_sphere
from wellspring.align.steps.state import State
from wellspring.io import tables


@dataclass(frozen=True)
class Spheres(State):
    """A sphere a group.

    Attributes
    ----------
    column
        Metadata column whose values have a sphere of their own, "" for none.
    groups
        These values; the first, `*`, is all controls, and serves values that have none.
    spheres
        In the order of `groups`.
    """

    column: str
    groups: tuple[str, ...]
    spheres: tuple[Sphere, ...]

    def pack(self) -> dict[str, np.ndarray]:
        """Return all fields as arrays, those of the spheres by number."""
        stored = {
            name: np.asarray(getattr(self, name), dtype=str) for name in ("features", "notes", "column", "groups")
        }
        for number, sphere in enumerate(self.spheres):
            stored |= {f"{number}.{name}": np.asarray(value) for name, value in vars(sphere).items()}
        return stored

    @classmethod
    def unpack(cls, stored: Mapping[str, np.ndarray]) -> Self:
        """Return the state that was packed to `stored`."""
        names = {name: tuple(stored[name].tolist()) for name in ("features", "notes", "groups")}
        spheres = []
        for number in range(len(names["groups"])):
            values = {each.name: stored[f"{number}.{each.name}"] for each in fields(Sphere)}
            # A scalar comes back as an array without dimensions.
            spheres.append(Sphere(**{name: value if value.ndim else value.item() for name, value in values.items()}))
        return cls(names["features"], names["notes"], str(stored["column"]), names["groups"], tuple(spheres))


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Spheres:
    """Fit a sphere on the controls, and one on each group of them by the option `by`.

    Options: sphering, rank_fraction, ridge, min_controls, by. A value of a control that is not finite counts as the
    controls' mean. A group of fewer controls than min_controls is standardised, and a note says so.
    """
    names, rows = tuple(tables.features(frame)), np.asarray(controls, dtype=bool)
    column, found = frames.groups(frame, rows, by=options["by"])
    values = frames.matrix(frame.loc[rows], names)
    values = np.where(np.isnan(values), frames.mean_of(values), values)
    of = frames.members(frame, rows, column=column, names=found)
    spheres = tuple(fit_sphere(values[mine[rows]], options=options) for mine in of)
    notes = tuple(f"{group}: {_words(sphere)}" for group, sphere in zip(found, spheres, strict=True))
    return Spheres(names, notes, column, found, spheres)


def apply(frame: pd.DataFrame, state: Spheres) -> pd.DataFrame:
    """Return `frame` with its features whitened; a value that is not finite counts as the mean of its group's controls.

    A group that the fit did not have goes through the sphere of all controls.
    """
    values, rows = frames.matrix(frame, state.features), frames.defined(frame)
    place = frames.placed(frame, column=state.column, names=state.groups)
    centers = np.stack([sphere.center for sphere in state.spheres])
    values = frames.gaps_filled(values, rows, centers[place] if len(centers) > 1 else centers[0])
    for number in np.unique(place[rows]):
        mine = rows & (place == number)
        values[mine] = state.spheres[number].apply(values[mine])
    return frames.replaced(frame, state.features, values)


def _words(sphere: Sphere) -> str:
    if sphere.reason:
        return sphere.reason
    largest = sphere.variance[:1].sum()
    return (
        f"{sphere.method}, {sphere.controls} controls, {len(sphere.gains)} directions, "
        f"largest variance {largest:.4g}, regularisation {sphere.regularisation:.4g}"
    )
