"""A field in, the parts of it that an encoder sees out: tiles of a grid, squares around cells, and their foreground.

The only module that knows where a view lies in its field; training crops and embedding cut with the same code. NumPy
only. Coordinates are (y, x) in pixels, a pixel's centre at whole numbers, origins are the upper left pixel.
"""

from collections.abc import Iterable

import numpy as np


def pixels(size: float, *, unit: str = "px", pixel_size: float | None = None, what: str = "size") -> float:
    """Return a length in pixels: as it is for ``px``, divided by the pixel size (um) for ``um``.

    Raises
    ------
    ValueError
        Micrometres where the images do not tell their pixel size, a unit that is neither, or a length not above 0.
    """
    if unit not in ("px", "um"):
        raise ValueError(f"{what}: expected the unit px or um, found {unit!r}")
    if size <= 0:
        raise ValueError(f"{what}: expected a length above 0, found {size}")
    if unit == "px":
        return float(size)
    if not pixel_size:
        raise ValueError(f"{what}: {size} um needs a pixel size, which these images do not tell; give it in px")
    return float(size) / float(pixel_size)


def tile_grid(height: int, width: int, tile: int, stride: int | None = None) -> np.ndarray:
    """Return origins (n, 2) int64 of square tiles that cover the whole field, row by row.

    Steps are `stride` (default: the tile, so without overlap); the last row and column are moved in so that they end at
    the field's edge, and so overlap their neighbours.

    Raises
    ------
    ValueError
        The tile does not fit the field, or the stride leaves gaps.
    """
    stride = tile if stride is None else stride
    if tile < 1 or tile > min(height, width):
        raise ValueError(f"tile of {tile} px: expected 1 to {min(height, width)} px in a field of {height} x {width}")
    if not 1 <= stride <= tile:
        raise ValueError(f"stride of {stride} px: expected 1 to the tile's {tile} px, so that no pixel is left out")
    rows, columns = (
        np.unique(np.append(np.arange(0, edge - tile + 1, stride), edge - tile)) for edge in (height, width)
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int64)


def blocks(field: np.ndarray, origins: np.ndarray, tile: int) -> np.ndarray:
    """Return the tiles (n, C, tile, tile) of a field (C, H, W) at `origins` (n, 2), in the field's dtype."""
    out = np.empty((len(origins), field.shape[0], tile, tile), dtype=field.dtype)
    for place, (y, x) in enumerate(origins.tolist()):
        out[place] = field[:, y : y + tile, x : x + tile]
    return out


def foreground_threshold(views: np.ndarray, *, bins: int = 256) -> float:
    """Return the foreground's threshold of one channel of a plate from all its binned views (n, h, w).

    Otsu (1979) on the logarithm of all pixels of the plate together, NaN left out: on a single empty field Otsu splits
    the noise, over a plate it finds the cells. Infinity (nothing is foreground) where no pixel differs.
    """
    values = np.log1p(np.clip(views[np.isfinite(views)], 0, None).astype(np.float64))
    if not values.size or values.min() == values.max():
        return float("inf")
    counts, edges = np.histogram(values, bins=bins)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / np.maximum(above, 1)) ** 2
    return float(np.expm1(edges[1 + int(np.argmax(between))]))


def foreground_map(views: np.ndarray, *, thresholds: np.ndarray) -> np.ndarray:
    """Return where any channel of a field (C, h, w) exceeds its plate's threshold (C,): bool (h, w)."""
    thresholds = np.asarray(thresholds, dtype=np.float64).reshape(-1, 1, 1)
    if views.ndim != 3 or len(thresholds) != len(views):
        raise ValueError(f"foreground: expected {len(thresholds)} channels of views, found the shape {views.shape}")
    return (views > thresholds).any(axis=0)


