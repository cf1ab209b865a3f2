"""Flat and dark field of one light path: surveys and views of its plates in, fields of full size out, and applied.

``corrected = (raw - dark) / flat + mean(dark)``, clipped at 0, rounded, uint16. Estimated channel by channel on the
binned views that the survey kept; what it gains is measured on fields that the estimate has not seen.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring import binning, flatfield

logger = logging.getLogger(__name__)

METHODS: dict[str, Callable[..., flatfield.Light]] = {"quantile": flatfield.quantile, "median": flatfield.mean}
DARKEST = 0.02  # of the mean: a corner darker than that is a wall of the well, and dividing by less prints noise


@dataclass(frozen=True)
class LightPath:
    """What one light path does, a channel each.

    ``flat`` (C, H, W) float32 of mean 1; ``dark`` (C, H, W) float32 counts; ``residual_before`` and ``residual_after``
    (C,) float32, rms of the smooth unevenness of held-out fields, a share of their mean, NaN where too few; ``fields``
    (C,) int32 used a channel.
    """

    channels: list[str]
    flat: np.ndarray
    dark: np.ndarray
    method: str
    residual_before: np.ndarray
    residual_after: np.ndarray
    fields: np.ndarray

    def of(self, channels: Sequence[str]) -> "LightPath":
        """Return the same for these channels, in their order."""
        absent = [channel for channel in channels if channel not in self.channels]
        if absent:
            raise ValueError(f"expected an illumination function for {list(channels)}, found none for {absent}")
        if list(channels) == self.channels:
            return self
        at = [self.channels.index(channel) for channel in channels]
        parts = (self.flat, self.dark, self.residual_before, self.residual_after, self.fields)
        flat, dark, before, after, fields = (part[at] for part in parts)
        return LightPath(list(channels), flat, dark, self.method, before, after, fields)


def correct(raw: np.ndarray, flat: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Correct raw pixels (..., H, W) by flat and dark field (..., H, W); returns uint16 of the same shape.

    The mean of the dark field is added again, so that an even image stays as it is and noise below it is not cut off.
    """
    return apply(raw, *coefficients(flat, dark))


