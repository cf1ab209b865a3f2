"""Dose response of each compound along its own axis, as a table of curves and a table of their wells."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import curve, wells
from wellspring.evaluate.own_axis import project
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.report.takeaway.hits import described
from wellspring.report.wording import words

COLUMNS = [
    *("compound", "unit", "mechanism", "doses", "lowest_dose", "highest_dose", "wells", "plates"),
    *("ec50", "ec50_low", "ec50_high", "bmc", "bmc_low", "bmc_high"),
    *("bottom_sd", "top_sd", "slope", "p", "no_fit_because", "encoder"),
]
POINTS = ["compound", "plate", "well", "dose", "response_sd"]


def fitted(
    frame: pd.DataFrame,
    *,
    encoder: str,
    minimum: int = 4,
    units: Mapping[tuple[str, str], str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per compound with several doses (`COLUMNS`), and one per well of its series (`POINTS`).

    Where there are several time points, a compound has a row for each, called `<compound>|<time point>`.

    Parameters
    ----------
    frame
        Aligned profiles.
    minimum
        Fewest doses of a compound; those with fewer are not in the tables.
    units
        (plate, well) -> unit of its concentration.

    Notes
    -----
    Responses are positions on the axis from the controls to the compound's highest dose, fitted on other replicates
    (`wellspring.evaluate.own_axis`), in standard deviations of the controls. The controls of the same plates are
    part of the series, with dose 0.
    """
    features = frame[tables.features(frame)].to_numpy(dtype=np.float64)
    compound, plate = wells.series(frame), wells.column(frame, wells.PLATE)
    dose = pd.to_numeric(pd.Series(wells.column(frame, "Metadata_Concentration")), errors="coerce").to_numpy(float)
    series = wells.kind(frame, "trt", "poscon") & np.isfinite(dose) & (dose > 0) & pd.notna(compound)
    series &= wells.column(frame, "Metadata_Role") != "heldout"
    rows, points = [], []
    for name, places in pd.Series(np.flatnonzero(series)).groupby(compound[series].astype(str), sort=True):
        mine = places.to_numpy()
        doses = np.unique(dose[mine])
        if len(doses) < minimum:
            continue
        near = np.flatnonzero(np.isin(plate, plate[mine]))
        member = np.isin(near, mine)
        top = member & (dose[near] == doses[-1])
        axis = project(features[near], frame.iloc[near], member=member, top=top)
        about = described(frame.iloc[mine], units=units or {})
        row = {"compound": name, "doses": len(doses), "lowest_dose": doses[0], "highest_dose": doses[-1]}
        row |= {key: about[key] for key in ("unit", "mechanism", "plates")} | {"wells": len(mine), "encoder": encoder}
        if axis is None:
            few = Note("curve_no_axis", {"found": int((top & wells.defined(features[near], frame.iloc[near])).sum())})
            rows.append(row | {"no_fit_because": words(few)})
            continue
        given = np.where(axis.control, 0.0, dose[near[axis.rows]])
        found = curve.fit(given, axis.score, control_sd=1.0, minimum=minimum)
        rows.append(row | _numbers(found))
        points.append(
            pd.DataFrame(
                {
                    "compound": name,
                    "plate": plate[near[axis.rows]],
                    "well": wells.column(frame, "Metadata_Well")[near[axis.rows]],
                    "dose": given,
                    "response_sd": axis.score,
                }
            )
        )
    table = pd.concat(points, ignore_index=True) if points else pd.DataFrame(columns=POINTS)
    return pd.DataFrame(rows, columns=COLUMNS), table


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
    }
    values |= {"bottom_sd": found.bottom, "top_sd": found.top, "slope": found.slope, "p": found.p}
    return {**values, "no_fit_because": words(found.note) if found.note else ""}
