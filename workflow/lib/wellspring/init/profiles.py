"""Make the config of a screen of profile tables that another tool made."""

import re
from collections.abc import Sequence
from pathlib import Path

from wellspring.encoders.table_columns import texts
from wellspring.encoders.table_format import open_source
from wellspring.encoders.table_keys import KEYS, known_keys
from wellspring.init import wells, written
from wellspring.init.images import Lines, Screen, profile
from wellspring.io.shipped import CLONE


def screen(tables: Sequence[Path], *, platemap: Path | None, out: Path) -> Screen:
    """Return the screen of tables: an encoder of kind `table` each.

    Raises
    ------
    ValueError
        There is no platemap, or a table is in no format that is read or has no column of plates.
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
    """Return the plates of a table of any format that an encoder of kind `table` reads."""
    source = open_source(path)
    column = known_keys(source.schema.names).get("plate")
    if column is None:
        raise ValueError(f"{path}: expected a column of plates {KEYS['plate'][:4]}, found {source.schema.names[:8]}")
    return [str(name) for name in texts(source, [column])[column].dropna().unique()]


def _batches(names: Sequence[str]) -> dict[str, str]:
    """Return plate to batch, the part of the name before the first `_`, if at least two plates share each batch's."""
    parts = {name: name.split("_")[0] for name in names if "_" in name}
    counts = [list(parts.values()).count(part) for part in set(parts.values())]
    return parts if len(parts) == len(names) and len(counts) > 1 and min(counts) > 1 else {}
