"""Survey a plate: read every raw image once, measure its quality and bin it.

A plane that is missing, damaged, incomplete, blank, a copy of another image, saturated, blurred or unlike the rest of
its plate is excluded, and its whole site with it (:func:`kept`); the reason is a note (:mod:`wellspring.io.notes`). A
person's exclusion list is applied last (:mod:`wellspring.screen.exclusions`). A plate that loses too many sites gets a
verdict, not an exception.
"""

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wellspring.io import object_store, raw_image
from wellspring.io.ahead import REQUESTS, ahead
from wellspring.io.keys import PLANE_KEY, SITE_KEY
from wellspring.io.notes import Note, loads
from wellspring.io.progress import track
from wellspring.io.tables import Verdict
from wellspring.screen import exclusions, sections
from wellspring.survey import ceiling, focus, suspect
from wellspring.survey.unlike import unlike
from wellspring.views import binning
from wellspring.views.cutting import foreground_threshold

logger = logging.getLogger(__name__)

BLUR = ("focus", "sharpness")  # judged on the sharpest plane of a stack; only low values are a fault
MEASURES = [*(f"quantile_{share}" for share in focus.QUANTILES), "mean", "saturated", *BLUR, "foreground"]
FEWEST = 12  # images per channel below which the median and the MAD are too uncertain to call an outlier
PIXEL_SIZE = "Metadata_Pixel_Size"


@dataclass(frozen=True)
class Survey:
    """The survey of a plate.

    ``table`` as in the schema; ``views`` (rows, h, w) float32, the binned planes in the table's order, NaN for a plane
    that could not be used; ``verdict`` of the plate.
    """

    table: pd.DataFrame
    views: np.ndarray
    verdict: Verdict


def run(
    index: pd.DataFrame,
    folder: Path | str,
    *,
    options: sections.Survey,
    verdict: Verdict | None = None,
    listed: pd.DataFrame | None = None,
    rules: raw_image.Rules = raw_image.USUAL,
    threads: int = 1,
    named: Callable[[str], str] = str,
) -> Survey:
    """Survey a plate.

    Parameters
    ----------
    index
        The plate's index, as in the schema.
    folder
        Folder or URL to which the index's paths are relative.
    options
        The section ``survey`` of the config.
    verdict
        The plate's verdict so far, from the index.
    listed
        A person's exclusion list, from :func:`wellspring.screen.exclusions.read`; lines about other plates are ignored.
    rules
        What the config states about raw pixels.
    threads
        Planes that are read at a time.
    named
        Gives the name of a reason, a note as text, for the log.

    Raises
    ------
    ValueError
        ``listed`` names a well or site that the index does not have.
    """
    index = index.sort_values(PLANE_KEY, kind="stable", ignore_index=True)
    said = exclusions.decide(exclusions.read(None) if listed is None else listed, index[SITE_KEY])
    sizes = (index[PIXEL_SIZE] if PIXEL_SIZE in index else pd.Series(np.nan, index.index)).to_numpy(dtype=float)

    paths = index["Metadata_Path"].astype(object).where(index["Metadata_Path"].notna(), None).tolist()
    pages = index["Metadata_Page"].astype(int).tolist()

    def read(number: int) -> tuple[int, raw_image.Plane]:
        return number, raw_image.status(folder, paths[number], pages[number], rules=rules)

    def look(found: tuple[int, raw_image.Plane]) -> tuple[dict[str, object], np.ndarray | None]:
        number, plane = found
        path = paths[number]
        try:
            row, view = _row(plane, options), _view(plane, options.view_edge)
        except MemoryError as error:  # one image of great size must not end the plate
            plane = raw_image.Plane(
                "unreadable", str(Note("unreadable", {"detail": f"{path}: out of memory: {error}"}))
            )
            row, view = _row(plane, options), None
        row["size"] = options.pixel_size or (sizes[number] if np.isfinite(sizes[number]) else plane.pixel_size)
        return row, view

    found, views = [], []
    if object_store.is_url(object_store.home(folder)) or any(map(object_store.is_url, paths)):
        planes = ahead(read, range(len(index)), threads=REQUESTS, size=_bytes)
        looked = ahead(look, planes, threads=threads)
    else:
        looked = ahead(lambda number: look(read(number)), range(len(index)), threads=threads)
    for row, view in track(looked, total=len(index), unit="images"):
        found.append(row)
        views.append(view)
    columns = ["status", "reason", "height", "width", "dtype", "pages", "size", *suspect.COLUMNS, *MEASURES]
    rows = pd.DataFrame(found, columns=[*columns, *ceiling.COLUMNS])
    rows = unlike(rows, alone=~index["Metadata_Path"].duplicated(keep=False))
    stack = _stacked(views, (rows["status"] == "ok").to_numpy())
    rows = _saturated(rows, index["Metadata_Channel"], options)
    rows["foreground"] = _foreground(stack, index["Metadata_Channel"].to_numpy())
    rows["reason"] = _reasons(rows, index, options)
    table = exclusions.apply(_named(index, rows), said)
    for count, code, reason in _tally(table):
        logger.info("%d planes excluded: %s (%s)", count, named(reason), code)
    verdict = verdict or Verdict()
    if len(said) and (said["whole"] & (said["verdict"] == "exclude")).all():
        why = said["reason"].iloc[0]
        return Survey(table, stack, verdict.because(Note("plate_listed", {"reason": why} if why else {})))
    verdict = suspect.judge(table, verdict)
    return Survey(table, stack, judge(table, index, max_excluded=options.max_excluded, verdict=verdict))


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """Return the sites of a survey none of whose planes is excluded: columns Plate, Well, Site, sorted."""
    keep = (table["Metadata_Verdict"] == "keep").groupby([table[column] for column in SITE_KEY]).all()
    return keep[keep].reset_index()[SITE_KEY]


