"""Columns of a platemap that may be a part of the treatment: a second compound or dose, a time, a medium.

A treatment is a compound at a dose, or the name in a column `perturbation`. Another column whose values differ among
the wells of one treatment is bookkeeping (replicate, place, file), or it distinguishes treatments that are merged.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd

from wellspring.screen import dose_columns, dose_units, platemap_columns

# Flat names of columns that number or place a well, or name its files.
BOOKKEEPING = re.compile(
    r"(tech(nical)?|bio(logical)?)?rep(l|lic|licate)?s?([0-9]|number|no|nr|id)?|.*(row|col|column|quadrant|position|pos)"
    r"|(well|plate|site|field|fov|image|table|record|line|sample|source|object)?(id|ids|index|idx|number|nr|no|#|name)"
    r"|.*(barcode|filename|pathname|path|file|url|uri|uuid|guid|smiles|inchi|inchikey|vendor|supplier|catalog.*|lot|"
    r"note|notes|comment|comments|remark|remarks|operator|user|date|alias|synonym|label)"
    r"|(dest|destination|source|assay|original|library)?(plate|well)(name|map|mapname|type|number)?|site|field|batch|run"
    r"|solvent|counts?.*|.*counts?|pair|block|edge|colou?r|x|y"
)
VOLUME = re.compile(r"vol|.*volume.*")  # bookkeeping beside concentrations, the dose without them
SECOND = re.compile(
    r"(second|secondary|other|co)?(compound|drug|cmpd|cpd|substance|treatment|gene|sirna|sgrna|agent|ligand|"
    r"inhibitor|stimulus|stimulant|dose|conc|concentration)(name|id)?(2|3|4|b|ii)(name|id)?"
    r"|(second|secondary|co|pre)(compound|drug|cmpd|cpd|treatment|inhibitor|agent|ligand|dose)(name|id)?"
)
FEW = 0.5  # values per treated well, above which a column numbers the wells or measures them


def second(table: pd.DataFrame, found: Mapping[str, str]) -> list[str]:
    """Return the columns that have the name of a second compound or of its dose, as `compound2` or `Drug B`."""
    free = [column for column in table.columns if column not in found.values()]
    return [column for column in free if SECOND.fullmatch(dose_columns.of_column(column)[0])]


def is_dose(frame: pd.DataFrame, column: str) -> bool:
    """Return whether a column has the concentrations of the treatments, rounded (9.999999999 is 10), or in its unit."""
    if "Metadata_Concentration" not in frame:
        return False
    own, dose = (pd.to_numeric(frame[name], errors="coerce") for name in (column, "Metadata_Concentration"))
    both = own.notna() & dose.notna()
    if not both.any() or (own.notna() != dose.notna()).any():
        return False
    return np.allclose(own[both] * _scale(frame, column), dose[both], atol=0)


def _scale(frame: pd.DataFrame, column: str) -> float:
    """Return the factor from the unit in a column's name to that of the concentrations; 1 where they cannot differ."""
    unit = dose_columns.of_column(column)[1]
    units = frame.get("Metadata_Concentration_Unit", pd.Series(dtype=object)).dropna().unique()
    if unit is None or len(units) != 1 or dose_units.UNITS[unit][0] != dose_units.UNITS[units[0]][0]:
        return 1.0
    return dose_units.converted(Decimal(1), unit, units[0])


@dataclass(frozen=True)
class Part:
    """A column that differs among the wells of a treatment: the first of these, its values, and if they are doses."""

    treatment: str
    values: list[str]
    doses: bool


def differing(frame: pd.DataFrame, columns: Iterable[str], *, doses: bool = False) -> dict[str, Part]:
    """Return which columns differ among the wells of one treatment.

    Parameters
    ----------
    frame
        A row per well, with Metadata_Perturbation and Metadata_pert_type.
    columns
        Candidates; bookkeeping and columns with nearly as many values as wells are left out, unless they may be doses:
        numbers in a column of such a name, or a dilution series. Without concentrations a volume is no bookkeeping.
    doses
        Only columns of numbers whose names are those of doses.
    """
    treated = frame[frame["Metadata_pert_type"] == "trt"]
    dosable = frame[frame["Metadata_pert_type"].isin(["trt", "poscon"])]
    dosed = "Metadata_Concentration" in treated and treated["Metadata_Concentration"].notna().any()
    found = {}
    for column in columns:
        name = str(column).removeprefix("Metadata_")
        numbers = dose_columns.numbers(frame[column])
        suspect = numbers is not None and dose_columns.suspected(name)
        if doses and not suspect:
            continue
        rows = dosable if suspect else treated
        values = rows[column].fillna("")
        kinds = values.groupby(rows["Metadata_Perturbation"]).unique()
        several = kinds[kinds.map(len) > 1]
        if several.empty:
            continue
        volume = VOLUME.fullmatch(platemap_columns.plain(name)) is not None
        if not suspect and ((volume and dosed) or _counts(name) or not 1 < values.nunique() <= max(2, FEW * len(rows))):
            suspect = numbers is not None and not _counts(name) and not (volume and dosed) and _series(rows, numbers)
            if not suspect:
                continue
        found[name] = Part(str(several.index[0]), [str(value) for value in several.iloc[0]][:5], suspect)
    return found


def _series(rows: pd.DataFrame, numbers: pd.Series) -> bool:
    """Return whether the numbers of most treatments that have several are a dilution series."""
    own = numbers[numbers.index.isin(rows.index)]
    values = own.groupby(rows["Metadata_Perturbation"].reindex(own.index)).unique()
    several = values[values.map(len) > 2]
    return len(several) > 0 and bool(several.map(dose_columns.series).mean() > FEW)


def _counts(column: str) -> bool:
    return BOOKKEEPING.fullmatch(platemap_columns.plain(column)) is not None
