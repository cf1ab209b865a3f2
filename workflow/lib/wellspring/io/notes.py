"""Notes: the reason for a value, plate, well or image, as a code and its values. The report words them.

Tables and cards hold notes as text, `code(key=value, key=value)` with JSON values, joined by `; `. No module reads
another module's sentences: it compares codes. `wellspring.report.wording` has the sentence of every code.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wellspring.io import credentials

Scalar = str | int | float | bool | None
_CODE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")
_KEY = re.compile(r"([a-z][a-z0-9_]*)=")
_JSON = json.JSONDecoder()


@dataclass(frozen=True)
class Note:
    """One reason: a code of lower-case words, and the values that its sentence needs.

    Examples
    --------
    >>> str(Note("too_few_controls", {"found": 3, "needed": 8}))
    'too_few_controls(found=3, needed=8)'
    >>> loads("blank; too_few_controls(found=3, needed=8)")[1].values["found"]
    3
    """

    code: str
    values: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a code or a key that could not be read back, and mask credentials in values."""
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"note: expected a code of lower-case words, found {self.code!r}")
        for key in self.values:
            if not _KEY.fullmatch(f"{key}="):
                raise ValueError(f"note {self.code}: expected keys of lower-case words, found {key!r}")
        texts = {
            key: credentials.redacted(value) if isinstance(value, str) else value for key, value in self.values.items()
        }
        object.__setattr__(self, "values", texts)

    def __str__(self) -> str:
        """Return the note as tables hold it."""
        values = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.values.items())
        return f"{self.code}({values})" if values else self.code

    def __hash__(self) -> int:
        """Return the hash of the text, since equal notes have equal texts."""
        return hash(str(self))


def dumps(notes: Iterable[Note]) -> str:
    """Return notes as text, each once, in the order in which they were given."""
    return "; ".join(dict.fromkeys(map(str, notes)))


def in_words(notes: Iterable[Note | str]) -> str:
    """Return the sentences of notes, or of notes as text, for a line of a log.

    The sentences are a part of the report, on which no stage depends: their module is imported here, by name.

    Examples
    --------
    >>> in_words([Note("no_negative_controls")])
    'no negative controls'
    """
    worded: Callable[[str], str] = importlib.import_module("wellspring.report.wording").worded
    texts = dict.fromkeys(map(str, notes))
    try:
        return "; ".join(map(worded, texts))
    except KeyError:  # a note of an earlier version, without a value that its sentence has: no reason to end a job
        return "; ".join(texts)


def loads(text: str) -> tuple[Note, ...]:
    """Return the notes of a text that `dumps` wrote; `ValueError` shows the position that cannot be read."""
    return tuple(_parsed(text))


def _parsed(text: str) -> Iterator[Note]:
    place = 0
    while place < len(text):
        code = _CODE.match(text, place)
        if code is None:
            raise ValueError(f"notes: expected a code at character {place}, found {text[place : place + 40]!r}")
        place, values = code.end(), {}
        if text[place : place + 1] == "(":
            place += 1
            while text[place : place + 1] != ")":
                key = _KEY.match(text, place)
                if key is None:
                    raise ValueError(f"notes: expected key= at character {place}, found {text[place : place + 40]!r}")
                values[key[1]], place = _JSON.raw_decode(text, key.end())
                place += 2 if text[place : place + 2] == ", " else 0
            place += 1
        yield Note(code[0], values)
        if place < len(text) and text[place : place + 2] != "; ":
            raise ValueError(f"notes: expected '; ' at character {place}, found {text[place : place + 40]!r}")
        place += 2
