"""Classical features of the cells of a plate, field by field, in one or several processes.

Results do not depend on the number of processes. Only fields that are being measured are in memory.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from wellspring.io.ngff import PlateImages, PlateLabels
from wellspring.measure import field
from wellspring.screen.sections import Measure
from wellspring.views.fields import without_flags

logger = logging.getLogger(__name__)

AHEAD = 4  # queued fields per process, so that none waits for the slowest field


@dataclass(frozen=True)
class Setting:
    """The inputs of all fields of a plate.

    Attributes
    ----------
    images, labels
        Corrected pixels and label images.
    low, high
        (C,) counts that become 0 and 1.
    names
        Of the features, sorted.
    options
        Config section `measure`.
    """

    images: PlateImages
    labels: PlateLabels
    low: np.ndarray
    high: np.ndarray
    names: tuple[str, ...]
    options: Measure


def settle(images: PlateImages, labels: PlateLabels, intensity: pd.DataFrame, *, options: Measure) -> Setting:
    """Return the setting of a plate from its images, labels, table `intensity` and the config section `measure`."""
    limits = intensity.set_index("Metadata_Channel").loc[images.channels, ["low", "high"]].to_numpy(np.float64)
    names = tuple(field.names(images.channels, options=options))
    return Setting(images, labels, limits[:, 0], limits[:, 1], names, options)


def measure(
    setting: Setting, cells: pd.DataFrame, *, leave_out: Sequence[str] = (), workers: int = 1
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Measure the cells of a plate.

    Parameters
    ----------
    setting
        See `settle`.
    cells
        Table `cells` of the plate.
    leave_out
        Cells with any of these flags are not measured, but count as neighbours.
    workers
        Number of processes; 1 measures in this process.

    Yields
    ------
    tuple
        For each field with such cells, in the order of the images: key columns and centres of the table `embed`, and
        features (cells, names) float32, NaN where undefined.

    Raises
    ------
    RuntimeError
        A field could not be measured, or a process died; names the field, or the fields in progress.
    """
    plate, chosen = setting.images.plate, without_flags(cells, leave_out)
    by_field = dict(list(chosen.groupby(["Metadata_Well", "Metadata_Site"])))
    tasks = [(well, site, by_field[well, site]) for well, site in setting.images.fields if (well, site) in by_field]
    logger.info("%s: %d features of %d cells in %d fields", plate, len(setting.names), len(chosen), len(tasks))
    for (well, site, rows), matrix in zip(tasks, _in_order(setting, tasks, workers), strict=True):
        frame = pd.DataFrame(
            {
                "Metadata_Plate": plate,
                "Metadata_Well": well,
                "Metadata_Site": site,
                "Metadata_View": rows["Metadata_Cell"].to_numpy(np.int32),
                "Metadata_Center_Y": rows["Metadata_Center_Y"].to_numpy(np.float32),
                "Metadata_Center_X": rows["Metadata_Center_X"].to_numpy(np.float32),
            }
        )
        yield frame, matrix


def _in_order(setting: Setting, tasks: list[tuple[str, str, pd.DataFrame]], workers: int) -> Iterator[np.ndarray]:
    """Yield the features of each task, in order."""
    calls = [(setting, well, site, rows["Metadata_Cell"].to_numpy(np.int64)) for well, site, rows in tasks]
    if workers == 1 or len(calls) < 2:
        yield from (_field(*call) for call in calls)
        return
    # Spawned processes, since a forked one would lack the reading thread of zarr.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
        waiting: deque[tuple[tuple[str, str], Future[np.ndarray]]] = deque()
        try:
            for call in calls:
                waiting.append(((call[1], call[2]), pool.submit(_field, *call)))
                if len(waiting) >= AHEAD * workers:
                    yield waiting[0][1].result()
                    waiting.popleft()
            while waiting:
                yield waiting[0][1].result()
                waiting.popleft()
        except BrokenExecutor as error:
            fields = ", ".join(f"{well} site {site}" for (well, site), _ in waiting)
            plate = setting.images.plate
            raise RuntimeError(f"{plate}: a process died, probably out of memory, in one of {fields}") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _field(setting: Setting, well: str, site: str, numbers: np.ndarray) -> np.ndarray:
    """Return the features (numbers, names) float32 of one field."""
    images = setting.images
    try:
        counts = images.read(well, site).astype(np.float64)
        nuclei, cells = (setting.labels.read(well, site, name) for name in ("nuclei", "cells"))
        lost = numbers[~(np.isin(numbers, nuclei) | np.isin(numbers, cells))]
        if len(lost):
            raise ValueError(f"cells {lost[:10].tolist()} of the table are not in the label images")
        low, high = (limit[:, None, None] for limit in (setting.low, setting.high))
        pixels = np.maximum(counts - low, 0) / (high - low)
        found = field.measure(pixels, nuclei, cells, numbers=numbers, channels=images.channels, options=setting.options)
    except Exception as error:
        raise RuntimeError(f"{images.plate} {well} site {site}: could not be measured: {error}") from error
    nothing = np.full(len(numbers), np.nan, dtype=np.float32)
    return np.stack([found.get(name, nothing) for name in setting.names], axis=1)


def _alone() -> None:
    """Limit linear algebra to one thread per process, since there are as many processes as cores."""
    threadpool_limits(1)
