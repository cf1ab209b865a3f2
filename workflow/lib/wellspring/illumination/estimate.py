"""Estimate the flat and dark fields of a light path from the surveys and views of the plates that share it.

Channel by channel, on the binned views that the survey kept. What a correction gains is measured on wells that its
estimate has not seen (:mod:`wellspring.illumination.judge`); a channel that does not gain is not corrected.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from wellspring.illumination import basic, evenness, flatfield, given, judge, pooling
from wellspring.illumination.lightpath import LightPath
from wellspring.io.notes import Note, dumps, in_words, loads
from wellspring.screen.sections import Illumination
from wellspring.views import binning

logger = logging.getLogger(__name__)

FITTED = ("basic", "median")  # methods whose flat field is estimated from the views
DARKEST_PIXELS = "quantile_0.001"  # column of the survey: a dark field is below it, too
GAIN_LIMITED, DARK_ABOVE_DATA = "light_gain_limited", "light_dark_above_data"


@dataclass(frozen=True)
class _Views:
    """Views (n, h, w) of a channel with the well of each (n,), and the counts that its dark field does not exceed."""

    stack: np.ndarray
    wells: np.ndarray
    darkest: float


@dataclass(frozen=True)
class _Channel:
    """Flat and dark field (H, W) of a channel, its fields, figures, whether it is applied, and notes as text."""

    flat: np.ndarray
    dark: np.ndarray
    fields: int
    figures: dict[str, np.ndarray]
    applied: bool
    notes: str


def light_path(
    surveys: Sequence[pd.DataFrame],
    stacks: Sequence[np.ndarray],
    *,
    channels: Sequence[str],
    options: Illumination,
    optics: str = "",
    aliases: Mapping[str, str] | None = None,
    others: Mapping[str, tuple[Sequence[pd.DataFrame], Sequence[np.ndarray]]] | None = None,
) -> LightPath:
    """Estimate a light path from the surveys and views of the plates that share it.

    Planes that the survey excludes are left out, and so are views of another shape than most. A light path without one
    good field is even: flat 1, dark 0. With ``apply: auto``, a channel whose held-out wells do not gain is not applied,
    and has a note; flat fields of the method ``given`` are applied unless held-out wells get worse.

    Parameters
    ----------
    surveys, stacks
        Of each plate, its survey and the views (n, h, w) of its rows.
    channels
        In the order of the result.
    options
        The section ``illumination`` of the config.
    optics
        Name of the light path, for the files of the method ``given``.
    aliases
        Channel -> its name in the vendor's files, where that differs.
    others
        Other light paths by name, with surveys and views of their plates. Those of the same size of image and pixel
        that agree are pooled with a light path where each has few fields (:mod:`wellspring.illumination.pooling`).

    Raises
    ------
    ValueError
        A file of the method ``given`` does not fit; it is named.
    """
    table = pd.concat(list(surveys), ignore_index=True)
    good = (table["Metadata_Verdict"] == "keep").to_numpy()
    sizes = table.loc[good, ["Metadata_Height", "Metadata_Width"]].astype(int).value_counts().sort_index()
    if sizes.empty:
        logger.warning("no usable field: the illumination is taken as even")
        even = np.ones((len(channels), 1, 1), dtype=np.float32)
        count, figures = np.zeros(len(channels), dtype=np.int32), [evenness.unknown() for _ in channels]
        idle = np.zeros(len(channels), dtype=bool)
        why = [str(judge.against(one, wells=0)) for one in figures]
        return LightPath(list(channels), even, 0 * even, "no_usable_field", count, _stacked(figures), idle, why)
    height, width = map(int, sizes.idxmax())
    shape = height, width
    known: Sequence[np.ndarray | None] = [None] * len(channels)
    if options.method == "given":
        theirs = {channel: (aliases or {}).get(channel, channel) for channel in channels}
        known = list(given.flat_fields(str(options.given), theirs, optics=optics, shape=shape))
    parts, beside = [], _alike(others or {}, table, shape)
    for channel, flat in zip(channels, known, strict=True):
        views = _gather(table, stacks, _usable(table, shape) & (table["Metadata_Channel"] == channel).to_numpy())
        part = _channel(views, shape, name=channel, options=options, known=flat)
        small = options.method in FITTED and len(views.stack) < pooling.SMALL
        around = {name: _views_of(*pair, channel, shape) for name, pair in beside.items()} if small else {}
        parts.append(_pooled(part, views, around, shape, name=channel, options=options))
    return LightPath(
        list(channels),
        np.stack([part.flat for part in parts]),
        np.stack([part.dark for part in parts]),
        options.method,
        np.array([part.fields for part in parts], dtype=np.int32),
        _stacked([part.figures for part in parts]),
        np.array([part.applied for part in parts]),
        [part.notes for part in parts],
    )


def _usable(table: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Return which planes of a survey are kept and of this shape."""
    usual = (table["Metadata_Height"] == shape[0]) & (table["Metadata_Width"] == shape[1])
    found: np.ndarray = (table["Metadata_Verdict"] == "keep").to_numpy() & usual.fillna(False).to_numpy(bool)
    return found


