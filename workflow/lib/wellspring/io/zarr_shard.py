"""Pixels of a stored field, encoded straight into its shard and decoded from it: the folder of an array and its pixels.

Three quarters of the time in which Zarr opens and reads a field of 1 MB are its own machinery, and 4 of the 13 ms in
which it writes a channel of 1080 x 1080 px (measured); it holds the interpreter, so that threads do not help. Arrays of
one make (Zarr 3, one shard, Blosc) are therefore written and read here; of any other make this module knows nothing,
and Zarr reads it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import imagecodecs
import numpy as np

ENTRY = 16  # bytes of the shard's index a chunk: offset and length, 64 bits each
CHECK = 4  # bytes of the index's checksum, behind it
ABSENT = 2**64 - 1  # offset of a chunk that is not stored, since it is 0 all over
AXES = ("c", "y", "x")
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
# Bitshuffle gathers the low, noisy bits of 16-bit pixels away from the high, compressible ones. At level 1, with the
# whole chunk as one block of Blosc's, files are .98 of those of level 3 in blocks of its choice, compressing takes .45
# of the time and decompressing .9; no way that was tried is as small and as fast (benchmarks/compression.py).
COMPRESSION = {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle"}
LARGEST_BLOCK = 2**21  # bytes; Blosc takes no more


@dataclass(frozen=True)
class Layout:
    """An array (C, H, W) of one shard, its chunks one channel deep and `tile` (height, width) px wide."""

    shape: tuple[int, int, int]
    tile: tuple[int, int]
    dtype: np.dtype

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Number of chunks along each axis."""
        return (
            self.shape[0],
            *(math.ceil(edge / step) for edge, step in zip(self.shape[1:], self.tile, strict=True)),
        )


