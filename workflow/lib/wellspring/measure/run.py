"""A plate in, hand-made features of its cells out, one part a field; several processes measure fields side by side.

Nothing depends on the number of processes but the time; no more fields are held than are being measured.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from wellspring.io.ngff import PlateImages, PlateLabels
from wellspring.measure import field
from wellspring.views.fields import without_flags

logger = logging.getLogger(__name__)

AHEAD = 4  # fields a process that wait or are done, so that none waits for the slowest


@dataclass(frozen=True)
class Setting:
    """What every field of a plate is measured with; `low` and `high` (C,) are the counts that become 0 and 1."""

    images: PlateImages
    labels: PlateLabels
    low: np.ndarray
    high: np.ndarray
    names: tuple[str, ...]
    options: Mapping[str, object]


def settle(
    images: PlateImages, labels: PlateLabels, intensity: pd.DataFrame, *, options: Mapping[str, object]
) -> Setting:
    """Return the setting of a plate from its stores, its table `intensity` and the config section `measure`."""
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
        Cells with one of these flags are left out, except as neighbours of others.
    workers
        Processes; 1 measures in this one.

    Yields
    ------
    tuple
        For each field with such cells, in the order of the store: the key columns and centres of table `embed`, and the
        features (cells, names) float32, NaN where undefined.

    Raises
    ------
    RuntimeError
        Names the field that could not be measured, or those under way when a process died.
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
    """Yield the features of each task, in their order."""
    calls = [(setting, well, site, rows["Metadata_Cell"].to_numpy(np.int64)) for well, site, rows in tasks]
    if workers == 1 or len(calls) < 2:
        yield from (_field(*call) for call in calls)
        return
    # Fresh processes: the store keeps a thread for reading, which a forked one would not have.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
        waiting: deque = deque()
        try:
            for call in calls:
                waiting.append((call[1:3], pool.submit(_field, *call)))
                if len(waiting) >= AHEAD * workers:
                    yield waiting[0][1].result()
                    waiting.popleft()
            while waiting:
                yield waiting[0][1].result()
                waiting.popleft()
        except BrokenExecutor as error:
            fields = ", ".join(f"{well} site {site}" for (well, site), _ in waiting)
            plate = setting.images.plate
            raise RuntimeError(f"{plate}: a process died, perhaps for want of memory; one of {fields}") from error
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
            raise ValueError(f"expected the cells of the table in the label images, found none of {lost[:10].tolist()}")
        low, high = (limit[:, None, None] for limit in (setting.low, setting.high))
        pixels = np.maximum(counts - low, 0) / (high - low)
        options = {"numbers": numbers, "channels": images.channels, "options": setting.options}
        found = field.measure(pixels, nuclei, cells, **options)
    except Exception as error:
        raise RuntimeError(f"{images.plate} {well} site {site}: could not be measured: {error}") from error
    nothing = np.full(len(numbers), np.nan, dtype=np.float32)
    return np.stack([found.get(name, nothing) for name in setting.names], axis=1)


def _alone() -> None:
    """Keep the linear algebra of one process to one thread: there are as many processes as cores."""
    threadpool_limits(1)
