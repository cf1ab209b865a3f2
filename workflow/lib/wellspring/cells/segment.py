"""Segmentation of one field into nuclei and cells by thresholds and watersheds, without trained weights.

Nuclei: smoothed DNA above a local threshold, which is bounded by the Otsu threshold of the field and by floors (of the
plate, and of the noise); split by a watershed on distance and intensity; each nucleus is trimmed to a share of its own
height. Cells: a watershed from the nuclei over the cytoplasm stain. A nucleus and its cell have the same number. All
lengths are relative to the nucleus diameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import regionprops
from skimage.segmentation import expand_labels, watershed

from wellspring.cells.background import WINDOW, capped, flattened, levels, plate_levels, smoothed
from wellspring.cells.labels import drop_small, relabel, small
from wellspring.cells.relief import heights, landscape, trim
from wellspring.views.noise import noise_of

# An object above this share of its field is not a nucleus; chosen on the same half, where it changes 8 of 270 images.
VAST = 0.15
ROUNDS = 4  # of the estimate of a diameter above the share WIDE of a field, each without what is WIDER than it
WIDE, WIDER = 1 / 6, 1.33
# A second search finds nuclei that bright bodies hide, outside the first ones. They count where they outnumber the
# first ones MANY times, as nuclei outnumber dead cells; they are as compact as SOLID and have FAINT of their height.
SOLID, FAINT, MANY = 0.9, 0.02, 1.5
LEAST, MOST = 0.25, 3.0  # area of such an object, in discs of a nucleus
APART = 0.25  # diameters from the first ones


@dataclass(frozen=True)
class Options:
    """Options of the segmentation; lengths are in nucleus diameters, so that they hold for every magnification.

    Attributes
    ----------
    diameter
        Typical diameter of a nucleus, px.
    smoothing
        Sigma of the Gaussian before thresholding, in diameters.
    otsu_factor
        Threshold of the field, as a share of the way from background to Otsu's threshold.
    window
        Edge of the window of the local mean, in diameters.
    edge
        A nucleus ends at this share of its height above its surroundings.
    split
        Minimum distance between the centres of two nuclei, in diameters.
    reach
        Maximum distance of a cell from its nucleus, in diameters.
    ring
        Minimum extent of a cell around its nucleus, whatever the stain, in diameters, so that a dim cell has a
        cytoplasm to measure.
    hole
        Holes in the cytoplasm up to this many nucleus discs are filled.
    growth
        Extent of a cell around its nucleus without a cytoplasm channel, in diameters.
    smallest
        Objects below this share of the disc of a nucleus are left out as noise.
    floor, cytoplasm_floor
        Minimum thresholds, counts, of the plate (see `plate_floor`); 0 for none.
    ceiling
        Maximum of the lowest threshold of nuclei, counts over the background: the plate's threshold, so that bright
        bodies in a field do not hide its other nuclei.
    """

    diameter: float
    smoothing: float = 0.04
    otsu_factor: float = 0.7
    window: float = 4.0
    edge: float = 0.4
    split: float = 0.5
    reach: float = 2.0
    ring: float = 0.15
    hole: float = 4.0
    growth: float = 0.4
    smallest: float = 0.1
    floor: float = 0.0
    cytoplasm_floor: float = 0.0
    ceiling: float = np.inf


def threshold(
    dna: np.ndarray, cytoplasm: np.ndarray | None = None, *, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """Segment a field without trained weights.

    Parameters
    ----------
    dna, cytoplasm
        (H, W) counts of any real dtype. Without `cytoplasm`, a cell is its nucleus grown by `options.growth`.
    options
        See `Options`.

    Returns
    -------
    tuple of numpy.ndarray
        Nuclei and cells, (H, W) uint32, numbered 1, 2, ... from the top; a cell contains its nucleus.

    Raises
    ------
    ValueError
        The images differ in shape.

    Examples
    --------
    >>> dna = np.full((60, 80), 100.0)
    >>> dna[20:32, 30:42] = 900.0
    >>> nuclei, cells = threshold(dna, options=Options(diameter=12))
    >>> int(nuclei.max()), bool((cells > 0).sum() > (nuclei > 0).sum())
    (1, True)
    """
    if cytoplasm is not None and cytoplasm.shape != dna.shape:
        raise ValueError(f"cytoplasm: expected the shape of the DNA image {dna.shape}, found {cytoplasm.shape}")
    nuclei = find_nuclei(dna, options=options)
    return nuclei, grow_cells(nuclei, cytoplasm, options=options)


def find_nuclei(dna: np.ndarray, *, options: Options) -> np.ndarray:
    """Return the nuclei of a field (H, W) as labels uint32; see `threshold`."""
    diameter = options.diameter
    noise = noise_of(dna, options.smoothing * diameter)
    smooth = flattened(smoothed(dna, options.smoothing * diameter), diameter)
    labels = _split(_foreground(smooth, noise=noise, floor=options.floor, options=options), smooth, options=options)
    if labels.any():
        further = _hidden(labels, smooth, noise=noise, options=options)
        labels = np.where(further > 0, further + labels.max(), labels)
    return relabel(labels)


def _split(mask: np.ndarray, smooth: np.ndarray, *, options: Options) -> np.ndarray:
    """Return the nuclei (H, W) of a foreground mask: cleaned, split by a watershed, trimmed."""
    diameter = options.diameter
    least = options.smallest * np.pi / 4 * diameter**2
    mask = drop_small(ndimage.binary_fill_holes(ndimage.binary_opening(mask, iterations=1)), least)
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.int32)
    relief = landscape(mask, smooth, diameter)
    apart = max(1, round(options.split * diameter / 2))
    whole, _ = ndimage.label(mask)
    peaks = peak_local_max(relief, min_distance=apart, labels=whole, exclude_border=False)
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = trim(watershed(-relief, seeds, mask=mask), smooth, diameter=diameter, edge=options.edge)
    labels[small(labels, least)[labels]] = 0
    return labels


def _hidden(labels: np.ndarray, smooth: np.ndarray, *, noise: float, options: Options) -> np.ndarray:
    """Return nuclei (H, W) outside `labels`, by a threshold of the pixels outside; 0 where there are none."""
    nothing, diameter = np.zeros_like(labels), options.diameter
    rest = ndimage.distance_transform_edt(labels == 0) > APART * diameter
    if np.count_nonzero(rest) < MOST * diameter**2:
        return nothing
    above = _foreground(smooth, noise=noise, floor=options.floor, options=options, within=rest)
    found = _split(above & rest, smooth, options=options)
    if not found.any():
        return nothing
    usual = np.median(heights(labels, smooth, diameter)[np.unique(labels[labels > 0])])
    height, disc = heights(found, smooth, diameter), np.pi / 4 * diameter**2
    sized = [part for part in regionprops(found) if LEAST * disc <= part.area <= MOST * disc]
    kept = [part.label for part in sized if part.solidity >= SOLID and height[part.label] >= FAINT * usual]
    if len(kept) < MANY * np.count_nonzero(np.bincount(labels.ravel())[1:]):
        return nothing
    return np.where(np.isin(found, kept), found, 0)


def grow_cells(nuclei: np.ndarray, cytoplasm: np.ndarray | None, *, options: Options) -> np.ndarray:
    """Return the cells around `nuclei` (H, W) as labels uint32 with the same numbers; see `threshold`."""
    if cytoplasm is None:
        grown: np.ndarray = expand_labels(nuclei, options.growth * options.diameter)
        return grown.astype(np.uint32)
    if not nuclei.any():
        return np.zeros(nuclei.shape, dtype=np.uint32)
    sigma = options.smoothing * options.diameter
    smooth = smoothed(cytoplasm, sigma)
    bright = _foreground(
        smooth, noise=noise_of(cytoplasm, sigma), floor=options.cytoplasm_floor, options=options, local=False
    )
    near = ndimage.distance_transform_edt(nuclei == 0)
    disc = np.pi / 4 * options.diameter**2
    filled = ~drop_small(~(bright | (nuclei > 0)), options.hole * disc)
    mask = (filled & (near <= options.reach * options.diameter)) | (near <= options.ring * options.diameter)
    low, high = np.percentile(smooth, (1, 99))
    # Without the distance, two nuclei in one flat patch of stain would be divided by noise.
    relief = near / options.diameter - (smooth - low) / max(high - low, 1e-6)
    cells: np.ndarray = watershed(relief, nuclei.astype(np.int32), mask=mask)
    return cells.astype(np.uint32)


def estimate_diameter(fields: Sequence[np.ndarray], *, fallback: float = 30.0) -> float:
    """Estimate the typical nucleus diameter (px) of DNA images (H, W): twice the median radius of compact objects.

    Objects are connected components above Otsu's threshold, weighted by area, so that debris counts little. The radius
    is the largest distance to the background, which also holds for touching nuclei. An object above 15 % of its field
    is haze or tissue: then a wide local mean is subtracted first. Where the diameter is above a sixth of the field,
    everything wider than it is removed, and the rest measured again: haze becomes smaller, compact objects do not.
    A few fields of another kind do not change it. Returns `fallback` without objects.
    """
    found = [each for each in map(_radii, fields) if each is not None and each[1].sum()]
    if not found:
        return fallback
    # One field of haze or of dark nuclei has the area of hundreds of nuclei: no field counts more than the usual one.
    usual = np.median([weight.sum() for _, weight in found])
    weight = np.concatenate([weight * min(1.0, usual / weight.sum()) for _, weight in found])
    return 2 * _middle(np.concatenate([radius for radius, _ in found]), weight)


def _radii(field: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return radii (px) and weights of the objects of a field, (n,) each; None where all signal is within the noise."""
    smooth = smoothed(field, 1.0)
    if smooth.min() == smooth.max():
        return None
    background, cut = levels(smooth)
    if cut - background < 6 * noise_of(field, 1.0):
        return None
    mask, labels, areas = _objects(smooth, cut)
    if areas.max(initial=0) > VAST * mask.size:
        flat = smooth - ndimage.gaussian_filter(smooth, min(smooth.shape) / 10)
        mask, labels, areas = _objects(flat, levels(flat)[1])
    for _ in range(ROUNDS):
        radius = ndimage.maximum(ndimage.distance_transform_edt(mask), labels, np.arange(1, len(areas) + 1))
        weight = np.where(areas >= 30, areas, 0)
        diameter = 2 * _middle(radius, weight) if weight.sum() else 0.0
        if diameter <= WIDE * min(smooth.shape):
            break
        flat = flattened(smooth, WIDER * diameter / WINDOW)
        mask, labels, areas = _objects(flat, levels(flat)[1])
    return radius, weight


