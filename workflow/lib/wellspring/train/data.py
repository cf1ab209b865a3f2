"""Training sets: open the images of the plates of role `fit`, read batches of them, describe what was trained on."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from wellspring.io import ngff, tables
from wellspring.io.notes import in_words
from wellspring.screen.sections import Train, View
from wellspring.train.sources import ABSENT, Cells, Fields, Source
from wellspring.views.scaling import intensity_scale

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Images of a step: (B, C, H, H) scaled to [0, 1], mean and std (B, C) of their plates, well codes (B,).

    Images s * i ... s * i + s - 1 are of one well, from s = `sites` different sites if the well has as many. `sites` is
    1 where a batch has no groups. `nuisances` (B, K) are the codes that an adversary predicts; None without one.
    """

    images: Tensor
    mean: Tensor
    std: Tensor
    well: Tensor
    sites: int = 1
    nuisances: Tensor | None = None


def open_source(
    view: View,
    options: Train,
    *,
    channels: Sequence[str],
    images: Sequence[str | Path] = (),
    intensity: Sequence[str | Path] = (),
    crops: Sequence[str | Path] = (),
    crop_tables: Sequence[str | Path] = (),
    lacking: bool = False,
) -> Source:
    """Open the training set of an encoder: the plates whose verdict is keep.

    Parameters
    ----------
    view
        The encoder's view: crops are read for a view of kind cell, fields for one of kind tile.
    options
        The config section `train`.
    channels
        Channels in the order in which the network takes them.
    images, intensity, crops, crop_tables
        Stores, tables of the intensity scale, packed crops and their tables, of the same plates in the same order.
    lacking
        Whether plates may lack some of the channels (stem `adaptive`); these are NaN in their images.

    Raises
    ------
    ValueError
        No plate is left, a file that the view needs is missing, or a channel.
    """
    usable = kept(intensity)
    if view.kind == "cell":
        if not len(crops) == len(crop_tables) == len(intensity):
            raise ValueError(f"training set: expected crops of {len(intensity)} plates, found {len(crops)}")
        usable = [usable[number] for number in kept([crop_tables[number] for number in usable])]
    known = [tables.read(intensity[number]) for number in usable]
    scales = [intensity_scale(table, list(channels), lacking=lacking) for table in known]
    _note_panels(known, channels)
    if view.kind == "cell":
        cells = [_sampled(tables.read(crop_tables[number])) for number in usable]
        stored = [_stored(crop_tables[number], table, channels) for number, table in zip(usable, known, strict=True)]
        places = [
            _places(crop_tables[number], names, table, channels)
            for number, names, table in zip(usable, stored, known, strict=True)
        ]
        panels = [len(names) for names in stored]
        return Cells([crops[number] for number in usable], cells, scales, least=view.size, places=places, panels=panels)
    return Fields(
        [ngff.open_plate(images[number]) for number in usable],
        scales,
        channels=channels,
        size=view.size,
        stain=options.foreground_channel,
        least=options.least_foreground,
        tries=options.tries,
        cache_bytes=int(options.cache_mb * 1e6),
    )


def _note_panels(known: Sequence[pd.DataFrame], channels: Sequence[str]) -> None:
    """Log the plates that lack channels."""
    for table in known:
        absent = [channel for channel in channels if channel not in set(table["Metadata_Channel"])]
        if absent:
            logger.info("%s: trains without %s", table["Metadata_Plate"].iloc[0], ", ".join(absent))


def _stored(crop_table: str | Path, intensity: pd.DataFrame, channels: Sequence[str]) -> list[str]:
    """Return the channels of packed crops, in the order of the array, which the table of the crops records.

    The table of the intensity scale is sorted by name. Crops of an earlier version have the channels of the encoder.
    """
    recorded = tables.provenance(crop_table).get("channels")
    if isinstance(recorded, list):
        return [str(name) for name in recorded]
    if set(channels) != set(intensity["Metadata_Channel"]):
        found = f"a table of an earlier version beside {sorted(intensity['Metadata_Channel'])}"
        raise ValueError(f"{crop_table}: expected the channels of the crops, found {found} (run with -R crops)")
    return list(channels)


def _places(
    crop_table: str | Path, stored: Sequence[str], intensity: pd.DataFrame, channels: Sequence[str]
) -> list[int]:
    """Return the places of channels in packed crops, `ABSENT` for those that the plate lacks.

    Raises ValueError where the crops lack a channel that the intensity scale of the plate has.
    """
    lost = [name for name in channels if name not in stored and name in set(intensity["Metadata_Channel"])]
    if lost:
        raise ValueError(
            f"{crop_table}: expected crops with the channels {lost}, found {list(stored)} (run with -R crops)"
        )
    return [stored.index(name) if name in stored else ABSENT for name in channels]


def _sampled(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the training sample of a table of crops: the cells marked as such, or all where none is marked."""
    if "Metadata_Sample" not in cells:  # a finished table of an earlier version
        return cells
    marked = cells["Metadata_Sample"]
    return cells.drop(columns="Metadata_Sample") if marked.isna().all() else cells[marked.astype(bool)]


def load(
    source: Source,
    items: NDArray[np.int64],
    *,
    sites: int,
    rng: np.random.Generator,
    device: torch.device,
    nuisances: NDArray[np.int64] | None = None,
) -> Batch:
    """Read items, in groups of `sites`, as a batch on a device; `nuisances` (N, K) are those of all items."""
    codes = source.plate[items]

    def move(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return Batch(
        images=move(source.read(items, rng, sites=sites)),
        mean=move(np.stack([source.pixels[code].mean for code in codes])),
        std=move(np.stack([source.pixels[code].std for code in codes])),
        well=move(source.well[items]),
        sites=sites,
        nuisances=None if nuisances is None else move(nuisances[items]),
    )


def kept(paths: Sequence[str | Path]) -> list[int]:
    """Return the numbers of the tables whose plate has the verdict keep; a ValueError if none has it."""
    verdicts = [tables.verdict(path) for path in paths]
    for path, verdict in zip(paths, verdicts, strict=True):
        if not verdict.keep:
            logger.info("%s is left out of training: %s", Path(path).name, in_words(verdict.reasons))
    numbers = [number for number, verdict in enumerate(verdicts) if verdict.keep]
    if not numbers:
        names = ", ".join(Path(path).stem for path in paths)
        raise ValueError(
            f"training set: expected at least one usable plate, found that all are left out ({names}); "
            "results/survey/PLATE.excluded.tsv lists the images that were excluded and why"
        )
    return numbers


def manifest(source: Source) -> dict[str, object]:
    """Return what an encoder is trained on: plates, numbers of wells and items, digest of all items and scales."""
    digest = hashlib.sha256()
    digest.update(pd.util.hash_pandas_object(source.frame, index=False).to_numpy().tobytes())
    for each in source.pixels:
        digest.update(np.stack([each.low, each.high, each.mean, each.std]).astype(np.float32).tobytes())
    plates = source.frame["Metadata_Plate"].unique().tolist()
    return {
        "plates": sorted(plates),
        "wells": int(source.well.max()) + 1,
        "items": len(source.frame),
        "digest": digest.hexdigest(),
    }


def fingerprint(**parts: object) -> str:
    """Return the SHA-256 of the parts of a run that decide its result; parts are JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
