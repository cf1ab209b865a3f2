"""Dose response of each compound in each cell line along its own axis: tables of the curves and of their wells."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.evaluate import curve, wells
from wellspring.evaluate.own_axis import Projection, project
from wellspring.evaluate.wells import Array
from wellspring.io import tables
from wellspring.io.keys import TIME
from wellspring.io.notes import Note
from wellspring.report.takeaway.hits import Described
from wellspring.report.wording import words

COLUMNS = [
    *(
        "compound",
        "cell_line",
        "time_point",
        "unit",
        "mechanism",
        "doses",
        "lowest_dose",
        "highest_dose",
        "wells",
        "plates",
    ),
    *("ec50", "ec50_low", "ec50_high", "bmc", "bmc_low", "bmc_high", "bmc_note"),
    *("bottom_sd", "top_sd", "slope", "p", "no_fit_because", "encoder"),
]
POINTS = ["compound", "cell_line", "time_point", "plate", "well", "dose", "response_sd"]


@dataclass(frozen=True)
class Series:
    """The wells of a compound in a cell line at several doses, on the axis from the controls to the highest dose.

    Attributes
    ----------
    compound, line
        Their names; the cell line is None where the table names none.
    rows
        Places (n,) of the wells of the series in the profiles.
    doses
        The different doses, ascending.
    axis
        Positions of these wells and of the negative controls of their plates (`wellspring.evaluate.own_axis`); its rows
        are places in the profiles. None where no axis can be fitted.
    top
        Wells at the highest dose with a profile.
    """

    compound: str
    line: str | None
    rows: Array
    doses: Array
    axis: Projection | None
    top: int


def series(frame: pd.DataFrame, *, minimum: int = 4, compounds: Collection[str] | None = None) -> Iterator[Series]:
    """Yield the series of aligned profiles with at least `minimum` doses, by compound and cell line.

    Held-out plates are not in them. With `compounds`, only theirs.
    """
    features = frame[tables.features(frame)].to_numpy(dtype=np.float64)
    plate, line, dose = wells.column(frame, wells.PLATE), lines(frame), wells.concentrations(frame)
    plates, _ = pd.factorize(plate)
    for compound, own, rows in groups(frame, minimum=minimum):
        if compounds is not None and compound not in compounds:
            continue
        # The axis is that of the line: controls of other lines are not in the series.
        near = np.flatnonzero(np.isin(plates, plates[rows]) & (line == (own or "")))
        member, each = np.isin(near, rows), np.unique(dose[rows])
        top = member & (dose[near] == each[-1])
        axis = project(features[near], frame.iloc[near], member=member, top=top)
        if axis is not None:
            axis = Projection(near[axis.rows], axis.score, axis.control)
        count = int((top & wells.defined(features[near], frame.iloc[near])).sum())
        yield Series(compound, own, rows, each, axis, count)


def groups(frame: pd.DataFrame, *, minimum: int) -> Iterator[tuple[str, str | None, Array]]:
    """Yield compound, cell line and the places of the wells of each series with at least `minimum` doses.

    Where there are several time points, the compound is `<compound>|<time point>`.
    """
    compound, line, dose = wells.series(frame), lines(frame), wells.concentrations(frame)
    mine = wells.kind(frame, "trt", "poscon") & np.isfinite(dose) & (dose > 0) & pd.notna(compound)
    mine &= wells.column(frame, "Metadata_Role") != "heldout"
    keys = [compound[mine].astype(str), line[mine]]
    for (name, own), places in pd.Series(np.flatnonzero(mine)).groupby(keys, sort=True):
        rows = places.to_numpy()
        if len(np.unique(dose[rows])) >= minimum:
            yield str(name), own or None, rows


def lines(frame: pd.DataFrame) -> Array:
    """Return the cell line of each well (n,), empty without one."""
    return np.array(["" if name is None else str(name) for name in wells.column(frame, wells.LINE)], dtype=object)


def fitted(
    frame: pd.DataFrame,
    *,
    encoder: str,
    minimum: int = 4,
    units: Mapping[tuple[str, str], str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per compound and cell line with several doses (`COLUMNS`), and one per well of these (`POINTS`).

    Where there are several time points, a compound has a row for each; else `time_point` is None.

    Parameters
    ----------
    frame
        Aligned profiles.
    minimum
        Fewest doses of a series; those with fewer are not in the tables.
    units
        (plate, well) -> unit of its concentration.

    Notes
    -----
    Responses are positions on the axis from the controls to the compound's highest dose, fitted on other replicates
    (`wellspring.evaluate.own_axis`), in standard deviations of the controls. The controls of the same plates are
    part of the series, with dose 0. Cell lines may answer at different doses, so each has its own curve.
    """
    rows, points, dose = [], [], wells.concentrations(frame)
    plate, well = wells.column(frame, wells.PLATE), wells.column(frame, "Metadata_Well")
    compound, time = wells.column(frame, "Metadata_Compound"), wells.column(frame, TIME)
    several, described = len(set(time.astype(str))) > 1, Described(frame, units=units or {})
    for one in series(frame, minimum=minimum):
        first = one.rows[0]
        named = {"compound": str(compound[first]), "cell_line": one.line}
        named["time_point"] = str(time[first]) if several else None
        about = described.of(one.rows)
        row: dict[str, object] = {**named, "doses": len(one.doses), "wells": len(one.rows)}
        row |= {"lowest_dose": one.doses[0], "highest_dose": one.doses[-1], "encoder": encoder}
        row |= {key: about[key] for key in ("unit", "mechanism", "plates")}
        if one.axis is None:
            rows.append(row | {"no_fit_because": words(Note("curve_no_axis", {"found": one.top}))})
            continue
        given = np.where(one.axis.control, 0.0, dose[one.axis.rows])
        found = curve.fit(given, one.axis.score, control_sd=1.0, minimum=minimum)
        rows.append(row | _numbers(found))
        placed = {**named, "plate": plate[one.axis.rows]}
        placed |= {"well": well[one.axis.rows], "dose": given, "response_sd": one.axis.score}
        points.append(pd.DataFrame(placed))
    table = pd.concat(points, ignore_index=True) if points else pd.DataFrame(columns=POINTS)
    return pd.DataFrame(rows, columns=COLUMNS), table[POINTS]


def _numbers(found: curve.Curve) -> dict[str, object]:
    low, high = found.ec50_interval
    below, above = found.bmc_interval
    values = {
        "ec50": found.ec50,
        "ec50_low": low,
        "ec50_high": high,
        "bmc": found.bmc,
        "bmc_low": below,
        "bmc_high": above,
        "bmc_note": words(found.bmc_note) if found.bmc_note else "",
    }
    values |= {"bottom_sd": found.bottom, "top_sd": found.top, "slope": found.slope, "p": found.p}
    return {**values, "no_fit_because": words(found.note) if found.note else ""}
