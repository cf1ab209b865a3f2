"""The objects of one label image, as lists of pixels that all families of features share.

The pixels of an object are contiguous, in the order of the rows, so that a compiled loop over objects reads each pixel
once. Kernels are compiled by numba at their first call and kept in its cache.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numba import njit
from scipy import ndimage
from skimage.segmentation import find_boundaries

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(function: Kernel) -> Kernel:
    """Return `function` compiled by numba; a division by 0 gives inf or NaN, as in numpy."""
    compiler: Any = njit(cache=True, nogil=True, error_model="numpy")
    kernel: Kernel = compiler(function)
    return kernel


@dataclass(frozen=True)
class Objects:
    """The objects 1 to m of a label image without gaps.

    Attributes
    ----------
    labels
        (H, W) int32.
    starts
        (m + 1,) int64; the pixels of object i are those from ``starts[i - 1]`` to ``starts[i]``.
    flat
        (P,) int64 positions of all pixels in the raveled image.
    """

    labels: np.ndarray
    starts: np.ndarray
    flat: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> "Objects":
        """Return the objects of a label image (H, W) int32 with the labels 1 to m."""
        inside = np.flatnonzero(labels)
        numbers = labels.ravel()[inside]
        flat = inside[np.argsort(numbers, kind="stable")]
        return cls(labels, np.concatenate([[0], np.cumsum(np.bincount(numbers)[1:])]).astype(np.int64), flat)

    def __len__(self) -> int:
        """Return the number of objects m."""
        return len(self.starts) - 1

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of all pixels, (P,) int64."""
        rows: np.ndarray = self.flat // self.labels.shape[1]
        return rows

    @cached_property
    def columns(self) -> np.ndarray:
        """Columns of all pixels, (P,) int64."""
        columns: np.ndarray = self.flat % self.labels.shape[1]
        return columns

    @cached_property
    def edge(self) -> np.ndarray:
        """Which pixels touch another label, (P,) bool."""
        return self.at(find_boundaries(self.labels, mode="inner"))

    @cached_property
    def boxes(self) -> list[tuple[slice, slice]]:
        """Bounding box of each object."""
        found: list[tuple[slice, slice]] = ndimage.find_objects(self.labels)
        return found

    @cached_property
    def depth(self) -> np.ndarray:
        """Distance of all pixels to the nearest one outside their object or the field, (P,) float64."""
        depth = np.empty(len(self.flat))
        for number, box in enumerate(self.boxes):
            mask = np.pad(self.labels[box] == number + 1, 1)
            depth[self.starts[number] : self.starts[number + 1]] = ndimage.distance_transform_edt(mask)[mask]
        return depth

    def at(self, image: np.ndarray) -> np.ndarray:
        """Return the values (P,) of an image (H, W) at all pixels."""
        values: np.ndarray = image.ravel()[self.flat]
        return values

    def order(self, values: np.ndarray) -> np.ndarray:
        """Return the positions (P,) int64 that sort `values` (P,) within each object."""
        return _order(values, self.starts)


@compiled
def _order(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    order = np.empty(len(values), np.int64)
    for number in range(len(starts) - 1):
        first, last = starts[number], starts[number + 1]
        order[first:last] = first + np.argsort(values[first:last])
    return order
