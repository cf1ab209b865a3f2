"""Read platemaps: the content of each well, in the workflow's columns.

A platemap is one CSV or TSV file (of one plate, or of several with a column of plate names), or a folder in the layout
of the Cell Painting Gallery: ``barcode_platemap.csv`` names the platemap of each plate, in ``platemap/<name>.txt``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.screen import treatments, well_names
from wellspring.screen.text_table import read as read_table

PERT_TYPES = ("trt", "negcon", "poscon", "empty")
# The workflow's columns, and their names in the platemaps of the Cell Painting Gallery, JUMP and pycytominer.
NAMES = {
    "well": ("well", "Well", "well_position", "Metadata_well_position"),
    "plate": ("plate", "Plate", "Assay_Plate_Barcode"),
    "compound": ("compound", "Compound", "pert_iname", "broad_sample"),
    "concentration": ("concentration", "Concentration", "mmoles_per_liter"),
    "perturbation": ("perturbation", "Perturbation"),
    "pert_type": ("pert_type", "control_type"),
    "moa": ("moa", "mechanism"),
    "target": ("target", "target_list"),
    "cell_line": ("cell_line", "Cell_Line"),
}
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
SYNONYMS = {
    "treatment": "trt",
    "negative_control": "negcon",
    "positive_control": "poscon",
    "poscon_cp": "poscon",
    "poscon_diverse": "poscon",
    "poscon_orf": "poscon",
}


def read(
    path: Path | str,
    *,
    plate: str,
    columns: Mapping[str, str] | None = None,
    pert_types: Mapping[str, str] | None = None,
    negcon: Sequence[str] = ("DMSO",),
    poscon: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the platemap of a plate.

    Parameters
    ----------
    path
        A CSV (``.csv``), a TSV (any other suffix), or a folder with ``barcode_platemap.csv``.
    plate
        The plate; in a file with a column of plates, other rows are ignored.
    columns
        Our name (a key of ``OURS``, or plate) to the platemap's column; the usual names are tried for the others.
    pert_types
        Value in the platemap to trt, negcon, poscon or empty.
    negcon, poscon
        Compounds that are controls, for wells without a type.

    Returns
    -------
    pandas.DataFrame
        Metadata_Well, Metadata_Compound, Metadata_Concentration (float64, as given), Metadata_Perturbation,
        Metadata_pert_type, Metadata_moa, Metadata_target, Metadata_Cell_Line, and every other column as
        Metadata_<name>; strings or null.

    Raises
    ------
    ValueError
        A file, a column or the plate is missing; a well occurs twice; a type or concentration is not valid.
    """
    path = Path(path)
    if path.is_dir():
        path = _by_barcode(path, plate)
    table = _table(path)
    found = _named(table, columns or {}, path)
    if "plate" in found:
        rows = table[table[found["plate"]] == plate]
        if rows.empty:
            raise ValueError(f"{plate}: no row in {path}, column {found['plate']} has {_values(table[found['plate']])}")
        table = rows
    if "well" not in found:
        raise ValueError(f"{path}: expected a column {' or '.join(NAMES['well'])}, found {list(table.columns)}")
    frame = pd.DataFrame({ours: table[found[key]] if key in found else None for key, ours in OURS.items()})
    if frame.empty:
        raise ValueError(f"{path}: expected a row for each well, found none")
    try:
        frame["Metadata_Well"] = [well_names.normalise(well) for well in frame["Metadata_Well"]]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    doubled = sorted(frame.loc[frame["Metadata_Well"].duplicated(), "Metadata_Well"].unique())
    if doubled:
        raise ValueError(f"{plate}: expected a well once in {path}, found twice {doubled}")
    doses = _numbers(frame["Metadata_Concentration"], path).to_numpy(dtype=np.float64)
    frame["Metadata_Concentration"] = treatments.one_dose(frame["Metadata_Compound"].to_numpy(dtype=object), doses)
    kinds = _types(table, found, pert_types or {}, path)
    frame["Metadata_pert_type"] = _filled(kinds, frame["Metadata_Compound"], negcon, poscon)
    _check_labels(frame, table.reset_index(drop=True), found, path)
    frame["Metadata_Perturbation"] = frame["Metadata_Perturbation"].fillna(_perturbation(frame))
    for column in table.columns:
        name = "Metadata_" + column.removeprefix("Metadata_")
        if column not in found.values() and name not in (*frame.columns, "Metadata_Plate"):
            frame[name] = table[column]
    return frame.sort_values("Metadata_Well", ignore_index=True)


