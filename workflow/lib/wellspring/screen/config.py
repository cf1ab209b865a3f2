"""The config: schemas assembled, defaults filled in, encoders resolved, mistakes named before any job starts.

In flows the config as the user wrote it, out flows a complete one. Each section's schema is a file of
`workflow/schemas/config/`, from which `config/README.md` is generated too.
"""

import copy
import difflib
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from wellspring.io.shipped import CONFIG_SCHEMAS, ENCODER_PRESETS
from wellspring.screen.section_reader import Section, read
from wellspring.screen.sections import Config
from wellspring.screen.stages import SECTIONS

FROZEN = ("timm", "classical", "table")  # kinds of encoders that are never trained
RENAMED = {"index.storage": "index.object_store", "survey.verdicts": "survey.exclusions"}  # old key to new key
VIEWS = {"classical": "cell", "table": "well"}  # what a kind looks at where its entry does not say; tile elsewhere


@cache
def schema() -> dict:
    """Return the JSON schema of the whole config: the top level's keys and each stage's section."""
    whole = yaml.safe_load((CONFIG_SCHEMAS / "config.yaml").read_text())
    for section in SECTIONS:
        part = yaml.safe_load((CONFIG_SCHEMAS / f"{section}.yaml").read_text())
        if section == "encoders":
            entries = whole["properties"]["encoders"]
            part = {**entries, "additionalProperties": part}
        whole["properties"][section] = part
    return whole


def resolve(config: dict, *, source: str = "config") -> dict:
    """Return `config` with every default filled in and every encoder's `like` followed.

    Parameters
    ----------
    config
        As read from YAML and `--config`.
    source
        What to call it in an error.

    Raises
    ------
    ValueError
        Names the key, what was expected and what was found; an unknown key comes with the nearest known one.
    """
    written = copy.deepcopy(dict(config))
    problems = [f"{source}: {message}" for message in _problems(written)]
    if problems:
        raise ValueError("\n".join(problems))
    complete = fill(written)
    _check_tables(complete, source)
    _check_encoders(complete, source)
    _check_cellpose(complete["cells"], source)
    _check_projection(complete["images"], source)
    return complete


def fill(config: dict) -> dict:
    """Return a valid `config` with defaults filled in and `like` followed; nothing is checked."""
    encoders = config.get("encoders", {})
    complete = _fill({**config, "encoders": {name: inherit(name, encoders) for name in encoders}}, schema())
    for entry in complete["encoders"].values():
        entry["view"]["kind"] = entry["view"]["kind"] or VIEWS.get(entry["kind"], "tile")
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
    written: dict = (
        {"encoders": {"default": changes}} if name == "encoder" else {"encoders": {"any": {}}, name: changes}
    )
    problems = list(_problems(written))
    if problems:
        raise ValueError("\n".join(problems))
    complete = fill(written)
    return read(section, complete["encoders"]["default"] if name == "encoder" else complete[name])


@cache
def presets() -> dict[str, dict]:
    """Return the shipped entries that `like` may name, by FILE.NAME."""
    files = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(ENCODER_PRESETS.glob("*.yaml"))}
    return {f"{file}.{name}": entry for file, whole in files.items() for name, entry in whole["encoders"].items()}


def inherit(name: str, encoders: dict, *, seen: tuple[str, ...] = ()) -> dict:
    """Return the entry `name` of `encoders`, or else of the presets, with those that it is `like` merged beneath it."""
    if name not in encoders and name not in presets():
        known = f"one of {sorted(encoders)} or of the presets {sorted(presets())}"
        raise ValueError(f"encoders.{seen[-1]}.like: expected {known}, found {name!r}")
    if name in seen:
        raise ValueError(f"encoders.{name}.like: expected no circle, found {' -> '.join((*seen, name))}")
    entry = dict(encoders[name] if name in encoders else presets()[name])
    parent = entry.pop("like", None)
    return entry if parent is None else _merge(inherit(parent, encoders, seen=(*seen, name)), entry)


def _merge(base: dict, over: dict) -> dict:
    merged = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _fill(value: object, spec: dict) -> object:
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


def _problems(config: dict) -> Iterator[str]:
    for error in sorted(Draft202012Validator(schema()).iter_errors(config), key=lambda each: list(each.absolute_path)):
        yield _sentence(error)


