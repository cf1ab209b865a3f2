"""Dose curves. Input: aligned profiles. Output: points of one panel per compound and cell line, with all encoders.

Responses are those of `responses.csv`: positions on the compound's own axis (`wellspring.report.takeaway.curves`).
"""

from collections.abc import Mapping

import pandas as pd

from wellspring.evaluate import wells
from wellspring.report.naming import natural
from wellspring.report.svg import fixed, number
from wellspring.report.takeaway import curves as own

Points = list[tuple[float, float, str]]
LIMIT = 60  # compounds that are drawn


def curves(
    aligned: Mapping[str, pd.DataFrame], *, minimum: int = 3, limit: int = LIMIT
) -> dict[str, dict[str, Points]]:
    """Return title -> encoder -> (concentration, response, words) of the wells.

    The first `limit` compounds with at least `minimum` concentrations; a title is the compound, and its cell line in a
    screen of several. A response is in standard deviations of the controls along the compound's own axis; wells of
    compounds without an axis are not drawn.
    """
    names = {
        encoder: {compound for compound, _, _ in own.groups(frame, minimum=minimum)}
        for encoder, frame in aligned.items()
        if len(frame)
    }
    shown = sorted(set().union(*names.values()), key=natural)[:limit]
    several = len({line for frame in aligned.values() for line in own.lines(frame)} - {""}) > 1
    found: dict[str, dict[str, Points]] = {}
    for encoder in names:
        frame = aligned[encoder]
        dose, plate, well = (
            wells.concentrations(frame),
            wells.column(frame, wells.PLATE),
            wells.column(frame, "Metadata_Well"),
        )
        for one in own.series(frame, minimum=minimum, compounds=shown):
            if one.axis is None:
                continue
            title = f"{one.compound}, {one.line}" if several and one.line else one.compound
            points = [
                (
                    float(dose[row]),
                    float(score),
                    f"{encoder}, {plate[row]} {well[row]}\n{_dosed(one, dose[row], score)}",
                )
                for row, score in zip(one.axis.rows[~one.axis.control].tolist(), one.axis.treated.tolist(), strict=True)
            ]
            found.setdefault(title, {})[encoder] = points
    return {title: found[title] for title in sorted(found, key=natural)}


def unit(aligned: Mapping[str, pd.DataFrame]) -> str:
    """Return the unit of the concentrations, empty if it is not known."""
    name = "Metadata_Concentration_Unit"
    found = {str(value) for frame in aligned.values() if name in frame for value in frame[name].dropna().unique()}
    return found.pop() if len(found) == 1 else ""


def _dosed(one: own.Series, dose: float, response: float) -> str:
    return f"{one.compound} {number(dose, digits=6)}: {fixed(response)}"
