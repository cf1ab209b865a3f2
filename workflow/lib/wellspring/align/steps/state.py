"""What a step was fitted to, as arrays: in flow a frozen dataclass, out flow named arrays, and back again."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True)
class State:
    """Base of the states; their fields are arrays, `str`, `int`, `float` or `tuple[str, ...]`.

    Attributes
    ----------
    features
        Names of the features that the step takes, in their order; it gives the same ones back.
    notes
        What a reader must know of the fit: strength, fallbacks with their reason.
    """

    features: tuple[str, ...]
    notes: tuple[str, ...]

    def pack(self) -> dict[str, np.ndarray]:
        """Return all fields as arrays without objects."""
        stored = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: np.asarray(value, dtype=str) if isinstance(value, tuple) else np.asarray(value)
            for name, value in stored.items()
        }

    @classmethod
    def unpack(cls, stored: Mapping[str, np.ndarray]) -> Self:
        """Return the state that was packed to `stored`."""
        return cls(**{each.name: _restored(each.type, stored[each.name]) for each in fields(cls)})


def _restored(kind: object, value: np.ndarray) -> object:
    if kind is np.ndarray:
        return value
    return tuple(value.tolist()) if kind == tuple[str, ...] else kind(value.item())
