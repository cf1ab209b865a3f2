"""Checksums of Parquet files: of every part and of the footer, so that no byte changes unnoticed.

Parquet's own page checksums leave out the headers of pages and the footer, which has the names of columns, the types,
the provenance and the verdict. A sealed file has the CRC-32C of each of its parts and of its footer in the key-value
metadata of the footer, under `wellspring.crc32c`; other readers ignore the key. A part is a large page of a column, or
some small pages of one row group. It is verified when one of its columns is read. Files without a seal, of version 0.1
and of other programs, are read as they are.
"""

import io
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEY = "wellspring.crc32c"
EMPTY = b"0" * 8  # in place of the footer's own checksum while that is computed
SEAL = re.compile(re.escape(KEY.encode()) + rb"\x18[\x00-\xff]{1,3}?([0-9a-f]{8})((?: \d+:[0-9a-f]{8})*);")
STEP = 2**18  # bytes that are read at a time: they stay in the cache of the processor
LARGE = 2**16  # bytes from which a page is a part of its own; smaller pages are joined until they have as many
AGAIN = "delete the file and run again, which makes it again"


@dataclass(frozen=True)
class Seal:
    """Checksums of a file: of each part, the offset behind its last byte and its CRC-32C."""

    path: Path
    parts: tuple[tuple[int, int], ...]

    def check(self, start: int = 0, stop: int | None = None) -> None:
        """Verify the parts that have bytes of `start` to `stop` (None: the last); errors as of `read`."""
        held = np.empty(STEP, dtype=np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for first, end, expected in self._within(start, stop):
                file.seek(first)
                found, left = 0, end - first
                while left and (count := file.readinto(held[: min(STEP, left)].data)):
                    found, left = google_crc32c.extend(found, held[:count]), left - count
                self._demand(first, end, expected, found)

    def read(self, start: int, stop: int) -> tuple[int, memoryview]:
        """Read and verify the parts that have bytes of `start` to `stop`; return where they begin, and their bytes.

        `ValueError` names the file and the bytes that are damaged.
        """
        parts = self._within(start, stop)
        origin, last = (parts[0][0], parts[-1][1]) if parts else (start, start)
        content = np.empty(last - origin, dtype=np.uint8)
        with self.path.open("rb", buffering=0) as file:
            file.seek(origin)
            for first, end, expected in parts:
                found, place = 0, first - origin
                while count := file.readinto(content[place : min(place + STEP, end - origin)].data):
                    found, place = google_crc32c.extend(found, content[place : place + count]), place + count
                self._demand(first, end, expected, found)
        return origin, content.data

    def _within(self, start: int, stop: int | None) -> list[tuple[int, int, int]]:
        """Return start, end and checksum of the parts that have bytes of `start` to `stop`."""
        ends = [end for end, _ in self.parts]
        found = []
        for number in range(bisect_right(ends, start), len(ends)):
            first = ends[number - 1] if number else 0
            if stop is not None and first >= stop:
                break
            found.append((first, *self.parts[number]))
        return found

    def _demand(self, start: int, end: int, expected: int, found: int) -> None:
        if found != expected:
            raise ValueError(
                f"{self.path}: the bytes {start} to {end} are damaged: expected the CRC-32C {expected:08x}, found "
                f"{found:08x}; {AGAIN}"
            )


class Writer:
    """Write a Parquet file with its seal; a context manager, and in it `write` one or more row groups.

    Parameters
    ----------
    path
        The file.
    form
        Schema of the tables, with the metadata to be stored.
    options
        Of `pyarrow.parquet.ParquetWriter`.
    """

    def __init__(self, path: Path, form: pa.Schema, options: dict[str, Any]) -> None:
        self._file = path.open("wb")
        self._sink = _Sink(self._file)
        self._writer = pq.ParquetWriter(self._sink, form, write_page_checksum=True, **options)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def write(self, table: pa.Table, *, rows: int) -> None:
        """Write a table in row groups of `rows` rows; nothing for a table without rows."""
        for start in range(0, len(table), rows):
            self._writer.write_table(table.slice(start, rows), row_group_size=rows)
            self._sink.close_part()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the footer, if nothing was raised, and close the file."""
        try:
            if kind is None:
                self._close()
        finally:
            self._writer.is_open = False  # else pyarrow writes the footer into the closed file when it is collected
            self._file.close()

    def _close(self) -> None:
        parts = "".join(f" {end}:{checksum:08x}" for end, checksum in self._sink.parts)
        self._writer.add_key_value_metadata({KEY: f"{EMPTY.decode()}{parts};"})
        self._sink.held = io.BytesIO()
        self._writer.close()
        footer = self._sink.held.getvalue()
        found = SEAL.search(footer)
        if found is None:
            raise RuntimeError(f"{self._file.name}: expected the key {KEY} in the footer, found none")
        own = f"{google_crc32c.value(footer):08x}".encode()
        self._file.write(footer[: found.start(1)] + own + footer[found.end(1) :])


def seal(path: str | Path) -> Seal | None:
    """Return the seal of a file, whose footer is verified; None for a file without one.

    Raises
    ------
    ValueError
        The file is cut, or its footer is damaged; names the file.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(size - 8, 0))
        tail = file.read()
        start = size - 8 - int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or start < 4:
            raise ValueError(f"{path}: expected a Parquet file, its end is missing or damaged ({size} bytes); {AGAIN}")
        file.seek(start)
        footer = file.read()
    found = SEAL.search(footer)
    if found is None:
        return None
    blank = footer[: found.start(1)] + EMPTY + footer[found.end(1) :]
    parts = [part.split(b":") for part in found[2].split()]
    ends = tuple((int(end), int(checksum, 16)) for end, checksum in parts)
    # The footer begins where the last part ends; 4 bytes are the file's mark.
    if google_crc32c.value(blank) != int(found[1], 16) or start != (ends[-1][0] if ends else 4):
        raise ValueError(f"{path}: the footer is damaged: it does not match its CRC-32C {found[1].decode()}; {AGAIN}")
    return Seal(path, ends)