def read(folder: Path, channels: Sequence[int], rows: slice, columns: slice) -> np.ndarray | None:
    """Read channels of a part of an array.

    Parameters
    ----------
    folder
        Of the array, with its `zarr.json`.
    channels
        Their numbers, in the order wanted.
    rows, columns
        The part, without a step.

    Returns
    -------
    numpy.ndarray or None
        (channels, rows, columns) in the array's dtype; None where the array is of another make or a step is asked for.

    Raises
    ------
    ValueError
        The shard is damaged; names the file.
    """
    layout = describe((folder / "zarr.json").read_bytes())
    if layout is None or rows.step not in (None, 1) or columns.step not in (None, 1):
        return None
    top, bottom, _ = rows.indices(layout.shape[1])
    left, right, _ = columns.indices(layout.shape[2])
    out = np.empty((len(channels), max(bottom - top, 0), max(right - left, 0)), dtype=layout.dtype)
    path = folder / "c" / "0" / "0" / "0"
    if not out.size or not path.exists():  # Zarr stores no shard of zeros alone
        out[...] = 0
        return out
    height, width = layout.tile
    desk = np.empty(layout.tile, dtype=layout.dtype)  # one for all chunks, so that it stays in the processor's cache
    with path.open("rb", buffering=0) as file:
        index = _index(file, path, layout)
        for place, channel in enumerate(channels):
            for row in range(top // height, (bottom - 1) // height + 1):
                for column in range(left // width, (right - 1) // width + 1):
                    offset, length = index[channel, row, column].tolist()
                    y, x = row * height, column * width
                    here = (
                        place,
                        slice(max(y, top) - top, min(y + height, bottom) - top),
                        slice(max(x, left) - left, min(x + width, right) - left),
                    )
                    target = out[here]
                    if offset == ABSENT:
                        target[...] = 0
                        continue
                    file.seek(offset)
                    stored = file.read(length)
                    whole = target.shape == layout.tile and target.flags.c_contiguous
                    tile = target if whole else desk
                    _decode(stored, tile, path)
                    if not whole:
                        target[...] = tile[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
    return out


def write(folder: Path, pixels: np.ndarray, *, tile: tuple[int, int]) -> None:
    """Write an array (C, H, W) of unsigned integers as one shard of chunks one channel deep and ``tile`` px wide.

    Chunks that are 0 all over are left out, as Zarr does, and so is a shard without a chunk.
    """
    layout = Layout(pixels.shape, tile, pixels.dtype)
    height, width = tile
    index = np.full((*layout.chunks, 2), ABSENT, dtype="<u8")
    buffer = np.zeros(tile, dtype=pixels.dtype.newbyteorder("<"))
    path = folder / "c" / "0" / "0" / "0"
    path.parent.mkdir(parents=True)
    (folder / "zarr.json").write_bytes(_metadata(layout))
    stored = 0
    with path.open("xb") as file:
        for channel, row, column in np.ndindex(layout.chunks):
            part = pixels[channel, row * height : (row + 1) * height, column * width : (column + 1) * width]
            if part.shape != tile:
                buffer[...] = 0
            buffer[: part.shape[0], : part.shape[1]] = part
            if buffer.max() == 0:
                continue
            chunk = _encode(buffer)
            file.write(chunk)
            index[channel, row, column] = stored, len(chunk)
            stored += len(chunk)
        file.write(index.tobytes())
        file.write(_crc32c(index.tobytes()).to_bytes(CHECK, "little"))
    if not stored:
        path.unlink()


@lru_cache(maxsize=64)
def describe(metadata: bytes) -> Layout | None:
    """Return the layout that a `zarr.json` describes; None for an array of another make."""
    found = json.loads(metadata)
    shape, sharding = tuple(found.get("shape", ())), found.get("codecs", [{}])[0]
    if len(shape) != 3 or sharding.get("name") != "sharding_indexed" or len(found["codecs"]) != 1:
        return None
    inner = sharding["configuration"]
    depth, *tile = inner["chunk_shape"]
    dtype = np.dtype(found["data_type"])
    layout = Layout(shape, tuple(tile), dtype)
    shard = [count * step for count, step in zip(layout.chunks, (depth, *tile), strict=True)]
    known = (
        depth == 1
        and dtype.kind == "u"
        and found["fill_value"] == 0
        and found["chunk_grid"] == {"name": "regular", "configuration": {"chunk_shape": shard}}
        and found["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
        and inner["codecs"][0] == LITTLE
        and [codec["name"] for codec in inner["codecs"]] == ["bytes", "blosc"]
        and inner["index_codecs"] == [LITTLE, {"name": "crc32c"}]
        and inner["index_location"] == "end"
    )
    return layout if known else None


@lru_cache(maxsize=64)
def _metadata(layout: Layout) -> bytes:
    """Return the `zarr.json` of an array."""
    chunk = (1, *layout.tile)
    compression = COMPRESSION | {"typesize": layout.dtype.itemsize, "blocksize": _block(math.prod(chunk), layout.dtype)}
    sharding = {
        "chunk_shape": chunk,
        "codecs": [LITTLE, {"name": "blosc", "configuration": compression}],
        "index_codecs": [LITTLE, {"name": "crc32c"}],
        "index_location": "end",
    }
    shard = [count * step for count, step in zip(layout.chunks, chunk, strict=True)]
    described: Mapping[str, object] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": layout.shape,
        "data_type": layout.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "dimension_names": AXES,
        "storage_transformers": [],
    }
    return json.dumps(described, indent=1).encode()


def _block(pixels: int, dtype: np.dtype) -> int:
    """Return the size of Blosc's blocks: the whole chunk, as far as Blosc goes."""
    return min(pixels * dtype.itemsize, LARGEST_BLOCK)


def _encode(tile: np.ndarray) -> bytes:
    """Compress a chunk."""
    return imagecodecs.blosc_encode(
        tile,
        level=COMPRESSION["clevel"],
        compressor=COMPRESSION["cname"],
        shuffle=COMPRESSION["shuffle"],
        typesize=tile.dtype.itemsize,
        blocksize=_block(tile.size, tile.dtype),
        numthreads=1,
    )


def _crc32c(data: bytes) -> int:
    """Return the checksum (Castagnoli) of a few hundred bytes, RFC 3720."""
    crc, table = 0xFFFFFFFF, _castagnoli()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _castagnoli() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def _index(file: object, path: Path, layout: Layout) -> np.ndarray:
    """Offsets and lengths (C, rows, columns, 2) uint64 of the chunks in the shard."""
    size, stored = path.stat().st_size, math.prod(layout.chunks) * ENTRY
    if size < stored + CHECK:
        raise ValueError(f"{path}: expected a shard of more than {stored + CHECK} bytes, found {size}")
    file.seek(size - stored - CHECK)
    index = np.frombuffer(file.read(stored), dtype="<u8").reshape(*layout.chunks, 2)
    used = index[index[..., 0] != ABSENT]
    if (used.sum(axis=-1) > size).any():
        raise ValueError(f"{path}: expected chunks within {size} bytes, found one that ends at {used.sum(-1).max()}")
    return index


def _decode(stored: bytes, tile: np.ndarray, path: Path) -> None:
    """Decompress a chunk into `tile`, which is contiguous."""
    try:
        found = imagecodecs.blosc_decode(stored, out=tile.reshape(-1).view(np.uint8), numthreads=1)
    except imagecodecs.BloscError as error:
        raise ValueError(f"{path}: expected a chunk compressed by Blosc, found damaged bytes ({error})") from error
    if found.nbytes != tile.nbytes:
        raise ValueError(f"{path}: expected a chunk of {tile.nbytes} bytes, found {found.nbytes}")
