"""Read one plane of an array of an OME-Zarr plate, and refuse it if a chunk is lost.

Zarr reads an absent chunk as the fill value, so a lost file would become zeros. Writers may leave out chunks that have
the fill value only, as around a stitched or masked well. Both are told apart by the store: a chunk that is absent from
the index of a shard was not written. An absent file was not written if the array's fill value is 0, if the pixels
around it are zeros, and if no stored chunk of the plane is all zeros; the writer would have left out that one, too.
"""

import itertools
import math
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from wellspring.io import budget, object_store
from wellspring.io.plane_file import PlaneFileError

TOUCHING = 0.02  # largest share of pixels beside absent chunks that may differ from 0: a region may touch a corner
OPEN = 32  # arrays whose metadata stay in memory: those that the threads of a job read in turn


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
    if isinstance(folder, str):
        array, seen = _remote(folder, threading.get_ident())
        seen.absent.clear()
        return _plane(array, page, folder, seen, largest=largest, absent=absent)
    metadata = next((path for name in ("zarr.json", ".zarray") if (path := folder / name).is_file()), None)
    if metadata is None:
        raise PlaneFileError("unreadable", "expected a file or a zarr array, found a folder")
    array = _open(metadata, metadata.stat().st_mtime_ns, threading.get_ident())
    return _plane(array, page, folder, None, largest=largest, absent=absent)


def _plane(
    array: zarr.Array[Any], page: int, folder: Path | str, seen: "_Seen | None", *, largest: int, absent: str
) -> np.ndarray:
    """Read a plane of an open array; ``seen`` is the store of a remote one."""
    if array.ndim < 2:
        raise PlaneFileError(
            "unreadable", f"expected axes of which y and x are the last, found the shape {array.shape}"
        )
    *steps, height, width = array.shape
    pieces = array.shards or array.chunks
    if max(height * width, math.prod(pieces)) > largest:
        raise PlaneFileError(
            "unreadable", f"expected at most {largest} pixels, found {array.shape} in pieces of {pieces}"
        )
    if page >= math.prod(steps):
        raise PlaneFileError("missing", f"no plane {page} in the shape {array.shape}")
    index = tuple(int(number) for number in np.unravel_index(page, steps)) if steps else ()
    before = tuple(number // size for number, size in zip(index, pieces, strict=False))
    try:
        grid = [range(count) for count in budget.chunks((height, width), pieces[-2:], folder)]
        budget.chunks((height, width), array.chunks[-2:], folder)  # within shards
    except budget.OverBudgetError as error:
        raise PlaneFileError("unreadable", str(error)) from error
    keys = [array.metadata.encode_chunk_key((*before, *place)) for place in itertools.product(*grid)]
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
        there = np.array([key not in lost for key in keys]).reshape([len(steps) for steps in grid])
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
        return object_store.persist(lambda: zarr.open_array(store, mode="r"), url), store
    except (FileNotFoundError, ValueError) as error:  # of zarr, for a place without an array
        raise PlaneFileError("missing", f"no zarr array {url}") from error


@lru_cache(maxsize=OPEN)
def _open(metadata: Path, changed: int, thread: int) -> zarr.Array[Any]:
    """Open an array by its metadata file, one per thread; again when that file has changed."""
    try:
        budget.json_of(metadata)  # before zarr parses it
    except budget.OverBudgetError as error:
        raise PlaneFileError("unreadable", str(error)) from error
    return zarr.open_array(metadata.parent, mode="r")
