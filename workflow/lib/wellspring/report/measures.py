"""Measures per well with one scale over all plates, in a compact form for the page.

The page draws its plates from these numbers on demand; `plates` draws the figure beside it.
"""

import numpy as np
import pandas as pd

from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.report import plates, scatter, svg
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.plates import Measure

MANY = 40000  # wells above which only the primary encoder's profile is drawn: 0.4 MB of the page per encoder
# Wells times channels above which a measure of images is drawn over all channels: 0.2 MB of the page per measure.
MANY_IMAGES = 40000
# name, column of the survey, how a well's images are summarised, description
SURVEYED = (
    ("Focus", "focus", "median", "median log-log slope of the power spectrum; more negative in blurred images"),
    ("Sharpness", "sharpness", "median", "median share of the contrast within 8 pixels that is present within 3"),
    ("Saturation", "saturated", "max", "largest share of saturated pixels"),
    ("Foreground", "foreground", "median", "median share of the field that is above the plate's threshold"),
    ("Intensity", "quantile_0.5", "median", "median of the raw pixels"),
)
Value = float | int | bool | None  # of a well: False is an undefined value, None is no well
TYPES = ("negcon", "poscon", "trt", "empty")


def measures(screen: Screen, *, primary: str | None) -> list[Measure]:
    """Return the measures that are drawn; the numbers of cells or views come first.

    First axis and length of the aligned profile are drawn for every encoder; in screens with more than `MANY` wells
    only for the primary encoder.
    """
    found = []
    aligned = screen.aligned.get(primary, pd.DataFrame()) if primary else pd.DataFrame()
    if len(screen.cells):
        counted = screen.cells.rename(columns={"Cells": "Value"})
        if len(screen.wells):  # a well without any cell is a zero, not a hole
            counted = screen.wells[WELL_KEY].merge(counted, on=WELL_KEY, how="left").fillna({"Value": 0})
        found.append(_measure("Cells", "number of cells in the well", counted))
    elif "Metadata_View_Count" in aligned:
        views = aligned.rename(columns={"Metadata_View_Count": "Value"})
        found.append(_measure("Views", "number of views in the profile", views))
    others = [name for name in screen.aligned if name != primary and len(screen.wells) <= MANY]
    for encoder in (primary, *others) if primary else ():
        found += _of_profile(screen.aligned[encoder], encoder)
    if len(screen.survey):
        by_well = [screen.survey[key] for key in WELL_KEY]
        bad = (screen.survey["Metadata_Verdict"] != "keep").groupby(by_well).sum()
        found.append(_measure("Images left out", "planes that the survey excluded", bad.rename("Value").reset_index()))
        found += _of_survey(screen)
    return found


def _of_survey(screen: Screen) -> list[Measure]:
    """Return the measures of images: of each channel, or over all channels where there are many wells."""
    survey, found = screen.survey, []
    apart = survey[WELL_KEY].drop_duplicates().shape[0] * len(screen.channels) <= MANY_IMAGES
    for name, column, of, doc in SURVEYED:
        values = pd.to_numeric(pick(survey, column), errors="coerce").astype(float)
        if not values.notna().any():
            continue
        if not apart and name == "Intensity":  # stains differ in their counts
            values, doc = (
                values / values.groupby(survey["Metadata_Channel"]).transform("median"),
                f"{doc} over the channel's",
            )
        for channel in screen.channels if apart else (None,):
            mine = (survey["Metadata_Channel"] == channel) if apart else slice(None)
            by_well = (
                values[mine].groupby([survey.loc[mine, key] for key in WELL_KEY]).agg(of).rename("Value").reset_index()
            )
            title, what = (
                (f"{name}, {channel}", f"of the well's images of {channel}")
                if apart
                else (name, "of the well's images")
            )
            found.append(_measure(title, f"{doc}, {what}", by_well, low=None, group=name))
    return found


def _of_profile(aligned: pd.DataFrame, encoder: str) -> list[Measure]:
    names = tables.features(aligned)
    if not names or aligned.empty:
        return []
    matrix = aligned[names].to_numpy(dtype=float)
    good = np.isfinite(matrix).all(axis=1)
    first, length = np.full(len(matrix), np.nan), np.full(len(matrix), np.nan)
    first[good] = scatter.axes(matrix[good])[:, 0]
    length[good] = np.linalg.norm(matrix[good], axis=1)
    doc = f"of the aligned profile of {encoder}"
    return [
        _measure(
            f"Profile axis 1, {encoder}",
            f"first principal component {doc}",
            aligned[WELL_KEY].assign(Value=first),
            low=None,
        ),
        _measure(f"Profile length, {encoder}", f"Euclidean length {doc}", aligned[WELL_KEY].assign(Value=length)),
    ]


