"""The sentences of the notes of image files, exclusion lists, indexes, surveys and light paths (see `wording`)."""

from collections.abc import Callable, Mapping

Values = Mapping[str, object]
Sentence = str | Callable[[Values], str]


def _with_reason(what: str, values: Values) -> str:
    """Return words, followed by the reason in the user's list if it has one."""
    return f"{what}: {values['reason']}" if values.get("reason") else what


def _number(value: object) -> float:
    return float(str(value))


def _short(value: object) -> str:
    """Return a number of three digits with a minus sign instead of a hyphen."""
    return f"{_number(value):.3g}".replace("-", "−")


def _percent(share: object) -> str:
    """Return a share between 0 and 1 in per cent, with one decimal."""
    return f"{100 * _number(share):.1f} %"


def _too_many_sites(values: Values) -> str:
    excluded, sites = _number(values["excluded"]), _number(values["sites"])
    share = _percent(excluded / sites if sites else 1.0)
    limit = _percent(values["limit"])
    return f"{excluded:.0f} of {sites:.0f} sites excluded ({share}), more than survey.max_excluded ({limit})"


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
INDEX: dict[str, Sentence] = {
    "channel_without_files": "no file of channel {channel}",
    "crops_lost": lambda values: (
        f"{_number(values['lost']):.0f} of {_number(values['crops']):.0f} ready-made crops cannot be used, more than "
        f"survey.max_excluded ({_percent(values['limit'])})"
    ),
    "no_negative_controls": "no negative controls",  # of a plate; also why a metric has no value
}
SURVEY: dict[str, Sentence] = {
    # of planes
    "several_pages": "shape: a file of {pages:page}, where the plate's files have 1",
    "other_shape": "shape: {found}, where the plate has {usual}",
    "other_dtype": "data type: {found}, where the plate has {usual}",
    "zero_tail": "incomplete: every pixel of the last {rows} of {height:row} is 0, and few before them are",
    "same_pixels": "copy: {images:image} of wells {wells} have the same pixels",
    "saturated": lambda values: (
        f"saturated: {_percent(values['share'])} of the pixels"
        f"{' clipped at the grey value ' + str(values['ceiling']) if 'ceiling' in values else ''}, "
        f"more than {_percent(values['limit'])}"
    ),
    "low_focus": lambda values: (
        f"out of focus: log-log slope {_short(values['value'])}, below {_short(values['limit'])}"
    ),
    "low_sharpness": lambda values: (
        f"low sharpness: {_number(values['value']):.3f}, limit {_number(values['limit']):.3f}"
    ),
    "outlier": lambda values: (
        f"outlier: {values['measure']} {_short(values['value'])}, {abs(_number(values['deviations'])):.1f} robust "
        f"standard deviations {'below' if _number(values['deviations']) < 0 else 'above'} the plate's median of "
        f"{values['channel']} ({_short(values['median'])}), limit {_short(values['limit'])}"
    ),
    # of plates
    "too_many_sites_excluded": _too_many_sites,
    "controls_excluded": "all sites of the {wells:negative control well} are excluded",
    "wells_copied": "{wells} of {total:well} have images with the same pixels as other images of the plate",
    "plate_listed": lambda values: _with_reason("listed in survey.exclusions", values),
}


def _changed(what: str, values: Values) -> str:
    """Return the unevenness of held-out wells before and after a correction, with the interval of its change."""
    before, after, low, high = (_percent(values[name]) for name in ("before", "after", "low", "high"))
    interval = f"{low} to {high}".replace("-", "−")
    return f"unevenness of {what} in held-out wells {before} before and {after} after, change {interval}"


LIGHT: dict[str, Sentence] = {
    "light_untested": "not corrected: {wells:well}, and {needed} are needed to test the correction on held-out wells",
    "light_no_gain": lambda values: f"not corrected, no gain in held-out wells: {_changed('background', values)}",
    "light_worse_background": lambda values: (
        f"not corrected, held-out wells become less even: {_changed('background', values)}"
    ),
    "light_worse_objects": lambda values: (
        f"not corrected, the objects' brightness does not follow the flat field: {_changed('objects', values)}"
    ),
    "light_uneven_seeding": (
        "not corrected: there are more objects where the flat field is brighter (power {low} to {high}), so that the "
        "background may be brighter because of them"
    ),
    "light_pooled": "estimated from {fields:field}, {own} of them its own, with the light paths that agree: {others}",
    "light_not_pooled": (
        "estimated from its {own:field} alone: small light paths beside it do not agree or would not help: {others}"
    ),
    "light_gain_limited": "gain limited to {limit} (illumination.max_gain), estimated up to {largest}",
    "light_dark_above_data": (
        "illumination.offset is {offset} counts, above the darkest pixels ({darkest}); detail below it is lost"
    ),
}
_SET_DIAMETER = "set cells.nucleus_diameter to the diameter of one object"
CELLS: dict[str, Sentence] = {
    # of fields
    "vast_object": lambda values: f"an object covers {_percent(values['share'])} of the field",
    "nuclei_larger": lambda values: (
        f"the median nucleus is {_short(values['ratio'])} times as large as on the plate: merged nuclei, haze or debris"
    ),
    "nuclei_smaller": lambda values: (
        f"the median of {values['found']} nuclei is {_short(values['ratio'])} times smaller than on the plate: split "
        "nuclei or noise"
    ),
    "nuclei_split": lambda values: (
        f"{values['pieces']} of {values['found']} nuclei border on others along much of their outline: objects divided "
        "into pieces"
    ),
    "nuclei_blurred": lambda values: (
        f"nuclei have blurred edges, of sharpness {_short(values['sharpness'])} (in focus 5 to 9): out of focus, or "
        "objects without a sharp edge"
    ),
    "cells_flagged": lambda values: f"{_percent(values['share'])} of the cells are flagged",
    # of plates
    "diameter_beyond_field": lambda values: (
        f"implausible segmentation: the nucleus diameter was estimated at {_number(values['diameter']):.0f} px, more "
        f"than half of the field's {values['edge']} px; {_SET_DIAMETER}"
    ),
    "nuclei_fill_field": lambda values: (
        f"implausible segmentation: the median nucleus covers {_percent(values['share'])} of its field; "
        f"{_SET_DIAMETER} and check cells.nuclei"
    ),
    "most_cells_flagged": lambda values: (
        f"implausible segmentation: {_percent(values['share'])} of the cells are flagged; look at the outlines and "
        f"{_SET_DIAMETER}"
    ),
    "most_nuclei_pieces": lambda values: (
        f"implausible segmentation: {_percent(values['share'])} of the nuclei border on others along much of their "
        f"outline, as pieces of one object do; {_SET_DIAMETER}, or raise cells.smoothing and cells.split"
    ),
    "no_nuclear_signal": "implausible segmentation: the median nucleus is not brighter than the background; check that "
    "cells.nuclei is the channel of the nuclei",
    "most_fields_noted": lambda values: (
        f"implausible segmentation in {values['fields']} of {values['total']} fields; {_SET_DIAMETER}"
    ),
}
SENTENCES: dict[str, Sentence] = {**FILES, **LISTS, **INDEX, **SURVEY, **LIGHT, **CELLS}
