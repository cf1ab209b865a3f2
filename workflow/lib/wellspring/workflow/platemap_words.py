"""Describe in words how platemaps were read, so that a wrong column is seen before any job runs."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import pandas as pd

from wellspring.io.phrases import count, listed
from wellspring.screen import dose_columns, lookalikes, platemap_parts, spellings, well_types
from wellspring.screen.platemap import Reading


def described(readings: Sequence[Reading]) -> list[tuple[str, str]]:
    """Return how platemaps were read: which column became what, what is unused; plates that are alike together.

    Returns
    -------
    For each way of reading, the plates (the first of them, and how many more) and lines of text.
    """
    alike: dict[str, list[Reading]] = {}
    for one in readings:
        alike.setdefault(_columns(one), []).append(one)
    found = []
    for text, group in alike.items():
        files = list(dict.fromkeys(str(one.file) for one in group))
        name = files[0] if len(files) == 1 else f"{listed(files, 1)} files"
        found.append((listed([one.plate for one in group], 1), f"{name}: {text}"))
    return found


def _columns(reading: Reading) -> str:
    unit = reading.unit
    roles = [f"{column} is the {_role(key, unit)}" for key, column in reading.columns.items() if key != "unit"]
    parts = [reading.form, "; ".join(roles)]
    if reading.kept:
        parts.append(f"kept as metadata only: {listed(reading.kept)}")
    if reading.left_out:
        parts.append(f"left out, since they differ within a well: {listed(reading.left_out)}")
    return "\n".join(parts)


def _role(key: str, unit: str | None) -> str:
    words = {"pert_type": "type of well", "moa": "mechanism", "cell_line": "cell line", "perturbation": "treatment"}
    return f"concentration in {unit}" if key == "concentration" and unit else words.get(key, key)


def content(reading: Reading) -> str:
    """Return the numbers of treatments, doses, replicates and controls of a platemap."""
    frame, unit = reading.frame, reading.unit
    treated = frame[frame["Metadata_pert_type"] == "trt"]
    replicates = treated.groupby("Metadata_Perturbation").size()
    counts = frame["Metadata_pert_type"].value_counts()
    parts = [f"{count(len(replicates), 'treatment')} of {count(treated['Metadata_Compound'].nunique(), 'compound')}"]
    doses = sorted(treated["Metadata_Concentration"].dropna().unique())
    if doses:
        span = f"{doses[0]:g}" if len(doses) == 1 else f"{doses[0]:g} to {doses[-1]:g}"
        stated = f" {unit}" if unit else ", without a unit (index.unit states it)"
        parts.append(f"{count(len(doses), 'dose')} ({span}{stated})")
    if len(replicates):
        fewest, most = replicates.min(), replicates.max()
        spread = count(fewest, "well") if fewest == most else f"{fewest} to {most} wells"
        parts.append(f"{spread} per treatment")
    names = (("negcon", "negative control"), ("poscon", "positive control"), ("empty", "empty well"))
    for kind, words in names:
        own = frame.loc[frame["Metadata_pert_type"] == kind, "Metadata_Compound"].dropna().unique()
        names_of = f" ({listed(spellings.shown(sorted(own)))})" if len(own) and kind != "empty" else ""
        if counts.get(kind, 0) or kind == "negcon":
            parts.append(f"{count(counts.get(kind, 0), words)}{names_of}")
    return f"platemap of {count(len(frame), 'well')}: {', '.join(parts)}"


def lacking_controls(readings: Sequence[Reading], negcon: Sequence[str]) -> str:
    """Return the sentence that no plate has a negative control, with the compounds that may be one."""
    compounds = {
        str(name)
        for reading in readings
        for name in reading.frame.loc[reading.frame["Metadata_pert_type"] != "empty", "Metadata_Compound"].dropna()
    }
    if compounds and len(spellings.placeholders(compounds)) == len(compounds):
        return (
            f"no platemap names a compound, only {listed(sorted(compounds))}: fill in compounds and types of the wells"
        )
    near = well_types.near(negcon, compounds)
    hint = (
        f"; perhaps {listed(near)} (set index.negcon)" if near else f"; the compounds are {listed(sorted(compounds))}"
    )
    for each in readings:
        beside = [
            one for one in each.kept if each.frame[f"Metadata_{one.removeprefix('Metadata_')}"].isin(negcon).any()
        ]
        hint = f"; the column {beside[0]} has them: set index.columns.compound" if beside else hint
    return (
        f"expected negative controls: wells of the type negcon, or of a compound of index.negcon {list(negcon)}, found "
        f"none on any plate{hint}. Without controls, set profile.normalise_on: all"
    )


def doubtful_controls(readings: Sequence[Reading], negcon: Sequence[str], poscon: Sequence[str]) -> list[str]:
    """Return a sentence per doubt about controls, for `index.negcon` and `index.poscon` as the config has them.

    Named are negative controls of another type, treatments that may be negative controls, platemaps without any treated
    well, and positive controls that no platemap has. Without any negative control :func:`lacking_controls` says more.
    """
    if not readings:
        return []
    columns = ["Metadata_Compound", "Metadata_pert_type"]
    parts = [each.frame.loc[each.frame["Metadata_Compound"].notna(), columns] for each in readings]
    wells = pd.concat(parts).astype(str)
    counts: dict[tuple[str, str], int] = wells.groupby(columns).size().to_dict()
    found = [*_of_another_type(counts, negcon), *_may_be_controls(counts, negcon)]
    if not any((each.frame["Metadata_pert_type"] == "trt").any() for each in readings):
        found.append(
            "expected treated wells, found none on any plate: all are controls or empty (by their types, "
            "index.pert_types, index.negcon and index.poscon)"
        )
    for key, names in (("poscon", poscon), ("negcon", negcon if len(negcon) > 1 else ())):
        absent = [name for name in names if lookalikes.tidy(name) not in set(wells["Metadata_Compound"])]
        if absent and len(absent) < len(names) + (key == "poscon"):
            found.append(f"index.{key}: no platemap has the compounds {absent}; correct their names or remove them")
    return found


def _of_another_type(counts: Mapping[tuple[str, str], int], negcon: Sequence[str]) -> Iterator[str]:
    """Yield the compounds of `index.negcon` that have wells of another type; (compound, type) to number of wells."""
    for name in map(lookalikes.tidy, negcon):
        other = [
            f"{kind} in {count(counts[name, kind], 'well')}" for kind in ("poscon", "trt") if (name, kind) in counts
        ]
        if other:
            kinds = " and ".join(other)
            yield f"{name} of index.negcon is of the type {kinds}: correct the column of types, or the key"


def _may_be_controls(counts: Mapping[tuple[str, str], int], negcon: Sequence[str]) -> Iterator[str]:
    """Yield the treatments whose names are like those of negative controls, if there are any controls."""
    controls = sorted({name for name, kind in counts if kind == "negcon"})
    treated = {name: number for (name, kind), number in counts.items() if kind == "trt" and name not in negcon}
    near = [
        f"{name} ({count(number, 'well')})"
        for name, number in treated.items()
        if well_types.may_be_control(name, controls)
    ]
    if near and controls:
        yield (
            f"the treatments {listed(near)} may be negative controls, which are {listed(controls)}: name them in "
            "index.negcon, or give their wells the type negcon"
        )


def without_doses(readings: Sequence[Reading]) -> list[str]:
    """Return which platemaps have no number as concentration, where they have a column for it or other plates do."""
    bare, dosed = {}, False
    for each in readings:
        treated = each.frame.loc[each.frame["Metadata_pert_type"] == "trt", "Metadata_Concentration"]
        dosed |= bool(treated.notna().any())
        if len(treated) and treated.isna().all():
            columns = pd.DataFrame(columns=[*each.columns.values(), *each.kept])
            bare[each.plate] = dose_columns.dose_names(columns)
    found = []
    empty = [plate for plate, names in bare.items() if names]
    without = [plate for plate, names in bare.items() if not names]
    ending = "wells of one compound count as one treatment"
    if empty:
        found.append(f"{listed(empty)}: no treated well has a number in the column {bare[empty[0]][0]!r}: {ending}")
    if without and dosed:
        found.append(f"{listed(without)}: no column of concentrations, which other platemaps have: {ending}")
    return found


def merged(readings: Sequence[Reading], group_by: Sequence[str]) -> list[str]:
    """Return which columns differ among wells that are one treatment, except those of `profile.group_by`.

    Columns that may be doses are also compared between plates, and with the names in a column of treatments.
    """
    found: dict[str, platemap_parts.Part] = {}
    known: set[str] = set()
    joined = []
    for reading in readings:
        columns = {"Metadata_" + column.removeprefix("Metadata_"): column for column in reading.kept}
        again = {name for name in columns if platemap_parts.is_dose(reading.frame, name)}  # in another unit
        own = [name for name in columns if name not in {*group_by, *again}]
        named = "perturbation" in reading.columns
        frame = reading.frame
        if "concentration" in reading.columns:
            known.add(reading.columns["concentration"])
            if named and "Metadata_Concentration" not in group_by:
                dose = f"Metadata_{reading.columns['concentration']}"
                texts = [None if pd.isna(value) else f"{value:g}" for value in frame["Metadata_Concentration"]]
                frame, own = frame.assign(**{dose: texts}), [*own, dose]
        found = platemap_parts.differing(frame, own, doses=named) | found
        joined.append(frame[[*own, "Metadata_Perturbation", "Metadata_pert_type"]])
    if len(joined) > 1:
        whole = pd.concat(joined, ignore_index=True)
        others = [column for column in whole if column not in ("Metadata_Perturbation", "Metadata_pert_type")]
        found = platemap_parts.differing(whole, others, doses=True) | found
    return [_merged(column, part, known) for column, part in found.items()]


def _merged(column: str, part: platemap_parts.Part, known: Collection[str]) -> str:
    what = f"the column {column} differs among the wells of {part.treatment} ({', '.join(part.values)})"
    example = f"name the treatments in a column perturbation, as `{part.treatment} {part.values[-1]}`"
    if not part.doses:
        return f"{what}, which count as replicates: if it is a part of the treatment, {example}"
    way = "" if known else f"set index.columns.concentration: {column} (its unit: index.unit), or "
    return f"{what}, which count as replicates, and may hold doses or amounts: {way}{example}"
