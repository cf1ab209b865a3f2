"""Simulate microscope and camera: turn the stain of a field into uint16 planes."""

from dataclasses import dataclass

import numpy as np

from wellspring.simulate.screen import Nuisance, Screen, stream
from wellspring.simulate.traits import CHANNELS

OPTICS_STREAM = 1
BATCH_STREAM = 4
WELL_STREAM = 5


@dataclass(frozen=True)
class PlateOptics:
    """Staining and light path of a plate; per channel, in the order of CHANNELS.

    `flat` (C, H, W) float32 of mean 1, `gain` (C,), `gradient` (C,) log over the plate's columns, `edge_gain` (C,),
    `shift` (C, 2) pixels y and x.
    """

    flat: np.ndarray
    gain: np.ndarray
    gradient: np.ndarray
    edge_gain: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class WellState:
    """Effects of a well's position and handling: gain (C,), blur in pixels, factor on the number of cells."""

    gain: np.ndarray
    blur: float
    density: float


def flat_field(
    screen: Screen, plate: str, channel: str, *, seed: int, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Return the planted flat field of a plate's channel: (H, W) float32 of mean 1; `shape` None is the field's own.

    A bell centred on an off-centre point, which differs slightly between channels.
    """
    if channel not in CHANNELS:
        raise ValueError(f"{channel}: expected one of {', '.join(CHANNELS)}")
    height, width = shape or (screen.field, screen.field)
    nuisance = screen.nuisance
    number = screen.plate_number(plate)
    centre = stream(seed, OPTICS_STREAM, number, 1).normal(0, nuisance.vignette_centre, 2)
    rng = stream(seed, OPTICS_STREAM, number, 2, CHANNELS.index(channel))
    centre = np.clip(centre + rng.normal(0, 0.2 * nuisance.vignette_centre, 2), -0.4, 0.4)
    loss = rng.uniform(*nuisance.vignette)
    y = (np.arange(height) + 0.5) / height - 0.5 - centre[0]
    x = (np.arange(width) + 0.5) / width - 0.5 - centre[1]
    light = (1 - loss) ** ((y[:, None] ** 2 + x[None, :] ** 2) / 0.5**2)
    flat: np.ndarray = (light / light.mean()).astype(np.float32)
    return flat


def plate_optics(screen: Screen, plate: str, *, seed: int) -> PlateOptics:
    """Draw a plate's staining and light path; batches share a part of the gain."""
    nuisance = screen.nuisance
    number = screen.plate_number(plate)
    batch = screen.batches.index(screen.plates[plate][0])
    rng = stream(seed, OPTICS_STREAM, number, 0)
    shared = stream(seed, BATCH_STREAM, batch).normal(0, nuisance.plate_gain / 2, len(CHANNELS))
    return PlateOptics(
        flat=np.stack([flat_field(screen, plate, channel, seed=seed) for channel in CHANNELS]),
        gain=np.exp(shared + rng.normal(0, nuisance.plate_gain, len(CHANNELS))),
        gradient=rng.normal(0, nuisance.gradient, len(CHANNELS)),
        edge_gain=rng.uniform(*nuisance.edge_gain, len(CHANNELS)),
        shift=np.clip(rng.normal(0, nuisance.misregistration, (len(CHANNELS), 2)), -1.8, 1.8),
    )


def is_edge(screen: Screen, well: str) -> bool:
    """Return whether a well lies in the outer ring of its plate."""
    row, column = divmod(screen.wells.index(well), screen.columns)
    return row in (0, screen.rows - 1) or column in (0, screen.columns - 1)


def well_state(screen: Screen, plate: str, well: str, optics: PlateOptics, *, seed: int) -> WellState:
    """Draw the effects of a well's position and handling on its images."""
    nuisance = screen.nuisance
    number = screen.wells.index(well)
    rng = stream(seed, WELL_STREAM, screen.plate_number(plate), number)
    edge = is_edge(screen, well)
    across = (number % screen.columns + 0.5) / screen.columns - 0.5
    gain = optics.gain * np.exp(optics.gradient * across + rng.normal(0, nuisance.well_gain, len(CHANNELS)))
    smallest, added = nuisance.focus
    return WellState(
        gain=gain * (optics.edge_gain if edge else 1.0),
        blur=float(smallest + abs(rng.normal(0, added)) + (nuisance.edge_blur if edge else 0.0)),
        density=float(np.exp(rng.normal(0, nuisance.density_jitter)) * (nuisance.edge_density if edge else 1.0)),
    )


def expose(
    stain: np.ndarray, optics: PlateOptics, well: WellState, rng: np.random.Generator, *, nuisance: Nuisance
) -> np.ndarray:
    """Make camera planes of a stained field: (C, H, W) float32 counts -> (C, H, W) uint16.

    In turn: staining gain, blur and misregistration, haze, background, flat field, shot and read noise, offset.
    """
    planes = np.empty(stain.shape, dtype=np.uint16)
    for channel, field in enumerate(stain):
        light = _blur(field * np.float32(well.gain[channel]), sigma=well.blur, shift=optics.shift[channel])
        light = (1 - nuisance.haze) * light + nuisance.haze * _haze(light) + nuisance.background
        light *= optics.flat[channel]
        noise = rng.standard_normal(light.shape, dtype=np.float32)
        noise *= np.sqrt(nuisance.shot_noise * light + nuisance.read_noise**2)
        planes[channel] = np.clip(np.rint(light + noise + nuisance.offset), 0, 65535).astype(np.uint16)
    return planes


def _blur(field: np.ndarray, *, sigma: float, shift: np.ndarray) -> np.ndarray:
    """Blur with a Gaussian and shift by a part of a pixel, both at once, one axis after the other."""
    from scipy.ndimage import correlate1d

    reach = int(np.ceil(3 * sigma + np.abs(shift).max()))
    at = np.arange(-reach, reach + 1)
    for axis in (0, 1):
        kernel = np.exp(-0.5 * ((at + shift[axis]) / sigma) ** 2)
        field = correlate1d(field, kernel / kernel.sum(), axis=axis, mode="reflect")
    return field


def _haze(light: np.ndarray, *, sigma: float = 30.0, step: int = 8) -> np.ndarray:
    """Blur widely: a Gaussian of `sigma` pixels on a coarse grid, upsampled linearly."""
    down_y, up_y = _coarse(light.shape[0], sigma=sigma, step=step)
    down_x, up_x = _coarse(light.shape[1], sigma=sigma, step=step)
    spread: np.ndarray = up_y @ (down_y @ light @ down_x.T) @ up_x.T
    return spread


def _coarse(length: int, *, sigma: float, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices to a blurred coarse grid (n, length) and back (length, n), float32."""
    fine = np.arange(length)
    nodes = np.linspace(0, length - 1, max(2, length // step))
    down = np.exp(-0.5 * ((nodes[:, None] - fine[None, :]) / sigma) ** 2)
    gap = nodes[1] - nodes[0]
    up = np.clip(1 - np.abs(fine[:, None] - nodes[None, :]) / gap, 0, None)
    return (down / down.sum(axis=1, keepdims=True)).astype(np.float32), up.astype(np.float32)
