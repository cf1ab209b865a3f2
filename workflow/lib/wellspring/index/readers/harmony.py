"""Read a measurement of Harmony, Operetta or Phenix (``Index.xml``, ``Index.idx.xml``), or of Columbus.

Up to HarmonyV5 every image has all its metadata; from V6 a map holds those that the images of a channel share. Both
forms are read, in any namespace. The flat-field profiles of the same file become flat fields.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from wellspring.index.readers import flatfields, values, xml
from wellspring.index.readers.listing import check_plate, complete
from wellspring.index.readers.named import entries, locate, owned
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

# In this order where an export has several; case differs between versions. The last is Columbus'.
NAMES = ("index.xml", "index.idx.xml", "imageindex.columbusidx.xml")
FOLDERS = (".", "Images")
MICROMETRES = {"m": 1e6, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3}
MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3}
# Column of the table -> names in the file (the first that is there), units, and the unit where none is stated.
QUANTITIES = {
    "pixel_size": (("ImageResolutionX",), MICROMETRES, "m"),
    "x": (("PositionX",), MICROMETRES, "m"),
    "y": (("PositionY",), MICROMETRES, "m"),
    "z": (("AbsPositionZ", "PositionZ"), MICROMETRES, "m"),
    "exposure": (("ExposureTime",), MILLISECONDS, "s"),
}


def present(folder: Path | str, *, acquisition: object = None) -> bool:
    """Return whether the folder, ``Images`` in it, or a folder of a measurement in it, holds an index of Harmony."""
    return bool(_measurements(Path(folder)))


def planes(
    folder: Path | str, *, plate: str, acquisition: object = None, roots: Sequence[Path | str] = ()
) -> pd.DataFrame:
    """List the planes of a plate by the index of its measurement.

    Parameters
    ----------
    folder
        The folder of the measurement: ``Index.xml`` or ``Index.idx.xml`` is in it or in ``Images``; or the folder above
        it, as Harmony exports it.
    plate
        For the log, which also has the file's name for the plate.
    acquisition
        Name of the folder of a measurement, where there are several.
    roots
        Folders outside the plate's that the index may name files in.

    Returns
    -------
    pandas.DataFrame
        As ``listing.complete``. ``channel`` is the vendor's name; where two channels share one it is followed by ``_``
        and the number, where there is none it is the number. Positions x and y are from the well's centre, z is the
        objective's. The path of an image whose state is not ``Ok``, which is outside the folder and the roots, or
        which is not there, is null. Images that cannot be parsed are skipped, with a warning.

    Raises
    ------
    ValueError
        No index, several measurements of which none is chosen, an index that is not XML (``xml.XMLError``) or that has
        no image; the file is named.
    """
    folder = Path(folder)
    found = _measured(folder, plate=plate, acquisition=acquisition)
    index = owned(found[0], folder, roots)
    if len(found) > 1:
        logger.info("%s: index %s is used; %s is ignored", plate, index, [path.name for path in found[1:]])
    rows, known = [], []
    channels: dict[str, dict[str, object]] = {}
    odd: list[str] = []
    for element in xml.elements(index, "Plate", "Entry", "Image"):
        kind = xml.local(element.tag)
        if kind == "Plate":
            named = xml.children(element)
            known.append(xml.text(named.get("PlateID")) or xml.text(named.get("Name")))
        elif kind == "Entry":
            _note(channels, element)
        elif len(element):  # the list of wells has images as numbers only
            try:
                rows.append(_image(element))
            except ValueError as error:
                odd.append(f"{xml.text(xml.children(element).get('id'))}: {error}")
    if odd:
        logger.warning("%s: %d images of %s cannot be parsed and are skipped: %s", plate, len(odd), index, odd[:5])
    if not rows:
        raise ValueError(f"{index}: expected images, found none{f' that can be parsed: {odd[0]}' if odd else ''}")
    check_plate(known, plate=plate, where=index)
    frame = pd.DataFrame(rows)
    frame = _shared(frame, channels, plate).assign(
        **locate(
            frame["name"],
            folder=folder,
            base=index.parent,
            roots=roots,
            plate=plate,
            table=index,
            pages=frame["page"],
        )
    )
    bad = frame["state"].str.lower() != "ok"
    if bad.any():
        states = frame.loc[bad, "state"].value_counts().to_dict()
        logger.warning("%s: images whose state is not Ok in %s count as missing: %s", plate, index, states)
        frame.loc[bad, ["path", "bytes"]] = [None, 0]
    logger.info("%s: %d planes of the plate %s in %s", plate, len(frame), ", ".join(known) or "(unnamed)", index)
    return complete(frame)


def flat_fields(path: Path | str, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the flat fields that Harmony measured, from an index or a file of profiles (``FFC_Profile``).

    The profile of the foreground (light from the sample) is used, or of the background if a channel has no other.
    A channel that Harmony found flat, or could not judge, gets ones; the log names it.

    Parameters
    ----------
    path
        ``Index.xml``, ``Index.idx.xml``, or the XML in ``FFC_Profile`` beside the images.
    shape
        Rows and columns of the images; a profile of another binning is scaled.

    Returns
    -------
    dict
        Channel, named as by ``planes``, -> (H, W) float32 of mean 1.

    Raises
    ------
    ValueError
        No profile, or one that cannot be parsed, is not positive or has other proportions; names file and channel.
    """
    channels: dict[str, dict[str, object]] = {}
    profiles: dict[str, str] = {}
    for element in xml.elements(path, "Entry", "Image"):
        if xml.local(element.tag) == "Image" and len(element):
            break  # the maps come before the images
        number, profile = _note(channels, element), xml.text(xml.children(element).get("FlatfieldProfile"))
        if number and profile:
            profiles[number] = profile
    if not profiles:
        raise ValueError(f"{path}: expected flat-field profiles of Harmony, found none")
    read = {number: flatfields.read(text, source=f"{path}: channel {number}") for number, text in profiles.items()}
    labels = values.distinct(
        {
            number: str(said.get("name") or read.get(number, {}).get("ChannelName") or "")
            for number, said in sorted(channels.items())
        }
    )
    return {
        labels[number]: flatfields.field(profile, shape, source=f"{path}: channel {labels[number]}")
        for number, profile in read.items()
    }


