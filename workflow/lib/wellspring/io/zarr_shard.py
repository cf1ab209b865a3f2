"""Write and read the pixels of a stored field as one Zarr shard, with a checksum on every byte.

Three quarters of the time in which Zarr opens and reads a field of 1 MB are its own machinery, and 4 of the 13 ms in
which it writes a channel of 1080 x 1080 px (measured); it holds the interpreter lock, so that threads do not help.
Arrays of one layout (Zarr 3, one shard, Blosc) are therefore written and read here; Zarr reads every other layout.

Each chunk and the shard's index end in a CRC-32C checksum, which other Zarr readers verify too. Between the last chunk
and the index lies a seal, the checksum of all chunks' checksums: seal and index identify the field, so that a shard of
another field or another run is found. Every chunk is stored, also one of zeros, so that a missing chunk or shard is
damage and not a black image. Arrays without checksums, written by version 0.1, are still read.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

ENTRY = 16  # bytes per chunk in the shard's index: offset and length, 64 bits each
CHECK = 4  # bytes of a checksum, behind the bytes that it is of
ABSENT = 2**64 - 1  # offset of a chunk that is not stored
AXES = ("c", "y", "x")
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
CHECKSUM = {"name": "crc32c"}
# Bitshuffle separates the low, noisy bits of 16-bit pixels from the high, compressible ones. At level 1, with the whole
# chunk as one block of Blosc, files have 0.98 of the size of level 3 with its own blocks, compression takes 0.45 of the
# time and decompression 0.9; nothing else that was tried is as small and as fast (benchmarks/compression.py).
LEVEL = 1
COMPRESSION = {"cname": "zstd", "clevel": LEVEL, "shuffle": "bitshuffle"}
LARGEST_BLOCK = 2**21  # bytes; Blosc takes no more


@dataclass(frozen=True)
class Layout:
    """An array (C, H, W) of one shard, in chunks one channel deep and `tile` (height, width) px large.

    `checked`: chunks end in a checksum, and all of them are stored.
    """

    shape: tuple[int, int, int]
    tile: tuple[int, int]
    dtype: np.dtype[Any]
    checked: bool = True

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Number of chunks along each axis."""
        rows, columns = (math.ceil(edge / step) for edge, step in zip(self.shape[1:], self.tile, strict=True))
        return self.shape[0], rows, columns


