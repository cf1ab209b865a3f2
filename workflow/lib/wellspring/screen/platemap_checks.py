"""Checks of a platemap that was read: no two treatments become one because a column was not recognised."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from wellspring.screen import dose_columns, dose_units, platemap_columns, platemap_parts

FLAG = re.compile(
    r"(is|as)?((neg|pos)[a-z]*)?(control|ctrl|ctl|con|vehicle|untreated|mock)s?(wells?)?|is(dmso|negative)"
)
CODE = re.compile(r"[nptscexuvm][c0-9]?")  # short for a type, as N, P, T or NC
YES, NO = ("yes", "y", "true", "1", "x", "control"), ("no", "n", "false", "0", "")
# Names that a spreadsheet made a date of (MARCH1, SEPT2) or a number in exponents (2310009E13).
DATE = re.compile(
    r"[0-9]{1,2}[-. ]+(jan|feb|m[a\u00e4]r|mrz|apr|ma[yi]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*\.?"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ][0-9]{2,4}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00:00)?|[0-9](\.[0-9]+)?e\+[0-9]{2}",
    re.IGNORECASE,
)


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
        One line per reason: treated wells have no compound, or a well without one has a dose; a name is a date; doses
        of a compound are words or logarithms, or some of them are empty; a type is blank where other wells of the
        compound have one; a column that marks controls contradicts the types; wells of one compound and dose differ in
        a second compound or dose.
    """
    collected(
        lambda: _check_names(frame, found, path),
        lambda: _check_labels(frame, table, found, path),
        lambda: _check_types(frame, table, found, path),
        lambda: _check_levels(frame, table, found, path),
        lambda: _check_doses(frame, found, path),
        lambda: _check_second(frame, table, found, path),
    )


def collected(*checks: Callable[[], object]) -> list[Any]:
    """Return the results of checks that are independent of each other; `ValueError` with the reasons of all."""
    results, problems = [], []
    for check in checks:
        try:
            results.append(check())
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return results


