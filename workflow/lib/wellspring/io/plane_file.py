"""Common code of the readers of single planes: their error, and a check for files that end before their pixels."""

import struct
from pathlib import Path


class PlaneFileError(ValueError):
    """A plane that cannot be read; `status` is missing, truncated, unreadable or dtype."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def is_tiff(path: Path) -> bool:
    """Return whether a file begins like a TIFF or BigTIFF; its name does not matter."""
    with path.open("rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def ends_early(path: Path) -> bool:
    """Return whether a file is empty, or a TIFF whose directory, or a PNG whose end, lies beyond its last byte."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(8)
            stream.seek(max(size - 12, 0))
            tail = stream.read()
    except OSError:  # a folder, or a file that may not be read
        return False
    if head[:4] in (b"II*\0", b"MM\0*"):
        offset: int = struct.unpack("<I" if head[:1] == b"I" else ">I", head[4:].ljust(4, b"\0"))[0]
        return offset + 2 > size
    return size == 0 or (head[:4] == b"\x89PNG" and b"IEND" not in tail)
