"""Write and read tables `embed` part by part, with the names of their features.

A plate of 500,000 cells with 2,000 classical features each has 4 GB, which neither the writer nor the aggregation
should have in memory at once.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wellspring.io import sealed, tables

VALUES = 2**21  # numbers per row group: 8 MB of float32, for which the writer needs about 90 MB
AHEAD = 2  # row groups that are read ahead, each by a thread: decoding takes longer than aggregating


def write_parts(
    parts: Iterable[tuple[pd.DataFrame, np.ndarray]],
    path: str | Path,
    *,
    names: Sequence[str] | None = None,
    table: str,
    provenance: Mapping[str, object],
    verdict: tables.Verdict | None = None,
    values: int = VALUES,
) -> int:
    """Write rows and their vectors as the table `table`, with one row group in memory; return the number of rows.

    Parameters
    ----------
    parts
        Rows and their vectors (rows, d), float16 or float32, in the order of the key from part to part; a part may be
        empty.
    names
        Names of the d values, stored in the file for `names_of`. With names, no parts give a valid float32 table
        without rows; without names, the first part defines the length and type of the vectors.
    values
        Numbers per row group. A group consists of whole parts, so the same parts give the same bytes.

    Raises
    ------
    ValueError
        There are neither parts nor names; vectors differ in length from the first or from `names`; or parts are not in
        the order of the key.
    """
    if names is not None:
        parts = chain([_nothing(table, len(names))], parts)
    stored = tables.stored(table, provenance, verdict)
    stored |= {} if names is None else {"wellspring.features": json.dumps(list(names))}
    rows = 0
    with tables.atomic(path) as temporary, ExitStack() as stack:
        writer = None
        for frame, matrix in _groups(parts, table=table, values=values):
            group = tables.with_vectors(frame, matrix, table=table)
            if writer is None:
                form = group.schema.with_metadata(stored)
                writer = stack.enter_context(sealed.Writer(temporary, form, tables.parquet_options(form)))
            writer.write(group, rows=max(len(group), 1))
            rows += len(group)
        if writer is None:
            raise ValueError(f"{table}: expected at least one part, which may be empty, found none")
    return rows


def names_of(path: str | Path) -> list[str] | None:
    """Return the names of the values of a table `embed`, or None if they are only numbered."""
    found = tables.metadata(path).get("features")
    return None if found is None else list(json.loads(found))


def open_embedding(path: str | Path) -> tuple[pd.DataFrame, "Vectors"]:
    """Read the rows of a table `embed`, and open their vectors, which are read when they are indexed."""
    return tables.read(path), Vectors(path)


class Vectors:
    """The vectors (rows, d) of a table `embed`: `vectors[rows]` reads those rows, in that order.

    One row group is in memory, and two more are read ahead. Reading rows in the file's order reads each group once;
    consecutive rows of one group are a view of it, which must not be written to. Vectors that do not match their
    checksums are a `ValueError` that names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self._seal = sealed.seal(path)
        self._path, self._file, self._size = path, pq.ParquetFile(path), Path(path).stat().st_size
        sizes = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        self._held: tuple[int, np.ndarray] | None = None
        self._ahead: dict[int, Future[np.ndarray]] = {}
        self._readers, self._own = ThreadPoolExecutor(AHEAD), threading.local()
        kind = self._file.schema_arrow.field("embedding").type
        self.shape = (int(self._starts[-1]), kind.list_size)
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            runs = [self._run(group, rows[0], rows[-1] + 1) for group in range(groups[0], groups[-1] + 1)]
            return runs[0] if len(runs) == 1 else np.concatenate(runs)
        found = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for group in np.unique(groups).tolist():
            found[groups == group] = self._group(group)[rows[groups == group] - self._starts[group]]
        return found

    def _run(self, group: int, start: int, stop: int) -> np.ndarray:
        """Return the part of the rows `start` to `stop` that is in a row group."""
        first, last = self._starts[group : group + 2]
        return self._group(group)[max(start, first) - first : min(stop, last) - first]

    def _group(self, number: int) -> np.ndarray:
        """Return the vectors of a row group; while groups are read in order, the next ones are read ahead."""
        if self._held is None or self._held[0] != number:
            on = self._held is None or number == self._held[0] + 1
            wanted = range(number, min(number + (AHEAD if on else 0) + 1, self._file.num_row_groups))
            self._ahead = {one: self._ahead.get(one) or self._readers.submit(self._read, one) for one in wanted}
            self._held = number, self._ahead.pop(number).result()
        return self._held[1]

    def _read(self, number: int) -> np.ndarray:
        if self._seal is None:
            if not hasattr(self._own, "file"):  # a file may be read by one thread at a time
                self._own.file = pq.ParquetFile(self._path)
            file = self._own.file
        else:  # read once: what was verified is decoded
            start, stop = sealed.chunk(self._file.metadata, number, "embedding")
            window = sealed.Window(*self._seal.read(start, stop), self._size)
            file = pq.ParquetFile(window, metadata=self._file.metadata)
        column = file.read_row_group(number, columns=["embedding"]).column("embedding")
        values = pa.concat_arrays([chunk.flatten() for chunk in column.chunks])
        vectors: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(-1, self.shape[1])
        return vectors


def _groups(
    parts: Iterable[tuple[pd.DataFrame, np.ndarray]], *, table: str, values: int
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Join parts of one width, in the order of the key, until they have `values` numbers; the first group is empty.

    Joining also saves time: checking the schema of a small part takes longer than a small network does.
    """
    kinds = {name: tables.schema(table)["columns"][name]["type"] for name in tables.schema(table)["key"]}
    waiting, width, last = [], None, None
    for frame, matrix in parts:
        if width is None:
            width = matrix.shape[1]
            yield frame.iloc[:0], matrix[:0]
        if matrix.shape[1] != width:
            raise ValueError(f"{table}: expected vectors of {width} values, found {matrix.shape[1]}")
        if len(frame) != len(matrix):
            raise ValueError(f"{table}: expected {len(frame)} vectors, found {len(matrix)}")
        if not len(frame):
            continue
        columns = [frame[name].astype(str) if kind == "string" else frame[name] for name, kind in kinds.items()]
        keys = list(zip(*(column.tolist() for column in columns), strict=True))
        first = min(keys)
        if last is not None and first <= last:
            raise ValueError(f"{table}: expected parts in the order of their keys, found {first} after {last}")
        last = max(keys)
        waiting.append((frame, matrix))
        if sum(each.size for _, each in waiting) >= values:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[tuple[pd.DataFrame, np.ndarray]]) -> tuple[pd.DataFrame, np.ndarray]:
    frames, matrices = zip(*parts, strict=True)
    return pd.concat(frames, ignore_index=True), np.concatenate(matrices)


def _nothing(table: str, width: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a part without rows."""
    columns = [name for name, kind in tables.schema(table)["columns"].items() if kind["type"] != "embedding"]
    return pd.DataFrame({name: [] for name in columns}), np.empty((0, width), dtype=np.float32)
