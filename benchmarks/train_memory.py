"""How much memory training takes: of the host by the number of images, of the device by the batch.

Claim: the host's memory is flat in the number of images: the peak of a process that trains on 16 N images is at most
1.1 times that of one that trains on N, for packed crops of cells and for fields that are read block by block. A larger
ratio refutes it. Beside it stand the same fields kept in memory (train.cache_mb), which must grow by their own size.

Each run is a process of its own with as many steps as it takes to see every image of 16 N once; `peak` is its largest
resident memory, `anonymous` the part of it that no file backs (sampled every 20 ms), `start` what it held before
training began: interpreter, torch and what they load.

On a GPU the second table is what torch allocated at most, by network and batch. Without one it has the growth of the
process's resident memory in its place, from before the network was built: a stand-in with the allocator's slack, told
as such, and at batches that a CPU can do.

    python benchmarks/train_memory.py [--quick] [--threads 2]

In the JSON line `host.<kind>.<N>.<figure>` are MB, `host.<kind>.ratio` is 16 N over N, and
`device.<network>.<batch>.mb` is null where a step did not fit.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.encoders import encoder  # noqa: E402
from wellspring.screen.config import presets  # noqa: E402
from wellspring.screen.sections import Encoder, Train, read  # noqa: E402
from wellspring.simulate.traits import CHANNELS  # noqa: E402
from wellspring.train import run  # noqa: E402
from wellspring.train.hardware import TooLarge  # noqa: E402

TINY = {"embed_dim": 32, "depth": 1, "num_heads": 2, "patch_size": 16}  # the images are what is measured
CELLS = {
    "kind": "simclr",
    "view": {"kind": "cell", "size": 64},
    "backbone": "vit_tiny_patch16_224",
    "backbone_options": TINY,
    "local_aggregation": {"kind": "none"},  # every image once per epoch
    "augmentation": {"preset": "flips"},
    "batch": 64,
}
TILES = {
    "kind": "sslprofiler",
    "view": {"kind": "tile", "size": 64},
    "backbone": "vit_tiny_patch16_224",
    "backbone_options": TINY,
    "local_aggregation": {"kind": "none"},
    "augmentation": {"preset": "flips"},
    "batch": 4,
    "distillation": {"global_size": 32, "local_size": 16, "local_count": 2, "prototypes": 64, "hidden": 64},
}
# Kind: entry, train.cache_mb, N of the quick and of the full run.
HOST = {"cells": (CELLS, 4000, (512, 1024)), "fields": (TILES, 0, (4, 8)), "fields_cached": (TILES, 4000, (4, 8))}
SIDE, CROP = 1080, 96
TIMES = (1, 4, 16)
DEFAULT = {"kind": "sslprofiler"}  # 2 crops of 224 px and 8 of 96, as the defaults are
# Network: entry, batches on a GPU, on a CPU, on a CPU in a quick run.
DEVICE = {
    "demo": (presets()["demo.sslprofiler_tiles"], (32, 64, 128, 256, 512), (16, 32, 64, 128), (16, 64)),
    "vit_small": (DEFAULT | {"backbone": "vit_small_patch16_224"}, (16, 32, 64, 128, 256), (2, 4, 8), (2,)),
    "vit_base": (DEFAULT | {"backbone": "vit_base_patch16_224"}, (16, 32, 64, 128), (2, 4), (2,)),
}
STEPS = 3  # of a run of the second table: the optimiser's state is there after the first


def train(job: Mapping[str, object]) -> dict[str, float]:
    """Train as `job` asks, in this process; return its memory in MB."""
    torch.set_num_threads(job["threads"])
    device = encoder.device()
    start = plates.memory("VmRSS")
    with _sampled("RssAnon") as most:
        run.run(
            read(Encoder, job["entry"]),
            plates.source(job["entry"], job["paths"], options=job["options"]),
            name="memory",
            channels=list(CHANNELS),
            seed=0,
            options=read(Train, job["options"]),
            checkpoint=Path(job["folder"]) / "checkpoint.pt",
        )
    peak = plates.memory("VmHWM")
    found = {"peak": peak, "anonymous": max(most), "start": start, "growth": peak - start}
    if device.type == "cuda":
        found["device"] = torch.cuda.max_memory_allocated(device) / 1e6
    return found


def alone(job: Mapping[str, object]) -> dict[str, float] | None:
    """Return what `train` does, in a process of its own; None where a step does not fit in the device's memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply(train, (dict(job),))
        except TooLarge:
            return None


