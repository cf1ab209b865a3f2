"""Read the columns of a LoadData table beside those of the files: well, site, plane, time point and lengths."""

import re
from pathlib import Path

import pandas as pd

from wellspring.screen import not_a_table, platemap_columns, well_names

METRES = 1e-4  # Harmony's tables have pixel sizes in metres; a larger value is in another unit


# The columns that are read, to other names of them, compared without case, punctuation and a leading `Image_Metadata_`.
USUAL = {
    "Metadata_Well": platemap_columns.SURE["well"],
    "Metadata_Row": platemap_columns.SURE["row"],
    "Metadata_Col": platemap_columns.SURE["column"],
    "Metadata_Site": ("site", "siteid", "fov"),
    "Metadata_FieldID": ("fieldid", "field", "fieldindex"),
    "Metadata_PlaneID": ("planeid", "plane", "zplane"),
    "Metadata_TimepointID": ("timepointid", "timepoint"),
}


def under_usual_names(rows: pd.DataFrame, table: Path | str) -> pd.DataFrame:
    """Return the rows with columns such as `Well` or `Image_Metadata_Well` called as CellProfiler calls them.

    A column of CellProfiler's own name is taken before any other. `ValueError` if several others hold different cells.
    """
    names: dict[str, list[str]] = {}
    for column in rows.columns:
        names.setdefault(platemap_columns.plain(column), []).append(column)
    renamed = {}
    for ours, others in USUAL.items():
        found = [column for other in others for column in names.get(other, [])]
        if not found or ours in found:
            continue
        own = [column for column in found if column.startswith("Metadata_")]
        found = own[:1] or found
        if any(not rows[column].equals(rows[found[0]]) for column in found[1:]):
            raise ValueError(f"{table}: expected one column {ours}, found {found}, which differ (keep one of them)")
        renamed[found[0]] = ours
    return rows.rename(columns=renamed)


def plate_column(rows: pd.DataFrame, plate: str) -> str | None:
    """Return the column of plates: `Metadata_Plate`, or one of another usual name; None if there is none.

    A column of another name that has one value for all rows, and not this plate's, may hold another name of the plate.
    """
    if "Metadata_Plate" in rows:
        return "Metadata_Plate"
    others = [name for name in rows if platemap_columns.plain(name) in platemap_columns.SURE["plate"]]
    return next((name for name in others if rows[name].nunique() > 1 or plate in set(rows[name])), None)


def wells(rows: pd.DataFrame, table: Path | str) -> list[str]:
    """Return the well of each row; `ValueError` names the table if a cell is no well, or no column has wells."""
    try:
        if "Metadata_Well" in rows:
            return [well_names.normalise(value) for value in rows["Metadata_Well"].fillna("")]
        if {"Metadata_Row", "Metadata_Col"} <= set(rows.columns):
            pairs = zip(rows["Metadata_Row"], rows["Metadata_Col"], strict=True)
            return [well_names.of_pair(row, column) for row, column in pairs]
    except ValueError as error:
        raise ValueError(f"{table}: {error}") from error
    found = list(rows.columns)
    raise ValueError(
        f"{table}: expected Metadata_Well, or Metadata_Row and Metadata_Col, found {found}"
        f"{not_a_table.of_one_column(found)}"
    )


def first(rows: pd.DataFrame, *columns: str) -> list[str]:
    """Return the first of the columns that exists, or ones; 1.0 is read as 1, as pandas writes it beside a gap."""
    name = next((column for column in columns if column in rows), None)
    cells = pd.Series("1", index=rows.index) if name is None else rows[name].fillna("1")
    return [re.sub(r"^([0-9]+)\.0$", r"\1", str(cell)) for cell in cells]


def lengths(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return pixel size and position (micrometres) if the table has them in metres, as tables from Harmony do."""
    if "Metadata_ImageResolutionX" not in rows:
        return {}
    size = pd.to_numeric(rows["Metadata_ImageResolutionX"], errors="coerce")
    if not size.between(0, METRES, inclusive="neither").any():
        return {}
    lengths = {"pixel_size": size * 1e6}
    for axis in "XYZ":
        if f"Metadata_Position{axis}" in rows:
            lengths[axis.lower()] = pd.to_numeric(rows[f"Metadata_Position{axis}"], errors="coerce") * 1e6
    return lengths