def coefficients(flat: np.ndarray, dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (..., H, W) by which raw pixels are multiplied, and what is added then, for many images.

    ``(raw - dark) / flat + mean(dark)``, and a half that rounds what is cut off to whole counts.
    """
    pedestal = dark.mean(axis=(-2, -1), keepdims=True, dtype=np.float64)
    gain = np.divide(1, flat, dtype=np.float32, order="C")  # in the order of raw pixels, which doubles the rate
    lift = np.multiply(gain, dark, dtype=np.float32, order="C")
    return gain, np.subtract((pedestal + 0.5).astype(np.float32), lift, out=lift)


def apply(
    raw: np.ndarray,
    gain: np.ndarray,
    lift: np.ndarray,
    *,
    out: np.ndarray | None = None,
    level: np.ndarray | None = None,
) -> np.ndarray:
    """Correct raw pixels by :func:`coefficients` of the same shape into ``out``, uint16.

    ``level``, float32, is scratch. Both are new without: memory touched for the first time costs as the sums do.
    """
    out = np.empty(raw.shape, dtype=np.uint16) if out is None else out
    level = np.empty(raw.shape, dtype=np.float32) if level is None else level
    np.copyto(level, raw)
    level *= gain
    level += lift
    np.clip(level, 0, np.iinfo(np.uint16).max, out=level)
    np.copyto(out, level, casting="unsafe")
    return out


def light_path(
    surveys: Sequence[pd.DataFrame],
    stacks: Sequence[np.ndarray],
    *,
    channels: Sequence[str],
    options: Mapping[str, object],
) -> LightPath:
    """Estimate a light path from the surveys and views of the plates that share it.

    Planes that the survey excludes are left out, and so are views of another shape than most. ``options`` is the
    section ``illumination``. A light path without one good field is even: flat 1, dark 0.
    """
    table = pd.concat(list(surveys), ignore_index=True)
    good = (table["Metadata_Verdict"] == "keep").to_numpy()
    sizes = table.loc[good, ["Metadata_Height", "Metadata_Width"]].astype(int).value_counts().sort_index()
    if sizes.empty:
        logger.warning("no usable field: the illumination is taken as even")
        even = np.ones((len(channels), 1, 1), dtype=np.float32)
        nothing = np.full(len(channels), np.nan, dtype=np.float32)
        count = np.zeros(len(channels), dtype=np.int32)
        return LightPath(list(channels), even, 0 * even, "none (no usable field)", nothing, nothing, count)
    shape = sizes.idxmax()
    usual = (table["Metadata_Height"] == shape[0]) & (table["Metadata_Width"] == shape[1])
    good = good & usual.fillna(False).to_numpy(bool)
    parts = []
    for channel in channels:
        chosen = good & (table["Metadata_Channel"] == channel).to_numpy()
        parts.append(_channel(_gather(stacks, chosen), shape, name=channel, options=options))
    flat, dark, before, after, fields = (np.stack(part) for part in zip(*parts, strict=True))
    return LightPath(list(channels), flat, dark, str(options["method"]), before, after, fields.astype(np.int32))


def save(path: Path | str, light: LightPath) -> None:
    """Write a light path as ``.npz`` of plain arrays, to be read with ``allow_pickle=False``."""
    np.savez_compressed(
        path,
        channel=np.array(light.channels),
        flat=light.flat,
        dark=light.dark,
        method=np.array(light.method),
        residual_before=light.residual_before,
        residual_after=light.residual_after,
        fields=light.fields,
    )


def load(path: Path | str) -> LightPath:
    """Read what :func:`save` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    channels, method = arrays.pop("channel").tolist(), str(arrays.pop("method"))
    return LightPath(channels=channels, method=method, **arrays)


def export(folder: Path | str, light: LightPath, *, plate: str) -> list[Path]:
    """Write ``<plate>_Illum<Channel>.npy`` (H, W) float32 as CellProfiler's CorrectIlluminationApply divides by."""
    paths = [Path(folder) / f"{plate}_Illum{channel}.npy" for channel in light.channels]
    for path, flat in zip(paths, light.flat, strict=True):
        np.save(path, flat)
    return paths


def _gather(stacks: Sequence[np.ndarray], chosen: np.ndarray) -> np.ndarray:
    """Return the chosen rows of stacks that follow each other, without those that hold NaN."""
    starts = np.cumsum([0, *(len(stack) for stack in stacks)])
    parts = [stack[chosen[start : start + len(stack)]] for start, stack in zip(starts, stacks, strict=False)]
    parts = [part for part in parts if len(part)]
    stack = np.concatenate(parts) if parts else np.empty((0, 1, 1), dtype=np.float32)
    return stack[np.isfinite(stack).all(axis=(1, 2))]


def _channel(
    stack: np.ndarray, shape: tuple[int, int], *, name: str, options: Mapping[str, object]
) -> tuple[np.ndarray, ...]:
    """Return flat, dark, residual before and after, and the number of fields of one channel."""
    method = str(options["method"])
    if len(stack) == 0:
        logger.warning("%s: no usable field, taken as even", name)
        light = flatfield.Light(np.ones((2, 2)), 0.0)
    elif method == "none":
        light = flatfield.Light(np.ones(stack.shape[1:]), 0.0)
    else:
        light = _estimate(stack, options)
    if 0 < len(stack) < flatfield.FEW and method != "none":
        logger.warning("%s: %d fields are few; only a bowl is fitted, and the estimate is weak", name, len(stack))
    before = after = np.nan
    if len(stack) >= 4:
        before, after = _residuals(stack, light, options)
    message = "%s: %d fields, offset %.1f, unevenness of held-out fields %.3f -> %.3f"
    logger.info(message, name, len(stack), light.offset, before, after)
    flat = np.maximum(binning.enlarge(light.flat, shape), DARKEST)
    flat /= flat.mean(dtype=np.float64)
    dark = np.full(shape, light.offset, dtype=np.float32)
    return flat, dark, np.float32(before), np.float32(after), np.int32(len(stack))


def _estimate(stack: np.ndarray, options: Mapping[str, object]) -> flatfield.Light:
    offset = None if options["offset"] == "estimate" else float(options["offset"])
    return METHODS[str(options["method"])](stack, offset=offset)


def _residuals(stack: np.ndarray, light: flatfield.Light, options: Mapping[str, object]) -> tuple[float, float]:
    """Return the unevenness of one half of the fields, as it is and by the light path of the other half.

    Of the lower quartile over the fields: background rather than the cells that happen to lie there.
    """
    half = flatfield.halves(len(stack))
    seen = np.quantile(stack[~half], 0.25, axis=0) - light.offset
    before = flatfield.unevenness(seen)
    if options["method"] == "none":
        return before, before
    return before, flatfield.unevenness(seen / _estimate(stack[half], options).flat)
