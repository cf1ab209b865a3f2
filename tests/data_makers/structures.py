"""Faults of structure, not of bytes alone: files that parse, but with changed content.

A TIFF's tags, counts, types and directory pointers; keys, types and depth of Zarr's and NGFF's JSON; columns, types,
encodings and footers of Parquet; sizes and entries of shards. Each takes a specimen and a source of chance, and returns
what it did, or None where the layout has no such file.
"""

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile

from specimens import KEYS, Specimen

STRUCTURES: dict[str, Callable[[Specimen, random.Random], str | None]] = {}
TAGS = (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 339)
NUMBERS = (0, 1, 2, 3, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
SCALARS = (
    None,
    True,
    0,
    -1,
    1,
    7,
    2**31,
    2**63,
    1e308,
    float("nan"),
    "",
    "0",
    "../..",
    "é" * 300,
    [],
    {},
    [[]],
    [None],
)


def structure(function: Callable[[Specimen, random.Random], str | None]) -> Callable:
    """Enter a fault into the table under its name."""
    STRUCTURES[function.__name__] = function
    return function


def _touched(specimen: Specimen, path: Path) -> None:
    """Note that the planes of a file, or all planes where it is a table, are no longer whole."""
    specimen.whole -= set(specimen.files.get(path, KEYS))


def _tiff(specimen: Specimen, chance: random.Random) -> Path | None:
    found = sorted(path for path in specimen.files if path.suffix.lower() in (".tif", ".tiff") and path.is_file())
    return chance.choice(found) if found else None


def _directory(path: Path) -> tuple[bytearray, str, int, int] | None:
    """Return a file's bytes, its byte order, and place and length of its first directory."""
    content = bytearray(path.read_bytes())
    if content[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if content[:1] == b"I" else ">"
    start = struct.unpack_from(order + "I", content, 4)[0]
    return content, order, start, struct.unpack_from(order + "H", content, start)[0]


def _change_entry(change: Callable[[bytearray, str, int, random.Random], None]) -> Callable:
    def fault(specimen: Specimen, chance: random.Random) -> str | None:
        path = _tiff(specimen, chance)
        read = _directory(path) if path else None
        if path is None or read is None:
            return None
        content, order, start, count = read
        entry = start + 2 + 12 * chance.randrange(count)
        change(content, order, entry, chance)
        path.write_bytes(content)
        _touched(specimen, path)
        return f"{path.name}: entry {struct.unpack_from(order + 'H', content, entry)[0]}"

    return fault


STRUCTURES["tag_value"] = _change_entry(
    lambda content, order, entry, chance: struct.pack_into(order + "I", content, entry + 8, chance.choice(NUMBERS))
)
STRUCTURES["tag_count"] = _change_entry(
    lambda content, order, entry, chance: struct.pack_into(order + "I", content, entry + 4, chance.choice(NUMBERS))
)
STRUCTURES["tag_type"] = _change_entry(
    lambda content, order, entry, chance: struct.pack_into(order + "H", content, entry + 2, chance.randrange(20))
)
STRUCTURES["tag_name"] = _change_entry(
    lambda content, order, entry, chance: struct.pack_into(
        order + "H",
        content,
        entry,
        chance.choice(TAGS),
    )
)


@structure
def part_of_a_plane(specimen: Specimen, chance: random.Random) -> str | None:
    """One or all of the offsets or lengths of strips or tiles become another number, mostly 0."""
    path = _tiff(specimen, chance)
    if path is None:
        return None
    with tifffile.TiffFile(path) as tiff:
        page = chance.choice(list(tiff.pages)).aspage()
        code = chance.choice([code for code in (273, 279, 324, 325) if code in page.tags])
        tag, order = page.tags[code], tiff.byteorder
        form = order + {3: "H", 4: "I", 16: "Q"}[int(tag.dtype)]
        places = [tag.valueoffset + number * struct.calcsize(form) for number in range(tag.count)]
    content = bytearray(path.read_bytes())
    for place in places if chance.random() < 0.3 else [chance.choice(places)]:
        struct.pack_into(form, content, place, chance.choice([0, 0, 0, 1, len(content), len(content) - 1]))
    path.write_bytes(content)
    _touched(specimen, path)
    return f"{path.name}: {code}"


@structure
def next_directory(specimen: Specimen, chance: random.Random) -> str | None:
    """The pointer to the next page leads to itself, to the header, to pixels or beyond the end."""
    path = _tiff(specimen, chance)
    read = _directory(path) if path else None
    if path is None or read is None:
        return None
    content, order, start, count = read
    target = chance.choice([start, 0, 4, 8, start + 2, len(content), len(content) // 2, 2**32 - 1])
    struct.pack_into(order + "I", content, start + 2 + 12 * count, target)
    path.write_bytes(content)
    _touched(specimen, path)
    return f"{path.name}: {target}"


def _json(specimen: Specimen, chance: random.Random) -> Path | None:
    found = [path for path in specimen.tables if path.suffix == ".json" or path.name.startswith(".z")]
    return chance.choice(sorted(found)) if found else None


def _nodes(tree: object) -> list[tuple[object, object]]:
    """Return every (holder, key) in a JSON tree."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    return [(tree, key) for key in keys] + [node for key in keys for node in _nodes(tree[key])]  # type: ignore[index]


@structure
def json_value(specimen: Specimen, chance: random.Random) -> str | None:
    """A value of the metadata has another type or size, is gone, doubled or nested deeply."""
    path = _json(specimen, chance)
    if path is None:
        return None
    tree = json.loads(path.read_text())
    nodes = _nodes(tree)
    if not nodes:
        return None
    holder, key = chance.choice(nodes)
    kind = chance.choice(["other", "other", "gone", "doubled", "deep", "many"])
    if kind == "gone":
        del holder[key]
    elif kind == "doubled" and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == "many" and isinstance(holder[key], list):
        holder[key] = holder[key] * 400
    elif kind == "deep":
        for _ in range(chance.choice([3, 200])):
            holder[key] = [holder[key]]
    else:
        holder[key] = chance.choice(SCALARS)
    path.write_text(json.dumps(tree))
    _touched(specimen, path)
    return f"{path.parent.name}/{path.name}: {key} {kind}"


@structure
def json_very_deep(specimen: Specimen, chance: random.Random) -> str | None:
    """Brackets within brackets, which a recursive parser ends on."""
    path = _json(specimen, chance)
    if path is None:
        return None
    path.write_text(chance.choice(['{"a":', "["]) * 100_000)
    _touched(specimen, path)
    return path.name


@structure
def chunks_change_places(specimen: Specimen, chance: random.Random) -> str | None:
    """A chunk or shard is cut short, emptied, or a folder, which no metadata reveals."""
    found = sorted(path for path in specimen.files if "/0/" in path.as_posix() and path.suffix == "" and path.is_file())
    if not found:
        return None
    path = chance.choice(found)
    content = path.read_bytes()
    cut = chance.choice([0, 1, len(content) // 2, len(content) - 1, max(len(content) - 20, 0)])
    path.write_bytes(content[:cut])
    _touched(specimen, path)
    return f"{path.parent}: {cut} of {len(content)}"


def _parquet(specimen: Specimen) -> Path | None:
    return next((path for path in specimen.tables if path.suffix == ".parquet"), None)


@structure
def parquet_column(specimen: Specimen, chance: random.Random) -> str | None:
    """A column has another type, is null, gone, or twice there."""
    path = _parquet(specimen)
    if path is None:
        return None
    table = pq.read_table(path)
    number = chance.randrange(table.num_columns)
    name, text = table.column_names[number], [str(value) for value in table.column(number).to_pylist()]
    column = {
        "list": lambda: pa.array([[value] for value in text]),
        "struct": lambda: pa.array([{"a": value} for value in text]),
        "bytes": lambda: pa.array([value.encode("utf-16") for value in text]),
        "null": lambda: pa.nulls(len(text)),
        "dictionary": lambda: pa.array(text).dictionary_encode(),
        "number": lambda: pa.array([float(len(value)) for value in text]),
        "time": lambda: pa.array([pd.Timestamp(2026, 1, 1)] * len(text)),
        "large": lambda: pa.array(text, pa.large_string()),
    }
    kind = chance.choice([*column, "gone", "twice", "renamed"])
    if kind == "gone":
        table = table.remove_column(number)
    elif kind == "twice":
        table = table.append_column(name, table.column(number))
    elif kind == "renamed":
        table = table.rename_columns([f"{each} " if each == name else each for each in table.column_names])
    else:
        table = table.set_column(number, name, column[kind]())
    pq.write_table(table, path, row_group_size=chance.choice([1, 3, 1000]))
    _touched(specimen, path)
    return f"{name}: {kind}"


@structure
def parquet_footer(specimen: Specimen, chance: random.Random) -> str | None:
    """Bytes of the footer, which holds types, places and counts, change; or its length does."""
    path = _parquet(specimen)
    if path is None:
        return None
    content = bytearray(path.read_bytes())
    length = struct.unpack_from("<I", content, len(content) - 8)[0]
    if chance.random() < 0.3:
        struct.pack_into(
            "<I", content, len(content) - 8, chance.choice([0, 1, length - 1, length + 1, 2**31, 2**32 - 1])
        )
    else:
        for _ in range(chance.choice([1, 4])):
            content[len(content) - 9 - chance.randrange(length)] = chance.randrange(256)
    path.write_bytes(content)
    _touched(specimen, path)
    return path.name
