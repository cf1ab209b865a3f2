"""Arrays in NumPy files, read item by item, each with a checksum; and archives of arrays (`.npz`).

Behind the array, where NumPy does not look, the file has the CRC-32C of each item (4 bytes each, little-endian), the
CRC-32C of those together with the array's header, and a mark. An item is verified when it is read. Files without the
mark, of version 0.1 and of other programs, are read as they are.
"""

import io
import math
import os
import tokenize
import weakref
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

MARK = b"wellspring crc32c 1\n"
CHECK = 4  # bytes of a checksum
# What NumPy raises for a damaged header, which it parses as Python's own tokens.
UNREADABLE = (ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, tokenize.TokenError)
AGAIN = "delete the file and run again, which makes it again"


class Packed:
    """An array (N, ...) in a NumPy file, read item by item.

    The file is not mapped into memory: the pages of a mapped file that a process has touched count as its memory,
    which would seem to grow to the size of the training set. The file stays open, since opening it takes half as long
    as reading an item.

    Raises
    ------
    ValueError
        The file is cut or damaged, or not in C order; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            mapped = np.lib.format.open_memmap(path, mode="r")
            flags, self.shape, self.dtype, self._start = mapped.flags, mapped.shape, mapped.dtype, mapped.offset
        except UNREADABLE as error:
            raise ValueError(f"{path}: expected an array in a NumPy file, found {error}; {AGAIN}") from error
        if not flags.c_contiguous:
            raise ValueError(f"{path}: expected an array in C order, found {flags}")
        self._size = self.dtype.itemsize * math.prod(self.shape[1:])  # bytes of an item
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._checks = self._read_checks()

    def __reduce__(self) -> tuple[type["Packed"], tuple[Path]]:
        """Open the file again in another process."""
        return Packed, (self.path,)

    def __len__(self) -> int:
        return int(self.shape[0])

    def read(self, item: int) -> NDArray[Any]:
        """Return item number `item`; several threads may read at the same time.

        `ValueError` names the file and the item that is missing or does not match its checksum.
        """
        content = os.pread(self._file, self._size, self._start + item * self._size) if item < len(self) else b""
        if len(content) != self._size:
            raise ValueError(f"{self.path}: expected {self._size} bytes of item {item}, found {len(content)}")
        if self._checks is not None and google_crc32c.value(content) != self._checks[item]:
            raise ValueError(f"{self.path}: item {item} is damaged: it does not match its CRC-32C; {AGAIN}")
        return np.frombuffer(content, dtype=self.dtype).reshape(self.shape[1:])

    def take(self, items: Iterable[int]) -> NDArray[Any]:
        """Return several items, (items, ...), in the order given."""
        found = [self.read(int(item)) for item in items]
        return np.stack(found) if found else np.empty((0, *self.shape[1:]), dtype=self.dtype)

    def verify(self) -> None:
        """Read every item; `ValueError` as of `read`."""
        for item in range(len(self)):
            self.read(item)

    def _read_checks(self) -> memoryview | None:
        """Return the checksums of the items, whose numbers a view gives in a fraction of an array's time."""
        end = self._start + self.dtype.itemsize * int(np.prod(self.shape, dtype=object))
        size = CHECK * len(self)
        tail = os.pread(self._file, size + CHECK + len(MARK) + 1, end)
        if not tail:
            return None
        checks, own, mark = tail[:size], tail[size : size + CHECK], tail[size + CHECK :]
        header = os.pread(self._file, self._start, 0)
        if mark != MARK or google_crc32c.value(header + checks).to_bytes(CHECK, "little") != own:
            raise ValueError(f"{self.path}: the header or the checksums behind the array are damaged; {AGAIN}")
        return np.frombuffer(checks, dtype="<u4").astype(np.uint32).data


def seal(path: str | Path) -> None:
    """Append the checksums to a complete NumPy file of an array (N, ...) in C order."""
    array = Packed(path)
    checks = np.array([google_crc32c.value(array.read(item).tobytes()) for item in range(len(array))], dtype="<u4")
    with Path(path).open("r+b") as file:
        header = file.read(array._start)
        file.seek(0, io.SEEK_END)
        own: int = google_crc32c.value(header + checks.tobytes())
        file.write(checks.tobytes() + own.to_bytes(CHECK, "little") + MARK)


def mapped(path: str | Path) -> NDArray[Any]:
    """Return the whole array, verified once and then mapped into memory."""
    Packed(path).verify()
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def archive(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an `.npz` without pickles; each is verified before NumPy looks at it.

    Raises
    ------
    ValueError
        The archive is cut or damaged; names the file.
    """
    content = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as stored:
            # The end of an archive has the number of its members; a damaged length in its list swallows the next ones.
            end = content.rindex(b"PK\5\6")
            expected = int.from_bytes(content[end + 10 : end + 12], "little")
            if len(stored.namelist()) != expected:
                raise ValueError(f"{len(stored.namelist())} of {expected} members")
            return {
                name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(stored.read(name)), allow_pickle=False)
                for name in stored.namelist()
            }
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *UNREADABLE) as error:
        raise ValueError(f"{path}: expected an archive of arrays, found {error}; {AGAIN}") from error
