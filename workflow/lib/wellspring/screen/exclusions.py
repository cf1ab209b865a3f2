"""The user's list of plates, wells and sites to exclude or keep.

The file is a table (:mod:`wellspring.screen.text_table`) with the columns :data:`COLUMNS`. An empty site means every
site of the well, an empty well every well of the plate. ``exclude`` leaves sites out, ``keep`` overrides the limits of
the survey. If several lines match a site, the most specific one counts (site, then well, then plate), and of equals the
last. A survey writes its exclusions in the same form: such files can be concatenated (repeated headers are skipped),
edited and used as the list.
"""

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.io.keys import SITE_KEY
from wellspring.io.notes import Note, loads
from wellspring.screen import not_a_table, well_names
from wellspring.screen.text_table import read as read_table

COLUMNS = ["plate", "well", "site", "verdict", "reason"]
VERDICTS = ("exclude", "keep")
LISTED = "listed"  # code of the note of an image that the list excludes


def read(path: Path | str | None) -> pd.DataFrame:
    """Read an exclusion list; without a path it is empty.

    Returns
    -------
    DataFrame
        :data:`COLUMNS` as strings, empty ones for empty cells, wells as ``A01``; ``where``: the file and the line.

    Raises
    ------
    ValueError
        Names the file and the line, what was expected and what was found.
    """
    if not path:
        return pd.DataFrame(columns=[*COLUMNS, "where"], dtype=object)
    table = read_table(path, what="file of survey.exclusions")
    if sorted(table.columns) != sorted(COLUMNS):
        found = list(table.columns)
        raise ValueError(f"{path}: expected the columns {COLUMNS}, found {found}{not_a_table.of_one_column(found)}")
    repeated = (table == list(table.columns)).all(axis=1)
    rows = [
        _row({str(name): str(value) for name, value in cells.items()}, f"{path}: line {line}")
        for line, cells in zip(table.index[~repeated], table[~repeated].to_dict("records"), strict=True)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "where"], dtype=object)


def check(listed: pd.DataFrame, plates: Collection[str]) -> None:
    """Raise `ValueError` for a line about a plate that the sheet does not have."""
    for row in listed[~listed["plate"].isin(list(plates))].to_dict("records"):
        raise ValueError(f"{row['where']}: expected a plate of the sheet, found {row['plate']!r}")


def digest(listed: pd.DataFrame, plate: str) -> str | None:
    """Return a digest of the lines about a plate, None if there are none; comments do not change it."""
    mine = listed.loc[listed["plate"] == plate, COLUMNS]
    return hashlib.sha256(mine.to_csv(index=False).encode()).hexdigest() if len(mine) else None


