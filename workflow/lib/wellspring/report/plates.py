"""Plate heatmaps: one number a well in, small multiples out, for the page and as a drawing."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring import tables
from wellspring.report import palette, scatter, svg
from wellspring.report.gather import Screen

FORMATS = ((8, 12), (16, 24), (32, 48))  # 96, 384 and 1536 wells
KEY = ["Metadata_Plate", "Metadata_Well"]


@dataclass(frozen=True)
class Measure:
    """One number a well over all plates, with the scale that all plates share."""

    name: str
    doc: str
    values: pd.DataFrame  # Plate, Well, Value (NaN: undefined)
    low: float
    high: float


def position(well: str) -> tuple[int, int] | None:
    """Return (row, column) from 0 of a well such as A01 or AF48; None for another name."""
    found = re.fullmatch(r"([A-Z]{1,2})(\d{2})", str(well))
    if not found:
        return None
    row = 0
    for letter in found[1]:
        row = 26 * row + ord(letter) - 64
    return row - 1, int(found[2]) - 1


def row_name(row: int) -> str:
    """Return the letters of a row: 0 is A, 31 is AF."""
    return chr(65 + row) if row < 26 else f"{chr(64 + row // 26)}{chr(65 + row % 26)}"


def shape(wells: pd.Series) -> tuple[int, int]:
    """Return the smallest usual plate format that holds the wells."""
    spots = [spot for spot in map(position, wells) if spot]
    rows, columns = (max((spot[axis] for spot in spots), default=0) + 1 for axis in (0, 1))
    return next((size for size in FORMATS if rows <= size[0] and columns <= size[1]), (rows, columns))


def measures(screen: Screen, *, primary: str | None) -> list[Measure]:
    """Return what is drawn: cells or views, first axis and length of the primary encoder's profile, images left out."""
    found = []
    aligned = screen.aligned.get(primary, pd.DataFrame()) if primary else pd.DataFrame()
    if len(screen.cells):
        counted = screen.cells.rename(columns={"Cells": "Value"})
        if len(screen.wells):  # a well without any cell is a zero, not a hole
            counted = screen.wells[KEY].merge(counted, on=KEY, how="left").fillna({"Value": 0})
        found.append(_measure("Cells", "cells found in the well", counted))
    elif "Metadata_View_Count" in aligned:
        views = aligned.rename(columns={"Metadata_View_Count": "Value"})
        found.append(_measure("Views", "views that the profile was made of", views))
    names = tables.features(aligned)
    if names and len(aligned):
        matrix = aligned[names].to_numpy(dtype=float)
        good = np.isfinite(matrix).all(axis=1)
        first, length = np.full(len(matrix), np.nan), np.full(len(matrix), np.nan)
        first[good] = scatter.axes(matrix[good])[:, 0]
        length[good] = np.linalg.norm(matrix[good], axis=1)
        doc = f"of the aligned profile of {primary}"
        found.append(
            _measure("Profile axis 1", f"first principal component {doc}", aligned[KEY].assign(Value=first), low=None)
        )
        found.append(_measure("Profile length", f"Euclidean length {doc}", aligned[KEY].assign(Value=length)))
    if len(screen.survey):
        bad = (screen.survey["Metadata_Verdict"] != "keep").groupby([screen.survey[key] for key in KEY]).sum()
        left_out = bad.rename("Value").reset_index()
        found.append(_measure("Images left out", "planes that the survey left out", left_out))
    return found


def _measure(name: str, doc: str, frame: pd.DataFrame, *, low: float | None = 0.0) -> Measure:
    values = frame[[*KEY, "Value"]].astype({"Value": float})
    finite = values["Value"][np.isfinite(values["Value"])]
    bottom, top = (float(part) for part in np.percentile(finite, [1, 99])) if len(finite) else (0.0, 1.0)
    bottom = bottom if low is None else low
    # one outlying well must not set the scale, but a scale without width (one bad well in a clean screen) takes its top
    top = top if top > bottom else float(finite.max()) if len(finite) and finite.max() > bottom else bottom + 1
    return Measure(name, doc, values.rename(columns={"Metadata_Plate": "Plate", "Metadata_Well": "Well"}), bottom, top)


def grid(measure: Measure, plate: str, *, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the plate's values (rows, columns) float64, NaN where undefined, and which wells there are, bool."""
    values, there = np.full(size, np.nan), np.zeros(size, dtype=bool)
    for well, value in measure.values.loc[measure.values["Plate"] == plate, ["Well", "Value"]].itertuples(index=False):
        spot = position(well)
        if spot and spot[0] < size[0] and spot[1] < size[1]:
            values[spot], there[spot] = value, True
    return values, there


def heatmap(measure: Measure, plate: str, *, size: tuple[int, int], left_out: bool = False) -> str:
    """Return one plate as a drawing: a picture of a pixel a well, crosses on undefined wells, row and column names."""
    values, there = grid(measure, plate, size=size)
    rows, columns = size
    step = 240 / columns
    pixels = np.zeros((*size, 4), dtype=np.uint8)
    shown = np.isfinite(values)
    pixels[shown, :3] = palette.viridis((values[shown] - measure.low) / (measure.high - measure.low))
    pixels[shown, 3] = 255
    name = plate if len(plate) < 34 else f"{plate[:33]}…"
    body = [svg.text(20, 11, name, fill="var(--bad, #b3261e)" if left_out else svg.INK)]
    for row in range(0, rows, max(1, rows // 8)):
        body.append(
            svg.text(
                16,
                30 + step * row + step / 2 + 2.5,
                row_name(row),
                anchor="end",
                fill=svg.MUTED,
                extra='font-size="7.5"',
            )
        )
    for column in range(0, columns, max(1, columns // 12)):
        body.append(
            svg.text(
                20 + step * (column + 0.5), 26, column + 1, anchor="middle", fill=svg.MUTED, extra='font-size="7.5"'
            )
        )
    box = f'x="20" y="30" width="240" height="{svg.place(step * rows)}"'
    body.append(f'<rect {box} fill="none" stroke="{svg.LINE}"/>')
    address = palette.data_address(pixels)
    body.append(f'<image {box} href="{address}" preserveAspectRatio="none" style="image-rendering:pixelated"/>')
    arm = step * 0.22
    corners = [(20 + step * (j + 0.5) - arm, 30 + step * (i + 0.5) - arm) for i, j in np.argwhere(there & ~shown)]
    long, back = svg.place(2 * arm), svg.place(-2 * arm)
    cross = "".join(f"M{svg.place(x)} {svg.place(y)}l{long} {long}m0 {back}l{back} {long}" for x, y in corners)
    if cross:
        body.append(f'<path d="{cross}" stroke="{svg.MUTED}" fill="none"/>')
    title = f"{measure.name} of plate {plate}" + (", left out" if left_out else "")
    return svg.document("".join(body), width=264, height=34 + step * rows, title=title, css="figure plate")


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
