"""Treatments: a compound at a dose. Doses that differ by rounding are one dose, and no two treatments have one name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

# Relative difference up to which two doses of a compound are one: more than rounding to float32 (2**-24) makes.
TOLERANCE = 7e-8
DIGITS = 14  # significant digits of a dose in a name
Array = npt.NDArray[Any]


def name(compound: str, dose: float | None) -> str:
    """Return the name of a treatment: compound@dose, or the compound without a dose.

    An `@` in the name of a compound is doubled, so that compound `x@10` and compound `x` at 10 have two names. A dose
    has at most `DIGITS` digits, which leaves out the rounding of a spreadsheet's formulas.

    Examples
    --------
    >>> name("x", 10.0), name("x@10", None), name("x", None), name("x", 10 * 1e-6)
    ('x@10', 'x@@10', 'x', 'x@0.00001')
    """
    whole = str(compound).replace("@", "@@")
    if dose is None or pd.isna(dose):
        return whole
    return f"{whole}@{np.format_float_positional(dose, precision=DIGITS, fractional=False, trim='-')}"


def joined(parts: Sequence[object]) -> str:
    """Return several values as one text, `a|b`; a `|` in a value is doubled, so that no two lists have one text."""
    texts = [str(part) for part in parts]
    return "|".join(text.replace("|", "||") for text in texts) if len(texts) > 1 else texts[0]


def one_dose(compounds: Array, doses: Array) -> Array:
    """Return the doses (n,) float64; doses of a compound that differ by at most `TOLERANCE` become one of them.

    It is the most frequent of them, or the one with the fewest digits. NaN stays.

    Examples
    --------
    >>> one_dose(np.array(["x", "x", "y"], dtype=object), np.array([9.999999999, 10.0, 9.999999999])).tolist()
    [10.0, 10.0, 9.999999999]
    """
    result = np.asarray(doses, dtype=np.float64).copy()
    known = np.flatnonzero(np.isfinite(result))
    owner = pd.Series(compounds, dtype=object).astype(str).to_numpy()[known]
    for _, places in pd.Series(known).groupby(owner, sort=False):
        mine = places.to_numpy()
        values, count = np.unique(result[mine], return_counts=True)
        if len(values) < 2:
            continue
        apart = np.diff(values) > TOLERANCE * np.maximum(np.abs(values[1:]), np.abs(values[:-1]))
        group = np.concatenate([[0], np.cumsum(apart)])
        if group[-1] + 1 == len(values):
            continue
        for number in np.unique(group):
            alike = np.flatnonzero(group == number)
            chosen = min(alike, key=lambda place: (-count[place], len(repr(float(values[place])))))
            result[mine[np.isin(result[mine], values[alike])]] = values[chosen]
    return result


def check_units(frame: pd.DataFrame) -> None:
    """Refuse wells whose concentrations have several units, or a unit on some plates only: `ValueError` lists them."""
    if "Metadata_Concentration_Unit" not in frame:
        return
    dose = pd.to_numeric(frame["Metadata_Concentration"], errors="coerce")
    dosed = frame[dose > 0]
    unit = dosed["Metadata_Concentration_Unit"].fillna("none")
    if unit.nunique() < 2:
        return
    where = dosed["Metadata_Plate"] if "Metadata_Plate" in dosed else pd.Series("this table", index=dosed.index)
    plates = {name: sorted(set(part.astype(str)))[:5] for name, part in where.groupby(unit)}
    raise ValueError(f"expected one unit of concentrations, found {plates} (set index.unit)")


def harmonised(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one dose for doses that differ by rounding, and with names of treatments to match.

    A `Metadata_Perturbation` that is not the name of its compound and dose was given by a person, and stays. A table
    whose doses are apart is returned as it is.
    """
    if not {"Metadata_Compound", "Metadata_Concentration"} <= set(frame.columns):
        return frame
    compound = frame["Metadata_Compound"]
    check_units(frame)
    before = pd.to_numeric(frame["Metadata_Concentration"], errors="coerce").to_numpy(dtype=np.float64)
    after = one_dose(compound.to_numpy(dtype=object), before)
    changed = np.isfinite(before) & (before != after) & compound.notna().to_numpy()
    if not changed.any():
        return frame
    result = frame.assign(Metadata_Concentration=after)
    if "Metadata_Perturbation" in frame:
        names = frame["Metadata_Perturbation"].astype(object).copy()
        for place in np.flatnonzero(changed):
            if names.iloc[place] == name(compound.iloc[place], before[place]):
                names.iloc[place] = name(compound.iloc[place], after[place])
        result["Metadata_Perturbation"] = names
    return result
