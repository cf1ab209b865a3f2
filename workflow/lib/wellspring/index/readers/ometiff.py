"""Read a folder of OME-TIFFs by the OME-XML in the files or in a companion file.

Single-file data sets (each file has its own fields) and multi-file data sets (one XML names the pages of many files)
are read in the same way: a ``TiffData`` element locates each page. Wells come from the XML if it describes a plate,
else from the file's name. Only the first directory of a file is read, never its pixels.
"""

import logging
import math
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd
import tifffile
from defusedxml import ElementTree

from wellspring.index.readers import folders, omexml
from wellspring.index.readers.listing import check_plate, complete, files
from wellspring.index.readers.pattern import compile_pattern, well_of
from wellspring.io import budget
from wellspring.screen.well_names import name

logger = logging.getLogger(__name__)

ENDINGS = (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")
PLAIN = (".tif", ".tiff", ".btf")  # of OME-TIFFs that are called as any other; read where none has its own ending
TRIES = 3  # such files that are opened to see what they are
COMPANION = (".companion.ome", ".ome.xml")
CQ1 = re.compile(r"MeasurementResult(\w*)\.ome\.xml")  # of Yokogawa's CQ1; MIP and SUM describe its projections
CQ1_IMAGE = re.compile(r"W\d+\(R(?P<row>\d+)C(?P<column>\d+)\),A(?P<grid>\d+),F(?P<field>\d+)")
LARGEST = 2**28  # bytes of one XML, as of 1536 wells with every plane's position
KEYS = ("channel", "plane", "timepoint", "page")


def present(folder: Path | str, *, pattern: str = "", roots: Sequence[Path | str] = ()) -> bool:
    """Return whether a file of the folder has the name of an OME-TIFF or a companion file."""
    return any(path.lower().endswith((*ENDINGS, *COMPANION)) for path, _ in files(Path(folder), roots=roots))


def unnamed(folder: Path | str, *, roots: Sequence[Path | str] = ()) -> bool:
    """Return whether TIFFs of a folder hold OME-XML of several planes or of a plate, although no name shows it."""
    plain = (path for path, _ in files(Path(folder), roots=roots) if path.lower().endswith(PLAIN))
    for path in islice(plain, TRIES):
        try:
            root = _xml(Path(folder) / path)
            sizes = [
                int(pixels.get(f"Size{axis}", 1)) for pixels in root.iterfind("{*}Image/{*}Pixels") for axis in "CZT"
            ]
            if root.find("{*}Plate") is not None or math.prod(sizes) > 1:
                return True
        except Exception as error:  # decoders raise whatever they meet in a damaged file
            logger.info("%s: not an OME-TIFF (%s: %s)", path, type(error).__name__, error)
    return False


def planes(folder: Path | str, *, plate: str, pattern: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate's folder, sub-folders included.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Name of the plate to read, if an XML describes several.
    pattern
        ``index.pattern``: well and site of the files whose XML describes no plate.
    roots
        Folders outside of the plate's that links may lead to.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``. A channel has its name in the XML, or its number from 1. Several XML that
        describe other plates, or the same wells, are acquisitions of their own. A file that cannot be
        opened has the pages that most files of one field have, if its name matches; the path of a file that an XML
        names and that is not there is null.

    Raises
    ------
    ValueError
        No OME-XML; a plate's description lacks this plate; a well of no plate of 6 to 1536.
    """
    folder = Path(folder)
    compiled = compile_pattern(pattern)
    held = dict(files(folder, roots=roots))
    endings: tuple[str, ...] = (*ENDINGS, *COMPANION)
    if not any(path.lower().endswith(endings) for path in held):
        endings = PLAIN
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    done: set[str] = set()
    titles: dict[str, str] = {}
    for path in sorted(held, key=lambda path: (not path.lower().endswith(COMPANION), path)):
        if path in done or not path.lower().endswith(endings) or _projected(path, held):
            continue
        done.add(path)
        try:
            root = _xml(folder / path)
            found = list(_fields(root, path, held, plate, compiled))
        except Exception as error:  # decoders raise many kinds of error; the survey names the file
            logger.warning("%s: %s: its OME-XML cannot be read (%s: %s)", plate, path, type(error).__name__, error)
            broken.append(path)
            continue
        done |= {row["path"] for row in found if row["path"]}
        rows.extend({**row, "source": path} for row in found)
        titles[path] = next(filter(None, (each.get("Name") for each in root.iterfind("{*}Plate"))), "")
    if not any("channel" in row for row in rows):
        raise ValueError(
            f"{plate}: expected OME-TIFFs in {folder} whose OME-XML describes a plate, or whose names match "
            f"index.pattern {pattern!r}; found none among {len(held)} files, {list(held)[:3]}"
        )
    known = {row["path"] for row in rows}
    rows.extend(_as_usual([path for path in broken if path not in known], rows, compiled))
    frame = pd.DataFrame([row for row in _of_plate(_numbered(rows), titles, plate) if "channel" in row])
    frame["bytes"] = frame["path"].map(held).fillna(0)
    logger.info("%s: %d planes in %d files by their OME-XML", plate, len(frame), frame["path"].nunique())
    return complete(frame)


def _xml(path: Path) -> Element:
    """Return the root of a file's OME-XML."""
    if not path.is_file():  # a pipe would never end
        raise ValueError("expected a regular file, found another kind")
    if path.name.lower().endswith(COMPANION):
        size = path.stat().st_size
        text: str | bytes = b""
        if size <= LARGEST:
            text = path.read_bytes()
    else:
        with tifffile.TiffFile(path) as tiff:
            text = tiff.pages.first.description
        size = len(text)
    if size > LARGEST:
        raise ValueError(f"expected at most {LARGEST} bytes, found {size}")
    budget.check_xml(text, source=path)
    root: Element = ElementTree.fromstring(text, forbid_dtd=True)
    if root.tag.rpartition("}")[2] != "OME":
        raise ValueError(f"expected OME, found {root.tag}")
    return root


def _fields(
    root: Element, path: str, held: Mapping[str, int], plate: str, pattern: re.Pattern[str]
) -> Iterator[dict[str, Any]]:
    """Yield the planes that a file's XML describes, with their wells; nothing where a companion describes them."""
    places = _places(root, plate)
    images = root.findall("{*}Image")
    match = pattern.fullmatch(path)
    said = match.groupdict() if match is not None and not places else {}
    if said.get("plate", plate) not in (plate, None):
        return
    seen: set[str] = set()
    for number, image in enumerate(images):
        place = places.get(image.get("ID", ""))
        if place is not None and image.get("ID") in seen:
            logger.warning(
                "%s: %s: image %s is described twice; the first description is used", plate, path, image.get("ID")
            )
            continue
        seen.add(image.get("ID", ""))
        if said and match is not None:
            place = {"well": well_of(match), "site": (said.get("site") or "1") if len(images) == 1 else str(number + 1)}
        if place is None and (numbered := CQ1_IMAGE.match(image.get("Name", ""))):
            well = name(int(numbered["row"]) - 1, int(numbered["column"]) - 1)
            place = {"well": well, "sample": (int(numbered["grid"]), int(numbered["field"]))}
        if place is None:
            logger.warning("%s: %s: image %s is of no well", plate, path, image.get("Name") or number + 1)
            continue
        if "sample" in place:
            place = {**place, "sample": (place["sample"], path, number)}
        pages = list(omexml.planes(image, path, root.get("UUID"), held))
        # For a file of one channel, plane or time point, the value in its name has precedence.
        named = {key: said[key] for key in KEYS if said.get(key) and len({page[key] for page in pages}) == 1}
        for page in pages:
            known = {key: value for key, value in page.items() if key in ("x", "y") and not math.isnan(value)}
            yield {**page, **named, **place, **known}
    if path.lower().endswith(
        COMPANION
    ):  # the XML describes the whole plate, so a missing field does not shift the others
        for lost in places.keys() - {image.get("ID", "") for image in images}:
            logger.warning("%s: %s: image %s of a well is not described", plate, path, lost)
            yield {"well": places[lost]["well"], "sample": (places[lost]["sample"], path, -1), "path": None}


def _projected(path: str, held: Mapping[str, int]) -> bool:
    """Return whether an XML of a CQ1 describes projections of planes that another one describes."""
    match = CQ1.fullmatch(posixpath.basename(path))
    return match is not None and match[1] != "" and path[: -len(match[0])] + "MeasurementResult.ome.xml" in held


def _places(root: Element, plate: str) -> dict[str, dict[str, Any]]:
    """Return well, order within the well and position of the images of the XML's plate, by image ID."""
    plates = root.findall("{*}Plate")
    if len(plates) > 1:
        named = [found for found in plates if plate in (found.get("Name"), found.get("ExternalIdentifier"))]
        if len(named) != 1:
            found = [found.get("Name") for found in plates]
            raise ValueError(f"expected one plate called {plate}, found {found}")
        plates = named
    check_plate([found.get("Name", "") for found in plates], plate=plate, where="the OME-XML")
    runs = [run for found in plates for run in found.findall("{*}PlateAcquisition")]
    taken = {
        reference.get("ID", ""): run.get("Name") or str(number)
        for number, run in enumerate(runs, start=1)
        for reference in run.findall("{*}WellSampleRef")
    }
    places: dict[str, dict[str, Any]] = {}
    for well in (well for found in plates for well in found.findall("{*}Well")):
        label = name(int(well.get("Row", -1)), int(well.get("Column", -1)))
        for sample in well.findall("{*}WellSample"):
            image = sample.find("{*}ImageRef")
            if image is not None:
                position = {
                    axis: omexml.quantity(sample, f"Position{axis.upper()}", omexml.MICROMETRES) for axis in "xy"
                }
                run = {"acquisition": taken[one]} if (one := sample.get("ID", "")) in taken else {}
                places[image.get("ID", "")] = {"well": label, "sample": int(sample.get("Index", 0)), **run, **position}
    return places


def _numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the fields of a plate's description sites from 1 within their well, in the description's order."""
    samples = defaultdict(set)
    for row in rows:
        if "sample" in row:
            samples[row["well"]].add(row["sample"])
    sites = {(well, one): str(n + 1) for well, all_of in samples.items() for n, one in enumerate(sorted(all_of))}
    return [row if "site" in row else {**row, "site": sites[row["well"], row["sample"]]} for row in rows]


def _of_plate(rows: list[dict[str, Any]], titles: Mapping[str, str], plate: str) -> list[dict[str, Any]]:
    """Return the rows of the XML that describe the plate, or all, with an acquisition where these are of several.

    ``titles`` has the name of the plate that each file describes, empty where it describes none.
    """
    if len(set(titles.values()) - {""}) < 2:
        of_plates = not all(titles.values())  # files of one plate, by its name, may hold other wells of it
        return folders.by_file(rows, lambda path: posixpath.basename(path).partition(".")[0], plates=of_plates)
    ours = [row for row in rows if titles.get(row.get("source", "")) == plate]
    names = {path: title or folders.HERE for path, title in titles.items()}
    return ours or [row | {"acquisition": names[row["source"]], "separate": True} for row in rows]


def _as_usual(broken: list[str], rows: list[dict[str, Any]], pattern: re.Pattern[str]) -> Iterator[dict[str, Any]]:
    """Yield for files that cannot be opened the pages that most files of one field have; the survey names them."""
    layouts = defaultdict(list)
    for row in rows:
        if "sample" not in row and row["path"]:
            layouts[row["path"]].append(tuple(row[key] for key in KEYS))
    usual = Counter(map(tuple, layouts.values())).most_common(1)[0][0] if layouts else ()
    for path in broken:
        match = pattern.fullmatch(path)
        if match is not None:
            field = {"path": path, "well": well_of(match), "site": match.groupdict().get("site") or "1"}
            yield from ({**dict(zip(KEYS, layout, strict=True)), **field} for layout in usual)
