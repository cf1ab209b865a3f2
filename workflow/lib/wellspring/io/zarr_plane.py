"""Read one plane of an array of an OME-Zarr plate, and refuse it if a chunk is lost.

Zarr reads an absent chunk as the fill value, so a lost file would become zeros. Writers may leave out chunks that have
the fill value only, as around a stitched or masked well. Both are told apart by the store: a chunk that is absent from
the index of a shard was not written. An absent file was not written if the array's fill value is 0, if the pixels
around it are zeros, and if no stored chunk of the plane is all zeros; the writer would have left out that one, too.

Where a chunk holds all planes of an array (one array per site, as JUMP-Lite), it is read and decoded once for them all.
"""

import itertools
import math
import threading
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from wellspring.io import budget, jpegxl, object_store, shared
from wellspring.io.plane_file import PlaneFileError

TOUCHING = 0.02  # largest share of pixels beside absent chunks that may differ from 0: a region may touch a corner
OPEN = 32  # arrays whose metadata stay in memory: those that the threads of a job read in turn
WHOLE = 2**27  # bytes of an array whose planes are decoded together; five of 2160 x 2160 px have 47 MB
BLOCKS = shared.Blocks()


def read(folder: Path | str, page: int, *, largest: int, absent: str = "auto") -> np.ndarray:
    """Read one plane (H, W) of an array (..., H, W) in its stored dtype.

    Parameters
    ----------
    folder
        Folder of the array, with its ``zarr.json`` or ``.zarray``; or its URL in an object store, which zarr reads by
        its own store of fsspec, the chunks of a plane at the same time.
    page
        Flat number over the axes before the last two.
    largest
        Most pixels of a plane, and of a chunk or shard; larger ones are refused.
    absent
        Of chunks or shards without a file: ``zeros``, ``missing``, or ``auto``, as above.

    Raises
    ------
    PlaneFileError
        The plane does not exist, a chunk is missing, or the metadata state more than ``largest`` or than
        :mod:`wellspring.io.budget` allows.
    """
    block = _block(folder, largest=largest)
    if block is None or page >= len(block):
        array, seen = _opened(folder)
        return _plane(array, page, folder, seen, largest=largest, absent=absent)
    pixels: np.ndarray = block[page].copy()  # a plane must not keep the others in memory
    return pixels


def _block(folder: Path | str, *, largest: int) -> np.ndarray | None:
    """Return all planes (planes, H, W) of an array whose chunks span them, None if they do not or a chunk is absent."""
    if isinstance(folder, str):
        return BLOCKS.take(folder, partial(_whole, folder, largest=largest))
    array, _ = _opened(folder)
    if not _spanned(array):
        return None
    paths = [folder / key for key in _keys(array, (0,) * (array.ndim - 2), folder, largest=largest)]
    if not all(path.is_file() for path in paths):
        return None
    changed = tuple(path.stat().st_mtime_ns for path in paths)  # a chunk that is replaced is read again
    return BLOCKS.take((folder, changed), lambda: np.asarray(array[...]).reshape(-1, *array.shape[-2:]))


def _spanned(array: zarr.Array[Any]) -> bool:
    """Return whether an array has several planes, each of its chunks has a part of all, and it fits in memory."""
    steps, pieces = array.shape[:-2], array.shards or array.chunks
    several = math.prod(steps) > 1 and all(piece >= size for size, piece in zip(steps, pieces, strict=False))
    return several and math.prod(array.shape) * array.dtype.itemsize <= WHOLE


def _whole(url: str, *, largest: int) -> np.ndarray | None:
    """Return all planes of an array in an object store, as `_block`."""
    array, seen = _opened(url)
    if seen is None or not _spanned(array):
        return None
    keys = _keys(array, (0,) * (array.ndim - 2), url, largest=largest)
    pixels = object_store.persist(lambda: np.asarray(array[...]), url)
    return None if seen.absent & set(keys) else pixels.reshape(-1, *array.shape[-2:])


def _opened(folder: Path | str) -> tuple[zarr.Array[Any], "_Seen | None"]:
    """Open an array for this thread; of a remote one also its store, which notes absent keys from now on."""
    if isinstance(folder, str):
        array, seen = _remote(folder, threading.get_ident())
        seen.absent.clear()
        return array, seen
    metadata = _metadata(folder)
    return _open(metadata, metadata.stat().st_mtime_ns, threading.get_ident()), None


def _metadata(folder: Path) -> Path:
    found = next((path for name in ("zarr.json", ".zarray") if (path := folder / name).is_file()), None)
    if found is None:
        raise PlaneFileError("unreadable", "expected a file or a zarr array, found a folder")
    return found


