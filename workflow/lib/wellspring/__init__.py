"""Wellspring: raw high-content-screening plates to evaluated per-well morphological profiles.

`import wellspring as ws` gives the functions that a notebook needs; they are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from wellspring.io.version import __version__ as __version__

if TYPE_CHECKING:
    from wellspring.api.images import Encoder, aggregate, read_plate, segment
    from wellspring.api.profiles import (
        apply_alignment,
        consensus,
        evaluate_profiles,
        fit_alignment,
        normalise,
        read_profiles,
        write_report,
    )


_IMAGES = ("Encoder", "aggregate", "read_plate", "segment")

__all__ = [
    "Encoder",
    "aggregate",
    "apply_alignment",
    "consensus",
    "evaluate_profiles",
    "fit_alignment",
    "normalise",
    "read_plate",
    "read_profiles",
    "segment",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Return a name of `__all__` from its module of `wellspring.api`, which is imported on the first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"wellspring.api.{'images' if name in _IMAGES else 'profiles'}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
