"""Draw stained cells: from positions and shape parameters, the stain of a field in five channels."""

import numpy as np

from wellspring.simulate.traits import CHANNELS

HALF = 36
"""Half the side of the square a cell is drawn on, pixels."""

NUCLEAR = slice(HALF - 18, HALF + 18)
BANK_SIDE = 1024
BANK_GRAIN = 8.0
STAIN = np.array([4.5e5, 8.0e5, 7.0e5, 9.0e5, 8.0e5], dtype=np.float32)
"""Total counts per cell and channel, independent of the shape."""


def texture_bank(rng: np.random.Generator) -> np.ndarray:
    """Make a periodic field of smooth Gaussian noise to cut textures from: (1024, 1024) float32, mean 0, sd 1.

    Its correlation length is BANK_GRAIN pixels; sampled with a stride it gives any other.
    """
    frequency = np.fft.fftfreq(BANK_SIDE)
    squared = frequency[:, None] ** 2 + np.fft.rfftfreq(BANK_SIDE)[None, :] ** 2
    spectrum = np.fft.rfft2(rng.standard_normal((BANK_SIDE, BANK_SIDE)))
    bank = np.fft.irfft2(spectrum * np.exp(-0.5 * (np.pi * BANK_GRAIN) ** 2 * squared), s=(BANK_SIDE, BANK_SIDE))
    scaled: np.ndarray = ((bank - bank.mean()) / bank.std()).astype(np.float32)
    return scaled


def place_cells(rng: np.random.Generator, *, field: int, density: float, spacing: float = 27.0) -> np.ndarray:
    """Scatter cell centres over a field and a margin about it, none nearer than `spacing` pixels if room allows.

    `density` is the number of cells on 400 x 400 pixels. Returns (n, 2) float32, y and x in pixels of the field.
    """
    margin = HALF / 2
    side = field + 2 * margin
    count = max(1, int(rng.poisson(density * (side / 400.0) ** 2)))
    proposed = (rng.random((20 * count, 2)) * side - margin).astype(np.float32)
    kept = np.empty((count, 2), dtype=np.float32)
    filled = 0
    for point in proposed:
        if filled == count:
            break
        if ((kept[:filled] - point) ** 2).sum(axis=1).min(initial=np.inf) >= spacing**2:
            kept[filled] = point
            filled += 1
    return kept[:filled]


def draw_field(
    centres: np.ndarray,
    traits: dict[str, np.ndarray],
    bank: np.ndarray,
    rng: np.random.Generator,
    *,
    field: int,
    stain_jitter: float = 0.15,
) -> np.ndarray:
    """Draw all cells of a field.

    `centres` (n, 2) pixels, `traits` parameter -> (n,), `bank` from `texture_bank`. Each cell's stain sums to STAIN
    times a log-normal factor, so shape does not change total intensity. Returns (5, field, field) float32 counts.
    """
    patches = _draw_cells(centres, traits, bank, rng)
    total = STAIN * np.exp(stain_jitter * rng.standard_normal((len(centres), len(STAIN)))).astype(np.float32)
    patches *= (total.T / np.maximum(patches.sum(axis=(2, 3)), 1e-6))[:, :, None, None]
    canvas = np.zeros((len(CHANNELS), field + 4 * HALF, field + 4 * HALF), dtype=np.float32)
    for cell, (top, left) in enumerate(np.floor(centres).astype(int) + HALF):
        canvas[:, top : top + 2 * HALF, left : left + 2 * HALF] += patches[:, cell]
    return canvas[:, 2 * HALF : 2 * HALF + field, 2 * HALF : 2 * HALF + field]


