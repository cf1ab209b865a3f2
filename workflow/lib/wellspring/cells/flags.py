"""Brightness and sharpness of nuclei, and flags for nuclei that are unusual on their plate.

A flagged cell stays in the table; `embed.leave_out` can leave it out. A nucleus is compared with the others of its
plate, since brightness and sharpness depend on stain and optics. The cells of a field together count at most as those
of the usual field, so that a few wells full of precipitate do not set what is usual.
"""

import numpy as np
import pandas as pd
from scipy import ndimage

from wellspring.io.keys import SITE_KEY


def measure(
    nuclei: np.ndarray, dna: np.ndarray, *, outside: np.ndarray, diameter: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return brightness and sharpness of the nuclei 0 to n of a field, each (n + 1,) float32; 0 for an absent number.

    Parameters
    ----------
    nuclei, dna
        (H, W) labels and counts.
    outside
        (H, W) bool, true outside all cells. The median there is the background (of the whole field, where no pixel is
        outside).
    diameter
        Typical nucleus diameter, px.

    Returns
    -------
    tuple of numpy.ndarray
        Brightness: mean minus background, counts. Sharpness: the steepest gradient of a nucleus, in units of brightness
        per diameter, so that neither dim nor small nuclei count as blurred; an edge twice as wide halves it.
    """
    count = int(nuclei.max(initial=0)) + 1
    flat, image = nuclei.ravel(), dna.astype(np.float32)
    area = np.bincount(flat, minlength=count)
    background = np.median(image[outside] if outside.any() else image)
    total = np.bincount(flat, image.ravel(), minlength=count)
    brightness = np.where(area > 0, total / np.maximum(area, 1) - background, 0)
    slope = ndimage.gaussian_gradient_magnitude(image, max(0.04 * diameter, 0.5))
    steepest = np.zeros(count)
    np.maximum.at(steepest, flat, slope.ravel())
    sharpness = np.where(brightness > 0, steepest * diameter / np.maximum(brightness, 1e-6), 0)
    brightness[0] = sharpness[0] = 0
    return brightness.astype(np.float32), sharpness.astype(np.float32)


def weights(frame: pd.DataFrame) -> pd.Series:
    """Return the weight of each cell of a plate: 1, or less in a field with more cells than the median field."""
    if not len(frame) or not set(SITE_KEY) <= set(frame):
        return pd.Series(1.0, index=frame.index)
    count = frame.groupby(SITE_KEY)[SITE_KEY[0]].transform("size")
    most = float(frame.groupby(SITE_KEY).size().median())
    return (most / count).clip(upper=1.0)


def usual(values: pd.Series, weight: pd.Series) -> float:
    """Return the median of values by weight, the mean of the two in the middle where half of the weight is between."""
    if not len(values):
        return float("nan")
    order = np.argsort(values.to_numpy(), kind="stable")
    ordered, reached = values.to_numpy()[order], np.cumsum(weight.to_numpy()[order])
    middle = int(np.searchsorted(reached, reached[-1] / 2 * (1 - 1e-9)))
    between = middle + 1 < len(ordered) and np.isclose(reached[middle], reached[-1] / 2, rtol=1e-9)
    return float(ordered[middle : middle + 1 + between].mean())


def flag(frame: pd.DataFrame, *, dim: float = 0.2, bright: float = 5.0, blurred: float = 0.45) -> pd.DataFrame:
    """Add the flags dim, bright and blurred to the rows of a plate.

    Parameters
    ----------
    frame
        Rows of `run.table`, all fields of a plate.
    dim, bright, blurred
        Limits, as multiples of the plate's median brightness (dim, bright) and sharpness (blurred) over all cells with
        a nucleus.
    """
    nucleus = frame["Metadata_Nucleus_Area"] > 0
    brightness, sharpness = (frame[f"Metadata_Nucleus_{name}"] for name in ("Brightness", "Sharpness"))
    weight = weights(frame[nucleus])
    middle, middle_slope = usual(brightness[nucleus], weight), usual(sharpness[nucleus], weight)
    further = {
        # Where the median is not above the background, no brightness is usual, which `plausible` reports.
        "dim": nucleus & (brightness < dim * middle) & (middle > 0),
        "bright": nucleus & (brightness > bright * middle) & (middle > 0),
        "blurred": nucleus & (sharpness < blurred * middle_slope),
    }
    flags = frame["Metadata_Flags"].astype(str)
    for name, rows in further.items():
        flags = flags.mask(rows, (flags + f";{name}").str.removeprefix(";"))
    return frame.assign(Metadata_Flags=flags)
