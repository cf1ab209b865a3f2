"""Columns of a profile table by their roles: found by usual names, or given; then the table in the workflow's form."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from wellspring.api.score_checks import check, suggest
from wellspring.api.score_controls import column_of, kinds
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
# Flat names of compounds that may mean other things, and of their identifiers: taken where their values are replicated.
NAMED = (
    *platemap_columns.UNSURE["compound"], "moleculename", "moleculeid", "chemicalname", "substancename", "productname",
    "perturbagen", "pert", "pertname", "pertid", "brdid", "broadid", "testarticle", "testitem", "orf", "condition",
    "verbindung", "substanz", "wirkstoff", "compuesto", "compose", "composto", "\u5316\u5408\u7269",
    "chemblid", "cas", "casnumber", "pubchemcid", "inchikey", "smiles", "targetsequence",
)  # fmt: skip
_CONCENTRATION = re.compile(r"(?!log|ln|pc|pd).*(concentration|conc|dose)(string|recode)?")
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
        roles = {**roles, **_compound(table, roles, where)}
    if "compound" not in roles:
        hint = not_a_table.of_header(list(table.columns))
        raise ValueError(f"{where}: no column of compounds among {list(USUAL['compound'])}; {suggest(frame)}{hint}")
    if "dose" not in roles:
        roles = {**roles, **_dose(table, roles, where)}
    frame["Metadata_Compound"] = table[roles["compound"]]
    dose = _doses(table, roles, where)
    frame["Metadata_Concentration"] = dose.values
    if dose.unit is not None:
        frame["Metadata_Concentration_Unit"] = dose.unit
    frame["Metadata_pert_type"] = kinds(table, frame["Metadata_Compound"], roles, controls, where)
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


def _compound(table: pd.DataFrame, roles: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the column of compounds by a name of `NAMED`; none if several such columns group the wells otherwise."""
    free = [name for name in table.columns if name not in roles.values() and table[name].dtype == object]
    named = [name for name in free if _rank(name) >= 0 and 1 < table[name].nunique() < table[name].notna().sum()]
    groups = {name: len(table[[named[0], name]].drop_duplicates()) for name in named}
    if not named or {*groups.values(), *(table[name].nunique(dropna=False) for name in named)} != {groups[named[0]]}:
        return {}
    first = min(named, key=_rank)
    logger.warning("%s: the compounds are taken from the column %r (--compound chooses another one)", where, first)
    return {"compound": first}


def _dose(table: pd.DataFrame, roles: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the only column of numbers with a name as that of a dose, in which wells of a compound differ."""
    free = [name for name in table.columns if name not in roles.values() and table[name].dtype == object]
    usual = set(dose_columns.dose_names(table[free]))
    found = []
    for name in free:
        numbers = dose_columns.numbers(table[name].where(~is_nothing(table[name])))
        like = name in usual or _CONCENTRATION.fullmatch(dose_columns.of_column(name)[0])
        if like and numbers is not None and numbers.min() >= 0:
            several = numbers.groupby(table[roles["compound"]].reindex(numbers.index)).nunique() > 1
            found += [name] if several.any() else []
    if len(found) != 1:
        return {}
    logger.warning("%s: the doses are taken from the column %r (--dose chooses another one)", where, found[0])
    return {"dose": found[0]}


def _rank(name: str) -> int:
    """Return the place of a name among `NAMED`, also without `name` or `id` at its end; -1 if it is none of them."""
    plain = platemap_columns.plain(dose_columns.without_marks(name))
    found = [NAMED.index(one) for one in (plain, re.sub(r"(name|id|code)s?$", "", plain)) if one in NAMED]
    return found[0] if found else -1


def _doses(table: pd.DataFrame, roles: Mapping[str, str], where: str) -> doses.Doses:
    """Return the doses in one unit, as of a platemap: cells, the column's name or a column may state it."""
    if "dose" not in roles:
        return doses.read(pd.Series(index=table.index, dtype=object), None, None, None, where=where)
    cells = table[roles["dose"]].astype(object)
    cells = cells.where(~is_nothing(cells), None)
    units = table[roles["unit"]] if "unit" in roles else None
    return doses.read(cells, roles["dose"].removeprefix("Metadata_"), units, None, where=where, keys=OPTIONS)


def _are_times(name: str, values: pd.Series) -> bool:
    """Return whether a column holds time points: by its name, or values that are durations."""
    return "timepoint" in platemap_columns.plain(name) or are_durations(values)


def are_durations(values: pd.Series) -> bool:
    """Return whether all values are durations, as `24` and `day 3`: no dates and no times of the clock."""
    return bool(values.dropna().astype(str).str.strip().str.fullmatch(_DURATION).all())


def _plate_per_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the wells with a plate per time point, `PLATE_T<time>`, where a well is there at several."""
    well = ["Metadata_Plate", "Metadata_Well"]
    if TIME not in frame or not frame.duplicated(well).any() or frame.duplicated([*well, TIME]).any():
        return frame
    return frame.assign(Metadata_Plate=frame["Metadata_Plate"] + "_T" + frame[TIME].astype(str))
