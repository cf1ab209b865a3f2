"""Check that names in the config which refer to other parts of it exist.

A key of a schema with ``refers: encoder`` holds the name of an encoder. The schema is walked, so that a new key with
this annotation is checked without further code.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

COLUMN = "^Metadata_[A-Za-z0-9_]+$"  # pattern of keys that name a column of profiles


def problems(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield each reference of a complete config to an encoder that it does not have; an empty name refers to none."""
    known = list(config.get("encoders", {}))
    for key, name in _named(config, schema, "encoder", ""):
        if name and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            yield f"{key}: expected one of the encoders {known}, found {name!r}{hint}"


def columns(config: Mapping[str, Any], schema: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str]]:
    """Yield key and name of each column of profiles in a complete config: keys whose pattern is that of a column."""
    for key, spec in schema.get("properties", {}).items():
        value, place = config.get(key), f"{where}.{key}".lstrip(".")
        if COLUMN in (spec.get("pattern"), spec.get("items", {}).get("pattern")):
            yield from ((place, str(name)) for name in ([value] if isinstance(value, str) else value or ()))
        elif isinstance(value, Mapping):
            yield from columns(value, spec, place)


def _named(value: object, spec: Mapping[str, Any], kind: str, where: str) -> Iterator[tuple[str, str]]:
    """Yield key and name of each reference of a kind."""
    if spec.get("refers") == kind:
        for name in value if isinstance(value, list) else [value]:
            yield where, str(name or "")
    if isinstance(value, Mapping):
        for key, part in spec.get("properties", {}).items():
            if key in value:
                yield from _named(value[key], part, kind, f"{where}.{key}".lstrip("."))
