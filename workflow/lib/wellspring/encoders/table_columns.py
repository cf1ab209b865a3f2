"""Columns of a table of another tool, Parquet or CSV.

Metadata columns are read whole, as text; numeric columns in blocks, as float32, one block in memory.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from wellspring.io import budget

VALUES = 2**21  # numbers per block, 16 MB of float64


def schema(path: Path) -> pa.Schema:
    """Return names and types of the columns; in a CSV, columns `Metadata_*` are text, and all others numbers.

    Raises
    ------
    ValueError
        Two columns have the same name.
    """
    if path.suffix == ".parquet":
        form = pq.read_schema(path)
    else:
        kinds = [(name, pa.string() if name.startswith("Metadata_") else pa.float64()) for name in _header(path)]
        form = pa.schema(kinds)
    # pandas writes its index as a column unless told otherwise; it is left out.
    form = pa.schema([field for field in form if not re.fullmatch(r"__index_level_\d+__|", field.name)])
    doubled = sorted({name for name in form.names if form.names.count(name) > 1})
    if doubled:
        raise ValueError(f"{path}: expected unique column names, found duplicates of {doubled[:10]}")
    return form


def texts(path: Path, names: list[str]) -> pd.DataFrame:
    """Return columns as strings or None; numeric barcodes keep their digits, and a float 12.0 becomes 12."""
    if path.suffix == ".parquet":
        table = budget.parquet(path, names)
    else:
        options = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.string()))
        batches, size = [], 0
        with csv.open_csv(path, convert_options=options) as stream:
            for batch in stream:
                size += batch.nbytes
                budget.within(size, 4 * budget.TABLE_BYTES, "bytes after unpacking", path)
                batches.append(batch)
            table = pa.Table.from_batches(batches, schema=stream.schema)
    return pd.DataFrame({name: _text(table.column(name)) for name in names})


def numbers(path: Path, names: list[str], *, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks: the number of the first row, and numbers (rows, d) float32.

    Row groups without any row of `wanted` are skipped.

    Raises
    ------
    ValueError
        A value in a column of a CSV is not a number; names the column.
    """
    start = 0
    for size, batches in _groups(path, names):
        if size is not None and not ((wanted >= start) & (wanted < start + size)).any():
            start += size
            continue
        for batch in batches:
            block = np.empty((len(names), batch.num_rows), dtype=np.float32)
            with np.errstate(over="ignore"):  # float32 overflow gives infinity, which aggregation leaves out and counts
                for number, column in enumerate(batch.columns):
                    block[number] = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            yield start, np.ascontiguousarray(block.T)
            start += batch.num_rows


def _header(path: Path) -> list[str]:
    with csv.open_csv(path) as stream:
        return list(stream.schema.names)


def _groups(path: Path, names: list[str]) -> Iterator[tuple[int | None, Iterator[pa.RecordBatch]]]:
    """Yield the row groups of a file: number of rows (None for a CSV, which is one group) and batches."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        step = max(VALUES // len(names), 1)
        for number in range(file.num_row_groups):
            batches = file.iter_batches(batch_size=step, row_groups=[number], columns=names)
            yield file.metadata.row_group(number).num_rows, batches
    else:
        yield None, _csv_batches(path, names)


def _csv_batches(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    options = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.float64()))
    try:
        with csv.open_csv(path, convert_options=options) as stream:
            yield from stream
    except pa.ArrowInvalid as error:
        # Arrow's message has the number of the column; replaced by its name.
        known = _header(path)
        message = re.sub(r"column #(\d+)", lambda found: f"column {known[int(found[1])]!r}", str(error))
        raise ValueError(
            f"{path}: expected numbers in each column that is not Metadata_*: {message} (choose by `features`)"
        ) from error


def _text(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        whole = pc.all(pc.equal(column, pc.round(column))).as_py()
        column = column.cast(pa.int64()) if whole else column
    values = column.cast(pa.string()).to_pandas().astype(object)
    return values.where(values.notna() & (values != ""), None)
