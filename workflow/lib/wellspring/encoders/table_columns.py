"""Columns of a foreign table: all of them, metadata as text, or numbers in blocks of float32, one block in memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from wellspring.encoders.table_features import is_word
from wellspring.encoders.table_format import Source, vectors
from wellspring.encoders.table_text import NOTHING
from wellspring.io import budget

VALUES = 2**21  # numbers per block, 16 MB of float64
TRUTH = {"true": 1.0, "false": 0.0}


def texts(source: Source, names: Sequence[str]) -> pd.DataFrame:
    """Return columns as strings or None; numeric barcodes keep their digits, and a float 12.0 becomes 12.

    A list of labels becomes the text of a platemap, `EGFR|HER2`; bytes that are no text become None.
    """
    names, size, batches = list(names), 0, []
    for _, group in source.groups(names, 2**16, True):
        for batch in group:
            size += batch.nbytes
            budget.within(size, 4 * budget.TABLE_BYTES, budget.UNPACKED, source.path)
            batches.append(batch)
    empty = pa.schema([source.schema.field(name) for name in names])
    table = pa.Table.from_batches(batches) if batches else empty.empty_table()
    return pd.DataFrame({name: _text(table.column(name)) for name in names})


def numbers(source: Source, names: Sequence[str], *, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks: the number of the first row, and numbers (rows, d) float32.

    Groups of rows without any row of `wanted` are skipped.

    Raises
    ------
    ValueError
        A value in a column of text is not a number; names the column.
    """
    start, stored = 0, source.stored(names)
    for size, batches in source.groups(stored, max(VALUES // max(len(names), 1), 1), False):
        if size is not None and not ((wanted >= start) & (wanted < start + size)).any():
            start += size
            continue
        for batch in batches:
            yield start, _block(batch, source, names)
            start += batch.num_rows


def whole(source: Source) -> pd.DataFrame:
    """Return all columns: text as strings or None, other types as the file has them; a vector is a column per place.

    In a table of text, columns `Metadata_*` are text and the others numbers if their first rows are.

    Raises
    ------
    ValueError
        A value in a column of numbers is not a number; names the column.
    """
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary)
    words = [one.name for one in source.schema if any(test(one.type) for test in kinds)]
    plain = [name for name in source.schema.names if name not in words and name not in source.lists]
    parts = [texts(source, words)] if words else []
    if plain:
        batches = [batch for _, group in source.groups(plain, 2**16, False) for batch in group]
        empty = pa.schema([source.schema.field(name) for name in plain]).empty_table()
        parts.append((pa.Table.from_batches(batches) if batches else empty).to_pandas())
    if source.lists:
        blocks = [block for _, block in numbers(source, list(source.lists), wanted=np.arange(1))]
        parts.append(pd.DataFrame(np.concatenate(blocks), columns=list(source.lists)))
    found = pd.concat(parts, axis=1) if parts else pd.DataFrame()
    return found[source.schema.names]


def is_nothing(column: pd.Series) -> pd.Series:
    """Return which cells are words for nothing, bool."""
    return column.astype(str).str.strip().str.lower().isin({word.lower() for word in (*NOTHING, "-")})


def as_numbers(column: pd.Series, *, where: object, truth: bool = False) -> pd.Series:
    """Return a column of text as float64; words for nothing and empty cells are NaN.

    With `truth`, true and false are 1 and 0. `ValueError` names the file `where`, the column and its values that are
    not numbers.
    """
    odd = not_numbers(column, truth=truth)
    if odd:
        raise ValueError(f"{where}: expected numbers in the column {column.name!r}, found {odd}")
    return _floats(column, truth)


def not_numbers(column: pd.Series, *, truth: bool = False) -> list[str]:
    """Return the first values of a column of text that are neither numbers nor words for nothing.

    Examples
    --------
    >>> not_numbers(pd.Series(["1.5", "NA", None, "True", "um"]), truth=True)
    ['um']
    """
    odd = column.notna() & _floats(column, truth).isna() & ~is_nothing(column)
    return sorted(set(column[odd].astype(str)))[:5] if odd.any() else []


def objects(column: pa.Array | pa.ChunkedArray) -> pd.Series:
    """Return a column of any type as Python objects or numbers, None where it is null."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_pandas()


def _floats(column: pd.Series, truth: bool) -> pd.Series:
    found = pd.to_numeric(column, errors="coerce").astype(np.float64)
    odd = found.isna() & column.notna()
    if odd.any():  # a minus sign of typography, and spaces around that are no ASCII
        plain = column[odd].astype(str).str.strip().str.replace("\u2212", "-")
        found[odd] = pd.to_numeric(plain, errors="coerce").astype(np.float64)
    if truth and found.isna().any():
        found = found.fillna(column.astype(str).str.strip().str.lower().map(TRUTH))
    return found


def counts_rows(values: pd.Series) -> bool:
    """Return whether the values have equal steps and each is there equally often, as row numbers and clocks have.

    Examples
    --------
    >>> counts_rows(pd.Series([4, 3, 5, 6])), counts_rows(pd.Series([4, 3, 5, 7]))
    (True, False)
    """
    found = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(found).all():
        return False
    distinct, counts = np.unique(found, return_counts=True)
    steps = np.diff(distinct)
    return bool(len(steps) and counts.min() == counts.max() and np.allclose(steps, steps[0], rtol=1e-6, atol=0))


def _block(batch: pa.RecordBatch, source: Source, names: Sequence[str]) -> np.ndarray:
    block = np.empty((len(names), batch.num_rows), dtype=np.float32)
    widths = pd.Series([source.lists[name][0] for name in source.lists], dtype=object).value_counts()
    unpacked = dict[str, np.ndarray]()
    with np.errstate(over="ignore"):  # float32 overflow gives infinity, which aggregation leaves out and counts
        for number, name in enumerate(names):
            if name in source.lists:
                column, place = source.lists[name]
                if column not in unpacked:
                    unpacked[column] = vectors(batch.column(column), int(widths[column]), source.path)
                block[number] = unpacked[column][:, place]
            else:
                held = batch.column(name)
                if is_word(held.type):
                    block[number] = as_numbers(objects(held).rename(name), where=source.path, truth=True)
                else:
                    block[number] = pc.cast(held, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(block.T)


def _text(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        return pd.Series([_words(value) for value in column.to_pylist()], dtype=object)
    if pa.types.is_floating(column.type):
        whole = pc.all(pc.equal(column, pc.round(column))).as_py()
        column = column.cast(pa.int64()) if whole else column
    try:
        values = column.cast(pa.string()).to_pandas().astype(object)
    except pa.ArrowInvalid:  # bytes that are no text, as of a packed array or an image
        values = pd.Series(None, index=range(len(column)), dtype=object)
    return values.where(values.notna() & (values != ""), None)


def _words(value: object) -> str | None:
    """Return a nested value as text: of a list its parts; None without any."""
    parts = [str(part) for part in value if part is not None] if isinstance(value, list) else [str(value)]
    return None if value is None else "|".join(part for part in parts if part) or None
