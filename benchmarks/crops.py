"""How fast cells reach an encoder, beside the bare decoding of the store and a bare memory-mapped array.

How much of the bare rate is left (1) of embedding, which reads a field once and cuts all its cells, beside merely
decompressing the same fields, chunk by chunk, not put together; (2) of training, which reads packed crops in random
order, beside copying the same items out of a memory-mapped array. The aim is 0.8 of each. Claim (3): the memory of both
does not grow with the number of cells; more of it for four times the cells refutes it. The squares of 96 px around 290
cells hold 2.3 times the pixels of their field, those of 64 px as many.

Both sides take turns in one process on the same files, which lie in the page cache, with one thread; a ratio is the
median of the turns'. The ratio of processor time holds beside other jobs too.

    python benchmarks/crops.py [--quick] [--seed 11]
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402
from embed_rate import cells_of  # noqa: E402

from wellspring.io import ngff, zarr_shard  # noqa: E402
from wellspring.io.packed import Packed  # noqa: E402
from wellspring.views import crops, fields  # noqa: E402

SIDE = 1080
SIZES = (96, 64)  # the edge of `crops.size` at 20x, and a smaller one, px


def embedding(plate: ngff.PlateImages, cells: pd.DataFrame, *, size: int) -> int:
    """Read each field and cut its cells as rule `embed` does; return the number of crops."""
    return sum(len(part.numbers) for part in fields.cells(plate, cells, plate.channels, size=size))


def decoding(plate: ngff.PlateImages) -> int:
    """Decompress every chunk of every field, one behind the other; return the number of bytes."""
    total = 0
    for well, site in plate.fields:
        folder = plate.path / ngff.path_of(well, site) / "0"
        layout = zarr_shard.describe((folder / "zarr.json").read_bytes())
        stored = memoryview((folder / "c" / "0" / "0" / "0").read_bytes())
        count = int(np.prod(layout.chunks))
        index = np.frombuffer(stored[-count * zarr_shard.ENTRY - zarr_shard.CHECK : -zarr_shard.CHECK], dtype="<u8")
        chunks = np.empty((count, int(np.prod(layout.tile)) * layout.dtype.itemsize), dtype=np.uint8)
        for chunk, (offset, length) in zip(chunks, index.reshape(-1, 2).tolist(), strict=True):
            imagecodecs.blosc_decode(stored[offset : offset + length], out=chunk, numthreads=1)
        total += chunks.nbytes
    return total


def packed(path: Path, order: np.ndarray) -> int:
    """Read packed crops one by one as training does; return the number of bytes."""
    array = Packed(path)
    return sum(array.read(item).nbytes for item in order.tolist())


def mapped(path: Path, order: np.ndarray) -> int:
    """Copy the same items out of a memory-mapped array; return the number of bytes."""
    array = np.load(path, mmap_mode="r")
    return sum(np.array(array[item]).nbytes for item in order.tolist())


def memory(folder: Path, plate: ngff.PlateImages, count: int, *, seed: int) -> dict[str, float]:
    """Cut the cells of so many fields, and read them packed, in a process of its own; return its peak memory."""
    plate = replace(plate, fields=plate.fields[:count])
    cells = cells_of(plate, seed=seed).assign(Metadata_Plate=plate.plate)
    rows = crops.sample(cells, seed=seed, cells_per_well=10**9)
    crops.pack(plate, rows, folder / "peak.npy", size=SIZES[0])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak, (folder / "peak.npy", plate, cells))


def peak(file: Path, plate: ngff.PlateImages, cells: pd.DataFrame) -> dict[str, float]:
    """Cut and read all cells in this process; return their number and its peak memory."""
    number = embedding(plate, cells, size=SIZES[0])
    packed(file, np.random.default_rng(0).permutation(number))
    return {"crops": number, "peak_mb": plates.memory()}


def measure(folder: Path, *, count: int, repeats: int, few: int, seed: int) -> tuple[dict, dict]:
    """Make the plate and measure: rates by name, memory by number of fields."""
    path = plates.fields(folder, plates.drawn(SIDE, seed=seed), 4 * few)["images"][0]
    whole = ngff.open_plate(path)
    plate = replace(whole, fields=whole.fields[:count])
    cells = cells_of(plate, seed=seed).assign(Metadata_Plate=plate.plate)
    rows: dict[str, Mapping[str, float]] = {}
    for size in SIZES:
        rows[f"embedding_{size}px"] = plates.compare(
            lambda size=size: embedding(plate, cells, size=size),
            lambda: decoding(plate),
            count=len(cells),
            repeats=repeats,
            of="crops",
        )
        sample = crops.sample(cells, seed=seed, cells_per_well=10**9)
        file = folder / f"{size}.npy"
        crops.pack(plate, sample, file, size=size)
        order = np.random.default_rng(seed).permutation(len(sample))
        rows[f"training_{size}px"] = plates.compare(
            lambda file=file, order=order: packed(file, order),
            lambda file=file, order=order: mapped(file, order),
            count=len(sample),
            repeats=repeats,
            of="crops",
        )
        file.unlink()
    held = {"few": memory(folder, whole, few, seed=seed), "many": memory(folder, whole, 4 * few, seed=seed)}
    return rows, held


def main() -> None:
    """Print a row a way of reading and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer fields and turns")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    count, repeats, few = (6, 5, 3) if arguments.quick else (24, 11, 12)
    before = plates.load()
    with tempfile.TemporaryDirectory() as folder:
        rows, held = measure(Path(folder), count=count, repeats=repeats, few=few, seed=arguments.seed)
    print(pd.DataFrame(rows).T.round(3).to_string())
    print(pd.DataFrame(held).T.round(0).to_string())
    print(f"one thread; {before}, at the end {plates.load()}")
    figures = {f"{name}.{key}": round(value, 4) for name, row in rows.items() for key, value in row.items()}
    figures |= {f"memory.{name}.{key}": round(value, 1) for name, row in held.items() for key, value in row.items()}
    figures["memory.peak_ratio"] = round(held["many"]["peak_mb"] / held["few"]["peak_mb"], 4)
    print(json.dumps({"benchmark": "crops", "quick": arguments.quick, "seed": arguments.seed} | figures))


if __name__ == "__main__":
    main()
