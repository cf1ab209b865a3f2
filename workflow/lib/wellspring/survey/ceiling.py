"""Ceilings: the grey value at which images are clipped, which may be below the largest of their data type.

A 12-bit camera in 16-bit files clips at 4095, exports rescaled to 8 bits clip at 254 or anywhere. Clipping piles all
brighter pixels up at one value, the largest that occurs; of an image that is not clipped, the largest value is the end
of a thinning tail. So a ceiling is a value with many more pixels than the values just below it, and with few pixels
above it: defective pixels of a camera, or a scale bar, may be brighter than any that is clipped.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter1d

TOP = "top"  # column: grey value at which a plane piles up, or else its largest one
PILE = "at_top"  # column: share of its pixels at that value or above
EXCESS = "over_tail"  # column: pixels at that value over those that the tail below it lets expect
COLUMNS = [TOP, PILE, EXCESS]
TAIL = 16  # occupied grey values below the largest that the tail is read from
FEWEST = 20  # pixels at the largest value below which it is no pile
TIMES = 5.0  # the pile over the most frequent of the values of the tail
# Most pixels above a pile, as a share of it and of all; where there are any, the pile is at most MOST of all, since an
# even background also is a pile.
ABOVE, MOST_ABOVE, MOST = 0.5, 0.01, 0.5
IMAGES = 2  # images of a channel that pile up at one value, from which it is the ceiling of all


@dataclass(frozen=True)
class Top:
    """A grey value of a plane, the share of pixels there and above, and how many times the tail below it that is."""

    value: int
    share: float
    excess: float


def top(histogram: np.ndarray) -> Top:
    """Return the top of a histogram (levels,) of a plane with at least one pixel: its pile, or else its largest value.

    Examples
    --------
    >>> clipped = np.bincount(np.minimum(np.arange(1000), 254), minlength=256)
    >>> top(clipped)
    Top(value=254, share=0.746, excess=746.0)
    """
    held = np.flatnonzero(histogram)
    counts = histogram[held]
    # The values just below hold at least as many pixels as a value, where brightness thins out.
    below = maximum_filter1d(np.concatenate([np.zeros(TAIL, counts.dtype), counts]), TAIL, origin=(TAIL - 1) // 2)
    excess = counts / np.maximum(below[TAIL - 1 : -1], 1)
    above = counts.sum() - np.cumsum(counts)
    few = above <= np.minimum(ABOVE * counts, MOST_ABOVE * counts.sum())
    few &= (above == 0) | (counts <= MOST * counts.sum())
    piled = np.flatnonzero(few & (counts >= FEWEST) & (excess >= TIMES))
    if not len(piled) or piled[-1] < 2:
        return Top(int(held[-1]), float(counts[-1] / counts.sum()), 0.0)
    place = piled[-1]
    return Top(int(held[place]), float(counts[place:].sum() / counts.sum()), float(excess[place]))


def measure(histogram: np.ndarray) -> dict[str, float]:
    """Return ``COLUMNS`` of the histogram (levels,) of a plane."""
    found = top(histogram)
    return {TOP: float(found.value), PILE: found.share, EXCESS: found.excess}


def clipped(rows: pd.DataFrame, channels: pd.Series) -> pd.DataFrame:
    """Return rows with the column ``ceiling`` (counts, NaN without one), and the share at it as ``saturated``.

    Parameters
    ----------
    rows, channels
        As for :func:`ceilings`; also with ``saturated``, the share at the largest value of the data type.
    """
    rows = rows.assign(ceiling=ceilings(rows, channels))
    at_it = pd.to_numeric(rows[TOP], errors="coerce") == rows["ceiling"]
    share = pd.to_numeric(rows[PILE], errors="coerce").where(at_it)
    return rows.assign(saturated=pd.to_numeric(rows["saturated"], errors="coerce").combine(share, np.fmax))


def ceilings(rows: pd.DataFrame, channels: pd.Series) -> pd.Series:
    """Return the ceiling of each plane (counts), NaN where none is found.

    Parameters
    ----------
    rows
        One row per plane with the columns ``COLUMNS``; NaN where a plane could not be read.
    channels
        The channel of each plane. Planes of a channel have a common ceiling if at least ``IMAGES`` of them pile up at
        the largest value that occurs in any; so do all channels together, since a camera clips all alike.
    """
    values = rows[COLUMNS].apply(pd.to_numeric, errors="coerce")
    piled = values[EXCESS] >= TIMES
    # An image of a plate of several exposures has a ceiling of its own.
    found = values[TOP].where(piled)
    for group in (pd.Series(0, index=rows.index), channels):
        highest = values[TOP].groupby(group).transform("max")
        at_it = piled & (values[TOP] == highest)
        common = at_it.groupby(group).transform("sum") >= IMAGES
        found = found.fillna(highest.where(common & values[TOP].notna()))
    return found
