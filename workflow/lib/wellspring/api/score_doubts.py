"""A profile table that may be read wrongly: no controls, differing wells pooled as replicates, columns exchanged."""

from collections.abc import Collection, Mapping

import pandas as pd

from wellspring.api.score_columns import DMSO, OWN, may_be_types
from wellspring.screen import dose_columns, dose_units, platemap_parts, well_names, well_types


def without_controls(frame: pd.DataFrame) -> str | None:
    """Return a sentence about plates without negative controls: which wells may be some, and how to name them.

    None if each plate with treated wells has controls.
    """
    controls = frame.loc[frame["Metadata_pert_type"] == "negcon", "Metadata_Plate"]
    bare = frame[~frame["Metadata_Plate"].isin(controls)]
    treated = bare.loc[bare["Metadata_pert_type"] == "trt", "Metadata_Compound"]
    if treated.empty and len(controls):
        return None
    counts, missing = treated.value_counts(), int(bare["Metadata_Compound"].isna().sum())
    near = well_types.near(DMSO, counts.index.astype(str))
    said = [f"perhaps --controls {' '.join(repr(name) for name in near[:5])}"] if near else []
    if len(controls):
        plates = sorted(set(bare["Metadata_Plate"].astype(str)))
        few = f"{plates[:10]}{' and others' if len(plates) > 10 else ''}"
        head = f"no negative controls on {len(plates)} of {frame['Metadata_Plate'].nunique()} plates: {few}: "
        return "; ".join([f"{head}their wells have no activity and no grit", *said])
    columns = {
        name: sorted(set(frame[name].dropna().astype(str)))[:5]
        for name in may_be_types(frame, {"type": "Metadata_pert_type"})
    }
    said += [f"the column {name} may tell them (--controls {name}=VALUE): {found}" for name, found in columns.items()]
    said.append(f"the commonest compounds are {[f'{name} ({count} wells)' for name, count in counts.head(5).items()]}")
    if missing:
        said.append(f"{missing} wells have no compound, which `--controls COLUMN=` takes for controls")
    return "; ".join(["no negative controls: activity and grit are undefined", *said])


def pooled(frame: pd.DataFrame, *, shared: Collection[str] = ()) -> str | None:
    """Return a sentence about columns in which wells of one treatment differ, as doses under an odd name, or None.

    Plates, positions, cell lines, batches and the columns `shared` (of `--replicates-share`) are left out.
    """
    known = {*(f"Metadata_{name}" for name in (*OWN, "Cell_Line", "Concentration_Unit")), *shared}
    copied = [frame[name] for name in ("Metadata_Cell_Line", "Metadata_Batch", *shared) if name in frame]
    columns = [one for one in frame if one.startswith("Metadata_") and one not in known]
    columns = [one for one in columns if not any(frame[one].equals(other) for other in copied)]
    found = platemap_parts.differing(frame, [one for one in columns if not platemap_parts.is_dose(frame, one)])
    if not found:
        return None
    parts = [
        f"Metadata_{name} ({', '.join(part.values)} for {part.treatment})" for name, part in list(found.items())[:5]
    ]
    return (
        f"wells of one treatment, which count as replicates, differ in {'; '.join(parts)}: --dose names the column of "
        "concentrations, --replicates-share columns in which replicates agree"
    )


def refuse_swapped(table: pd.DataFrame, roles: Mapping[str, str], where: str) -> None:
    """Refuse wells in the column of plates and other, fewer names in that of wells; a plate may be called `P1`."""
    if not {"plate", "well"} <= roles.keys():
        return
    plates, wells = (table[roles[role]].dropna().astype(str).unique() for role in ("plate", "well"))
    named = all(map(well_names.is_well, plates)) and not any(map(well_names.is_well, wells))
    if named and 0 < len(wells) < len(plates):
        raise ValueError(
            f"{where}: expected plates in {roles['plate']!r} and wells in {roles['well']!r}, found wells as "
            f"{plates[0]!r} and {wells[0]!r}: swap the two columns (--plate, --well)"
        )


def refuse_two_doses(table: pd.DataFrame, dose: str | None, *, where: str) -> None:
    """Refuse a second column of doses in a unit of the same kind, whose values are others; `ValueError` names both."""
    if dose is None:
        return
    units = {name: dose_columns.of_column(name)[1] for name in dose_columns.dose_names(table)}
    own = units.get(dose)
    for name, unit in units.items():
        if name == dose or own is None or unit is None or dose_units.UNITS[unit][0] != dose_units.UNITS[own][0]:
            continue
        both = table[[dose, name]].dropna().astype(str)
        if len(both) and not dose_units.alike([(own, both[dose].tolist()), (unit, both[name].tolist())]):
            raise ValueError(
                f"{where}: expected one column of doses, found {[dose, name]}, which differ; name one by --dose"
            )
