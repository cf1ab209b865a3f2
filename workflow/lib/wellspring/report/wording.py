"""The sentence of every note: codes and values in, plain English out. No other module words a note.

A sentence is a format string over the note's values, or a function of them where the grammar hangs on a value.
"""

from collections.abc import Callable, Mapping

from wellspring.io.notes import Note, loads
from wellspring.report import wording_profiles

Sentence = str | Callable[[Mapping], str]

SENTENCES: dict[str, Sentence] = {
    # io.raw_image
    "missing": lambda values: f"missing: {values.get('detail', 'no file')}",
    "unreadable": "unreadable: {detail}",
    "truncated": "truncated: {detail}",
    "dtype": "dtype: {detail}",
    "blank": "blank: every pixel is {value}",
    # screen.exclusions
    "listed": lambda values: _with_reason("excluded as listed", values),
    "kept_as_listed": lambda values: _with_reason("kept as listed", values),
    "keep_refused": "listed as keep, but only readable images can be kept",
    # profile, align, evaluate
    **wording_profiles.SENTENCES,
}


def words(note: Note) -> str:
    """Return the sentence of a note, without a full stop; `KeyError` names a code that has none."""
    sentence = SENTENCES[note.code]
    values = dict(note.values)
    if "notes" in values:
        values["notes"] = worded(str(values["notes"])) or "no reason given"
    return sentence.format(**values) if isinstance(sentence, str) else sentence(values)


def worded(text: str) -> str:
    """Return the sentences of the notes of a text; a text that has none, as of an earlier version, unchanged."""
    try:
        return "; ".join(map(words, loads(text)))
    except (KeyError, ValueError):
        return text


def _with_reason(what: str, values: Mapping) -> str:
    """Return words and the reason that a person gave, where there is one."""
    return f"{what}: {values['reason']}" if values.get("reason") else what