def judge(table: pd.DataFrame, index: pd.DataFrame, *, max_excluded: float, verdict: Verdict) -> Verdict:
    """Return the verdict of a plate after its survey.

    The plate is left out if the share of excluded sites exceeds ``max_excluded``, or if no site of a negative control
    well is left.
    """
    sites = len(table[SITE_KEY].drop_duplicates())
    left = kept(table)
    lost = sites - len(left)
    if sites == 0 or lost > max_excluded * sites:
        counts = {"excluded": lost, "sites": sites, "limit": max_excluded}
        verdict = verdict.because(Note("too_many_sites_excluded", counts))
    controls = set(index.loc[index["Metadata_pert_type"] == "negcon", "Metadata_Well"])
    if controls and not controls & set(left["Metadata_Well"]):
        verdict = verdict.because(Note("controls_excluded", {"wells": len(controls)}))
    return verdict


def _bytes(found: tuple[int, raw_image.Plane]) -> int:
    """Return the bytes of a plane's pixels."""
    pixels = found[1].pixels
    return 0 if pixels is None else pixels.nbytes


def _row(plane: raw_image.Plane, options: sections.Survey) -> dict[str, object]:
    row: dict[str, object] = {"status": plane.status, "reason": plane.reason}
    if plane.pixels is not None:
        row |= {"height": plane.pixels.shape[0], "width": plane.pixels.shape[1], "dtype": plane.pixels.dtype.name}
        row |= {"pages": plane.pages, **suspect.measure(plane.pixels)}
        row |= focus.measure(plane.pixels, saturation=options.saturation)
    return row


def _view(plane: raw_image.Plane, edge: int) -> np.ndarray | None:
    if plane.pixels is None:
        return None
    return binning.bin_area(plane.pixels, binning.shape_of(*plane.pixels.shape, edge=edge))


def _saturated(rows: pd.DataFrame, channels: pd.Series, options: sections.Survey) -> pd.DataFrame:
    """Give each plane its ceiling, and the share of its pixels there; with `survey.saturation`, that is the ceiling."""
    if options.saturation is not None:
        return rows.assign(ceiling=float(options.saturation))
    usable = rows.assign(**{ceiling.TOP: rows[ceiling.TOP].where(rows["status"] == "ok")})
    return ceiling.clipped(usable, channels)


def _stacked(found: list[np.ndarray | None], good: np.ndarray) -> np.ndarray:
    shape = next((view.shape for view, ok in zip(found, good, strict=True) if ok and view is not None), (1, 1))
    stack = np.empty((len(found), *shape), dtype=np.float32)
    for number, ok in enumerate(good):
        stack[number] = found[number] if ok else np.nan
        found[number] = None  # frees the view, so that memory holds each once
    return stack


def _foreground(stack: np.ndarray, channels: np.ndarray) -> np.ndarray:
    share = np.full(len(stack), np.nan)
    for channel in np.unique(channels):
        rows = np.flatnonzero((channels == channel) & np.isfinite(stack).all(axis=(1, 2)))
        share[rows] = (stack[rows] > foreground_threshold(stack[rows])).mean(axis=(1, 2))
    return share


