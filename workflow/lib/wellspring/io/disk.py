"""Full disks: one error for all writers, which names the output, its folder and the remedy."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# NumPy raises an error without a number, Arrow and HDF5 one with the system's sentence in its own.
WORDS = re.compile(r"\d+ requested and \d+ written|no space left|disk quota exceeded", re.IGNORECASE)


class DiskFullError(OSError):
    """A disk without space; names the output and its folder."""


def is_full(error: OSError) -> bool:
    """Return whether an error means that the disk, or the user's share of it, is full."""
    return error.errno in FULL or WORDS.search(str(error)) is not None


def full(what: str, folder: Path, error: OSError) -> DiskFullError:
    """Return the error of a full disk.

    Parameters
    ----------
    what
        What was being written.
    folder
        The folder that it was written to.
    error
        The error of the writing library.
    """
    number = error.errno if error.errno in FULL else errno.ENOSPC
    try:
        left = f"{shutil.disk_usage(folder).free // 10**6} MB free"
    except OSError:
        left = "free space unknown"
    return DiskFullError(
        number,
        f"{what}: could not be written to {folder}: no space left ({left}; a quota may be smaller). "
        f"Free space or move the results, then run again ({error.strerror or error})",
    )


@contextmanager
def filling(path: Path) -> Iterator[None]:
    """Turn the error of a full disk, by whichever library, into one `OSError` that names the file and its folder."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DiskFullError) or not is_full(error):
            raise
        raise full(path.name, path.parent, error) from error


def reserve(path: Path) -> None:
    """Reserve the disk space of a file of its present size.

    Without it, a memory map of a file on a full disk ends the process with SIGBUS.
    """
    with path.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size:
            os.posix_fallocate(stream.fileno(), 0, size)
