"""Brightness and sharpness of nuclei, and flags for nuclei that are unusual on their plate.

A flagged cell stays in the table; `embed.leave_out` can leave it out. A nucleus is compared with the others of its
plate, since brightness and sharpness depend on stain and optics.
"""

import numpy as np
import pandas as pd
from scipy import ndimage


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
    usual, usual_slope = brightness[nucleus].median(), sharpness[nucleus].median()
    further = {
        # Where the median is not above the background, no brightness is usual, which `plausible` reports.
        "dim": nucleus & (brightness < dim * usual) & (usual > 0),
        "bright": nucleus & (brightness > bright * usual) & (usual > 0),
        "blurred": nucleus & (sharpness < blurred * usual_slope),
    }
    flags = frame["Metadata_Flags"].astype(str)
    for name, rows in further.items():
        flags = flags.mask(rows, (flags + f";{name}").str.removeprefix(";"))
    return frame.assign(Metadata_Flags=flags)
