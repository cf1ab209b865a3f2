"""How much room a screen takes: counts of a plate's fields and the config in, bytes and files by folder of results out.

Measured on stored plates, as shares of the pixels that come in as 16 bit; what has a fixed size is counted.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wellspring.views import binning

# Real Cell Painting takes .57 to .68 of its pixels (benchmarks/compression.py), JUMP the most: 27 of a plate's 40 GB.
IMAGES = 0.68
# Nuclei and cells of the demo screen, 4 plates of 5 channels: 8.3 MB of 307 MB.
LABELS = 0.03
# .4 GB for the 500,000 cells on the 3,456 fields of a JUMP plate, by encoder: bytes a pixel of one channel.
EMBED = 4e8 / (3456 * 1080**2)
# Of a field: its group, the array in it and one shard. 10,800 files hold the 3,456 fields of a JUMP plate.
FILES = 3


@dataclass(frozen=True)
class Size:
    """What there is of a plate: its wells, fields, planes of all channels and channels, and the pixels of a plane."""

    wells: int
    fields: int
    planes: int
    channels: int
    height: int
    width: int


def expected(size: Size, config: Mapping) -> dict[str, int]:
    """Return the bytes that a plate will take, by the folder of results, with a complete config."""
    field = size.fields * size.height * size.width
    pixels = 2 * field * size.channels
    view = binning.shape_of(size.height, size.width, edge=config["survey"]["view_edge"])
    encoders = [entry["kind"] for entry in config["encoders"].values()]
    room = {"images": IMAGES * pixels, "survey": 4 * size.planes * view[0] * view[1]}
    room["embed"] = EMBED * field * sum(kind != "table" for kind in encoders)
    if config["cells"]["activate"]:
        # The edge of a crop may be in micrometres, of which a pixel is rarely less than a third.
        edge = config["crops"]["size"] * (3 if config["crops"]["unit"] == "um" else 1)
        room["cells"] = LABELS * pixels
        room["crops"] = 2 * size.wells * config["crops"]["cells_per_well"] * size.channels * edge**2
    return {name: round(some) for name, some in room.items()}


def files(size: Size, config: Mapping) -> int:
    """Return how many files a plate will be, to a few hundred."""
    return FILES * size.fields * (2 if config["cells"]["activate"] else 1) + 2 * size.wells


def free(folder: Path) -> tuple[int, int | None]:
    """Return the free bytes and files where `folder` is or will be; None files where the file system has no limit."""
    place = existing(folder)
    left = os.statvfs(place)
    return shutil.disk_usage(place).free, left.f_favail if left.f_files else None


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = Path(folder).resolve()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
