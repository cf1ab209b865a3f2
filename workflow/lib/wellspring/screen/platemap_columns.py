"""Which column of a platemap is what: the usual names, compared without case, spaces and punctuation.

A sure name is taken as it is. A name that may mean several things (`type`, `treatment`, `barcode`) is taken only if its
values fit and no other column of the kind competes with it; else a person chooses in `index.columns`.
"""

import difflib
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from wellspring.screen import dose_columns, dose_units, spellings, well_names
from wellspring.screen.dose_columns import dose_names, of_column
from wellspring.screen.well_types import kind_of

# Sure names, the first of them wins. They include those of the Cell Painting Gallery, JUMP, LINCS and pycytominer.
SURE = {
    "well": ("well", "wellposition", "wellid", "wellname", "wellcoordinate", "destinationwell", "platewell"),
    "row": ("row", "wellrow", "platerow", "rowname", "rowletter"),
    "column": ("column", "col", "wellcolumn", "wellcol", "platecolumn", "columnnumber", "columnname"),
    "plate": ("plate", "assayplatebarcode", "platebarcode", "plateid", "platename"),
    "compound": ("compound", "pertiname", "broadsample", "compoundname", "drug", "drugname"),
    "concentration": (),
    "unit": ("concentrationunit", "concunit", "doseunit", "pertdoseunit", "concentrationunits", "concunits",
             "doseunits", "pertdoseunits"),
    "perturbation": ("perturbation", "perturbationname"),
    "pert_type": ("perttype", "controltype", "welltype", "perturbationtype"),
    "moa": ("moa", "mechanism", "mechanismofaction", "modeofaction"),
    "target": ("target", "targetlist", "targets", "moleculartarget"),
    "cell_line": ("cellline", "celllinename", "celltype"),
}  # fmt: skip
UNSURE = {
    "well": ("position", "pos", "coordinate", "address"),
    "plate": ("barcode",),
    "compound": (
        "treatment", "treatmentname", "compoundid", "cmpd", "cmpdid", "cpd", "cpdid", "substance", "molecule",
        "chemical", "reagent", "gene", "genesymbol", "genename", "sirna", "sgrna", "guide", "jcp2022", "sample",
        "samplename", "agent", "ligand",
    ),
    "pert_type": (
        "type", "role", "wellrole", "control", "sampletype", "contenttype", "content", "wellcontent", "treatmenttype",
        "treatment", "kind", "class", "controls",
    ),
}  # fmt: skip
KEYS = tuple(SURE)
BLIND = re.compile(r"[0-9]{1,3}|.{0,1}")  # plates whose names are the values of other columns too


def plain(column: str) -> str:
    """Return the name of a column for comparison: without a leading `Metadata_`, case and punctuation."""
    return dose_units.flat(re.sub(r"^(?:Image_)?Metadata_", "", column, flags=re.IGNORECASE))


def find(
    table: pd.DataFrame, given: Mapping[str, str], *, plate: str, types: Mapping[str, str], where: str
) -> dict[str, str]:
    """Return our name (of `KEYS`) to the platemap's column, for the columns that exist.

    Parameters
    ----------
    table
        Cells of text or None.
    given
        `index.columns`: these columns must exist.
    plate
        The plate: a column called `barcode` holds plates if it has this one.
    types
        `index.pert_types`.
    where
        The platemap, for messages.

    Raises
    ------
    ValueError
        A key or column of `index.columns` does not exist; several columns may be the concentration.
    """
    _check(table, given, where)
    found = dict(given)
    names: dict[str, list[str]] = {}
    for column in table.columns:
        names.setdefault(plain(column), []).append(column)
    for name, alike in names.items():
        if len(alike) > 1 and name in {each for usual in SURE.values() for each in usual}:
            differ = [one for one in alike[1:] if not table[one].equals(table[alike[0]])]
            if differ and not set(alike) & set(given.values()):
                raise ValueError(
                    f"{where}: expected one column {alike[0]!r}, found {alike}, which differ (two tables side by "
                    "side?): keep one of them, or name it in index.columns"
                )
    _refuse_two_wells(table, names, given, where)
    for key, usual in SURE.items():
        known = next((names[name][0] for name in usual if name in names), None)
        if known is not None:
            found.setdefault(key, known)
    if "perturbation" in found:  # one column may serve two names
        found.setdefault("compound", found["perturbation"])
    for key in ("well", "plate", "pert_type", "compound"):
        if key not in found:
            free = [names[name][0] for name in UNSURE[key] if name in names and names[name][0] not in found.values()]
            candidates = [column for column in free if _fits(key, table[column], plate, types)]
            if candidates and (len(candidates) == 1 or key != "compound"):
                found[key] = candidates[0]
    if "well" in found:
        found = {key: column for key, column in found.items() if key not in ("row", "column")}
    if "concentration" not in found:
        found |= _dose(table, where)
    if "unit" not in found:
        found |= _unit(table, found)
    _refuse_misspelt(table, found, types, where)
    _refuse_plates(table, found, plate, where)
    return found


