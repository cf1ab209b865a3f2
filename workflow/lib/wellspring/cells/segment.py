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
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.segmentation import expand_labels, watershed

from wellspring.cells.labels import drop_small, relabel, small

BINS = 512
# Chosen on the tuning half of benchmarks/segmentation.py, where results change little around them: sigma (diameters) of
# the smoothed distance map, so that a ragged outline does not split its nucleus, and the weight of intensity.
DISTANCE = 0.12
INTENSITY = 0.5
# An object above this share of its field is not a nucleus; chosen on the same half, where it changes 8 of 270 images.
VAST = 0.15


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
    smooth = _smooth(dna, options.smoothing * diameter)
    mask = _foreground(smooth, noise=_noise(dna, options.smoothing * diameter), floor=options.floor, options=options)
    mask = ndimage.binary_opening(mask, iterations=1)
    mask = drop_small(ndimage.binary_fill_holes(mask), options.smallest * np.pi / 4 * diameter**2)
    if not mask.any():
        return np.zeros(dna.shape, dtype=np.uint32)
    landscape = _landscape(mask, smooth, diameter)
    apart = max(1, round(options.split * diameter / 2))
    whole, _ = ndimage.label(mask)
    peaks = peak_local_max(landscape, min_distance=apart, labels=whole, exclude_border=False)
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = _trim(watershed(-landscape, seeds, mask=mask), smooth, options=options)
    labels[small(labels, options.smallest * np.pi / 4 * diameter**2)[labels]] = 0
    return relabel(labels)


def grow_cells(nuclei: np.ndarray, cytoplasm: np.ndarray | None, *, options: Options) -> np.ndarray:
    """Return the cells around `nuclei` (H, W) as labels uint32 with the same numbers; see `threshold`."""
    if cytoplasm is None:
        grown: np.ndarray = expand_labels(nuclei, options.growth * options.diameter)
        return grown.astype(np.uint32)
    if not nuclei.any():
        return np.zeros(nuclei.shape, dtype=np.uint32)
    sigma = options.smoothing * options.diameter
    smooth = _smooth(cytoplasm, sigma)
    bright = _foreground(
        smooth, noise=_noise(cytoplasm, sigma), floor=options.cytoplasm_floor, options=options, local=False
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
    is haze or tissue: then a wide local mean is subtracted first. Returns `fallback` without objects.
    """
    radii, weights = [], []
    for field in fields:
        smooth = _smooth(field, 1.0)
        if smooth.min() == smooth.max():
            continue
        background, cut = _levels(smooth)
        if cut - background < 6 * _noise(field, 1.0):
            continue
        mask, labels, areas = _objects(smooth, cut)
        if areas.max(initial=0) > VAST * mask.size:
            flat = smooth - ndimage.gaussian_filter(smooth, min(smooth.shape) / 10)
            mask, labels, areas = _objects(flat, _levels(flat)[1])
        count = len(areas)
        distance = ndimage.distance_transform_edt(mask)
        radii.append(ndimage.maximum(distance, labels, np.arange(1, count + 1)))
        weights.append(np.where(areas >= 30, areas, 0))
    radius = np.concatenate(radii) if radii else np.empty(0)
    weight = np.concatenate(weights) if weights else np.empty(0)
    if not weight.sum():
        return fallback
    order = np.argsort(radius, kind="stable")
    middle = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return float(2 * radius[order][middle])


def plate_floor(fields: Sequence[np.ndarray], *, diameter: float, share: float = 0.3) -> float:
    """Return the minimum threshold (counts) of one channel from a sample of a plate's fields (H, W).

    Otsu (1979) on the pixels of all fields separates cells from background; on a single empty field, it would separate
    noise from noise. The floor is at `share` of the way from background to that threshold, which keeps dim cells.
    """
    if not len(fields):
        return 0.0
    step = max(1, round(diameter / 8))
    pixels = np.concatenate([_smooth(field, 0.04 * diameter)[::step, ::step].ravel() for field in fields])
    if pixels.min() == pixels.max():
        return float(pixels[0])
    background, cut = _levels(pixels)
    return float(background + share * (cut - background))


def _objects(image: np.ndarray, cut: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mask of pixels above `cut` with holes filled, and labels and areas (n,) of its components."""
    mask = ndimage.binary_fill_holes(image > cut)
    labels, count = ndimage.label(mask)
    return mask, labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]