def _middle(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted median."""
    order = np.argsort(values, kind="stable")
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])


def plate_floor(fields: Sequence[np.ndarray], *, diameter: float, share: float = 0.3, flat: bool = False) -> float:
    """Return the minimum threshold (counts) of one channel from a sample of a plate's fields (H, W).

    With `flat`, of fields without their background, as nuclei are found; bright bodies do not raise such a floor. A
    share of 1 is the plate's threshold itself.

    Otsu (1979) on the pixels of all fields separates cells from background; on a single empty field, it would separate
    noise from noise. The floor is at `share` of the way from background to that threshold, which keeps dim cells.
    """
    if not len(fields):
        return 0.0
    step = max(1, round(diameter / 8))
    smooth = (smoothed(field, 0.04 * diameter) for field in fields)
    used = [(flattened(each, diameter) if flat else each)[::step, ::step] for each in smooth]
    pixels = capped(used, [noise_of(field, 0.04 * diameter) for field in fields])
    if pixels.min() == pixels.max():
        return float(pixels[0])
    background, cut = plate_levels(pixels) if flat and share < 1 else levels(pixels)
    return float(background + share * (cut - background))


def _objects(image: np.ndarray, cut: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mask of pixels above `cut` with holes filled, and labels and areas (n,) of its components."""
    mask = ndimage.binary_fill_holes(image > cut)
    labels, count = ndimage.label(mask)
    return mask, labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]


def _foreground(
    smooth: np.ndarray,
    *,
    noise: float,
    floor: float,
    options: Options,
    local: bool = True,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mask of the smoothed image above the local threshold; empty where all signal is within the noise.

    Thresholds are of the pixels `within`, a mask (H, W); of all by default.
    """
    values = smooth if within is None else smooth[within]
    if values.min() == values.max():
        return np.zeros(smooth.shape, dtype=bool)
    background, cut = levels(values)
    if not local:
        return smooth > max(background + options.otsu_factor * (cut - background), background + 6 * noise, floor)
    least = min(background + options.otsu_factor * (cut - background), options.ceiling)
    least = max(least, background + 6 * noise, floor)
    # The local mean is higher between crowded nuclei and separates them; clipped, so that bright regions stay whole.
    window = max(3, round(options.window * options.diameter))
    weight = np.ones(smooth.shape, np.float32) if within is None else within.astype(np.float32)
    mean = ndimage.uniform_filter(smooth * weight, window, mode="reflect")
    mean /= np.maximum(ndimage.uniform_filter(weight, window, mode="reflect"), 1e-3)
    above: np.ndarray = smooth > np.clip(mean, least, max(cut, least))
    return above
