"""Read platemaps from a table of the gallery's harmonised metadata, one row per image.

Columns as broadinstitute/cellpainting-gallery-metadata ``docs/metadata_requirements.md``. The table of cpg0016-jump has
17 GB, so that it is read in parts, from disk or from the store, and only rows of the wanted plates are kept.
"""

import logging
from collections.abc import Sequence

import pandas as pd

from wellspring.io import object_store
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

ROWS = 200_000  # of a part
KEYS = ["Plate", "Well"]
# Column of the harmonised table -> column of the platemap.
COLUMNS = {
    "Treatment_Primary_Treatment": "compound",
    "Treatment_Broad_Sample": "broad_sample_id",
    "Treatment_Concentration": "concentration",
    "Treatment_Mechanism": "moa",
    "Treatment_Control_Class": "pert_type",
    "Treatment_Category": "modality",
    "Treatment_InChIKey": "inchikey",
    "Treatment_SMILES": "smiles",
    "Cell_Line_Name": "cell_line",
}


def harmonized(place: str, plates: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return plate -> its platemap, strings, null where a cell is empty.

    Parameters
    ----------
    place
        CSV (also ``.gz``), a path or a URL.
    plates
        The plates; each must be in the table.

    Raises
    ------
    ValueError
        No such file, a column is missing, a plate has no row, or rows of a well differ.
    """
    parts = []
    options = {"dtype": str, "keep_default_na": False, "na_values": [""], "chunksize": ROWS}
    source = object_store.plain(place)
    try:
        for part in pd.read_csv(source, usecols=lambda name: name in {*KEYS, *COLUMNS}, **options):
            absent = [name for name in (*KEYS, "Treatment_Primary_Treatment") if name not in part]
            if absent:
                raise ValueError(f"expected the columns {absent}, found {list(part)}")
            parts.append(part[part["Plate"].isin(list(plates))].drop_duplicates())
    except (OSError, ValueError) as error:  # errors of pandas are ValueErrors
        raise ValueError(f"{place}: {error}") from error
    rows = pd.concat(parts, ignore_index=True).drop_duplicates()
    lost = sorted(set(plates) - set(rows["Plate"]))
    if lost:
        raise ValueError(f"{place}: expected rows of the plates {lost[:5]}, found none")
    rows["well"] = [well_names.normalise(str(well)) for well in rows["Well"]]
    rows = rows.rename(columns=COLUMNS).drop(columns="Well").drop_duplicates()
    doubled = rows.duplicated(["Plate", "well"])
    if doubled.any():
        found = rows.loc[doubled, ["Plate", "well"]].iloc[0].tolist()
        raise ValueError(f"{place}: expected rows of a well that agree, found others of {found[0]} {found[1]}")
    rows = rows.astype(object).where(rows.notna(), None)
    return {str(plate): part.drop(columns="Plate").sort_values("well") for plate, part in rows.groupby("Plate")}
