"""Flat and dark field of one light path: correct pixels by them, save, load and export them.

``corrected = (raw - dark) / flat + mean(dark)``, clipped at 0, rounded, uint16.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from wellspring.io.packed import archive
from wellspring.io.tables import atomic

NOT_APPLIED = "not_applied"  # in place of the method, of a channel whose pixels stay as they are


@dataclass(frozen=True)
class LightPath:
    """The flat and dark fields of one light path, per channel.

    ``flat`` (C, H, W) float32 of mean 1; ``dark`` (C, H, W) float32 counts; ``fields`` (C,) int32 used per channel;
    ``held_out`` the figures of :func:`wellspring.illumination.evenness.measured`, (C, 3) float32 each, NaN where
    fields are too few. ``applied`` (C,) bool: whether pixels of the channel are corrected; () stands for all.
    ``notes``: per channel, why not, and what was limited, as text (:mod:`wellspring.io.notes`); () stands for none.
    """

    channels: list[str]
    flat: np.ndarray
    dark: np.ndarray
    method: str
    fields: np.ndarray
    held_out: Mapping[str, np.ndarray] = field(default_factory=dict)
    applied: np.ndarray = field(default_factory=lambda: np.ones(0, dtype=bool))
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Give each channel its value of ``applied`` and ``notes``."""
        if not len(self.applied):
            object.__setattr__(self, "applied", np.ones(len(self.channels), dtype=bool))
        object.__setattr__(self, "notes", tuple(self.notes) or ("",) * len(self.channels))

    def used(self) -> "LightPath":
        """Return what pixels are corrected by: the same, with an even light path where it is not applied."""
        where = self.applied[:, None, None]
        return replace(
            self, flat=np.where(where, self.flat, np.float32(1)), dark=np.where(where, self.dark, np.float32(0))
        )

    def records(self) -> list[dict[str, str]]:
        """Return a dict per channel, for tables and provenance: ``channel``, ``correction`` and ``notes`` as text."""
        return [
            {"channel": channel, "correction": self.method if applied else NOT_APPLIED, "notes": notes}
            for channel, applied, notes in zip(self.channels, self.applied.tolist(), self.notes, strict=True)
        ]

    def of(self, channels: Sequence[str]) -> "LightPath":
        """Return the same for these channels, in their order."""
        absent = [channel for channel in channels if channel not in self.channels]
        if absent:
            raise ValueError(f"expected an illumination function for {list(channels)}, found none for {absent}")
        if list(channels) == self.channels:
            return self
        at = [self.channels.index(channel) for channel in channels]
        held_out = {name: figures[at] for name, figures in self.held_out.items()}
        return replace(
            self,
            channels=list(channels),
            flat=self.flat[at],
            dark=self.dark[at],
            fields=self.fields[at],
            held_out=held_out,
            applied=self.applied[at],
            notes=[self.notes[place] for place in at],
        )


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


def save(path: Path | str, light: LightPath) -> None:
    """Write a light path as ``.npz`` of plain arrays, to be read with ``allow_pickle=False``."""
    arrays: dict[str, Any] = {"channel": np.array(light.channels), "method": np.array(light.method)}
    arrays |= {"flat": light.flat, "dark": light.dark, "fields": light.fields, **light.held_out}
    arrays |= {"applied": light.applied, "notes": np.array(light.notes, dtype=np.str_)}
    np.savez_compressed(path, **arrays)


def load(path: Path | str) -> LightPath:
    """Read what :func:`save` wrote."""
    arrays = archive(path)
    channels, method = arrays.pop("channel").tolist(), str(arrays.pop("method"))
    flat, dark, fields, applied = (arrays.pop(name) for name in ("flat", "dark", "fields", "applied"))
    notes = arrays.pop("notes").tolist()
    return LightPath(channels, flat, dark, method, fields, held_out=arrays, applied=applied, notes=notes)


def export(folder: Path | str, light: LightPath, *, plate: str) -> list[Path]:
    """Write ``<plate>_Illum<Channel>.npy`` (H, W) float32, by which CellProfiler's CorrectIlluminationApply divides.

    They are flat fields alone, of mean 1; 1 everywhere for a channel that is not corrected. CellProfiler knows no dark
    field; here it is taken off first.
    """
    paths = [Path(folder) / f"{plate}_Illum{channel}.npy" for channel in light.channels]
    for path, flat in zip(paths, light.used().flat, strict=True):
        with atomic(path) as temporary:
            np.save(temporary, flat)
    return paths