def _sentence(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        renamed = [f"{where}.{key}" for key in unknown if f"{where}.{key}" in RENAMED]
        told = [f"{key} was renamed to {RENAMED[key]}" for key in renamed]
        unknown = [key for key in unknown if f"{where}.{key}" not in RENAMED]
        if not unknown:
            return "; ".join(told)
        near = [difflib.get_close_matches(key, known, n=1) for key in unknown]
        hints = [
            f"{key!r}" + (f" (did you mean {hit[0]!r}?)" if hit else "") for key, hit in zip(unknown, near, strict=True)
        ]
        return "; ".join([*told, f"{where or 'top level'}: unknown key {', '.join(hints)}; expected one of {known}"])
    return f"{where or 'top level'}: {error.message}"


def trains(entry: dict) -> bool:
    """Whether an entry of `encoders` is trained: a network that is not frozen, with steps."""
    if entry["kind"] == "module" and entry.get("objective") in (None, "frozen"):
        return False
    return entry["kind"] not in FROZEN and entry.get("steps") != 0


def needs_images(config: dict) -> bool:
    """Whether an encoder of a complete config looks at images: one that is no table does."""
    return any(entry["kind"] != "table" for entry in config["encoders"].values())


def steps_of(config: dict) -> list[str]:
    """Return the names of the steps of a complete config's alignment, in their order."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in config["fit"]["steps"]]


def check_roles(config: dict, roles: Mapping[str, str]) -> None:
    """Refuse plates (name to role) that the steps of a complete config could not be applied to."""
    others = [name for name, role in roles.items() if role != "fit"]
    if "harmony" in steps_of(config) and others:
        expected = "expected all plates in the role fit with harmony, which has no map for others"
        raise ValueError(f"fit.steps: {expected}, found {others}")


def _check_tables(config: dict, source: str) -> None:
    """Refuse what goes with tables only, or does not go with them."""
    if needs_images(config) and not config["channels"]:
        raise ValueError(f"{source}: channels: expected their names for encoders that look at images, found none")
    for name, entry in config["encoders"].items():
        where, table = f"{source}: encoders.{name}", entry["kind"] == "table"
        if table != (entry["files"] is not None):
            expected = "a file for the kind table" if table else "null but for the kind table"
            raise ValueError(f"{where}.files: expected {expected}, found {entry['files']!r}")
        if not table and (entry["columns"] or entry["features"]):
            raise ValueError(f"{where}: expected no columns and features but for the kind table, found some")
        if not table and entry["view"]["kind"] == "well":
            raise ValueError(f"{where}.view.kind: expected tile or cell but for the kind table, found well")
        for pattern in entry["features"]:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"{where}.features: expected regular expressions, found {pattern!r}: {error}"
                ) from error


def _check_cellpose(cells: dict, source: str) -> None:
    """Refuse weights without their sha256 or by name; `snakemake weights` runs before there are any."""
    for kind, named in cells["cellpose"]["weights"].items():
        where = f"{source}: cells.cellpose.weights.{kind}"
        if (named["path"] is None) != (named["sha256"] is None):
            raise ValueError(f"{where}: expected path and sha256 both or neither, found {named}")
        if named["path"] is not None and not Path(named["path"]).is_absolute():
            raise ValueError(f"{where}.path: expected an absolute path, found {named['path']!r}")


def _check_projection(images: dict, source: str) -> None:
    """Refuse a plane to take without its name, and a name that nothing asks for."""
    if (images["projection"] == "plane") != (images["plane"] is not None):
        expected = "the name of a plane" if images["projection"] == "plane" else "null but for the projection plane"
        raise ValueError(f"{source}: images.plane: expected {expected}, found {images['plane']!r}")


def _check_module(entry: dict, where: str) -> None:
    """Refuse a kind module without a factory, and keys of a module beside another kind."""
    own = entry["kind"] == "module"
    if own != (entry["factory"] is not None):
        expected = "PACKAGE.MODULE:FUNCTION or FILE.py:FUNCTION for the kind module" if own else "null but for module"
        raise ValueError(f"{where}.factory: expected {expected}, found {entry['factory']!r}")
    if not own and (entry["arguments"] or entry["objective"] is not None):
        raise ValueError(
            f"{where}: expected arguments and objective for the kind module only, found kind {entry['kind']}"
        )
    if own and entry["stem"] != "widened":
        raise ValueError(f"{where}.stem: expected widened for the kind module, found {entry['stem']}")


def _check_encoders(config: dict, source: str) -> None:
    for name, entry in config["encoders"].items():
        if entry["kind"] == "table":
            continue
        _check_module(entry, f"{source}: encoders.{name}")
        parts = math.prod(config["train"][key] for key in ("gpus", "nodes", "accumulate"))
        if trains(entry) and entry["batch"] % parts:
            message = f"a multiple of train.gpus x train.nodes x train.accumulate = {parts}, found {entry['batch']}"
            raise ValueError(f"{source}: encoders.{name}.batch: expected {message}")
        if entry["kind"] == "classical" and not config["cells"]["activate"]:
            message = (
                f"{source}: encoders.{name}.kind: expected cells.activate true for the kind classical, found false"
            )
            raise ValueError(message)
        if entry["kind"] == "classical" and entry["view"]["kind"] != "cell":
            raise ValueError(f"{source}: encoders.{name}.view.kind: expected cell for the kind classical, found tile")
        if entry["kind"] == "timm" and entry["weights"] is None:
            message = "a local file for the kind timm, which is frozen, found none; an untrained network is an entry"
            raise ValueError(f"{source}: encoders.{name}.weights: expected {message} of another kind with steps: 0")
        if entry["weights"] is not None and not Path(entry["weights"]).is_file():
            message = f"expected a local file, found none at {entry['weights']}"
            raise ValueError(f"{source}: encoders.{name}.weights: {message}")
        if entry["view"]["kind"] == "cell" and config["embed"]["field"] == "joined":
            message = "tile with embed.field joined, since a cell has no second scale, found cell"
            raise ValueError(f"{source}: encoders.{name}.view.kind: expected {message}")
        if entry["view"]["kind"] == "cell" and not config["cells"]["activate"]:
            message = f"{source}: encoders.{name}.view.kind: expected tile while cells.activate is false, found cell"
            raise ValueError(message)
