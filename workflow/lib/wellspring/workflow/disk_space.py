"""Disk space of a screen: the bytes and files that its results will need, by folder, and the free space.

The shares of compressed pixels were measured on stored plates; sizes that are fixed are computed.
"""

import importlib
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from wellspring.screen.encoder_kinds import trains
from wellspring.screen.sections import Config
from wellspring.views import binning

# Stored images take 0.57 to 0.68 of the 16-bit pixels (benchmarks/compression.py), most of them for JUMP: 27 of 40 GB;
# their second resolution level takes 7 % more.
IMAGES = 0.73
# Label images of nuclei and cells, as a share of the 16-bit pixels: 8.3 of 307 MB for 4 demo plates of 5 channels.
LABELS = 0.03
# Embeddings, bytes per pixel of one channel and encoder: 0.4 GB for 500,000 cells on the 3,456 fields of a JUMP plate.
EMBED = 4e8 / (3456 * 1080**2)
# Checkpoints of a training where PyTorch is not installed, bytes: those of the kind sslprofiler with a ViT-S/16.
CHECKPOINTS = 14 * 10**8
# Files per field: its group, two arrays and their shards. The 3,456 fields of a JUMP plate take 17,700 files.
FILES = 5


@dataclass(frozen=True)
class Size:
    """The size of a plate: wells, fields, planes of all channels, channels, and height and width of a plane in px."""

    wells: int
    fields: int
    planes: int
    channels: int
    height: int
    width: int


def expected(size: Size, config: Config) -> dict[str, int]:
    """Return the bytes that a plate's results will take, by folder."""
    field = size.fields * size.height * size.width
    pixels = 2 * field * size.channels
    view = binning.shape_of(size.height, size.width, edge=config.survey.view_edge)
    room = {"images": IMAGES * pixels, "survey": 4.0 * size.planes * view[0] * view[1]}
    room["embed"] = EMBED * field * sum(entry.kind != "table" for entry in config.encoders.values())
    if config.cells.activate:
        # An edge in micrometres is at most three times as many pixels: a pixel is rarely less than a third of one.
        edge = config.crops.size * (3 if config.crops.unit == "um" else 1)
        room["cells"] = LABELS * pixels
        room["crops"] = 2 * size.wells * config.crops.cells_per_well * size.channels * edge**2
    return {name: round(some) for name, some in room.items()}


def checkpoints(config: Config, results: Path) -> int:
    """Return the bytes that the checkpoints of trainings whose weights are not in `results` will take.

    `ValueError` names the encoder whose network cannot be built.
    """
    found = 0
    for name, entry in config.encoders.items():
        if not trains(entry) or (results / "train" / name / "encoder.safetensors").exists():
            continue
        if importlib.util.find_spec("torch") is None:
            found += CHECKPOINTS
            continue
        # By name, since the conda environment of the check has no PyTorch, which these modules import.
        parts = (importlib.import_module(f"wellspring.train.{part}") for part in ("settings", "checkpoint_size"))
        settings, measure = parts
        try:
            setting = settings.resolve(entry, seed=config.seed)
            found += measure.checkpoint_size(setting, channels=len(entry.channels or config.channels))
        except (ValueError, OSError) as error:
            raise ValueError(f"encoders.{name}: {error}") from error
    return found


def files(size: Size, config: Config) -> int:
    """Return the number of files of a plate's results, to a few hundred."""
    return FILES * size.fields * (2 if config.cells.activate else 1) + 2 * size.wells


def free(folder: Path) -> tuple[int, int | None]:
    """Return the free bytes and files where `folder` is or will be; None for files if the file system has no limit."""
    place = existing(folder)
    left = os.statvfs(place)
    return shutil.disk_usage(place).free, left.f_favail if left.f_files else None


def existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    folder = Path(folder).resolve()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
