"""Formats of foreign tables, recognised by their first bytes, and read by pyarrow and NumPy.

Parquet (under any name), Feather and Arrow files, text (comma, semicolon or tab; UTF-8 or UTF-16; also compressed),
Excel workbooks (`.xlsx`), and DeepProfiler's `.npz` (one file per site, without pickles; a file, or a folder of a
plate). A table in long form (columns `metric` and `value`) is made wide, and a column of lists of numbers becomes one
column per place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import feather

from wellspring.encoders import table_text, table_workbook
from wellspring.encoders.table_arrays import INDEX, long_columns, npz_table, wide
from wellspring.io import budget
from wellspring.screen import not_a_table

Group = tuple[int | None, Iterator[pa.RecordBatch]]
# From columns, rows per batch and whether they are wanted as text to groups of rows.
Groups = Callable[[Sequence[str], int, bool], Iterator[Group]]
TAKEN = (
    "Parquet, Feather, Arrow, CSV (comma, semicolon or tab; UTF-8 or UTF-16; also .gz, .bz2, .zst), Excel's .xlsx, "
    "DeepProfiler's .npz"
)
_REFUSED = {
    b"SQLite format 3\0": "a SQLite database (convert it to Parquet with CytoTable)",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (h5ad, h5: write its table as Parquet)",
    b"\x93NUMPY": "a NumPy array without names of wells (write a table with plate and well columns)",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel 97 to 2003, or one with a password (save it as .xlsx or CSV)",
    b"%PDF": "a PDF",
    b"\xfd7zXZ\0": "an xz archive (unpack it)",
    b"\xff\xff\xff\xff": "an Arrow stream (write an Arrow file or Parquet)",
    b"\x80\x04": "a pickle, which could run code (write the table as Parquet)",
    b"\x80\x05": "a pickle, which could run code (write the table as Parquet)",
    b'{"': "JSON (write the table as Parquet or CSV)",
    b"[{": "JSON (write the table as Parquet or CSV)",
    b"RDX": "an R data file (write the table as Parquet or CSV)",
    b"version https://git-lfs": "a pointer of Git LFS, not the file (git lfs pull)",
}
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class Source:
    """A table that can be read column by column.

    Attributes
    ----------
    path
        The file or folder.
    schema
        Names and types of the columns; the places of a list column are columns of their own.
    groups
        From stored columns, a number of rows per batch, and whether text is wanted, to groups of rows: their number
        (None if unknown), and batches. A table of text gives columns as text if so; other formats keep their types.
    lists
        Column of the schema to the list column that holds it, and its place there.
    whole
        Columns that hold whole numbers, in a table of text: in its first rows.
    """

    path: Path
    schema: pa.Schema
    groups: Groups
    lists: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def stored(self, names: Sequence[str]) -> list[str]:
        """Return the stored columns that hold these columns, each once."""
        return list(dict.fromkeys(self.lists[name][0] if name in self.lists else name for name in names))


def open_source(path: str | Path) -> Source:
    """Recognise and open a table.

    Raises
    ------
    ValueError
        Not a table, a format that is not taken (names the formats that are), or duplicated column names.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _held(npz_table(sorted(path.rglob("*.npz")), path), path)
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise ValueError(f"{path}: expected a table, found: {error.strerror}") from error
    for mark, what in _REFUSED.items():
        if head.startswith(mark):
            raise ValueError(f"{path}: expected {TAKEN}; found {what}")
    try:
        return _opened(path, head)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ValueError(f"{path}: expected {TAKEN}; it cannot be read: {error}") from error


