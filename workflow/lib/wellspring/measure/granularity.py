"""Granularity spectrum of objects, as cp_measure's ``get_granularity`` defines it.

The opened images do not depend on the labels, so they are computed once per channel for all kinds of objects.
"""

import numpy as np
from scipy import ndimage
from skimage.morphology import dilation, disk, erosion

from wellspring.measure.objects import Objects, compiled

BACKGROUND = 0.25  # size of the image on which the background is found, relative to the smaller image (CellProfiler)


def spectrum(image: np.ndarray, *, subsample: float, radius: int, length: int) -> np.ndarray | None:
    """Return the image after each step of the spectrum, (length, h, w); None where the smaller image has one row.

    Parameters
    ----------
    image
        (H, W) intensities.
    subsample
        Size of the smaller image, relative to `image`.
    radius
        Of the disc that finds the background, px of the smaller image.
    length
        Number of steps.
    """
    pixels, shape = image, _smaller(image.shape, subsample)
    if min(shape) < 2:
        return None
    if subsample < 1:
        grid = np.mgrid[: shape[0], : shape[1]] / subsample
        pixels = ndimage.map_coordinates(image, grid, order=1)
    pixels = np.maximum(pixels - _background(pixels, radius), 0)
    steps, shrunk = [], pixels
    for _ in range(length):
        shrunk = _erode(shrunk)
        steps.append(_reconstruct(shrunk, pixels))
    return np.stack(steps)


def measure(objects: Objects, values: np.ndarray, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Return name to (m,) values; `values` (P,) of the image, `steps` of `spectrum`."""
    count = np.diff(objects.starts)
    start = np.add.reduceat(values, objects.starts[:-1]) / count
    means = _means(objects.starts, objects.rows, objects.columns, steps, *objects.labels.shape)
    lost = -np.diff(np.concatenate([start[None], means]), axis=0) * 100 / np.maximum(start, np.finfo(float).eps)
    return {f"Granularity_{step}": column for step, column in enumerate(lost, start=1)}


def undefined(objects: Objects, length: int) -> dict[str, np.ndarray]:
    """Return the features of an image that is too small: NaN."""
    return {f"Granularity_{step}": np.full(len(objects), np.nan) for step in range(1, length + 1)}


def _smaller(shape: tuple[int, ...], subsample: float) -> tuple[int, int]:
    height, width = (int(edge * subsample) if subsample < 1 else edge for edge in shape)
    return height, width


def _background(pixels: np.ndarray, radius: int) -> np.ndarray:
    """Return the image opened by a disc, on a coarser grid."""
    shape = np.array(pixels.shape)
    coarse = shape * BACKGROUND
    grid = np.mgrid[: coarse[0], : coarse[1]] / BACKGROUND
    small = ndimage.map_coordinates(pixels, grid, order=1)
    footprint = disk(radius, dtype=bool)
    opened = dilation(erosion(small, footprint=footprint), footprint=footprint)
    full = np.mgrid[: shape[0], : shape[1]].astype(float) * ((coarse - 1) / (shape - 1))[:, None, None]
    found: np.ndarray = ndimage.map_coordinates(opened, full, order=1)
    return found


@compiled
def _means(
    starts: np.ndarray, rows: np.ndarray, columns: np.ndarray, steps: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Return the means (S, m) over objects of small images (S, h, w), interpolated bilinearly to (height, width).

    The weights of the small pixels are summed over an object first, since they are the same for all images.
    """
    last_y, last_x = steps.shape[1] - 1, steps.shape[2] - 1
    scale_y, scale_x = float(last_y) / float(height - 1), float(last_x) / float(width - 1)
    out = np.zeros((len(steps), len(starts) - 1))
    for number in range(len(starts) - 1):
        part = slice(starts[number], starts[number + 1])
        top, left = int(rows[part].min() * scale_y), int(columns[part].min() * scale_x)
        bottom, right = int(rows[part].max() * scale_y) + 1, int(columns[part].max() * scale_x) + 1
        weights = np.zeros((bottom - top + 1, right - left + 1))
        for pixel in range(starts[number], starts[number + 1]):
            y, x = rows[pixel] * scale_y, columns[pixel] * scale_x
            if y > last_y or x > last_x:  # cp_measure counts what rounding puts outside as 0
                continue
            whole_y, whole_x = int(y), int(x)
            part_y, part_x = y - whole_y, x - whole_x
            weights[whole_y - top, whole_x - left] += (1 - part_y) * (1 - part_x)
            weights[whole_y - top, whole_x - left + 1] += (1 - part_y) * part_x
            weights[whole_y - top + 1, whole_x - left] += part_y * (1 - part_x)
            weights[whole_y - top + 1, whole_x - left + 1] += part_y * part_x
        for step in range(len(steps)):
            total = 0.0
            for row in range(min(weights.shape[0], last_y - top + 1)):
                for column in range(min(weights.shape[1], last_x - left + 1)):
                    total += weights[row, column] * steps[step, top + row, left + column]
            out[step, number] = total / (starts[number + 1] - starts[number])
    return out


@compiled
def _erode(image: np.ndarray) -> np.ndarray:
    """Return the minimum of each pixel (H, W) and its four neighbours."""
    height, width = image.shape
    out = image.copy()
    for y in range(height):
        for x in range(width):
            least = image[y, x]
            if y > 0:
                least = min(least, image[y - 1, x])
            if y + 1 < height:
                least = min(least, image[y + 1, x])
            if x > 0:
                least = min(least, image[y, x - 1])
            if x + 1 < width:
                least = min(least, image[y, x + 1])
            out[y, x] = least
    return out


@compiled
def _reconstruct(seed: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the reconstruction by dilation of `seed` under `mask` (H, W), with four neighbours (Vincent 1993).

    Two sweeps reach most pixels; the others follow from a queue.
    """
    height, width = mask.shape
    out = seed.copy()
    for y in range(height):
        for x in range(width):
            most = out[y, x]
            if y > 0:
                most = max(most, out[y - 1, x])
            if x > 0:
                most = max(most, out[y, x - 1])
            out[y, x] = min(most, mask[y, x])
    stack = []
    stack.append((0, 0))
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            most = out[y, x]
            if y + 1 < height:
                most = max(most, out[y + 1, x])
            if x + 1 < width:
                most = max(most, out[y, x + 1])
            out[y, x] = min(most, mask[y, x])
            down = y + 1 < height and out[y + 1, x] < out[y, x] and out[y + 1, x] < mask[y + 1, x]
            right = x + 1 < width and out[y, x + 1] < out[y, x] and out[y, x + 1] < mask[y, x + 1]
            if down or right:
                stack.append((y, x))
    first = 0
    while first < len(stack):
        y, x = stack[first]
        first += 1
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            row, column = y + down, x + right
            if 0 <= row < height and 0 <= column < width:
                value = min(out[y, x], mask[row, column])
                if out[row, column] < value:
                    out[row, column] = value
                    stack.append((row, column))
    return out