def _keys(array: zarr.Array[Any], before: tuple[int, ...], folder: Path | str, *, largest: int) -> list[str]:
    """Return the keys of the chunks of a plane, in the order of rows and columns, or refuse an array beyond limits."""
    height, width = array.shape[-2:]
    pieces = array.shards or array.chunks
    if max(height * width, math.prod(pieces)) > largest:
        raise PlaneFileError(
            "unreadable", f"expected at most {largest} pixels, found {array.shape} in pieces of {pieces}"
        )
    try:
        grid = [range(count) for count in budget.chunks((height, width), pieces[-2:], folder)]
        budget.chunks((height, width), array.chunks[-2:], folder)  # within shards
    except budget.OverBudgetError as error:
        raise PlaneFileError("unreadable", str(error)) from error
    return [array.metadata.encode_chunk_key((*before, *place)) for place in itertools.product(*grid)]


def _plane(
    array: zarr.Array[Any], page: int, folder: Path | str, seen: "_Seen | None", *, largest: int, absent: str
) -> np.ndarray:
    """Read a plane of an open array; ``seen`` is the store of a remote one."""
    if array.ndim < 2:
        raise PlaneFileError(
            "unreadable", f"expected axes of which y and x are the last, found the shape {array.shape}"
        )
    steps, pieces = array.shape[:-2], array.shards or array.chunks
    if page >= math.prod(steps):
        raise PlaneFileError("missing", f"no plane {page} in the shape {array.shape}")
    index = tuple(int(number) for number in np.unravel_index(page, steps)) if steps else ()
    before = tuple(number // size for number, size in zip(index, pieces, strict=False))
    keys = _keys(array, before, folder, largest=largest)
    if seen is not None:
        pixels = object_store.persist(lambda: np.asarray(array[index]), str(folder))
        lost = [key for key in keys if key in seen.absent]
    else:
        lost = [key for key in keys if not (Path(folder) / key).is_file()]
    if lost and absent != "zeros":
        status = "missing" if len(lost) == len(keys) else "truncated"
        words = f"{len(lost)} of {len(keys)} chunks are missing, as {lost[0]}"
        if absent == "missing" or status == "missing" or array.metadata.fill_value != 0:
            raise PlaneFileError(status, words)
        pixels = np.asarray(array[index]) if seen is None else pixels
        counts = [math.ceil(size / piece) for size, piece in zip(array.shape[-2:], pieces[-2:], strict=True)]
        there = np.array([key not in lost for key in keys]).reshape(counts)
        if not _unwritten(pixels, there, pieces[-2:]):
            remedy = "index.absent_chunks: zeros, where the writer leaves out chunks of zeros"
            raise PlaneFileError(status, f"{words}, and pixels beside it differ from 0 ({remedy})")
        return pixels
    return np.asarray(array[index]) if seen is None else pixels


def _unwritten(pixels: np.ndarray, there: np.ndarray, piece: tuple[int, ...]) -> bool:
    """Return whether absent chunks of a plane were zeros, by the chunks that are ``there`` (rows, columns)."""
    full = there.repeat(piece[0], axis=0).repeat(piece[1], axis=1)[: pixels.shape[0], : pixels.shape[1]]
    beside = np.zeros_like(full)
    beside[1:] |= ~full[:-1]
    beside[:-1] |= ~full[1:]
    beside[:, 1:] |= ~full[:, :-1]
    beside[:, :-1] |= ~full[:, 1:]
    around = pixels[beside & full]
    if np.count_nonzero(around) > TOUCHING * around.size:
        return False
    rows, columns = (np.arange(0, size, step) for size, step in zip(pixels.shape, piece, strict=True))
    brightest = np.maximum.reduceat(np.maximum.reduceat(pixels != 0, rows, axis=0), columns, axis=1)
    return bool(brightest[there].all())


class _Seen(WrapperStore[FsspecStore]):
    """A remote store that notes which keys it lacks, since zarr reads their chunks as zeros."""

    def __init__(self, store: FsspecStore) -> None:
        super().__init__(store)
        self.absent: set[str] = set()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the content of a key, None where the store lacks it."""
        found = await super().get(key, prototype, byte_range)
        if found is None:
            self.absent.add(key)
        return found


@lru_cache(maxsize=4 * OPEN)
def _remote(url: str, thread: int) -> tuple[zarr.Array[Any], _Seen]:
    """Open an array in an object store, one per thread; its metadata stay in memory."""
    store = _Seen(FsspecStore.from_url(url, storage_options=object_store.zarr_options(url), read_only=True))
    try:
        return jpegxl.expect(object_store.persist(lambda: zarr.open_array(store, mode="r"), url)), store
    except (FileNotFoundError, ValueError) as error:  # of zarr, for a place without an array
        raise PlaneFileError("missing", f"no zarr array {url}") from error


@lru_cache(maxsize=OPEN)
def _open(metadata: Path, changed: int, thread: int) -> zarr.Array[Any]:
    """Open an array by its metadata file, one per thread; again when that file has changed."""
    try:
        budget.json_of(metadata)  # before zarr parses it
    except budget.OverBudgetError as error:
        raise PlaneFileError("unreadable", str(error)) from error
    return jpegxl.expect(zarr.open_array(metadata.parent, mode="r"))
