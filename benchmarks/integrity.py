"""What checksums cost: images, crops, embedding and tables with them, beside the same work without them.

Claim: no stage takes more than 1.10 times as long as without checksums. A higher figure refutes it. Both sides run the
same code on the same pixels and take turns in one process; on the side without, the function that computes a checksum
returns 0 at once, and its files were written that way. The figures are the median of the turns' ratios of seconds and
of processor time, which holds beside other jobs too.

    python benchmarks/integrity.py [--quick] [--tables] [--seed 11]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import crops as crops_benchmark  # noqa: E402
import embed_rate  # noqa: E402
import plates  # noqa: E402
import read_rate  # noqa: E402

from wellspring.io import embeddings, ngff, sealed  # noqa: E402
from wellspring.io.keys import WELL_KEY  # noqa: E402
from wellspring.io.packed import Packed  # noqa: E402
from wellspring.profile.aggregate import aggregate  # noqa: E402
from wellspring.train.sources import Cells  # noqa: E402
from wellspring.views import crops  # noqa: E402
from wellspring.views.scaling import IntensityScale  # noqa: E402

SIZE, BATCH = 96, 64  # edge of a crop, px; crops of a batch
SETTING = "demo_tiny.cells"  # the fastest network of embed_rate.py, beside which reading weighs most


@contextmanager
def unchecked() -> Iterator[None]:
    """Let every checksum be 0, without looking at the bytes; tables are read as those that have none."""
    known, seal = (google_crc32c.value, google_crc32c.extend), sealed.seal
    sealed.seal = lambda path: None
    google_crc32c.value, google_crc32c.extend = lambda data: 0, lambda checksum, data: 0
    try:
        yield
    finally:
        google_crc32c.value, google_crc32c.extend = known
        sealed.seal = seal


class Sides:
    """The same work with and without checksums, each on files of its own, which `make` writes into a folder."""

    def __init__(self, folder: Path, make: Callable[[Path], object]) -> None:
        (folder / "checked").mkdir(parents=True)
        (folder / "unchecked").mkdir()
        self.checked = make(folder / "checked")
        with unchecked():
            self.unchecked = make(folder / "unchecked")

    def cost(self, work: Callable[[object], object], *, repeats: int) -> dict[str, float]:
        """Return the ratio of seconds with checksums to those without: median and extremes; of processor time."""

        def without() -> None:
            with unchecked():
                work(self.unchecked)

        found = plates.turns(lambda: work(self.checked), without, repeats=repeats)
        seconds = found["seconds_ours"] / found["seconds_bare"]
        return {
            "cost": float(np.median(seconds)),
            "cost_least": float(seconds.min()),
            "cost_most": float(seconds.max()),
            "processor_cost": float(np.median(found["processor_ours"] / found["processor_bare"])),
            "seconds": float(np.median(found["seconds_ours"])),
            "repeats": repeats,
        }


def packed(folder: Path, plate: ngff.PlateImages, cells: pd.DataFrame, *, seed: int) -> Path:
    """Pack the cells of a plate into a file of crops."""
    crops.pack(plate, crops.sample(cells, seed=seed, cells_per_well=10**9), folder / "P1.npy", size=SIZE)
    return folder / "P1.npy"


def train(path: Path, order: np.ndarray) -> None:
    """Read batches of crops in a random order as training does, by the class that it uses, before it augments them."""
    channels = Packed(path).shape[1]
    scale = IntensityScale(np.zeros(channels), np.full(channels, 3e4), np.zeros(channels), np.ones(channels))
    rows = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Site": "1"}, index=range(len(order)))
    source, rng = Cells([path], [rows.assign(Metadata_Row=np.arange(len(order)))], [scale]), np.random.default_rng(0)
    for start in range(0, len(order), BATCH):
        source.read(order[start : start + BATCH], rng)


def table(folder: Path, count: int, *, seed: int) -> Path:
    """Write a table `embed` of `count` vectors of 384 values, of 96 wells."""
    rng, path = np.random.default_rng(seed), folder / "embed.parquet"
    wells = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
    well = np.array(wells)[np.arange(count) * len(wells) // count]
    frame = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": well, "Metadata_Site": "1"}, index=range(count))
    frame = frame.assign(Metadata_View=np.arange(count), Metadata_Center_Y=0.0, Metadata_Center_X=0.0)
    matrix = rng.normal(size=(count, 384)).astype(np.float32)
    embeddings.write_parts([(frame, matrix)], path, table="embed", provenance={}, values=2**21)
    return path


def whole(path: Path) -> float:
    """Read the vectors of a table as aggregation does, and sum them."""
    frame, vectors = embeddings.open_embedding(path)
    return sum(float(vectors[part].sum()) for part in np.array_split(np.arange(len(frame)), 20))


def profile(path: Path) -> pd.DataFrame:
    """Aggregate the vectors of a table to wells, as rule `profile` does with those of cells."""
    frame, vectors = embeddings.open_embedding(path)
    return aggregate(frame, vectors, frame[WELL_KEY].drop_duplicates(), prefix="x", kind="cell")


def measure(folder: Path, *, images: int, fields: int, views: int, vectors: int, repeats: int, seed: int) -> dict:
    """Return the figures of each stage by name."""
    pool = plates.drawn(read_rate.SIDE, seed=seed)
    raw = read_rate.make(folder / "raw", pool, images)
    writing = Sides(folder / "images", lambda place: place / "P1.zarr")
    rows = {"images": writing.cost(lambda out: read_rate.correct(raw, out, threads=1), repeats=repeats)}
    stores = Sides(folder / "stores", lambda place: ngff.open_plate(plates.fields(place, pool, fields)["images"][0]))
    cells = embed_rate.cells_of(stores.checked, seed=seed).assign(Metadata_Plate=plates.PLATE)
    rows["cutting"] = stores.cost(lambda plate: crops_benchmark.embedding(plate, cells, size=SIZE), repeats=repeats)
    files = iter((stores.checked, stores.unchecked))
    items = Sides(folder / "crops", lambda place: packed(place, next(files), cells, seed=seed))
    order = np.random.default_rng(seed).permutation(len(cells))
    rows["training_crops"] = items.cost(lambda path: train(path, order), repeats=repeats)
    kind, size, backbone, options, side, _, batch = embed_rate.SETTINGS[SETTING]
    network, small = embed_rate.known(kind, size, backbone, options), plates.drawn(side, seed=seed)
    inputs = Sides(folder / "embed", lambda place: plates.fields(place, small, views))
    of = embed_rate.cells_of(ngff.open_plate(inputs.checked["images"][0]), seed=seed)
    how = {"device": torch.device("cpu"), "precision": "float32", "batch": batch}
    rows["embedding"] = inputs.cost(
        lambda paths: embed_rate.stage(network, paths, of, folder / "out.parquet", **how), repeats=repeats
    )
    return rows | of_tables(folder, vectors=vectors, repeats=repeats, seed=seed)


def of_tables(folder: Path, *, vectors: int, repeats: int, seed: int) -> dict:
    """Return the figures of what writes and reads a table of vectors, of which reading alone is no stage."""
    written = Sides(folder / "tables", lambda place: table(place, vectors, seed=seed))
    rows = {"table_writing": written.cost(lambda path: table(path.parent, vectors, seed=seed), repeats=repeats)}
    rows["table_reading"] = written.cost(whole, repeats=repeats)
    rows["profile"] = written.cost(profile, repeats=repeats)
    return rows


def main() -> None:
    """Print a row per stage and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less data and fewer turns")
    parser.add_argument("--tables", action="store_true", help="tables of vectors alone")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = {"images": 150, "fields": 24, "views": 160, "vectors": 100_000, "repeats": 11}
    if arguments.quick:
        size = {"images": 25, "fields": 6, "views": 24, "vectors": 30_000, "repeats": 5}
    before = plates.load()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.tables:
            rows = of_tables(Path(folder), vectors=30_000, repeats=31, seed=arguments.seed)
        else:
            rows = measure(Path(folder), **size, seed=arguments.seed)
    print(pd.DataFrame(rows).T.round(3).to_string())
    print(f"one thread; {before}, at the end {plates.load()}")
    figures = {f"{name}.{key}": round(value, 4) for name, row in rows.items() for key, value in row.items()}
    print(json.dumps({"benchmark": "integrity", "quick": arguments.quick, "seed": arguments.seed} | figures))


if __name__ == "__main__":
    main()
