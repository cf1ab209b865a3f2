"""Read a folder of Opera's FLEX files: TIFF with all planes of a well (or of a field), described by XML in tag 65200.

``Image`` has the page (``BufferNo``), field (``Sublayout``), focal plane (``Stack``), exposure and camera; ``Array``
has the name of each page and the factor by which its grey values were divided (see :mod:`wellspring.io.tiff_plane`).
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd
import tifffile

from wellspring.index.readers import folders, harmony
from wellspring.index.readers.listing import check_plate, complete, files
from wellspring.index.readers.xml import attributes, children, element, local, text
from wellspring.io.tiff_plane import FLEX
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

ENDING = ".flex"


def present(folder: Path | str, *, roots: Sequence[Path | str] = ()) -> bool:
    """Return whether the folder holds such files, and no index of Harmony or Columbus that describes them."""
    home = Path(folder)
    return any(path.lower().endswith(ENDING) for path, _ in files(home, roots=roots)) and not harmony.present(home)


def planes(folder: Path | str, *, plate: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate's folder, sub-folders included.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Name in the sheet; a warning is logged where the files name another.
    roots
        Folders outside of the plate's that links may lead to.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``; channels are called as Opera names exposure and camera, ``Exp1Cam1``. A file
        that cannot be opened is left out; the log names it.

    Raises
    ------
    ValueError
        No file has a description; the files' own errors name the file.
    """
    home = Path(folder)
    rows: list[dict[str, Any]] = []
    lost: list[str] = []
    for path, size in files(home, roots=roots):
        if not path.lower().endswith(ENDING):
            continue
        try:
            if not (home / path).is_file():  # a pipe would never end
                raise ValueError("expected a regular file, found another kind")
            with tifffile.TiffFile(home / path) as tiff:
                tag = tiff.pages.first.tags.get(FLEX)
                described = "" if tag is None else tag.value
            found = list(_described(element(described, source=path), path))
        except Exception as error:  # tifffile raises whatever it meets in a damaged file
            logger.warning("%s: %s cannot be read (%s: %s)", plate, path, type(error).__name__, error)
            lost.append(path)
            continue
        rows += [{**row, "path": path, "bytes": size} for row in found]
    if not rows:
        raise ValueError(f"{plate}: expected files {ENDING} that Opera describes in {home}, found {lost[:5] or 'none'}")
    names = {row["name"] for row in rows}
    check_plate(names, plate=plate, where=home)
    logger.info("%s: %d planes in %d files", plate, len(rows), len({row["path"] for row in rows}))
    frame = pd.DataFrame(rows)
    if len(names) > 1:  # of several plates, that of the sheet, or each as an acquisition of its own
        ours = frame[frame["name"] == plate]
        frame = ours if len(ours) else frame.assign(acquisition=frame["name"].replace("", folders.HERE), separate=True)
    return complete(frame)


def _described(root: Element, path: str) -> list[dict[str, Any]]:
    """Return the planes of a file."""
    every = list(root.iter())
    place = next((attributes(each) for each in every if local(each.tag) == "WellCoordinate"), {})
    if not {"Row", "Col"} <= set(place):
        raise ValueError("expected a WellCoordinate with Row and Col, found none")
    well = well_names.join(place["Row"], place["Col"])
    arrays = [attributes(each).get("Name", "") for each in every if local(each.tag) == "Array"]
    name = next((text(each) for each in every if local(each.tag) == "PlateName"), "")
    rows = []
    for image in (each for each in every if local(each.tag) == "Image"):
        said, page = children(image), attributes(image).get("BufferNo", "")
        if not page.isdecimal():
            raise ValueError(f"expected images with BufferNo, found {attributes(image)}")
        named = arrays[int(page)].partition("_")[2] if int(page) < len(arrays) else ""
        stated = f"Exp{text(said.get('ExposureNo'))}{text(said.get('CameraRef'))}"
        rows.append(
            {
                "well": well, "site": text(said.get("Sublayout")) or "1", "plane": text(said.get("Stack")) or "1",
                "channel": named or stated, "page": int(page), "name": name,
                "pixel_size": _length(said.get("ImageResolutionX")), "x": _length(said.get("PositionX")),
                "y": _length(said.get("PositionY")), "z": _length(said.get("PositionZ")),
                "exposure": 1e-3 * _length(said.get("CameraExposureTime"), unit="s"),
            }
        )  # fmt: skip
    return rows


def _length(found: Element | None, *, unit: str = "m") -> float:
    """Return a number times a million (micrometres of metres, microseconds of seconds), NaN where it is not stated."""
    if found is None or attributes(found).get("Unit", unit) != unit:
        return float("nan")
    try:
        return float(text(found)) * 1e6
    except ValueError:
        return float("nan")
