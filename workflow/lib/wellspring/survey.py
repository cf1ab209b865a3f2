"""One read of every raw image: index in; a row of quality and a binned view for each plane out.

A plane that is missing, damaged, blank, saturated or unlike the rest of its plate is excluded with the reason in words,
and its whole site with it (:func:`kept`). A plate that loses too much gets a verdict, not an exception.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring import binning, planes, quality
from wellspring.index import KEY
from wellspring.tables import Verdict
from wellspring.views import foreground_threshold

logger = logging.getLogger(__name__)

MEASURES = [*(f"quantile_{share}" for share in quality.QUANTILES), "mean", "saturated", "focus", "foreground"]
SITE = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]


@dataclass(frozen=True)
class Survey:
    """``table`` as in the schema, ``views`` (rows, h, w) float32 in its order (NaN for a bad plane), the verdict."""

    table: pd.DataFrame
    views: np.ndarray
    verdict: Verdict


def run(
    index: pd.DataFrame,
    folder: Path | str,
    *,
    options: Mapping[str, object],
    verdict: Verdict | None = None,
    threads: int = 1,
) -> Survey:
    """Survey a plate; ``options`` is the section ``survey`` of the config, ``verdict`` what the index said."""
    index = index.sort_values(KEY, kind="stable", ignore_index=True)

    def look(number: int) -> tuple[dict[str, object], np.ndarray | None]:
        row = index.loc[number]
        path = None if pd.isna(row["Metadata_Path"]) else row["Metadata_Path"]
        plane = planes.status(folder, path, int(row["Metadata_Page"]))
        return _row(plane, options), _view(plane, int(options["view_edge"]))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = list(pool.map(look, range(len(index))))
    columns = ["status", "reason", "height", "width", "dtype", "size", *MEASURES]
    rows = pd.DataFrame([row for row, _ in found], columns=columns)
    rows = _unlike(rows)
    stack = _stacked([view for _, view in found], (rows["status"] == "ok").to_numpy())
    rows["foreground"] = _foreground(stack, index["Metadata_Channel"].to_numpy())
    rows["reason"] = [row["reason"] or _judge(row, options) for row in rows.to_dict("records")]
    table = _named(index, rows)
    for count, reason in _tally(table):
        logger.info("%d planes excluded: %s", count, reason)
    return Survey(table, stack, judge(table, index, max_excluded=options["max_excluded"], verdict=verdict or Verdict()))


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """Return the sites of a survey none of whose planes is excluded: columns Plate, Well, Site, sorted."""
    keep = (table["Metadata_Verdict"] == "keep").groupby([table[column] for column in SITE]).all()
    return keep[keep].reset_index()[SITE]


def judge(table: pd.DataFrame, index: pd.DataFrame, *, max_excluded: float, verdict: Verdict) -> Verdict:
    """Add to a plate's verdict what its survey says: too many sites excluded, or no site of a negative control left."""
    sites = len(table[SITE].drop_duplicates())
    left = kept(table)
    lost = sites - len(left)
    if sites == 0 or lost > max_excluded * sites:
        share = lost / sites if sites else 1.0
        verdict = verdict.because(
            f"{lost} of {sites} sites excluded ({share:.1%}), more than survey.max_excluded ({max_excluded:.0%})"
        )
    controls = set(index.loc[index["Metadata_pert_type"] == "negcon", "Metadata_Well"])
    if controls and not controls & set(left["Metadata_Well"]):
        verdict = verdict.because(f"all sites of the {len(controls)} negative control wells are excluded")
    return verdict


def _row(plane: planes.Plane, options: Mapping[str, object]) -> dict[str, object]:
    row: dict[str, object] = {"status": plane.status, "reason": plane.reason}
    if plane.pixels is not None:
        row |= {"height": plane.pixels.shape[0], "width": plane.pixels.shape[1], "dtype": plane.pixels.dtype.name}
        row |= {"size": options["pixel_size"] or plane.pixel_size}
        row |= quality.measure(plane.pixels, saturation=options["saturation"])
    return row


def _view(plane: planes.Plane, edge: int) -> np.ndarray | None:
    if plane.pixels is None:
        return None
    return binning.bin_area(plane.pixels, binning.shape_of(*plane.pixels.shape, edge=edge))


def _unlike(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the status shape or dtype to planes that differ from most of the plate."""
    rows = rows.copy()
    for columns, status in ((["height", "width"], "shape"), (["dtype"], "dtype")):
        read = rows[rows["status"] == "ok"]
        if read.empty:
            continue
        usual = read[columns].value_counts().sort_index().idxmax()
        for number, values in zip(read.index, read[columns].itertuples(index=False, name=None), strict=True):
            if values != usual:
                found, most = (" x ".join(str(value).removesuffix(".0") for value in pair) for pair in (values, usual))
                rows.loc[number, ["status", "reason"]] = [status, f"{status}: {found}, where the plate has {most}"]
    return rows


def _stacked(found: list[np.ndarray | None], good: np.ndarray) -> np.ndarray:
    shape = next((view.shape for view, ok in zip(found, good, strict=True) if ok), (1, 1))
    stack = np.full((len(found), *shape), np.nan, dtype=np.float32)
    for number in np.flatnonzero(good):
        stack[number] = found[number]
    return stack


def _foreground(stack: np.ndarray, channels: np.ndarray) -> np.ndarray:
    share = np.full(len(stack), np.nan)
    for channel in np.unique(channels):
        rows = np.flatnonzero((channels == channel) & np.isfinite(stack).all(axis=(1, 2)))
        share[rows] = (stack[rows] > foreground_threshold(stack[rows])).mean(axis=(1, 2))
    return share


def _judge(row: Mapping[str, object], options: Mapping[str, object]) -> str:
    """Return why a plane that was read well is excluded all the same, or nothing."""
    if row["saturated"] > options["max_saturated"]:
        return f"saturated: {row['saturated']:.1%} of the pixels, more than {options['max_saturated']:.1%}"
    if options["min_focus"] is not None and row["focus"] < options["min_focus"]:
        return f"focus: log-log slope {row['focus']:.2f}, below {options['min_focus']:g}"
    return ""


def _named(index: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    table = index[KEY].copy()
    table["Metadata_Status"] = rows["status"]
    table["Metadata_Height"] = rows["height"].astype("Int32")
    table["Metadata_Width"] = rows["width"].astype("Int32")
    table["Metadata_Dtype"] = rows["dtype"].astype(object).where(rows["dtype"].notna(), None)
    table["Metadata_Pixel_Size"] = rows["size"].astype("float64")
    table["Metadata_Verdict"] = np.where(rows["reason"] == "", "keep", "exclude")
    table["Metadata_Reason"] = rows["reason"]
    return table.join(rows[MEASURES].astype("float32"))


def _tally(table: pd.DataFrame) -> list[tuple[int, str]]:
    reasons = table.loc[table["Metadata_Verdict"] == "exclude", "Metadata_Reason"].str.split(":").str[0]
    return [(int(count), str(reason)) for reason, count in reasons.value_counts().sort_index().items()]
