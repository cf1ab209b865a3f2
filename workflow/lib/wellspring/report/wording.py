"""The sentence of every note. Input: notes, or their text form. Output: plain English. No other module does this.

A sentence is a format string over the note's values, or a function of them where the grammar depends on a value.
"""

from collections.abc import Callable, Mapping

from wellspring.io.notes import Note, loads
from wellspring.io.phrases import count
from wellspring.report import wording_images, wording_profiles

Sentence = str | Callable[[Mapping[str, object]], str]


class Amount(int):
    """A whole number that a format string shows with a noun: `{wells:well}` is `1 well`, `2 wells`."""

    def __format__(self, spec: str) -> str:
        """Return the number with the noun `spec` in singular or plural; other specifications are those of int."""
        return count(self, spec) if spec.replace(" ", "").isalpha() and len(spec) > 1 else super().__format__(spec)


UNCODED = "uncoded"


SENTENCES: dict[str, Sentence] = {
    # wellspring.report: a text that is not in the form of notes, such as that of a table made by other software
    UNCODED: "{text}",
    "not_in_profiles": "the plate is not among the aligned profiles",
    # io.raw_image, screen.exclusions, survey, illumination
    **wording_images.SENTENCES,
    # profile, align, evaluate
    **wording_profiles.SENTENCES,
}
# Names of reasons whose values differ from image to image or feature to feature, where they are counted together.
KINDS = {
    "correlated": "correlated with another feature",
    "large_value": "a value beyond the limit",
    "few_values": "few distinct values",
    "not_finite": "not finite in too many wells",
    "low_focus": "out of focus",
    "low_sharpness": "low sharpness",
    "several_pages": "several pages",
    "other_shape": "image size differs from the plate's",
    "other_dtype": "data type differs from the plate's",
    "dtype": "data type not supported",
    "on_blocklist": "on the blocklist",
    "same_pixels": "same pixels as another image",
    "zero_tail": "last rows are zero",
    "outlier": "outlier of its plate and channel",
    "controls_excluded": "all negative controls excluded",
    "listed": "excluded as listed",
    "kept_as_listed": "kept as listed",
    "no_spread_in_controls": "no spread in the controls",
}


def parse(text: str) -> tuple[Note, ...]:
    """Return the notes of a text; a text that is not in the form of notes is one note of the code `UNCODED`."""
    try:
        notes = loads(text)
    except ValueError:
        return (Note(UNCODED, {"text": text}),)
    return notes if all(note.code in SENTENCES for note in notes) else (Note(UNCODED, {"text": text}),)


def words(note: Note) -> str:
    """Return the sentence of a note, without a full stop; `KeyError` names a code that has none."""
    sentence = SENTENCES[note.code]
    values: dict[str, object] = dict(note.values)
    if "notes" in values:
        values["notes"] = worded(str(values["notes"])) or "no reason given"
    if callable(sentence):
        return sentence(values)
    if "step" in values:
        values["step"] = wording_profiles.step(values)
    return sentence.format(**{name: Amount(one) if type(one) is int else one for name, one in values.items()})


def worded(notes: str) -> str:
    """Return the sentences of notes in text form, joined by `; `."""
    return "; ".join(map(words, parse(notes)))


def kind(note: Note) -> str:
    """Return the name of a note's reason without its values, under which reasons are counted."""
    return words(note) if note.code == UNCODED else KINDS.get(note.code, note.code.replace("_", " "))


def kinds(notes: str) -> str:
    """Return the names of the reasons of notes in text form, joined by `; `, empty where there is none."""
    return "; ".join(map(kind, parse(notes)))


def capital(sentence: str) -> str:
    """Return a sentence with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]
