"""A config with mistakes, examined to the end: all of its problems, and what is left of it without them.

The rest of a screen is checked with the part that is right, so that one mistake hides no other. No job runs with it.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from wellspring.io import credentials
from wellspring.screen import config, config_checks, references
from wellspring.screen.sections import Config

OF_ENCODERS = ("profile.single_cell", "export.formats")  # keys that need encoders of a kind
TRIES = 20  # rounds of removal; each removes a key at least


@dataclass(frozen=True)
class Examined:
    """The problems of a config; its valid part, complete, None if nothing is left; and the keys that were removed.

    The keys are as `index.pattern`, or `encoders.NAME` for a whole encoder, which is removed with any mistake.
    """

    problems: tuple[str, ...]
    config: Config | None
    removed: frozenset[str]


def examined(written: Mapping[str, Any], *, source: str = "config") -> Examined:
    """Examine a config as written in YAML: the problems of :func:`wellspring.screen.config.resolve`, and further ones.

    A problem that only follows from the removal of a key is left out.
    """
    problems = list(credentials.problems(dict(written)))
    kept: Any = credentials.without(copy.deepcopy(dict(written)))
    removed: set[str] = set()
    plain = list(config_checks.plain_weights(kept))
    problems += plain
    _remove(kept, [("encoders", text.split(".")[1]) for text in plain if text.startswith("encoders.")], removed)
    problems += config.mistakes(kept)
    for _ in range(TRIES):
        places = [place for error in _errors(kept) if (place := _place(error))]
        if not places:
            break
        _remove(kept, places, removed)
    for name in list(kept.get("encoders") or {}):
        try:
            config.inherit(name, kept["encoders"])
        except ValueError as error:
            problems += [str(error)] if str(error) not in problems else []
            _remove(kept, [("encoders", name)], removed)
    try:
        complete = config.fill(kept)
        typed = config.typed(complete)
    except (ValueError, TypeError, KeyError) as error:  # what is left is no config
        problems += [] if problems else [str(error)]
        return Examined(_named(problems, source), None, frozenset(removed))
    further = [*config_checks.problems(typed), *references.problems(complete, config.schema())]
    problems += [text for text in further if not _follows(text, removed)]
    return Examined(_named(problems, source), typed, frozenset(removed))


def _named(problems: list[str], source: str) -> tuple[str, ...]:
    return tuple(f"{source}: {text}" for text in dict.fromkeys(problems))


def _errors(kept: Mapping[str, Any]) -> list[ValidationError]:
    return list(Draft202012Validator(config.schema()).iter_errors(kept))


def _place(error: ValidationError) -> tuple[Any, ...]:
    """Return the keys that lead to what an error is about, empty for the whole config; an encoder is one thing."""
    path: list[Any] = [part for part in error.absolute_path if isinstance(part, str)]
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        path = [*path, next(key for key in error.instance if key not in known)]
    if error.validator == "pattern" and path == ["encoders"]:  # the name of an encoder
        path = [*path, str(error.instance)]
    return tuple(path[:2] if path[:1] == ["encoders"] else path)


def _remove(kept: dict[str, Any], places: list[tuple[Any, ...]], removed: set[str]) -> None:
    for place in places:
        inside: Any = kept
        for key in place[:-1]:
            inside = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and place[-1] in inside:
            del inside[place[-1]]
            removed.add(".".join(map(str, place)))


def _follows(problem: str, removed: set[str]) -> bool:
    """Return whether a problem may be one because of the removal of a key that it names or is about."""
    about = problem.partition(":")[0]
    gone = [key.removeprefix("encoders.") for key in removed if key.startswith("encoders")]
    if gone and (about in OF_ENCODERS or any(problem.endswith(f"found {name!r}") for name in gone)):
        return True
    return any(
        about == key or about.startswith(f"{key}.") or (key == "channels" and "channels" in problem) for key in removed
    )
