"""How fast a plate is embedded, beside the bare network, and how much memory it takes.

Claim: embedding from a stored plate runs at 0.90 or more of the rate of the timm network alone, fed with tensors that
lie on the device already; and the host's memory does not grow with the number of views. A lower ratio, or more memory
for four times the views, refutes it. Measured is all that rule `embed` does once its modules are loaded: reading and
decoding OME-Zarr, foreground, cutting, scaling, the network, and writing the table. Both sides have the same batch, the
same kind of arithmetic and the same threads, take turns in one process, and the ratio is the median of the turns'. The
ratio of processor time beside it shows what remains on a machine without idle cores, and holds beside other jobs too.

    python benchmarks/embed_rate.py [--quick] [--threads 2] [--seed 11] [--device cpu]
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the workflow

import numpy as np
import pandas as pd
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.embed import run as embed  # noqa: E402
from wellspring.encoders import encoder  # noqa: E402
from wellspring.io import embeddings, ngff, tables  # noqa: E402
from wellspring.screen import config, sections  # noqa: E402
from wellspring.screen.sections import Embed  # noqa: E402
from wellspring.simulate.traits import CHANNELS  # noqa: E402
from wellspring.views import scaling  # noqa: E402

TINY = {"embed_dim": 128, "depth": 4, "num_heads": 4, "patch_size": 8}
DENSITY = 40 / 400**2  # cells per pixel, as on the demo screen
GPU_BATCH = 256
# Of the config section `embed`, beside batch and precision of a run.
OPTIONS = {"leave_out": [], "least_foreground": 0.02}
# Views of a card (edge in px), its network, the fields' edge; how many fields on a CPU, in a quick run, on a GPU; and
# the batch on a CPU, by which a plate of so few views is several batches as a real one is.
SETTINGS = {
    "vit_small.tiles": ("tile", 224, "vit_small_patch16_224", {}, 1080, (6, 2, 240), 16),
    "vit_small.cells": ("cell", 96, "vit_small_patch16_224", {}, 400, (4, 1, 500), 16),
    "demo_tiny.tiles": ("tile", 64, "vit_tiny_patch16_224", TINY, 400, (160, 48, 960), 256),
    "demo_tiny.cells": ("cell", 40, "vit_tiny_patch16_224", TINY, 400, (160, 48, 960), 256),
}


def known(kind: str, size: int, backbone: str, options: Mapping[str, object]) -> encoder.Encoder:
    """Build an untrained encoder with its card; cells of ViT-S/16 are resized to the 224 px it takes in."""
    taken = 224 if backbone.startswith("vit_small") else size
    card = {"kind": "timm", "channels": list(CHANNELS), "input_size": taken}
    card["view"] = {"kind": kind, "size": size, "window": None}
    network = encoder.build(backbone, channels=len(CHANNELS), size=taken, options=options)
    return encoder.Encoder(network.eval().requires_grad_(False), card)


def cells_of(plate: ngff.PlateImages, *, seed: int) -> pd.DataFrame:
    """Return a table `cells` with cells anywhere in the fields, as many as on the demo screen."""
    side = plate.shape[-1]
    count = round(DENSITY * side**2)
    parts = []
    for number, (well, site) in enumerate(plate.fields):
        centres = np.random.default_rng([seed, number]).uniform(0, side - 1, (count, 2))
        part = pd.DataFrame(centres, columns=["Metadata_Center_Y", "Metadata_Center_X"])
        parts.append(part.assign(Metadata_Well=well, Metadata_Site=site, Metadata_Cell=np.arange(count) + 1))
    return pd.concat(parts, ignore_index=True).assign(Metadata_Flags="")


def section(**over: object) -> Embed:
    """Return the config section `embed` with the options of this benchmark and of one of its runs."""
    return sections.read(Embed, config.fill({"encoders": {}, "embed": {**OPTIONS, **over}})["embed"])


def stage(
    network: encoder.Encoder,
    paths: Mapping[str, list[Path]],
    cells: pd.DataFrame | None,
    out: Path,
    *,
    device: torch.device,
    **options,
) -> int:
    """Do what the script of rule `embed` does; return the number of views."""
    scale = scaling.intensity_scale(tables.read(paths["intensity"][0]), network.channels)
    plate = embed.PlateInputs(ngff.open_plate(paths["images"][0]), scale, cells)
    parts = embed.stream(network, plate, section(**options), device=device)
    return embeddings.write_parts(parts, out, table="embed", provenance={})


def bare(network: encoder.Encoder, views: int, *, device: torch.device, precision: str, batch: int) -> None:
    """Run the network alone on as many images, which are on the device."""
    size = network.card["input_size"]
    images = torch.randn(min(batch, views), len(CHANNELS), size, size, device=device)
    model = network.network.to(device)
    with torch.inference_mode(), encoder.precise(device, precision):
        for start in range(0, views, batch):
            model(images[: views - start])
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rates(
    network: encoder.Encoder, paths: Mapping[str, list[Path]], folder: Path, *, repeats: int, seed: int, **options
) -> dict[str, float]:
    """Measure both sides in turns: images per second of each, the median ratio and its extremes."""
    plate = ngff.open_plate(paths["images"][0])
    cells = cells_of(plate, seed=seed) if network.card["view"]["kind"] == "cell" else None
    views = stage(network, paths, cells, folder / "embed.parquet", **options)  # the first turn warms up, uncounted
    bare(network, views, **options)
    seconds: dict[str, list[float]] = {"embed": [], "bare": []}
    processor: dict[str, list[float]] = {"embed": [], "bare": []}
    for turn in range(repeats):
        for side in ("embed", "bare") if turn % 2 else ("bare", "embed"):
            start, used = time.perf_counter(), time.process_time()
            if side == "embed":
                stage(network, paths, cells, folder / "embed.parquet", **options)
            else:
                bare(network, views, **options)
            seconds[side].append(time.perf_counter() - start)
            processor[side].append(time.process_time() - used)
    return {
        "views": views,
        "images_a_second_embed": views / float(np.median(seconds["embed"])),
        "images_a_second_bare": views / float(np.median(seconds["bare"])),
        **plates.ratios(*(np.array(seconds[side]) for side in ("bare", "embed"))),
        "processor_ratio": float(np.median(np.array(processor["bare"]) / np.array(processor["embed"]))),
        "repeats": repeats,
    }


def memory(paths: Mapping[str, list[Path]], fields: int, *, threads: int, seed: int) -> dict[str, float]:
    """Embed cells of so many fields in a process of its own; return the views and the peak of its memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        views, peak = pool.apply(_peak, (dict(paths), fields, threads, seed))
    return {"views": views, "peak_mb": peak}


