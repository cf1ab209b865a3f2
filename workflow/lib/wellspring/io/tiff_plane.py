"""One plane of a TIFF file, every part of it accounted for.

tifffile fills strips and tiles that are absent from a file with zeros, which look like a dark image. Here each strip or
tile that the header promises must have bytes within the file, and no two may share bytes.
"""

import mmap
import re
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from wellspring.io import colour
from wellspring.io.codestream import is_whole
from wellspring.io.plane_file import PlaneFileError, ends_early

FAX = (2, 3, 4)  # compressions of 1-bit pages; other pixels decode to a few rows and zeros
# JPEG, JPEG 2000 and JPEG XR, whose decoders accept a codestream without its end.
CODESTREAMS = (7, 33003, 33004, 33005, 34712, 22610, 34934)
# Bytes of pixels that a byte of compressed data can hold at most: PackBits, deflate (its specification: 1032), LZW
# (codes of 12 bits for strings of up to 3,838 bytes), LZMA, Zstandard (blocks of 128 kB in 4 bytes).
LARGEST_SHARE = {32773: 64, 8: 1040, 32946: 1040, 5: 1400, 34925: 8000, 50000: 33_000}
LZW = 5
REDUCED, MASK, OLD_REDUCED = 1, 4, 2  # bits of NewSubfileType; value of SubfileType
FLEX = 65200  # tag with the XML of Opera's FLEX files
SEPARATED, PLANAR = 5, 2  # photometric interpretation: printing inks; planar configuration: one plane per sample
ALPHA = (1, 2)  # kinds of an extra sample that is the opacity
MINISWHITE = 0  # photometric interpretation: 0 is white, as some scanners and fax formats write


def read(path: Path, page: int, *, largest: int) -> tuple[NDArray[Any], float | None, int]:
    """Read one page of a TIFF file.

    Parameters
    ----------
    path
        A TIFF file (also BigTIFF, OME-TIFF, STK, FLEX).
    page
        Number of the image, from 0, as :func:`images` counts them.
    largest
        Pixels of a plane above which a header is not believed.

    Returns
    -------
    tuple
        Grey values as stored (0 is black), squeezed; the pixel size in micrometres where the OME-XML states it; the
        number of pages in the file.

    Raises
    ------
    PlaneFileError
        The page is missing; strips or tiles lie outside of the file, share bytes, are absent or shorter than the header
        says, or too short for it whatever they hold; the header promises more than `largest`; the pixels are a palette
        of colours.
    """
    size = path.stat().st_size
    with tifffile.TiffFile(path) as tiff:
        try:
            number = page if tiff.is_ome else images(tiff)[page]
            plane = tiff.pages[number].aspage()
        except IndexError:
            status = "truncated" if ends_early(path) else "missing"
            raise PlaneFileError(status, f"no page {page}") from None
        first = tiff.pages.first
        if number and plane.offset in (first.offset, tiff.pages[number - 1].offset):
            raise PlaneFileError("unreadable", f"expected page {page}, found directories in a circle")
        if plane.size > largest:
            raise PlaneFileError("unreadable", f"expected at most {largest} pixels, found {plane.size} by its header")
        _check_parts(plane, size)
        if plane.compression in CODESTREAMS:
            _check_codestreams(plane)
        pixels = np.squeeze(_by_libtiff(plane, path, number) if plane.compression == LZW else plane.asarray())
        if pixels.dtype == bool:
            pixels = pixels.view(np.uint8)
        pixels = _samples(pixels, plane)
        if plane.colormap is not None:
            pixels = _grey(pixels, plane.colormap)
        elif plane.photometric == MINISWHITE and pixels.dtype.kind in "ub":
            pixels = _inverted(pixels, plane.bitspersample)
        if first.tags.get(FLEX) is not None:
            pixels = _multiplied(pixels, str(first.tags[FLEX].value), page)
        return pixels, _pixel_size(tiff), len(tiff.pages) if tiff.is_ome else len(images(tiff))


def _samples(pixels: NDArray[Any], plane: tifffile.TiffPage) -> NDArray[Any]:
    """Return pixels with their samples last, however they are stored; grey values without their opacity."""
    count = plane.samplesperpixel
    if plane.photometric == SEPARATED:
        raise PlaneFileError("dtype", f"expected grey values, found inks of a print ({colour.REMEDY})")
    if pixels.ndim == 3 and plane.planarconfig == PLANAR and pixels.shape[0] == count != pixels.shape[-1]:
        pixels = np.moveaxis(pixels, 0, -1)
    if count == 2 and pixels.shape[-1] == 2 and plane.extrasamples and plane.extrasamples[0] in ALPHA:
        pixels = pixels[..., 0]
    return pixels


def _by_libtiff(plane: tifffile.TiffPage, path: Path, number: int) -> NDArray[Any]:
    """Return the pixels of a directory that is compressed by LZW, as libtiff decodes it.

    The decoder that tifffile calls follows codes which a damaged strip does not define, and can end the process
    (imagecodecs 2026.3.6); libtiff refuses them.
    """
    if plane.bitspersample not in (8, 16, 32, 64):
        return plane.asarray()
    with path.open("rb") as stream:
        if len(plane.parent.pages) == 1:
            return imagecodecs.tiff_decode(stream.read(), index=number)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return imagecodecs.tiff_decode(content, index=number)


