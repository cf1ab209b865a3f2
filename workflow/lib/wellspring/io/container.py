"""Files that hold the images of many positions: Nikon ND2 (package nd2), Leica LIF (package liffile) and Zeiss CZI.

Both packages are optional; CZI needs none (:mod:`wellspring.io.czi`). A file's planes are numbered in the order of its
own positions, then of its other axes.
"""

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from wellspring.io import czi
from wellspring.io.plane_file import PlaneFileError

PACKAGES = {".nd2": "nd2", ".lif": "liffile"}
CZI = ".czi"
ENDINGS = (*PACKAGES, CZI)
PLANES = 10**6  # of one file
AXES = ("C", "T", "Z")


class ContainerError(ValueError):
    """A file that is not read although it may be intact: its package is not installed, or its axes are others."""


@dataclass(frozen=True)
class Frame:
    """A plane of a file: name and number of its position, channel, and focal plane and time point from 1."""

    position: str
    number: int
    channel: str
    plane: int = 1
    time: int = 1
    pixel_size: float = float("nan")
    """Micrometres."""


def frames(path: Path) -> list[Frame]:
    """Return the planes of a file in the order of their numbers; no pixel is read.

    Raises
    ------
    ContainerError
        The package that reads such files is not installed, or the file has axes that are not those of a plane; it names
        the file. The packages raise any kind of error for a damaged file.
    """
    if path.suffix.lower() == CZI:
        found = list(_zeiss(path))
    else:
        module = _module(path)
        found = list(_nikon(path, module) if module.__name__ == "nd2" else _leica(path, module))
    if not 0 < len(found) <= PLANES:
        raise ContainerError(f"{path}: expected 1 to {PLANES} planes, found {len(found)}")
    return found


def read(path: Path, page: int, *, largest: int) -> np.ndarray:
    """Read one plane (H, W) in its stored dtype.

    Raises
    ------
    PlaneFileError
        The file has no such plane, or one of more than `largest` pixels.
    """
    if path.suffix.lower() == CZI:
        return czi.read(path, page, largest=largest)
    module = _module(path)
    if module.__name__ == "nd2":
        with module.ND2File(path) as file:
            channels = file.sizes.get("C", 1)
            number, channel = divmod(page, channels)
            _check(file.sizes, number < max(1, len(file.loop_indices)), page, largest)
            pixels = np.array(file.read_frame(number))
            return pixels[channel] if channels > 1 else pixels
    with module.LifFile(path) as file:
        rest = page
        for image in file.images:
            sizes = _sizes(image, path)
            count = math.prod(sizes.values())
            if rest < count:
                _check(image.sizes, True, page, largest)
                index = [int(each) for each in np.unravel_index(rest, tuple(sizes.values()))] if sizes else []
                chosen = dict(zip(sizes, index, strict=True))
                pixels = np.asarray(image.asarray())
                at = tuple(chosen.get(axis, slice(None)) for axis in image.dims)
                return np.array(pixels[at])
            rest -= count
    raise PlaneFileError("missing", f"no plane {page}")


def _module(path: Path) -> ModuleType:
    package = PACKAGES[path.suffix.lower()]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ContainerError(
            f"{path}: expected the package {package}, which reads files {path.suffix}, found none (install it with "
            f"`pip install {package}`)"
        ) from error


def _nikon(path: Path, module: ModuleType) -> Iterator[Frame]:
    with module.ND2File(path) as file:
        loops: Sequence[dict[str, int]] = file.loop_indices or ({},)
        sizes = dict(file.sizes)
        odd = sorted(set(sizes) - {"P", "Y", "X", *AXES})
        if odd or file.is_rgb:
            raise ContainerError(f"{path}: expected the axes P, T, Z, C, Y, X, found {sizes}")
        named = [channel.channel.name or "" for channel in file.metadata.channels or ()]
        names = _distinct(named, sizes.get("C", 1))
        places = [loop.parameters.points for loop in file.experiment if loop.type == "XYPosLoop"]
        positions = [point.name or str(number + 1) for number, point in enumerate(places[0])] if places else ["1"]
        size = float(file.voxel_size().x)
        for loop, channel in product(loops, names):
            number = loop.get("P", 0)
            yield Frame(positions[number], number, channel, loop.get("Z", 0) + 1, loop.get("T", 0) + 1, size)


def _leica(path: Path, module: ModuleType) -> Iterator[Frame]:
    with module.LifFile(path) as file:
        for number, image in enumerate(file.images):
            sizes = _sizes(image, path)
            described = image.xml_element.iterfind("./Data/Image/ImageDescription/Channels/ChannelDescription")
            names = _distinct([each.get("LUTName", "") for each in described], sizes.get("C", 1))
            size = _leica_pixel(image)
            for index in np.ndindex(*sizes.values()):
                at = dict(zip(sizes, index, strict=True))
                yield Frame(image.path, number, names[at.get("C", 0)], at.get("Z", 0) + 1, at.get("T", 0) + 1, size)


def _zeiss(path: Path) -> Iterator[Frame]:
    """Yield the planes of a CZI; a tile of a scene is a position of its own."""
    try:
        planes, said = czi.planes(path), czi.described(path)
    except czi.CziError as error:
        raise ContainerError(f"{path}: {error}") from error
    count = 1 + max((one.at.get("C", 0) for one in planes), default=0)
    names = _distinct([said.channels.get(number, "") for number in range(count)], count)
    numbers = sorted({(one.at.get("S", 0), one.at.get("M", 0)) for one in planes})
    places = {place: number for number, place in enumerate(numbers)}
    tiled = len(places) > len({scene for scene, _ in places})
    for one in planes:
        place = one.at.get("S", 0), one.at.get("M", 0)
        name = said.scenes.get(place[0], f"scene {place[0] + 1}") + (f"_{place[1] + 1}" if tiled else "")
        plane, time = one.at.get("Z", 0) + 1, one.at.get("T", 0) + 1
        yield Frame(name, places[place], names[one.at.get("C", 0)], plane, time, said.pixel_size)


def _sizes(image: Any, path: Path) -> dict[str, int]:
    """Return the sizes of the axes of an image of a LIF before y and x."""
    sizes = {axis: int(size) for axis, size in image.sizes.items()}
    rest = {axis: size for axis, size in sizes.items() if axis not in "YX"}
    if set(rest) - set(AXES) or list(sizes)[-2:] != ["Y", "X"]:
        raise ContainerError(f"{path}: expected the axes T, Z, C, Y, X in {image.path}, found {sizes}")
    return rest


def _leica_pixel(image: Any) -> float:
    """Return micrometres per pixel of an image of a LIF, by its length along x, which is in metres."""
    for axis in image.xml_element.iterfind("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        count = int(axis.get("NumberOfElements", "0"))
        if axis.get("DimID") == "1" and axis.get("Unit") == "m" and count > 1:
            return float(axis.get("Length", "nan")) / (count - 1) * 1e6
    return float("nan")


def _distinct(names: list[str], count: int) -> list[str]:
    """Return the names of channels, or their numbers from 1 where a name is missing or repeated."""
    if len(names) != count or not all(names) or len(set(names)) < count:
        return [str(number + 1) for number in range(count)]
    return names


def _check(sizes: Any, there: bool, page: int, largest: int) -> None:
    if not there:
        raise PlaneFileError("missing", f"no plane {page}")
    if (pixels := sizes.get("Y", 1) * sizes.get("X", 1)) > largest:
        raise PlaneFileError("unreadable", f"expected at most {largest} pixels, found {pixels} by its header")
