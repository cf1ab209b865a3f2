"""Plate heatmaps: positions of wells, one drawing per plate, and one figure of all plates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.report import palette, svg
from wellspring.report.gather import Screen
from wellspring.screen import well_names

FORMATS = ((8, 12), (16, 24), (32, 48))  # 96, 384 and 1536 wells


@dataclass(frozen=True)
class Measure:
    """One number per well over all plates, with one scale for all plates."""

    name: str
    doc: str
    values: pd.DataFrame  # Plate, Well, Value (NaN: undefined)
    low: float
    high: float
    group: str = ""  # under which it is listed, with others of its kind


@cache
def position(well: str) -> tuple[int, int] | None:
    """Return (row, column) from 0 of a well such as A01 or AF48; None for another name."""
    try:
        return well_names.position(str(well))
    except ValueError:
        return None


def shape(wells: pd.Series) -> tuple[int, int]:
    """Return the smallest usual plate format that holds the wells."""
    spots = [spot for spot in map(position, wells) if spot]
    rows, columns = (max((spot[axis] for spot in spots), default=0) + 1 for axis in (0, 1))
    return next((size for size in FORMATS if rows <= size[0] and columns <= size[1]), (rows, columns))


def grid(measure: Measure, plate: str, *, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the plate's values (rows, columns) float64, NaN where undefined, and which wells there are, bool."""
    values, there = np.full(size, np.nan), np.zeros(size, dtype=bool)
    for well, value in measure.values.loc[measure.values["Plate"] == plate, ["Well", "Value"]].itertuples(index=False):
        spot = position(well)
        if spot and spot[0] < size[0] and spot[1] < size[1]:
            values[spot], there[spot] = value, True
    return values, there


def heatmap(measure: Measure, plate: str, *, size: tuple[int, int], left_out: bool = False) -> str:
    """Return one plate as a drawing: one pixel per well, crosses on undefined wells, row and column names."""
    values, there = grid(measure, plate, size=size)
    rows, columns = size
    step = 240 / columns
    pixels = np.zeros((*size, 4), dtype=np.uint8)
    shown = np.isfinite(values)
    pixels[shown, :3] = palette.viridis((values[shown] - measure.low) / (measure.high - measure.low))
    pixels[shown, 3] = 255
    name = plate if len(plate) < 34 else f"{plate[:33]}…"
    body = [svg.text(20, 11, name, fill="var(--bad, #b3261e)" if left_out else svg.INK)]
    body += names(range(rows), range(columns), box=(20, 30, 240, step * rows))
    box = f'x="20" y="30" width="240" height="{svg.place(step * rows)}"'
    body.append(f'<rect {box} fill="none" stroke="{svg.LINE}"/>')
    address = palette.data_address(pixels)
    body.append(f'<image {box} href="{address}" preserveAspectRatio="none" style="image-rendering:pixelated"/>')
    body.append(crosses(np.argwhere(there & ~shown).tolist(), step=(step, step), top=30))
    title = f"{measure.name} of plate {plate}" + (", left out" if left_out else "")
    return svg.document("".join(body), width=264, height=34 + step * rows, title=title, css="figure plate")


def names(rows: Sequence[int], columns: Sequence[int], *, box: tuple[float, float, float, float]) -> list[str]:
    """Return names of some of the rows and columns beside and above a plate in the box (x, y, width, height)."""
    x, y, wide, tall = box
    size = f'font-size="{svg.place(wide / 60 + 3.5)}"'
    down = [(row, y + tall / len(rows) * (place + 0.5) + 2.5) for place, row in enumerate(rows)]
    along = [(column, x + wide / len(columns) * (place + 0.5)) for place, column in enumerate(columns)]
    return [
        *(
            svg.text(x - 4, place, well_names.row_name(row), anchor="end", fill=svg.MUTED, extra=size)
            for row, place in down[:: max(1, len(rows) // 8)]
        ),
        *(
            svg.text(place, y - 4, column + 1, anchor="middle", fill=svg.MUTED, extra=size)
            for column, place in along[:: max(1, len(columns) // 12)]
        ),
    ]


def crosses(spots: Sequence[Sequence[int]], *, step: tuple[float, float], top: float) -> str:
    """Return crosses on wells (row, column) of a plate at (20, `top`) whose wells are `step` (down, along) apart."""
    arm = min(step) * 0.22
    corners = [(20 + step[1] * (j + 0.5) - arm, top + step[0] * (i + 0.5) - arm) for i, j in spots]
    long, back = svg.place(2 * arm), svg.place(-2 * arm)
    cross = "".join(f"M{svg.place(x)} {svg.place(y)}l{long} {long}m0 {back}l{back} {long}" for x, y in corners)
    return f'<path d="{cross}" stroke="{svg.MUTED}" fill="none"/>' if cross else ""


def bar(measure: Measure) -> str:
    """Return the colour scale of a measure."""
    pixels = palette.viridis(np.linspace(0, 1, 64))[None]
    image = (
        f'<image x="0" y="2" width="160" height="9" href="{palette.data_address(pixels)}" preserveAspectRatio="none"/>'
    )
    ends = svg.text(0, 23, svg.number(measure.low)) + svg.text(160, 23, f"{svg.number(measure.high)}", anchor="end")
    return svg.document(image + ends, width=162, height=26, title=f"colour scale of {measure.name}", css="figure bar")


def drawing(screen: Screen, found: list[Measure]) -> str:
    """Return all plates of the first measure as one drawing, four abreast, with its scale."""
    if not found or not screen.plates:
        return svg.document(svg.text(4, 16, "No wells to draw."), width=260, height=24, title="Plate heatmaps")
    measure, size = found[0], shape(found[0].values["Well"])
    tall = 34 + 240 / size[1] * size[0] + 8
    body = [svg.text(4, 16, f"{measure.name}: {measure.doc}"), svg.nest(bar(measure), x=4, y=22, width=162, height=26)]
    for slot, plate in enumerate(screen.plates):
        inner = heatmap(measure, plate, size=size, left_out=plate in screen.left_out)
        body.append(svg.nest(inner, x=264 * (slot % 4), y=54 + tall * (slot // 4), width=264, height=tall))
    down = 54 + tall * -(-len(screen.plates) // 4)
    return svg.document(
        "".join(body), width=264 * min(max(len(screen.plates), 1), 4), height=down, title="Plate heatmaps"
    )