def may_be_types(column: str) -> bool:
    """Return whether a column has a name that types of wells may have, and that compounds do not have."""
    return plain(column) in set(UNSURE["pert_type"]) - set(UNSURE["compound"])


def _refuse_two_wells(
    table: pd.DataFrame, names: Mapping[str, Sequence[str]], given: Mapping[str, str], where: str
) -> None:
    """Refuse two columns of usual names for wells that differ, unless `index.columns` names one."""
    columns = [names[name][0] for name in SURE["well"] if name in names]
    if "well" in given or len(columns) < 2:
        return
    cells = [
        [cell and well_names.is_well(cell) and well_names.normalise(cell) for cell in table[one]] for one in columns
    ]
    differ = [one for one, wells in zip(columns, cells, strict=True) if any(wells) and wells != cells[0]]
    if differ and any(cells[0]):
        raise ValueError(
            f"{where}: expected one column of wells, found {[columns[0], *differ]}, which differ: name that of this "
            "plate in index.columns.well, or remove the other"
        )


def names_wells(head: Sequence[str]) -> bool:
    """Return whether a header has a column of wells, or those of rows and columns."""
    names = {plain(column) for column in head}
    return bool(names & set(SURE["well"])) or all(names & set(SURE[key]) for key in ("row", "column"))


def undecided(table: pd.DataFrame, found: Mapping[str, str]) -> list[str]:
    """Return the columns that may hold the compound: those of unsure names, then others with several values."""
    free = [name for name in table.columns if name not in found.values() and table[name].nunique() > 1]
    return sorted(free, key=lambda name: plain(name) not in UNSURE["compound"])


def _check(table: pd.DataFrame, given: Mapping[str, str], where: str) -> None:
    unknown = sorted(set(given) - set(KEYS))
    if unknown:
        raise ValueError(f"index.columns: expected keys of {list(KEYS)}, found {unknown}")
    absent = sorted(column for column in given.values() if column not in table.columns)
    if absent:
        near = difflib.get_close_matches(absent[0], list(table.columns), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where} has no column {absent} (set index.columns), found {list(table.columns)}{hint}")


def _fits(key: str, column: pd.Series, plate: str, types: Mapping[str, str]) -> bool:
    values = column.dropna().unique().tolist()
    if key == "plate":
        return plate in values
    if key == "pert_type":
        known = [kind_of(value, types) is not None for value in values]
        return bool(known) and (all(known) if plain(str(column.name)) in UNSURE["compound"] else any(known))
    if key == "well":
        return bool(values) and well_names.is_well(values[0])
    return bool(values)


