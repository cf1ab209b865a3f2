"""The sentences of the notes of image files, exclusion lists, indexes and surveys (see `wording`)."""

from collections.abc import Callable, Mapping

Values = Mapping[str, object]
Sentence = str | Callable[[Values], str]

_MEASURES = {
    "focus": "log-log slope of the power spectrum",
    "sharpness": "sharpness",
    "saturated": "share of saturated pixels",
    "foreground": "share of foreground",
}


def _with_reason(what: str, values: Values) -> str:
    """Return words and the reason that a person gave, where there is one."""
    return f"{what}: {values['reason']}" if values.get("reason") else what


def _measure(values: Values) -> str:
    return _MEASURES.get(str(values["measure"]), str(values["measure"]).replace("_", " "))


def _signed(value: object) -> str:
    """Return a number of three digits with a minus sign in place of a hyphen."""
    return f"{float(str(value)):.3g}".replace("-", "−")


def _percent(share: object) -> str:
    """Return a share between 0 and 1 in per cent, with one decimal."""
    return f"{100 * float(str(share)):.1f} %"


FILES: dict[str, Sentence] = {
    "missing": lambda values: f"missing: {values['detail']}" if values.get("detail") else "missing",
    "unreadable": "unreadable: {detail}",
    "truncated": "truncated: {detail}",
    "dtype": "dtype: {detail}",
    "blank": "blank: every pixel is {value}",
}
LISTS: dict[str, Sentence] = {
    "listed": lambda values: _with_reason("excluded as listed", values),
    "kept_as_listed": lambda values: _with_reason("kept as listed", values),
    "keep_refused": "listed as keep, but only readable images can be kept",
}
SURVEY: dict[str, Sentence] = {
    "saturated": lambda values: (
        f"saturated: {_percent(values['share'])} of the pixels, limit {_percent(values['limit'])}"
    ),
    "out_of_focus": lambda values: (
        f"out of focus: {_measure(values)} {_signed(values['value'])}, below {_signed(values['limit'])}"
    ),
}
SENTENCES: dict[str, Sentence] = {**FILES, **LISTS, **SURVEY}
