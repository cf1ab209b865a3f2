"""Which columns of a foreign table of profiles are plate, well, site and view: by usual names, as of a platemap."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from wellspring.io import site_arrays
from wellspring.screen import not_a_table, platemap_columns, well_names

# Names of the key columns in tables of CellProfiler, CytoTable, pycytominer, DeepProfiler and JUMP; the first is used.
KEYS = {
    "plate": (
        "Metadata_Plate",
        "Image_Metadata_Plate",
        "Metadata_plate",
        "Metadata_Assay_Plate_Barcode",
        "Metadata_Barcode",
    )
    + ("Assay_Plate_Barcode", "Plate", "plate", "Barcode", "barcode", "plate_id", "PlateID"),
    "well": (
        "Metadata_Well",
        "Image_Metadata_Well",
        "Metadata_well",
        "Metadata_well_position",
        "Metadata_Well_position",
    )
    + ("well_position", "Well", "well", "well_id", "WellID"),
    "site": ("Metadata_Site", "Image_Metadata_Site", "Metadata_site", "Metadata_Field", "Image_Metadata_Field")
    + ("Metadata_FieldID", "Site", "site", "field", "fov", "Metadata_ImageNumber", "ImageNumber"),
    "view": ("Metadata_ObjectNumber", "ObjectNumber", "Metadata_Cells_Number_Object_Number")
    + ("Metadata_Nuclei_Number_Object_Number", "Metadata_tile", "tile", "cell_id"),
}
# Names of platemaps, compared without case and punctuation, where none of `KEYS` is there; rows and columns of a plate.
FLAT = {key: platemap_columns.SURE[key] for key in ("plate", "well")} | {"site": ("site", "field", "fov")}
PLACE = {key: platemap_columns.SURE[key] for key in ("row", "column")}
TIMES = ("timepoint", "timepointh", "timepointhours", "perttime", "perttimeh")


def known_keys(names: Collection[str]) -> dict[str, str]:
    """Return key to column for the usual names of key columns; row and column where there is none of wells.

    Examples
    --------
    >>> known_keys(["METADATA_PLATE", "Well Row", "Well Col", "area"])
    {'plate': 'METADATA_PLATE', 'row': 'Well Row', 'column': 'Well Col'}
    """
    found = {key: name for key, usual in KEYS.items() if (name := next((one for one in usual if one in names), None))}
    flat = {platemap_columns.plain(name): name for name in reversed(list(names))}
    found = _flat(flat, FLAT) | found
    place = _flat(flat, PLACE)
    return found | place if "well" not in found and len(place) == len(PLACE) else found


def _flat(flat: Mapping[str, str], usual: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return key to the column of the first of its flat names that is there; ``flat`` is flat name to column."""
    found = {key: next((flat[one] for one in names if one in flat), None) for key, names in usual.items()}
    return {key: name for key, name in found.items() if name is not None}


def keys_of(
    names: Sequence[str], columns: Mapping[str, str], path: Path, *, kind: str, one_plate: bool
) -> dict[str, str]:
    """Return key to column; sites and view numbers where the table has them and rows are not wells, a time point.

    Raises
    ------
    ValueError
        A column of `columns` (key to name) or a key that is needed is not there; names similar ones.
    """
    absent = [name for name in columns.values() if name not in names]
    keys = known_keys(names) | {key: name for key, name in columns.items() if name in names}
    placed = "well" not in keys and keys.keys() >= PLACE.keys()
    needed = ["well"] * (not placed) + ["plate"] * (not one_plate) + ["site"] * (kind == "tile")
    absent += [KEYS[key][0] for key in needed if key not in keys and key not in columns]
    if absent:
        raise ValueError(_refusal(absent, names, keys, path))
    keys |= _flat({platemap_columns.plain(name): name for name in names}, {"time": TIMES})
    kept = ("plate", "row", "column", "time") if placed else ("plate", "well", "time")
    if kind == "well":
        return {key: keys[key] for key in kept if key in keys}
    # Cell numbers are unique within a site only, so that without sites they do not identify cells of a well.
    kept = (*kept, "site", "view") if "site" in keys or "view" in columns else kept
    return {key: keys[key] for key in kept if key in keys}


def _refusal(absent: Sequence[str], names: Sequence[str], keys: Mapping[str, str], path: Path) -> str:
    """Return the message for columns that a table lacks."""
    few = [name for name in names if name.startswith(("Metadata_", "Image_Metadata_"))] or list(names)
    free = [name for name in names if name not in keys.values()]
    near = {name: found for name in absent if (found := get_close_matches(name, free, n=3, cutoff=0.6))}
    hint = f"; similar names: {near}" if near else ""
    hint = not_a_table.of_header(names) or hint
    if site_arrays.key(path.name.partition(".")[0]) is not None:
        hint = (
            "; the file is that of a site, as of JUMP-Lite: `wellspring` has a recipe that joins these per plate "
            "(resources/datasets/jump_lite), or write plate, well and site into columns"
        )
    return f"{path}: expected the columns {list(absent)} (set their names in `columns`), found {few[:20]}{hint}"


def refuse_times(frame: pd.DataFrame, column: str | None, where: str) -> None:
    """Refuse rows of one well at several time points, which would be one profile; `ValueError`."""
    each = frame.groupby("well")["time"].unique() if "time" in frame else pd.Series(dtype=object)
    times = sorted({str(time) for some in each[each.map(len) > 1] for time in some})
    if times:
        raise ValueError(
            f"{where}: expected one time point per well, found {times[:10]} in the column {column!r}: write a table "
            "per time point, or give each time point a plate of its own, as `P1_T24`, in the column of plates and in "
            "the sheet"
        )


def wells_of(frame: pd.DataFrame, where: str) -> pd.Series:
    """Return the wells of the rows as A01, from their names or from row and column."""
    pairs = ["well"] if "well" in frame else ["row", "column"]
    gaps = int(frame[pairs].isna().any(axis=1).sum())
    if gaps:
        raise ValueError(f"{where}: expected a well in each row, found none in {gaps} rows")
    named = well_names.normalise if "well" in frame else well_names.of_pair
    try:
        names = {cells: named(*cells) for cells in frame[pairs].drop_duplicates().itertuples(index=False, name=None)}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    found = [names[cells] for cells in frame[pairs].itertuples(index=False, name=None)]
    return pd.Series(found, index=frame.index, dtype=object)