def host(folder: Path, pool: list, *, quick: bool, threads: int, options: Mapping) -> dict[str, float]:
    """Return the figures of the first table."""
    found: dict[str, float] = {}
    for kind, (entry, cache, counts) in HOST.items():
        least = counts[0 if quick else 1]
        steps = least * TIMES[-1] // entry["batch"]
        resolved = plates.settings({kind: entry | {"steps": steps}})["encoders"][kind]
        peaks = []
        for times in TIMES:
            count, place = times * least, folder / f"{kind.split('_')[0]}{times}"
            if not place.exists():
                make = plates.crops if kind == "cells" else plates.fields
                make(place, pool, count, **({"size": CROP} if kind == "cells" else {}))
            paths = _paths(place, kind)
            job = {"entry": resolved, "paths": paths, "options": dict(options) | {"cache_mb": cache}}
            row = alone(job | {"threads": threads, "folder": str(folder)})
            peaks.append(row["peak"])
            figures = {key: row[key] for key in ("peak", "anonymous", "start")}
            found |= {f"host.{kind}.{count}.{key}_mb": value for key, value in figures.items()}
            size = CROP if kind == "cells" else SIDE
            print(
                f"{kind:14}{count:8d}{count * size**2 * len(CHANNELS) * 2 / 1e6:10.0f}{steps:7d}"
                f"{row['peak']:9.0f}{row['anonymous']:11.0f}{row['start']:8.0f}",
                flush=True,
            )
        found[f"host.{kind}.ratio"] = peaks[-1] / peaks[0]
    return found


def device(folder: Path, pool: list, *, quick: bool, threads: int, options: Mapping) -> dict[str, float | None]:
    """Return the figures of the second table."""
    place, found = folder / "fields1", {}
    big = torch.cuda.is_available()
    further = dict(options) | {"precision": "bfloat16" if big else options["precision"], "cache_mb": 4000}
    for name, (entry, *batches) in DEVICE.items():
        for batch in batches[0 if big else 2 if quick else 1]:
            resolved = plates.settings({name: dict(entry) | {"batch": batch, "steps": STEPS}})["encoders"][name]
            job = {"entry": resolved, "paths": _paths(place, "fields"), "options": further}
            row = alone(job | {"threads": threads, "folder": str(folder)})
            value = None if row is None else row["device" if big else "growth"]
            found[f"device.{name}.{batch}.mb"] = value
            print(f"{name:14}{batch:8d}" + ("  does not fit" if value is None else f"{value:10.0f}"), flush=True)
    return found


def main() -> None:
    """Measure, print both tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half as many images, and small batches")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    options = plates.settings({"cells": CELLS})["train"] | {"checkpoint_minutes": 1e6}
    how = {"quick": arguments.quick, "threads": arguments.threads, "options": options}
    before = plates.load()
    with tempfile.TemporaryDirectory() as temporary:
        folder, pool = Path(temporary), plates.drawn(SIDE)
        print(f"{'host':14}{'images':>8}{'they, MB':>10}{'steps':>7}{'peak, MB':>9}{'anonymous':>11}{'start':>8}")
        found: dict[str, float | None] = host(folder, pool, **how)
        for kind in HOST:
            print(f"{kind}: 16 N over N {found[f'host.{kind}.ratio']:.3f}")
        big = torch.cuda.is_available()
        what = "allocated on the GPU" if big else "growth of the process's memory, a stand-in for a GPU's"
        print(f"\nMB by batch: {what}")
        found |= device(folder, pool, **how)
    known = {"device": plates.device_name(encoder.device()), "threads": arguments.threads, "on_gpu": big}
    print(f"{known['device']}; {before}, at the end {plates.load()}")
    rounded = {key: None if value is None else round(value, 4) for key, value in found.items()}
    print(json.dumps({"benchmark": "train_memory", "quick": arguments.quick} | known | rounded))


def _paths(place: Path, kind: str) -> dict[str, list[Path]]:
    """Return the paths that `plates.crops` or `plates.fields` wrote in a folder."""
    stem = place / plates.PLATE
    if kind == "cells":
        further = {"crops": [stem.with_suffix(".npy")], "crop_tables": [stem.with_suffix(".crops.parquet")]}
    else:
        further = {"images": [stem.with_suffix(".zarr")]}
    return {"intensity": [stem.with_suffix(".parquet")]} | further


@contextmanager
def _sampled(name: str, *, every: float = 0.02) -> Iterator[list[float]]:
    """Give a list whose largest member is the most that a figure was until now."""
    most, stop = [plates.memory(name)], threading.Event()

    def sample() -> None:
        while not stop.wait(every):
            most[0] = max(most[0], plates.memory(name))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