def _dose(table: pd.DataFrame, where: str) -> dict[str, str]:
    """Return the column of concentrations: the only one of a usual name with numbers, or the first of equal ones."""
    found = [column for column in dose_names(table) if any(map(dose_units.is_number, table[column].dropna()))]
    molar = [column for column in found if plain(column) == "mmolesperliter"]  # beside mg_per_ml, in JUMP and LINCS
    if molar and all(plain(column) in ("mmolesperliter", "mgperml") for column in found):
        found = molar[:1]
    if len(found) > 1 and not dose_units.alike([(of_column(column)[1], table[column]) for column in found]):
        raise ValueError(
            f"{where}: expected one column of concentrations, found {found}, which differ; name one in "
            "index.columns.concentration"
        )
    found = sorted(found, key=lambda column: of_column(column)[1] is None)  # the one that states its unit
    named = [*found, *(column for column in dose_names(table) if plain(column) == "concentration")]
    named += [column for column in dose_names(table) if _meant(column, table[column].dropna())]
    return {"concentration": named[0]} if named else {}


def _meant(column: str, cells: pd.Series) -> bool:
    """Return whether a column without numbers is one of concentrations: it states a unit, or cells begin as numbers."""
    return len(cells) > 0 and (of_column(column)[1] is not None or any(map(dose_columns.NUMERIC.fullmatch, cells)))


def _refuse_plates(table: pd.DataFrame, found: Mapping[str, str], plate: str, where: str) -> None:
    """Refuse a column of plates under a name that is not known: the rows of all plates would be taken."""
    if "plate" in found:
        return
    for column in (column for column in table.columns if column not in found.values()):
        values = set(table[column].dropna())
        own = plate in values and len(values) > 1 and not BLIND.fullmatch(plate)
        name = plain(column)
        slip = name in ("plte", "plae") or (sorted(name) == sorted("plate") and spellings.alike(name, "plate"))
        if own or slip:
            raise ValueError(
                f"{where}: the column {column!r} may name the plate of each row (found {sorted(values)[:5]}): set "
                "index.columns.plate, or call it plate; if it is something else, choose another name"
            )


def _refuse_misspelt(table: pd.DataFrame, found: Mapping[str, str], types: Mapping[str, str], where: str) -> None:
    """Refuse a column whose name is nearly a usual one of a key that no column has: its values would be left out."""
    places = ("well", "row", "column", "plate", "unit")  # other checks refuse a platemap without them, where needed
    usual = {name: key for key, names in SURE.items() if key not in (*places, *found) for name in names}
    usual |= {
        name: "concentration" for name in dose_columns.DOSES if name.isascii() and name and "concentration" not in found
    }
    unsure = {name: "pert_type" for name in UNSURE["pert_type"] if "pert_type" not in found}
    if "concentration" in found and "unit" not in found:
        unsure |= dict.fromkeys(("unit", "units", *SURE["unit"]), "unit")
    for column in (column for column in table.columns if column not in found.values()):
        near = next((name for name in unsure if spellings.alike(plain(column), name)), None)
        if near is not None and not _holds(unsure[near], table[column].dropna().unique().tolist(), types):
            near = None
        base = of_column(column)[0]  # without `in`, as of `conc in nM`, which may be the end of a word
        near = near or next(
            (name for name in usual for each in (base, f"{base}in") if spellings.alike(each, name)), None
        )
        if near is not None:
            raise ValueError(
                f"{where}: the column {column!r} is not known, perhaps it is {near!r}: correct its name, or set "
                f"index.columns.{(usual | unsure)[near]}; if it is something else, choose another name"
            )


def _holds(key: str, values: Sequence[str], types: Mapping[str, str]) -> bool:
    """Return whether values are types of wells, or units."""
    if key == "unit":
        return bool(values) and all(dose_units.known(value) is not None for value in values)
    return any(kind_of(value, types) is not None for value in values)


def _unit(table: pd.DataFrame, found: Mapping[str, str]) -> dict[str, str]:
    """Return a column called `unit` that follows the concentrations, or beside which there are no other numbers."""
    names = [column for column in table.columns if plain(column) in ("unit", "units")]
    dose = found.get("concentration")
    if len(names) != 1 or dose is None:
        return {}
    place = list(table.columns).index(names[0])
    others = [column for column in table.columns if column not in (*found.values(), names[0])]
    measured = any(dose_units.is_number(cell) for column in others for cell in table[column].dropna())
    return {"unit": names[0]} if table.columns[max(0, place - 1)] == dose or not measured else {}