def _peak(paths: dict[str, list[Path]], fields: int, threads: int, seed: int) -> tuple[int, float]:
    torch.set_num_threads(threads)
    network = known(*SETTINGS["demo_tiny.cells"][:4])
    scales = scaling.intensity_scale(tables.read(paths["intensity"][0]), network.channels)
    plate = ngff.open_plate(paths["images"][0])
    plate = replace(plate, fields=plate.fields[:fields])
    with tempfile.TemporaryDirectory() as folder:
        # Wide vectors, so that a few thousand views are several row groups.
        options = section(dtype="float32", tokens="class_and_patches", layers=4, batch=256)
        inputs = embed.PlateInputs(plate, scales, cells_of(plate, seed=seed))
        parts = embed.stream(network, inputs, options, device=torch.device("cpu"))
        views = embeddings.write_parts(parts, Path(folder) / "embed.parquet", table="embed", provenance={})
    return views, plates.memory()


def main() -> None:
    """Print a row a setting and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer fields and repeats")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=SETTINGS, help="one setting")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    encoder.device()  # the switches of the stage
    device = torch.device(arguments.device)
    precision = "bfloat16" if device.type == "cuda" else "float32"
    repeats = 3 if arguments.quick else 7
    rows, before = {}, plates.load()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, (kind, size, backbone, options, side, counts, batch) in SETTINGS.items():
            if arguments.only not in (None, name):
                continue
            count = counts[2] if device.type == "cuda" else counts[1] if arguments.quick else counts[0]
            paths = plates.fields(folder / name, plates.drawn(side, seed=arguments.seed), count)
            network = known(kind, size, backbone, options)
            how = {"device": device, "precision": precision, "batch": GPU_BATCH if device.type == "cuda" else batch}
            rows[name] = rates(network, paths, folder, repeats=repeats, seed=arguments.seed, **how)
        few = 80 if arguments.quick else 320
        paths = plates.fields(folder / "memory", plates.drawn(400, seed=arguments.seed), 4 * few)
        held = {
            name: memory(paths, count, threads=arguments.threads, seed=arguments.seed)
            for name, count in (("few", few), ("many", 4 * few))
        }
    print(pd.DataFrame(rows).T.round(3).to_string())
    print(pd.DataFrame(held).T.round(0).to_string())
    print(
        f"{plates.device_name(device)}, {arguments.threads} threads, {precision}; {before}, at the end {plates.load()}"
    )
    figures = {f"{name}.{key}": round(value, 4) for name, row in rows.items() for key, value in row.items()}
    figures |= {f"memory.{name}.{key}": round(value, 1) for name, row in held.items() for key, value in row.items()}
    figures["memory.peak_ratio"] = round(held["many"]["peak_mb"] / held["few"]["peak_mb"], 4)
    known_here = {"device": plates.device_name(device), "threads": arguments.threads, "precision": precision}
    print(
        json.dumps({"benchmark": "embed_rate", "quick": arguments.quick, "seed": arguments.seed} | known_here | figures)
    )


if __name__ == "__main__":
    main()
