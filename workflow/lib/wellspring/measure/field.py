"""Classical features of the cells of one field, by cp_measure (Munoz et al. 2025) under the names of CellProfiler.

Nuclei, cells and cytoplasm (the cell without nuclei) are measured in every channel. Cytoplasm and nuclei share no
pixel, so one label image holds both: features of the whole image (granularity) run twice per channel, not three times.
Features of an absent object, and features that cp_measure leaves undefined, are NaN.
"""

import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from cp_measure import bulk
from cp_measure.multimask.measureobjectneighbors import measureobjectneighbors

from wellspring.screen.sections import Measure

FAMILIES = ("intensity", "shape", "texture", "granularity", "radial", "correlation", "costes", "neighbours")
NEIGHBOURS = ("NumberOfNeighbors", "PercentTouching", "FirstClosestDistance")
SECOND = ("SecondClosestDistance", "AngleBetweenNeighbors")  # undefined with one neighbour
GREY = 255  # steps of Costes' search: grey levels of the clipped pixels, much finer than the thresholds are stable
# Left out: positions, boxes and angles, which are not a phenotype; the moments are 0 / 0 by definition.
LEFT_OUT = re.compile(
    r"_Location_|Center_[XYZ]$|BoundingBox(Minimum|Maximum)_|Orientation$|ZernikePhase_|NormalizedMoment_(0_0|0_1|1_0)$"
)
Values = Iterator[tuple[str, np.ndarray]]


def measure(
    pixels: np.ndarray,
    nuclei: np.ndarray,
    cells: np.ndarray,
    *,
    numbers: np.ndarray,
    channels: Sequence[str],
    options: Measure,
) -> dict[str, np.ndarray]:
    """Measure the cells of a field.

    Parameters
    ----------
    pixels
        (C, H, W) float64 without negative values. 0 and 1 are the intensity limits of the plate; brighter pixels are
        above 1 (texture and Costes, which need grey levels, clip them).
    nuclei, cells
        (H, W) unsigned labels with common numbers, 0 is background.
    numbers
        (n,) cells to measure; other cells count as neighbours only.
    channels
        Names of the C channels.
    options
        Config section `measure`.

    Returns
    -------
    dict
        Feature to (n,) float32 in the order of `numbers`. Features that no chosen cell of the field has are absent;
        `names` returns all possible names.
    """
    numbers = np.asarray(numbers, dtype=np.int64)
    columns: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # Undefined values are NaN by contract; aggregation counts them.
        warnings.simplefilter("ignore", RuntimeWarning)
        for labels, owners in _layers(nuclei, cells, numbers):
            for name, values in _features(labels, pixels, channels, options):
                for kind, (own, rows) in owners.items():
                    column = np.full(len(numbers), np.nan, dtype=np.float32)
                    column[rows] = np.asarray(values, dtype=np.float64)[own]
                    columns[f"{kind}_{name}"] = column
        if "neighbours" in options.families:
            columns |= _neighbours(cells, numbers)
    for column in columns.values():
        column[~np.isfinite(column)] = np.nan
    return {name: columns[name] for name in sorted(columns) if not LEFT_OUT.search(name)}


def names(channels: Sequence[str], *, options: Measure) -> list[str]:
    """Return the sorted names of the features, by measuring a field with one cell."""
    cells = np.zeros((48, 48), dtype=np.uint32)
    cells[8:40, 8:40] = 1
    nuclei = np.zeros_like(cells)
    nuclei[16:32, 16:32] = 1
    pixels = np.random.default_rng(0).random((len(channels), *cells.shape))
    return list(measure(pixels, nuclei, cells, numbers=np.array([1]), channels=channels, options=options))


def _layers(
    nuclei: np.ndarray, cells: np.ndarray, numbers: np.ndarray
) -> Iterator[tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]]:
    """Yield label images (H, W) int32 with labels 1 to m without gaps, and their owners.

    The owners are, per kind of object, the indices among the m labels and the rows in `numbers` they belong to.
    """
    cytoplasm = np.where(nuclei == 0, cells, 0)
    for parts in ({"Cells": cells}, {"Cytoplasm": cytoplasm, "Nuclei": nuclei}):
        labels, owners, count = np.zeros(cells.shape, dtype=np.int32), {}, 0
        for kind, image in parts.items():
            present = np.bincount(image.ravel(), minlength=int(numbers.max(initial=0)) + 1)[numbers] > 0
            rows = np.flatnonzero(present)
            owners[kind] = np.arange(count, count + len(rows)), rows
            place = np.zeros(int(image.max(initial=0)) + 1, dtype=np.int32)
            place[numbers[rows]] = owners[kind][0] + 1
            labels += place[image]
            count += len(rows)
        yield labels, owners


