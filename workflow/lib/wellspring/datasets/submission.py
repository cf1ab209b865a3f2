"""The file of the cell line transferability challenge (CVPR 2025): profiles and the wells asked for in, a CSV out.

    python -m wellspring.datasets.submission --profiles results/align/ENCODER.parquet --ids metadata_test.csv --out FILE

After the challenge's page (CVDD-CVPR25/cvdd-cvpr25.github.io, ``challenge.md``): one row per well with the columns
``ID``, ``feature_1`` ... ``feature_N``, any N, no missing or infinite value; ``metadata_test.csv`` gives each ID's
plate and well. What those two columns are called there, and what an ID looks like, the page leaves open: they are
found by the usual names or named by options, and a file of IDs alone is read by a format.
"""

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.datasets import published, screen
from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.io.phrases import count, listed
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

ID = "ID"
NAMES = {
    "plate": ("Metadata_Plate", "plate", "Plate", "Assay_Plate_Barcode"),
    "well": ("Metadata_Well", "well", "Well", "well_position", "Metadata_well_position"),
}
FORMAT = "{plate}_{well}"
LISTED = 20  # wells that an error names


def asked(path: Path | str, *, plate: str | None = None, well: str | None = None, form: str = FORMAT) -> pd.DataFrame:
    """Read the IDs: ID, plate, well (normalised), in the file's order.

    Parameters
    ----------
    path
        CSV with a column ID.
    plate, well
        Its columns of plates and wells; None looks for the usual names.
    form
        How an ID is put together from ``{plate}`` and ``{well}``, where the file has no such columns.

    Raises
    ------
    ValueError
        A column or value is missing, an ID is not of the form, or an ID or a well is there twice; the line is named.
    """
    rows = published.table(path, columns=[ID, *(name for name in (plate, well) if name)])
    published.complete(rows, [ID], path)
    columns = {"plate": plate or _first(rows, "plate"), "well": well or _first(rows, "well")}
    if None in columns.values():
        if any(columns.values()):
            raise ValueError(f"{path}: expected columns of plates and of wells or of neither, found {columns}")
        found = _parsed(rows[ID], form, path)
    else:
        published.complete(rows, [name for name in columns.values() if name is not None], path)
        found = pd.DataFrame({key: rows[name] for key, name in columns.items()})
    found["well"] = [well_names.normalise(value) for value in found["well"]]
    found.insert(0, ID, rows[ID])
    for key in ([ID], ["plate", "well"]):
        doubled = found.duplicated(key)
        if doubled.any():
            index = doubled.idxmax()
            what = " ".join(found.loc[index, key])
            raise ValueError(
                f"{path}: line {published.line(index)}: expected each {' and '.join(key)} once, found {what} again"
            )
    return found.reset_index(drop=True)


def submission(profiles: pd.DataFrame, ids: pd.DataFrame, *, fill: str = "none") -> pd.DataFrame:
    """Return the table to hand in: ID, feature_1 ... feature_N, the rows in the order of `ids`.

    Parameters
    ----------
    profiles
        Well profiles of this workflow, of any level.
    ids
        As ``asked``.
    fill
        ``none``: a well that has no profile, or one with a missing or infinite value, is an error. ``control-mean``: it
        is given the mean of its plate's negative controls, as a well that looks like them, and named in a warning.

    Raises
    ------
    ValueError
        Wells without a finite profile, listed; with `fill`, those whose plate has no control to fill from.
    """
    names = tables.features(profiles)
    if not names:
        raise ValueError("profiles: expected feature columns, found none but Metadata_")
    key = WELL_KEY
    doubled = profiles.duplicated(key)
    if doubled.any():
        raise ValueError(f"profiles: expected each well once, found {_listed(profiles.loc[doubled, key])} again")
    wanted = pd.MultiIndex.from_frame(ids[["plate", "well"]].astype(str))
    matrix = profiles.set_index(pd.MultiIndex.from_frame(profiles[key].astype(str)))[names].reindex(wanted)
    values = matrix.to_numpy(dtype=np.float64, copy=True)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        lost = ids.loc[bad, ["plate", "well"]]
        if fill != "control-mean":
            absent = ~wanted[bad].isin(pd.MultiIndex.from_frame(profiles[key].astype(str)))
            message = f"{int(absent.sum())} are not in the profiles and {int((~absent).sum())} have values that are not"
            hint = "--fill control-mean gives them the mean of their plate's negative controls"
            raise ValueError(f"expected a finite profile of each well, found {_listed(lost)}: {message} ({hint})")
        values[bad] = _means(profiles, names, lost)
        logger.warning(
            "FILLED with the mean of their plate's negative controls, not by profiles of their own: %s", _listed(lost)
        )
    table = pd.DataFrame(values, columns=[f"feature_{number}" for number in range(1, len(names) + 1)])
    table.insert(0, ID, ids[ID].to_numpy())
    return table


