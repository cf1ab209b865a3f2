"""What one file of a plate may cost: bytes, elements, pieces, depth. Asked before anything is allocated for it.

A file of some hundred bytes can promise a million chunks, and a compressed one expand a thousandfold. The limits are
several times what the largest plates known to us need (1536 wells x 9 fields x 5 channels x 40 planes).
"""

import gzip
import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TABLE_BYTES = 2**28  # of a table, unpacked; a LoadData table of 1.4 million images has some 250 MB
JSON_BYTES = 2**26  # of one metadata file; an NGFF plate of 1536 wells has 200 kB
ELEMENTS = 2**22  # values of JSON, elements and attributes of XML; some 100 bytes each in memory
CHUNKS = 2**16  # files of one plane of a Zarr array; 8,100 at 256 px for a stitched well of 23,000 px
CELLS = 2**25  # of a table that is read as text; 1536 wells x 9 fields x 40 planes x 40 columns are 22 million
DEPTH = 32  # folders below a plate's; vendors have 4
UNPACKED = "bytes after unpacking"
BLOCK = 2**20


class OverBudgetError(ValueError):
    """A file that costs out of all proportion; names the file, the limit and what was found."""


def within(found: float, most: int, what: str, where: object) -> None:
    """Raise `OverBudgetError` if there is more of something than a file may have.

    Examples
    --------
    >>> within(4_000_000, CHUNKS, "chunks", "A/1/0/0")
    Traceback (most recent call last):
    ...
    wellspring.io.budget.OverBudgetError: A/1/0/0: expected at most 65,536 chunks, found 4,000,000
    """
    if found > most:
        raise OverBudgetError(f"{where}: expected at most {most:,} {what}, found {found:,}")


def json_of(path: Path) -> object:
    """Read a JSON file of bounded size.

    Raises
    ------
    OverBudgetError
        More bytes or values than a metadata file has, or values nested too deep.
    ValueError
        No JSON.
    """
    within(path.stat().st_size, JSON_BYTES, "bytes", path)
    data = path.read_bytes()
    within(sum(map(data.count, (b",", b"[", b"{"))), ELEMENTS, "values", path)
    try:
        found: object = json.loads(data)
    except RecursionError as error:
        raise OverBudgetError(f"{path}: expected values that are nested a few levels, found too many levels") from error
    return found


def check_xml(text: str | bytes, *, source: object) -> None:
    """Raise `OverBudgetError` if XML has more elements and attributes than can be held as a tree."""
    signs = ("<", "=") if isinstance(text, str) else (b"<", b"=")
    within(sum(map(text.count, signs)), ELEMENTS, "elements and attributes", source)  # type: ignore[arg-type]  # of one kind


def chunks(shape: Sequence[int], pieces: Sequence[int], where: object) -> list[int]:
    """Return the number of pieces along each axis, after comparing their product with `CHUNKS`."""
    counts = [math.ceil(size / max(piece, 1)) for size, piece in zip(shape, pieces, strict=True)]
    within(math.prod(counts), CHUNKS, "chunks of a plane", where)
    return counts


def unpacked(path: Path) -> io.BytesIO:
    """Return the content of a file, unpacked if its name ends in `.gz`; `OverBudgetError` beyond `TABLE_BYTES`."""
    within(path.stat().st_size, TABLE_BYTES, "bytes", path)
    if path.suffix.lower() != ".gz":
        return io.BytesIO(path.read_bytes())
    content = io.BytesIO()
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            content.write(block)
            within(content.tell(), TABLE_BYTES, UNPACKED, path)
    content.seek(0)
    return content


def check_cells(text: str | bytes, path: Path) -> None:
    """Raise `OverBudgetError` if a table of text has more cells than `CELLS`."""
    signs = ("\n", ",", ";", "\t") if isinstance(text, str) else (b"\n", b",")
    within(sum(map(text.count, signs)), CELLS, "cells", path)  # type: ignore[arg-type]  # of one kind


def check_workbook(path: Path) -> None:
    """Raise `OverBudgetError` if the parts of a workbook are larger, unpacked, than a table may be."""
    with zipfile.ZipFile(path) as archive:
        within(sum(part.file_size for part in archive.infolist()), TABLE_BYTES, UNPACKED, path)


def parquet(path: Path, names: list[str] | None = None, *, most: int = 4 * TABLE_BYTES) -> pa.Table:
    """Read columns (None: all) of a Parquet file whose text is held in memory.

    Raises
    ------
    OverBudgetError
        More cells than `CELLS`, or more than `most` bytes after unpacking; a file of some kB can promise terabytes.
    ValueError
        Names columns that are there more than once, of which none can be chosen by its name.
    """
    form = pq.read_schema(path)
    doubled = sorted({name for name in form.names if form.names.count(name) > 1})
    if doubled:
        raise ValueError(
            f"{path}: expected each column once, found {doubled} more than once (rename or delete all but one)"
        )
    wanted = form.names if names is None else names
    with pq.ParquetFile(path, read_dictionary=texts(form, wanted)) as file:
        described = file.metadata
        within(described.num_rows * max(len(wanted), 1), CELLS, "cells", path)
        groups = [described.row_group(number) for number in range(described.num_row_groups)]
        parts = [group.column(number) for group in groups for number in range(group.num_columns)]
        read = [part for part in parts if part.path_in_schema.split(".")[0] in wanted]
        within(sum(part.total_uncompressed_size for part in read), most, UNPACKED, path)
        return decoded(file.read(columns=names), path, most=most)


def texts(form: pa.Schema, names: Sequence[str]) -> list[str]:
    """Return the columns of text among `names`: read as a dictionary and its indices, they take no more than stored."""
    return [name for name in names if name in form.names and _is_text(form.field(name).type)]


def decoded(table: pa.Table, path: Path, *, most: int = 4 * TABLE_BYTES) -> pa.Table:
    """Return a table with a value in each row in place of dictionaries; `OverBudgetError` beyond `most` bytes."""
    coded = [number for number, field in enumerate(table.schema) if pa.types.is_dictionary(field.type)]
    within(sum(_length(chunk) for number in coded for chunk in table.column(number).chunks), most, UNPACKED, path)
    for number in coded:
        field = table.schema.field(number)
        value = field.type.value_type
        table = table.set_column(number, field.with_type(value), table.column(number).cast(value))
    return table


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _length(chunk: pa.DictionaryArray) -> int:
    """Return the bytes of a column of text once each row has its own."""
    if not _is_text(chunk.type.value_type) or not len(chunk.dictionary):
        return 0
    return pc.sum(pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)).as_py() or 0