def is_parquet(path: str | Path) -> bool:
    """Return whether the first bytes of a file are those of Parquet; a folder is not."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _opened(path: Path, head: bytes) -> Source:
    if head.startswith(b"PAR1"):
        return _parquet(path)
    if head.startswith((b"ARROW1", b"FEA1")):
        budget.within(path.stat().st_size, 16 * budget.TABLE_BYTES, "bytes", path)
        return _held(feather.read_table(path), path)
    if head.startswith(b"PK"):
        if path.suffix.lower() == ".npz":
            return _held(npz_table([path], path), path)
        if table_workbook.is_workbook(path):
            return _held(table_workbook.read(path), path)
        raise ValueError(
            f"{path}: expected {TAKEN}; found an archive (unpack it) or another program's file (save as CSV)"
        )
    packing = next((name for mark, name in PACKED.items() if head.startswith(mark)), None)
    form, read, whole = table_text.opened(path, packing=packing)
    if _long(form):
        parts = [batch for _, batches in read(form.names, 2**16, True) for batch in batches]
        return _held(wide(pa.Table.from_batches(parts) if parts else form.empty_table(), path), path)
    return Source(path, _checked(form, path), read, whole=whole)


def _parquet(path: Path) -> Source:
    form = pq.read_schema(path)
    if _long(form):
        return _held(wide(budget.parquet(path), path), path)

    def groups(names: Sequence[str], step: int, text: bool) -> Iterator[Group]:
        # A dictionary of one long text and many short indices is measured before each row has its own text.
        file = pq.ParquetFile(path, read_dictionary=budget.texts(form, names))
        for number in range(file.num_row_groups):
            batches = file.iter_batches(batch_size=step, row_groups=[number], columns=list(names))
            tables = (budget.decoded(pa.Table.from_batches([batch]), path) for batch in batches)
            yield file.metadata.row_group(number).num_rows, (part for table in tables for part in table.to_batches())

    return _with_lists(path, form, groups)


def _held(table: pa.Table, path: Path) -> Source:
    def groups(names: Sequence[str], step: int, text: bool) -> Iterator[Group]:
        yield table.num_rows, iter(table.select(list(names)).to_batches(max_chunksize=step))

    if _long(table.schema):
        return _held(wide(table, path), path)
    return _with_lists(path, table.schema, groups)


def _long(form: pa.Schema) -> bool:
    """Return whether a table has one row per value: a column `metric` (or `feature`) of text and one `value`."""
    metric, value = long_columns(form.names)
    return metric is not None and value is not None and not pa.types.is_floating(form.field(metric).type)


def _checked(form: pa.Schema, path: Path) -> pa.Schema:
    # pandas writes its index as a column unless told otherwise; it is left out.
    form = pa.schema([one for one in form if not INDEX.fullmatch(one.name)])
    doubled = sorted({name for name in form.names if form.names.count(name) > 1})
    if doubled:
        hint = not_a_table.of_header(form.names)
        raise ValueError(f"{path}: expected unique column names, found duplicates of {doubled[:10]}{hint}")
    return form


def _with_lists(path: Path, form: pa.Schema, groups: Groups) -> Source:
    """Return the source whose list columns are given as one column per place, called `<column>_<place>`."""
    fields, lists = list[pa.Field](), dict[str, tuple[str, int]]()
    for one in _checked(form, path):
        if not _is_list(one.type):
            fields.append(one)
            continue
        for place in range(_width(one, groups)):
            fields.append(pa.field(f"{one.name}_{place}", one.type.value_type))
            lists[f"{one.name}_{place}"] = one.name, place
    whole = frozenset(one.name for one in form if pa.types.is_integer(one.type))
    return Source(path, _checked(pa.schema(fields), path), groups, lists, whole)


def _is_list(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    numeric = (pa.types.is_floating, pa.types.is_integer)
    return any(test(kind) for test in kinds) and any(test(kind.value_type) for test in numeric)


def _width(one: pa.Field, groups: Groups) -> int:
    """Return the length of the vectors of a list column: of the first that is not null."""
    if pa.types.is_fixed_size_list(one.type):
        return int(one.type.list_size)
    for _, batches in groups([one.name], 1024, False):
        for batch in batches:
            longest = pc.max(pc.list_value_length(batch.column(0))).as_py()
            if longest:
                return int(longest)
    return 0


def vectors(column: pa.Array, width: int, where: object) -> np.ndarray:
    """Return the vectors (rows, width) float64 of a list column; NaN where it is null.

    Raises
    ------
    ValueError
        A vector has another length.
    """
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    there = np.isfinite(lengths) & (lengths > 0)
    if (lengths[there] != width).any():
        raise ValueError(
            f"{where}: expected vectors of {width} values, found {sorted(set(lengths[there].tolist()))[:5]}"
        )
    values = pc.list_flatten(column.filter(pa.array(there))).cast(pa.float64()).to_numpy(zero_copy_only=False)
    found = np.full((len(column), width), np.nan)
    found[there] = values.reshape(-1, width)
    return found
