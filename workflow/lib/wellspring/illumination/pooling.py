"""Pool light paths that have too few fields each, where their flat fields agree.

Two flat fields agree if they differ by no more than chance lets two estimates of one flat field differ. Chance is read
from each light path itself: an estimate from all fields has half the variance of one from half of them, so that a
quarter of the mean square between the estimates of its two halves is the variance of its own estimate.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from wellspring.illumination import evenness, flatfield, judge
from wellspring.illumination.flatfield import Light

SMALL = 64  # fields from which a light path is estimated alone: more than halve the error only at four times as many
ALIKE = 5.0  # mean square between two flat fields over what chance gives, up to which they are alike
NEGLIGIBLE = 0.01**2  # mean square of relative differences that no judgement needs
FEWEST = 4  # fields that can be halved
PIXELS = 0.01  # relative difference of two sizes of a pixel, up to which they are one size written twice
POOLED, NOT_POOLED = "light_pooled", "light_not_pooled"
Fit = Callable[[np.ndarray], Light]


def pixel_size(table: pd.DataFrame) -> float:
    """Return the median size of a pixel in a survey, micrometres; NaN where it is unknown."""
    known = table["Metadata_Pixel_Size"] if "Metadata_Pixel_Size" in table else pd.Series(dtype=float)
    return float(known.median()) if known.notna().any() else float("nan")


def candidates(own: np.ndarray, others: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the light paths that are small as `own` is and have views of its shape, sorted."""
    if not FEWEST <= len(own) < SMALL:
        return []
    return [
        name
        for name, stack in sorted(others.items())
        if FEWEST <= len(stack) < SMALL and stack.shape[1:] == own.shape[1:]
    ]


def agreeing(own: np.ndarray, others: Mapping[str, np.ndarray], fit: Fit) -> list[str]:
    """Return the names of the light paths with which one is pooled, sorted; none if it or all others are large.

    Parameters
    ----------
    own
        (n, h, w) views of the light path without NaN.
    others
        Name -> views (m, h, w) of light paths that may be of the same microscope.
    fit
        Views -> the light path.
    """
    names = candidates(own, others)
    if not names:
        return []
    mine, chance, found = np.log(fit(own).flat), _variance(own, fit), []
    for name in names:
        stack = others[name]
        apart = _apart(mine, np.log(fit(stack).flat))
        if apart <= max(ALIKE * (chance + _variance(stack, fit)), NEGLIGIBLE):
            found.append(name)
    return found


def harms(own: np.ndarray, wells: np.ndarray, theirs: np.ndarray, fit: Fit) -> bool:
    """Return whether the estimate from other light paths alone makes the wells of this one less even.

    Parameters
    ----------
    own, wells
        (n, h, w) views of a light path with the well of each (n,).
    theirs
        (m, h, w) views of the light paths that it would be pooled with.
    """
    if len(np.unique(wells)) < judge.FEWEST:
        return False
    why = judge.against(evenness.measured(own, fit(theirs), wells=wells), wells=len(np.unique(wells)))
    return why is not None and why.code != judge.NO_GAIN


def _variance(stack: np.ndarray, fit: Fit) -> float:
    """Return the mean variance of the logarithm of the flat field that is fitted to views (n, h, w)."""
    half = flatfield.halves(len(stack))
    return _apart(*(np.log(fit(part).flat) for part in (stack[half], stack[~half]))) / 4


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean square between two logarithmic flat fields (h, w), whatever their means."""
    return float((one - other).var())
