"""The sentence of every note: codes and values in, plain English out. No other module words a note.

A sentence is a format string over the note's values, or a function of them where the grammar hangs on a value.
"""

from collections.abc import Callable, Mapping

from wellspring.io.notes import Note

Sentence = str | Callable[[Mapping], str]

SENTENCES: dict[str, Sentence] = {}


def words(note: Note) -> str:
    """Return the sentence of a note, without a full stop; `KeyError` names a code that has none."""
    sentence = SENTENCES[note.code]
    return sentence.format(**note.values) if isinstance(sentence, str) else sentence(note.values)
