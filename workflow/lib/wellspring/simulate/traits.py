"""Draw the shape parameters of simulated cells, one value per cell and parameter, from cell line and log shifts."""

import numpy as np

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
"""The stains of Cell Painting, in the order of every array of this package."""

TRAITS = {
    "nucleus_radius": 8.5,  # pixels
    "nucleus_aspect": 0.20,  # long over short axis, less 1
    "chromatin_scale": 2.2,  # pixels, grain of the DNA stain
    "nucleoli_count": 3.0,
    "nucleoli_size": 1.5,  # pixels, sd of a nucleolus
    "cell_radius": 19.5,  # pixels
    "aspect": 0.30,  # long over short axis, less 1
    "irregularity": 0.09,  # sd of the outline, in radii
    "er_length": 0.55,  # decay from nucleus to outline, in shares of the way
    "er_scale": 1.9,  # pixels, mesh of the reticulum
    "rna_length": 0.90,  # decay of the cytoplasmic RNA, as er_length
    "rna_scale": 2.0,  # pixels
    "edge": 0.55,  # share of the actin at the outline
    "actin_scale": 2.2,  # pixels, width of the fibres
    "golgi_width": 2.6,  # pixels
    "golgi_distance": 3.2,  # pixels from the nuclear envelope
    "mito_position": 0.45,  # way from nucleus to outline where most mitochondria lie
    "mito_width": 0.26,  # sd about it
    "mito_scale": 2.0,  # pixels, grain of the network
}
"""Shape parameters and their values in an untreated cell of size 1."""

LIMITS = {
    "nucleus_radius": (5.0, 14.0),
    "nucleus_aspect": (0.0, 1.0),
    "nucleoli_count": (1.0, 6.0),
    "cell_radius": (13.0, 27.0),
    "aspect": (0.0, 1.6),
    "irregularity": (0.0, 0.28),
    "edge": (0.05, 0.95),
    "golgi_distance": (0.5, 8.0),
    "mito_position": (0.08, 0.92),
}
"""Bounds that keep a cell drawable."""


def draw_traits(
    shifts: dict[str, float], rng: np.random.Generator, *, count: int, size: float = 1.0, jitter: float = 0.12
) -> dict[str, np.ndarray]:
    """Draw every shape parameter for `count` cells.

    `shifts` are those of the well's treatment (log, 0 where absent); `size` is the cell line's factor on both radii;
    `jitter` the log-normal spread between cells. Returns parameter -> (count,) float32.
    """
    spread = rng.standard_normal((len(TRAITS), count)) * jitter
    values = {}
    for row, (name, base) in enumerate(TRAITS.items()):
        scale = size if name in ("nucleus_radius", "cell_radius") else 1.0
        drawn = base * scale * np.exp(shifts.get(name, 0.0) + spread[row])
        values[name] = np.clip(drawn, *LIMITS.get(name, (0.0, np.inf))).astype(np.float32)
    values["cell_radius"] = np.maximum(values["cell_radius"], 1.35 * values["nucleus_radius"])
    return values
