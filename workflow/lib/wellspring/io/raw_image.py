"""Read one plane of a raw image, or find out why it cannot be read.

TIFF (grey values of 1 to 16 bit, palettes of grey values, OME-TIFF) is read by tifffile, arrays of OME-Zarr plates by
zarr, ND2 and LIF by their packages, other formats by Pillow. Other types, such as float32, are read where a range is
stated. A URL is read from a copy on the node's own disk.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wellspring.io import (
    codestream,
    colour,
    container,
    object_store,
    plane_file,
    site_arrays,
    store_copies,
    tiff_plane,
    zarr_plane,
)
from wellspring.io.notes import Note

DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
# A header that promises more pixels per plane is refused: 1 GB of 16 bit. A stitched well of a 96-well plate at 0.65
# micrometres has a fifth of that, a camera of 25 megapixels a twentieth.
PIXELS = 2**29
TIFF_ENDINGS = (".tif", ".tiff", ".flex", ".stk", ".btf", ".tf2", ".tf8")
# Formats that microscopes write, besides TIFF. Pillow also opens formats whose plugins start programs (EPS) or trust
# any size in a header (FITS).
FORMATS = ("PNG", "BMP", "JPEG", "JPEG2000", "GIF", "PPM")
GREY = ("L", "I;16", "I")  # modes of Pillow that are grey values of 8 and 16 bit
COLOURS = ("RGB", "RGBA")
GREY_AND_OPACITY = "LA"
INKS = ("P", "PA", "CMYK")  # modes whose values are no grey values or colours until they are converted


@dataclass(frozen=True)
class Rules:
    """What a person states about the pixels of a plate."""

    range: tuple[float, float] | None = None
    """Grey values that become 0 and 65535 in images that are not 8 or 16 bit unsigned; None: these are refused."""

    absent_chunks: str = "auto"
    """auto, zeros or missing: as ``index.absent_chunks``."""

    @classmethod
    def of(cls, section: Mapping[str, object]) -> "Rules":
        """Return the rules of the section ``index`` of a config; ``ValueError`` for a range that does not rise."""
        stated = section["range"]
        limits = (float(stated[0]), float(stated[1])) if isinstance(stated, Sequence) else None
        if limits is not None and not limits[0] < limits[1]:
            raise ValueError(f"index.range: expected a smaller and a larger grey value, found {list(limits)}")
        return cls(limits, str(section["absent_chunks"]))


USUAL = Rules()


@dataclass(frozen=True)
class Plane:
    """The result of reading a plane."""

    status: str
    """ok, missing, unreadable, truncated, dtype, shape or blank."""

    reason: str = ""
    """The status as the text of a note (:mod:`wellspring.io.notes`), with the detail; empty for ok."""

    pixels: np.ndarray | None = None
    """(H, W) uint8 or uint16, if the file has all of them."""

    pixel_size: float | None = None
    """Micrometres per pixel, if the OME-XML has it."""

    pages: int = 1
    """Number of pages of the file."""


class PlaneError(ValueError):
    """A plane that cannot be read as grey values; ``status`` is as in `Plane`."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read(folder: Path | str, path: str, page: int = 0, *, rules: Rules = USUAL) -> np.ndarray:
    """Read one plane: (H, W), uint8 or uint16, grey values as stored; of other types, as ``rules.range`` states.

    Raises
    ------
    PlaneError
        The file is missing, unreadable, truncated or has other pixels than grey values of 8 or 16 bit, and no range is
        stated; a value is outside of the range.
    """
    return _found(folder, path, page, rules)[0]


def status(folder: Path | str, path: str | None, page: int = 0, *, rules: Rules = USUAL) -> Plane:
    """Read one plane and return its status, without raising; ``path`` None is a missing file."""
    if path is None:
        return Plane("missing", str(Note("missing")))
    try:
        pixels, pixel_size, pages = _found(folder, path, page, rules)
    except PlaneError as error:
        return Plane(error.status, str(Note(error.status, {"detail": str(error)})))
    if pixels.min() == pixels.max():
        return Plane("blank", str(Note("blank", {"value": int(pixels.flat[0])})), pixels, pixel_size, pages)
    return Plane("ok", "", pixels, pixel_size, pages)


