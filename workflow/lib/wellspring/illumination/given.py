"""Read flat fields that another program measured.

Either ``.npy`` files, one per channel (CellProfiler's, JUMP's ``<plate>_Illum<Channel>.npy``, or one's own), or the
index of a Harmony export, in which Opera Phenix and Operetta write the profiles that they measured.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wellspring.index.readers import harmony


def files(template: str, *, optics: str, channels: Sequence[str]) -> list[Path]:
    """Return the files that a path with ``{optics}`` and ``{channel}`` stands for, in the channels' order, once each.

    Raises
    ------
    ValueError
        The path is neither ``.npy`` nor ``.xml``, or one ``.npy`` would be that of several channels.
    """
    kind = Path(template or "").suffix.lower()
    if kind not in (".npy", ".xml"):
        raise ValueError(f"illumination.given: expected the path of .npy files or of an .xml file, found {template!r}")
    if kind == ".npy" and "{channel}" not in template and len(channels) > 1:
        raise ValueError(f"illumination.given: expected {{channel}} in the path of .npy files, found {template!r}")
    return list(dict.fromkeys(_named(template, optics=optics, channel=channel) for channel in channels))


def flat_fields(template: str, channels: Mapping[str, str], *, optics: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the flat fields (C, H, W) float32 of mean 1 of a light path; `channels` to their names in vendors' files.

    Raises
    ------
    ValueError
        A file is missing or no array, lacks a channel, or has another shape, NaN or values of 0 and less; it is named.
    """
    files(template, optics=optics, channels=list(channels))
    found = []
    for channel, name in channels.items():
        path = _named(template, optics=optics, channel=channel)
        if not path.is_file():
            raise ValueError(f"{path}: expected the flat field of {channel}, found no such file (illumination.given)")
        flat = _profile(path, name, shape) if path.suffix.lower() == ".xml" else _array(path)
        if flat.shape != shape:
            raise ValueError(f"{path}: expected the flat field of {channel} in shape {shape}, found {flat.shape}")
        if not np.isfinite(flat).all() or flat.min() <= 0:
            bad = int((~np.isfinite(flat)).sum()), int((flat <= 0).sum())
            raise ValueError(f"{path}: expected numbers above 0, found {bad[0]} not finite and {bad[1]} of 0 or less")
        found.append((flat / flat.mean(dtype=np.float64)).astype(np.float32))
    return np.stack(found)


def _named(template: str, *, optics: str, channel: str) -> Path:
    return Path(template.replace("{optics}", optics).replace("{channel}", channel))


def _array(path: Path) -> np.ndarray:
    try:
        flat = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected an array in .npy, found {error}") from error
    if not isinstance(flat, np.ndarray) or flat.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected numbers, found {getattr(flat, 'dtype', type(flat).__name__)}")
    return flat.astype(np.float64)


def _profile(path: Path, channel: str, shape: tuple[int, int]) -> np.ndarray:
    profiles = harmony.flat_fields(path, shape)
    if channel not in profiles:
        raise ValueError(f"{path}: expected a flat field of {channel}, found those of {sorted(profiles)}")
    return profiles[channel]
