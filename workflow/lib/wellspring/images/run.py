"""Correct the kept sites of a plate for illumination and write them as an OME-Zarr plate.

This is the second and last read of the raw images. Sites with an excluded plane are left out.
"""

import logging
import queue
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.illumination import lightpath
from wellspring.images import projection
from wellspring.io import object_store, raw_image
from wellspring.io.ahead import REQUESTS, ahead
from wellspring.io.keys import SITE_KEY
from wellspring.io.ngff import PlateWriter
from wellspring.io.progress import track
from wellspring.screen.sections import Images
from wellspring.survey import run as survey
from wellspring.views import intensity

logger = logging.getLogger(__name__)

Stack = list[tuple[str, int]]  # path and page of each plane


@dataclass(frozen=True)
class _Buffers:
    """Per-thread scratch buffers, reused for every field: touching new memory costs more than the arithmetic."""

    pixels: np.ndarray
    level: np.ndarray
    counts: np.ndarray


def write(
    path: Path | str,
    *,
    index: pd.DataFrame,
    surveyed: pd.DataFrame,
    light: lightpath.LightPath,
    folder: Path | str,
    plate: str,
    channels: Sequence[str],
    options: Images,
    rules: raw_image.Rules = raw_image.USUAL,
    threads: int = 1,
) -> pd.DataFrame:
    """Correct the kept sites of a plate and write them as the store at ``path``.

    Parameters
    ----------
    index, surveyed
        Tables of the plate.
    light
        Of its light path.
    folder
        What the sheet names as the plate's images.
    options
        Section ``images`` of the config.
    rules
        What the config states about raw pixels.

    Returns
    -------
    pandas.DataFrame
        The table ``intensity``, one row per channel.
    """
    light = light.of(channels)
    said = pd.DataFrame(light.records())
    light = light.used()
    sites = _stacks(index, surveyed, channels=channels, options=options)
    sizes = surveyed["Metadata_Pixel_Size"].dropna()
    pixel_size = float(sizes.iloc[0]) if len(sizes) else None
    gain, lift = lightpath.coefficients(light.flat, light.dark)
    workers = max(1, min(threads, len(sites)))
    counts = [np.zeros((len(channels), intensity.LEVELS), dtype=np.int64) for _ in range(workers)]
    free: queue.SimpleQueue[_Buffers] = queue.SimpleQueue()
    for own in counts:
        free.put(_Buffers(np.empty(gain.shape, dtype=np.uint16), np.empty(gain.shape[1:], dtype=np.float32), own))

    with PlateWriter(path, plate=plate, channels=channels, pixel_size=pixel_size) as writer:

        def read(site: tuple[str, str]) -> Iterator[np.ndarray]:
            return (_read(stack, folder, method=options.projection, rules=rules) for stack in sites[site])

        def whole(site: tuple[str, str]) -> tuple[tuple[str, str], Iterable[np.ndarray]]:
            return site, list(read(site))

        def one(field: tuple[tuple[str, str], Iterable[np.ndarray]]) -> None:
            site, planes = field
            buffers = free.get()
            try:
                for number, raw in enumerate(planes):
                    if raw.shape != gain.shape[1:]:
                        found = f"expected fields of {gain.shape[1:]} as its light path, found {raw.shape}"
                        raise ValueError(f"{plate} {site[0]} site {site[1]}: {found}")
                    lightpath.apply(raw, gain[number], lift[number], out=buffers.pixels[number], level=buffers.level)
                writer.write(*site, buffers.pixels)
                intensity.counts(buffers.pixels[:, :: intensity.STEP], out=buffers.counts)
            finally:
                free.put(buffers)

        fields: Iterable[tuple[tuple[str, str], Iterable[np.ndarray]]] = ((site, read(site)) for site in sites)
        if object_store.is_url(object_store.home(folder)) or any(map(object_store.is_url, index["Metadata_Path"])):
            fields = ahead(whole, sites, threads=REQUESTS, size=_bytes)
        for _ in track(ahead(one, fields, threads=workers), total=len(sites), unit="fields"):
            pass
        limits = {"low": options.low, "high": options.high}
        scale = intensity.summarise(
            np.sum(counts, axis=0), plate=plate, channels=list(channels), fields=len(sites), **limits
        )
        windows = zip(scale["low"].tolist(), scale["high"].tolist(), strict=True)
        writer.windows = dict(zip(channels, windows, strict=True))
    absent = len(index[SITE_KEY].drop_duplicates()) - len(sites)
    logger.info("%s: %d sites written, %d left out by the survey", plate, len(sites), absent)
    corrections = {"Metadata_Illumination": said["correction"], "Metadata_Illumination_Notes": said["notes"]}
    return scale.assign(Metadata_Pixel_Size=pixel_size, **corrections)


def _bytes(field: tuple[tuple[str, str], Iterable[np.ndarray]]) -> int:
    """Return the bytes of a field's planes, which are in memory."""
    return sum(plane.nbytes for plane in field[1])


def _stacks(
    index: pd.DataFrame, surveyed: pd.DataFrame, *, channels: Sequence[str], options: Images
) -> dict[tuple[str, str], list[Stack]]:
    """Return the planes to read of each kept site, a stack per channel, sites sorted."""
    kept = survey.kept(surveyed)[SITE_KEY]
    chosen = projection.choose(index.merge(kept, on=SITE_KEY), surveyed, options=options)
    sites: dict[tuple[str, str], dict[str, Stack]] = {}
    columns = ["Well", "Site", "Channel", "Path", "Page"]
    for well, site, channel, path, page in zip(*(chosen[f"Metadata_{name}"] for name in columns), strict=True):
        sites.setdefault((well, site), {}).setdefault(channel, []).append((path, int(page)))
    for (well, site), found in sites.items():
        if set(channels) - set(found):
            raise ValueError(f"{well} site {site}: expected the channels {list(channels)}, found {sorted(found)}")
    return {site: [found[channel] for channel in channels] for site, found in sites.items()}


def _read(stack: Stack, folder: Path | str, *, method: str, rules: raw_image.Rules) -> np.ndarray:
    """Read the planes of one site and channel, one after the other, and project them: (H, W)."""
    return projection.project((raw_image.read(folder, path, page, rules=rules) for path, page in stack), method)
