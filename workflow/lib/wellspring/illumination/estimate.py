"""Estimate the flat and dark fields of a light path from the surveys and views of the plates that share it.

Channel by channel, on the binned views that the survey kept; what a correction gains is measured on fields that its
estimate has not seen.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from wellspring.illumination import basic, evenness, flatfield, given
from wellspring.illumination.lightpath import LightPath
from wellspring.screen.sections import Illumination
from wellspring.views import binning

logger = logging.getLogger(__name__)

DARKEST = 0.02  # of the mean: a darker corner is a wall of the well, and dividing by less amplifies noise
FEWEST = 4  # fields that can be halved, to measure what a correction gains


def light_path(
    surveys: Sequence[pd.DataFrame],
    stacks: Sequence[np.ndarray],
    *,
    channels: Sequence[str],
    options: Illumination,
    optics: str = "",
    aliases: Mapping[str, str] | None = None,
) -> LightPath:
    """Estimate a light path from the surveys and views of the plates that share it.

    Planes that the survey excludes are left out, and so are views of another shape than most. A light path without one
    good field is even: flat 1, dark 0.

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
        return LightPath(list(channels), even, 0 * even, "no_usable_field", count, _stacked(figures))
    height, width = map(int, sizes.idxmax())
    shape = height, width
    usual = (table["Metadata_Height"] == shape[0]) & (table["Metadata_Width"] == shape[1])
    good = good & usual.fillna(False).to_numpy(bool)
    known: Sequence[np.ndarray | None] = [None] * len(channels)
    if options.method == "given":
        theirs = {channel: (aliases or {}).get(channel, channel) for channel in channels}
        known = list(given.flat_fields(str(options.given), theirs, optics=optics, shape=shape))
    parts = []
    for channel, flat in zip(channels, known, strict=True):
        chosen = good & (table["Metadata_Channel"] == channel).to_numpy()
        parts.append(_channel(_gather(stacks, chosen), shape, name=channel, options=options, known=flat))
    flat, dark, fields, figures = zip(*parts, strict=True)
    counts = np.array(fields, dtype=np.int32)
    return LightPath(list(channels), np.stack(flat), np.stack(dark), options.method, counts, _stacked(figures))


def _stacked(figures: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([each[name] for each in figures]) for name in evenness.MEASURES}


def _gather(stacks: Sequence[np.ndarray], chosen: np.ndarray) -> np.ndarray:
    """Return the chosen rows of stacks that follow each other, without those that hold NaN."""
    starts = np.cumsum([0, *(len(stack) for stack in stacks)])
    parts = [stack[chosen[start : start + len(stack)]] for start, stack in zip(starts, stacks, strict=False)]
    parts = [part for part in parts if len(part)]
    stack = np.concatenate(parts) if parts else np.empty((0, 1, 1), dtype=np.float32)
    return stack[np.isfinite(stack).all(axis=(1, 2))]


def _channel(
    stack: np.ndarray,
    shape: tuple[int, int],
    *,
    name: str,
    options: Illumination,
    known: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, int, dict[str, np.ndarray]]:
    """Return flat and dark field at full size, the number of fields, and the figures of :mod:`evenness`."""
    method, count = options.method, len(stack)
    fitted = method in ("basic", "median")
    if count == 0 and fitted:
        logger.warning("%s: no usable field, taken as even", name)
        return np.ones(shape, np.float32), np.zeros(shape, np.float32), 0, evenness.unknown()
    if fitted and count < flatfield.FEW:
        logger.warning("%s: %d fields are few: only a bowl is fitted, and the estimate is weak", name, count)
    seen = stack if count else np.zeros((1, *binning.shape_of(*shape)), dtype=np.float32)
    light = _light(seen, options, known)
    figures = _held_out(stack, light, options) if count >= FEWEST else evenness.unknown()
    flat = known if known is not None else np.maximum(binning.enlarge(light.flat, shape), DARKEST)
    flat = (flat / flat.mean(dtype=np.float64)).astype(np.float32)
    dark = binning.enlarge(light.dark, shape)
    _say(name, count, light, figures)
    return flat, dark, count, figures


def _light(stack: np.ndarray, options: Illumination, known: np.ndarray | None) -> flatfield.Light:
    """Return the light path of views (n, h, w) by the config's method."""
    method = options.method
    offset = None if options.offset == "estimate" else float(options.offset)
    if method == "none":
        return flatfield.light(np.ones(stack.shape[1:]))
    if known is not None:
        return flatfield.light(binning.bin_area(known, stack.shape[1:]), offset or 0.0)
    if method == "basic":
        return basic.basic(stack, offset=offset)
    dark = basic.basic(stack, degrees=basic.BOWLS[1]).dark.mean() if offset is None else offset
    return flatfield.median(stack, offset=float(dark))


def _held_out(stack: np.ndarray, light: flatfield.Light, options: Illumination) -> dict[str, np.ndarray]:
    """Measure the evenness of one half of the fields by the other's estimate, of all where nothing is estimated."""
    if options.method in ("none", "given"):
        return evenness.measured(stack, light)
    half = flatfield.halves(len(stack))
    return evenness.measured(stack[~half], _light(stack[half], options, None), base=float(light.dark.mean()))


def _say(name: str, count: int, light: flatfield.Light, figures: Mapping[str, np.ndarray]) -> None:
    message = "%s: %d fields, dark field %.1f (%.1f to %.1f), unevenness of held-out fields %.3f -> %.3f (%.3f to %.3f)"
    dark, (before, *_), after = light.dark, figures["residual_before"], figures["residual_after"]
    logger.info(message, name, count, dark.mean(), dark.min(), dark.max(), before, *after)
    if figures["residual_change"][1] > 0:
        logger.warning("%s: the correction makes held-out fields less even", name)
