"""Which wells of a profile table are treated, controls or empty: by options, a column of types, names of compounds."""

import logging
import shlex
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from wellspring.screen import dose_units, platemap_columns, well_types

logger = logging.getLogger(__name__)
# Names of controls, where no type is given; the first list has those that need no warning.
DMSO = ("dmso", "negcon", "negative_control", "vehicle", "untreated")
SOLVENTS = ("DMSO", "dimethyl sulfoxide", "dimethylsulfoxide", "dimethylsulfoxid", "Me2SO")
# Flat words in the names of flags of controls, and their values.
_VEHICLE = ("dmso", "negcon", "negativecontrol", "negctrl", "vehicle", "untreated", "solventcontrol")
_FLAG = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}
MOST = 12  # values of a column that may hold types


def column_of(names: Collection[str], name: str, role: str) -> str:
    """Return the column of a name that a person gave, with or without `Metadata_`; `ValueError` names similar ones."""
    for one in (name, f"Metadata_{name}", name.removeprefix("Metadata_")):
        if one in names:
            return one
    near = get_close_matches(name, list(names), n=5, cutoff=0.5)
    listed = near or [one for one in names if one.startswith("Metadata_")][:20] or list(names)[:20]
    raise ValueError(f"no column {name!r} (--{role.replace('_', '-')}); expected one of {listed}")


def kinds(
    table: pd.DataFrame, compound: pd.Series, roles: Mapping[str, str], controls: Sequence[str], where: str
) -> pd.Series:
    """Return the type of each well: trt, negcon, poscon or empty.

    Parameters
    ----------
    table, compound
        The table as it was read, and the compound of each well.
    roles
        Role to column; without a type, a column in which all words are known types, else names of compounds decide.
    controls
        See `wellspring.api.score_columns.workflow_table`.
    where
        The file, for messages.

    Raises
    ------
    ValueError
        An unknown type, without `controls`; controls that no well has.
    """
    found = pd.Series(np.where(compound.isna(), "empty", "trt"), index=table.index, dtype=object)
    named = None if controls or "type" in roles else _typed_by(table, roles)
    if named is not None:
        logger.warning("%s: the types of wells are taken from the column %s (--type or --controls)", where, named)
        roles = {**roles, "type": named}
    if "type" in roles:
        given = table[roles["type"]]
        second = next((one for one in ("Metadata_control_type", "control_type") if one in table), None)
        if second is not None:  # JUMP's type is "control", and the other column has its kind
            given = given.where(given != "control", table[second])
        known = {value: _kind(str(value), roles["type"]) for value in given.dropna().unique()}
        unknown = sorted(str(value) for value, kind in known.items() if kind is None)
        if unknown and not controls:
            option = shlex.quote(f"{roles['type']}={unknown[0]}")
            raise ValueError(
                f"{where}: expected {list(well_types.PERT_TYPES)} in {roles['type']!r}, found {unknown}; name the "
                f"negative controls (set --controls), as --controls {option} if these are"
            )
        found = given.map(known).fillna(found)
    if controls:
        chosen = pd.Series(False, index=table.index)
        for one in controls:
            name, sign, value = one.partition("=")
            column = compound if not sign or name == "Compound" else table[column_of(table.columns, name, "controls")]
            mine = column.isna() if sign and not value else column == (value or one)
            if not mine.any():
                commonest = column.dropna().value_counts().index.tolist()[:10]
                raise ValueError(f"{where}: no well is {one!r} (--controls); the commonest values are {commonest}")
            chosen |= mine
        return found.where(~chosen, "negcon").where(chosen | (found != "negcon"), "trt")
    if "type" not in roles:
        names = dict.fromkeys(_control_names(compound, where), "negcon")
        return compound.map(_other_kinds(compound, where)).fillna(compound.map(names)).fillna(found)
    return found


def may_be_types(table: pd.DataFrame, roles: Mapping[str, str]) -> list[str]:
    """Return the columns with a name that types of wells may have, as `role` or `well_type`, and several values."""
    free = [name for name in table.columns if name not in roles.values() and table[name].dtype == object]
    named = [name for name in free if _types(platemap_columns.plain(name)) or platemap_columns.may_be_types(name)]
    return [name for name in named if 1 < table[name].nunique(dropna=False) <= MOST]


def _types(plain: str) -> bool:
    """Return whether a flat name is that of types of wells, or of a flag that marks controls."""
    words = (*_VEHICLE, "control", "ctrl", "welltype", "wellrole")
    return plain in platemap_columns.SURE["pert_type"] or any(word in plain for word in words)


def _control_names(compound: pd.Series, where: str) -> list[str]:
    """Return the compounds that are negative controls by name; with a warning, unless it is one of `DMSO`."""
    names = [str(name) for name in compound.dropna().unique()]
    sure = [name for name in names if name.lower() in DMSO]
    if sure:
        return sure
    # Vehicles before wells without a compound, which may hold no cells.
    likely = [name for name in names if well_types.may_be_control(name, SOLVENTS)]
    vehicles = [name for name in likely if dose_units.flat(name) not in well_types.BARE]
    likely = sorted(vehicles or likely)
    if likely:
        wells = int(compound.isin(likely).sum())
        logger.warning(
            "%s: %d wells of %s are taken for negative controls by their name (--controls names others)",
            where,
            wells,
            likely[:10],
        )
    return likely


def _other_kinds(compound: pd.Series, where: str) -> dict[str, str]:
    """Return the type of compounds that are called as empty wells and positive controls are, with a warning."""
    kinds = {str(name): well_types.kind_of(str(name), {}) for name in compound.dropna().unique()}
    found = {name: kind for name, kind in kinds.items() if kind in ("empty", "poscon")}
    if found:
        logger.warning("%s: compounds whose names are those of a type of wells have that type: %s", where, found)
    return found


def _kind(value: str, column: str) -> str | None:
    """Return the type that a word or a flag stands for; None if it is not known."""
    flag = _FLAG.get(value.strip().lower())
    if flag is not None and any(word in platemap_columns.plain(column) for word in _VEHICLE):
        return "negcon" if flag else "trt"
    kind = well_types.kind_of(value, {})
    vehicle = kind is None and dose_units.flat(value) not in well_types.BARE
    return "negcon" if vehicle and well_types.may_be_control(value, SOLVENTS) else kind


def _typed_by(table: pd.DataFrame, roles: Mapping[str, str]) -> str | None:
    """Return the column of another name that types all wells: all of its words are known, controls among them."""
    for name in may_be_types(table, roles):
        known = {_kind(str(value), name) for value in table[name].dropna().unique()}
        if None not in known and "negcon" in known and (len(known) > 1 or table[name].isna().any()):
            return name
    return None
