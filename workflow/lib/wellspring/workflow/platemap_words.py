"""Describe in words how a platemap was read, so that a wrong column is seen before any job runs."""

from collections.abc import Sequence

import pandas as pd

from wellspring.screen import well_types
from wellspring.screen.platemap import Reading

SHOWN = 12  # columns and values that a line lists


def described(reading: Reading) -> str:
    """Return which column became what, what is unused, and the numbers of treatments, doses, wells and controls."""
    frame, unit = reading.frame, reading.unit
    roles = [f"{column} is the {_role(key, unit)}" for key, column in reading.columns.items() if key != "unit"]
    parts = [f"{reading.file}: {reading.form} of {len(frame)} wells", "; ".join(roles)]
    if reading.kept:
        parts.append(f"kept as metadata only: {_few(reading.kept)}")
    if reading.left_out:
        parts.append(f"left out, since they differ within a well: {_few(reading.left_out)}")
    return "\n".join([*parts, _content(frame, unit)])


def _role(key: str, unit: str | None) -> str:
    words = {"pert_type": "type of well", "moa": "mechanism", "cell_line": "cell line", "perturbation": "treatment"}
    return f"concentration in {unit}" if key == "concentration" and unit else words.get(key, key)


def _content(frame: pd.DataFrame, unit: str | None) -> str:
    treated = frame[frame["Metadata_pert_type"] == "trt"]
    replicates = treated.groupby("Metadata_Perturbation").size()
    counts = frame["Metadata_pert_type"].value_counts()
    parts = [f"{len(replicates)} treatments of {treated['Metadata_Compound'].nunique()} compounds"]
    doses = sorted(treated["Metadata_Concentration"].dropna().unique())
    if doses:
        span = f"{doses[0]:g}" if len(doses) == 1 else f"{doses[0]:g} to {doses[-1]:g}"
        stated = f" {unit}" if unit else ", without a unit (index.unit states it)"
        parts.append(f"{len(doses)} dose{'s' * (len(doses) > 1)} ({span}{stated})")
    if len(replicates):
        fewest, most = replicates.min(), replicates.max()
        parts.append(f"{fewest if fewest == most else f'{fewest} to {most}'} wells per treatment")
    names = (("negcon", "negative controls"), ("poscon", "positive controls"), ("empty", "empty wells"))
    for kind, words in names:
        own = frame.loc[frame["Metadata_pert_type"] == kind, "Metadata_Compound"].dropna().unique()
        listed = f" ({_few(sorted(own))})" if len(own) and kind != "empty" else ""
        if counts.get(kind, 0) or kind == "negcon":
            parts.append(f"{counts.get(kind, 0)} {words}{listed}")
    return ", ".join(parts)


def lacking_controls(readings: Sequence[Reading], negcon: Sequence[str]) -> str:
    """Return the sentence that no plate has a negative control, with the compounds that may be one."""
    compounds = {
        str(name)
        for reading in readings
        for name in reading.frame.loc[reading.frame["Metadata_pert_type"] != "empty", "Metadata_Compound"].dropna()
    }
    near = well_types.near(negcon, compounds)
    hint = f"; perhaps {_few(near)} (set index.negcon)" if near else f"; the compounds are {_few(sorted(compounds))}"
    return (
        f"expected negative controls: wells of the type negcon, or of a compound of index.negcon {list(negcon)}, found "
        f"none on any plate{hint}. Without controls, set profile.normalise_on: all"
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
