"""Radial distribution of intensity in objects, as cp_measure's ``get_radial_distribution`` defines it.

The rings depend on the labels alone, so they are drawn once for all channels.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wellspring.measure.objects import Objects, compiled

WEDGES = 8


@dataclass(frozen=True)
class Rings:
    """Ring and wedge of each pixel (P,) int64; -1 where the object's middle cannot be reached within the object."""

    ring: np.ndarray
    wedge: np.ndarray
    count: int


def rings(objects: Objects, count: int) -> Rings:
    """Divide each object into `count` rings from its middle, the first pixel that is farthest from its edge."""
    ring, wedge = (np.empty(len(objects.flat), np.int64) for _ in range(2))
    height, width = objects.labels.shape
    for number, (y, x) in enumerate(objects.boxes):
        # One pixel more on each side, where the image has one: its border is not an edge.
        top, left = max(y.start - 1, 0), max(x.start - 1, 0)
        bottom, right = min(y.stop + 1, height), min(x.stop + 1, width)
        mask = objects.labels[top:bottom, left:right] == number + 1
        part = slice(objects.starts[number], objects.starts[number + 1])
        framed = mask.shape == (y.stop - y.start + 2, x.stop - x.start + 2)
        depth = objects.depth[part] if framed else ndimage.distance_transform_edt(mask)[mask]
        ring[part], wedge[part] = _rings(mask, depth, count)
    return Rings(ring, wedge, count)


def measure(objects: Objects, values: np.ndarray, rings: Rings) -> dict[str, np.ndarray]:
    """Return name to (m,) values of `values` (P,)."""
    found = _measure(values, objects.starts, rings.ring, rings.wedge, rings.count)
    return {
        f"RadialDistribution_{name}_{ring + 1}of{rings.count}": found[:, place, ring]
        for ring in range(rings.count)
        for place, name in enumerate(("FracAtD", "MeanFrac", "RadialCV"))
    }


@compiled
def _rings(mask: np.ndarray, depth: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ring and wedge of the pixels of a mask (h, w), in the order of the rows, as is their `depth`."""
    y, x = np.nonzero(mask)
    middle = np.argmax(depth)  # of equal ones the first
    outer = _geodesic(mask, y[middle], x[middle])
    ring, wedge = np.empty(len(y), np.int64), np.empty(len(y), np.int64)
    for pixel in range(len(y)):
        away = outer[y[pixel], x[pixel]]
        share = away / (away + depth[pixel] + 0.001)
        ring[pixel] = min(int(share * count), count) if np.isfinite(away) else -1
        down, right = y[pixel] - y[middle], x[pixel] - x[middle]
        wedge[pixel] = (down > 0) + 2 * (right > 0) + 4 * (abs(down) > abs(right))
    return ring, wedge


@compiled
def _geodesic(mask: np.ndarray, middle_y: int, middle_x: int) -> np.ndarray:
    """Return the length of the shortest path of the 8-connected pixels of a mask (h, w) to one of them, or inf.

    Sweeps in both directions are repeated until nothing changes; a compact object needs two.
    """
    height, width = mask.shape
    out = np.full((height, width), np.inf)
    out[middle_y, middle_x] = 0.0
    diagonal = np.sqrt(2.0)
    changed = True
    while changed:
        changed = False
        for step in (1, -1):
            for row in range(height):
                y = row if step == 1 else height - 1 - row
                for column in range(width):
                    x = column if step == 1 else width - 1 - column
                    if not mask[y, x]:
                        continue
                    best = out[y, x]
                    if 0 <= x - step < width:
                        best = min(best, out[y, x - step] + 1.0)
                    if 0 <= y - step < height:
                        best = min(best, out[y - step, x] + 1.0)
                        if x > 0:
                            best = min(best, out[y - step, x - 1] + diagonal)
                        if x + 1 < width:
                            best = min(best, out[y - step, x + 1] + diagonal)
                    if best < out[y, x]:
                        out[y, x] = best
                        changed = True
    return out


@compiled
def _measure(values: np.ndarray, starts: np.ndarray, ring: np.ndarray, wedge: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros((len(starts) - 1, 3, count))
    for number in range(len(starts) - 1):
        total, pixels = np.zeros((count + 1, WEDGES)), np.zeros((count + 1, WEDGES))
        for pixel in range(starts[number], starts[number + 1]):
            if ring[pixel] >= 0:
                total[ring[pixel], wedge[pixel]] += values[pixel]
                pixels[ring[pixel], wedge[pixel]] += 1
        for place in range(count):
            share = total[place].sum() / total.sum()
            out[number, 0, place] = share
            out[number, 1, place] = share / (pixels[place].sum() / pixels.sum() + 2.220446049250313e-16)
            means = (total[place] / pixels[place])[pixels[place] > 0]
            if len(means) and means.mean() != 0:
                out[number, 2, place] = means.std() / means.mean()
    return out