def _check_names(frame: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse names that a spreadsheet has changed: several of them may have become one."""
    for key in ("Compound", "Perturbation", "target", "moa", "Cell_Line"):
        names = sorted(name for name in frame[f"Metadata_{key}"].dropna().unique() if DATE.fullmatch(name))
        if names:
            column = found["cell_line" if key == "Cell_Line" else key if key in found else key.lower()]
            raise ValueError(
                f"{path}: expected names in {column!r}, found {names[:5]}, which a spreadsheet made of other names (as "
                "MARCH1 or 2310009E13): give the column the format Text, and enter them again"
            )


def _check_types(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse a blank type where other wells of the compound are controls, and marks that contradict the types."""
    kinds = frame["Metadata_pert_type"]
    if "pert_type" in found:
        blank = table[found["pert_type"]].isna()
        stated = kinds[~blank].groupby(frame.loc[~blank, "Metadata_Compound"]).unique()
        for compound, others in stated[stated.map(len) == 1].items():
            rows = blank & (frame["Metadata_Compound"] == compound) & (kinds != others[0])
            if rows.any():
                raise ValueError(
                    f"{path}: the wells {_few(frame, rows)} of {compound!r} have no type in {found['pert_type']!r}, "
                    f"while other wells of it are {others[0]}: fill it in"
                )
    for column in (column for column in table.columns if column not in found.values()):
        cells = table[column].fillna("").str.casefold()
        codes = sorted(set(cells) - {""})
        short = 1 < len(codes) < 7 and all(map(CODE.fullmatch, codes)) and not set(codes) <= {*YES, *NO}
        if short and platemap_columns.may_be_types(column):
            raise ValueError(
                f"{path}: expected types of wells in words in {column!r}, found {codes}: name them in "
                f"index.pert_types, as `{codes[0]}: trt`, or call the column otherwise if it is something else"
            )
        if FLAG.fullmatch(platemap_columns.plain(column)) and cells.isin([*YES, *NO]).all() and cells.nunique() > 1:
            marked = cells.isin(YES)
            wrong = (marked & (kinds == "trt")) | (~marked & (kinds == "negcon") & ("pos" not in column.casefold()))
            if wrong.any():
                raise ValueError(
                    f"{path}: the column {column!r} and the types differ in the wells {_few(frame, wrong)} (types by "
                    "index.negcon and index.poscon where no column has them): write negcon or poscon into a column "
                    "pert_type, or name the controls in index.negcon"
                )


def _few(frame: pd.DataFrame, rows: pd.Series) -> str:
    wells = frame.loc[rows, "Metadata_Well"].tolist()
    return f"{wells[:10]}{' and others' if len(wells) > 10 else ''}"


def _check_labels(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse treated wells without a compound and a perturbation, which would be one treatment."""
    columns = list(table.columns)
    free = platemap_columns.undecided(table, found)
    usual = f"expected a column compound or Compound or pert_iname or broad_sample, found {columns}"
    remedy = f"rename that of compounds to compound, or set index.columns.compound, perhaps to one of {free[:10]}"
    if not {"compound", "pert_type"} & set(found):
        raise ValueError(f"{path}: no well has a compound or a type: {usual}; {remedy}")
    unnamed = frame[["Metadata_Compound", "Metadata_Perturbation"]].isna().all(axis=1)
    bare = unnamed & (frame["Metadata_Concentration"] > 0)
    bare &= table[found["pert_type"]].isna() if "pert_type" in found else True
    if bare.any():
        raise ValueError(
            f"{path}: the wells {_few(frame, bare)} have a concentration and no compound: fill it in (a merged cell "
            "keeps its value in one row alone when it is saved as text), or empty the concentration"
        )
    bare = (frame["Metadata_pert_type"] == "trt") & unnamed
    if not bare.any():
        return
    few, wells = _few(frame, bare), frame.loc[bare, "Metadata_Well"].tolist()
    if "compound" in found:
        raise ValueError(
            f"{path}: {len(wells)} wells of type trt have no compound in {found['compound']!r}: {few}; fill it in, "
            "or give these wells the type empty"
        )
    raise ValueError(f"{path}: {len(wells)} wells of type trt have no compound: {usual}; {remedy}")


def _check_levels(frame: pd.DataFrame, table: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse doses in words (low, high) or on an unknown scale, of which a compound has several: they would be one."""
    treated = (frame["Metadata_pert_type"] == "trt") & frame["Metadata_Perturbation"].isna()
    for column in dose_columns.dose_names(table):
        levels = table.loc[treated, column].groupby(frame.loc[treated, "Metadata_Compound"]).unique()
        several = levels[levels.map(len) > 1]
        if column not in found.values() and "concentration" not in found and len(several):
            raise ValueError(
                f"{path}: expected numbers in the column of doses {column!r}, found {list(several.iloc[0])[:5]} for "
                f"{several.index[0]!r}; write concentrations, or name the treatments in a column perturbation"
            )
    free = [] if "concentration" in found else dose_columns.scaled(table)
    for column in (column for column in free if column not in found.values()):
        levels = table.loc[treated, column].dropna().groupby(frame.loc[treated, "Metadata_Compound"]).unique()
        several = levels[levels.map(len) > 1]
        if len(several):
            raise ValueError(
                f"{path}: the column {column!r} has {list(several.iloc[0])[:5]} for {several.index[0]!r}, and may hold "
                "concentrations under a name or in a unit that is not known, or their logarithms: write concentrations "
                "under a name as `conc_uM`, set index.columns.concentration, or name the treatments in a column "
                "perturbation; if it is something else, choose a name without a unit"
            )
    words = [column for column in dose_columns.dose_names(table) if column not in found.values()]
    names = frame.loc[treated, "Metadata_Compound"].dropna()
    other = table.loc[treated, words[0]].nunique() if words else 0
    if other > 1 and other >= names.nunique() and names.map(dose_units.is_number).all():
        raise ValueError(
            f"{path}: expected names in {found.get('compound')!r} and numbers in {words[0]!r}, found numbers as "
            "compounds and words as concentrations: swap the two columns"
        )


def _check_doses(frame: pd.DataFrame, found: Mapping[str, str], path: Path) -> None:
    """Refuse empty doses of a compound that has doses in other wells: its wells would be one more treatment."""
    treated = frame[(frame["Metadata_pert_type"] == "trt") & frame["Metadata_Perturbation"].isna()]
    dosed = treated["Metadata_Concentration"].notna()
    some = dosed.groupby(treated["Metadata_Compound"]).transform("any")
    bare = frame.index.isin(treated.index[some & ~dosed])
    if bare.any():
        names = sorted(frame.loc[bare, "Metadata_Compound"].unique())
        raise ValueError(
            f"{path}: the wells {_few(frame, bare)} have no concentration in {found['concentration']!r}, while other "
            f"wells of {names[:3]} have one: fill it in (a merged cell keeps its value in one row alone when it is "
            "saved as text), or name the treatments in a column perturbation"
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
