"""What it costs to store fields in one way or another: milliseconds to write and to read, bytes, and files.

Claim: of the usual ways to compress 16-bit fields in Zarr, the one that the workflow writes (Blosc: Zstandard at level
1 after bitshuffle, the whole chunk as one block; chunks of 360 px; a field one shard) is on the front of size, writing,
and reading fields and views: a way that is as small and as fast in all three refutes it. And: written and read
directly, as the workflow does, the same files cost less than through Zarr: a ratio above 1 refutes it.

Fields are those of the demo screen, and real ones of three microscopes in --data, where it is there. Every way has its
turn in each repeat, on the same pixels, in the page cache; a figure is the median over repeats of the processor time,
which holds beside other jobs, scaled to one channel of 1080 x 1080 px.

    python benchmarks/compression.py [--quick] [--seed 11] [--data ../shared/data]
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.io import ngff, zarr_shard  # noqa: E402

SIDE = 1080
VIEW = 224  # px, a tile that an encoder looks at
SAMPLES = {
    "jump": "nf1_jump_pccma_fov_samples/JUMP_plate_BR00117006/images/orig/*.tiff",
    "atlas": "nf1_jump_pccma_fov_samples/pediatric_cancer_atlas_profiling/images/orig/*.tiff",
    "nf1": "nf1_jump_pccma_fov_samples/NF1_cellpainting_data_shrunken/Plate_2_images/D7_*.tif",
    "operetta": "vendor_layout_samples/operetta_plate/Images/*.tiff",
}


@dataclass(frozen=True)
class Way:
    """A way to store a field: the codec's name and options, the edge of its chunks, one shard or a file a chunk."""

    codec: str = "blosc"
    options: tuple[tuple[str, object], ...] = ()
    edge: int = ngff.TILE
    sharded: bool = True
    direct: bool = False

    def compressors(self, chunk: int) -> list[object]:
        """Return Zarr's codecs for chunks of so many bytes; ``block`` whole is the chunk, else it is Blosc's choice."""
        options = dict(self.options)
        if self.codec == "blosc":
            whole = options.pop("block", None) == "whole"
            return [BloscCodec(typesize=2, blocksize=chunk if whole else 0, **options)]
        return {"zstd": lambda: [ZstdCodec(**options)], "gzip": lambda: [GzipCodec(**options)], "none": list}[
            self.codec
        ]()


def _blosc(**options: object) -> tuple[tuple[str, object], ...]:
    return tuple(options.items())


CHOSEN = _blosc(cname="zstd", clevel=1, shuffle="bitshuffle", block="whole")
THROUGH_ZARR = "blosc zstd 1 bitshuffle, whole blocks"
WAYS = {
    "workflow": Way(direct=True),
    THROUGH_ZARR: Way(options=CHOSEN),
    "blosc zstd 3 bitshuffle, whole blocks": Way(
        options=_blosc(cname="zstd", clevel=3, shuffle="bitshuffle", block="whole")
    ),
    **{
        f"blosc zstd {level} {shuffle}": Way(options=_blosc(cname="zstd", clevel=level, shuffle=shuffle))
        for level in (1, 3, 5)
        for shuffle in ("bitshuffle", "shuffle")
    },
    "blosc lz4 5 bitshuffle": Way(options=_blosc(cname="lz4", clevel=5, shuffle="bitshuffle")),
    "zstd 3": Way("zstd", (("level", 3),)),
    "gzip 5": Way("gzip", (("level", 5),)),
    "none": Way("none"),
    "chunks of 180 px": Way(options=CHOSEN, edge=180),
    "chunks of 540 px": Way(options=CHOSEN, edge=540),
    "chunks of a field": Way(options=CHOSEN, edge=10**6),
    "chunks of 360 px, a file each": Way(options=CHOSEN, sharded=False),
    "chunks of a field, a file each": Way(options=CHOSEN, edge=10**6, sharded=False),
}


def samples(data: Path) -> dict[str, np.ndarray]:
    """Read the real fields that are there, (C, H, W) each."""
    found = {}
    for name, pattern in SAMPLES.items():
        planes = [tifffile.imread(path) for path in sorted(data.glob(pattern))]
        if planes:
            found[name] = np.stack(planes).astype(np.uint16)
    return found


