"""Make the config of a screen of profile tables that another tool made."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from wellspring.encoders.profile_table import KEYS
from wellspring.init import wells, written
from wellspring.init.images import Lines, Screen, profile
from wellspring.io.shipped import CLONE


def screen(tables: Sequence[Path], *, platemap: Path | None, out: Path) -> Screen:
    """Return the screen of tables: an encoder of kind `table` each.

    Raises
    ------
    ValueError
        There is no platemap, or a table has no column of plates.
    """
    if platemap is None:
        raise ValueError("--tables: expected --platemap FILE with the wells and their compounds, found none")
    names: dict[str, None] = {}
    for path in tables:
        names |= dict.fromkeys(_plates(path))
    found = sorted(names)
    seen = wells.mapped(platemap, found)
    batch = _batches(found)
    where = written.relative(platemap, out)
    rows = [
        {"plate": name, "platemap": where, "images": "", "batch": batch.get(name, ""), "role": "fit"} for name in found
    ]
    notes = [f"{len(found)} plates: {', '.join(found[:4])}" + (", ..." if len(found) > 4 else ""), *seen.notes]
    lines: Lines = [
        (f"index.{key}", value, f"Of the platemap: {reason}.") for key, (value, reason) in seen.keys.items()
    ]
    for path in tables:
        entry = {"kind": "table", "files": written.relative(path, out)}
        stem = re.sub(r"[^a-z0-9]+", "_", path.name.split(".")[0].lower()).strip("_")
        name = stem if re.match("[a-z]", stem) else f"table_{stem}"
        lines.append(
            (f"encoders.{name}", entry, "Profiles of another tool; the log states which columns are features.")
        )
    if batch:
        notes.append(f"batches: {len(set(batch.values()))}, by the first part of the plates' names")
    return Screen(written.sheet(rows), written.text(lines + profile(seen, 4), clone=CLONE), tuple(notes))


def _plates(path: Path) -> list[str]:
    """Return the plates of a table."""
    packed = path.suffix == ".parquet"
    if packed:
        names = list(pq.read_schema(path).names)
    else:
        names = list(pd.read_csv(path, nrows=0, sep=None, engine="python").columns)
    known = [name for name in KEYS["plate"] if name in names]
    if not known:
        raise ValueError(f"{path}: expected a column of plates {KEYS['plate'][:4]}, found {names[:8]}")
    if packed:
        column = pd.read_parquet(path, columns=known[:1])[known[0]]
    else:
        column = pd.read_csv(path, usecols=known[:1], dtype=str, sep=None, engine="python")[known[0]]
    return [str(name) for name in column.dropna().unique()]


def _batches(names: Sequence[str]) -> dict[str, str]:
    """Return plate to batch, the part of the name before the first `_`, if at least two plates share each batch's."""
    parts = {name: name.split("_")[0] for name in names if "_" in name}
    counts = [list(parts.values()).count(part) for part in set(parts.values())]
    return parts if len(parts) == len(names) and len(counts) > 1 and min(counts) > 1 else {}
