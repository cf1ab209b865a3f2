"""Choose and refuse features by the values of their columns, where names and types do not decide.

Text may hold numbers or whole vectors, a column may number the rows, and two columns may be copies of each other.
"""

import logging
import re
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from wellspring.encoders.table_columns import counts_rows, is_nothing, not_numbers, objects
from wellspring.encoders.table_features import families_of, is_word, named_as_features, ruled, unnamed_words
from wellspring.encoders.table_format import Source

logger = logging.getLogger(__name__)
COUNTED = 8  # fewest values among which equal steps are those of a counter
LARGE = 2**28  # bytes of a table, above which only columns of whole numbers are tested for counters
_VECTOR = re.compile(r"\s*[\[(]\s*[-+0-9.].*[,\s].*", re.DOTALL)  # the text of a list of numbers, perhaps cut off
# A number in another notation: a decimal comma, thousands, a unit or a sign of comparison.
_NUMERAL = re.compile(
    r"[<>~=\u2264\u2265]*\s*[-+\u2212]?\d[\d.,'\u2019\s]*(?:[eE][-+\u2212]?\d+)?\s*(?:%|[^\W\d_]{0,3})"
)
MOST = 0.5  # share of cells that are numbers, in any notation, above which a column is one of numbers
_COPY = re.compile(r"(.+)\.\d+")  # pandas' name for a column whose name is there already


def readable(source: Source, *, keys: Collection[str], patterns: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of a table, with float64 for features that are stored as text or truth values.

    Raises
    ------
    ValueError
        A column with the name of a feature has a value that is no number; features are vectors in a form that is not
        read.
    """
    words = named_as_features(source.schema, keys=keys, patterns=patterns, where=source.path)
    form = _with_numbers(source.schema, hold_numbers(source, words))
    if patterns or ruled(form, keys=keys)[0] != "numeric":
        return form
    unnamed = unnamed_words(form, keys=keys)
    refuse_vectors(source, unnamed)
    alike = look_like_numbers(source, [name for name in unnamed if is_word(form.field(name).type)])
    family = hold_numbers(source, families_of([name for name, odd in alike.items() if not odd]))
    others = {name: odd for name, odd in alike.items() if name not in set(family)}
    form = _with_numbers(form, family)
    if others:
        few = dict(list(others.items())[:20])
        cells = {name: odd[:3] for name, odd in few.items() if odd}
        hint = f"; cells that are none: {cells}: write a decimal point, no thousands, no unit, or empty them"
        said = f"{list(few)} (write them as numbers, or name them in `features`{hint if cells else ''})"
        if not ruled(form, keys=keys)[1]:
            raise ValueError(f"{source.path}: expected columns of features, found numbers only in text: {said}")
        logger.warning("%s: columns of text hold numbers and are not used as features: %s", source.path, said)
    return form


def hold_numbers(source: Source, names: Sequence[str]) -> list[str]:
    """Return the columns of text or truth values that may be read as numbers.

    Raises
    ------
    ValueError
        A value of another column is no number; names column and value.
    """
    words = [name for name in names if not pa.types.is_boolean(source.schema.field(name).type)]
    odd = dict[str, list[str]]()
    for batch in _batches(source, words):
        for name in words:
            values = not_numbers(objects(batch.column(name)), truth=True)
            odd.setdefault(name, []).extend(values[: 5 - len(odd.get(name, ()))])
    found = {name: values for name, values in odd.items() if values}
    if found:
        raise ValueError(
            f"{source.path}: expected numbers in the features, found text in {dict(list(found.items())[:10])} (correct "
            "or empty these cells, choose others by `features`, or call the columns Metadata_NAME)"
        )
    return list(names)


def look_like_numbers(source: Source, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of text whose first values are numbers in any notation, most of them, and those not read."""
    first = next(_batches(source, names), None)
    columns = {} if first is None else {name: objects(first.column(name)).dropna() for name in names}
    found = dict[str, list[str]]()
    for name, cells in columns.items():
        cells = cells[~is_nothing(cells)].astype(str)
        odd = not_numbers(cells)
        if len(cells) and (not odd or cells.str.strip().str.fullmatch(_NUMERAL).mean() > MOST):
            found[name] = odd
    return found


def refuse_vectors(source: Source, names: Sequence[str]) -> None:
    """Raise `ValueError` if a column holds vectors in a form that is not read: text, bytes, or nested fields."""
    kinds = {name: source.schema.field(name).type for name in names}
    odd = {name: str(kind) for name, kind in kinds.items() if pa.types.is_nested(kind) and _holds_floats(kind)}
    flat = [name for name, kind in kinds.items() if not pa.types.is_nested(kind)]
    first = next(_batches(source, flat), None)
    columns = {} if first is None else {name: objects(first.column(name)).dropna() for name in flat}
    for name, values in columns.items():
        if _is_binary(kinds[name]) and any(byte < 9 for value in values for byte in bytes(value)):
            odd[name] = str(kinds[name])
        elif len(values) and values.astype(str).str.match(_VECTOR).all():
            odd[name] = f"text, {str(values.iloc[0])[:40]!r}"
    if odd:
        raise ValueError(
            f"{source.path}: expected features as columns of numbers, or a Parquet column of lists of numbers, found "
            f"{odd}; write them so, or choose the features by `features`"
        )


def row_numbers(source: Source, names: Sequence[str]) -> list[str]:
    """Return the columns that count the rows, of the table or of each plate: equal steps, each value equally often.

    Where most columns do so they are ranks, and none is returned. In a large table columns of whole numbers are tested.
    """
    mine, size, parts = [name for name in names if name not in source.lists], 0, list[pa.RecordBatch]()
    whole = [name for name in mine if name in source.whole]
    for batch in _batches(source, mine, text=False):
        parts.append(batch)
        size += batch.nbytes
        if size > LARGE and len(whole) < len(mine):
            return row_numbers(source, whole)
    if not parts:
        return []
    columns = {name: pa.chunked_array([part.column(name) for part in parts]).to_pandas() for name in mine}
    found = [name for name, one in columns.items() if one.nunique() >= COUNTED and counts_rows(one)]
    return [] if len(found) > 2 and len(found) * 2 > len(names) else found


def refuse_copies(source: Source, names: Sequence[str]) -> None:
    """Raise `ValueError` if a feature `x.1` has the values of `x`: pandas calls the second of two columns `x` so."""
    pairs = {name: match[1] for name in names if (match := _COPY.fullmatch(name)) and match[1] in names}
    pairs = {name: one for name, one in pairs.items() if not {name, one} & set(source.lists)}
    for batch in _batches(source, list(dict.fromkeys([*pairs, *pairs.values()])), text=False):
        pairs = {
            name: one for name, one in pairs.items() if objects(batch.column(name)).equals(objects(batch.column(one)))
        }
    if pairs:
        raise ValueError(
            f"{source.path}: expected each feature once, found columns twice under two names: "
            f"{dict(list(pairs.items())[:10])}; remove one of each"
        )


def _with_numbers(form: pa.Schema, names: Collection[str]) -> pa.Schema:
    return pa.schema([pa.field(one.name, pa.float64()) if one.name in set(names) else one for one in form])


def _batches(source: Source, names: Sequence[str], *, text: bool = True) -> Iterator[pa.RecordBatch]:
    if names:
        yield from (batch for _, group in source.groups(list(names), 2**16, text) for batch in group)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _holds_floats(kind: pa.DataType) -> bool:
    if not pa.types.is_nested(kind):
        return bool(pa.types.is_floating(kind))
    return any(_holds_floats(kind.field(place).type) for place in range(kind.num_fields))