def write(table: pd.DataFrame, path: Path | str) -> None:
    """Write the table as CSV, numbers with the nine digits that a float32 has."""
    with tables.atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g")


def _means(profiles: pd.DataFrame, names: Sequence[str], lost: pd.DataFrame) -> np.ndarray:
    """Return for each lost well the mean profile of its plate's negative controls."""
    control = profiles[(profiles["Metadata_pert_type"] == "negcon") & np.isfinite(profiles[names]).all(axis=1)]
    means = control.groupby(control["Metadata_Plate"].astype(str))[list(names)].mean()
    bare = ~lost["plate"].astype(str).isin(means.index)
    if bare.any():
        raise ValueError(
            f"expected negative controls with a profile on each plate, found none for {_listed(lost[bare])}"
        )
    found: NDArray[np.float64] = means.loc[lost["plate"].astype(str)].to_numpy(dtype=np.float64)
    return found


def _first(rows: pd.DataFrame, key: str) -> str | None:
    return next((name for name in NAMES[key] if name in rows), None)


def _parsed(ids: pd.Series, form: str, path: Path | str) -> pd.DataFrame:
    """Return plate and well of each ID by the form."""
    if form.count("{plate}") != 1 or form.count("{well}") != 1:
        raise ValueError(f"--id-format: expected {{plate}} and {{well}} once each, found {form!r}")
    expression = (
        re.escape(form).replace(r"\{plate\}", "(?P<plate>.+)").replace(r"\{well\}", "(?P<well>[A-Za-z]{1,2}[0-9]{1,2})")
    )
    found = ids.str.extract(f"^{expression}$")
    odd = found.isna().any(axis=1)
    if odd.any():
        index = odd.idxmax()
        hint = "--id-format, or --plate-column and --well-column, say how to read it"
        raise ValueError(f"{path}: line {published.line(index)}: expected an ID {form}, found {ids[index]!r} ({hint})")
    return found


def _listed(frame: pd.DataFrame) -> str:
    named = frame.astype(str).agg(" ".join, axis=1).tolist()
    return f"{count(len(named), 'well')}: {listed(named, LISTED)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file, with the options that ``--help`` lists."""
    parser = argparse.ArgumentParser(description="Write the file of the cell line transferability challenge.")
    parser.add_argument("--profiles", type=Path, required=True, help="results/align/ENCODER.parquet")
    parser.add_argument("--ids", type=Path, required=True, help="metadata_test.csv of the challenge")
    parser.add_argument("--out", type=Path, required=True, help="the CSV to write")
    parser.add_argument("--plate-column", help=f"of the IDs' file (default: one of {', '.join(NAMES['plate'])})")
    parser.add_argument("--well-column", help=f"of the IDs' file (default: one of {', '.join(NAMES['well'])})")
    parser.add_argument("--id-format", default=FORMAT, help="of IDs without such columns (default: %(default)s)")
    parser.add_argument(
        "--fill",
        choices=("none", "control-mean"),
        default="none",
        help="wells without a profile: an error (default), or the mean of their plate's negative controls",
    )
    given = parser.parse_args(arguments)
    ids = asked(given.ids, plate=given.plate_column, well=given.well_column, form=given.id_format)
    table = submission(tables.read(given.profiles), ids, fill=given.fill)
    write(table, given.out)
    logger.info("%s: %d wells, %d features", given.out, len(table), table.shape[1] - 1)


if __name__ == "__main__":
    screen.run(main)