def _found(folder: Path | str, path: str, page: int, rules: Rules) -> tuple[np.ndarray, float | None, int]:
    """Return a plane from disk or store, its pixel size, and the number of pages of its file.

    A store that cannot be reached raises, since the file may be intact.
    """
    home = object_store.home(folder)
    url = path if object_store.is_url(path) else f"{home.rstrip('/')}/{path}" if object_store.is_url(home) else None
    if url is None:
        return _load(Path(home) / path, page, rules)
    try:
        name = url.rpartition("/")[2]
        if "." not in name or site_arrays.key(name):  # the folder of a zarr array; images have an ending
            return _remote(url, page, rules), None, 1
        with store_copies.COPIES.of(url, page) as (copy, local):
            found = _load(local, page, rules)
            copy.pages = found[2]
            return found
    except FileNotFoundError as error:
        raise PlaneError("missing", f"no file {url}") from error
    except PermissionError as error:
        raise PlaneError("unreadable", f"{url}: {error}"[:200]) from error


def _remote(url: str, page: int, rules: Rules) -> np.ndarray:
    """Return a plane of a zarr array in a store."""
    name = "/".join(url.split("/")[-4:])
    try:
        return grey(zarr_plane.read(url, page, largest=PIXELS, absent=rules.absent_chunks), rules, name)
    except plane_file.PlaneFileError as error:
        raise PlaneError(error.status, f"{name}: {error}") from error
    except (ConnectionError, PermissionError, FileNotFoundError, PlaneError):
        raise
    except Exception as error:  # decoders raise any kind of error for a damaged chunk
        raise PlaneError("unreadable", f"{name}: {type(error).__name__}: {error}"[:200]) from error


def _load(path: Path, page: int, rules: Rules) -> tuple[np.ndarray, float | None, int]:
    pixels, pixel_size, pages = _decoded(path, page, absent=rules.absent_chunks)
    name = _called(path)
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        lit = colour.signal(np.moveaxis(pixels[..., :3], -1, 0))
        if lit is None:
            raise PlaneError("dtype", f"{name}: expected grey values, found several colours ({colour.REMEDY})")
        pixels = lit
    if pixels.ndim != 2 or pixels.size == 0:
        remedy = f" ({colour.REMEDY})" if pixels.ndim == 3 else ""
        raise PlaneError("shape", f"{name}: expected one plane of pixels, found {pixels.shape}{remedy}")
    return grey(pixels, rules, name), pixel_size, pages


def _called(path: Path) -> str:
    """Return the name of an image; the folder of an array is called by its level, 0, below well and site."""
    return "/".join(path.parts[-4:]) if path.is_dir() else path.name


def _decoded(path: Path, page: int, *, absent: str = "auto") -> tuple[np.ndarray, float | None, int]:
    """Return a page in its stored dtype and axes, its pixel size, and the number of pages of its file."""
    found = _stat(path)
    pixel_size, pages = None, 1
    name = _called(path)
    try:
        if stat.S_ISDIR(found.st_mode):
            pixels = zarr_plane.read(path, page, largest=PIXELS, absent=absent)
        elif path.suffix.lower() in container.ENDINGS:
            pixels = container.read(path, page, largest=PIXELS)
        elif path.suffix.lower() in TIFF_ENDINGS or plane_file.is_tiff(path):
            pixels, pixel_size, pages = tiff_plane.read(path, page, largest=PIXELS)
        else:
            pixels = _other(path, page)
    except PlaneError:
        raise
    except plane_file.PlaneFileError as error:
        raise PlaneError(error.status, f"{name}: {error}") from error
    except Exception as error:  # decoders raise any kind of error for a damaged file
        if plane_file.ends_early(path):
            raise PlaneError("truncated", f"{path.name} ends after {path.stat().st_size} bytes") from error
        raise PlaneError("unreadable", f"{name}: {type(error).__name__}: {error}"[:200]) from error
    return pixels, pixel_size, pages


