"""Generate the text of `config/README.md` from the schemas of the config and the plate sheet.

`python -m wellspring.screen.config_docs` writes the file.
"""

import json
from collections.abc import Iterator

from wellspring.screen import sheet
from wellspring.screen.config import SECTIONS, presets, schema

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

`config.yaml` states the keys, `plates.tsv` the plates. A key that is left out has its default; an unknown one is an
error before any job starts. On the command line: `snakemake --config seed=2 'survey={max_excluded: 0.3}'`. A change in
one section reruns the stages that read it and what follows.
"""


PRESETS = """\
Presets, entries that `like` may name as it names those of the config. Their files, `resources/encoders/FILE.yaml`, give
the reason or source of each number, and what of the other sections goes with them (`train`, `crops`).
"""


def describe() -> str:
    """Return `config/README.md`: every key of the config and every column of the sheet, with default and reason."""
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
        "Tab-separated (`.csv`: commas), one row a plate; lines that begin with `#` are skipped.\n",
    ]
    return "\n".join([*parts, _sheet()])


def keys(spec: dict, *, prefix: str = "") -> Iterator[tuple[str, dict]]:
    """Yield each key of an object's schema and the schema of its value, in order; nested keys joined by dots."""
    for name, part in spec.get("properties", {}).items():
        if "properties" in part:
            yield from keys(part, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _rows(spec: dict) -> Iterator[tuple[str, ...]]:
    for name, part in keys(spec):
        default = f"`{json.dumps(part['default'], ensure_ascii=False)}`" if "default" in part else "–"
        yield f"`{name}`", default, _allowed(part), part.get("description", "")


def _presets() -> Iterator[tuple[str, ...]]:
    for name, entry in presets().items():
        look = f"{entry['view']['kind']}, {entry['view']['size']} px"
        steps, batch = (f"{entry[key]:,}" for key in ("steps", "batch"))
        yield f"`{name}`", f"`{entry['kind']}`", look, f"`{entry['backbone']}`", steps, batch


def _allowed(part: dict) -> str:
    """Return what a value may be: its choices, or its types and bounds."""
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
    return _table(rows, head=("column", "default", "what"))


def _table(
    rows: Iterator[tuple[str, ...]] | list, *, head: tuple[str, ...] = ("key", "default", "allowed", "what")
) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


if __name__ == "__main__":
    print(describe(), end="")
