"""Find the planes of an image by its OME-XML: the file and page of each, and what the XML states about it."""

import math
import posixpath
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

MICROMETRES = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "in": 25400.0}
MILLISECONDS = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "μs": 1e-3, "us": 1e-3, "ns": 1e-6, "min": 6e4}
NAN = float("nan")
PLANES = 10**6  # planes of one image; SizeC x SizeZ x SizeT of a time course of stacks is below


def planes(image: Element, path: str, own: str | None, held: Mapping[str, int]) -> Iterator[dict[str, Any]]:
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
    size = quantity(pixels, "PhysicalSizeX", MICROMETRES, usual="µm")
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
                **{axis: quantity(plane, f"Position{axis.upper()}", MICROMETRES) for axis in "xyz"},
                "exposure": quantity(plane, "ExposureTime", MILLISECONDS, usual="s"),
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
    stated = (uuid.get("FileName") or base).replace("\\", "/")
    named = posixpath.normpath(posixpath.join(parent, stated))
    return named if named in held else None


def quantity(element: Element | None, name: str, units: Mapping[str, float], *, usual: str = "") -> float:
    """Return an attribute in micrometres or milliseconds, NaN where it or its unit is unknown; ``usual``: OME's own."""
    if element is None or name not in element.attrib:
        return NAN
    factor = units.get(element.get(f"{name}Unit", usual), NAN)
    try:
        return float(element.attrib[name]) * factor
    except ValueError:
        return NAN
