"""Zeiss CZI files: the planes of their directory, and the pixels of one plane.

A plane is a subblock of full resolution: of a scene (position), a tile of it, a channel, focal plane and time point.
The package czifile is not used, since its version for Python 3.11 decodes no Zstandard, in which ZEN writes by default;
pixels are decoded by imagecodecs. The layout is that of ZISRAW 1.0 (ZEISS, "DV file format", 2016).
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import ElementTree
from numpy.typing import NDArray

from wellspring.io import budget
from wellspring.io.codestream import is_whole
from wellspring.io.plane_file import PlaneFileError

HEADER = struct.Struct("<16sqq")  # of a segment: its name, bytes allocated, bytes used
FILE = struct.Struct("<ii8x16s16siqq")  # version, identifiers, part, places of directory and metadata
ENTRY = struct.Struct("<2siqiiB5xi")  # schema, pixel type, place, part, compression, pyramid, number of dimensions
DIMENSION = struct.Struct("<4siifi")  # name, start, size, coordinate, stored size
SUBBLOCK = struct.Struct("<iiq")  # bytes of metadata, attachment and pixels
FIXED = 256  # bytes before the metadata of a subblock, at least
XML = 256  # bytes before the text of the metadata
DTYPES: dict[int, "np.dtype[Any]"] = {0: np.dtype("u1"), 1: np.dtype("<u2"), 2: np.dtype("<f4"), 12: np.dtype("<u4")}
RAW, JPEG, LZW, JPEGXR, ZSTD, ZSTD_PACKED = 0, 1, 2, 4, 5, 6
NAMES = "CZTSM"  # channel, focal plane, time point, scene, tile
LONELY = "BRIHV"  # block, rotation, illumination, phase, view: read where there is only one


class CziError(ValueError):
    """A file that is no CZI of grey planes."""


@dataclass(frozen=True)
class Subblock:
    """One plane: where its segment is, and its place on each axis."""

    start: int
    dtype: "np.dtype[Any]"
    compression: int
    shape: tuple[int, int]
    at: Mapping[str, int]


@dataclass(frozen=True)
class Described:
    """What the metadata state: names of scenes (with the well, as ``B2_P1``) and channels, micrometres per pixel."""

    scenes: Mapping[int, str]
    channels: Mapping[int, str]
    pixel_size: float


def planes(path: Path) -> list[Subblock]:
    """Return the planes of a file, sorted by scene, tile, time point, focal plane and channel.

    Raises
    ------
    CziError
        The file is no CZI, is one part of several, or has further axes or colours; the message names what was found.
    """
    return list(_planes(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=8)
def _planes(path: Path, changed: int) -> tuple[Subblock, ...]:
    """Return the planes; kept, since they are read one by one."""
    with path.open("rb") as file:
        place, _ = _places(file)
        found = sorted(_directory(file, place), key=lambda one: [one.at.get(name, 0) for name in "SMTZC"])
    several = {name: sorted({one.at.get(name, 0) for one in found}) for name in LONELY}
    odd = {name: numbers for name, numbers in several.items() if len(numbers) > 1}
    if odd:
        raise CziError(f"expected the axes {', '.join(NAMES)}, Y and X, found also {odd}")
    return tuple(found)


def described(path: Path) -> Described:
    """Return what the metadata of a file state; nothing where there are none."""
    with path.open("rb") as file:
        _, place = _places(file)
        text = _text(file, place) if place else ""
    budget.check_xml(text, source=path)
    root = ElementTree.fromstring(text, forbid_dtd=True) if text else Element("ImageDocument")
    scenes = {
        int(scene.get("Index", "0")): _scene(scene)
        for scene in root.iterfind(".//Information/Image/Dimensions/S/Scenes/Scene")
    }
    channels = {
        number: channel.get("Name") or ""
        for number, channel in enumerate(root.iterfind(".//Information/Image/Dimensions/Channels/Channel"))
    }
    value = root.findtext(".//Scaling/Items/Distance[@Id='X']/Value")
    return Described(scenes, channels, float(value) * 1e6 if value else float("nan"))


def read(path: Path, page: int, *, largest: int) -> NDArray[Any]:
    """Read one plane (H, W) in its stored dtype, by its number in `planes`.

    Raises
    ------
    PlaneFileError
        There is no such plane, it has more than `largest` pixels or fewer than its header states, or a compression
        that is not read.
    """
    every = planes(path)
    if page >= len(every):
        raise PlaneFileError("missing", f"no plane {page}")
    one = every[page]
    if one.shape[0] * one.shape[1] > largest:
        raise PlaneFileError("unreadable", f"expected at most {largest} pixels, found {one.shape} by its header")
    size = path.stat().st_size
    with path.open("rb") as file:
        _segment(file, one.start, b"ZISRAWSUBBLOCK")
        metadata, _, length = SUBBLOCK.unpack(file.read(SUBBLOCK.size))
        *_, count = ENTRY.unpack(file.read(ENTRY.size))
        fixed = max(FIXED, SUBBLOCK.size + ENTRY.size + DIMENSION.size * count)
        start = one.start + HEADER.size + fixed + metadata
        if metadata < 0 or length <= 0 or start + length > size:
            raise PlaneFileError("truncated", f"the file ends after {size} bytes of {start + length}")
        file.seek(start)
        content = file.read(length)
    return _decoded(content, one)


def _decoded(content: bytes, one: Subblock) -> NDArray[Any]:
    import imagecodecs

    dtype = np.dtype(one.dtype)
    if one.compression in (JPEGXR, JPEG):
        if not is_whole(content):
            raise PlaneFileError("truncated", "the end of the compressed plane is missing")
        decode = imagecodecs.jpegxr_decode if one.compression == JPEGXR else imagecodecs.jpeg_decode
        pixels = np.squeeze(np.asarray(decode(content)))
        if pixels.shape != one.shape or pixels.dtype != dtype:
            found = f"{pixels.shape} {pixels.dtype}"
            raise PlaneFileError("truncated", f"expected {one.shape} {dtype} by its header, found {found}")
        return pixels
    packed = False
    if one.compression == ZSTD_PACKED:
        head = content[0] if content else 0
        packed = head == 3 and content[1] == 1 and bool(content[2] & 1)  # a chunk of one byte: low and high bytes apart
        content = content[head:]
    most = one.shape[0] * one.shape[1] * dtype.itemsize
    if one.compression in (ZSTD, ZSTD_PACKED):
        content = bytes(imagecodecs.zstd_decode(content, out=most))
    elif one.compression == LZW:
        content = bytes(imagecodecs.lzw_decode(content, out=most))
    elif one.compression != RAW:
        raise PlaneFileError("unreadable", f"expected a compression of ZEN, found number {one.compression}")
    if len(content) != most:
        raise PlaneFileError("truncated", f"expected {most} bytes of pixels by its header, found {len(content)}")
    if packed and dtype.itemsize == 2:
        content = np.frombuffer(content, np.uint8).reshape(2, -1).T.tobytes()
    return np.frombuffer(content, dtype).reshape(one.shape).copy()


def _places(file: BinaryIO) -> tuple[int, int]:
    """Return where directory and metadata are."""
    _segment(file, 0, b"ZISRAWFILE")
    *_, part, directory, metadata = FILE.unpack(file.read(FILE.size))
    if part:
        raise CziError(f"expected a file of its own, found part {part} of a series of files")
    if not directory:
        raise CziError("expected a directory of subblocks, found none: the file was not closed by ZEN")
    return directory, metadata


def _segment(file: BinaryIO, place: int, name: bytes) -> int:
    """Go to the content of a segment, and return its bytes."""
    file.seek(max(place, 0))
    head = file.read(HEADER.size)
    found, _, used = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0, 0)
    if place < 0 or found.rstrip(b"\0") != name:
        raise CziError(f"expected the segment {name.decode()} at byte {place}, found {found.rstrip(bytes(1))!r}")
    return int(used)


def _directory(file: BinaryIO, place: int) -> Iterator[Subblock]:
    """Yield the subblocks of full resolution."""
    used = _segment(file, place, b"ZISRAWDIRECTORY")
    content = memoryview(file.read(min(used, budget.TABLE_BYTES)))
    (count,) = struct.unpack_from("<i", content)
    at = 128
    for _ in range(count):
        schema, kind, start, part, compression, pyramid, dimensions = ENTRY.unpack_from(content, at)
        at += ENTRY.size
        if schema != b"DV" or not 0 <= dimensions <= 64:
            raise CziError(f"expected a directory of version DV, found {bytes(schema)!r}")
        axes = {}
        for number in range(dimensions):
            name, first, size, _, stored = DIMENSION.unpack_from(content, at + number * DIMENSION.size)
            axes[name.rstrip(b"\0").decode("ascii", "replace")] = (first, size, stored)
        at += dimensions * DIMENSION.size
        if pyramid or any(stored not in (0, size) for _, size, stored in axes.values()):
            continue
        if part:
            raise CziError(f"expected a file of its own, found planes in part {part} of a series of files")
        long = {name: size for name, (_, size, _) in axes.items() if name not in "XY" and size > 1}
        if kind not in DTYPES or long or not {"X", "Y"} <= set(axes):
            raise CziError(f"expected planes of grey values, found pixel type {kind} and axes {long}")
        shape = axes["Y"][1], axes["X"][1]
        numbers = {name: first for name, (first, _, _) in axes.items() if name not in "XY"}
        yield Subblock(start, DTYPES[kind], compression, shape, numbers)


def _text(file: BinaryIO, place: int) -> str:
    """Return the metadata."""
    _segment(file, place, b"ZISRAWMETADATA")
    (length, *_) = struct.unpack("<ii", file.read(8))
    file.seek(place + HEADER.size + XML)
    content = file.read(min(max(length, 0), budget.TABLE_BYTES))
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", content.rstrip(b"\0").decode("utf-8-sig", "replace"))


def _scene(scene: Element) -> str:
    """Return the name of a scene: its well, where the template of a plate names it, and its own, as ``B2_P1``.

    Its own name is no well: ZEN calls positions P1, P2 and so on.
    """
    shape, own = scene.find("Shape"), scene.get("Name") or scene.get("Index", "")
    well = scene.findtext("ArrayName") or ("" if shape is None else shape.get("Name", ""))
    return f"{well}_{own}" if well else f"scene {own}"
