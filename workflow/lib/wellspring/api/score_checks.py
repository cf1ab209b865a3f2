"""What the rows of a profile table for `wellspring score` must have: a plate, a well, a compound where treated."""

from collections.abc import Mapping

import numpy as np
import pandas as pd


def check(frame: pd.DataFrame, roles: Mapping[str, str], where: str) -> None:
    """Refuse treated wells without a compound, rows without plate or well, and wells that are there twice.

    Raises
    ------
    ValueError
        Names the file, the wells or rows, and what to do.
    """
    bare = frame[(frame["Metadata_pert_type"] == "trt") & frame["Metadata_Compound"].isna()]
    if len(bare):
        few = [" ".join(pair) for pair in bare[["Metadata_Plate", "Metadata_Well"]].astype(str).to_numpy()[:10]]
        raise ValueError(
            f"{where}: {len(bare)} treated wells have no label in {roles['compound']!r}: {few}; {suggest(frame)}, or "
            "give these wells the type `empty`"
        )
    for role in ("plate", "well"):
        gaps = (np.flatnonzero(frame[f"Metadata_{role.title()}"].isna())[:10] + 1).tolist()
        if gaps:
            raise ValueError(
                f"{where}: expected a {role} in each row, found none in the rows {gaps} below the header; "
                "fill in these cells, or remove the rows"
            )
    doubled = frame.duplicated(["Metadata_Plate", "Metadata_Well"])
    if doubled.any():
        few = frame.loc[doubled, ["Metadata_Plate", "Metadata_Well"]].drop_duplicates().astype(str).to_numpy()[:5]
        raise ValueError(
            f"{where}: expected one row per well, found several of {[' '.join(pair) for pair in few]}; aggregate cells "
            "and sites to wells first, or name the columns by --plate, --well and --time"
        )


def suggest(frame: pd.DataFrame) -> str:
    """Return which columns may hold the compounds: text with replicates, words before numbers."""
    words = [name for name in frame.columns if frame[name].dtype == object and 1 < frame[name].nunique() < len(frame)]
    skipped = {"Metadata_Plate", "Metadata_Well", "Metadata_pert_type"}
    named = sorted((name for name in words if name not in skipped), key=lambda name: _numbers(frame[name]))
    return f"set --compound to the column that names them, perhaps one of {named[:10]}"


def _numbers(column: pd.Series) -> bool:
    """Return whether all values of a column of text are numbers, as positions and counts are."""
    return bool(pd.to_numeric(column.dropna(), errors="coerce").notna().all())
