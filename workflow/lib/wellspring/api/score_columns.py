"""Columns of a profile table by their roles: found by usual names, or given; then the table in the workflow's form."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from wellspring.api.score_checks import check, suggest
from wellspring.encoders.table_columns import is_nothing
from wellspring.encoders.table_keys import KEYS
from wellspring.io.keys import TIME
from wellspring.screen import (
    dose_columns,
    doses,
    lookalikes,
    not_a_table,
    platemap_columns,
    treatments,
    well_names,
    well_types,
)

logger = logging.getLogger(__name__)

# Role to usual names of its column, beside those with `Metadata_` before them; the first that the table has is used.
USUAL: dict[str, tuple[str, ...]] = {
    "plate": KEYS["plate"],
    "well": KEYS["well"],
    "compound": ("Compound", "compound", "pert_iname", "broad_sample", "JCP2022", "Perturbation", "perturbation")
    + ("treatment", "Treatment", "gene", "Gene", "Symbol", "drug", "Drug"),
    "dose": ("Concentration", "concentration", "dose", "Dose", "mmoles_per_liter", "dose_uM", "Dose_uM"),
    "unit": ("Concentration_Unit", "concentration_unit", "conc_unit", "dose_unit", "Dose_Unit", "pert_dose_unit"),
    "type": ("pert_type", "control_type"),
    "cell_line": ("Cell_Line", "cell_line", "cell_id", "Cell_line", "Cell_type"),
    "batch": ("Batch", "batch", "Batch_Number", "Plate_Batch"),
    "time": ("Timepoint", "Time_Point", "timepoint", "time_point", "pert_time"),
}
# Role to the names of platemaps, which are compared without case and punctuation, where no usual name is there.
FLAT = {role: platemap_columns.SURE[role] for role in ("plate", "well", "compound", "unit", "cell_line")}
FLAT["cell_line"] += ("celltype",)
FLAT |= {"batch": ("batch", "batchnumber", "batchid", "platebatch")}
FLAT["time"] = ("timepoint", "timepointh", "timepointhours", "timeh", "timehours", "perttimeh", "treatmenttime", "time")
PLACE = {role: platemap_columns.SURE[role] for role in ("row", "column")}  # of a well, where it has no name
# Time points of a column with another name than that: 24, `48 h`, `day 3`, not a date or a time of the clock.
_DURATION = re.compile(
    r"(?:t|h|hour|d|day)?\s*\d{1,5}(?:\.\d*)?\s*(?:h|hrs?|hours?|d|days?|m|mins?|minutes?)?", re.IGNORECASE
)
OURS = {"dose": "Concentration", "type": "pert_type", "time": "Timepoint"} | {
    name: name.title() for name in ("plate", "well", "compound", "cell_line", "batch")
}
OPTIONS = ("--dose", "--unit")
DOSES = tuple(filter(None, dose_columns.DOSES))
OWN = ("Plate", "Well", "Compound", "Concentration", "Perturbation", "pert_type", "Role", "Verdict", "Reason", "Batch")
DMSO = ("dmso", "negcon", "negative_control", "vehicle", "untreated")  # names of controls, where no type is given


def find(names: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return role to column; one column may have two roles.

    Raises
    ------
    ValueError
        A given column is not in the table; names similar ones.
    """
    found = {role: column_of(names, name, role) for role, name in given.items()}
    for role, usual in USUAL.items():
        candidates = [one for name in usual for one in (f"Metadata_{name}", name)]
        column = next((name for name in candidates if name in names), None)
        if column is not None:
            found.setdefault(role, column)
    flat = {platemap_columns.plain(name): name for name in reversed(list(names))}
    for role, words in FLAT.items() if "well" in found else (FLAT | PLACE).items():
        column = next((flat[word] for word in words if word in flat), None)
        if column is not None:
            found.setdefault(role, column)
    if "dose" not in found:  # names as `conc`, or that end in a unit: `conc_nM`, `Metadata_dose (mg/ml)`
        named = [name for name in names if dose_columns.of_column(name)[0] in DOSES]
        named.sort(key=lambda name: dose_columns.of_column(name)[1] is None)  # first the one that states its unit
        found |= {"dose": named[0]} if named else {}
    unit = next((flat[word] for word in ("unit", "units") if word in flat), None)
    return {"unit": unit} | found if unit and "dose" in found else found