def read(
    folder: Path, channels: Sequence[int], rows: slice, columns: slice, *, identity: int | None = None
) -> NDArray[Any] | None:
    """Read channels of a part of an array.

    Parameters
    ----------
    folder
        Of the array, with its `zarr.json`.
    channels
        Their numbers, in the order wanted.
    rows, columns
        The part, without a step.
    identity
        What `write` returned for this array; another one means that the shard is of another field or another run.

    Returns
    -------
    numpy.ndarray or None
        (channels, rows, columns) in the array's dtype; None where the array has another layout or a step is asked for.

    Raises
    ------
    ValueError
        The shard or a chunk is missing or damaged; names the file.
    """
    layout = describe((folder / "zarr.json").read_bytes())
    if layout is None or rows.step not in (None, 1) or columns.step not in (None, 1):
        return None
    top, bottom, _ = rows.indices(layout.shape[1])
    left, right, _ = columns.indices(layout.shape[2])
    out = np.empty((len(channels), max(bottom - top, 0), max(right - left, 0)), dtype=layout.dtype)
    path = folder / "c" / "0" / "0" / "0"
    if not out.size:
        return out
    if not path.exists():
        if layout.checked:
            raise ValueError(f"{path}: expected the pixels of a stored field, found no such file; make the plate again")
        out[...] = 0  # version 0.1 stored no shard of zeros alone
        return out
    height, width = layout.tile
    buffer = np.empty(layout.tile, dtype=layout.dtype)  # one for all chunks, so that it stays in the processor's cache
    with path.open("rb", buffering=0) as file:
        index = _index(file, path, layout, identity)
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
                    tile = target if whole else buffer
                    _decode(_verified(stored, path, "a chunk") if layout.checked else stored, tile, path)
                    if not whole:
                        target[...] = tile[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
    return out


def write(folder: Path, pixels: NDArray[Any], *, tile: tuple[int, int]) -> int:
    """Write an array (C, H, W) of unsigned integers as one shard of chunks one channel deep and ``tile`` px large.

    Returns
    -------
    int
        The identity of these pixels, for `read`: the checksum of seal and index.
    """
    layout = Layout((pixels.shape[0], pixels.shape[1], pixels.shape[2]), tile, pixels.dtype)
    height, width = tile
    index = np.full((*layout.chunks, 2), ABSENT, dtype="<u8")
    buffer = np.zeros(tile, dtype=pixels.dtype.newbyteorder("<"))
    path = folder / "c" / "0" / "0" / "0"
    path.parent.mkdir(parents=True)
    (folder / "zarr.json").write_bytes(_metadata(layout))
    stored, checksums = 0, b""
    with path.open("xb") as file:
        for channel, row, column in np.ndindex(layout.chunks):
            part = pixels[channel, row * height : (row + 1) * height, column * width : (column + 1) * width]
            if part.shape != tile:
                buffer[...] = 0
            buffer[: part.shape[0], : part.shape[1]] = part
            chunk = _encode(buffer)
            checksums += _checksum(chunk)
            file.write(chunk)
            file.write(checksums[-CHECK:])
            index[channel, row, column] = stored, len(chunk) + CHECK
            stored += len(chunk) + CHECK
        sealed = _checksum(checksums) + index.tobytes()
        file.write(sealed)
        file.write(_checksum(index.tobytes()))
    return int.from_bytes(_checksum(sealed), "little")


@lru_cache(maxsize=64)
def describe(metadata: bytes) -> Layout | None:
    """Return the layout that a `zarr.json` describes; None for an array of another one."""
    found = json.loads(metadata)
    shape, sharding = tuple(found.get("shape", ())), found.get("codecs", [{}])[0]
    if len(shape) != 3 or sharding.get("name") != "sharding_indexed" or len(found["codecs"]) != 1:
        return None
    inner = sharding["configuration"]
    depth, *tile = inner["chunk_shape"]
    dtype = np.dtype(found["data_type"])
    names = [codec["name"] for codec in inner["codecs"]]
    layout = Layout(shape, (tile[0], tile[1]), dtype, checked=names[2:] == ["crc32c"])
    shard = [count * step for count, step in zip(layout.chunks, (depth, *tile), strict=True)]
    known = (
        depth == 1
        and dtype.kind == "u"
        and found["fill_value"] == 0
        and found["chunk_grid"] == {"name": "regular", "configuration": {"chunk_shape": shard}}
        and found["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
        and inner["codecs"][0] == LITTLE
        and names in (["bytes", "blosc", "crc32c"], ["bytes", "blosc"])
        and inner["index_codecs"] == [LITTLE, CHECKSUM]
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
        "codecs": [LITTLE, {"name": "blosc", "configuration": compression}, CHECKSUM],
        "index_codecs": [LITTLE, CHECKSUM],
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


def _block(pixels: int, dtype: np.dtype[Any]) -> int:
    """Return the size of Blosc's blocks: the whole chunk, as far as Blosc goes."""
    return min(pixels * dtype.itemsize, LARGEST_BLOCK)


def _encode(tile: NDArray[Any]) -> bytes:
    """Compress a chunk."""
    return bytes(
        imagecodecs.blosc_encode(
            tile,  # type: ignore[arg-type]  # any buffer is taken
            level=LEVEL,
            compressor="zstd",
            shuffle="bitshuffle",
            typesize=tile.dtype.itemsize,
            blocksize=_block(tile.size, tile.dtype),
            numthreads=1,
        )
    )


def _checksum(data: bytes) -> bytes:
    """Return the CRC-32C checksum (Castagnoli, RFC 3720), little-endian, as Zarr stores it."""
    value: int = google_crc32c.value(data)
    return value.to_bytes(CHECK, "little")


def _verified(stored: bytes, path: Path, what: str) -> bytes:
    """Return bytes without the checksum behind them; `ValueError` names the file when it does not match."""
    data = stored[:-CHECK]  # a copy of some 100 kB, which the checksum's package asks for
    if len(stored) < CHECK or _checksum(data) != stored[-CHECK:]:
        raise ValueError(f"{path}: expected {what} that matches its checksum, found damaged bytes; make it again")
    return data


def _index(file: BinaryIO, path: Path, layout: Layout, identity: int | None) -> NDArray[np.uint64]:
    """Return offsets and lengths (C, rows, columns, 2) of the chunks in the shard."""
    size, length = path.stat().st_size, math.prod(layout.chunks) * ENTRY
    if size < length + CHECK:
        raise ValueError(f"{path}: expected a shard of more than {length + CHECK} bytes, found {size}")
    file.seek(max(size - length - 2 * CHECK, 0))
    tail = file.read()
    index = np.frombuffer(_verified(tail[-length - CHECK :], path, "a shard's index"), dtype="<u8")
    index = index.reshape(*layout.chunks, 2)
    if identity is not None and int.from_bytes(_checksum(tail[:-CHECK]), "little") != identity:
        raise ValueError(f"{path}: expected the shard that was written with this plate, found another; make it again")
    absent = index[..., 0] == ABSENT
    if layout.checked and absent.any():
        raise ValueError(f"{path}: expected every chunk of a stored field, found {absent.sum()} absent; make it again")
    ends = index[~absent].sum(axis=-1)
    if (ends > size).any():
        raise ValueError(f"{path}: expected chunks within {size} bytes, found one that ends at {ends.max()}")
    return index


def _decode(stored: bytes, tile: NDArray[Any], path: Path) -> None:
    """Decompress a chunk into `tile`, which is contiguous."""
    room = tile.reshape(-1).view(np.uint8).data
    try:
        found = len(imagecodecs.blosc_decode(stored, out=room, numthreads=1))
    except imagecodecs.BloscError as error:
        raise ValueError(f"{path}: expected a chunk compressed by Blosc, found damaged bytes ({error})") from error
    if found != tile.nbytes:
        raise ValueError(f"{path}: expected a chunk of {tile.nbytes} bytes, found {found}")
