"""Read a measurement of a CellVoyager (CV7000, CV8000, CQ1; ``.mlf``, ``.mes``, ``.mrf``).

``MeasurementData.mlf`` has a record for each image, and for each image that could not be taken. The settings (``.mes``)
have the names and exposures of the channels, the details (``.mrf``) their pixel sizes.
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

RECORDS, DETAILS, SETTINGS = "MeasurementData.mlf", ".mrf", ".mes"
KEY = ["well", "site", "number", "plane", "timepoint"]
# Attribute of a record -> column of the key; a record of an error without one of them applies to all its values.
PLACES = {"FieldIndex": "site", "Ch": "number", "ZIndex": "plane", "TimePoint": "timepoint"}


def present(folder: Path | str) -> bool:
    """Return whether the folder, or a folder in it, holds ``MeasurementData.mlf``."""
    return bool(_measurements(Path(folder)))


def planes(folder: Path | str, *, plate: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate by the records of its measurement.

    Parameters
    ----------
    folder
        The folder of ``MeasurementData.mlf``, or the one above it; of several measurements in a folder, the one whose
        folder is called ``plate`` is read.
    roots
        Folders outside the plate's that the records may name files in.

    Returns
    -------
    pandas.DataFrame
        As ``listing.complete``. ``channel`` is the fluorophore of the settings, else their target, followed by ``_``
        and the channel's number if two share it; ``C01`` and so on if the settings have neither. If two actions took a
        channel at the same place, its name is followed by ``_A`` and the action. Time points are counted from 1 in each
        well, since the records number on from well to well if wells have separate timelines. x and y are relative to
        the well's centre, z to the focus. A record of an error is a plane without path, unless the image was taken in
        another attempt.

    Raises
    ------
    ValueError
        No measurement or several, no record of an image, or a file that is not XML (``xml.XMLError``); it is named.
    """
    folder = Path(folder)
    records = owned(_chosen(_measurements(folder), plate=plate, folder=folder), folder, roots)
    frame, errors = _read(records, plate)
    frame = frame.assign(
        **locate(frame["name"], folder=folder, base=records.parent, roots=roots, plate=plate, table=records)
    )
    frame = _with_errors(*_counted(frame, errors), plate)
    channels = _channels(records.parent, plate)
    names = {number: str(channels.get(number, {}).get("name", "")) for number in sorted(frame["number"].unique())}
    frame["channel"] = frame["number"].map(values.distinct(names, nameless="C{:0>2}"))
    for column in ("pixel_size", "exposure"):
        frame[column] = [channels.get(number, {}).get(column, float("nan")) for number in frame["number"]]
    logger.info("%s: %d planes in %s, %d of them missing", plate, len(frame), records, frame["path"].isna().sum())
    return complete(_apart(frame, plate))


def _measurements(folder: Path) -> list[Path]:
    places = {place.resolve(): place for place in (*reversed(entries(folder)[0]), folder)}  # a link may lead back
    return [path for place in reversed(places.values()) for path in entries(place)[1] if path.name == RECORDS]


def _chosen(found: list[Path], *, plate: str, folder: Path) -> Path:
    ours = found if len(found) == 1 else [path for path in found if path.parent.name == plate]
    if len(ours) != 1:
        shown = [str(path.parent) for path in found][:10]
        raise ValueError(f"{plate}: expected one {RECORDS} in {folder} or a folder of that name in it, found {shown}")
    return ours[0]


