"""Pack a plate's ready-made crops: the array and the table of the rule `crops`, and the intensity scale of the plate.

All crops are packed; those of the training sample are marked, drawn as the rule `crops` draws. A crop that cannot be
used is left out with its reason: missing, unreadable, truncated, of another type or shape, too small, or blank.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from wellspring.cells.ready import listing
from wellspring.cells.ready.pixels import Crops
from wellspring.cells.ready.settings import Settings
from wellspring.io import packed, raw_image
from wellspring.io.disk import reserve
from wellspring.io.notes import Note
from wellspring.io.progress import track
from wellspring.io.tables import Verdict, atomic
from wellspring.views import crops as sampling
from wellspring.views import intensity

logger = logging.getLogger(__name__)

SHOWN = 5  # crops of a kind of loss that the log names
BLOCK = 1024  # crops whose grey values are counted at once


@dataclass(frozen=True)
class Ready:
    """The packed crops of a plate.

    ``table`` as of the rule `crops`, one row per usable crop; ``intensity`` one row per channel; the plate's verdict;
    ``lost``: reason to number of crops that were left out.
    """

    table: pd.DataFrame
    intensity: pd.DataFrame
    verdict: Verdict
    lost: dict[str, int]


def opened(settings: Settings, folder: str, plate: str) -> tuple[listing.Listing, Crops]:
    """Return the listing of a plate's crops and their pixels; `ValueError` as of both."""
    given, roots = settings.crops.given, settings.roots
    listed = listing.read(given, folder, plate=plate, channels=settings.order, roots=roots)
    count = len(settings.order)
    pixels = Crops(folder, listed.array, layout=given.layout, channels=count, rules=settings.rules, roots=roots)
    if pixels.array is not None and listed.counted and len(pixels.array) != listed.total:
        found = f"{listed.total} rows in {listed.table} and {len(pixels.array)} crops in {listed.array}"
        raise ValueError(
            f"{plate}: expected a row for each crop, found {found} (crops.given.columns.item numbers them)"
        )
    return listed, pixels


def pack(
    path: str | Path,
    *,
    folder: str,
    plate: str,
    wells: Sequence[str],
    settings: Settings,
    batch: str = "",
    verdict: Verdict | None = None,
    threads: int = 1,
) -> Ready:
    """Pack the crops of a plate at `path`, (N, C, size, size) uint16; rows of crops that are left out are zeros.

    Parameters
    ----------
    folder
        The plate's folder, as the sheet names it.
    wells
        The wells of the plate's index.
    settings
        Of the config.
    batch, verdict
        Of the plate.
    threads
        Crops that are read at a time.

    Raises
    ------
    ValueError
        As `wellspring.cells.ready.listing.read`; wells that the platemap lacks, where `index.lost_wells` is error.
    """
    listed, pixels = opened(settings, folder, plate)
    rows = known(listed.rows, wells, settings.lost_wells, f"{listed.table}: plate {plate}")
    size, channels = settings.edge, list(settings.channels)
    chosen = [settings.order.index(name) for name in channels]
    files, items = rows["files"].tolist(), rows["item"].tolist()
    counts = np.zeros((len(chosen), intensity.LEVELS), dtype=np.int64)
    reasons: list[str] = []
    with atomic(path) as temporary:
        shape = (len(rows), len(chosen), size, size)
        array = open_memmap(temporary, mode="w+", dtype=np.uint16, shape=shape)
        reserve(temporary)

        def one(number: int) -> str:
            try:
                array[number] = middle(pixels.read(files[number], items[number]), size)[chosen]
            except raw_image.PlaneError as error:
                return f"{error.status}: {error}"
            return ""

        with ThreadPoolExecutor(max(1, threads)) as pool:
            reasons += track(pool.map(one, range(len(rows))), total=len(rows), unit="crops")
        good = np.array([not reason for reason in reasons], dtype=bool)
        for start in range(0, len(rows), BLOCK):
            block = array[start : start + BLOCK][good[start : start + BLOCK]]
            if len(block):
                intensity.counts(np.moveaxis(block, 1, 0).reshape(len(chosen), -1, size), out=counts)
        array.flush()
        packed.seal(temporary)
    lost = _tally(reasons, plate)
    table = rows.drop(columns=["files", "item"]).assign(Metadata_Plate=plate, Metadata_Batch=batch, Metadata_Flags="")
    table["Metadata_Row"] = np.arange(len(rows), dtype=np.int64)
    table = _sampled(table[good], settings)
    limits = {"low": settings.low, "high": settings.high}
    fields = len(table[["Metadata_Well", "Metadata_Site"]].drop_duplicates())
    scale = intensity.summarise(counts, plate=plate, channels=channels, fields=fields, **limits)
    judged = _judged(verdict or Verdict(), len(rows), sum(lost.values()), settings.max_excluded)
    logger.info("%s: %d of %d crops packed, %d px", plate, len(table), len(rows), size)
    return Ready(table, scale.assign(Metadata_Pixel_Size=np.nan), judged, lost)


def middle(crop: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the middle (C, size, size) of a crop; `PlaneError` if it is smaller, or of one value per channel."""
    height, width = crop.shape[1:]
    if min(height, width) < size:
        found = f"{height} x {width} px"
        raise raw_image.PlaneError("shape", f"expected a crop of {size} px (crops.size) or more, found {found}")
    if (crop == crop[:, :1, :1]).all():
        raise raw_image.PlaneError("blank", "each channel has one grey value")
    top, left = (height - size) // 2, (width - size) // 2
    return crop[:, top : top + size, left : left + size]


def known(rows: pd.DataFrame, wells: Sequence[str], lost_wells: str, where: str) -> pd.DataFrame:
    """Return the crops of known wells; others are an error, or are left out with a warning."""
    strange = sorted(set(rows["Metadata_Well"]) - set(wells))
    if not strange:
        return rows
    message = f"{where}: {len(strange)} wells have crops and no row in the platemap: {strange}"
    if lost_wells == "error":
        raise ValueError(f"{message} (index.lost_wells: report leaves them out)")
    logger.warning("%s: left out", message)
    return rows[~rows["Metadata_Well"].isin(strange)].reset_index(drop=True)


def _sampled(table: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Mark the training sample."""
    drawn = sampling.sample(table, seed=settings.seed, cells_per_well=settings.crops.cells_per_well)
    key = listing.CELL
    chosen = pd.MultiIndex.from_frame(table[key]).isin(pd.MultiIndex.from_frame(drawn[key]))
    return table.drop(columns="Metadata_Flags").assign(Metadata_Sample=chosen).reset_index(drop=True)


def _tally(reasons: Sequence[str], plate: str) -> dict[str, int]:
    """Return reason to number of crops, and log the first of each."""
    lost = [reason for reason in reasons if reason]
    counts = dict(sorted(Counter(reason.partition(":")[0] for reason in lost).items()))
    for kind, count in counts.items():
        shown = [reason for reason in lost if reason.startswith(f"{kind}:")][:SHOWN]
        logger.warning("%s: %d crops left out: %s", plate, count, "; ".join(shown))
    return counts


def _judged(verdict: Verdict, count: int, lost: int, limit: float) -> Verdict:
    if lost > limit * count or not count:
        return verdict.because(Note("crops_lost", {"lost": lost, "crops": count, "limit": limit}))
    return verdict
