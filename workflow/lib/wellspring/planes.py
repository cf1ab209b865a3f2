"""One plane of a raw image: a path and page in; grey values out, or the word for what is wrong with the file.

TIFF (grey of 8 or 16 bit, palette images with a grey map, OME-TIFF) through tifffile, other formats through imageio.
"""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

logger = logging.getLogger(__name__)

DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True)
class Plane:
    """A plane as it was found.

    ``status`` is ok, missing, unreadable, truncated, dtype or blank; ``reason`` says why in words; ``pixels`` (H, W) of
    uint8 or uint16 are there when the file holds them all; ``pixel_size`` in micrometres where the OME-XML says it.
    """

    status: str
    reason: str = ""
    pixels: np.ndarray | None = None
    pixel_size: float | None = None


class PlaneError(ValueError):
    """A file that is no plane of grey values; ``status`` is the word for it."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read(folder: Path | str, path: str, page: int = 0) -> np.ndarray:
    """Read one plane: (H, W), uint8 or uint16, grey values as stored.

    Raises
    ------
    PlaneError
        The file is missing, unreadable, truncated or holds something else than grey values of 8 or 16 bit.
    """
    return _load(root(folder) / path, page)[0]


def status(folder: Path | str, path: str | None, page: int = 0) -> Plane:
    """Read one plane and say what is wrong with it in place of raising; ``path`` None is a missing file."""
    if path is None:
        return Plane("missing", "missing: no file")
    try:
        pixels, pixel_size = _load(root(folder) / path, page)
    except PlaneError as error:
        return Plane(error.status, f"{error.status}: {error}")
    if pixels.min() == pixels.max():
        return Plane("blank", f"blank: every pixel is {pixels.flat[0]}", pixels, pixel_size)
    return Plane("ok", "", pixels, pixel_size)


def root(images: Path | str) -> Path:
    """Return the folder that a plate's paths are relative to; the sheet may name a LoadData file that lies in it."""
    images = Path(images)
    return images.parent if images.is_file() else images


def _load(path: Path, page: int) -> tuple[np.ndarray, float | None]:
    if not path.is_file():
        raise PlaneError("missing", f"no file {path.name}")
    try:
        if path.suffix.lower() in (".tif", ".tiff", ".flex", ".stk"):
            pixels, pixel_size = _tiff(path, page)
        else:
            pixels, pixel_size = _other(path, page), None
    except PlaneError:
        raise
    except Exception as error:  # decoders raise whatever they meet in a damaged file; the survey names it
        if _ends_early(path):
            raise PlaneError("truncated", f"{path.name} ends after {path.stat().st_size} bytes") from error
        raise PlaneError("unreadable", f"{path.name}: {type(error).__name__}: {error}"[:200]) from error
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        if not (pixels[..., :1] == pixels[..., 1:3]).all():
            raise PlaneError("dtype", f"{path.name}: expected grey values, found colours")
        pixels = pixels[..., 0]
    if pixels.ndim != 2 or pixels.size == 0:
        raise PlaneError("shape", f"{path.name}: expected one plane of pixels, found {pixels.shape}")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype not in DTYPES:
        raise PlaneError("dtype", f"{path.name}: expected uint8 or uint16, found {pixels.dtype}")
    return pixels, pixel_size


def _tiff(path: Path, page: int) -> tuple[np.ndarray, float | None]:
    with tifffile.TiffFile(path) as tiff:
        if page >= len(tiff.pages):
            raise PlaneError("truncated" if _ends_early(path) else "missing", f"{path.name} has no page {page}")
        plane = tiff.pages[page]
        ends = [start + count for start, count in zip(plane.dataoffsets, plane.databytecounts, strict=True)]
        if ends and max(ends) > path.stat().st_size:
            raise PlaneError("truncated", f"{path.name} ends after {path.stat().st_size} bytes of {max(ends)}")
        pixels = np.squeeze(plane.asarray())
        if plane.colormap is not None:
            pixels = _grey(pixels, plane.colormap, path)
        return pixels, _pixel_size(tiff)


def _grey(pixels: np.ndarray, colours: np.ndarray, path: Path) -> np.ndarray:
    """Return the grey values of palette indices; a map that rises from black to white is no map at all."""
    if not (colours[0] == colours[1]).all() or not (colours[0] == colours[2]).all():
        raise PlaneError("dtype", f"{path.name}: expected grey values, found a palette of colours")
    grey = (colours[0] >> 8).astype(np.uint8)
    return pixels if (grey == np.arange(len(grey))).all() else grey[pixels]


def _pixel_size(tiff: tifffile.TiffFile) -> float | None:
    """Return micrometres a pixel by the OME-XML; the resolution tags of other TIFFs are of the camera or the screen."""
    if not tiff.is_ome:
        return None
    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    factor = {"µm": 1.0, "nm": 1e-3, "mm": 1e3}.get(pixels.get("PhysicalSizeXUnit", "µm"))
    size = pixels.get("PhysicalSizeX")
    return None if size is None or factor is None else float(size) * factor


def _other(path: Path, page: int) -> np.ndarray:
    import imageio.v3

    if page:
        raise PlaneError("missing", f"{path.name} has no page {page}")
    return np.squeeze(imageio.v3.imread(path))


def _ends_early(path: Path) -> bool:
    """Tell whether a file is empty, or a TIFF whose directory, or a PNG whose end, lies beyond its last byte."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(8)
        stream.seek(max(size - 12, 0))
        tail = stream.read()
    if head[:4] in (b"II*\0", b"MM\0*"):
        offset = struct.unpack("<I" if head[:1] == b"I" else ">I", head[4:].ljust(4, b"\0"))[0]
        return offset + 2 > size
    return size == 0 or (head[:4] == b"\x89PNG" and b"IEND" not in tail)