def _views_of(
    surveys: Sequence[pd.DataFrame], stacks: Sequence[np.ndarray], channel: str, shape: tuple[int, int]
) -> _Views:
    table = pd.concat(list(surveys), ignore_index=True)
    return _gather(table, stacks, _usable(table, shape) & (table["Metadata_Channel"] == channel).to_numpy())


def _alike(
    others: Mapping[str, tuple[Sequence[pd.DataFrame], Sequence[np.ndarray]]], own: pd.DataFrame, shape: tuple[int, int]
) -> dict[str, tuple[Sequence[pd.DataFrame], Sequence[np.ndarray]]]:
    """Return the light paths with images of this shape, of the same pixel size where both surveys know it."""
    mine, found = pooling.pixel_size(own), {}
    for name, (tables, stacks) in others.items():
        table = pd.concat(list(tables), ignore_index=True)
        theirs = pooling.pixel_size(table)
        if _usable(table, shape).any() and not abs(np.log(theirs / mine)) > pooling.PIXELS:
            found[name] = (tables, stacks)
    return found


def _pooled(
    alone: _Channel,
    views: _Views,
    others: Mapping[str, _Views],
    shape: tuple[int, int],
    *,
    name: str,
    options: Illumination,
) -> _Channel:
    """Return the channel estimated with the light paths that agree, or else alone, with a note on what was decided."""
    candidates = pooling.candidates(views.stack, {other: each.stack for other, each in others.items()})
    if not candidates:
        return alone

    def fit(stack: np.ndarray) -> flatfield.Light:
        return _light(stack, views.darkest, options, None)[0]

    names = pooling.agreeing(views.stack, {other: others[other].stack for other in candidates}, fit)
    theirs = [others[other] for other in names]
    apart = Note(pooling.NOT_POOLED, {"others": ", ".join(candidates), "own": len(views.stack)})
    kept = replace(alone, notes=dumps([apart, *loads(alone.notes)]))
    if not names or pooling.harms(views.stack, views.wells, np.concatenate([each.stack for each in theirs]), fit):
        return kept
    together = _Views(
        np.concatenate([views.stack, *(each.stack for each in theirs)]),
        np.concatenate([views.wells, *(each.wells for each in theirs)]),
        min(each.darkest for each in (views, *theirs)),
    )
    pool = _channel(together, shape, name=f"{name} with {', '.join(names)}", options=options, known=None)
    if alone.applied and not pool.applied:
        return kept
    note = Note(pooling.POOLED, {"others": ", ".join(names), "own": len(views.stack), "fields": pool.fields})
    logger.info("%s: estimated with %s, %d fields in all", name, ", ".join(names), pool.fields)
    return replace(pool, notes=dumps([note, *loads(pool.notes)]))


def _stacked(figures: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([each[name] for each in figures]) for name in evenness.MEASURES}


def _gather(table: pd.DataFrame, stacks: Sequence[np.ndarray], chosen: np.ndarray) -> _Views:
    """Return the chosen rows of stacks that follow each other, without those that hold NaN."""
    starts = np.cumsum([0, *(len(stack) for stack in stacks)])
    parts = [stack[chosen[start : start + len(stack)]] for start, stack in zip(starts, stacks, strict=False)]
    parts = [part for part in parts if len(part)]
    stack = np.concatenate(parts) if parts else np.empty((0, 1, 1), dtype=np.float32)
    finite = np.isfinite(stack).all(axis=(1, 2))
    rows, stack = table[chosen][finite], stack[finite]
    darkest = flatfield.darkest(stack) if len(stack) else 0.0
    pixels = rows[DARKEST_PIXELS].dropna() if DARKEST_PIXELS in rows else pd.Series(dtype=float)
    if len(pixels):
        darkest = min(darkest, float(pixels.quantile(flatfield.LOWEST)))
    return _Views(stack, (rows["Metadata_Plate"] + "/" + rows["Metadata_Well"]).to_numpy(), darkest)


