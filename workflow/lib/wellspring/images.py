"""Corrected pixels: index, survey and light path in; an OME-Zarr plate and the scale of its channels out.

The second and last read of the raw images. Sites with an excluded plane are absent from the plate.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring import intensity, planes, survey
from wellspring.illumination import LightPath, correct
from wellspring.store import PlateWriter

logger = logging.getLogger(__name__)

PROJECTIONS = {"max": lambda z: z.max(axis=0), "mean": lambda z: z.mean(axis=0), "first": lambda z: z[0]}


def write(
    path: Path | str,
    *,
    index: pd.DataFrame,
    surveyed: pd.DataFrame,
    light: LightPath,
    folder: Path | str,
    plate: str,
    channels: Sequence[str],
    options: Mapping[str, object],
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

    Returns
    -------
    pandas.DataFrame
        The table ``intensity``, one row a channel.
    """
    sites = list(survey.kept(surveyed)[["Metadata_Well", "Metadata_Site"]].itertuples(index=False, name=None))
    rows = dict(iter(index.groupby(["Metadata_Well", "Metadata_Site"], sort=True)))
    light = light.of(channels)
    sizes = surveyed["Metadata_Pixel_Size"].dropna()
    pixel_size = float(sizes.iloc[0]) if len(sizes) else None
    total = np.zeros((len(channels), intensity.LEVELS), dtype=np.int64)
    lock = threading.Lock()

    with PlateWriter(path, plate=plate, channels=channels, pixel_size=pixel_size) as writer:

        def one(site: tuple[str, str]) -> None:
            raw = read_site(rows[site], folder, channels=channels, projection=str(options["projection"]))
            if raw.shape != light.flat.shape:
                found = f"expected fields of {light.flat.shape[1:]} as its light path, found {raw.shape[1:]}"
                raise ValueError(f"{plate} {site[0]} site {site[1]}: {found}")
            pixels = correct(raw, light.flat, light.dark)
            writer.write(*site, pixels)
            histogram = intensity.counts(pixels)
            with lock:
                total.__iadd__(histogram)

        with ThreadPoolExecutor(max(1, threads)) as pool:
            for _ in pool.map(one, sites):
                pass
        scale = intensity.summarise(
            total, plate=plate, channels=list(channels), fields=len(sites), low=options["low"], high=options["high"]
        )
        limits = zip(scale["low"].tolist(), scale["high"].tolist(), strict=True)
        writer.windows = dict(zip(channels, limits, strict=True))
    absent = len(rows) - len(sites)
    logger.info("%s: %d sites written, %d left out by the survey", plate, len(sites), absent)
    return scale.assign(Metadata_Pixel_Size=pixel_size)


def read_site(
    rows: pd.DataFrame, folder: Path | str, *, channels: Sequence[str], projection: str = "max"
) -> np.ndarray:
    """Read the raw planes of one site (rows of the index) and project each channel's: (C, H, W)."""
    found = []
    for channel in channels:
        part = rows[rows["Metadata_Channel"] == channel].sort_values("Metadata_Plane")
        stack = [
            planes.read(folder, path, int(page))
            for path, page in zip(part["Metadata_Path"], part["Metadata_Page"], strict=True)
        ]
        found.append(stack[0] if len(stack) == 1 else PROJECTIONS[projection](np.stack(stack)))
    return np.stack(found)
