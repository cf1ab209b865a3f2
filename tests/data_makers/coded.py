"""Images whose grey values identify their plane, and the comparison of an index with the planes written.

A maker notes the value of each plane by its own key; `read` opens what an index names. No reader's code is used.
"""

from pathlib import Path

import numpy as np
import tifffile

from options import options as section
from wellspring.index import run as index
from wellspring.io import raw_image

SHAPE = (6, 10)  # rows and columns: not square


def plane(value: int, *, dtype=np.uint16, shape=SHAPE) -> np.ndarray:
    """Return an image with `value` in its first pixel and a gradient that depends on it."""
    rows, columns = shape
    ramp = np.arange(rows * columns).reshape(shape) % 7
    return (ramp * (value % 5 + 1) + value).astype(dtype)


def tiff(path: Path, *values: int, **options) -> Path:
    """Write a TIFF with a page per value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"photometric": "minisblack", "metadata": None} | options
    with tifffile.TiffWriter(path) as file:
        for value in values:
            file.write(plane(value), **options)
    return path


def platemap(folder: Path, wells, name: str = "map.csv") -> str:
    """Write a platemap: a negative control, and treatments."""
    lines = [f"{well},{'DMSO' if number == 0 else f'C{number}'}" for number, well in enumerate(wells)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(["well,compound", *lines]) + "\n")
    return str(folder / name)


def build(images: Path | str, wells, *, channels, at: Path, plate: str = "P1", aliases=None, **options) -> index.Index:
    """Return the index of a plate of `wells`; `at` is a folder for the platemap."""
    row = {"plate": plate, "images": str(images), "platemap": platemap(at, wells)}
    return index.build(row, channels, section("index", channels=aliases or {}, **options))


def read(found: index.Index, images: Path | str) -> dict[tuple[str, str, str, str], int | None]:
    """Return the value of each plane of an index by well, site, channel and plane; None for a missing one."""
    values: dict[tuple[str, str, str, str], int | None] = {}
    for row in found.table.to_dict("records"):
        key = tuple(row[f"Metadata_{name}"] for name in ("Well", "Site", "Channel", "Plane"))
        values[key] = None
        if row["Metadata_Path"] is not None:
            pixels = raw_image.read(images, row["Metadata_Path"], row["Metadata_Page"])
            values[key] = int(pixels[0, 0])
            assert np.array_equal(pixels, plane(values[key], dtype=pixels.dtype)), row
    return values
