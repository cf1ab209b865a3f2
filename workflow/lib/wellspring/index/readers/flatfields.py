"""Parse a flat-field profile of Acapella (Harmony) into a flat field.

The text is nested lists and named values, ``{Background: {Character: NonFlat, Profile: {Coefficients: [[1.2], ...``.
Names and words are quoted only if they contain a comma or bracket.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

_TOKEN = re.compile(r'[{}\[\],]|"(?:[^"\\]|\\.)*"|[^{}\[\],"]+')
LENGTH = 1 << 16  # a profile of fourth degree for foreground and background takes some 1,000 characters
DEPTH = 8  # it is five deep
DEGREE = 8  # Harmony fits polynomials of degree 4


def read(text: str, *, source: str) -> dict[str, object]:
    """Return the values of a profile by name: dictionaries, lists and strings (also for numbers).

    Raises
    ------
    ValueError
        The text is not such a profile, longer than ``LENGTH`` or deeper than ``DEPTH``; ``source`` is named.
    """
    if len(text) > LENGTH:
        raise ValueError(f"{source}: expected a flat-field profile of at most {LENGTH} characters, found {len(text)}")
    tokens = iter([token for token in _TOKEN.findall(text) if token.strip()] + [""])
    try:
        if "".join(_TOKEN.findall(text)) != text or next(tokens).strip() != "{":
            raise ValueError("no { at its start, or an unclosed quotation mark")
        found = _names(tokens, 1)
        if next(tokens):
            raise ValueError("text after its end")
    except ValueError as error:
        raise ValueError(f"{source}: expected a flat-field profile, found {error}: {text[:60]!r}") from error
    return found


def field(profile: Mapping[str, Any], shape: tuple[int, int], *, source: str) -> np.ndarray:
    """Return the flat field of a profile: (H, W) float32 of mean 1.

    The foreground's part is taken where it was measured, else the background's. A polynomial is the sum of
    ``c[n][j] x^(n-j) y^j`` with x = (column - Origin[0]) Scale[0] and y = (row - Origin[1]) Scale[1]. The order of the
    powers is not documented; in a real measurement this order matches the background of the fields better than the
    reverse (correlation 0.61 against 0.52 over blocks of 36 pixels).

    Raises
    ------
    ValueError
        A part cannot be parsed, the field is not positive, or its proportions differ from ``shape``.
    """
    chosen = next((name for name in ("Foreground", "Background") if _measured(profile.get(name))), None)
    if chosen is None:
        logger.warning("%s: Harmony has no estimate of the flat field; an even field is used", source)
        return np.ones(shape, np.float32)
    part = profile[chosen]["Profile"]
    logger.info("%s: flat field of the %s (%s)", source, chosen.lower(), part.get("Type"))
    if part.get("Type") == "Identity":
        return np.ones(shape, np.float32)
    if part.get("Type") != "Polynomial":
        raise ValueError(f"{source}: expected a profile of type Polynomial or Identity, found {part.get('Type')!r}")
    try:
        dims, origin, scale = (np.array(part[name], float).reshape(2) for name in ("Dims", "Origin", "Scale"))
        terms = [np.array(row, float).reshape(-1) for row in part["Coefficients"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: expected Dims, Origin, Scale and Coefficients, found {part}: {error}") from error
    if not terms or len(terms) > DEGREE + 1 or any(len(row) != degree + 1 for degree, row in enumerate(terms)):
        raise ValueError(f"{source}: expected n + 1 coefficients of degree n, found {[len(row) for row in terms]}")
    ratio = dims[::-1] / np.array(shape)
    if not (ratio > 0).all() or abs(ratio[0] / ratio[1] - 1) > 0.01:
        raise ValueError(
            f"{source}: expected images of {shape}, found a profile for {dims[::-1].tolist()} (rows, columns)"
        )
    y, x = (
        ((np.arange(count) + 0.5) * step - 0.5 - middle) * unit
        for count, step, middle, unit in zip(shape, ratio, origin[::-1], scale[::-1], strict=True)
    )
    values = np.zeros(shape)
    for degree, row in enumerate(terms):
        for j, weight in enumerate(row):
            values += weight * np.multiply.outer(y**j, x ** (degree - j))
    if not np.isfinite(values).all() or values.min() <= 0:
        raise ValueError(f"{source}: expected a positive flat field, found a minimum of {values.min():.3g}")
    flat: np.ndarray = (values / values.mean()).astype(np.float32)
    return flat


def _measured(part: object) -> bool:
    """Return whether Harmony could judge a part; ``Null`` marks one that it could not."""
    return isinstance(part, dict) and isinstance(part.get("Profile"), dict) and part.get("Character") != "Null"


def _names(tokens: Iterator[str], depth: int) -> dict[str, object]:
    """Read ``name: value, ...}``; the opening bracket was read."""
    found: dict[str, object] = {}
    token = next(tokens)
    while token.strip() != "}":
        name, colon, rest = token.partition(":")
        if not colon or not name.strip() or name.strip() in found or token.startswith('"'):
            raise ValueError(f"{token.strip()[:20]!r} where a name and a colon belong")
        token = rest if rest.strip() else next(tokens)
        empty = token.strip() in (",", "}")  # a channel without name
        found[name.strip()] = "" if empty else rest.strip() or _value(token, tokens, depth)
        token = _next(chain([token], tokens) if empty else tokens, "}")
    return found


def _list(tokens: Iterator[str], depth: int) -> list[object]:
    """Read ``value, ...]``; the opening bracket was read."""
    found: list[object] = []
    token = next(tokens)
    while token.strip() != "]":
        found.append(_value(token, tokens, depth))
        token = _next(tokens, "]")
    return found


def _value(token: str, tokens: Iterator[str], depth: int) -> object:
    token = token.strip()
    if token in ("{", "["):
        if depth == DEPTH:
            raise ValueError(f"more than {DEPTH} brackets in each other")
        return _names(tokens, depth + 1) if token == "{" else _list(tokens, depth + 1)
    if not token or token in "}],":
        raise ValueError(f"{token or 'its end'!r} where a value belongs")
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token


def _next(tokens: Iterator[str], end: str) -> str:
    """Return the token after a value: the closing bracket, or the token after the comma."""
    token = next(tokens).strip()
    if token == end:
        return token
    if token != ",":
        raise ValueError(f"{token[:20] or 'its end'!r} where a comma or {end} belongs")
    return next(tokens)