def decide(listed: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """Return the listed verdict of each site of a plate.

    Parameters
    ----------
    listed
        As :func:`read` returns it; lines about other plates are ignored.
    sites
        Rows with :data:`SITE_KEY`, of one plate, in any order and number.

    Returns
    -------
    DataFrame
        In the order and with the index of `sites`: ``verdict`` (``exclude``, ``keep``, or empty), ``reason``, and
        ``whole``, whether the line was about the whole plate.

    Raises
    ------
    ValueError
        A line names a well or site that the plate does not have.
    """
    verdict, reason = (np.full(len(sites), "", dtype=object) for _ in range(2))
    whole = np.zeros(len(sites), dtype=bool)
    places = {
        (True, True): sites.groupby(SITE_KEY[1:]).indices,
        (True, False): sites.groupby(SITE_KEY[1]).indices,
        (False, True): sites.groupby(SITE_KEY[2]).indices,
        (False, False): {None: np.arange(len(sites))},
    }
    mine = listed[listed["plate"].isin(sites["Metadata_Plate"].unique().tolist())]
    named = (mine["well"] != "").astype(int) + (mine["site"] != "").astype(int)
    for row in mine.loc[named.sort_values(kind="stable").index].to_dict("records"):
        well, site = row["well"], row["site"]
        at = places[bool(well), bool(site)].get((well, site) if well and site else well or site or None)
        if at is None:
            lost = "well" if well and well not in places[True, False] else "site"
            within = f" in {well}" if well and lost == "site" else ""
            known = f"expected a {lost} that plate {row['plate']} has{within}"
            raise ValueError(f"{row['where']}: {known}, found {row[lost]!r}")
        verdict[at], reason[at], whole[at] = row["verdict"], row["reason"], not (well or site)
    return pd.DataFrame({"verdict": verdict, "reason": reason, "whole": whole}, index=sites.index)


def apply(table: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    """Return a survey's table with the listed verdicts applied.

    A site that the survey excluded keeps its own reasons. A listed ``keep`` applies to readable images only: an image
    that is missing, damaged, blank or of another shape stays excluded, with the note ``keep_refused``.

    Parameters
    ----------
    table
        The survey, one row per plane.
    said
        The listed verdict of each row's site, as :func:`decide` returns it.
    """
    table = table.copy()
    excluded = table["Metadata_Verdict"] == "exclude"
    lost = excluded.groupby([table[column] for column in SITE_KEY]).transform("any")
    new = (said["verdict"] == "exclude") & ~lost
    table.loc[new, "Metadata_Verdict"] = "exclude"
    table.loc[new, "Metadata_Reason"] = [str(_note(LISTED, reason)) for reason in said.loc[new, "reason"]]
    against = (said["verdict"] == "keep") & excluded
    spared = against & (table["Metadata_Status"] == "ok")
    pairs = zip(said.loc[spared, "reason"], table.loc[spared, "Metadata_Reason"], strict=True)
    table.loc[spared, "Metadata_Reason"] = [f"{_note('kept_as_listed', why)}; {found}" for why, found in pairs]
    table.loc[spared, "Metadata_Verdict"] = "keep"
    beyond = against & ~spared
    table.loc[beyond, "Metadata_Reason"] += f"; {Note('keep_refused')}"
    return table


def excluded(table: pd.DataFrame, *, worded: Callable[[str], str] = str) -> pd.DataFrame:
    """Return the excluded sites of a survey in the form of the file: one row per site, reasons with their channels.

    Parameters
    ----------
    table
        The survey, one row per plane.
    worded
        Gives the text of a reason, which is notes as text; the rule takes the sentences of the report. A reason from
        the user's list is left as the user wrote it.
    """
    out = table[table["Metadata_Verdict"] == "exclude"]
    rows = []
    for (plate, well, site), planes in out.groupby(SITE_KEY, sort=True):
        reasons = []
        for reason, some in planes.groupby("Metadata_Reason", sort=False):
            channels = ", ".join(dict.fromkeys(some["Metadata_Channel"]))
            by_hand = reason.partition("(")[0] == LISTED
            reasons.append(
                str(loads(reason)[0].values.get("reason", "")) if by_hand else f"{worded(reason)} ({channels})"
            )
        rows.append((plate, well, site, "exclude", "; ".join(filter(None, reasons))))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def write(rows: pd.DataFrame, path: Path | str) -> None:
    """Write rows with :data:`COLUMNS` to a file that :func:`read` can read."""
    flat = rows[COLUMNS].replace(r"[\t\r\n]+", " ", regex=True)
    flat.to_csv(path, sep="\t", index=False, lineterminator="\n", encoding="utf-8")


def _row(row: dict[str, str], where: str) -> dict[str, str]:
    if not row["plate"]:
        raise ValueError(f"{where}: expected a plate, found none")
    if row["verdict"] not in VERDICTS:
        raise ValueError(f"{where}: expected a verdict of {VERDICTS}, found {row['verdict']!r}")
    if row["well"]:
        try:
            row["well"] = well_names.normalise(row["well"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return row | {"where": where}


def _note(code: str, reason: str) -> Note:
    return Note(code, {"reason": reason} if reason else {})
