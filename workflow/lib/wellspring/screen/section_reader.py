"""Build a section's dataclass from a complete mapping: unknown and missing keys are refused by name.

The dataclasses are in `wellspring.screen.sections`, which exports `read` from here.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


Section = TypeVar("Section", bound=_Dataclass)


def read(cls: type[Section], mapping: Mapping[str, object], *, where: str | None = None) -> Section:
    """Return an instance of `cls` with the values of `mapping`; nested mappings become nested dataclasses.

    Lists become tuples; other values are unchanged. The schema has checked them.

    Parameters
    ----------
    cls
        A dataclass of `wellspring.screen.sections`.
    mapping
        A complete section, as `config.resolve` returns it.
    where
        How an error names the section; the name of the class by default.

    Raises
    ------
    ValueError
        A key is unknown or missing; names all of them.

    Examples
    --------
    >>> from wellspring.screen.sections import Images
    >>> read(Images, {"projection": "max", "plane": None, "low": 0.001, "high": 0.999}).low
    0.001
    >>> read(Images, {"projection": "max", "plane": None, "low": 0.001, "hihg": 0.999})
    Traceback (most recent call last):
    ...
    ValueError: Images: unknown keys ['hihg'], missing keys ['high']
    """
    where = where or cls.__name__
    known = [each.name for each in dataclasses.fields(cls)]
    unknown, missing = [key for key in mapping if key not in known], [key for key in known if key not in mapping]
    found = [f"{kind} keys {keys}" for kind, keys in (("unknown", unknown), ("missing", missing)) if keys]
    if found:
        raise ValueError(f"{where}: {', '.join(found)}")
    hints = _hints(cls)
    return cls(**{key: _value(hints[key], mapping[key], f"{where}.{key}") for key in known})


@cache
def _hints(cls: type) -> dict[str, object]:
    return get_type_hints(cls)


def _value(hint: object, value: object, where: str) -> object:
    """Return a value as its field holds it: a dataclass, a mapping of dataclasses, or plain data."""
    if isinstance(value, Mapping):
        nested = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
        if nested and get_origin(hint) is not Mapping:  # a dataclass, or a dataclass or None
            return read(nested[0], value, where=where)
        if get_origin(hint) is Mapping:
            inner = get_args(hint)[1]
            return {key: _value(inner, each, f"{where}.{key}") for key, each in value.items()}
    return frozen(value)


def frozen(value: object) -> object:
    """Return plain data with tuples instead of lists, at any depth."""
    if isinstance(value, Mapping):
        return {key: frozen(each) for key, each in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value