def _reasons(rows: pd.DataFrame, index: pd.DataFrame, options: sections.Survey) -> list[str]:
    """Return the note of each plane as text, empty for a kept one: how reading failed, or the first limit exceeded."""
    reasons = rows["reason"].copy()
    stack = [index[column] for column in (*SITE_KEY, "Metadata_Channel")]
    values = rows[MEASURES].astype(float)
    for measure in BLUR:
        values[measure] = values[measure].groupby(stack).transform("max")

    def exclude(where: pd.Series, notes: list[Note]) -> None:
        first = where & (reasons == "")
        reasons[first] = pd.Series([str(note) for note in notes], index=rows.index[where], dtype=object)[first[where]]

    exclude(*suspect.incomplete(rows))
    exclude(*suspect.copies(rows, index))
    over = values["saturated"] > options.max_saturated
    exclude(over, [_saturation(row, options) for row in rows[over].to_dict("records")])
    for measure, limit in (("focus", options.min_focus), ("sharpness", options.min_sharpness)):
        if limit is not None:
            under = values[measure] < limit
            found = values[measure][under]
            exclude(under, [Note(f"low_{measure}", {"value": _short(value), "limit": limit}) for value in found])
    for measure, limit in dataclasses.asdict(options.outliers).items():
        if limit is not None:
            exclude(*_outliers(values[measure].where(rows["status"] == "ok"), index, measure=measure, limit=limit))
    return [str(reason) for reason in reasons]


def _saturation(row: dict[Hashable, Any], options: sections.Survey) -> Note:
    """Return the note of a saturated plane, with its ceiling where that is not the largest value of its data type."""
    values = {"share": _short(row["saturated"]), "limit": options.max_saturated}
    found = options.saturation is None and np.isfinite(row["ceiling"]) and row["ceiling"] < np.iinfo(row["dtype"]).max
    return Note("saturated", values | ({"ceiling": int(row["ceiling"])} if found else {}))


def _outliers(values: pd.Series, index: pd.DataFrame, *, measure: str, limit: float) -> tuple[pd.Series, list[Note]]:
    """Return the planes more than `limit` robust standard deviations from their channel's median, with a note each.

    A robust standard deviation is 1.4826 times the MAD. Of a measure of blur, only values below the median count.
    """
    alike = [index["Metadata_Channel"], index["Metadata_Plane"]]
    count, median = (values.groupby(alike).transform(name) for name in ("count", "median"))
    spread = 1.4826 * (values - median).abs().groupby(alike).transform(
        "median"
    )  # of a normal distribution: its standard deviation
    away = ((values - median) / spread).where((spread > 0) & (count >= FEWEST))
    far = (away < -limit) if measure in BLUR else (away.abs() > limit)
    parts = zip(values[far], away[far], median[far], index["Metadata_Channel"][far], strict=True)
    return far, [
        Note(
            "outlier",
            {
                "measure": measure,
                "value": _short(value),
                "deviations": round(float(z), 1),
                "channel": channel,
                "median": _short(middle),
                "limit": limit,
            },
        )
        for value, z, middle, channel in parts
    ]


def _short(value: float) -> float:
    """Return a number to three significant digits, as notes hold it."""
    return float(f"{value:.3g}")


def _named(index: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    table = index[PLANE_KEY].copy()
    table["Metadata_Status"] = rows["status"]
    table["Metadata_Height"] = rows["height"].astype("Int32")
    table["Metadata_Width"] = rows["width"].astype("Int32")
    table["Metadata_Dtype"] = rows["dtype"].astype(object).where(rows["dtype"].notna(), None)
    table["Metadata_Pixel_Size"] = rows["size"].astype("float64")
    table["Metadata_Verdict"] = np.where(rows["reason"] == "", "keep", "exclude")
    table["Metadata_Reason"] = rows["reason"]
    table["Metadata_Ceiling"] = rows["ceiling"].astype("float32")
    table[suspect.DIGEST] = rows[suspect.DIGEST].astype(object).where(rows[suspect.DIGEST].notna(), None)
    table[suspect.ZERO_ROWS] = rows[suspect.ZERO_ROWS].astype("Int32")
    return table.join(rows[MEASURES].astype("float32"))


def _tally(table: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Return the number of excluded planes by the code of their first note: number, code, that note of one plane."""
    texts = table.loc[table["Metadata_Verdict"] == "exclude", "Metadata_Reason"]
    firsts = [loads(text)[0] for text in texts]
    counts, examples = Counter(note.code for note in firsts), {note.code: str(note) for note in firsts}
    return [(count, code, examples[code]) for code, count in sorted(counts.items())]
