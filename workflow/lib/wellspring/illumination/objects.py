"""Objects in binned views: their brightness above what surrounds them, and how it follows a flat field.

A flat field multiplies the difference between an object and what surrounds it; a dark field, stray light and haze do
not change that difference. So objects judge a flat field independently of the background that it was fitted to.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, grey_opening, maximum_filter

from wellspring.views.noise import noise_of

OPENING = 0.3  # edge of the window of the local background, as a share of the field: objects are smaller
NEIGHBOURS = 5  # bins; an object is the brightest within this window
DIM = 0.25  # of the brightness of the plate's objects, below which a peak is not one of them
SMOOTH = 0.7  # sigma of the Gaussian, bins
# A peak above so many times the noise after smoothing is an object. Of fields without cells, 95 % of the peaks are
# below 7 times and none above 12; of simulated cells, 95 % are above 180 times, of very dim ones half above 44 times.
CLEAR = 15.0
TYPICAL = 0.75  # quantile over the fields of their brightness: up to so many fields may have none
SPREAD = 2.5  # robust standard deviations of the logarithm, beyond which a brightness counts as that far away
TINY = 1e-9


@dataclass(frozen=True)
class Objects:
    """Peaks of views: the number of the ``field``, the bin (``place``, of the raveled view) and the ``excess``.

    ``excess`` are counts above the local background. Peaks that touch the border of the field are left out, and so are
    those that noise alone may raise.
    """

    field: NDArray[np.intp]
    place: NDArray[np.intp]
    excess: NDArray[np.float64]


def peaks(stack: np.ndarray) -> Objects:
    """Return the objects of views (n, h, w) without NaN."""
    smooth = gaussian_filter(stack.astype(np.float32), (0, SMOOTH, SMOOTH), mode="nearest")
    size = 2 * round(OPENING * min(stack.shape[1:]) / 2) + 1
    excess = smooth - grey_opening(smooth, size=(1, size, size), mode="nearest")
    excess -= np.minimum(np.quantile(excess, 0.05, axis=(1, 2), keepdims=True), excess)
    peak = (maximum_filter(excess, size=(1, NEIGHBOURS, NEIGHBOURS), mode="nearest") == excess) & (excess > 0)
    peak[:, [0, -1]] = peak[:, :, [0, -1]] = False
    field, place = np.nonzero(peak.reshape(len(stack), -1))
    found = excess.reshape(len(stack), -1)[field, place].astype(np.float64)
    clear = found > CLEAR * np.array([noise_of(view, SMOOTH) for view in stack])[field]
    field, place, found = field[clear], place[clear], found[clear]
    if not len(found):
        return Objects(field, place, found)
    # The usual brightness of a field is that of its bright peaks; of the plate, that of most fields with objects.
    total, square = (np.bincount(field, found**power, minlength=len(stack)) for power in (1, 2))
    usual = np.quantile(square / np.maximum(total, TINY), TYPICAL)
    bright = found > DIM**2 * usual  # a flat field may halve or double it: the rest is decided beside each flat field
    return Objects(field[bright], place[bright], found[bright])


def followed(objects: Objects, flat: np.ndarray) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Return which objects count beside a flat field (h, w), with logarithms of the flat field and of the brightness.

    An object is chosen by its brightness divided by the root of the flat field. So the choice prefers neither the raw
    brightness nor the corrected one.
    """
    shade = np.log(flat.ravel()[objects.place])
    middle = np.log(np.maximum(objects.excess, TINY)) - shade / 2
    if not len(middle):
        return np.zeros(0, dtype=bool), shade, middle
    total, square = (np.bincount(objects.field, np.exp(power * middle)) for power in (1, 2))
    fields = total > 0
    usual = np.log(np.quantile(square[fields] / total[fields], TYPICAL))
    chosen = middle > usual + np.log(DIM)
    centre = np.median(middle[chosen])
    spread = max(1.4826 * float(np.median(np.abs(middle[chosen] - centre))), 0.05)
    kept = np.clip(middle[chosen], centre - SPREAD * spread, centre + SPREAD * spread)
    return chosen, shade[chosen], kept + shade[chosen] / 2
