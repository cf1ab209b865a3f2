"""Judge a correction by wells that it was not fitted to: by their background and by their objects.

The wells are halved. Each half is corrected by the fit to the other, and the two results are averaged; the correction
that is applied is fitted to all wells.
"""

from collections.abc import Callable, Mapping

import numpy as np

from wellspring.illumination import evenness, flatfield
from wellspring.illumination.flatfield import Light
from wellspring.io.notes import Note

FEWEST = 4  # wells that can be halved, with a spread in each half
LEAST = 0.2  # of the gain of an exactly right flat field, below which objects are against it, unless their interval
ALLOWED = 0.5  # allows this share of that gain: then too few objects were seen
CROWDED = 1.0  # power of the flat field that the number of objects follows, above which seeding explains it as well
JUDGED = 1000  # fields at most, evenly spaced: intervals are then narrower than any limit here
UNTESTED, NO_GAIN, UNEVEN_SEEDING = "light_untested", "light_no_gain", "light_uneven_seeding"
WORSE_BACKGROUND, WORSE_OBJECTS = "light_worse_background", "light_worse_objects"


def held_out(
    stack: np.ndarray, wells: np.ndarray, fit: Callable[[np.ndarray], Light], *, base: float
) -> dict[str, np.ndarray]:
    """Return the figures of :mod:`wellspring.illumination.evenness` of views (n, h, w) that the fit did not see.

    Parameters
    ----------
    wells
        (n,) the well of each field.
    fit
        Views -> the light path.
    base
        Counts that are not light.
    """
    names, well = np.unique(wells, return_inverse=True)
    if len(names) < FEWEST:
        return evenness.unknown()
    half = flatfield.halves(len(names))[well]
    lights = fit(stack[half]), fit(stack[~half])
    some = thinned(len(stack))
    return evenness.both_ways(stack[some], half[some], lights, base=base, wells=well[some])


def thinned(count: int) -> np.ndarray:
    """Return the numbers of at most ``JUDGED`` of `count` fields, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, JUDGED)).round().astype(int))


def against(figures: Mapping[str, np.ndarray], *, wells: int) -> Note | None:
    """Return why a correction is not applied, None if held-out wells gain by it.

    It is applied if the 95 % interval of the change of the background or of the objects is below 0, and neither is
    against it. The background is if its interval is above 0. The objects are if they become less even, or if they gain
    less than ``LEAST`` of what an exactly right flat field would bring and their interval excludes ``ALLOWED`` of it.
    It is not applied either where objects are denser in places of more light, by more than that light: haze of cells
    then brightens the background, and neighbours brighten objects.
    """
    background, objects = (np.asarray(figures[f"{name}_change"], dtype=float) for name in ("residual", "objects"))
    full = float(figures["objects_full"][0])
    if not np.isfinite(background[0]):
        return Note(UNTESTED, {"wells": wells, "needed": FEWEST})
    if background[1] > 0:
        return Note(WORSE_BACKGROUND, _ends("residual", figures))
    if objects[0] > 0 or (objects[0] > LEAST * full and objects[1] > ALLOWED * full):
        return Note(WORSE_OBJECTS, _ends("objects", figures))
    density = np.asarray(figures["objects_density"], dtype=float)
    if density[1] > CROWDED:
        return Note(UNEVEN_SEEDING, {"low": float(f"{density[1]:.3g}"), "high": float(f"{density[2]:.3g}")})
    if not (background[2] < 0 or objects[2] < 0):
        return Note(NO_GAIN, _ends("residual", figures))
    return None


def _ends(measure: str, figures: Mapping[str, np.ndarray]) -> dict[str, float]:
    parts = {when: float(f"{figures[f'{measure}_{when}'][0]:.3g}") for when in ("before", "after")}
    low, high = (float(f"{end:.3g}") for end in figures[f"{measure}_change"][1:])
    return parts | {"low": low, "high": high}
