"""Generate the text of `config/README.md` from the schemas of the config and the plate sheet.

`python -m wellspring.screen.config_docs` writes the file.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wellspring.screen import sheet
from wellspring.screen.config import presets, schema
from wellspring.screen.stages import SECTIONS

Spec = Mapping[str, Any]  # a JSON schema, as YAML holds it

BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "pattern": "`{}`",
}
INTRODUCTION = """\
# Config

Generated from `workflow/schemas` by `python -m wellspring.screen.config_docs`; edit there.

`config.yaml` holds the keys, `plates.tsv` the plates. A key that is left out takes its default; an unknown key is an
error before any job starts. A change in a section reruns the stages that read it and the stages after them.

For one call, without a change of the file: `snakemake --config seed=2`. Keys of a section need a file, say `try.yaml`
with `survey: {max_excluded: 0.3}`, and `snakemake --configfile try.yaml`; its keys replace those of `config.yaml`. On
the command line, Snakemake would read numbers, true and false within a section as text.
"""


PRESETS = """\
Presets: entries that `like` can name. Their files, `resources/encoders/FILE.yaml`, give the reason or source of each
number, and the settings of other sections that go with them (`train`, `crops`).
"""


def describe() -> str:
    """Return `config/README.md`: every key of the config and every column of the sheet, with default and meaning."""
    whole = schema()
    top = {key: part for key, part in whole["properties"].items() if key not in SECTIONS}
    parts = [INTRODUCTION, "## Top level\n", _table(_rows({"properties": top}))]
    for section in SECTIONS:
        spec = whole["properties"][section]
        parts += [f"## {section}\n", spec.get("description", "") + "\n"]
        if section == "encoders":
            spec = spec["additionalProperties"]
            parts.append(f"One entry, `encoders.NAME`: {spec.get('description', '')}\n")
        parts.append(_table(_rows(spec)))
        if section == "encoders":
            parts += [PRESETS, _table(_presets(), head=("preset", "kind", "view", "backbone", "steps", "batch"))]
    parts += [
        "## The plate sheet\n",
        "Tab-separated (`.csv`: commas), one row per plate; lines that begin with `#` are comments.\n",
    ]
    return "\n".join([*parts, _sheet()])


def keys(spec: Spec, *, prefix: str = "") -> Iterator[tuple[str, Spec]]:
    """Yield each key of an object's schema and the schema of its value, in order; nested keys joined by dots."""
    for name, part in spec.get("properties", {}).items():
        if "properties" in part:
            yield from keys(part, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _rows(spec: Spec) -> Iterator[tuple[str, ...]]:
    for name, part in keys(spec):
        default = f"`{json.dumps(part['default'], ensure_ascii=False)}`" if "default" in part else "–"
        yield f"`{name}`", default, _allowed(part), part.get("description", "")


def _presets() -> Iterator[tuple[str, ...]]:
    for name, entry in presets().items():
        look = f"{entry['view']['kind']}, {entry['view']['size']} px"
        steps, batch = (f"{entry[key]:,}" if key in entry else "frozen" for key in ("steps", "batch"))
        yield f"`{name}`", f"`{entry['kind']}`", look, f"`{entry['backbone']}`", steps, batch


def _allowed(part: Spec) -> str:
    """Return the values that a key allows: its choices, or its types and bounds."""
    if "enum" in part:
        return ", ".join(f"`{json.dumps(choice).strip(chr(34))}`" for choice in part["enum"])
    kinds = part.get("type", [])
    words = [" or ".join([kinds] if isinstance(kinds, str) else kinds)]
    words += [phrase.format(part[key]) for key, phrase in BOUNDS.items() if key in part]
    if isinstance(part.get("items"), dict):
        words.append(f"of {_allowed(part['items'])}")
    words += [_allowed(choice) for choice in part.get("anyOf", part.get("oneOf", []))]
    return " ".join(word for word in words if word)


def _sheet() -> str:
    rows = []
    for name, column in sheet.columns().items():
        default = "required" if column["required"] else f"`{column['default']}`"
        rows.append((f"`{name}`", default, column["doc"]))
    return _table(rows, head=("column", "default", "meaning"))


def _table(rows: Iterable[tuple[str, ...]], *, head: tuple[str, ...] = ("key", "default", "allowed", "meaning")) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
