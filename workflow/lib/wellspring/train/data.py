"""Training sets: the tables of the plates that fit flow in, a source and its batches flow out."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wellspring.io import ngff, tables
from wellspring.train.sources import Cells, Fields, Source
from wellspring.views.scaling import intensity_scale

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """What a step sees: images (B, C, H, H) scaled to [0, 1], mean and std (B, C) of their plates, well codes (B,).

    Images s * i ... s * i + s - 1 are of one well, from s = `sites` different sites where it has them; 1 where a batch
    is not made of groups.
    """

    images: Tensor
    mean: Tensor
    std: Tensor
    well: Tensor
    sites: int = 1


def open_source(
    entry: Mapping[str, object],
    *,
    channels: list[str],
    options: Mapping[str, object],
    images: Sequence[str | Path] = (),
    intensity: Sequence[str | Path] = (),
    crops: Sequence[str | Path] = (),
    crop_tables: Sequence[str | Path] = (),
) -> Source:
    """Open the training set of an encoder: the plates whose verdict is keep.

    Parameters
    ----------
    entry
        Of `encoders`; its view says whether crops or fields are read.
    channels
        In the order in which the network takes them.
    options
        The config section `train`.
    images, intensity, crops, crop_tables
        Of the same plates, in the same order: stores, tables of their intensity scale, packed crops and their tables.

    Raises
    ------
    ValueError
        No plate is left, or a file that the view needs is not given.
    """
    usable = kept(intensity)
    if entry["view"]["kind"] == "cell":
        if not len(crops) == len(crop_tables) == len(intensity):
            raise ValueError(f"training set: expected crops of {len(intensity)} plates, found those of {len(crops)}")
        usable = [usable[number] for number in kept([crop_tables[number] for number in usable])]
    scales = [intensity_scale(tables.read(intensity[number]), channels) for number in usable]
    if entry["view"]["kind"] == "cell":
        cells = [tables.read(crop_tables[number]) for number in usable]
        return Cells([crops[number] for number in usable], cells, scales, least=entry["view"]["size"])
    return Fields(
        [ngff.open_plate(images[number]) for number in usable],
        scales,
        channels=channels,
        size=entry["view"]["size"],
        stain=options["foreground_channel"] if options["foreground_channel"] in channels else channels[0],
        least=options["least_foreground"],
        tries=options["tries"],
        cache_bytes=int(options["cache_mb"] * 1e6),
    )


def load(source: Source, items: np.ndarray, *, sites: int, rng: np.random.Generator, device: torch.device) -> Batch:
    """Read items, in groups of `sites`, as a batch on a device."""
    codes = source.plate[items]
    move = {"device": device, "non_blocking": True}
    return Batch(
        images=torch.from_numpy(source.read(items, rng, sites=sites)).to(**move),
        mean=torch.from_numpy(np.stack([source.pixels[code].mean for code in codes])).to(**move),
        std=torch.from_numpy(np.stack([source.pixels[code].std for code in codes])).to(**move),
        well=torch.from_numpy(source.well[items]).to(**move),
        sites=sites,
    )


def kept(paths: Sequence[str | Path]) -> list[int]:
    """Numbers of the tables whose plate's verdict is keep; an error when there is none."""
    verdicts = [tables.verdict(path) for path in paths]
    for path, verdict in zip(paths, verdicts, strict=True):
        if not verdict.keep:
            logger.info("%s is left out of training: %s", Path(path).name, "; ".join(verdict.reasons))
    numbers = [number for number, verdict in enumerate(verdicts) if verdict.keep]
    if not numbers:
        raise ValueError(f"training set: expected at least one usable plate, found none of {[str(p) for p in paths]}")
    return numbers


def manifest(source: Source) -> dict:
    """What an encoder was trained on: plates, numbers of wells and items, and a digest of every item and scale."""
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
    """Digest of everything that decides a run's result; parts are JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
