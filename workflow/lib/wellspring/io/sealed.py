"""Checksums of Parquet files: of every row group and of the footer, so that no byte changes unnoticed.

Parquet's own page checksums leave out the headers of pages and the footer, which has the names of columns, the types,
the provenance and the verdict. A sealed file has the CRC-32C of each row group and of its footer in the key-value
metadata of the footer, under `wellspring.crc32c`; other readers ignore the key. A row group is verified when it is
read. Files without a seal, of version 0.1 and of other programs, are read as they are.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

KEY = "wellspring.crc32c"
EMPTY = b"0" * 8  # in place of the footer's own checksum while that is computed
SEAL = re.compile(re.escape(KEY.encode()) + rb"\x18[\x00-\xff]{1,3}?([0-9a-f]{8})((?: \d+:[0-9a-f]{8})*);")
STEP = 2**18  # bytes that are read at a time: they stay in the cache of the processor
AGAIN = "delete the file and run again, which makes it again"


@dataclass(frozen=True)
class Seal:
    """Checksums of a file: of each row group, the offset behind its last byte and its CRC-32C."""

    path: Path
    groups: tuple[tuple[int, int], ...]

    def check(self, numbers: Sequence[int] | None = None) -> None:
        """Read row groups (None: all); `ValueError` names the file and the group that is damaged."""
        with self.path.open("rb", buffering=0) as file:
            for number in range(len(self.groups)) if numbers is None else numbers:
                end, expected = self.groups[number]
                start = self.groups[number - 1][0] if number else 0
                found = _checksum(file, start, end)
                if found != expected:
                    raise ValueError(
                        f"{self.path}: row group {number} is damaged: expected the CRC-32C {expected:08x}, found "
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
        self._groups: list[tuple[int, int]] = []
        self._writer = pq.ParquetWriter(self._sink, form, write_page_checksum=True, **options)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def write(self, table: pa.Table, *, rows: int) -> None:
        """Write a table in row groups of `rows` rows; nothing for a table without rows."""
        for start in range(0, len(table), rows):
            self._writer.write_table(table.slice(start, rows), row_group_size=rows)
            self._groups.append((self._sink.tell(), self._sink.checksum))
            self._sink.checksum = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the footer, if nothing was raised, and close the file."""
        try:
            if kind is None:
                self._close()
        finally:
            self._file.close()

    def _close(self) -> None:
        groups = "".join(f" {end}:{checksum:08x}" for end, checksum in self._groups)
        self._writer.add_key_value_metadata({KEY: f"{EMPTY.decode()}{groups};"})
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
    groups = [part.split(b":") for part in found[2].split()]
    ends = tuple((int(end), int(checksum, 16)) for end, checksum in groups)
    # The footer begins where the last row group ends; 4 bytes are the file's mark.
    if google_crc32c.value(blank) != int(found[1], 16) or start != (ends[-1][0] if ends else 4):
        raise ValueError(f"{path}: the footer is damaged: it does not match its CRC-32C {found[1].decode()}; {AGAIN}")
    return Seal(path, ends)


def verify(path: str | Path) -> None:
    """Verify a whole file; nothing for a file without a seal. `ValueError` names the file that is damaged."""
    found = seal(path)
    if found is not None:
        found.check()


class _Sink(io.RawIOBase):
    """A file that computes the CRC-32C of what is written; the footer is held back once `held` is set."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size, self.checksum, self.held = file, 0, 0, None

    held: io.BytesIO | None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._size += len(content)
        if self.held is not None:
            return self.held.write(content)
        self.checksum = google_crc32c.extend(self.checksum, content)
        return self._file.write(content)


def _checksum(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    found: int = 0
    while start < end:
        content = file.read(min(STEP, end - start))
        if not content:
            break
        found, start = google_crc32c.extend(found, content), start + len(content)
    return found
