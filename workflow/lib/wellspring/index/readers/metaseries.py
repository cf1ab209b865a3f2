"""Read the tags of MetaXpress's TIFF files: pixel size, exposure and position in the well."""

import logging
import math
from pathlib import Path

import pandas as pd
import tifffile

from wellspring.index.readers import values, xml

logger = logging.getLogger(__name__)

TRIES = 3  # files that are tried before a wave or a site counts as not described; the first may be damaged
MICROMETRES = {"um": 1.0, "µm": 1.0, "nm": 1e-3, "mm": 1e3}
MILLISECONDS = {"ms": 1.0, "s": 1e3, "sec": 1e3, "us": 1e-3}


def described(frame: pd.DataFrame, folder: Path, *, plate: str) -> pd.DataFrame:
    """Add ``pixel_size`` and ``exposure`` of each wave and ``x``, ``y`` of each site.

    Tags of one file per wave and one per site are read, pixels of none.

    Parameters
    ----------
    frame
        Planes with ``path``, ``wave``, ``well`` and ``site``.

    Returns
    -------
    pandas.DataFrame
        The frame with micrometres per pixel, milliseconds, and micrometres from the well's centre; NaN where unknown.
    """
    there = frame[frame["path"].notna() & (frame["bytes"] > 0)]
    waves = {wave: _first(part, folder) for wave, part in there.groupby("wave")}
    sites = {site: _first(part, folder) for site, part in there.groupby("site")}
    silent = [wave for wave, said in waves.items() if math.isnan(said["pixel_size"])]
    if silent:
        logger.info("%s: the tags of the waves %s have no pixel size", plate, silent)
    nothing = dict.fromkeys(("pixel_size", "exposure", "x", "y"), float("nan"))
    by_wave = frame["wave"].map(lambda wave: waves.get(wave, nothing))
    by_site = frame["site"].map(lambda site: sites.get(site, nothing))
    return frame.assign(
        **{key: [said[key] for said in by_wave] for key in ("pixel_size", "exposure")},
        **{key: [said[key] for said in by_site] for key in ("x", "y")},
    )


def tags(path: Path) -> dict[str, float]:
    """Return ``pixel_size``, ``exposure``, ``x`` and ``y`` of one file, NaN where unknown.

    Raises
    ------
    ValueError
        The file is not a TIFF, or its description no XML.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            text = tiff.pages.first.description
    except Exception as error:  # the decoder raises many kinds of error for a damaged file
        raise ValueError(f"{path}: expected a TIFF, found {type(error).__name__}: {error}") from error
    said: dict[str, str] = {}
    if text.lstrip().startswith("<"):
        for found in xml.element(text, source=path).iter():
            said.setdefault(found.get("id", ""), found.get("value", ""))
    on = said.get("spatial-calibration-state", "on") == "on"
    factor = MICROMETRES.get(said.get("spatial-calibration-units", ""), float("nan")) if on else float("nan")
    return {
        "pixel_size": values.real(said.get("spatial-calibration-x")) * factor,
        "exposure": _time(said.get("Exposure Time", "")),
        "x": values.real(said.get("OffsetFromWellCenterUmX")),
        "y": values.real(said.get("OffsetFromWellCenterUmY")),
    }


def _first(part: pd.DataFrame, folder: Path) -> dict[str, float]:
    """Return the tags of the first file that can be read."""
    for path in part["path"].iloc[:TRIES]:
        try:
            return tags(folder / path)
        except ValueError as error:
            logger.info("%s", error)
    return dict.fromkeys(("pixel_size", "exposure", "x", "y"), float("nan"))


def _time(text: str) -> float:
    """Return milliseconds of ``100 ms``."""
    value, _, unit = text.strip().partition(" ")
    return values.real(value) * MILLISECONDS.get(unit.strip().lower(), float("nan"))
