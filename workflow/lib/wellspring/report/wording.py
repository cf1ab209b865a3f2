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
    # index
    "channel_without_files": "no file of channel {channel}",
    "no_negative_controls": "no negative controls",
    # survey, planes
    "several_pages": "shape: a file of {pages} pages, where the plate's files have 1",
    "other_shape": "shape: {found}, where the plate has {usual}",
    "other_dtype": "dtype: {found}, where the plate has {usual}",
    "saturated": "saturated: {share:.1%} of the pixels, more than {limit:.1%}",
    "low_focus": "focus: log-log slope {value:.3g}, below {limit:g}",
    "low_sharpness": "sharpness: {value:.3g}, below {limit:g}",
    "outlier": lambda values: _outlier(values),
    # survey, plates
    "too_many_sites_excluded": lambda values: _too_many_sites(values),
    "controls_excluded": "all sites of the {wells} negative control wells are excluded",
    "plate_listed": lambda values: _with_reason("listed in survey.exclusions", values),
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


def _outlier(values: Mapping) -> str:
    away = values["deviations"]
    return (
        f"outlier: {values['measure']} {values['value']:.3g}, {abs(away):.1f} robust standard deviations "
        f"{'below' if away < 0 else 'above'} the plate's median of {values['channel']} ({values['median']:.3g}), "
        f"limit {values['limit']:g}"
    )


def _too_many_sites(values: Mapping) -> str:
    excluded, sites = values["excluded"], values["sites"]
    share = excluded / sites if sites else 1.0
    return f"{excluded} of {sites} sites excluded ({share:.1%}), more than survey.max_excluded ({values['limit']:.0%})"


def _with_reason(what: str, values: Mapping) -> str:
    """Return words and the reason that a person gave, where there is one."""
    return f"{what}: {values['reason']}" if values.get("reason") else what
