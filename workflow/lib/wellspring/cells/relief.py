"""Where objects of a foreground mask are divided, and where each of them ends."""

import numpy as np
from scipy import ndimage
from skimage.measure import label

# Chosen on the tuning half of benchmarks/segmentation.py, where results change little around them: sigma (diameters) of
# the smoothed distance map, so that a ragged outline does not split its nucleus, and the weight of intensity.
DISTANCE = 0.12
INTENSITY = 0.5


def heights(labels: np.ndarray, smooth: np.ndarray, diameter: float) -> np.ndarray:
    """Return the mean height of each label 0 to n over the background around it, (n + 1,)."""
    outside = (ndimage.distance_transform_edt(labels == 0) > 0.1 * diameter).astype(np.float32)
    weight = ndimage.gaussian_filter(outside, diameter / 2, truncate=3.0)
    around = ndimage.gaussian_filter(smooth * outside, diameter / 2, truncate=3.0) / np.maximum(weight, 1e-3)
    total: np.ndarray = np.bincount(labels.ravel(), (smooth - around).ravel())
    return total / np.maximum(np.bincount(labels.ravel()), 1)


def landscape(mask: np.ndarray, smooth: np.ndarray, diameter: float) -> np.ndarray:
    """Return the distance to the background (in radii) plus half the intensity relative to the surroundings."""
    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    distance = ndimage.gaussian_filter(distance, DISTANCE * diameter) / (diameter / 2)
    inside = ndimage.gaussian_filter(np.where(mask, smooth, 0), diameter / 2, truncate=2.0)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), diameter / 2, truncate=2.0)
    relative = ndimage.gaussian_filter(smooth, 0.1 * diameter) / np.maximum(inside / np.maximum(weight, 1e-3), 1e-6)
    return np.where(mask, distance + INTENSITY * np.clip(relative, 0, 2), 0).astype(np.float32)


def trim(labels: np.ndarray, smooth: np.ndarray, *, diameter: float, edge: float) -> np.ndarray:
    """Trim each object to a share of its own height above its surroundings.

    With one threshold per field, dim nuclei would be too small and bright ones too large.
    """
    outside = (labels == 0).astype(np.float32)
    sigma = diameter
    weight = ndimage.gaussian_filter(outside, sigma, truncate=2.0)
    around = ndimage.gaussian_filter(smooth * outside, sigma, truncate=2.0) / np.maximum(weight, 1e-3)
    height = np.where(labels > 0, smooth - around, 0)
    size = np.maximum(np.bincount(labels.ravel()), 1)
    mean = np.bincount(labels.ravel(), height.ravel()) / size
    upper = height > mean[labels]
    counts = np.maximum(np.bincount(labels.ravel(), upper.ravel()), 1)
    top = np.bincount(labels.ravel(), (height * upper).ravel()) / counts
    kept = np.where(height > edge * top[labels], labels, 0)
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
