"""Simulate binned views of fields behind a known flat and dark field, to judge illumination estimates.

Fields are drawn on 270 x 270 pixels, each the mean of 4 x 4 pixels of a camera of 1080, with shot and read noise of
those means, and binned as the survey does. Flat fields follow the cos^4 law of an off-centre lens, which is neither a
polynomial nor a sum of cosines, so they do not match the model of any estimate. Cells are round.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from wellspring.views.binning import bin_area, shape_of

SIDE = 270  # pixels of a drawn field
MEANED = 16  # camera pixels in each
MARGIN = 20  # pixels beyond the field, in which cells lie too
CELL = 4.0  # sigma of a cell, pixels
BACKGROUND, BRIGHT = 150.0, 700.0  # counts of the medium and of a cell's centre
SHOT, READ = 0.5, 2.0  # counts of variance a count of light; counts
GRADIENT = 15.0  # counts by which the dark field changes from the centre to the edge
OFFSET = 100.0


@dataclass(frozen=True)
class Scene:
    """Mean number of cells per field, and the share of fields with saturated debris."""

    cells: float
    debris: float = 0.0


SCENES = {"dense": Scene(350), "sparse": Scene(12), "debris": Scene(120, debris=0.15)}


@dataclass(frozen=True)
class Views:
    """``stack`` (n, h, w) float32 counts; ``flat`` (h, w) of mean 1 and ``dark`` (h, w) counts, as planted."""

    stack: np.ndarray
    flat: np.ndarray
    dark: np.ndarray


def views(scene: str, count: int, *, seed: int) -> Views:
    """Draw ``count`` fields of a scene, one of ``SCENES``, through a light path that the seed draws too.

    The first fields of a larger count are those of a smaller one.
    """
    kind, rng = SCENES[scene], np.random.default_rng([seed, sorted(SCENES).index(scene)])
    flat, dark = _light_path(rng)
    shape = shape_of(SIDE, SIDE)
    stack = np.stack([bin_area(_field(kind, flat, dark, rng), shape) for _ in range(count)])
    return Views(stack, bin_area(flat, shape), bin_area(dark, shape))


def _light_path(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return flat and dark field (SIDE, SIDE): light falls by 30 to 40 % from its centre over half the edge."""
    at = np.linspace(-1, 1, SIDE)
    centre = rng.uniform(-0.25, 0.25, 2)
    steep = rng.uniform(0.6, 0.7, 2) ** -0.5 - 1
    flat = (1 + steep[0] * (at[:, None] - centre[0]) ** 2 + steep[1] * (at[None, :] - centre[1]) ** 2) ** -2.0
    angle = rng.uniform(0, 2 * np.pi)
    dark = OFFSET + GRADIENT * (np.cos(angle) * at[:, None] + np.sin(angle) * at[None, :])
    return flat / flat.mean(), dark


def _field(kind: Scene, flat: np.ndarray, dark: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one field (SIDE, SIDE): staining and density differ between fields by a fifth and a third."""
    gain, cells = rng.lognormal(0, 0.2), rng.poisson(kind.cells * rng.lognormal(0, 0.3))
    stain = np.zeros((SIDE + 2 * MARGIN,) * 2)
    np.add.at(stain, tuple(rng.integers(0, len(stain), (2, cells))), rng.lognormal(np.log(BRIGHT), 0.5, cells))
    stain = gaussian_filter(stain, CELL) * 2 * np.pi * CELL**2
    haze = gaussian_filter(stain, MARGIN)
    light = gain * (BACKGROUND * rng.lognormal(0, 0.1) + 0.85 * stain + 0.15 * haze)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    seen = light * flat
    seen += rng.standard_normal(seen.shape) * np.sqrt((SHOT * seen + READ**2) / MEANED) + dark
    if rng.random() < kind.debris:
        y, x = np.ogrid[:SIDE, :SIDE]
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(5, 35)
            seen[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = np.iinfo(np.uint16).max
    counts: np.ndarray = np.clip(seen, 0, np.iinfo(np.uint16).max)
    return counts
