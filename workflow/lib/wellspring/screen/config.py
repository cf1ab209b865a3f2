"""The config: assemble its schema, fill in defaults, resolve encoders, and name mistakes before any job starts.

`resolve` takes the config as the user wrote it and returns a complete one for Snakemake; `typed` turns that into the
dataclasses of `wellspring.screen.sections`. Each section's schema is a file of `workflow/schemas/config/`.
"""

import copy
import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from wellspring.io import credentials
from wellspring.io.shipped import CONFIG_SCHEMAS, ENCODER_PRESETS, read_yaml
from wellspring.screen import config_checks, references
from wellspring.screen.encoder_kinds import VIEWS, mapped_channels
from wellspring.screen.section_reader import Section, read
from wellspring.screen.sections import Config
from wellspring.screen.stages import SECTIONS

Tree = dict[str, Any]  # nested data as YAML holds it: a config, or a schema

# A JSON type as a person writes its values.
TYPES = {"array": "a list", "object": "keys and values", "null": "null", "string": "text", "number": "a number"}
RENAMED = {"index.storage": "index.object_store", "survey.verdicts": "survey.exclusions"}  # old key to new key


@cache
def schema() -> Tree:
    """Return the JSON schema of the whole config: the keys of the top level and the section of each stage."""
    whole: Tree = read_yaml(CONFIG_SCHEMAS / "config.yaml")
    for section in SECTIONS:
        part = read_yaml(CONFIG_SCHEMAS / f"{section}.yaml")
        if section == "encoders":
            entries = whole["properties"]["encoders"]
            part = {**entries, "additionalProperties": part}
        whole["properties"][section] = part
    return whole


def resolve(config: Mapping[str, object], *, source: str = "config") -> Tree:
    """Return a complete config: defaults filled in, and the `like` of every encoder followed.

    Parameters
    ----------
    config
        As read from YAML and `--config`; it is not changed.
    source
        Name of the config in an error.

    Raises
    ------
    ValueError
        One line per mistake, with the key, what was expected and what was found. An unknown key or name comes with
        the known ones and the nearest of them, a renamed key with its new name. Credentials are not repeated.
    """
    written = copy.deepcopy(dict(config))
    _refuse(credentials.problems(written), source)  # first, since other messages repeat a wrong value
    _refuse(config_checks.plain_weights(written), source)
    _refuse(_problems(written), source)
    try:
        complete = fill(written)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    _refuse(config_checks.problems(typed(complete)), source)
    _refuse(references.problems(complete, schema()), source)
    return complete


def fill(config: Tree) -> Tree:
    """Return a valid `config` with defaults filled in and `like` followed, without checking it."""
    encoders = config.get("encoders", {})
    complete: Tree = _fill({**config, "encoders": {name: inherit(name, encoders) for name in encoders}}, schema())
    for entry in complete["encoders"].values():
        entry["view"]["kind"] = entry["view"]["kind"] or VIEWS.get(entry["kind"], "tile")
        entry["channels"] = entry["channels"] or mapped_channels(entry["inputs"], entry["channel_map"])
    return complete


def typed(config: Mapping[str, object]) -> Config:
    """Return a complete config, as `resolve` returns it, as dataclasses; keys that Snakemake adds are left out."""
    return read(Config, {key: value for key, value in config.items() if key in schema()["properties"]}, where="config")


def default(section: type[Section], **changes: object) -> Section:
    """Return a section with the schema's defaults and `changes`; changes of nested objects are merged.

    Parameters
    ----------
    section
        A class of `wellspring.screen.sections`: a section of the config, or `Encoder`.
    changes
        Values by key, as in YAML.

    Raises
    ------
    ValueError
        A key is unknown or a value is out of its range.

    Examples
    --------
    >>> from wellspring.screen.sections import Survey
    >>> default(Survey, outliers={"focus": 6}).outliers.focus
    6
    """
    name = section.__name__.lower()
    written: Tree = {"encoders": {"any": {}}, name: changes}
    if name == "encoder":
        written = {"encoders": {"any": changes}}
    _refuse(_problems(written))
    complete = fill(written)
    return read(section, complete["encoders"]["any"] if name == "encoder" else complete[name])


@cache
def presets() -> dict[str, Tree]:
    """Return the shipped entries that `like` may name, by FILE.NAME."""
    files = {path.stem: read_yaml(path) for path in sorted(ENCODER_PRESETS.glob("*.yaml"))}
    return {f"{file}.{name}": entry for file, whole in files.items() for name, entry in whole["encoders"].items()}


