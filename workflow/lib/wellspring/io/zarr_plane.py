"""Read one plane of an array of an OME-Zarr plate, and refuse it if a chunk is missing.

Zarr reads a missing chunk as the fill value, so a lost file would become zeros. Here every chunk or shard of a plane
must be a file. If a writer leaves out chunks that have the fill value only, such a plane counts as ``truncated``; a
camera's offset makes these rare.
"""

import itertools
import math
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from wellspring.io import budget
from wellspring.io.plane_file import PlaneFileError

OPEN = 32  # arrays whose metadata stay in memory: those that the threads of a job read in turn


def read(folder: Path, page: int, *, largest: int) -> np.ndarray:
    """Read one plane (H, W) of an array (..., H, W) in its stored dtype.

    Parameters
    ----------
    folder
        Folder of the array, with its ``zarr.json`` or ``.zarray``.
    page
        Flat number over the axes before the last two.
    largest
        Most pixels of a plane, and of a chunk or shard; larger ones are refused.

    Raises
    ------
    PlaneFileError
        The plane does not exist, a chunk is missing, or the metadata state more than ``largest`` or than
        :mod:`wellspring.io.budget` allows.
    """
    metadata = next((path for name in ("zarr.json", ".zarray") if (path := folder / name).is_file()), None)
    if metadata is None:
        raise PlaneFileError("unreadable", "expected a file or a zarr array, found a folder")
    array = _open(metadata, metadata.stat().st_mtime_ns, threading.get_ident())
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
        grid = [range(count) for count in budget.chunks((height, width), pieces[-2:], folder.name)]
        budget.chunks((height, width), array.chunks[-2:], folder.name)  # within shards
    except budget.OverBudgetError as error:
        raise PlaneFileError("unreadable", str(error)) from error
    keys = [array.metadata.encode_chunk_key((*before, *place)) for place in itertools.product(*grid)]
    lost = [key for key in keys if not (folder / key).is_file()]
    if lost:
        status = "missing" if len(lost) == len(keys) else "truncated"
        raise PlaneFileError(status, f"{len(lost)} of {len(keys)} chunks are missing, as {lost[0]}")
    return np.asarray(array[index])


@lru_cache(maxsize=OPEN)
def _open(metadata: Path, changed: int, thread: int) -> zarr.Array[Any]:
    """Open an array by its metadata file, one per thread; again when that file has changed."""
    try:
        budget.json_of(metadata)  # before zarr parses it
    except budget.OverBudgetError as error:
        raise PlaneFileError("unreadable", str(error)) from error
    return zarr.open_array(metadata.parent, mode="r")
