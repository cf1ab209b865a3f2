"""Read a plate of IN Cell Analyzer (GE, Cytiva): its ``.xdce``, which names the file of each plane.

An ``Image`` has the file's name, the well (row and column from 1), an identifier (field, wave, z and time, each from 0)
and the names of the filters.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import pandas as pd

from wellspring.index.readers import values, xml
from wellspring.index.readers.listing import complete
from wellspring.index.readers.named import entries, locate, owned
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

ENDING = ".xdce"
STEPS = {"site": "field_index", "number": "wave_index", "plane": "z_index", "timepoint": "time_index"}
OPTIONAL = {"plane": "0", "timepoint": "0"}  # steps that a file need not state


def present(folder: Path | str) -> bool:
    """Return whether the folder, or a folder in it, holds a ``.xdce``."""
    return bool(_stacks(Path(folder)))


def planes(folder: Path | str, *, plate: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate by its ``.xdce``.

    Parameters
    ----------
    folder
        The folder of the ``.xdce`` and the images, or the one above it; of several, the one whose file or folder is
        called ``plate`` is read.
    roots
        Folders outside the plate's that it may name files in.

    Returns
    -------
    pandas.DataFrame
        As ``listing.complete``. ``channel`` is excitation and emission filter as in the names of files, as in
        ``UV - DAPI``, or the wave's number from 1; sites, planes and time points are counted from 1.

    Raises
    ------
    ValueError
        No ``.xdce`` or several, no image in it, or a file that is not XML (``xml.XMLError``); it is named.
    """
    folder = Path(folder)
    found = _stacks(folder)
    ours = found if len(found) == 1 else [path for path in found if plate in (path.stem, path.parent.name)]
    if len(ours) != 1:
        shown = [str(path) for path in found][:10]
        raise ValueError(f"{plate}: expected one {ENDING} in {folder}, or one that is called {plate}, found {shown}")
    stack = owned(ours[0], folder, roots)
    rows, odd, size = [], [], float("nan")
    for element in xml.elements(stack, "Image", "ObjectiveCalibration"):
        if xml.local(element.tag) == "ObjectiveCalibration":
            size = values.real(xml.attributes(element).get("pixel_width"))
            continue
        try:
            rows.append(_image(element))
        except ValueError as error:
            odd.append(f"{xml.attributes(element).get('filename')}: {error}")
    if odd:
        logger.warning("%s: %d images of %s cannot be parsed and are skipped: %s", plate, len(odd), stack, odd[:5])
    if not rows:
        raise ValueError(f"{stack}: expected images, found none{f' that can be parsed: {odd[0]}' if odd else ''}")
    frame = pd.DataFrame(rows)
    names = frame.groupby("number")["channel"].first().to_dict()
    frame["channel"] = frame["number"].map(values.distinct(names))
    frame = frame.assign(
        pixel_size=size,
        **locate(frame["name"], folder=folder, base=stack.parent, roots=roots, plate=plate, table=stack),
    )
    logger.info("%s: %d planes in %s, %d of them missing", plate, len(frame), stack, frame["path"].isna().sum())
    return complete(frame)


def _stacks(folder: Path) -> list[Path]:
    places = (folder, *entries(folder)[0])
    return [path for place in places for path in entries(place)[1] if path.suffix.lower() == ENDING]


def _image(element: Element) -> dict[str, str]:
    """Return the metadata of an image; ``ValueError`` if its well, field or wave is missing."""
    named: dict[str, dict[str, str]] = {}
    for child in element.iter():
        named.setdefault(xml.local(child.tag), xml.attributes(child))
    where, step = ((named.get(part) or {}) for part in ("Row", "Identifier"))
    well = well_names.join(
        values.count(where.get("number", "")), values.count((named.get("Column") or {}).get("number", ""))
    )
    counts = {column: int(values.count(step.get(name, OPTIONAL.get(column, "")))) for column, name in STEPS.items()}
    filters = [(named.get(part) or {}).get("name", "") for part in ("ExcitationFilter", "EmissionFilter")]
    return {
        "name": xml.attributes(element).get("filename", ""),
        "well": well,
        "channel": " - ".join(filter(None, filters)),
        **{column: str(count + 1) for column, count in counts.items()},
    }