def verify(path: str | Path, columns: Collection[str] | None = None) -> None:
    """Verify the parts of a file that have some columns (None: all); nothing for a file without a seal.

    `ValueError` names the file that is damaged.
    """
    found = seal(path)
    if found is None:
        return
    if columns is None:
        found.check()
        return
    for start, stop in _joined(sorted(span for name, span in _chunks(pq.read_metadata(path)) if name in columns)):
        found.check(start, stop)


def chunk(metadata: pq.FileMetaData, number: int, column: str) -> tuple[int, int]:
    """Return where a column of a row group begins and ends in its file; `KeyError` names a column that it lacks."""
    for name, span in _chunks(metadata, [number]):
        if name == column:
            return span
    raise KeyError(column)


class Window(io.RawIOBase):
    """Bytes of a file from `origin` on, which are in memory, as that file for a reader that asks for no others."""

    def __init__(self, origin: int, content: memoryview, size: int) -> None:
        self._origin, self._content, self._size, self._place = origin, content, size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place in the file."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file and return it."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> memoryview:  # pyarrow takes any buffer, without a copy
        """Return the next bytes; `EOFError` where they are not in memory."""
        start = self._place - self._origin
        if not 0 <= start <= start + size <= len(self._content):
            raise EOFError(f"expected bytes from {self._origin} on, was asked for {size} at {self._place}")
        self._place += size
        return self._content[start : start + size]


class _Sink(io.RawIOBase):
    """A file that computes the CRC-32C of its parts as they are written; the footer is held back once `held` is set."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size, self._checksum, self.held = file, 0, 0, None
        self.parts: list[tuple[int, int]] = []

    held: io.BytesIO | None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        content = np.frombuffer(data, dtype=np.uint8)
        if self.held is not None:
            self._size += len(content)
            return self.held.write(content.data)
        if len(content) >= LARGE:
            self.close_part()
        self._size += len(content)
        self._checksum = google_crc32c.extend(self._checksum, content)
        if self._size - self._start >= LARGE:
            self.close_part()
        return self._file.write(content.data)

    def close_part(self) -> None:
        """End a part here, if it has bytes."""
        if self._size > self._start:
            self.parts.append((self._size, self._checksum))
            self._checksum = 0

    @property
    def _start(self) -> int:
        return self.parts[-1][0] if self.parts else 0


def _chunks(metadata: pq.FileMetaData, numbers: Collection[int] | None = None) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name of each column of row groups (None: all) with where it begins and ends in its file."""
    for number in range(metadata.num_row_groups) if numbers is None else numbers:
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            start = column.data_page_offset
            if column.has_dictionary_page and column.dictionary_page_offset:
                start = min(start, column.dictionary_page_offset)
            yield column.path_in_schema.split(".")[0], (start, start + column.total_compressed_size)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans, in their order, that are neighbours."""
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found
