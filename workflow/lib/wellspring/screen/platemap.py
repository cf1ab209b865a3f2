"""Read platemaps: the content of each well, in the workflow's columns.

A platemap is one file of one plate, or of several with a column of plate names, or a folder in the layout of the Cell
Painting Gallery: ``barcode_platemap.csv`` names the platemap of each plate, in ``platemap/<name>.txt``. A file is text
(CSV, TSV, semicolons) or an Excel workbook. It has a row per well, or grids drawn as the plate
(:mod:`wellspring.screen.platemap_grid`). Columns are known by usual names (:mod:`wellspring.screen.platemap_columns`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.screen import (
    doses,
    platemap_checks,
    platemap_columns,
    platemap_grid,
    text_table,
    treatments,
    well_names,
    well_types,
)
from wellspring.screen.sections import Index
from wellspring.screen.well_types import PERT_TYPES

OURS = {
    "well": "Metadata_Well",
    "compound": "Metadata_Compound",
    "concentration": "Metadata_Concentration",
    "perturbation": "Metadata_Perturbation",
    "pert_type": "Metadata_pert_type",
    "moa": "Metadata_moa",
    "target": "Metadata_target",
    "cell_line": "Metadata_Cell_Line",
}
ENDINGS = (".txt", ".csv", ".tsv", ".xlsx")  # of the platemaps of a folder, in the order in which they are looked for


@dataclass(frozen=True)
class Reading:
    """A platemap as it was read.

    Attributes
    ----------
    frame
        As :func:`read` returns it.
    plate, file
        The plate and the file.
    form
        ``table``, or grids with their number and size.
    columns
        Our name (a key of ``OURS``, plate, row, column, unit) to the file's column.
    kept
        The other columns, which become metadata.
    left_out
        Columns that differ within a well, in a file of several rows per well.
    unit
        Unit of the concentrations, None if nothing states it.
    """

    frame: pd.DataFrame
    plate: str
    file: Path
    form: str
    columns: Mapping[str, str]
    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    unit: str | None


def of_plate(path: Path | str, *, plate: str, options: Index) -> Reading:
    """Read the platemap of a plate by the section ``index`` of the config; errors as :func:`read`."""
    return reading(
        path,
        plate=plate,
        columns=options.columns,
        pert_types=options.pert_types,
        negcon=options.negcon,
        poscon=options.poscon,
        unit=options.unit,
    )


def read(
    path: Path | str,
    *,
    plate: str,
    columns: Mapping[str, str] | None = None,
    pert_types: Mapping[str, str] | None = None,
    negcon: Sequence[str] = ("DMSO",),
    poscon: Sequence[str] = (),
    unit: str | None = None,
) -> pd.DataFrame:
    """Read the platemap of a plate.

    Parameters
    ----------
    path
        A text file, a workbook, or a folder with ``barcode_platemap.csv``.
    plate
        The plate; in a file with a column of plates, other rows are ignored, and in a workbook with a sheet of that
        name the other sheets.
    columns
        Our name (``platemap_columns.KEYS``) to the platemap's column; the usual names are tried for the others.
    pert_types
        Value in the platemap to trt, negcon, poscon or empty.
    negcon, poscon
        Compounds that are controls, for wells without a type.
    unit
        Unit of the result's concentrations; None: as the platemap has it.

    Returns
    -------
    pandas.DataFrame
        Metadata_Well, Metadata_Compound, Metadata_Concentration (float64), Metadata_Perturbation, Metadata_pert_type,
        Metadata_moa, Metadata_target, Metadata_Cell_Line, Metadata_Concentration_Unit where a unit is known, and every
        other column as Metadata_<name>; strings or null.

    Raises
    ------
    ValueError
        A file, a column, the compounds or the plate is missing; rows of a well differ; a type, a concentration or its
        unit is not valid; a control is written differently from the config.
    """
    return reading(
        path, plate=plate, columns=columns, pert_types=pert_types, negcon=negcon, poscon=poscon, unit=unit
    ).frame


def reading(
    path: Path | str,
    *,
    plate: str,
    columns: Mapping[str, str] | None = None,
    pert_types: Mapping[str, str] | None = None,
    negcon: Sequence[str] = ("DMSO",),
    poscon: Sequence[str] = (),
    unit: str | None = None,
) -> Reading:
    """Read the platemap of a plate, and describe how it was read; parameters and errors as :func:`read`."""
    path = Path(path)
    if path.is_dir():
        path = _by_barcode(path, plate)
    table, form = _table(path, plate)
    found = platemap_columns.find(table, columns or {}, plate=plate, types=pert_types or {}, where=str(path))
    if "plate" in found:
        rows = table[table[found["plate"]] == plate]
        if rows.empty:
            raise ValueError(f"{plate}: no row in {path}, column {found['plate']} has {_values(table[found['plate']])}")
        table = rows
    if table.empty:
        raise ValueError(f"{path}: expected a row for each well, found none")
    table, left_out = _one_row(table.assign(**{"": _wells(table, found, path)}), found, plate, path)
    frame = pd.DataFrame({ours: table[found[key]] if key in found else None for key, ours in OURS.items()})
    frame["Metadata_Well"] = table[""]
    stated = table[found["unit"]] if "unit" in found else None
    dose = doses.read(frame["Metadata_Concentration"], found.get("concentration"), stated, unit, where=str(path))
    compounds = frame["Metadata_Compound"].to_numpy(dtype=object)
    frame["Metadata_Concentration"] = treatments.one_dose(compounds, dose.values)
    kinds = _types(table, found, pert_types or {}, path)
    bare = frame.loc[kinds.isna(), "Metadata_Compound"]
    for key, controls in (("index.negcon", negcon), ("index.poscon", poscon)):
        well_types.check_names(bare, controls, key=key, where=str(path))
    frame["Metadata_pert_type"] = _filled(kinds, frame["Metadata_Compound"], negcon, poscon)
    platemap_checks.check(frame, table.drop(columns=""), found, path)
    frame["Metadata_Perturbation"] = frame["Metadata_Perturbation"].fillna(_perturbation(frame))
    if dose.unit is not None:
        frame["Metadata_Concentration_Unit"] = dose.unit
    used = {*found.values(), ""}
    kept = []
    for column in table.columns:
        name = "Metadata_" + column.removeprefix("Metadata_")
        if column not in used and name not in (*frame.columns, "Metadata_Plate"):
            frame[name] = table[column]
            kept.append(column)
    frame = frame.sort_values("Metadata_Well", ignore_index=True)
    return Reading(frame, plate, path, form, found, tuple(kept), tuple(left_out), dose.unit)


def _by_barcode(folder: Path, plate: str) -> Path:
    barcodes = text_table.read(folder / "barcode_platemap.csv", what="platemap")
    absent = [name for name in ("Assay_Plate_Barcode", "Plate_Map_Name") if name not in barcodes]
    if absent:
        raise ValueError(f"{folder / 'barcode_platemap.csv'}: expected the columns {absent}, found {list(barcodes)}")
    names = barcodes.loc[barcodes["Assay_Plate_Barcode"] == plate, "Plate_Map_Name"].unique()
    if len(names) != 1:
        raise ValueError(f"{plate}: expected one platemap in {folder / 'barcode_platemap.csv'}, found {list(names)}")
    files = [folder / "platemap" / f"{names[0]}{ending}" for ending in ENDINGS]
    return next((file for file in files if file.is_file()), files[0])


def _table(path: Path, plate: str) -> tuple[pd.DataFrame, str]:
    """Return the cells (text or None) with a row per well or more, and the form of the file."""
    sheets = text_table.sheets(path, what="platemap")
    sheets = {plate: sheets[plate]} if plate in sheets else {name: rows for name, rows in sheets.items() if rows}
    grids = {name: found for name, rows in sheets.items() if (found := platemap_grid.find(rows))}
    if grids:
        for name, found in grids.items():
            platemap_grid.check(sheets[name], found, where=str(path))
        return platemap_grid.joined(grids, where=str(path))
    if len(sheets) > 1:
        mapped = {name: rows for name, rows in sheets.items() if platemap_columns.names_wells(rows[0][1])}
        if len(mapped) != 1:
            raise ValueError(
                f"{path}: expected one sheet with a column of wells, a sheet called {plate!r}, or grids, found "
                f"{list(mapped) or 'none'} among the sheets {list(sheets)}"
            )
        sheets = mapped
    table = text_table.framed(next(iter(sheets.values())), path).astype(object)
    return table.where(table != "", None), "table"


def _wells(table: pd.DataFrame, found: Mapping[str, str], path: Path) -> list[str]:
    """Return the normalised well of each row, from its column or from those of row and column."""
    if "well" not in found and not {"row", "column"} <= set(found):
        usual = " or ".join(("well", "Well", "well_position", "row and column"))
        raise ValueError(
            f"{path}: expected a column {usual}, found {list(table.columns)}; set index.columns.well, or draw the "
            "plate as a grid with the numbers of its columns above and the letters of its rows before"
        )
    names = [found[key] for key in (("well",) if "well" in found else ("row", "column"))]
    of = well_names.normalise if "well" in found else well_names.of_pair
    wells = []
    for line, cells in zip(table.index, table[names].itertuples(index=False), strict=True):
        try:
            wells.append(of(*("" if cell is None else cell for cell in cells)))
        except ValueError as error:
            raise ValueError(f"{path}: line {line}: {error}; correct the row, or remove it") from error
    return wells


def _one_row(table: pd.DataFrame, found: Mapping[str, str], plate: str, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per well (column ``""``) of a table that may have a row per site, and the columns left out.

    The rows of a well agree in all columns that were recognised; other columns that differ within a well are left out.
    """
    twice = table[""].duplicated(keep=False)
    if not twice.any():
        return table.reset_index(drop=True), []
    content = [column for key, column in found.items() if key not in ("well", "row", "column", "plate")]
    kinds = table.groupby("", sort=False)[content].nunique(dropna=False) if content else pd.DataFrame()
    doubled = table.loc[twice, ""].unique()
    wrong = sorted(kinds.index[(kinds > 1).any(axis=1)]) if content else sorted(doubled)
    if not wrong and 2 * len(doubled) < table[""].nunique():  # a few doubled rows are a slip, not a row per site
        wrong = sorted(doubled)
    if wrong:
        raise ValueError(f"{plate}: expected a well once in {path}, found twice {wrong[:20]}")
    others = [column for column in table.columns if column and column not in found.values()]
    varied = table.groupby("", sort=False)[others].nunique(dropna=False).max() > 1
    left_out = [str(column) for column in varied.index[varied]]
    return table.drop_duplicates("").drop(columns=left_out).reset_index(drop=True), left_out


