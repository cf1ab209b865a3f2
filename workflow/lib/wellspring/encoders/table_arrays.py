"""Foreign tables that are brought into wide form in memory: DeepProfiler's arrays, and long tables of single values."""

import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wellspring.encoders.table_text import NOTHING
from wellspring.io import budget
from wellspring.screen import well_names

_NAMES = ("metric", "feature", "variable", "feature_name", "metric_name", "measurement")
_VALUES = ("value", "feature_value", "metric_value")
INDEX = re.compile(r"__index_level_\d+__|")  # names under which pandas writes its index


def npz_table(files: Sequence[Path], path: Path) -> pa.Table:
    """Return the cells of DeepProfiler's files, one per site, as a table of plate, well, site, number and features.

    Plate, well and site are the last parts of the file's path: `PLATE/WELL/SITE.npz`, or `PLATE_WELL_SITE.npz`. The
    array `features` is (cells, d); its columns are called `efficientnet_0` and so on by other tools, here `feature_0`.
    The array `metadata` is a pickle, which could run code, and is not read.

    Raises
    ------
    ValueError
        No file; a name without plate, well and site; no array `features`; or arrays of several widths.
    """
    if not files:
        there = sorted(one.name for one in path.rglob("*") if one.suffix.lower() in (".parquet", ".csv", ".gz"))
        hint = f"; name its tables one by one: {there[:5]}" if there else ""
        raise ValueError(f"{path}: expected a folder with DeepProfiler's .npz files, found none{hint}")
    keys, parts, numbers, width, size = list[tuple[str, str, str]](), list[np.ndarray](), list[np.ndarray](), 0, 0
    for file in files:
        key, values = _key(file), _features(file)
        size += values.nbytes
        budget.within(size, 16 * budget.TABLE_BYTES, "bytes after unpacking", path)
        if width and len(values) and values.shape[1] != width:
            raise ValueError(f"{file}: expected {width} features as in the other files, found {values.shape[1]}")
        width = width or (values.shape[1] if len(values) else 0)
        keys += [key] * len(values)
        parts += [values] if len(values) else []
        numbers += [np.arange(1, len(values) + 1)]
    matrix = np.concatenate(parts) if parts else np.zeros((0, width), dtype=np.float32)
    columns: dict[str, pa.Array] = {
        f"Metadata_{name}": pa.array([key[place] for key in keys], type=pa.string())
        for place, name in enumerate(("Plate", "Well", "Site"))
    }
    columns["Metadata_ObjectNumber"] = pa.array(np.concatenate(numbers))
    return pa.table(columns | {f"feature_{place}": pa.array(matrix[:, place]) for place in range(width)})


def long_columns(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the columns with the names of the features and with their values, None where there is none.

    Examples
    --------
    >>> long_columns(["tile", "metric", "value"]), long_columns(["Metadata_Well", "feature_1"])
    (('metric', 'value'), (None, None))
    """
    known = {name.lower().removeprefix("metadata_"): name for name in names}
    found = [next((known[name] for name in usual if name in known), None) for usual in (_NAMES, _VALUES)]
    return found[0], found[1]


def wide(table: pa.Table, path: Path) -> pa.Table:
    """Return a long table (`metric`, `value`, and what identifies a row) with one column per metric.

    Raises
    ------
    ValueError
        A value is there twice, or values are not numbers.
    """
    metric, value = long_columns(table.column_names)
    rest = [name for name in table.column_names if name not in (metric, value) and not INDEX.fullmatch(name)]
    rest = [name for name in rest if not re.fullmatch(r"Unnamed: \d+", name)]
    if not rest:
        raise ValueError(f"{path}: expected columns that identify a row beside {metric!r} and {value!r}, found none")
    rows, row = _coded(table.select(rest))
    names, column = _coded(table.select([metric]))
    budget.within(rows.num_rows * names.num_rows, 4 * budget.TABLE_BYTES, "values of a table made wide", path)
    held = table.column(value)
    if pa.types.is_string(held.type):
        held = pc.if_else(pc.is_in(held, pa.array(NOTHING)), pa.scalar(None, pa.string()), held)
    try:
        values = pc.cast(held, pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: expected numbers in the column {value!r}: {error}") from error
    place = row * names.num_rows + column
    if len(np.unique(place)) != len(place):
        raise ValueError(f"{path}: expected each {metric} once per row of {rest}, found some twice")
    matrix = np.full((rows.num_rows, names.num_rows), np.nan)
    matrix.reshape(-1)[place] = values
    titles = [str(name) for name in names.column(0).to_pylist()]
    order = sorted(range(len(titles)), key=lambda one: _natural(titles[one]))
    found = {name: rows.column(name) for name in rest}
    return pa.table(found | {titles[one]: pa.array(matrix[:, one], from_pandas=False) for one in order})


def _coded(table: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """Return the distinct rows of a table, and for each row its place among them."""
    frame = table.to_pandas()
    groups = frame.groupby(list(frame.columns), sort=False, dropna=False)
    codes: np.ndarray = groups.ngroup().to_numpy()
    first = np.unique(codes, return_index=True)[1]
    return table.take(pa.array(first)), codes


def _natural(name: str) -> tuple[object, ...]:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def _key(file: Path) -> tuple[str, str, str]:
    """Return plate, well and site of a DeepProfiler file by its path."""
    three = re.fullmatch(r"(.+)[_-]([^_-]+)[_-]([^_-]+)", file.stem)
    two = re.fullmatch(r"([^_-]+)[_-]([^_-]+)", file.stem)
    candidates = [three.groups()] if three else []
    candidates += [(file.parent.name, *two.groups())] if two else []
    for plate, well, site in [*candidates, (file.parent.parent.name, file.parent.name, file.stem)]:
        with suppress(ValueError):
            return plate, well_names.normalise(well), site
    raise ValueError(f"{file}: expected PLATE/WELL/SITE.npz or PLATE_WELL_SITE.npz, as DeepProfiler writes it")


def _features(file: Path) -> np.ndarray:
    try:
        with np.load(file, allow_pickle=False) as stored:
            names = [name for name in ("features", *stored.files) if name in stored.files]
            if "features" not in names and len(names) != 1:
                raise ValueError(f"{file}: expected an array `features`, found {stored.files}")
            values: np.ndarray = stored[names[0]]
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ValueError(f"{file}: expected an .npz of DeepProfiler, it cannot be read: {error}") from error
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ValueError(f"{file}: expected features (cells, d) of floats, found {values.shape} {values.dtype}")
    return values
