"""Read and write the tables that stages exchange: Parquet with a schema, the provenance and the plate's verdict.

A file is complete or absent. Columns, key and types of a table are in `workflow/schemas/tables/<table>.yaml`; a frame
that violates them is refused with the name of the column. The same frame gives the same bytes: rows are sorted by the
key, columns have a fixed order, and no time is written.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wellspring.io import lease, sealed
from wellspring.io.disk import filling
from wellspring.io.notes import Note, loads
from wellspring.io.shipped import TABLE_SCHEMAS, read_yaml

TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


@dataclass(frozen=True)
class Verdict:
    """Whether a plate may join the others, and why not; each of the plate's tables carries it.

    ``reasons`` are notes as text (:mod:`wellspring.io.notes`).
    """

    keep: bool = True
    reasons: tuple[str, ...] = ()

    def because(self, reason: Note | str) -> "Verdict":
        """Return the verdict that leaves the plate out, with one more reason (each is kept once)."""
        text = str(reason)
        return Verdict(False, self.reasons if text in self.reasons else (*self.reasons, text))

    @property
    def notes(self) -> tuple[Note, ...]:
        """The reasons as notes; `ValueError` for a reason that is not the text of one."""
        return tuple(note for reason in self.reasons for note in loads(reason))


@cache
def schema(table: str) -> dict[str, Any]:
    """Return the schema of `table` as a dict; `ValueError` names a table without one."""
    path = TABLE_SCHEMAS / f"{table}.yaml"
    if not path.exists():
        raise ValueError(f"{table}: expected a schema at {path}, found none")
    found: dict[str, Any] = read_yaml(path)
    return found


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix) that is renamed to `path` if the block raises nothing.

    Temporary files that a killed process left of the same file are removed first.

    Raises
    ------
    DiskFullError
        No space; an `OSError` that names the file and its folder (:mod:`wellspring.io.disk`).
    Superseded
        Another job has claimed the file since this one did (:mod:`wellspring.io.lease`); that job's file stays.
    """
    path = Path(path)
    owned = lease.of(path)
    if owned is not None:
        owned.demand()
    with filling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        left = re.compile(rf"\.{re.escape(path.stem)}\.[0-9a-f]+\.part{re.escape(path.suffix)}")
        for sibling in path.parent.iterdir():
            if left.fullmatch(sibling.name):
                sibling.unlink(missing_ok=True)
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
        try:
            yield temporary
            with lease.publishing(path):
                temporary.replace(path)
        except FileNotFoundError:
            if owned is not None:
                owned.demand()  # the job that took the lease has removed the temporary file
            raise
        finally:
            temporary.unlink(missing_ok=True)


def conform(frame: pd.DataFrame, *, table: str) -> pa.Table:
    """Return `frame` as an Arrow table in the schema's column order and types, sorted by the key.

    Columns that the schema calls optional are null where the frame lacks them.

    Raises
    ------
    ValueError
        Names the table and the column that is missing, unknown, null, of another type, or the doubled key.
    """
    spec = schema(table)
    columns = {name: column for name, column in spec["columns"].items() if column["type"] != "embedding"}
    frame = frame.assign(
        **{name: None for name, column in columns.items() if column.get("optional") and name not in frame}
    )
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"{table}: expected the columns {missing}, found {list(frame.columns)[:30]}")
    extra = [name for name in frame.columns if name not in columns]
    _refuse_unknown(extra, spec.get("extra", "none"), table)
    metadata = [name for name in extra if name.startswith("Metadata_")]
    features = [name for name in extra if not name.startswith("Metadata_")]
    _refuse_doubled(frame, spec["key"], table)
    frame = frame.sort_values(spec["key"], kind="stable") if len(frame) else frame
    arrays, fields = [], []
    for name in [*columns, *metadata, *features]:
        column = columns.get(name, {"nullable": True})
        kind = TYPES[column["type"]] if "type" in column else _kind(frame[name], name)
        arrays.append(_array(frame[name], kind, f"{table}: {name}"))
        fields.append(pa.field(name, kind))
        if not column.get("nullable", False) and arrays[-1].null_count:
            raise ValueError(f"{table}: {name}: expected no nulls, found {arrays[-1].null_count} of {len(frame)} rows")
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def write(
    frame: pd.DataFrame,
    path: str | Path,
    *,
    table: str,
    provenance: Mapping[str, object],
    verdict: Verdict | None = None,
) -> None:
    """Write `frame` to `path` as the table `table`, under a temporary name that is renamed at the end."""
    _write(conform(frame, table=table), path, table=table, provenance=provenance, verdict=verdict)