def _types(table: pd.DataFrame, found: Mapping[str, str], given: Mapping[str, str], path: Path) -> pd.Series:
    """Return the type of each well, null without one; JUMP's "control" is replaced by its control_type."""
    if "pert_type" not in found:
        return pd.Series(None, index=table.index, dtype=object)
    kinds = table[found["pert_type"]]
    if "control_type" in table.columns and found["pert_type"] != "control_type":
        kinds = kinds.where(kinds != "control", table["control_type"])
    known = {value: well_types.kind_of(value, given) for value in kinds.dropna().unique()}
    unknown = sorted(value for value, kind in known.items() if kind is None)
    if unknown:
        column = found["pert_type"]
        raise ValueError(f"{path}: expected {PERT_TYPES} in {column}, found {unknown} (name them in index.pert_types)")
    return kinds.map(known)


def _filled(kinds: pd.Series, compound: pd.Series, negcon: Sequence[str], poscon: Sequence[str]) -> np.ndarray:
    """Give a type to wells without one: a control by its compound, else a treatment, or empty without a compound."""
    guess = np.select(
        [compound.isna(), compound.isin(list(negcon)), compound.isin(list(poscon))],
        ["empty", "negcon", "poscon"],
        "trt",
    )
    return np.where(kinds.notna(), kinds, guess)


def _perturbation(frame: pd.DataFrame) -> pd.Series:
    """Return the name of each well's treatment, or the type without a compound."""
    pairs = zip(frame["Metadata_Compound"], frame["Metadata_Concentration"], strict=True)
    names = [None if pd.isna(compound) else treatments.name(compound, dose) for compound, dose in pairs]
    named = pd.Series(names, index=frame.index, dtype=object)
    return named.where(frame["Metadata_Compound"].notna(), frame["Metadata_pert_type"])


def _values(column: pd.Series) -> list[str]:
    """Return the first ten values, for messages."""
    return sorted(column.dropna().unique())[:10]
