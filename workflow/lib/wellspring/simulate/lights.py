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
    """A kind of field.

    ``cells``: their mean number. ``debris``: share of fields with saturated debris. ``background``, ``bright``: counts
    of the medium and of a cell's centre. ``sigma``: of a cell, pixels. ``offset``, ``gradient``: counts of the dark
    field and of its change from the centre to the edge. ``middle``: spread of the cells around the centre, as a share
    of half the edge; 0 is none. ``glow``: counts of stray light at the edge, which no flat field shapes. ``lens``:
    False for an even flat field. ``wall``: distance from the centre beyond which a well's wall takes the light, as a
    share of half the edge; 0 is none. ``seeding``: spread of the number of cells between fields, of its logarithm.
    """

    cells: float
    debris: float = 0.0
    background: float = BACKGROUND
    bright: float = BRIGHT
    sigma: float = CELL
    offset: float = OFFSET
    gradient: float = GRADIENT
    middle: float = 0.0
    glow: float = 0.0
    lens: bool = True
    wall: float = 0.0
    seeding: float = 0.3


SCENES = {"dense": Scene(350), "sparse": Scene(12), "debris": Scene(120, debris=0.15)}
# Scenes in which a correction can do harm. Where `lens` is False the right one is none at all.
HARD = {
    "organoids": Scene(5, background=2, bright=220, sigma=10, offset=2, gradient=0, glow=8, lens=False),
    "dim background": Scene(25, background=4, bright=200, offset=4, gradient=0),
    "bright sparse": Scene(1.5, background=8, bright=8000, gradient=0),
    "few crowded": Scene(900, background=60, bright=300, lens=False, seeding=0.6),
    "seeded in the middle": Scene(90, middle=0.7, lens=False),
    "in the middle, lens": Scene(90, middle=0.7),
    "touching the border": Scene(9, sigma=14, background=60, gradient=0),
    "well wall": Scene(500, offset=37, gradient=0, background=250, wall=0.95, lens=False),
}


@dataclass(frozen=True)
class Views:
    """``stack`` (n, h, w) float32 counts; ``flat`` (h, w) of mean 1 and ``dark`` (h, w) counts, as planted.

    ``light`` (n, h, w) float32: counts of the same fields behind an even light path without dark field and noise.
    """

    stack: np.ndarray
    flat: np.ndarray
    dark: np.ndarray
    light: np.ndarray


def views(scene: str, count: int, *, seed: int) -> Views:
    """Draw ``count`` fields of a scene, one of ``SCENES`` or ``HARD``, through a light path that the seed draws too.

    The first fields of a larger count are those of a smaller one.
    """
    number = sorted(SCENES).index(scene) if scene in SCENES else 100 + list(HARD).index(scene)
    kind, rng = (SCENES | HARD)[scene], np.random.default_rng([seed, number])
    flat, dark = _light_path(kind, rng)
    shape = shape_of(SIDE, SIDE)
    drawn = [[bin_area(part, shape) for part in _field(kind, flat, dark, rng)] for _ in range(count)]
    stack, light = (np.stack(parts) for parts in zip(*drawn, strict=True))
    if kind.wall:
        flat = flat * _wall(kind, _away(0.0, 0.0))
    return Views(stack, bin_area(flat / flat.mean(), shape), bin_area(dark, shape), light)


def _light_path(kind: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return flat and dark field (SIDE, SIDE): light falls by 30 to 40 % from its centre over half the edge."""
    at = np.linspace(-1, 1, SIDE)
    centre = rng.uniform(-0.25, 0.25, 2)
    steep = rng.uniform(0.6, 0.7, 2) ** -0.5 - 1
    flat = (1 + steep[0] * (at[:, None] - centre[0]) ** 2 + steep[1] * (at[None, :] - centre[1]) ** 2) ** -2.0
    angle = rng.uniform(0, 2 * np.pi)
    dark = kind.offset + kind.gradient * (np.cos(angle) * at[:, None] + np.sin(angle) * at[None, :])
    if not kind.lens:
        flat = np.ones_like(flat)
    return flat / flat.mean(), dark


def _away(*centre: float) -> np.ndarray:
    """Return the distance (SIDE, SIDE) from a centre (y, x), in halves of the edge."""
    at = np.linspace(-1, 1, SIDE)
    return np.hypot(at[:, None] - centre[0], at[None, :] - centre[1])


def _wall(kind: Scene, away: np.ndarray) -> np.ndarray:
    """Return the share of the light that a well's wall lets pass."""
    share: np.ndarray = 1 / (1 + np.exp((away - kind.wall) / 0.06))
    return share


def _field(kind: Scene, flat: np.ndarray, dark: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one field and its light (SIDE, SIDE): staining and density differ between fields by a fifth and a third."""
    gain, cells = rng.lognormal(0, 0.2), rng.poisson(kind.cells * rng.lognormal(0, kind.seeding))
    stain = np.zeros((SIDE + 2 * MARGIN,) * 2)
    at = rng.integers(0, len(stain), (2, cells))
    if kind.middle:
        at = np.clip(np.rint(len(stain) / 2 + rng.normal(0, kind.middle * SIDE / 2, (2, cells))), 0, len(stain) - 1)
        at = at.astype(int)
    np.add.at(stain, tuple(at), rng.lognormal(np.log(kind.bright), 0.5, cells))
    stain = gaussian_filter(stain, kind.sigma) * 2 * np.pi * kind.sigma**2
    haze = gaussian_filter(stain, MARGIN)
    light = kind.background * rng.lognormal(0, 0.1) + 0.85 * stain + 0.15 * haze
    light = gain * light[MARGIN:-MARGIN, MARGIN:-MARGIN]
    seen = light * flat
    if kind.glow or kind.wall:
        away = _away(*(rng.normal(0, 0.03) for _ in "yx"))
        glow = gain * kind.glow * away**2 / 2
        seen, light = seen + glow, light + glow
        seen *= _wall(kind, away) if kind.wall else 1
    seen += rng.standard_normal(seen.shape) * np.sqrt((SHOT * seen + READ**2) / MEANED) + dark
    if rng.random() < kind.debris:
        y, x = np.ogrid[:SIDE, :SIDE]
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(5, 35)
            seen[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = np.iinfo(np.uint16).max
    counts: np.ndarray = np.clip(seen, 0, np.iinfo(np.uint16).max)
    return counts, light