def foreground_fraction(
    binary: np.ndarray, origins: np.ndarray, tile: int, *, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Return the share of foreground of each tile: (n,) float64 of a binary map (h, w) and origins (n, 2).

    The map may be coarser than the field, whose `shape` (H, W) is then given: a tile counts the map's pixels that it
    touches.
    """
    height, width = binary.shape if shape is None else shape
    scale = np.array([binary.shape[0] / height, binary.shape[1] / width])
    low = np.floor(origins * scale + 1e-9).astype(np.int64)
    high = np.minimum(np.ceil((origins + tile) * scale - 1e-9).astype(np.int64), binary.shape)
    # Counting the ones of each tile is several times as fast as sums over the map.
    inside = [
        np.count_nonzero(binary[top:bottom, left:right])
        for (top, left), (bottom, right) in zip(low.tolist(), high.tolist(), strict=True)
    ]
    return np.array(inside, dtype=np.float64) / np.maximum((high - low).prod(axis=1), 1)


def tiles_with_foreground(
    binary: np.ndarray, origins: np.ndarray, tile: int, *, least: float = 0.02, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Return the origins (m, 2) of the tiles with a share of foreground of `least` or more, never an empty one."""
    fraction = foreground_fraction(binary, origins, tile, shape=shape)
    return origins[(fraction >= least) & (fraction > 0)]


def cut(field: np.ndarray, centres: np.ndarray, size: int) -> np.ndarray:
    """Return squares (n, C, size, size) of a field (C, H, W) around `centres` (n, 2), in the field's dtype.

    A centre is rounded to its pixel (halves up), which becomes index ``size // 2`` of the square. Beyond the border the
    field is reflected without repeating the edge (``numpy.pad(mode="reflect")``).

    Raises
    ------
    ValueError
        A centre that is not a number or lies outside the field, or a size below 1.
    """
    centres = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    if size < 1:
        raise ValueError(f"crop size: expected 1 px or more, found {size}")
    if not len(centres):
        return np.empty((0, field.shape[0], size, size), dtype=field.dtype)
    nearest = np.floor(np.nan_to_num(centres, nan=-9.0) + 0.5).astype(np.int64)
    outside = ((nearest < 0) | (nearest >= field.shape[1:])).any(axis=1)
    if outside.any():
        raise ValueError(f"centre {centres[outside][0].tolist()}: expected one inside the field {field.shape[1:]}")
    out = np.empty((len(nearest), field.shape[0], size, size), dtype=field.dtype)
    corners = nearest - size // 2
    inside = ((corners >= 0) & (corners + size <= field.shape[1:])).all(axis=1)
    if inside.any():
        lines, to = _lines(field, size), out.view(np.dtype((np.void, size * out.itemsize)))[..., 0]
        for place, (y, x) in zip(np.flatnonzero(inside).tolist(), corners[inside].tolist(), strict=True):
            to[place] = lines[:, y : y + size, x]
    for place, corner in zip(np.flatnonzero(~inside).tolist(), corners[~inside].tolist(), strict=True):
        parts = [_parts(start, size, edge) for start, edge in zip(corner, field.shape[1:], strict=True)]
        for rows, from_rows in parts[0]:
            for columns, from_columns in parts[1]:
                out[place, :, rows, columns] = field[:, from_rows, from_columns]
    return out


def mask(squares: np.ndarray, own: np.ndarray, numbers: np.ndarray, background: np.ndarray) -> None:
    """Fill, in place, what is not the cell in squares (n, C, size, size) around the cells `numbers` (n,).

    `own` (n, K, size, size) are the same squares of K label images; a pixel of the cell bears its number in one.
    `background` (C,) is what the others become, counts.
    """
    other = (own != np.asarray(numbers)[:, None, None, None]).all(axis=1, keepdims=True)
    np.copyto(squares, np.asarray(background)[:, None, None], where=other, casting="unsafe")


def _lines(field: np.ndarray, size: int) -> np.ndarray:
    """Return every run of `size` pixels along a row of a field (C, H, W) as one element: (C, H, W - size + 1), a view.

    Copied so, a square takes three quarters of the time: a row is one move in place of a loop over its pixels.
    """
    whole = np.ascontiguousarray(field)
    shape = (*whole.shape[:2], whole.shape[2] - size + 1)
    return np.ndarray(shape, np.dtype((np.void, size * whole.itemsize)), whole, strides=whole.strides)


def _parts(start: int, size: int, edge: int) -> list[tuple[slice, slice]]:
    """Return where `size` indices from `start` on come from along an axis of length `edge`, mirrored at both ends.

    Pairs of slices, of the square and of the field; slices, since gathering by index takes several times as long.
    """
    stop, period = start + size, edge - 1
    if period == 0:
        return [(slice(place, place + 1), slice(0, 1)) for place in range(size)]
    parts = []
    # Copy number k of the axis covers k * period ... (k + 1) * period, every second one backwards.
    for copy in range(start // period, -(-stop // period)):
        low, high = max(start, copy * period), min(stop, (copy + 1) * period)
        first, last = low - copy * period, high - copy * period
        # Index i of a mirrored copy is the axis' period - i.
        source = slice(period - first, period - last, -1) if copy % 2 else slice(first, last)
        parts.append((slice(low - start, high - start), source))
    return parts


def soft_window(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian weight (size, size) float32 about the square's middle, 1 at its highest, `sigma` in px.

    Multiplied onto a crop (about its background) it fades the neighbours without a hard edge to learn from.
    """
    if sigma <= 0:
        raise ValueError(f"soft window: expected a sigma above 0 px, found {sigma}")
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    return (np.outer(line, line) / line.max() ** 2).astype(np.float32)


def well_sites(fields: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the sites of each well, both sorted, from (well, site) pairs."""
    wells: dict[str, list[str]] = {}
    for well, site in sorted(set(fields)):
        wells.setdefault(well, []).append(site)
    return wells