def _smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    smooth: np.ndarray = ndimage.gaussian_filter(image.astype(np.float32), max(sigma, 0.5))
    return smooth


def _noise(image: np.ndarray, sigma: float) -> float:
    """Return the standard deviation of the sensor noise after smoothing by `sigma` px.

    The mask of Immerkaer (1996) cancels smooth signal; the median over pixels is robust to edges and cells. A Gaussian
    filter reduces the standard deviation of white noise to 1 / (2 sqrt(pi) sigma).
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    residue = ndimage.convolve(image.astype(np.float32), mask)
    return float(np.median(np.abs(residue))) / 0.6745 / 6 / max(1.0, 2 * float(np.sqrt(np.pi)) * sigma)


def _levels(values: np.ndarray) -> tuple[float, float]:
    """Return background and Otsu threshold of square roots, where shot noise is uniform and dim cells count more."""
    low = float(values.min())
    roots = np.sqrt(values - low)
    cut = float(threshold_otsu(roots.ravel(), nbins=BINS)) ** 2 + low
    below = values[values <= cut]
    return float(np.median(below)) if below.size else low, cut


def _foreground(smooth: np.ndarray, *, noise: float, floor: float, options: Options, local: bool = True) -> np.ndarray:
    """Return the mask of the smoothed image above the local threshold; empty where all signal is within the noise."""
    if smooth.min() == smooth.max():
        return np.zeros(smooth.shape, dtype=bool)
    background, cut = _levels(smooth)
    least = max(background + options.otsu_factor * (cut - background), background + 6 * noise, floor)
    if not local:
        return smooth > least
    # The local mean is higher between crowded nuclei and separates them; clipped, so that bright regions stay whole.
    window = max(3, round(options.window * options.diameter))
    mean = ndimage.uniform_filter(smooth, window, mode="reflect")
    above: np.ndarray = smooth > np.clip(mean, least, max(cut, least))
    return above


def _landscape(mask: np.ndarray, smooth: np.ndarray, diameter: float) -> np.ndarray:
    """Return the distance to the background (in radii) plus half the intensity relative to the surroundings."""
    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    distance = ndimage.gaussian_filter(distance, DISTANCE * diameter) / (diameter / 2)
    inside = ndimage.gaussian_filter(np.where(mask, smooth, 0), diameter / 2, truncate=2.0)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), diameter / 2, truncate=2.0)
    relative = ndimage.gaussian_filter(smooth, 0.1 * diameter) / np.maximum(inside / np.maximum(weight, 1e-3), 1e-6)
    return np.where(mask, distance + INTENSITY * np.clip(relative, 0, 2), 0).astype(np.float32)


def _trim(labels: np.ndarray, smooth: np.ndarray, *, options: Options) -> np.ndarray:
    """Trim each object to a share of its own height above its surroundings.

    With one threshold per field, dim nuclei would be too small and bright ones too large.
    """
    outside = (labels == 0).astype(np.float32)
    sigma = options.diameter
    weight = ndimage.gaussian_filter(outside, sigma, truncate=2.0)
    around = ndimage.gaussian_filter(smooth * outside, sigma, truncate=2.0) / np.maximum(weight, 1e-3)
    height = np.where(labels > 0, smooth - around, 0)
    size = np.maximum(np.bincount(labels.ravel()), 1)
    mean = np.bincount(labels.ravel(), height.ravel()) / size
    upper = height > mean[labels]
    counts = np.maximum(np.bincount(labels.ravel(), upper.ravel()), 1)
    top = np.bincount(labels.ravel(), (height * upper).ravel()) / counts
    kept = np.where(height > options.edge * top[labels], labels, 0)
    # The largest remaining piece of each object is kept, with its holes filled.
    pieces = label(kept, connectivity=1)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    owner = np.zeros(len(areas), dtype=labels.dtype)
    owner[pieces] = kept
    largest = np.zeros(labels.max() + 1, dtype=areas.dtype)
    np.maximum.at(largest, owner, areas)
    whole = (areas > 0) & (areas == largest[owner])
    kept = np.where(whole[pieces], kept, 0)
    return np.where(ndimage.binary_fill_holes(kept > 0), labels, 0)
