"""Vectors of many views, part by part: written as they are made, read as they are needed, their names beside them.

In flow rows and vectors of one field after the other, out flows a table `embed`; a plate of 500,000 cells with 2,000
hand-made features each is 4 GB, which neither the writer nor whoever aggregates them should hold at once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wellspring import tables

VALUES = 2**23  # numbers in a row group: 32 MB of float32


def write_parts(
    parts: Iterable[tuple[pd.DataFrame, np.ndarray]],
    path: str | Path,
    *,
    names: Sequence[str],
    table: str,
    provenance: Mapping[str, object],
    verdict: tables.Verdict | None = None,
    values: int = VALUES,
) -> int:
    """Write rows and their vectors as the table `table`, with one row group in memory; return the number of rows.

    Parameters
    ----------
    parts
        Rows and their (rows, d) float32, in the order of the key from part to part. Empty ones are passed over; without
        any other the table is a valid one without rows.
    names
        What the d values are called; kept in the file for `names_of`.
    values
        Numbers of a row group. It is filled by whole parts, so the same parts give the same bytes.

    Raises
    ------
    ValueError
        Vectors of another length than `names`, or a part whose rows belong before those of the part before it.
    """
    columns = {name: kind for name, kind in tables.schema(table)["columns"].items() if kind["type"] != "embedding"}
    nothing = pd.DataFrame({name: [] for name in columns}), np.empty((0, len(names)), dtype=np.float32)
    stored = tables.stored(table, provenance, verdict) | {"wellspring.features": json.dumps(list(names))}
    form = tables.with_vectors(*nothing, table=table).schema.with_metadata(stored)
    waiting, last, rows = [], None, 0
    with tables.atomic(path) as temporary, pq.ParquetWriter(temporary, form, **tables.parquet_options(form)) as writer:
        for frame, matrix in parts:
            if matrix.shape[1] != len(names):
                raise ValueError(f"{table}: expected vectors of {len(names)} values, found {matrix.shape[1]}")
            if not len(frame):
                continue
            part = tables.with_vectors(frame, matrix, table=table).cast(form)
            first, end = _ends(part, tables.schema(table)["key"])
            if last is not None and first <= last:
                raise ValueError(f"{table}: expected parts in the order of their keys, found {first} after {last}")
            waiting, last, rows = [*waiting, part], end, rows + len(frame)
            if sum(map(len, waiting)) * len(names) >= values:
                writer.write_table(pa.concat_tables(waiting), row_group_size=rows)
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=rows)
    return rows


def names_of(path: str | Path) -> list[str] | None:
    """Return what the values of a table `embed` are called, or None where they have a number only."""
    found = tables.metadata(path).get("features")
    return None if found is None else json.loads(found)


def open_embedding(path: str | Path) -> tuple[pd.DataFrame, "Vectors"]:
    """Read the rows of a table `embed`, and open their vectors, which are read when they are asked for."""
    return tables.read(path), Vectors(path)


class Vectors:
    """The vectors (rows, d) of a table `embed`: `vectors[rows]` reads those of the rows, in that order.

    One row group is held at a time. Whoever goes through the rows in the file's order reads each group once.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = pq.ParquetFile(path)
        sizes = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        self._held: tuple[int, np.ndarray] | None = None
        kind = self._file.schema_arrow.field("embedding").type
        self.shape = (int(self._starts[-1]), kind.list_size)
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        found = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        for group in np.unique(groups).tolist():
            found[groups == group] = self._group(group)[rows[groups == group] - self._starts[group]]
        return found

    def _group(self, number: int) -> np.ndarray:
        if self._held is None or self._held[0] != number:
            column = self._file.read_row_group(number, columns=["embedding"]).column("embedding")
            values = pa.concat_arrays([chunk.flatten() for chunk in column.chunks])
            self._held = number, values.to_numpy(zero_copy_only=False).reshape(-1, self.shape[1])
        return self._held[1]


def _ends(part: pa.Table, key: Sequence[str]) -> tuple[tuple, tuple]:
    """Return the keys of the first and of the last row."""
    rows = part.select(list(key))
    return tuple(tuple(rows.slice(at, 1).to_pylist()[0].values()) for at in (0, len(part) - 1))
