"""Write the files that are generated from the config's schemas: dataclasses, `config/README.md`, config comments.

python -m wellspring.screen.config_docs
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from wellspring.io.shipped import CLONE
from wellspring.screen import config_readme, section_code
from wellspring.screen.config import schema

CONFIG = CLONE / "config" / "config.yaml"
SECTIONS = Path(__file__).with_name("sections.py")
README = CLONE / "config" / "README.md"
WIDTH = 120
KEY = re.compile(r"( *)([a-z_0-9]+):(?: (.*))?")
HEADER = """\
# Every key of the config, with the values of the demo screen; where a value differs from the default, the default
# follows it. Missing keys take their defaults, unknown keys are refused. config/README.md has the same as tables.
# The comments are generated from workflow/schemas/config: edit there and run `python -m wellspring.screen.config_docs`.
"""


def commented(text: str) -> str:
    """Return the text of `config/config.yaml` with regenerated comments of its keys and unchanged values.

    The entries of `encoders` keep their lines, since a user chose their content.
    """
    lines = HEADER.splitlines()
    path: list[str] = []
    for line in text.splitlines():
        matched = KEY.fullmatch(line)
        depth = len(line) - len(line.lstrip())
        if path[:1] == ["encoders"] and line and depth:
            lines.append(line)
        elif matched:
            path = [*path[: depth // 2], matched[2]]
            lines += [""] * (depth == 0 and not _plain(path)) + list(_entry(path, matched[3] or ""))
    return "\n".join(lines) + "\n"


def _plain(path: list[str]) -> bool:
    """Whether a key of the top level holds a value, not a section; only the first of these has an empty line above."""
    return "properties" not in _spec(path) and path != ["encoders"] and path != ["plates"]


def _entry(path: list[str], written: str) -> Iterator[str]:
    """Yield the comment and the line of one key."""
    spec, indent = _spec(path), "  " * (len(path) - 1)
    start = f"{indent}# "
    yield from textwrap.wrap(
        spec.get("description", ""),
        WIDTH,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )
    value = re.sub(r"\s+# default: .*", "", written)
    changed = value and "default" in spec and yaml.safe_load(value) != spec["default"]
    yield f"{indent}{path[-1]}:{' ' if value else ''}{value}" + (
        f"  # default: {_flow(spec['default'])}" if changed else ""
    )


def _spec(path: list[str]) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = schema()
    for key in path:
        spec = spec["properties"][key]
    return spec


def _flow(value: object) -> str:
    """Return a value as one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def made() -> dict[Path, str]:
    """Return each generated file and its text."""
    return {
        SECTIONS: section_code.source(),
        README: config_readme.describe(),
        CONFIG: commented(CONFIG.read_text()),
    }


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