def array(path: Path, *, rules: Rules = USUAL) -> np.ndarray:
    """Read all axes of a local image at once, colours and pages too: uint8 or uint16.

    A TIFF of several pages has the axes of its series; each of its pages is read as `read` does.

    Raises
    ------
    PlaneError
        As `read`, but for the number of axes.
    """
    if path.suffix.lower() in TIFF_ENDINGS:
        first, _, pages = _decoded(path, 0)
        planes = [first, *(_decoded(path, page)[0] for page in range(1, pages))]
        if len({plane.shape for plane in planes}) > 1:
            found = sorted({plane.shape for plane in planes})
            raise PlaneError("shape", f"{path.name}: expected pages of one size, found {found}")
        return grey(np.stack(planes) if pages > 1 else first, rules, path.name)
    return grey(_decoded(path, 0)[0], rules, path.name)


def grey(pixels: np.ndarray, rules: Rules, name: str) -> np.ndarray:
    """Return pixels of any real dtype as uint8 or uint16, by ``rules.range`` where they are not; `PlaneError` if none.

    ``name`` is the image in messages.
    """
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return pixels if pixels.dtype in DTYPES else _scaled(pixels, rules.range, name)


def _scaled(pixels: np.ndarray, limits: tuple[float, float] | None, name: str) -> np.ndarray:
    """Return values of any real type as uint16: the limits become 0 and 65535, in between linearly, rounded.

    Nothing is clipped: an image with a value outside of the limits is refused.
    """
    kind = pixels.dtype
    if limits is None or kind.kind not in "iuf":
        remedy = " (index.range states which grey values become 0 and 65535)" if kind.kind in "iuf" else ""
        raise PlaneError("dtype", f"{name}: expected uint8 or uint16, found {kind}{remedy}")
    low, high = limits
    least, most = float(pixels.min()), float(pixels.max())
    if not low <= least <= most <= high:  # also where a value is not a number
        found = "values that are not numbers" if np.isnan(least) else f"{least:g} to {most:g}"
        words = f"expected {kind} values within index.range [{low:g}, {high:g}], found {found}"
        raise PlaneError("dtype", f"{name}: {words}")
    top = np.iinfo(np.uint16).max
    return np.rint((pixels.astype(np.float64) - low) * top / (high - low)).astype(np.uint16)


def _stat(path: Path) -> os.stat_result:
    """Return the file status of a file or folder; other kinds are refused unopened, since a pipe would never end."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PlaneError("missing", f"no file {path.name}") from error
    except (OSError, ValueError) as error:
        raise PlaneError("unreadable", f"{path.name}: {getattr(error, 'strerror', None) or error}") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise PlaneError("unreadable", f"{path.name}: expected a regular file, found another kind")
    return found


def _check_size(name: str, pixels: int) -> None:
    if pixels > PIXELS:
        raise PlaneError("unreadable", f"{name}: expected at most {PIXELS} pixels, found {pixels} by its header")


def _png(path: Path) -> np.ndarray:
    """Decode a PNG image by libpng, which refuses one with fewer rows than its header states; Pillow fills in zeros."""
    import imagecodecs

    try:
        decoded: np.ndarray = imagecodecs.png_decode(path.read_bytes())
    except imagecodecs.PngError as error:
        status = "truncated" if "Not enough image data" in str(error) else "unreadable"
        raise PlaneError(status, f"{path.name}: {error}") from error
    return decoded


def _other(path: Path, page: int) -> np.ndarray:
    from PIL import Image

    if page:
        raise PlaneError("missing", f"{path.name} has no page {page}")
    with Image.open(path, formats=FORMATS) as image:
        _check_size(path.name, image.width * image.height)
        if image.format in ("JPEG", "JPEG2000") and not codestream.is_whole(path.read_bytes()):
            raise PlaneError("truncated", f"{path.name}: the end of the compressed image is missing")
        if image.format == "PNG":
            decoded = _png(path)
            if image.mode == GREY_AND_OPACITY:
                return np.squeeze(decoded[..., 0])
            if image.mode in (*GREY, *COLOURS):  # Pillow would give colours of 16 bit as 8 bit
                return np.squeeze(decoded)
        return np.squeeze(np.asarray(image.convert("RGB") if image.mode in INKS else image))
