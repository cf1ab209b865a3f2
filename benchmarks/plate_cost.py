"""What a JUMP plate costs on each kind of engine: core-hours, GPU-hours, bytes that travel, and money at given prices.

A plate is 384 wells x 9 sites x 5 channels of 1080 x 1080 px, 200 cells a field. Core-seconds are the rates
of docs/benchmarks/speed.md (largest figures, one core); those of segmentation and of packing a plate are
measured here. Bytes are those of the README. A job takes `START` core-seconds around its script. On a cluster with a
shared folder nothing travels. Without one, each job waits for its inputs and outputs at `--rate`, with its cores
allotted; one JUMP plate in a store is read twice by `survey` and `images`. A GPU is allotted while a job of 8 cores
embeds: as long as its cells are read, which a small network does not exceed. Training is not of a plate, so it is left
out. Prices are arguments, since providers change them: the table shows what each part contributes.

    python benchmarks/plate_cost.py [--quick] [--core-hour 0.05] [--gpu-hour 1.0] [--gigabyte-month 0.023]
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from measure import simulated  # noqa: E402

from wellspring.cells import segment  # noqa: E402
from wellspring.io import zipped  # noqa: E402

FIELDS, IMAGES, CELLS = 384 * 9, 384 * 9 * 5, 384 * 9 * 200
START = 10  # core-seconds in which Snakemake starts twice around a script
RAW, STORED, LABELS, CROPS, EMBEDDED = 40.3, 29.0, 1.2, 3.5, 0.5  # GB
RATES = {"survey": 0.0146, "images": 0.0077}  # core-seconds per image
MEASURED = 1.4  # core-seconds per field of classical features
CUT = 15700.0  # cells per second and core that are cut from stored fields
DIAMETER = 24.0
# Name, whether files travel through a store, and the cores of the smallest machine of the shipped profile.
ENGINES = (("SLURM, LSF, PBS, Grid Engine", False, 1), ("Kubernetes, AWS Batch", True, 1), ("Google Batch", True, 4))


@dataclass(frozen=True)
class Stage:
    """A stage of a plate: its cores, core-seconds of work, and GB that it gets and gives where jobs share no folder."""

    name: str
    cores: int
    seconds: float
    gets: float
    gives: float
    gpus: int = 0


def segmentation(fields: int) -> float:
    """Return core-seconds per field of segmenting nuclei and cells without weights."""
    rng = np.random.default_rng(11)
    times = []
    for _ in range(fields):
        pixels, _, _ = simulated(rng, cells=200)
        dna, cytoplasm = (np.rint(1000 * pixels[channel] + 300).astype(np.uint16) for channel in (0, 3))
        start = time.process_time()
        segment.threshold(dna, cytoplasm, options=segment.Options(diameter=DIAMETER))
        times.append(time.process_time() - start)
    return float(np.median(times))


def packing(megabytes: int) -> tuple[float, float]:
    """Return core-seconds per GB of packing a plate into an archive and of unpacking it."""
    with tempfile.TemporaryDirectory() as place:
        folder, archive = Path(place) / "P1.zarr", Path(place) / "P1.ozx"
        content = np.random.default_rng(0).bytes(2**20)
        for number in range(megabytes):
            file = folder / f"{number:05d}"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        found = []
        for work in (lambda: zipped.pack(folder, archive), lambda: zipped.unpack(archive, Path(place) / "out")):
            start = time.process_time()
            work()
            found.append((time.process_time() - start) / (megabytes * 2**20 / 1e9))
        return found[0], found[1]


def stages(field: float) -> list[Stage]:
    """Return the stages of a plate, with one encoder of cells and classical features, by the seconds of a field."""
    read = CELLS / CUT
    return [
        Stage("survey", 4, RATES["survey"] * IMAGES, RAW, 0.3),
        Stage("images", 4, RATES["images"] * IMAGES, RAW, STORED),
        Stage("cells", 1, field * FIELDS, STORED, LABELS),
        Stage("crops", 1, read * 38400 / CELLS, STORED, CROPS),
        Stage("embed", 8, read, STORED, EMBEDDED, gpus=1),
        Stage("measure", 4, MEASURED * FIELDS, STORED + LABELS, EMBEDDED),
        Stage("others", 1, 60.0, 1.0, 0.1),
    ]


def cost(found: list[Stage], *, rate: float | None, pack: float, unpack: float, least: int = 1) -> pd.DataFrame:
    """Return the allotted core-hours and GPU-hours, and the GB that travel, of each stage.

    Parameters
    ----------
    rate
        GB per second between store and job; None where jobs share a folder.
    pack, unpack
        Core-seconds per GB.
    least
        Cores of the smallest machine that a job can have.
    """
    rows = []
    for stage in found:
        work = stage.seconds / stage.cores + START
        moved = 0.0 if rate is None else stage.gets + stage.gives
        zips = STORED * pack if stage.name == "images" else STORED * unpack if STORED <= stage.gets < RAW else 0.0
        wait = 0.0 if rate is None else moved / rate + zips
        if rate is not None and stage.name in RATES:
            wait -= RAW / rate  # raw images are read from the store while others are measured, whoever runs it
        hours = (work + wait) / 3600
        rows.append((stage.name, max(stage.cores, least) * hours, stage.gpus * hours, moved))
    return pd.DataFrame(rows, columns=["stage", "core_hours", "gpu_hours", "gigabytes"])


def main() -> None:
    """Print a table per engine, the price, and last one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 fields, and 200 MB of an archive")
    parser.add_argument("--rate", type=float, default=0.25, help="GB per second between a store and a job")
    parser.add_argument("--core-hour", type=float, default=0.05, help="price")
    parser.add_argument("--gpu-hour", type=float, default=1.0, help="price")
    parser.add_argument("--gigabyte-month", type=float, default=0.023, help="price of a store")
    arguments = parser.parse_args()
    field = segmentation(5 if arguments.quick else 15)
    pack, unpack = packing(200 if arguments.quick else 1000)
    print(f"segmentation {field:.2f} core-seconds per field; archive {pack:.2f} and {unpack:.2f} core-seconds per GB")
    line = {"benchmark": "plate_cost", "quick": arguments.quick, "cells.core_seconds_per_field": round(field, 3)}
    line |= {"pack.core_seconds_per_gb": round(pack, 3), "unpack.core_seconds_per_gb": round(unpack, 3)}
    rows = []
    for name, rate, least in ENGINES:
        speed = arguments.rate if rate else None
        table = cost(stages(field), rate=speed, pack=pack, unpack=unpack, least=least)
        print(f"\n{name}\n{table.round(3).to_string(index=False)}")
        whole = table.sum(numeric_only=True)
        price = whole["core_hours"] * arguments.core_hour + whole["gpu_hours"] * arguments.gpu_hour
        kept = STORED + LABELS + CROPS + 2 * EMBEDDED
        rows.append(
            {"engine": name, **whole.round(2), "price": price, "store_per_month": kept * arguments.gigabyte_month}
        )
        line |= {
            f"{name.split(',')[0].replace(' ', '_')}.{key}": round(float(value), 3)
            for key, value in rows[-1].items()
            if key != "engine"
        }
    print(f"\n{pd.DataFrame(rows).round(2).to_string(index=False)}")
    print(json.dumps(line))


if __name__ == "__main__":
    main()
