"""Find keys that a config file has twice: YAML parsers keep the last one and report nothing."""

from collections.abc import Iterator
from pathlib import Path

import yaml


def doubled(path: Path) -> list[str]:
    """Return the keys that are twice in one section of a YAML file, each with its lines; none if it cannot be read."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []  # the reading of the config names the fault
    return [
        f"{path}: expected the key {key!r} once, found it in lines {first} and {again}; remove one of them"
        for key, first, again in _twice(node, "")
    ]


def _twice(node: yaml.Node | None, where: str) -> Iterator[tuple[str, int, int]]:
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from _twice(entry, where)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = f"{where}.{key.value}".lstrip("."), key.start_mark.line + 1
        if name in lines:
            yield name, lines[name], line
        lines.setdefault(name, line)
        yield from _twice(value, name)
