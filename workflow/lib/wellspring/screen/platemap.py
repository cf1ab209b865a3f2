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
    lookalikes,
    platemap_checks,
    platemap_columns,
    platemap_rows,
    spellings,
    treatments,
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
    types
        The words of the column of types, as in the file.
    """

    frame: pd.DataFrame
    plate: str
    file: Path
    form: str
    columns: Mapping[str, str]
    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    unit: str | None
    types: tuple[str, ...] = ()


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
        path = platemap_rows.by_barcode(path, plate)
    table, form = platemap_rows.table(path, plate)
    negcon, poscon = ([lookalikes.tidy(name) for name in names] for names in (negcon, poscon))
    found = platemap_columns.find(table, columns or {}, plate=plate, types=pert_types or {}, where=str(path))
    if "plate" in found:
        table = platemap_rows.of_plate(table, found["plate"], plate, path)
    if table.empty:
        raise ValueError(f"{path}: expected a row for each well, found none")
    named = table.assign(**{"": platemap_rows.wells(table, found, path)})
    lined, lines = named, form == "table"
    table, left_out = platemap_rows.one_per_well(named, found, plate, path)
    frame = pd.DataFrame({ours: table[found[key]] if key in found else None for key, ours in OURS.items()})
    frame["Metadata_Well"] = table[""]
    stated = table[found["unit"]] if "unit" in found else None
    cells, column = frame["Metadata_Concentration"], found.get("concentration")
    _, dose, kinds = platemap_checks.collected(
        lambda: platemap_rows.check_points(lined, column, path, lines=lines) if column else None,
        lambda: doses.read(cells, column, stated, unit, where=str(path)),
        lambda: _controlled(table, frame, found, pert_types or {}, (negcon, poscon), path),
    )
    compounds = frame["Metadata_Compound"].to_numpy(dtype=object)
    frame["Metadata_Concentration"] = treatments.one_dose(compounds, dose.values)
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
    types = tuple(sorted(table[found["pert_type"]].dropna().unique())) if "pert_type" in found else ()
    return Reading(frame, plate, path, form, found, tuple(kept), tuple(left_out), dose.unit, types)


def _controlled(
    table: pd.DataFrame,
    frame: pd.DataFrame,
    found: Mapping[str, str],
    given: Mapping[str, str],
    controls: tuple[Sequence[str], Sequence[str]],
    path: Path,
) -> pd.Series:
    """Return the type of each well, null without one; the controls of the config must be spelt as the compounds are."""
    kinds = _types(table, found, given, path)
    bare = frame.loc[kinds.isna(), "Metadata_Compound"]
    for key, names in zip(("index.negcon", "index.poscon"), controls, strict=True):
        well_types.check_names(bare, names, key=key, where=str(path))
    return kinds


def _types(table: pd.DataFrame, found: Mapping[str, str], given: Mapping[str, str], path: Path) -> pd.Series:
    """Return the type of each well, null without one; JUMP's "control" is replaced by its control_type."""
    if "pert_type" not in found:
        return pd.Series(None, index=table.index, dtype=object)
    kinds = table[found["pert_type"]]
    if "control_type" in table.columns and found["pert_type"] != "control_type":
        bare = (kinds == "control") & table["control_type"].isna()
        if bare.any():
            raise ValueError(
                f"{path}: expected a control_type for each well of {found['pert_type']} control, found none for "
                f"{table.loc[bare, ''].tolist()[:10]}: write negcon or poscon"
            )
        kinds = kinds.where(kinds != "control", table["control_type"])
    known = {value: well_types.kind_of(value, given) for value in kinds.dropna().unique()}
    unknown = sorted(value for value, kind in known.items() if kind is None)
    if unknown:
        words = spellings.placeholders(unknown)
        blank = f"; empty the cells of wells without a type, instead of {words}" if words else ""
        column = found["pert_type"]
        raise ValueError(
            f"{path}: expected {PERT_TYPES} in {column}, found {unknown} (name them in index.pert_types{blank})"
        )
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
