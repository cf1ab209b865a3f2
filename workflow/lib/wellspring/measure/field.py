"""Classical features of the cells of one field, by cp_measure (Munoz et al. 2025) under the names of CellProfiler.

Nuclei, cells and cytoplasm (the cell without nuclei) are measured in every channel. Cytoplasm and nuclei share no
pixel, so one label image holds both: features of the whole image (granularity) run twice per channel, not three times.
Features of an absent object, and features that cp_measure leaves undefined, are NaN.
"""

import itertools
import re
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from cp_measure import bulk
from cp_measure.multimask.measureobjectneighbors import measureobjectneighbors

from wellspring.measure import correlation, granularity, intensity, radial, shape, texture, zernike
from wellspring.measure.objects import Objects
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
Spectra = Sequence[np.ndarray | None]


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
        spectra = _spectra(pixels, options)
        for labels, owners in _layers(nuclei, cells, numbers):
            for name, values in _features(labels, pixels, spectra, channels, options):
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


def _features(
    labels: np.ndarray, pixels: np.ndarray, spectra: Spectra, channels: Sequence[str], options: Measure
) -> Values:
    """Yield (name without the object, values of the labels 1 to m) of all families except the neighbours."""
    if not labels.any():
        return
    families, objects = options.families, Objects.of(labels)
    values = np.stack([objects.at(image) for image in pixels])
    if "shape" in families:
        yield from ((f"AreaShape_{key}", column) for key, column in shape.measure(objects).items())
    moments: zernike.Moments = [{} for _ in channels]
    if {"shape", "radial"} & set(families):
        outline, moments = zernike.measure(objects, values if "radial" in families else values[:0])
        if "shape" in families:
            yield from ((f"AreaShape_{key}", column) for key, column in outline.items())
    ranked = {"intensity", "correlation"} & set(families)
    orders = [objects.order(each) if ranked else np.empty(0, dtype=np.int64) for each in values]
    rings = radial.rings(objects, options.radial_bins) if "radial" in families else None
    for place, channel in enumerate(channels):
        for found in _of_channel(objects, values[place], orders[place], spectra[place], options):
            yield from ((_named(key, channel), column) for key, column in found.items())
        if rings is not None:
            for found in (radial.measure(objects, values[place], rings), moments[place]):
                yield from ((_named(key, channel), column) for key, column in found.items())
    if "correlation" in families:
        both = [(each, correlation.ranks(objects, each, order)) for each, order in zip(values, orders, strict=True)]
        for one, other in itertools.combinations(range(len(channels)), 2):
            for key, column in correlation.measure(objects, both[one], both[other]).items():
                yield _of_pair(key, channels[one], channels[other]), column
    if "costes" in families:
        costes = bulk.get_correlation_measurements(sanitize=False)["costes"]
        clipped = np.minimum(pixels, 1.0)
        for one, other in itertools.combinations(range(len(channels)), 2):
            for key, column in costes(clipped[one], clipped[other], labels, scale_max=GREY).items():
                yield _of_pair(key, channels[one], channels[other]), column


def _of_channel(
    objects: Objects, values: np.ndarray, order: np.ndarray, steps: np.ndarray | None, options: Measure
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the features of one channel, by family; `steps` is the channel's granularity spectrum."""
    if "intensity" in options.families:
        yield intensity.measure(objects, values, order)
    if "texture" in options.families:
        for scale in options.texture_scales:
            yield texture.measure(objects, values, scale=scale, levels=options.texture_levels)
    if "granularity" in options.families:
        if steps is None:
            yield granularity.undefined(objects, options.granularity_length)
        else:
            yield granularity.measure(objects, values, steps)


def _spectra(pixels: np.ndarray, options: Measure) -> Spectra:
    """Return the granularity spectrum of each channel (C, H, W); None without the family."""
    if "granularity" not in options.families:
        return [None] * len(pixels)
    sizes = {"radius": options.granularity_radius, "length": options.granularity_length}
    return [granularity.spectrum(image, subsample=options.granularity_subsample, **sizes) for image in pixels]


def _of_pair(key: str, one: str, other: str) -> str:
    """Return CellProfiler's name of a feature of two channels.

    Directed features end in 1 for first to second channel, and in 2 for second to first.
    """
    group, feature, *which = key.replace("Correlation_Pearson", "Correlation_Correlation").split("_")
    return "_".join((group, feature, *((other, one) if which == ["2"] else (one, other))))


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