def _indices(folder: Path) -> list[Path]:
    """Return the indices of the first folder that has any; the first of them is read."""
    for place in (folder / name for name in FOLDERS):
        found = [path for path in entries(place)[1] if path.name.lower() in NAMES]
        if found:
            return sorted(found, key=lambda path: NAMES.index(path.name.lower()))
    return []


def _measurements(folder: Path) -> dict[str, list[Path]]:
    """Return the indices by measurement: those of the folder itself, or else of the folders in it."""
    own = _indices(folder)
    if own:
        return {folder.name: own}
    return {place.name: found for place in entries(folder)[0] if (found := _indices(place))}


def _measured(folder: Path, *, plate: str, acquisition: object) -> list[Path]:
    """Return the indices of the measurement that is chosen, or the only one."""
    found = _measurements(folder)
    if not found:
        raise ValueError(f"{plate}: expected {' or '.join(NAMES)} in {folder} or {folder / FOLDERS[1]}, found none")
    if len(found) == 1:
        return next(iter(found.values()))
    if str(acquisition) not in found:
        raise ValueError(
            f"{plate}: expected one measurement in {folder}, found {list(found)} (choose one in index.acquisition)"
        )
    return found[str(acquisition)]


def _note(channels: dict[str, dict[str, object]], entry: Element) -> str:
    """Add a map entry's values to its channel; returns the channel's number, empty where it has none."""
    try:
        number = values.count(xml.attributes(entry).get("ChannelID", ""))
    except ValueError:
        return ""
    named = xml.children(entry)
    said = channels.setdefault(number, {})
    if "ChannelName" in named:
        said["name"] = xml.text(named["ChannelName"])
    said |= {key: value for key, value in _quantities(named).items() if not math.isnan(value)}
    return number


def _image(element: Element) -> dict[str, object]:
    """Return the metadata of an image; ``ValueError`` if well, field or channel is missing."""
    named = xml.children(element)
    said = {name: xml.text(named.get(name)) for name in ("Row", "Col", "FieldID", "ChannelID")}
    empty = [name for name, value in said.items() if not value]
    if empty:
        raise ValueError(f"expected {', '.join(said)}, found no {', '.join(empty)}")
    return {
        "name": xml.text(named.get("URL")),
        "page": values.count(xml.attributes(named["URL"]).get("BufferNo", "0") if "URL" in named else "0"),
        "state": xml.text(named.get("State")) or "Ok",
        "well": well_names.join(values.count(said["Row"]), values.count(said["Col"])),
        "site": values.count(said["FieldID"]),
        "plane": values.count(xml.text(named.get("PlaneID")) or "1"),
        "timepoint": values.count(xml.text(named.get("TimepointID")) or "1"),
        "number": values.count(said["ChannelID"]),
        "channel": xml.text(named.get("ChannelName")),
        **_quantities(named),
    }


def _quantities(named: dict[str, Element]) -> dict[str, float]:
    """Return pixel size, position and exposure in our units; NaN if absent or in an unknown unit."""
    found = {}
    for column, (names, units, usual) in QUANTITIES.items():
        element = next((named[name] for name in names if name in named), None)
        factor = units.get("" if element is None else xml.attributes(element).get("Unit") or usual)
        found[column] = values.real(xml.text(element)) * factor if factor else float("nan")
    return found


def _shared(frame: pd.DataFrame, channels: dict[str, dict[str, object]], plate: str) -> pd.DataFrame:
    """Fill metadata that is only in the map of channels, and name the channels."""
    said = frame["number"].map(lambda number: channels.get(number, {}))
    for column in QUANTITIES:
        frame[column] = frame[column].fillna(said.map(lambda channel, key=column: channel.get(key, float("nan"))))
    own = frame[frame["channel"] != ""].groupby("number")["channel"].agg(["first", "unique"])
    several = own.loc[own["unique"].str.len() > 1, "unique"]
    if len(several):
        shown = {number: list(found) for number, found in several.items()}
        logger.warning("%s: channels that have several names get the first: %s", plate, shown)
    names = {number: str(channels.get(number, {}).get("name", "")) for number in sorted(frame["number"].unique())}
    return frame.assign(channel=frame["number"].map(values.distinct(names | own["first"].to_dict())))
