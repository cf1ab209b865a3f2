"""The noise of the sensor in an image."""

import numpy as np
from scipy import ndimage


def noise_of(image: np.ndarray, sigma: float) -> float:
    """Return the standard deviation of the sensor noise after smoothing by `sigma` px.

    The mask of Immerkaer (1996) cancels smooth signal; the median over pixels is robust to edges and cells. A Gaussian
    filter reduces the standard deviation of white noise to 1 / (2 sqrt(pi) sigma).
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    residue = ndimage.convolve(image.astype(np.float32), mask)
    return float(np.median(np.abs(residue))) / 0.6745 / 6 / max(1.0, 2 * float(np.sqrt(np.pi)) * sigma)
