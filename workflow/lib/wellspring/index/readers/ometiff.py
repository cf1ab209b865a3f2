"""Read a folder of OME-TIFFs by the OME-XML in the files or in a companion file.

Single-file data sets (each file has its own fields) and multi-file data sets (one XML names the pages of many files)
are read in the same way: a ``TiffData`` element locates each page. Wells come from the XML if it describes a plate,
else from the file's name. Only the first directory of a file is read, never its pixels.
"""

import logging
import math
import posixpath
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd
import tifffile
from defusedxml import ElementTree

from wellspring.index.readers.listing import check_plate, complete, files
from wellspring.index.readers.pattern import compile_pattern, well_of
from wellspring.io import budget
from wellspring.screen.well_names import name

logger = logging.getLogger(__name__)

ENDINGS = (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")
COMPANION = ".companion.ome"
LARGEST = 2**28  # bytes of one XML, as of 1536 wells with every plane's position
MICROMETRES = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "in": 25400.0}
MILLISECONDS = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "μs": 1e-3, "us": 1e-3, "ns": 1e-6, "min": 6e4}
NAN = float("nan")
PLANES = 10**6  # planes of one image; SizeC x SizeZ x SizeT of a time course of stacks is below
KEYS = ("channel", "plane", "timepoint", "page")


def present(folder: Path | str, *, pattern: str = "", roots: Sequence[Path | str] = ()) -> bool:
    """Return whether a file of the folder has the name of an OME-TIFF or a companion file."""
    return any(path.lower().endswith((*ENDINGS, COMPANION)) for path, _ in files(Path(folder), roots=roots))


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
        As ``readers.listing.complete``. A channel has its name in the XML, or its number from 1. A file that cannot be
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
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    done: set[str] = set()
    for path in sorted(held, key=lambda path: (not path.lower().endswith(COMPANION), path)):
        if path in done or not path.lower().endswith((*ENDINGS, COMPANION)):
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
        rows.extend(found)
    if not any("channel" in row for row in rows):
        raise ValueError(
            f"{plate}: expected OME-TIFFs in {folder} whose OME-XML describes a plate, or whose names match "
            f"index.pattern {pattern!r}; found none among {len(held)} files, {list(held)[:3]}"
        )
    known = {row["path"] for row in rows}
    rows.extend(_as_usual([path for path in broken if path not in known], rows, compiled))
    frame = pd.DataFrame([row for row in _numbered(rows) if "channel" in row])
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
        if place is None:
            logger.warning("%s: %s: image %s is of no well", plate, path, image.get("Name") or number + 1)
            continue
        if "sample" in place:
            place = {**place, "sample": (place["sample"], path, number)}
        pages = list(_pages(image, path, root.get("UUID"), held))
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
                position = {axis: _quantity(sample, f"Position{axis.upper()}", MICROMETRES) for axis in "xy"}
                run = {"acquisition": taken[one]} if (one := sample.get("ID", "")) in taken else {}
                places[image.get("ID", "")] = {"well": label, "sample": int(sample.get("Index", 0)), **run, **position}
    return places


def _pages(image: Element, path: str, own: str | None, held: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Yield where each plane of an image is, and its attributes in the XML."""
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return
    channels = pixels.findall("{*}Channel")
    names = [channel.get("Name") or str(number + 1) for number, channel in enumerate(channels)]
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "CZT"}
    if names:
        sizes["C"] = len(names)  # SizeC counts the samples of a colour image too
    if len(set(names)) < sizes["C"]:
        names = [str(number + 1) for number in range(min(sizes["C"], PLANES))]
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    total = math.prod(sizes.values())
    if sorted(order) != ["C", "T", "Z"] or not 0 < total <= PLANES:
        raise ValueError(f"expected 1 to {PLANES} planes of the axes C, Z, T, found {sizes} as {order!r}")
    said = {tuple(int(plane.get(f"The{axis}", 0)) for axis in order): plane for plane in pixels.findall("{*}Plane")}
    size = _quantity(pixels, "PhysicalSizeX", MICROMETRES, usual="µm")
    for first, count, page, file in _blocks(pixels, order, sizes, total, path, own, held):
        for step in range(min(count, total - first)):
            number, index = first + step, {}
            for axis in order:
                number, index[axis] = divmod(number, sizes[axis])
            plane = said.get(tuple(index[axis] for axis in order))
            yield {
                "path": file,
                "channel": names[index["C"]],
                "plane": str(index["Z"] + 1),
                "timepoint": str(index["T"] + 1),
                "page": page + step,
                "pixel_size": size,
                **{axis: _quantity(plane, f"Position{axis.upper()}", MICROMETRES) for axis in "xyz"},
                "exposure": _quantity(plane, "ExposureTime", MILLISECONDS, usual="s"),
            }


def _blocks(
    pixels: Element,
    order: str,
    sizes: Mapping[str, int],
    total: int,
    path: str,
    own: str | None,
    held: Mapping[str, int],
) -> Iterator[tuple[int, int, int, str | None]]:
    """Yield number of the first plane, count of planes, first page and file of each run of pages.

    A run without a count goes on to the next one, or to the end; a file is the XML's own unless another is named.
    """
    blocks = []
    for block in pixels.findall("{*}TiffData"):
        first, stride = 0, 1
        for axis in order:
            first += int(block.get(f"First{axis}", 0)) * stride
            stride *= sizes[axis]
        count = block.get("PlaneCount", block.get("NumPlanes", "1" if "IFD" in block.attrib else None))
        blocks.append((first, count, int(block.get("IFD", 0)), _file(block.find("{*}UUID"), path, own, held)))
    blocks = blocks or [(0, None, 0, path)]
    starts = sorted({first for first, *_ in blocks} | {total})
    for first, count, page, file in blocks:
        if not 0 <= first < total or page < 0:
            raise ValueError(f"expected TiffData within {total} planes, found plane {first} on page {page}")
        yield first, int(count) if count else starts[bisect_right(starts, first)] - first, page, file


def _file(uuid: Element | None, path: str, own: str | None, held: Mapping[str, int]) -> str | None:
    """Return the file that a run of pages is in, None where the folder does not hold it."""
    if uuid is None or (own is not None and uuid.text == own):
        return path
    parent, base = posixpath.split(path)
    named = posixpath.normpath(posixpath.join(parent, uuid.get("FileName") or base))
    return named if named in held else None


def _quantity(element: Element | None, name: str, units: Mapping[str, float], *, usual: str = "") -> float:
    """Return an attribute in micrometres or milliseconds, NaN where it or its unit is unknown; ``usual``: OME's own."""
    if element is None or name not in element.attrib:
        return NAN
    factor = units.get(element.get(f"{name}Unit", usual), NAN)
    try:
        return float(element.attrib[name]) * factor
    except ValueError:
        return NAN


def _numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the fields of a plate's description sites from 1 within their well, in the description's order."""
    samples = defaultdict(set)
    for row in rows:
        if "sample" in row:
            samples[row["well"]].add(row["sample"])
    sites = {(well, one): str(n + 1) for well, all_of in samples.items() for n, one in enumerate(sorted(all_of))}
    return [row if "site" in row else {**row, "site": sites[row["well"], row["sample"]]} for row in rows]


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
