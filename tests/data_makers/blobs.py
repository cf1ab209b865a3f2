"""Tiny plates of blobs: the inputs of training and embedding, in the format of the earlier stages."""

from pathlib import Path

import numpy as np
import pandas as pd

from options import encoder, options
from wellspring.io import ngff, tables
from wellspring.io.provenance import file_digest
from wellspring.screen.sections import Encoder
from wellspring.views import cutting, intensity


def entry(**over) -> Encoder:
    """Return an encoder small enough for a test; nested dicts of `over` are merged."""
    small = {
        "kind": "simclr",
        "backbone": "vit_tiny_patch16_224",
        "backbone_options": {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
        "view": {"kind": "cell", "size": 24},
        "steps": 4,
        "batch": 8,
        "projector": {"hidden": 16, "out": 8},
        "distillation": {
            "global_size": 24,
            "local_size": 16,
            "local_count": 2,
            "prototypes": 16,
            "hidden": 32,
            "bottleneck": 8,
        },
    }
    for key, value in over.items():
        small[key] = {**small.get(key, {}), **value} if isinstance(value, dict) else value
    return encoder(**small)


def weights(path: str | Path) -> dict[str, str]:
    """Return the config entry of a weights file."""
    return {"path": str(path), "sha256": file_digest(path)}


def plate(
    folder: Path,
    name: str = "P1",
    *,
    channels: list[str],
    wells: tuple[str, ...] = ("B02", "B03", "C02"),
    sites: tuple[str, ...] = ("1", "2"),
    side: int = 96,
    width: int | None = None,
    cells: int = 8,
    crop: int = 32,
    seed: int = 0,
    verdict: tables.Verdict | None = None,
) -> dict[str, Path]:
    """Write a plate's store, intensity table, cells, packed crops and their table; returns the paths.

    Fields are `side` x `width` px, square without `width`.
    """
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "images": folder / f"{name}.zarr",
        "intensity": folder / f"{name}.parquet",
        "cells": folder / f"{name}.cells.parquet",
        "crops": folder / f"{name}.npy",
        "crop_tables": folder / f"{name}.crops.parquet",
    }
    rows, packed = [], []
    counts = np.zeros((len(channels), intensity.LEVELS), dtype=np.int64)
    shape = side, width or side
    rows_of_pixels, columns_of_pixels = np.ogrid[: shape[0], : shape[1]]
    with ngff.PlateWriter(paths["images"], plate=name, channels=channels) as writer:
        for number, well in enumerate(wells):
            for site in sites:
                field = rng.normal(120, 5, (len(channels), *shape))
                centres = rng.uniform(8, np.array(shape) - 8, (cells, 2))
                for label, (y, x) in enumerate(centres, start=1):
                    sigma = rng.uniform(3, 5) * (1 + 0.1 * number)
                    blob = np.exp(-((rows_of_pixels - y) ** 2 + (columns_of_pixels - x) ** 2) / (2 * sigma**2))
                    field += blob * rng.uniform(300, 900, (len(channels), 1, 1))
                    rows.append((name, well, site, label, y, x, "border" if min(y, x) < 12 else ""))
                field = np.clip(np.rint(field), 0, 65535).astype(np.uint16)
                writer.write(well, site, field)
                counts += intensity.counts(field)
                packed.append(cutting.cut(field, centres, crop))
    frame = pd.DataFrame(
        rows,
        columns=[f"Metadata_{column}" for column in ("Plate", "Well", "Site", "Cell", "Center_Y", "Center_X", "Flags")],
    )
    fields = len(wells) * len(sites)
    scales = intensity.summarise(counts, plate=name, channels=channels, fields=fields)
    scales["Metadata_Pixel_Size"] = np.nan
    tables.write(scales, paths["intensity"], table="intensity", provenance={}, verdict=verdict)
    frame.to_parquet(paths["cells"])
    crops = frame.drop(columns="Metadata_Flags").assign(Metadata_Row=np.arange(len(frame)), Metadata_Batch="1")
    of = {"channels": channels}
    tables.write(crops, paths["crop_tables"], table="crops", provenance=of, verdict=verdict)
    stacked = np.concatenate(packed) if packed else np.empty((0, len(channels), crop, crop), np.uint16)
    np.save(paths["crops"], stacked)
    return paths


def screen(
    folder: Path, *, channels: list[str], names: tuple[str, ...] = ("P1", "P2"), **over
) -> dict[str, list[Path]]:
    """Write several plates; returns lists of paths by kind."""
    plates = [plate(folder, name, channels=channels, **over) for name in names]
    return {kind: [each[kind] for each in plates] for kind in plates[0]}


def source(paths: dict[str, list[Path]], entry: Encoder, *, channels: list[str], **over):
    """Open the training set of an encoder; `over` are options of the section `train`."""
    from wellspring.train.data import open_source

    kinds = {kind: paths[kind] for kind in ("images", "intensity", "crops", "crop_tables")}
    lacking = entry.stem == "adaptive"
    return open_source(entry.view, options("train", **over), channels=channels, lacking=lacking, **kinds)