def write(folder: Path, pixels: np.ndarray, way: Way) -> None:
    """Store a field in a way."""
    tile = ngff.tile_of(pixels.shape[1:], edge=way.edge)
    if way.direct:
        zarr_shard.write(folder, pixels, tile=tile)
        return
    counts = [-(-full // step) for full, step in zip(pixels.shape[1:], tile, strict=True)]
    shard = (len(pixels), *(count * step for count, step in zip(counts, tile, strict=True)))
    array = zarr.create_array(
        folder,
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=(1, *tile),
        shards=shard if way.sharded else None,
        compressors=way.compressors(tile[0] * tile[1] * pixels.itemsize),
        zarr_format=3,
    )
    array[:] = pixels


def read(folder: Path, way: Way, part: tuple[slice, slice, slice] = (slice(None),) * 3) -> np.ndarray:
    """Read a field, or a part of it."""
    array = None if way.direct else zarr.open_array(folder, mode="r")
    if array is not None:
        return array[part]
    count = json.loads((folder / "zarr.json").read_text())["shape"][0]
    return zarr_shard.read(folder, range(count)[part[0]], *part[1:])


def measure(folder: Path, pixels: np.ndarray, ways: Mapping[str, Way], *, repeats: int, seed: int) -> pd.DataFrame:
    """Measure every way on a field, turn about: a row a way and repeat."""
    rows, rng = [], np.random.default_rng(seed)
    scale = 1e3 * SIDE * SIDE / pixels.size
    for turn in range(repeats + 1):
        channel = int(rng.integers(len(pixels)))
        y, x = (int(rng.integers(full - VIEW + 1)) for full in pixels.shape[1:])
        part = (slice(channel, channel + 1), slice(y, y + VIEW), slice(x, x + VIEW))
        for name, way in ways.items():
            here = folder / "field"
            seconds = {
                "write_ms": _processor(lambda here=here, way=way: write(here, pixels, way)) * scale,
                "read_ms": _processor(lambda here=here, way=way: read(here, way)) * scale,
                "view_ms": _processor(lambda here=here, way=way, part=part: read(here, way, part)) * 1e3,
            }
            files = [path for path in here.rglob("*") if path.is_file()]
            share = sum(path.stat().st_size for path in files) / pixels.nbytes
            shutil.rmtree(here)
            if turn:  # the first one warms up
                rows.append({"way": name, **seconds, "share": share, "files": len(files)})
    return pd.DataFrame(rows)


def _processor(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Print a row a way, of demo and of real fields, and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    arguments = parser.parse_args()
    repeats = 3 if arguments.quick else 9
    fields = {"demo": plates.drawn(SIDE, seed=arguments.seed, count=1)[0], **samples(arguments.data)}
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name, pixels in fields.items():
            rows = measure(Path(folder), pixels, WAYS, repeats=repeats, seed=arguments.seed)
            parts.append(rows.groupby("way", sort=False).median().assign(field=name))
    whole = pd.concat(parts).set_index("field", append=True)
    figures = {"benchmark": "compression", "quick": arguments.quick, "seed": arguments.seed, "fields": ",".join(fields)}
    for kind, names in {"demo": ["demo"], "real": [name for name in fields if name != "demo"]}.items():
        if names:
            table = whole[whole.index.isin(names, level="field")].groupby("way", sort=False).mean()
            print(
                f"{kind}: mean of {', '.join(names)}; ms of one channel of {SIDE} x {SIDE} px, of a view of {VIEW} px"
            )
            print(table.round(3).to_string())
            flat = {
                f"{kind}.{way}.{key}": round(value, 4) for way, row in table.iterrows() for key, value in row.items()
            }
            figures |= {key.replace(",", "").replace(" ", "_"): value for key, value in flat.items()}
            over = table.loc["workflow"] / table.loc[THROUGH_ZARR]
            figures |= {
                f"{kind}.over_zarr.{key}_ratio": round(over[f"{key}_ms"], 4) for key in ("write", "read", "view")
            }
    print(whole["share"].unstack().round(3).to_string())
    print(plates.load())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
