"""A profile table that may be read wrongly: no controls, differing wells pooled as replicates, columns exchanged."""

import re
import shlex
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from wellspring.api.score_columns import OWN, are_durations
from wellspring.api.score_controls import DMSO, may_be_types
from wellspring.io import tables
from wellspring.screen import dose_columns, dose_units, platemap_columns, platemap_parts, well_names, well_types

_TIMES = re.compile(r"(?<![a-z])(time|hours?|hrs?|days?|duration|incubation)(?![a-z])", re.IGNORECASE)
_FINER = frozenset((*platemap_columns.UNSURE["compound"], *platemap_columns.SURE["perturbation"], "condition"))
NEAR = 1.05  # ratio of two doses of a compound, below which they may be one: steps of a series are larger


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
    said += [
        f"the column {name} may tell them (--controls {shlex.quote(f'{name}=VALUE')}): {found}"
        for name, found in columns.items()
    ]
    said.append(f"the commonest compounds are {[f'{name} ({count} wells)' for name, count in counts.head(5).items()]}")
    if missing:
        said.append(f"{missing} wells have no compound, which `--controls Compound=` takes for controls")
    return "; ".join(["no negative controls: activity and grit are undefined", *said])


def pooled(frame: pd.DataFrame, *, shared: Collection[str] = ()) -> str | None:
    """Return a sentence about columns in which wells of one treatment differ, as doses under an odd name, or None.

    Plates, positions, cell lines, batches and the columns `shared` (of `--replicates-share`) are left out.
    """
    found = _differing(frame, shared)
    if not found:
        return None
    parts = [
        f"Metadata_{name} ({', '.join(part.values)} for {part.treatment})" for name, part in list(found.items())[:5]
    ]
    return (
        f"wells of one treatment, which count as replicates, differ in {'; '.join(parts)}: --dose names the column of "
        "concentrations, --replicates-share columns in which replicates agree"
    )


def apart(frame: pd.DataFrame, *, shared: Collection[str] = ()) -> list[str]:
    """Return the columns that part the wells of a treatment by their names: doses, times, second or finer treatments.

    Most wells must have a replicate with the same value: a clock or a measured dose parts them all.
    """
    names = []
    for name, part in _differing(frame, shared).items():
        plain, column = platemap_columns.plain(name), f"Metadata_{name}"
        known = part.doses or dose_columns.suspected(name) or plain in _FINER
        known = known or platemap_parts.SECOND.fullmatch(dose_columns.of_column(name)[0]) is not None
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
        if not known and not (_TIMES.search(words) and are_durations(frame[column])):
            continue
        treated = frame[frame["Metadata_pert_type"] == "trt"]
        keys = [treated[key].fillna("") for key in ("Metadata_Perturbation", column, *shared)]
        if treated.groupby(keys)["Metadata_Perturbation"].transform("size").median() > 1:
            names.append(column)
    return names


def _differing(frame: pd.DataFrame, shared: Collection[str]) -> dict[str, platemap_parts.Part]:
    """Return the columns in which wells of one treatment differ; without `shared`, places, lines, batches and doses."""
    known = {*(f"Metadata_{name}" for name in (*OWN, "Cell_Line", "Concentration_Unit")), *shared}
    same = [frame[name] for name in ("Metadata_Cell_Line", "Metadata_Batch", *shared) if name in frame]
    columns = [one for one in frame if one.startswith("Metadata_") and one not in known]
    columns = [one for one in columns if not any(frame[one].equals(other) for other in same)]
    return platemap_parts.differing(frame, [one for one in columns if not platemap_parts.is_dose(frame, one)])


def copied(frame: pd.DataFrame) -> str | None:
    """Return a sentence about wells with exactly the profile of another well, or None.

    A profile of a single feature, or of zeros, may be that of several wells.
    """
    values = frame[tables.features(frame)].to_numpy(dtype=np.float32)
    read = np.isfinite(values).any(axis=1) & (values != 0).any(axis=1)
    wells = frame.loc[read, ["Metadata_Plate", "Metadata_Well"]].astype(str).agg(" ".join, axis=1)
    digest = pd.util.hash_pandas_object(pd.DataFrame(values[read], index=wells.index), index=False)
    twice = digest.duplicated(keep=False)
    if values.shape[1] < 2 or not twice.any():
        return None
    pair = wells[digest == digest[twice].iloc[0]].tolist()[:3]
    return (
        f"{int(twice.sum())} of {len(frame)} wells have exactly the profile of another well, as {' and '.join(pair)}, "
        "which two images do not have: rows are copies, or a profile of several wells is repeated in each of them, so "
        "that replicates agree by construction"
    )


def split_by_dose(frame: pd.DataFrame) -> list[str]:
    """Return sentences about doses that part the wells of a compound: 0, none, or nearly the dose of other wells."""
    treated = frame[(frame["Metadata_pert_type"] == "trt") & frame["Metadata_Compound"].notna()]
    dose = pd.to_numeric(treated["Metadata_Concentration"], errors="coerce")
    compound = treated["Metadata_Compound"].astype(str)
    dosed = set(compound[dose > 0])
    found = []
    for mask, what, remedy in (
        (dose == 0, "have the dose 0", "give vehicle wells the type negcon, or name them by --controls"),
        (dose.isna(), "have no dose, unlike other wells of it", "fill in the doses"),
    ):
        mine = compound[mask & compound.isin(dosed)]
        if len(mine):
            found.append(
                f"{len(mine)} wells of {mine.nunique()} compounds, as of {mine.iloc[0]!r}, {what}: they are judged as "
                f"a treatment of their own; {remedy}"
            )
    pairs = pd.DataFrame({"compound": compound, "dose": dose})[dose > 0].drop_duplicates()
    pairs = pairs.sort_values(["compound", "dose"])
    before = pairs.groupby("compound")["dose"].shift()
    near = pairs[(pairs["dose"] / before) < NEAR]
    if len(near):
        first = near.iloc[0]
        found.append(
            f"{len(near)} doses of {near['compound'].nunique()} compounds are nearly another dose, as "
            f"{before[near.index[0]]:g} and {first['dose']:g} of {first['compound']!r}: they are treatments of their "
            "own; write one nominal dose for wells that are replicates"
        )
    return found


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