def _channel(
    views: _Views, shape: tuple[int, int], *, name: str, options: Illumination, known: np.ndarray | None
) -> _Channel:
    """Estimate, limit and judge one channel."""
    count, fitted = len(views.stack), options.method in FITTED
    if count == 0 and fitted:
        logger.warning("%s: no usable field, taken as even", name)
        figures = evenness.unknown()
        untested = str(judge.against(figures, wells=0))
        return _Channel(np.ones(shape, np.float32), np.zeros(shape, np.float32), 0, figures, False, untested)
    if fitted and count < flatfield.FEW:
        logger.warning("%s: %d fields are few: only a bowl is fitted, and the estimate is weak", name, count)
    seen = views.stack if count else np.zeros((1, *binning.shape_of(*shape)), dtype=np.float32)
    light, notes = _light(seen, views.darkest, options, known)
    figures = _figures(views, light, options)
    flat = known if known is not None else binning.enlarge(light.flat, shape)
    flat = (flatfield.limited(flat, options.max_gain) if fitted else flat / flat.mean(dtype=np.float64)).astype(
        np.float32
    )
    low, high = np.float32(light.dark.min()), np.float32(light.dark.max())
    dark = np.clip(binning.enlarge(light.dark, shape), low, high)
    _log(name, count, light, figures)
    why = _against(figures, views, options)
    if why is not None:
        logger.warning("%s: not corrected (illumination.apply: auto): %s", name, in_words([why]))
    return _Channel(flat, dark, count, figures, why is None, dumps([*notes, why] if why else notes))


def _light(
    stack: np.ndarray, darkest: float, options: Illumination, known: np.ndarray | None
) -> tuple[flatfield.Light, list[Note]]:
    """Return the light path of views (n, h, w) by the config's method, within its limits, with notes on the limits."""
    notes = []
    offset = None if options.offset == "estimate" else float(options.offset)
    if offset is not None and offset > darkest and options.method != "none":
        notes.append(Note(DARK_ABOVE_DATA, {"offset": offset, "darkest": float(f"{darkest:.4g}")}))
    if options.method == "none":
        return flatfield.light(np.ones(stack.shape[1:])), []
    if known is not None:
        return flatfield.light(binning.bin_area(known, stack.shape[1:]), offset or 0.0), notes
    if options.method == "basic":
        light = basic.basic(stack, offset=offset, darkest=darkest)
    else:
        even = basic.basic(stack, degrees=basic.BOWLS[1], darkest=darkest).dark.mean() if offset is None else offset
        light = flatfield.median(stack, offset=float(even))
    limit = options.max_gain
    if light.flat.min() < 1 / limit or light.flat.max() > limit:
        gains = {"largest": float(f"{1 / light.flat.min():.3g}"), "limit": limit}
        notes.append(Note(GAIN_LIMITED, gains))
        light = flatfield.Light(flatfield.limited(light.flat, limit), light.dark)
    return light, notes


def _figures(views: _Views, light: flatfield.Light, options: Illumination) -> dict[str, np.ndarray]:
    """Measure the evenness of wells by an estimate from other wells; of all where nothing is estimated."""
    if options.method not in FITTED:
        some = judge.thinned(len(views.stack))
        if len(np.unique(views.wells)) < judge.FEWEST:
            return evenness.unknown()
        return evenness.measured(views.stack[some], light, wells=views.wells[some])
    base = float(light.dark.mean())
    return judge.held_out(
        views.stack, views.wells, lambda some: _light(some, views.darkest, options, None)[0], base=base
    )


def _against(figures: Mapping[str, np.ndarray], views: _Views, options: Illumination) -> Note | None:
    """Return why the correction is not applied, None if it is."""
    if options.apply == "always" or options.method == "none":
        return None
    why = judge.against(figures, wells=len(np.unique(views.wells)))
    if options.method == "given" and why is not None and why.code in (judge.UNTESTED, judge.NO_GAIN):
        return None
    return why


def _log(name: str, count: int, light: flatfield.Light, figures: Mapping[str, np.ndarray]) -> None:
    message = "%s: %d fields, dark field %.1f (%.1f to %.1f), gain %.2f to %.2f"
    dark, gain = light.dark, 1 / light.flat
    logger.info(message, name, count, dark.mean(), dark.min(), dark.max(), gain.min(), gain.max())
    for what, measure in (("background", "residual"), ("objects", "objects")):
        before, after = figures[f"{measure}_before"][0], figures[f"{measure}_after"][0]
        change = figures[f"{measure}_change"]
        logger.info(
            "%s: unevenness of %s, held out: %.3f -> %.3f, change %.3f (%.3f to %.3f)",
            name,
            what,
            before,
            after,
            *change,
        )