def column_of(names: Collection[str], name: str, role: str) -> str:
    """Return the column of a name that a person gave, with or without `Metadata_`; `ValueError` names similar ones."""
    for one in (name, f"Metadata_{name}", name.removeprefix("Metadata_")):
        if one in names:
            return one
    near = get_close_matches(name, list(names), n=5, cutoff=0.5)
    listed = near or [one for one in names if one.startswith("Metadata_")][:20] or list(names)[:20]
    raise ValueError(f"no column {name!r} (--{role.replace('_', '-')}); expected one of {listed}")


def workflow_table(
    table: pd.DataFrame,
    features: Sequence[str],
    *,
    roles: Mapping[str, str],
    controls: Sequence[str] = (),
    where: str,
    plate: str = "table",
) -> pd.DataFrame:
    """Return the table in the form of this workflow: `Metadata_*` columns by their roles, and the features.

    Parameters
    ----------
    table
        One row per well; metadata as text or None, features as numbers.
    features
        Names of the features.
    roles
        Of `find`. Without a well the rows are numbered.
    controls
        Negative controls: names of compounds, `COLUMN=VALUE`, or `COLUMN=` for wells whose value is missing. Without
        any, the column of types decides, else the compounds of usual names (`DMSO`); a table may have none.
    where
        The file, for messages.
    plate
        The plate of all wells, where no column has plates.

    Raises
    ------
    ValueError
        No column of compounds; a treated well without a compound; an unknown type; a well that is there twice; controls
        that no well has; a dose that is no number of 0 or more, or in a unit that contradicts another.
    """
    features = list(features)
    table = _tidied(table, features)
    frame = pd.DataFrame(
        {
            name if name.startswith("Metadata_") else f"Metadata_{name}": table[name]
            for name in table.columns
            if name not in set(features)
        }
    )
    frame["Metadata_Plate"] = table[roles["plate"]] if "plate" in roles else plate
    frame["Metadata_Well"] = _wells(table, roles, where)
    for role in ("cell_line", "batch", "time"):
        if role in roles and (role != "time" or _are_times(roles[role], table[roles[role]])):
            frame[f"Metadata_{OURS[role]}"] = table[roles[role]]
    if "compound" not in roles:
        hint = not_a_table.of_header(list(table.columns))
        raise ValueError(f"{where}: no column of compounds among {list(USUAL['compound'])}; {suggest(frame)}{hint}")
    frame["Metadata_Compound"] = table[roles["compound"]]
    dose = _doses(table, roles, where)
    frame["Metadata_Concentration"] = dose.values
    if dose.unit is not None:
        frame["Metadata_Concentration_Unit"] = dose.unit
    frame["Metadata_pert_type"] = _kinds(table, frame, roles, controls, where)
    frame = _plate_per_time(frame)
    check(frame, roles, where)
    pairs = zip(frame["Metadata_Compound"], frame["Metadata_Concentration"], strict=True)
    frame["Metadata_Perturbation"] = [None if one is None else treatments.name(one, dose) for one, dose in pairs]
    return treatments.harmonised(pd.concat([frame, table[features]], axis=1))


