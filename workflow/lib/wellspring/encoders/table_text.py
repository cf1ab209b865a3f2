"""Foreign tables of text: separator, encoding, decimal sign and types are found in the first lines; pyarrow reads."""

import codecs
import csv as lines
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from wellspring.screen import not_a_table

SEPARATORS = "\t,;"
HEAD = 2**22  # bytes in which the header and the first row are looked for
BLOCK = 2**20  # bytes that pyarrow parses at once, at least; a row must fit
_MARKS = {codecs.BOM_UTF8: "utf8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
NOTHING = ["", "#N/A", "#NA", "N/A", "n/a", "NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "none", "<NA>"]
NOTHING += ["-1.#IND", "1.#IND", "-1.#QNAN", "1.#QNAN"]  # NaN as programs on Windows wrote it
Group = tuple[int | None, Iterator[pa.RecordBatch]]
Read = Callable[[Sequence[str], int, bool], Iterator[Group]]


def opened(path: Path, *, packing: str | None) -> tuple[pa.Schema, Read, frozenset[str]]:
    """Return the schema of a table of text, the function that reads columns of it, and its columns of whole numbers.

    Columns whose first rows are numbers or empty are float64; all others are text, as are columns `Metadata_*`.

    Raises
    ------
    ValueError
        No header, or bytes that are not text.
    """
    encoding, separator, decimal, longest = _form(path, packing)
    # The streaming reader has one thread anyway; told so, its errors have the number of the row.
    reading = csv.ReadOptions(encoding=encoding, block_size=max(BLOCK, 4 * longest), use_threads=False)
    options = {
        "read_options": reading,
        "parse_options": csv.ParseOptions(delimiter=separator, newlines_in_values=True),
    }

    def stream(convert: csv.ConvertOptions) -> csv.CSVStreamingReader:
        with _whole_rows(path):
            return parsed(convert)

    def parsed(convert: csv.ConvertOptions) -> csv.CSVStreamingReader:
        source = pa.input_stream(str(path), compression=packing)
        if encoding != "utf8":
            source.read(2)  # the byte order mark, which would become part of the first name
        return csv.open_csv(source, convert_options=convert, **options)

    with stream(csv.ConvertOptions()) as first:
        names = [name.strip() for name in first.schema.names]
    if names != first.schema.names:  # `plate, well, area`
        reading.column_names, reading.skip_rows_after_names = names, 1
    with stream(csv.ConvertOptions(null_values=NOTHING, decimal_point=decimal)) as first:
        form = pa.schema([(one.name, _kind(one)) for one in first.schema])
        whole = frozenset(one.name for one in first.schema if pa.types.is_integer(one.type))

    def read(names: Sequence[str], step: int, text: bool) -> Iterator[Group]:
        yield None, batches_of(list(names), text)

    def batches_of(names: list[str], text: bool) -> Iterator[pa.RecordBatch]:
        convert = csv.ConvertOptions(
            include_columns=names,
            column_types={name: pa.string() if text else form.field(name).type for name in names},
            null_values=NOTHING,
            decimal_point=decimal,
        )
        try:
            with stream(convert) as batches, _whole_rows(path):
                yield from batches
        except pa.ArrowInvalid as error:
            # Arrow's message has the number of the column; replaced by its name.
            message = re.sub(r"column #(\d+)", lambda found: f"column {form.names[int(found[1])]!r}", str(error))
            raise ValueError(
                f"{path}: expected numbers in each column of features: {message} (choose by `features`)"
            ) from error

    return form, read, whole


@contextmanager
def _whole_rows(path: Path) -> Iterator[None]:
    """Name the row in the place of Arrow's message, where a row has more or fewer cells than the header."""
    try:
        yield
    except pa.ArrowInvalid as error:
        found = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.{0,60})", str(error), re.DOTALL)
        if found is None:
            raise
        place = f"in row {found[1]} (the header is row 1)" if found[1] else "in a row"
        raise ValueError(
            f"{path}: expected {found[2]} cells in each row, as in the header, found {found[3]} {place}: "
            f"{found[4].strip()!r}; quote cells that hold the separator, fill short rows, and remove totals and notes"
        ) from error


def _kind(one: pa.Field) -> pa.DataType:
    if one.name.startswith(("Metadata_", "Image_Metadata_")):
        return pa.string()
    number = pa.types.is_floating(one.type) or pa.types.is_integer(one.type) or pa.types.is_null(one.type)
    return pa.float64() if number else pa.string()


def _form(path: Path, packing: str | None) -> tuple[str, str, str, int]:
    """Return encoding, separator, decimal sign, and the length in bytes of the longest of the first lines."""
    with pa.input_stream(str(path), compression=packing) as source:
        head = source.read(HEAD)
    if packing is not None and head.startswith((b"PAR1", b"ARROW1", b"PK")):
        raise ValueError(f"{path}: expected text in {packing}, found a table of another format: unpack it")
    not_a_table.refuse(head[:4096], path, "table of profiles")
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf8")
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        text = decoder.decode(head).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected a table of text in UTF-8 or UTF-16, found byte 0x{head[error.start]:02x}; save it "
            "as UTF-8 or Parquet"
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{path}: expected a table of text, found zero bytes (UTF-16 without a mark?); save it as UTF-8"
        )
    rows = text.splitlines()[:20]
    if not rows or not rows[0].strip():
        raise ValueError(f"{path}: expected a header in the first line, found none")
    separator = max(SEPARATORS, key=rows[0].count)
    alone = not any(map(rows[0].count, SEPARATORS)) and len(rows) > 1 and any(map(rows[1].count, SEPARATORS))
    if alone or re.fullmatch(r"sep=.", rows[0].strip(), re.IGNORECASE):
        raise ValueError(
            f"{path}: expected the names of the columns in the first line, found {rows[0][:60]!r}; remove the lines "
            "above the header"
        )
    cells = [cell for row in lines.reader(rows[1:10], delimiter=separator) for cell in row]
    comma = separator != "," and any(re.fullmatch(r"-?\d+,\d+(?:[eE][+-]?\d+)?", cell.strip()) for cell in cells)
    width = 1 if encoding == "utf8" else 2
    return encoding, separator, "," if comma else ".", max(len(row) for row in rows) * width