def _by_barcode(folder: Path, plate: str) -> Path:
    barcodes = _table(folder / "barcode_platemap.csv")
    names = barcodes.loc[barcodes["Assay_Plate_Barcode"] == plate, "Plate_Map_Name"].unique()
    if len(names) != 1:
        raise ValueError(f"{plate}: expected one platemap in {folder / 'barcode_platemap.csv'}, found {list(names)}")
    return folder / "platemap" / f"{names[0]}.txt"


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path, what="platemap").astype(object)
    return table.where(table != "", None).reset_index(drop=True)


def _named(table: pd.DataFrame, columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return our name to the platemap's column, for the columns that exist."""
    unknown = sorted(set(columns) - {*OURS, "plate"})
    if unknown:
        raise ValueError(f"index.columns: expected keys of {[*OURS, 'plate']}, found {unknown}")
    absent = sorted(column for column in columns.values() if column not in table.columns)
    if absent:
        raise ValueError(f"{path} has no column {absent} (set index.columns), found {list(table.columns)}")
    found = dict(columns)
    for key, names in NAMES.items():
        for name in (*names, f"Metadata_{key}", OURS.get(key, "Metadata_Plate")):
            if name in table.columns:
                found.setdefault(key, name)
    if "perturbation" in found:  # one column may serve two names
        found.setdefault("compound", found["perturbation"])
    return found


def _check_labels(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse treated wells without a compound and a perturbation, which would be one treatment."""
    bare = (
        (frame["Metadata_pert_type"] == "trt")
        & frame["Metadata_Compound"].isna()
        & frame["Metadata_Perturbation"].isna()
    )
    if not bare.any():
        return
    wells = frame.loc[bare, "Metadata_Well"].tolist()
    few = f"{wells[:10]}{' and others' if len(wells) > 10 else ''}"
    if "compound" in found:
        raise ValueError(
            f"{path}: {len(wells)} wells of type trt have no compound in {found['compound']!r}: {few}; fill it in, "
            "or give these wells the type empty"
        )
    others = [name for name in table.columns if name not in found.values() and table[name].nunique() > 1]
    raise ValueError(
        f"{path}: {len(wells)} wells of type trt have no compound: expected a column {' or '.join(NAMES['compound'])}, "
        f"found {list(table.columns)}; set index.columns.compound, perhaps to one of {others[:10]}"
    )


def _numbers(column: pd.Series, path: Path) -> pd.Series:
    try:
        return column.astype("float64")
    except ValueError as error:
        raise ValueError(f"{path}: expected numbers as concentrations, found {_values(column)}") from error


def _types(table: pd.DataFrame, found: Mapping[str, str], given: Mapping[str, str], path: Path) -> pd.Series:
    """Return the type of each well, null without one; JUMP's "control" is replaced by its control_type."""
    if "pert_type" not in found:
        return pd.Series(None, index=table.index, dtype=object)
    kinds = table[found["pert_type"]]
    if "control_type" in table.columns and found["pert_type"] != "control_type":
        kinds = kinds.where(kinds != "control", table["control_type"])
    known = {**{kind: kind for kind in PERT_TYPES}, **SYNONYMS, **given}
    unknown = sorted(set(kinds.dropna()) - set(known))
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