def images(tiff: tifffile.TiffFile) -> list[int]:
    """Return the numbers of the directories that hold images, without thumbnails, pyramids and masks of others.

    A file in which no directory is of full resolution has all of them.
    """
    found = []
    for number in range(len(tiff.pages)):
        page = tiff.pages[number].aspage()
        old = page.tags.get(255)
        if not (page.subfiletype & (REDUCED | MASK) or (old is not None and old.value == OLD_REDUCED)):
            found.append(number)
    return found or list(range(len(tiff.pages)))


def _check_parts(plane: tifffile.TiffPage, size: int) -> None:
    """Refuse a plane of which a strip or tile is not in the file."""
    starts, counts = np.asarray(plane.dataoffsets, dtype=np.int64), np.asarray(plane.databytecounts, dtype=np.int64)
    ends = starts[: len(counts)] + counts[: len(starts)]
    if len(ends) and ends.max() > size:
        raise PlaneFileError("truncated", f"the file ends after {size} bytes of {ends.max()}")
    expected = int(np.prod(plane.chunked))
    stored = (starts[: len(counts)] > 0) & (counts[: len(starts)] > 0)
    if len(stored) < expected or not stored.all():
        lost = expected - int(stored[:expected].sum())
        raise PlaneFileError("truncated", f"{lost} of {expected} strips or tiles have no pixels")
    order = np.argsort(starts, kind="stable")
    if (ends[order][:-1] > starts[order][1:]).any():
        raise PlaneFileError("unreadable", "expected strips or tiles without common bytes, found some that share bytes")
    if plane.compression in FAX and plane.bitspersample != 1:
        found = f"{plane.bitspersample} bits with compression {int(plane.compression)}, which is of fax pages"
        raise PlaneFileError("unreadable", f"expected a compression of grey values, found {found}")
    least = _least(plane)
    if plane.compression == 1 and counts.sum() < least:
        raise PlaneFileError("truncated", f"expected {least} bytes of pixels by its header, found {counts.sum()}")
    # A decoder would ask for the memory of all of them first; where that is refused, some end the whole process.
    share = LARGEST_SHARE.get(int(plane.compression))
    if share is not None and least > share * counts.sum() + expected * share:
        found = f"{counts.sum()} compressed bytes, which hold at most {share} times as many"
        raise PlaneFileError("unreadable", f"expected {least} bytes of pixels by its header, found {found}")


def _least(plane: tifffile.TiffPage) -> int:
    """Return the bytes of uncompressed pixels, whose rows begin at a byte; 1 and 12 bit are packed within a row."""
    packed = plane.bitspersample if isinstance(plane.bitspersample, int) else 0
    if not packed or packed % 8 == 0:
        return int(plane.nbytes)
    samples = plane.samplesperpixel if plane.planarconfig == 1 else 1
    row = -(-plane.imagewidth * samples * packed // 8)
    return int(row * plane.imagelength * (plane.samplesperpixel // samples))


def _check_codestreams(plane: tifffile.TiffPage) -> None:
    """Refuse a plane of which a compressed strip or tile lacks its end."""
    file = plane.parent.filehandle
    lost = 0
    for start, count in zip(plane.dataoffsets, plane.databytecounts, strict=True):
        file.seek(start)
        lost += not is_whole(file.read(count))
    if lost:
        raise PlaneFileError("truncated", f"the end of {lost} of {len(plane.dataoffsets)} compressed parts is missing")


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return pixels with 0 for black, from an image in which 0 is white."""
    white: NDArray[Any] = np.subtract(2**bits - 1, pixels, dtype=pixels.dtype)
    return white


def _grey(pixels: NDArray[Any], colours: NDArray[Any]) -> NDArray[Any]:
    """Return the grey values of palette indices; a map that rises from black to one colour changes nothing."""
    values = colour.signal(colours)
    if values is None:
        raise PlaneFileError("dtype", f"expected grey values, found a palette of colours ({colour.REMEDY})")
    grey = (values >> 8).astype(np.uint8)
    return pixels if (grey == np.arange(len(grey))).all() else grey[pixels]


def _multiplied(pixels: NDArray[Any], described: str, page: int) -> NDArray[Any]:
    """Return the grey values of a page of Opera, which stores them divided by a factor of the page."""
    factors = [float(found) for found in re.findall(r"<Array\s[^>]*?\bFactor=[\"']([^\"']+)[\"']", described)]
    factor = factors[page] if page < len(factors) else 1.0
    if factor == 1 or pixels.dtype.kind != "u":
        return pixels
    found = np.rint(pixels * factor)
    if factor <= 0 or found.max() > np.iinfo(np.uint16).max:
        raise PlaneFileError(
            "dtype", f"expected grey values of 16 bit, found a factor of {factor:g} in its description"
        )
    return found.astype(np.uint16)


def _pixel_size(tiff: tifffile.TiffFile) -> float | None:
    """Return micrometres per pixel by the OME-XML; resolution tags of other TIFFs describe the camera or the screen.

    The first ``Pixels`` is found as text: XML that lists a whole plate would be parsed for each of its images.
    """
    if not tiff.is_ome:
        return None
    pixels = re.search(r"<(?:\w+:)?Pixels\s([^>]*)>", tiff.pages.first.description)
    stated = dict(re.findall(r"""(\w+)\s*=\s*["']([^"']*)["']""", pixels[1])) if pixels else {}
    factor = {"µm": 1.0, "μm": 1.0, "&#181;m": 1.0, "nm": 1e-3, "mm": 1e3}.get(stated.get("PhysicalSizeXUnit", "µm"))
    try:
        return float(stated["PhysicalSizeX"]) * factor if factor is not None else None
    except (KeyError, ValueError):
        return None