def _read(records: Path, plate: str) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return a row for each image, and the place that each record of an error gives."""
    rows, errors, odd = [], [], []
    for element in xml.elements(records, "MeasurementRecord"):
        said = xml.attributes(element)
        try:
            place = {"well": well_names.join(values.count(said.get("Row", "")), values.count(said.get("Column", "")))}
            place |= {column: values.count(said[name]) for name, column in PLACES.items() if name in said}
            if said.get("Type") != "IMG":
                errors.append(place)
                continue
            if "site" not in place or "number" not in place:
                raise ValueError(f"expected FieldIndex and Ch, found {sorted(said)}")
        except ValueError as error:
            odd.append(f"{xml.text(element)}: {error}")
            continue
        where = {column: values.real(said.get(column.upper())) for column in ("x", "y", "z")}
        run = said.get("TimelineIndex", "1"), said.get("ActionIndex", "1")
        rows.append({"plane": "1", "timepoint": "1", **place, **where, "run": run, "name": xml.text(element)})
    if odd:
        logger.warning("%s: %d records of %s cannot be parsed and are skipped: %s", plate, len(odd), records, odd[:5])
    if not rows:
        raise ValueError(f"{records}: expected records of images, found none ({len(errors)} errors, {len(odd)} others)")
    return pd.DataFrame(rows), errors


def _with_errors(frame: pd.DataFrame, errors: list[dict[str, str]], plate: str) -> pd.DataFrame:
    """Add a plane without path for each plane of a record of an error (or its whole well) that has no image."""
    if not errors:
        return frame
    patterns = frame[KEY[1:]].drop_duplicates()
    known = set(frame[KEY].itertuples(index=False, name=None))
    lost: dict[tuple[str, ...], None] = {}
    for place in {tuple(sorted(place.items())): place for place in errors}.values():
        part = patterns
        for column in KEY[1:]:
            said = place.get(column)
            same = part[part[column] == said] if said is not None else part
            # A place without any image counts too, such as the last field of a plate whose last well failed.
            part = same if len(same) else part.assign(**{column: said}).drop_duplicates()
        keys = ((place["well"], *row) for row in part.itertuples(index=False, name=None))
        lost |= dict.fromkeys(key for key in keys if key not in known)
    logger.warning(
        "%s: %d records of errors: %d planes were not taken, in the wells %s",
        plate, len(errors), len(lost), sorted({key[0] for key in lost})[:10],
    )  # fmt: skip
    added = pd.DataFrame(list(lost), columns=KEY).assign(path=None, bytes=0, run=[("1", "1")] * len(lost))
    return pd.concat([frame, added], ignore_index=True)


def _channels(folder: Path, plate: str) -> dict[str, dict[str, object]]:
    """Return name, exposure and pixel size by channel, from the settings and the details of a measurement."""
    found: dict[str, dict[str, object]] = {}
    details, settings = ([path for path in entries(folder)[1] if path.suffix == end] for end in (DETAILS, SETTINGS))
    for path in details:
        for element in xml.elements(path, "MeasurementChannel"):
            said = xml.attributes(element)
            found.setdefault(said.get("Ch", ""), {})["pixel_size"] = values.real(said.get("HorizontalPixelDimension"))
    if len(settings) > 1:
        logger.warning("%s: several settings in %s, and %s are read", plate, folder, settings[0].name)
    for element in xml.elements(settings[0], "Channel") if settings else ():
        channel = found.setdefault(xml.attributes(element).get("Ch", ""), {})
        channel["name"] = _name(element)
        channel["exposure"] = values.real(xml.attributes(element).get("ExposureTime"))
    return found


def _name(channel: Element) -> str:
    said = xml.attributes(channel)
    return next((said[name].strip() for name in ("Fluorophore", "Target") if said.get(name, "").strip()), "")


def _apart(frame: pd.DataFrame, plate: str) -> pd.DataFrame:
    """Distinguish images of one channel that several actions took at the same place, by the channel's name."""
    twice = frame[frame.duplicated(KEY, keep=False)]
    several = twice.groupby("number")["run"].nunique()
    numbers = list(several[several > 1].index)
    if not numbers:
        return frame
    logger.warning(
        "%s: several actions took the channels %s; their names get the suffix _A and the action", plate, numbers
    )
    suffix = [f"_A{action}" if line == "1" else f"_L{line}A{action}" for line, action in frame["run"]]
    named = frame["channel"] + pd.Series(suffix, index=frame.index)
    return frame.assign(channel=frame["channel"].where(~frame["number"].isin(numbers), named))


def _counted(frame: pd.DataFrame, errors: list[dict[str, str]]) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Count the time points from 1 in each well; an error at a time point without images counts as the last one."""
    order: dict[tuple[str, str], str] = {}
    for well, found in frame.groupby("well")["timepoint"]:
        order |= {(well, time): str(place) for place, time in enumerate(sorted(found.unique(), key=int), start=1)}
    last = max(order.values(), key=int)
    counted = [order[key] for key in zip(frame["well"], frame["timepoint"], strict=True)]
    moved = [
        {**place, "timepoint": order.get((place["well"], place["timepoint"]), last)} if "timepoint" in place else place
        for place in errors
    ]
    return frame.assign(timepoint=counted), moved
