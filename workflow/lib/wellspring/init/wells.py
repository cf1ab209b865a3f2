"""What a platemap gives a screen: names of plates, the keys of `index` that it needs, controls and doses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from wellspring.screen import (
    platemap,
    platemap_columns,
    platemap_grid,
    spellings,
    text_table,
    well_names,
    well_types,
)

TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".gz")
TO_FILL = ",unknown,,trt"  # of each well in a platemap to fill in


@dataclass(frozen=True)
class Mapped:
    """Keys of `index` with a reason each, the number of negative controls of the first plate, and sentences."""

    keys: dict[str, tuple[Any, str]] = field(default_factory=dict)
    controls: int = 0
    notes: tuple[str, ...] = ()


def plate_name(path: Path, name: str) -> str:
    """Return the name that a platemap has for its only plate, or the name that differs from `name` by case alone."""
    table = _cells(path)
    columns = (
        [] if table is None else [one for one in table if platemap_columns.plain(one) in platemap_columns.SURE["plate"]]
    )
    names = table[columns[0]].dropna().unique().tolist() if table is not None and columns else []
    alike = [each for each in names if each.casefold() == name.casefold()]
    return str(names[0]) if len(names) == 1 and names[0] else str(alike[0]) if alike else name


def mapped(path: Path, plates: Sequence[str]) -> Mapped:
    """Look at a platemap.

    Raises
    ------
    ValueError
        It cannot be read with any keys that are known here.
    """
    keys: dict[str, tuple[Any, str]] = {}
    columns = _columns(path, plates)
    if columns:
        keys["columns"] = (columns, "columns of the platemap that have other than the usual names")
    reading = platemap.reading(path, plate=plates[0], columns=columns, negcon=())
    frame = reading.frame
    kinds, names = frame["Metadata_pert_type"], sorted(frame["Metadata_Compound"].dropna().unique())
    notes = []
    if (kinds == "negcon").any():
        own = spellings.shown(sorted(frame.loc[kinds == "negcon", "Metadata_Compound"].dropna().unique()))
        notes.append(f"negative controls: {(kinds == 'negcon').sum()} wells by their type ({', '.join(own[:5])})")
        return Mapped(keys, int((kinds == "negcon").sum()), tuple(notes))
    near = well_types.near(["DMSO"], names)
    named = int(frame["Metadata_Compound"].isin(near).sum())
    if near:
        if near != ["DMSO"]:
            keys["negcon"] = (near, "compounds that look like negative controls: check them")
        notes.append(f"negative controls: {named} wells by their name ({', '.join(near)})")
    else:
        notes.append(f"negative controls: none found among {', '.join(names[:8])}; plates are normalised on all wells")
    return Mapped(keys, named, tuple(notes))


def same(path: Path, plate: str, planes: pd.DataFrame, seen: Mapped) -> bool:
    """Return whether platemap and images have the same wells; empty wells need no images."""
    columns = dict(seen.keys["columns"][0]) if "columns" in seen.keys else {}
    frame = platemap.read(path, plate=plate, columns=columns, negcon=())
    mapped, needed = (
        set(frame["Metadata_Well"]),
        set(frame.loc[frame["Metadata_pert_type"] != "empty", "Metadata_Well"]),
    )
    imaged = set(planes["well"])
    return needed <= imaged <= mapped


def blank(planes: pd.DataFrame, path: Path) -> bool:
    """Write a platemap to fill in, a row for each well that has images; return whether it is still to be filled in.

    One that is there and was changed is left as it is.
    """
    wells = sorted(planes["well"].unique())
    there = path.read_bytes().splitlines()[2:] if path.is_file() else []
    if not all(row.endswith(TO_FILL.encode()) for row in there):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "# Fill in: the compound of each well, its concentration, and its type (trt, negcon, poscon, empty).\n"
        "well,compound,concentration,pert_type\n" + "".join(f"{well}{TO_FILL}\n" for well in wells)
    )
    return True


def _cells(path: Path) -> pd.DataFrame | None:
    """Return the only table of a platemap with a row per well; None for grids and folders."""
    try:
        return text_table.read(path, what="platemap")
    except ValueError:
        return None  # the platemap's own reading names the fault


def _columns(path: Path, plates: Sequence[str]) -> dict[str, str]:
    """Return well and plate for columns whose values are wells and plates, where no usual name is there."""
    table = _cells(path)
    if table is None:
        return {}
    found = {}
    for key in ("well", "plate"):
        known = {*platemap_columns.SURE[key], *platemap_columns.UNSURE.get(key, ())}
        if any(platemap_columns.plain(column) in known for column in table.columns):
            continue
        for column in table.columns:
            values = table[column]
            fits = values.head(200).map(well_names.is_well).all() if key == "well" else set(plates) <= set(values)
            if fits and len(table):
                found[key] = str(column)
                break
    return found


def platemap_in(folder: Path, *, without: str = "") -> Path | None:
    """Return the only table in a folder, or in the one above, whose header names wells and is no list of images.

    A table of the name ``without`` is no platemap.
    """
    for place in (folder, folder.parent):
        found = []
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if path.suffix.lower() not in TABLES or not path.is_file() or path.name.lower().startswith("load_data"):
                continue
            if path.name == without:
                continue
            try:
                sheets = text_table.sheets(path)
            except ValueError:
                continue  # not a table: it is no platemap
            if any(
                rows and (platemap_columns.names_wells(rows[0][1]) or platemap_grid.find(rows))
                for rows in sheets.values()
            ):
                found.append(path)
        if len(found) == 1:
            return found[0]
    return None