def _tidied(table: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return the table whose texts are as a person sees them: `c1 ` and `c1` are one compound."""
    seen = dict[str, pd.Series]()
    for name in (name for name in table.columns if name not in set(features)):
        looks = {cell: lookalikes.tidy(cell) or None for cell in table[name].unique() if isinstance(cell, str)}
        if any(cell != look for cell, look in looks.items()):
            seen[name] = pd.Series([looks.get(cell, cell) for cell in table[name]], index=table.index, dtype=object)
    return table.assign(**seen)


def _wells(table: pd.DataFrame, roles: Mapping[str, str], where: str) -> pd.Series:
    """Return names of wells as A01; a name of another form stays, and its position is unknown."""
    if "well" not in roles and {"row", "column"} <= roles.keys():
        try:
            pairs = [well_names.of_pair(*pair) for pair in table[[roles["row"], roles["column"]]].to_numpy()]
            return pd.Series(pairs, index=table.index, dtype=object)
        except ValueError as error:
            logger.warning(
                "no column of wells, and row and column name no wells (%s): positions are unknown (set --well)", error
            )
    if "well" not in roles:
        return pd.Series([f"row {number}" for number in range(1, len(table) + 1)], index=table.index, dtype=object)
    known, odd = dict[object, object](), dict[object, str]()
    for value in table[roles["well"]].dropna().unique():
        try:
            known[value] = well_names.normalise(value)
        except ValueError as error:
            known[value], odd[value] = value, str(error)
    if odd:
        logger.warning(
            "%s: the positions of %d of %d wells are unknown, so that no score is held against the position alone: %s",
            where, table[roles["well"]].isin(list(odd)).sum(), len(table), next(iter(odd.values()))
        )  # fmt: skip
    return table[roles["well"]].map(known)


def _doses(table: pd.DataFrame, roles: Mapping[str, str], where: str) -> doses.Doses:
    """Return the doses in one unit, as of a platemap: cells, the column's name or a column may state it."""
    if "dose" not in roles:
        return doses.read(pd.Series(index=table.index, dtype=object), None, None, None, where=where)
    cells = table[roles["dose"]].astype(object)
    cells = cells.where(~is_nothing(cells), None)
    units = table[roles["unit"]] if "unit" in roles else None
    return doses.read(cells, roles["dose"].removeprefix("Metadata_"), units, None, where=where, keys=OPTIONS)


def _kinds(
    table: pd.DataFrame, frame: pd.DataFrame, roles: Mapping[str, str], controls: Sequence[str], where: str
) -> pd.Series:
    compound = frame["Metadata_Compound"]
    kinds = pd.Series(np.where(compound.isna(), "empty", "trt"), index=table.index, dtype=object)
    named = None if controls or "type" in roles else _typed_by(table, roles)
    if named is not None:
        logger.warning("%s: the types of wells are taken from the column %s (--type or --controls)", where, named)
        roles = {**roles, "type": named}
    if "type" in roles:
        given = table[roles["type"]]
        second = next((one for one in ("Metadata_control_type", "control_type") if one in table), None)
        if second is not None:  # JUMP's type is "control", and the other column has its kind
            given = given.where(given != "control", table[second])
        known = {value: well_types.kind_of(str(value), {}) for value in given.dropna().unique()}
        unknown = sorted(str(value) for value, kind in known.items() if kind is None)
        if unknown and not controls:
            expected = f"{list(well_types.PERT_TYPES)} in {roles['type']!r}"
            raise ValueError(f"{where}: expected {expected}, found {unknown} (set --controls)")
        kinds = given.map(known).fillna(kinds)
    if controls:
        chosen = pd.Series(False, index=table.index)
        for one in controls:
            name, sign, value = one.partition("=")
            column = table[column_of(table.columns, name, "controls")] if sign else compound
            mine = column.isna() if sign and not value else column == (value or one)
            if not mine.any():
                found = column.dropna().value_counts().index.tolist()[:10]
                raise ValueError(f"{where}: no well is {one!r} (--controls); the commonest values are {found}")
            chosen |= mine
        return kinds.where(~chosen, "negcon").where(chosen | (kinds != "negcon"), "trt")
    if "type" not in roles:
        kinds = kinds.where(~compound.astype(str).str.lower().isin(DMSO), "negcon")
    return kinds


def may_be_types(table: pd.DataFrame, roles: Mapping[str, str]) -> list[str]:
    """Return the columns with a name that types of wells may have, as `role` or `well_type`, and several values."""
    free = [name for name in table.columns if name not in roles.values() and table[name].dtype == object]
    sure = platemap_columns.SURE["pert_type"]
    named = [name for name in free if platemap_columns.plain(name) in sure or platemap_columns.may_be_types(name)]
    return [name for name in named if table[name].nunique(dropna=False) > 1]


def _typed_by(table: pd.DataFrame, roles: Mapping[str, str]) -> str | None:
    """Return the column of another name that types all wells: all of its words are known, controls among them."""
    for name in may_be_types(table, roles):
        kinds = {well_types.kind_of(str(value), {}) for value in table[name].dropna().unique()}
        if None not in kinds and "negcon" in kinds and (len(kinds) > 1 or table[name].isna().any()):
            return name
    return None


def _are_times(name: str, values: pd.Series) -> bool:
    """Return whether a column holds time points: by its name, or values that are durations."""
    return "timepoint" in platemap_columns.plain(name) or bool(
        values.dropna().str.strip().str.fullmatch(_DURATION).all()
    )


def _plate_per_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the wells with a plate per time point, `PLATE_T<time>`, where a well is there at several."""
    well = ["Metadata_Plate", "Metadata_Well"]
    if TIME not in frame or not frame.duplicated(well).any() or frame.duplicated([*well, TIME]).any():
        return frame
    return frame.assign(Metadata_Plate=frame["Metadata_Plate"] + "_T" + frame[TIME].astype(str))
