"""Columns of a platemap that may be a part of the treatment: a second compound or dose, a time, a medium.

A treatment is a compound at a dose, or the name in a column `perturbation`. Another column whose values differ among
the wells of one treatment is bookkeeping (replicate, place, file), or it distinguishes treatments that are merged.
"""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from wellspring.screen import platemap_columns

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
    return [column for column in free if SECOND.fullmatch(platemap_columns.of_column(column)[0])]


def differing(frame: pd.DataFrame, columns: Iterable[str]) -> dict[str, tuple[str, list[str]]]:
    """Return which columns differ among the wells of one treatment: the treatment and the first values of each.

    Parameters
    ----------
    frame
        A row per well, with Metadata_Perturbation and Metadata_pert_type.
    columns
        Candidates; bookkeeping and columns with nearly as many values as wells are left out. Without concentrations
        a volume is no bookkeeping.
    """
    treated = frame[frame["Metadata_pert_type"] == "trt"]
    dosed = "Metadata_Concentration" in treated and treated["Metadata_Concentration"].notna().any()
    found = {}
    for column in columns:
        values = treated[column].fillna("")
        name = str(column).removeprefix("Metadata_")
        volume = VOLUME.fullmatch(platemap_columns.plain(name)) is not None
        if _counts(name) or (volume and dosed) or not 1 < values.nunique() <= max(2, FEW * len(treated)):
            continue
        kinds = values.groupby(treated["Metadata_Perturbation"]).unique()
        several = kinds[kinds.map(len) > 1]
        if len(several):
            found[name] = (str(several.index[0]), [str(value) for value in several.iloc[0]][:5])
    return found


def _counts(column: str) -> bool:
    return BOOKKEEPING.fullmatch(platemap_columns.plain(column)) is not None
