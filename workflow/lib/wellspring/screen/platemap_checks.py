"""Checks of a platemap that was read: no two treatments become one because a column was not recognised."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from wellspring.screen import platemap_columns, platemap_parts


def check(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse a platemap whose treatments are not told apart.

    Parameters
    ----------
    frame
        A row per well in the workflow's columns.
    table
        The same rows as in the file.
    found
        Our name to the file's column.
    path
        The file, for messages.

    Raises
    ------
    ValueError
        Treated wells have no compound, doses of a compound are words, or wells of one compound and dose differ in a
        second compound or dose.
    """
    _check_labels(frame, table, found, path)
    _check_levels(frame, table, found, path)
    _check_second(frame, table, found, path)


def _check_labels(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse treated wells without a compound and a perturbation, which would be one treatment."""
    columns = list(table.columns)
    free = platemap_columns.undecided(table, found)
    usual = f"expected a column compound or Compound or pert_iname or broad_sample, found {columns}"
    remedy = f"set index.columns.compound, perhaps to one of {free[:10]}"
    if not {"compound", "pert_type"} & set(found):
        raise ValueError(f"{path}: no well has a compound or a type: {usual}; {remedy}")
    unnamed = frame[["Metadata_Compound", "Metadata_Perturbation"]].isna().all(axis=1)
    bare = (frame["Metadata_pert_type"] == "trt") & unnamed
    if not bare.any():
        return
    wells = frame.loc[bare, "Metadata_Well"].tolist()
    few = f"{wells[:10]}{' and others' if len(wells) > 10 else ''}"
    if "compound" in found:
        raise ValueError(
            f"{path}: {len(wells)} wells of type trt have no compound in {found['compound']!r}: {few}; fill it in, "
            "or give these wells the type empty"
        )
    raise ValueError(f"{path}: {len(wells)} wells of type trt have no compound: {usual}; {remedy}")


def _check_levels(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse doses in words (low, high), of which a compound has several: they would be one treatment."""
    treated = (frame["Metadata_pert_type"] == "trt") & frame["Metadata_Perturbation"].isna()
    for column in platemap_columns.dose_names(table):
        levels = table.loc[treated, column].groupby(frame.loc[treated, "Metadata_Compound"]).unique()
        several = levels[levels.map(len) > 1]
        if column not in found.values() and "concentration" not in found and len(several):
            raise ValueError(
                f"{path}: expected numbers in the column of doses {column!r}, found {list(several.iloc[0])[:5]} for "
                f"{several.index[0]!r}; write concentrations, or name the treatments in a column perturbation"
            )


def _check_second(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse combinations of compounds without names: they would be the treatment of their first compound."""
    treated = (frame["Metadata_pert_type"] == "trt") & frame["Metadata_Perturbation"].isna()
    keys = [frame.loc[treated, name].fillna("") for name in ("Metadata_Compound", "Metadata_Concentration")]
    for column in platemap_parts.second(table, found):
        partners = table.loc[treated, column].fillna("").groupby(keys).unique()
        several = partners[partners.map(len) > 1]
        if len(several):
            raise ValueError(
                f"{path}: expected one value of {column!r} for a compound at a dose, found {list(several.iloc[0])[:5]} "
                f"for {several.index[0][0]!r}: name each treatment in a column `perturbation`, as `x 1 µM + y 2 µM`, "
                f"or remove {column!r} if these wells are replicates"
            )
