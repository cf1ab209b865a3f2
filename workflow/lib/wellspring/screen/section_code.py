"""Generate the source of `screen/sections.py` from the schemas: one frozen dataclass per object of the config.

`python -m wellspring.screen.config_docs` writes the file. `ruff`, a development dependency, wraps its lines.
"""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from wellspring.screen.config import schema
from wellspring.screen.stages import SECTIONS

Spec = Mapping[str, Any]  # a JSON schema, as YAML holds it

SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
WIDTH = 120
HEADER = '''\
"""The config's sections as frozen dataclasses.

Generated from `workflow/schemas/config` by `python -m wellspring.screen.config_docs`; edit there. Field names are the
keys of `config/config.yaml`. `read` builds an instance from a complete mapping, `wellspring.screen.config.default`
from the defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wellspring.screen.section_reader import read

__all__ = {exported}
'''


def source() -> str:
    """Return the text of `screen/sections.py`, formatted by ruff; `RuntimeError` gives the reason why ruff failed."""
    made = _Module()
    whole = schema()["properties"]
    top = dict(whole)
    made.object("Encoder", whole["encoders"]["additionalProperties"])
    for section in SECTIONS:
        if section != "encoders":
            made.object(section.capitalize(), whole[section])
    made.object("Config", {"description": "The whole config, complete.", "properties": top, "required": ["encoders"]})
    names = sorted([*made.aliases, *made.classes, "read"], key=lambda name: (not name[0].isupper(), name))
    exported = "[\n" + "".join(f'    "{name}",\n' for name in names) + "]"
    aliases = "".join(f"{name} = {kind}\n" for name, kind in made.aliases.items())
    return formatted("\n".join([HEADER.format(exported=exported), aliases]) + "".join(made.classes.values()))


def formatted(code: str) -> str:
    """Return Python code as `ruff format` leaves it: a list of names that is too long has one name per line."""
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={WIDTH}", "-"]
    done = subprocess.run(ruff, input=code, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ruff cannot format the generated sections.py: {done.stderr.strip()}")
    return done.stdout


class _Module:
    """The classes and type aliases of the generated module, in the order in which they must be defined."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self.aliases: dict[str, str] = {}

    def object(self, name: str, spec: Spec) -> None:
        """Add the dataclass `name` of an object's schema, unless a class of this name exists."""
        required = spec.get("required", [])
        fields = {
            key: part for key, part in spec["properties"].items() if "default" in part or key in required
        }  # a key without a default is in no complete config
        lines = []
        for key, part in fields.items():
            text = part.get("description", "")
            shown = json.dumps(part["default"], ensure_ascii=False) if "default" in part else None
            if shown is not None and not _nested(part):
                text += f" Default: {shown}."
            lines += ["", f"    {key}: {self.type(key, part)}", *_docstring(text.strip())]
        head = "\n".join(_class_docstring(spec.get("description", "")))
        self.classes.setdefault(name, f"\n\n@dataclass(frozen=True)\nclass {name}:\n{head}\n" + "\n".join(lines) + "\n")

    def type(self, key: str, spec: Spec) -> str:
        """Return the annotation of a value; classes and aliases that it names are added."""
        if "enum" in spec or "const" in spec:
            return self._literal(spec)
        choices = spec.get("anyOf") or spec.get("oneOf")
        if choices:
            return " | ".join(self.type(key, choice) for choice in choices)
        if "if" in spec:  # a step: its name, or its name with options
            self.aliases[spec["title"]] = f"{self._literal(spec['then'])} | Mapping[str, Mapping[str, object]]"
            return str(spec["title"])
        kinds = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
        return " | ".join(self._of(key, kind, spec) for kind in kinds)

    def _of(self, key: str, kind: str, spec: Spec) -> str:
        if kind == "array":
            item = self.type(key, spec["items"])
            least, most = spec.get("minItems"), spec.get("maxItems", 0)
            return f"tuple[{', '.join([item] * most)}]" if least == most else f"tuple[{item}, ...]"
        if kind != "object":
            return SCALARS[kind]
        if _nested(spec):
            name = spec.get("title") or "".join(word.capitalize() for word in key.split("_"))
            self.object(name, spec)
            return str(name)
        if key == "encoders":
            return "Mapping[str, Encoder]"
        if key in SECTIONS:
            return key.capitalize()
        further = spec.get("additionalProperties")
        values = further or next(iter(spec.get("properties", {}).values()), None)
        return f"Mapping[str, {self.type(key, values) if values else 'object'}]"

    def _literal(self, spec: Spec) -> str:
        values = spec.get("x-complete") or spec.get("enum") or [spec["const"]]  # x-complete: of a complete config
        named = f"Literal[{', '.join(json.dumps(value) for value in values if value is not None)}]"
        if "title" in spec:
            self.aliases[spec["title"]] = named
            named = spec["title"]
        return f"{named} | None" if None in values else named


def _nested(spec: Spec) -> bool:
    """Return whether a schema is an object with fixed keys, which a complete config has."""
    required = spec.get("required", [])
    return any("default" in part or key in required for key, part in spec.get("properties", {}).items())


def _docstring(text: str) -> Iterator[str]:
    """Yield the lines of a field's docstring."""
    quotes = 'r"""' if "\\" in text else '"""'
    text = f"{quotes}{text}" + ' """' * text.endswith('"') + '"""' * (not text.endswith('"'))
    yield from textwrap.wrap(
        text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _class_docstring(text: str) -> Iterator[str]:
    """Yield the lines of a class' docstring: its first sentence, then the rest."""
    first, _, rest = text.partition(". ") if len(text) > WIDTH - 10 else (text, "", "")
    first = first.rstrip(".") + "."
    if not rest:
        yield f'    """{first}"""'
        return
    yield f'    """{first}'
    yield ""
    yield from textwrap.wrap(rest, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    yield '    """'
