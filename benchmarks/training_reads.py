"""How many images per second training reads, and how many cores a GPU of 2,500 views per second takes for it.

Claim. Eight readers, the largest number that the training loop starts, read the images of 2,500 views per second of
ViT-S, about the rate of one modern GPU: as packed cells, and as blocks of stored fields that are decoded when they are
needed. Refuted by more than 8 cores for one of the settings.

Measured is one reader alone, on files that lie in the page cache: images of five channels, read, cut and scaled to
float32 as a step's batch is, in processor time. Two readers side by side show whether threads hinder each other: their
rate over twice that of one, where two cores are free. An image gives as many views as the objective makes of it: two of
SimCLR, the global and local crops of SSLProfiler; augmentation of views is on the device and not in these figures. A
disk has to deliver the bytes: `megabytes_a_second` are those of the stored file, at that rate.

    python benchmarks/training_reads.py [--quick] [--seed 11]

In the JSON line, by setting: `images_a_processor_second`, `processor_ms`, `views` of an image, `cores` for 2,500 views
per second, `megabytes_a_second`, and `two_threads`.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.screen.sections import Encoder, read  # noqa: E402
from wellspring.train.reading import READERS  # noqa: E402
from wellspring.train.sources import Source  # noqa: E402

GOAL = 2500  # views per second
SIDE, CROP, BATCH = 1080, 128, 64
SMALL = {"backbone": "vit_small_patch16_224"}
# Name: entry; cells are cut from packed crops of CROP px, tiles from stored fields of SIDE px.
SETTINGS = {
    "simclr_cells": SMALL | {"kind": "simclr", "view": {"kind": "cell", "size": 96}},
    "sslprofiler_cells": SMALL | {"kind": "sslprofiler", "view": {"kind": "cell", "size": 96}},
    "simclr_tiles": SMALL | {"kind": "simclr", "view": {"kind": "tile", "size": 224}},
    "sslprofiler_tiles": SMALL | {"kind": "sslprofiler", "view": {"kind": "tile", "size": 448}},
}


def views(entry: Mapping) -> int:
    """Return the number of views that the objective makes of an image."""
    return 2 if entry["kind"] == "simclr" else 2 + read(Encoder, entry).distillation.local_count


def reader(source: Source, *, batches: int, seed: int) -> int:
    """Read so many batches of random items; return the number of images."""
    rng = np.random.default_rng(seed)
    return sum(len(source.read(rng.integers(len(source.frame), size=BATCH), rng)) for _ in range(batches))


def rates(source: Source, *, batches: int, repeats: int, seed: int) -> dict[str, float]:
    """Return images per processor second of one reader, and what two side by side read over twice that by the clock."""
    reader(source, batches=1, seed=seed)
    spent, one, two = [], [], []
    with ThreadPoolExecutor(2) as pool:
        for turn in range(repeats):
            start, used = time.perf_counter(), time.process_time()
            count = reader(source, batches=batches, seed=seed + turn)
            spent.append((time.process_time() - used) / count)
            one.append(time.perf_counter() - start)
            start = time.perf_counter()
            list(pool.map(lambda at: reader(source, batches=batches, seed=at), (seed + turn, seed + turn + 1000)))
            two.append(time.perf_counter() - start)
    each = float(np.median(spent))
    side = float(np.median(np.array(one) / np.array(two)))
    return {"images_a_processor_second": 1 / each, "processor_ms": 1e3 * each, "two_threads": side}


def measure(folder: Path, *, fields: int, cells: int, batches: int, repeats: int, seed: int) -> dict[str, dict]:
    """Make a plate and its crops, and measure each setting."""
    pool = plates.drawn(SIDE, seed=seed)
    stored = plates.fields(folder / "fields", pool, fields)
    packed = plates.crops(folder / "cells", pool, cells, size=CROP)
    found = {}
    for name, given in SETTINGS.items():
        options = plates.settings({name: given})
        entry, train = options["encoders"][name], options["train"] | {"cache_mb": 0}
        tiles = entry["view"]["kind"] == "tile"
        source = plates.source(entry, stored if tiles else packed, options=train)
        row = rates(source, batches=batches, repeats=repeats, seed=seed)
        made = views(entry)
        images = GOAL / made
        row |= {"views": made, "cores": images / row["images_a_processor_second"]}
        if tiles:  # by area: whole blocks of the store are read, which is a little more
            size = sum(path.stat().st_size for path in stored["images"][0].rglob("*") if path.is_file()) / fields
            share = (entry["view"]["size"] / SIDE) ** 2
        else:
            size, share = packed["crops"][0].stat().st_size / cells, 1.0
        found[name] = row | {"megabytes_a_second": images * size * share / 1e6}
    return found


def main() -> None:
    """Print a row per setting and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer fields and turns")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    sizes = {"fields": 12, "cells": 1024, "batches": 2, "repeats": 3}
    if not arguments.quick:
        sizes = {"fields": 48, "cells": 8192, "batches": 8, "repeats": 7}
    before = plates.load()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), **sizes, seed=arguments.seed)
    print(pd.DataFrame(found).T.round(2).to_string())
    print(f"for {GOAL} views per second; at most {READERS} readers; {before}, at the end {plates.load()}")
    line: dict[str, object] = {"benchmark": "training_reads", "quick": arguments.quick, "seed": arguments.seed}
    line |= {f"{name}.{key}": round(value, 4) for name, row in found.items() for key, value in row.items()}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