def _draw_cells(
    centres: np.ndarray, traits: dict[str, np.ndarray], bank: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw each cell on its own square: (5, n, 2 HALF, 2 HALF) float32, not yet scaled."""
    count = len(centres)
    along, across = _axes(centres, rng)
    part = {name: values[:, None, None] for name, values in traits.items()}

    stretch = np.sqrt(1 + part["nucleus_aspect"])
    to_nucleus = np.hypot(along / stretch, across * stretch)
    outside = to_nucleus - part["nucleus_radius"]
    nucleus = np.clip(0.5 - outside / 1.5, 0, 1)

    inside = _distance_inside(along, across, traits, rng)
    body = np.clip(0.5 + inside / 2.0, 0, 1)
    cytoplasm = body * (1 - nucleus)
    way = np.clip(outside, 0, None) / np.maximum(np.clip(outside, 0, None) + np.clip(inside, 0, None), 0.5)

    def texture(scale: np.ndarray, stretched: float = 1.0) -> np.ndarray:
        step = BANK_GRAIN / scale
        start = rng.integers(0, BANK_SIDE, (2, count, 1, 1)).astype(np.float32)
        rows = (across * step + start[0]).astype(np.int32) & (BANK_SIDE - 1)
        columns = (along * (step / stretched) + start[1]).astype(np.int32) & (BANK_SIDE - 1)
        cut: np.ndarray = bank[rows, columns]
        return cut

    nucleoli = _nucleoli(along, across, traits, rng) * nucleus
    chromatin = np.clip(1 + 0.42 * texture(part["chromatin_scale"]), 0.1, None)
    mesh = np.clip(1.25 - np.abs(texture(part["er_scale"])), 0.12, None)
    grains = np.clip(1 + 0.35 * texture(part["rna_scale"]), 0.1, None)
    fibres = np.clip(1.1 - 1.3 * np.abs(texture(part["actin_scale"], 4.0)), 0.05, None)
    network = np.clip(1 - 1.5 * np.abs(texture(part["mito_scale"], 1.6)), 0.0, None) ** 1.5
    plasma = np.exp(-((inside / 1.8) ** 2)) * (outside > 0)
    golgi = _golgi(along, across, outside, traits, rng) * grains

    patches = np.empty((len(CHANNELS), *along.shape), dtype=np.float32)
    patches[0] = nucleus * chromatin * (1 - 0.6 * nucleoli) + 0.004 * body
    patches[1] = cytoplasm * mesh * np.exp(-way / part["er_length"]) + 0.10 * nucleus
    patches[2] = cytoplasm * grains * np.exp(-way / part["rna_length"]) + nucleus * (0.30 + 1.6 * nucleoli)
    actin = _share(plasma, part["edge"]) + _share(cytoplasm * fibres + 0.15 * nucleus, 1 - part["edge"])
    patches[3] = actin + _share(golgi, np.float32(0.22))
    band = np.exp(-0.5 * ((way - part["mito_position"]) / part["mito_width"]) ** 2)
    patches[4] = cytoplasm * band * (network + 0.06) + 0.02 * body
    return patches


def _axes(centres: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across each cell's long axis from its nucleus: two (n, 2 HALF, 2 HALF) float32."""
    fraction = (centres - np.floor(centres)).astype(np.float32)
    grid = np.arange(2 * HALF, dtype=np.float32) - HALF
    y = (grid[None, :] - fraction[:, :1])[:, :, None]
    x = (grid[None, :] - fraction[:, 1:])[:, None, :]
    angle = rng.uniform(0, np.pi, (len(centres), 1, 1)).astype(np.float32)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _distance_inside(
    along: np.ndarray, across: np.ndarray, traits: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Distance to the cell's outline in pixels, negative outside: an ellipse about a shifted centre with lobes."""
    count = len(along)
    shift = rng.normal(0, 1.6, (2, count, 1, 1)).astype(np.float32)
    along, across = along - shift[0], across - shift[1]
    angles = np.linspace(-np.pi, np.pi, 128, endpoint=False)
    orders = np.arange(2, 8)
    phases = rng.uniform(0, 2 * np.pi, (count, len(orders), 1))
    sizes = rng.standard_normal((count, len(orders), 1)) / np.sqrt(orders)[None, :, None]
    lobes = (sizes * np.cos(orders[None, :, None] * angles + phases)).sum(axis=1)
    aspect = 1 + traits["aspect"][:, None]
    ellipse = 1 / np.sqrt(np.cos(angles) ** 2 / aspect + np.sin(angles) ** 2 * aspect)
    outline = traits["cell_radius"][:, None] * ellipse * np.clip(1 + traits["irregularity"][:, None] * lobes, 0.6, 1.5)
    outline = np.clip(outline, 1.25 * traits["nucleus_radius"][:, None], HALF - 2.0).astype(np.float32)
    turn = ((np.arctan2(across, along) + np.pi) * (128 / (2 * np.pi))).astype(np.int32) & 127
    edge = np.take_along_axis(outline, turn.reshape(count, -1), axis=1).reshape(turn.shape)
    distance: np.ndarray = edge - np.hypot(along, across)
    return distance


def _nucleoli(
    along: np.ndarray, across: np.ndarray, traits: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Nucleoli as blobs in the nucleus, 0 to 1: (n, 2 HALF, 2 HALF) float32."""
    count = len(along)
    most = 6
    wanted = np.clip(np.round(traits["nucleoli_count"] + rng.normal(0, 0.4, count)), 1, most)
    radius = 0.62 * traits["nucleus_radius"] * np.sqrt(rng.random((most, count)))
    angle = rng.uniform(0, 2 * np.pi, (most, count))
    blobs = np.zeros_like(along)
    inner_along, inner_across = along[:, NUCLEAR, NUCLEAR], across[:, NUCLEAR, NUCLEAR]
    narrow = (0.5 / traits["nucleoli_size"] ** 2)[:, None, None]
    for number in range(most):
        here = np.flatnonzero(wanted > number)
        at = (radius[number] * np.cos(angle[number]), radius[number] * np.sin(angle[number]))
        along_off, across_off = (value[here].astype(np.float32)[:, None, None] for value in at)
        squared = (inner_along[here] - along_off) ** 2 + (inner_across[here] - across_off) ** 2
        blobs[here, NUCLEAR, NUCLEAR] += np.exp(-squared * narrow[here])
    clipped: np.ndarray = np.clip(blobs, 0, 1)
    return clipped


def _golgi(
    along: np.ndarray, across: np.ndarray, outside: np.ndarray, traits: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """The Golgi apparatus, a blob beside the nucleus: (n, 2 HALF, 2 HALF) float32."""
    angle = rng.uniform(0, 2 * np.pi, len(along))
    reach = traits["nucleus_radius"] + traits["golgi_distance"]
    along_off, across_off = ((reach * turn(angle)).astype(np.float32)[:, None, None] for turn in (np.cos, np.sin))
    squared = (along - along_off) ** 2 + (across - across_off) ** 2
    blob: np.ndarray = np.exp(-squared * (0.5 / traits["golgi_width"] ** 2)[:, None, None]) * (outside > 0)
    return blob


def _share(stain: np.ndarray, share: np.ndarray | np.float32) -> np.ndarray:
    """Scale a structure so that it holds the given share of the cell's stain."""
    scaled: np.ndarray = stain * (share / np.maximum(stain.sum(axis=(1, 2), keepdims=True), 1e-6))
    return scaled