def _features(labels: np.ndarray, pixels: np.ndarray, channels: Sequence[str], options: Measure) -> Values:
    """Yield (name without the object, values of the labels 1 to m) of all families except the neighbours."""
    families = options.families
    if "shape" in families:
        for function in ("sizeshape", "zernike", "feret"):
            for key, values in _call(function, labels, None):
                yield f"AreaShape_{key}", values
    for channel, image in zip(channels, pixels, strict=True):
        for family in families:
            for key, values in _of_channel(family, labels, image, options):
                yield _named(key, channel), values
    for (one, first), (other, second) in itertools.combinations(zip(channels, pixels, strict=True), 2):
        for key, values in _of_pair(families, labels, first, second):
            # Directed features end in 1 for first to second channel, and in 2 for second to first.
            group, feature, *which = key.replace("Correlation_Pearson", "Correlation_Correlation").split("_")
            yield "_".join((group, feature, *((other, one) if which == ["2"] else (one, other)))), values


def _of_channel(family: str, labels: np.ndarray, image: np.ndarray, options: Measure) -> Values:
    if family == "intensity":
        yield from _call("intensity", labels, image)
    elif family == "texture":
        clipped = np.minimum(image, 1.0)
        for scale in options.texture_scales:
            for key, values in _call("texture", labels, clipped, scale=scale, gray_levels=options.texture_levels):
                yield f"Texture_{key}", values
    elif family == "granularity":
        sizes = {"subsample_size": options.granularity_subsample, "element_size": options.granularity_radius}
        length = options.granularity_length
        yield from _call("granularity", labels, image, granular_spectrum_length=length, **sizes)
    elif family == "radial":
        yield from _call("radial_distribution", labels, image, bin_count=options.radial_bins)
        yield from _call("radial_zernikes", labels, image)


def _of_pair(families: Sequence[str], labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> Values:
    functions = bulk.get_correlation_measurements(sanitize=False)
    if not labels.any():
        return
    if "correlation" in families:
        for function in ("pearson", "manders_fold", "rwc"):
            yield from functions[function](first, second, labels).items()
    if "costes" in families:
        clipped = np.minimum(first, 1.0), np.minimum(second, 1.0)
        yield from functions["costes"](*clipped, labels, scale_max=GREY).items()


def _call(function: str, labels: np.ndarray, image: np.ndarray | None, **options: object) -> Values:
    """Yield the results of one function of cp_measure; nothing without labels."""
    if labels.any():
        known: dict[str, Callable[..., dict[str, np.ndarray]]] = bulk.get_core_measurements(sanitize=False)
        yield from known[function](labels, image, **options).items()


def _named(key: str, channel: str) -> str:
    """Return CellProfiler's name, with the channel after family and feature: Texture_Contrast_DNA_3_00_256."""
    family, feature, *rest = key.split("_")
    return "_".join((family, feature, channel, *rest))


def _neighbours(cells: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Return the neighbour features; all cells of the field that touch a cell are its neighbours."""
    present = np.unique(cells)
    present = present[present > 0]
    columns = {}
    known = {"NumberOfNeighbors": 0.0, "PercentTouching": 0.0}  # of a single cell; its other features are undefined
    if len(present) > 1:
        place = np.zeros(int(present.max()) + 1, dtype=np.int32)
        place[present] = np.arange(1, len(present) + 1)
        found = measureobjectneighbors(place[cells], place[cells], distance_method="Adjacent")
        known = {key.split("_")[1]: values for key, values in found.items()}
    within = np.isin(numbers, present)
    rows = np.searchsorted(present, numbers[within])
    for feature in NEIGHBOURS + SECOND:
        column = np.full(len(numbers), np.nan, dtype=np.float32)
        if feature in known and (len(present) > 2 or feature in NEIGHBOURS):
            column[within] = np.broadcast_to(known[feature], len(present))[rows]
        columns[f"Cells_Neighbors_{feature}_Adjacent"] = column
    return columns