def inherit(name: str, encoders: Mapping[str, Tree], *, seen: tuple[str, ...] = ()) -> Tree:
    """Return an entry of `encoders`, or else of the presets, merged over the entries that its `like` names."""
    if name not in encoders and name not in presets():
        known = f"one of {sorted(encoders)} or of the presets {sorted(presets())}"
        near = difflib.get_close_matches(name, [*encoders, *presets()], n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"encoders.{seen[-1]}.like: expected {known}, found {name!r}{hint}")
    if name in seen:
        raise ValueError(f"encoders.{name}.like: expected no circle, found {' -> '.join((*seen, name))}")
    entry = dict(encoders[name] if name in encoders else presets()[name])
    parent = entry.pop("like", None)
    return entry if parent is None else _merge(inherit(parent, encoders, seen=(*seen, name)), entry)


def _merge(base: Tree, over: Tree) -> Tree:
    merged = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _fill(value: Any, spec: Tree) -> Any:  # data as YAML holds it
    """Return `value` with the defaults of `spec` filled in, however deep."""
    if not isinstance(value, dict):
        return value
    filled = {}
    properties = spec.get("properties", {})
    for key, part in properties.items():
        if key in value:
            filled[key] = _fill(value[key], part)
        elif "default" in part:
            filled[key] = _fill(copy.deepcopy(part["default"]), part)
    for key in value.keys() - properties.keys():
        further = spec.get("additionalProperties")
        filled[key] = _fill(value[key], further if isinstance(further, dict) else {})
    return {key: filled[key] for key in [*value, *(key for key in filled if key not in value)]}


def _refuse(problems: Iterator[str], source: str = "") -> None:
    found = [f"{source}: {problem}" if source else problem for problem in problems]
    if found:
        raise ValueError("\n".join(found))


def mistakes(written: Mapping[str, Any]) -> list[str]:
    """Return what the schema finds in a config as written, one sentence per mistake."""
    return list(_problems(dict(written)))


def _problems(config: Tree) -> Iterator[str]:
    found = Draft202012Validator(schema()).iter_errors(config)
    for error in sorted(found, key=lambda each: [str(part) for part in each.absolute_path]):
        yield from _sentences(error)


def _sentences(error: ValidationError) -> Iterator[str]:
    """Yield the sentences of an error; of a choice between types, those of the types that the value has."""
    choices = list(error.context or ()) if error.validator in ("anyOf", "oneOf") else []
    if not choices:
        yield _sentence(error)
        return
    other = {each.schema_path[0]: each for each in choices if each.validator == "type" and not each.relative_path}
    near = [each for each in choices if each.schema_path[0] not in other]
    kinds = [TYPES[each.validator_value] for each in other.values()]
    listed = [f"one of {each.validator_value}" for each in near if each.validator == "enum" and not each.relative_path]
    if listed or not near:
        where = ".".join(map(str, error.absolute_path))
        yield f"{where}: {error.instance!r} is not valid; expected {' or '.join([*listed, *kinds])}"
        return
    for each in near:
        own = each.absolute_path == error.absolute_path
        yield from (text + f" ({' or '.join(kinds)} is allowed too)" * own for text in _sentences(each))


def _sentence(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "enum" and isinstance(error.instance, str):
        near = difflib.get_close_matches(error.instance, [str(name) for name in error.validator_value], n=1)
        return f"{where}: {error.message}" + (f" (did you mean {near[0]!r}?)" if near else "")
    if error.validator != "additionalProperties":
        return f"{where or 'top level'}: {error.message}"
    known = list(error.schema.get("properties", {}))
    unknown = [key for key in error.instance if key not in known]
    renamed = [f"{where}.{key}" for key in unknown if f"{where}.{key}" in RENAMED]
    messages = [f"{key} was renamed to {RENAMED[key]}" for key in renamed]
    unknown = [key for key in unknown if f"{where}.{key}" not in RENAMED]
    if unknown:
        hints = ", ".join(_hint(key, known) for key in unknown)
        messages.append(f"{where or 'top level'}: unknown key {hints}; expected one of {known}")
    return "; ".join(messages)


def _hint(key: object, known: list[str]) -> str:
    """Return an unknown key with the nearest known one; a key of YAML may be a number."""
    near = difflib.get_close_matches(str(key).casefold(), known, n=1)
    return f"{key!r} (did you mean {near[0]!r}?)" if near else repr(key)