def read(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table, or some of its columns; `embedding` is left out unless it is named (see `read_embedding`).

    `ValueError` names a file that does not match its checksums (:mod:`wellspring.io.sealed`).
    """
    sealed.seal(path)  # before anything in the footer is believed
    names = columns or [name for name in pq.read_schema(path).names if name != "embedding"]
    sealed.verify(path, names)
    return pq.read_table(path, columns=names).to_pandas()


def read_embedding(path: str | Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Read the metadata rows and their vectors (rows, d) in the stored dtype; errors as of `read`."""
    sealed.verify(path)
    arrow = pq.read_table(path)
    vectors = arrow.column("embedding").combine_chunks()
    if isinstance(vectors, pa.ChunkedArray):
        vectors = vectors.chunk(0) if vectors.num_chunks else pa.array([], type=vectors.type)
    size = vectors.type.list_size
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return arrow.drop_columns(["embedding"]).to_pandas(), matrix


def with_vectors(frame: pd.DataFrame, matrix: np.ndarray, *, table: str) -> pa.Table:
    """Return `frame` as `conform` does, with its vectors (rows, d) as the column `embedding`."""
    if matrix.shape[0] != len(frame):
        raise ValueError(f"{table}: expected {len(frame)} vectors, found {matrix.shape[0]}")
    order = frame.reset_index(drop=True).sort_values(schema(table)["key"], kind="stable").index.to_numpy()
    arrow = conform(frame, table=table)
    values = pa.array(np.ascontiguousarray(matrix[order]).reshape(-1))
    # A type without nulls is read in two thirds of the time.
    kind = pa.list_(pa.field("element", values.type, nullable=False), matrix.shape[1])
    vectors = pa.FixedSizeListArray.from_arrays(values, type=kind)
    return arrow.append_column(pa.field("embedding", kind, nullable=False), vectors)


def stored(table: str, provenance: Mapping[str, object], verdict: Verdict | None) -> dict[str, str]:
    """Return the key-value metadata of a file: its table, verdict and provenance."""
    verdict = verdict or Verdict()
    return {
        "wellspring.table": table,
        "wellspring.verdict": json.dumps({"keep": verdict.keep, "reasons": list(verdict.reasons)}),
        "wellspring.provenance": json.dumps(dict(provenance), sort_keys=True),
    }


def parquet_options(form: pa.Schema) -> dict[str, Any]:
    """Return the compression and the encoding of each column, for pyarrow's writer."""
    # Dictionary encoding makes float columns larger and slower, so only strings have it. Compressing a network's
    # vectors would save a tenth of their size and double their reading time.
    coded = [field.name for field in form if pa.types.is_string(field.type)]
    paths = {field.name: "zstd" for field in form if field.name != "embedding"}
    compression = paths | {"embedding.list.element": "none"} if "embedding" in form.names else "zstd"
    return {"compression": compression, "use_dictionary": coded or False}


def metadata(path: str | Path) -> dict[str, str]:
    """Return the key-value metadata that this workflow wrote into a file, without the prefix of the names.

    `ValueError` names a file whose footer is damaged, or that is not of this workflow.
    """
    sealed.seal(path)
    found = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
    found = {key.removeprefix("wellspring."): value for key, value in found.items()}
    if "provenance" not in found:
        raise ValueError(f"{path}: expected a table of this workflow, found a Parquet file without its metadata")
    return found


def provenance(path: str | Path) -> dict[str, Any]:
    """Return the provenance that was written with the table."""
    found: dict[str, Any] = json.loads(metadata(path)["provenance"])
    return found


def verdict(path: str | Path) -> Verdict:
    """Return the plate's verdict that was written with the table."""
    found = json.loads(metadata(path)["verdict"])
    return Verdict(found["keep"], tuple(found["reasons"]))


def features(frame: pd.DataFrame) -> list[str]:
    """Return the names of the feature columns, those that do not begin with `Metadata_`, in their order."""
    return [name for name in frame.columns if not name.startswith("Metadata_")]


def _write(
    arrow: pa.Table, path: str | Path, *, table: str, provenance: Mapping[str, object], verdict: Verdict | None
) -> None:
    arrow = arrow.replace_schema_metadata(stored(table, provenance, verdict))
    with atomic(path) as temporary, sealed.Writer(temporary, arrow.schema, parquet_options(arrow.schema)) as writer:
        writer.write(arrow, rows=65536)


def _refuse_unknown(extra: list[str], allowed: str, table: str) -> None:
    refused = {
        "none": extra,
        "metadata": [name for name in extra if not name.startswith("Metadata_")],
        "features": [],
    }[allowed]
    if refused:
        raise ValueError(f"{table}: expected no further columns than its schema's, found {refused[:20]}")


def _refuse_doubled(frame: pd.DataFrame, key: list[str], table: str) -> None:
    doubled = frame.duplicated(key)
    if doubled.any():
        rows = frame.loc[doubled, key].head(10).astype(str).agg("/".join, axis=1).tolist()
        raise ValueError(f"{table}: expected one row for each {key}, found doubled {rows}")


def _kind(column: pd.Series, name: str) -> pa.DataType:
    """Return the type of a column that is not in the schema: of metadata by its dtype, of features float32."""
    if not name.startswith("Metadata_"):
        return pa.float32()
    if pd.api.types.is_bool_dtype(column):
        return pa.bool_()
    if pd.api.types.is_integer_dtype(column):
        return pa.int64()
    return pa.float64() if pd.api.types.is_float_dtype(column) and column.notna().any() else pa.string()


def _array(column: pd.Series, kind: pa.DataType, name: str) -> pa.Array:
    if pa.types.is_string(kind):
        values = [None if pd.isna(value) else str(value) for value in column]
        return pa.array(values, type=kind)
    try:
        return pa.array(column, type=kind, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        try:
            return pa.array(column.astype(kind.to_pandas_dtype()), type=kind, from_pandas=True)
        except (TypeError, ValueError):
            raise ValueError(f"{name}: expected {kind}, found {column.dtype} ({error})") from error