def _measure(name: str, doc: str, frame: pd.DataFrame, *, low: float | None = 0.0, group: str = "") -> Measure:
    values = frame[[*WELL_KEY, "Value"]].astype({"Value": float})
    finite = values["Value"][np.isfinite(values["Value"])]
    bottom, top = (float(part) for part in np.percentile(finite, [1, 99])) if len(finite) else (0.0, 1.0)
    bottom = bottom if low is None else low
    # one outlying well must not set the scale, but a scale without width (one bad well in a clean screen) takes its top
    top = top if top > bottom else float(finite.max()) if len(finite) and finite.max() > bottom else bottom + 1
    values = values.rename(columns={"Metadata_Plate": "Plate", "Metadata_Well": "Well"})
    return Measure(name, doc, values, bottom, top, group)


def block(screen: Screen, found: list[Measure]) -> Record:
    """Return the data from which the page draws plates.

    `plates` (name, words, left_out), `size`, `kinds` (codes of `types` per plate and well, null without a well),
    `names` (codes of `levels`, the content of the well), `measures` (name, doc, group, low, high, `values`: one list
    per plate, rows first, three digits; null without a well, false where undefined).
    """
    wells = pd.concat([*(measure.values["Well"] for measure in found), pick(screen.wells, WELL_KEY[1])])
    size = plates.shape(wells)
    kinds, names, levels = _layout(screen, size)
    sheet = screen.sheet.assign(plate=screen.sheet["plate"].astype(str)).drop_duplicates("plate").set_index("plate")
    known = [sheet.loc[plate].to_dict() if plate in sheet.index else {} for plate in screen.plates]
    words = [
        ", ".join(str(row[name]) for name in ("batch", "cell_line") if isinstance(row.get(name), str) and row[name])
        for row in known
    ]
    described = [
        {"name": plate, "words": text, "left_out": plate in screen.left_out}
        for plate, text in zip(screen.plates, words, strict=True)
    ]
    drawn = []
    for measure in found:
        by_plate = dict(list(measure.values.groupby("Plate")))
        drawn.append(
            {"name": measure.name, "doc": measure.doc, "group": measure.group}
            | {"low": _short(measure.low), "high": _short(measure.high)}
            | {"values": [_values(by_plate.get(plate), size) for plate in screen.plates]}
        )
    return {
        "plates": described,
        "size": size,
        "types": TYPES,
        "kinds": kinds,
        "names": names,
        "levels": levels,
        "measures": drawn,
    }


def _values(rows: pd.DataFrame | None, size: tuple[int, int]) -> list[Value] | None:
    if rows is None:
        return None
    values: list[Value] = [None] * (size[0] * size[1])
    for well, value in zip(rows["Well"], rows["Value"], strict=True):
        if spot := plates.position(well):
            values[spot[0] * size[1] + spot[1]] = _short(value)
    return values


def _layout(screen: Screen, size: tuple[int, int]) -> tuple[list[list[int | None]], list[list[int | None]], list[str]]:
    """Return (kinds, names, levels): one list of codes per plate, and the names that the codes of `names` stand for."""
    wells = screen.wells
    compound, dose = (
        pick(wells, "Metadata_Compound"),
        pd.to_numeric(pick(wells, "Metadata_Concentration"), errors="coerce"),
    )
    named = [
        "" if pd.isna(name) else f"{name}" if pd.isna(amount) else f"{name}, {svg.number(amount)}"
        for name, amount in zip(compound, dose, strict=True)
    ]
    levels = sorted(set(named))
    code = {name: number for number, name in enumerate(levels)}
    kinds: dict[str, list[int | None]] = {plate: [None] * (size[0] * size[1]) for plate in screen.plates}
    names = {plate: list(empty) for plate, empty in kinds.items()}
    for plate, well, kind, name in zip(
        pick(wells, WELL_KEY[0]), pick(wells, WELL_KEY[1]), pick(wells, "Metadata_pert_type"), named, strict=True
    ):
        spot = plates.position(well)
        if spot and plate in kinds:
            place = spot[0] * size[1] + spot[1]
            kinds[plate][place] = TYPES.index(kind) if kind in TYPES else TYPES.index("empty")
            names[plate][place] = code[name]
    return list(kinds.values()), list(names.values()), levels


def _short(value: float) -> float | int | bool:
    """Return a number to three digits, whole where it is; False where it is not finite."""
    if not np.isfinite(value):
        return False
    short = float(f"{value:.3g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short
