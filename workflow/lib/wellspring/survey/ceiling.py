"""Ceilings: the grey value at which images are clipped, which may be below the largest of their data type.

A 12-bit camera in 16-bit files clips at 4095, exports rescaled to 8 bits clip at 254 or anywhere. Clipping piles all
brighter pixels up at one value, the largest that occurs; of an image that is not clipped, the largest value is the end
of a thinning tail. So a ceiling is a largest value with many more pixels than the values just below it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

TOP = "top"  # column: largest grey value of a plane
PILE = "at_top"  # column: share of its pixels at that value
EXCESS = "over_tail"  # column: pixels at that value over those that the tail below it lets expect
COLUMNS = [TOP, PILE, EXCESS]
TAIL = 16  # occupied grey values below the largest that the tail is read from
FEWEST = 20  # pixels at the largest value below which it is no pile
TIMES = 5.0  # the pile over the most frequent of the values of the tail
IMAGES = 2  # images of a channel that pile up at one value, from which it is the ceiling of all


@dataclass(frozen=True)
class Top:
    """The largest grey value of a plane, the share of pixels at it, and how many times the tail below it that is."""

    value: int
    share: float
    excess: float


def top(histogram: np.ndarray) -> Top:
    """Return the top of a histogram (levels,) of a plane with at least one pixel.

    Examples
    --------
    >>> clipped = np.bincount(np.minimum(np.arange(1000), 254), minlength=256)
    >>> top(clipped)
    Top(value=254, share=0.746, excess=746.0)
    """
    held = np.flatnonzero(histogram)
    value, pile = int(held[-1]), int(histogram[held[-1]])
    tail = histogram[held[-1 - TAIL : -1]]
    # The values just below hold at least as many pixels as the largest, where brightness thins out.
    expected = max(1, int(tail.max())) if len(tail) else 1
    excess = pile / expected if pile >= FEWEST and len(held) > 2 else 0.0
    return Top(value, pile / int(histogram.sum()), excess)


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
    found = pd.Series(np.nan, index=rows.index)
    for group in (pd.Series(0, index=rows.index), channels):
        highest = values[TOP].groupby(group).transform("max")
        at_it = piled & (values[TOP] == highest)
        common = at_it.groupby(group).transform("sum") >= IMAGES
        found = found.fillna(highest.where(common & values[TOP].notna()))
    # An image of a plate of several exposures has a ceiling of its own.
    return found.fillna(values[TOP].where(piled))
