"""The fitted state of a step: a frozen dataclass that is stored as named arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wellspring.io.notes import Note, dumps, loads

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class State:
    """Base class of the states; fields are arrays, `str`, `int`, `float`, `tuple[str, ...]` or notes.

    Attributes
    ----------
    features
        Names of the features that the step takes, in their order; it returns the same features.
    notes
        Strength of the fit, and fallbacks with their reason.
    """

    features: tuple[str, ...]
    notes: tuple[Note, ...]

    def pack(self) -> dict[str, Array]:
        """Return all fields as arrays without objects."""
        return {each.name: _stored(each.name, getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def unpack(cls, stored: Mapping[str, Array]) -> Self:
        """Return the state that was packed to `stored`."""
        values: dict[str, Any] = {each.name: _restored(each.name, each.type, stored[each.name]) for each in fields(cls)}
        return cls(**values)


def _stored(name: str, value: Any) -> Array:
    if name == "notes":
        return np.asarray(dumps(value))
    return np.asarray(value, dtype=str) if isinstance(value, tuple) else np.asarray(value)


def _restored(name: str, kind: Any, value: Array) -> object:
    if name == "notes":
        return loads(str(value))
    if kind == tuple[str, ...]:
        return tuple(value.tolist())
    return kind(value.item()) if kind in (str, int, float) else value
