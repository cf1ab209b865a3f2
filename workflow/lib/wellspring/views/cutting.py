"""Cutting views out of a field: tiles of a grid, squares around cells, and their share of foreground.

Training crops and embedding cut with the same code. Coordinates are (y, x) in pixels; pixel centres have integer
coordinates; an origin is the upper left pixel of a tile. NumPy only.
"""

from collections.abc import Iterable

import numpy as np


def length_in_pixels(length: float, *, unit: str = "px", pixel_size: float | None = None, key: str = "size") -> float:
    """Convert a length to pixels: unchanged for ``px``, divided by the pixel size (um) for ``um``.

    Parameters
    ----------
    length, unit
        The length, in ``px`` or ``um``.
    pixel_size
        Edge of a pixel, um; None where the images do not state it.
    key
        The config key of the length, for messages.

    Raises
    ------
    ValueError
        Micrometres without a pixel size, another unit, or a length that is not above 0.

    Examples
    --------
    >>> length_in_pixels(30, unit="um", pixel_size=0.5)
    60.0
    """
    if unit not in ("px", "um"):
        raise ValueError(f"{key}: expected the unit px or um, found {unit!r}")
    if length <= 0:
        raise ValueError(f"{key}: expected a length above 0, found {length}")
    if unit == "px":
        return float(length)
    if not pixel_size:
        raise ValueError(
            f"{key}: cannot convert {length} um to pixels, because the images do not state their pixel size: "
            "set survey.pixel_size (micrometres per pixel), or use unit: px"
        )
    return float(length) / float(pixel_size)


def tile_grid(height: int, width: int, tile: int, stride: int | None = None) -> np.ndarray:
    """Return the origins (n, 2) int64 of square tiles that cover a field (height, width), row by row.

    The step is `stride` (default: the edge `tile`, without overlap). The last row and column are shifted inwards to end
    at the edge of the field, and overlap their neighbours.

    Raises
    ------
    ValueError
        The tile is larger than the field, or the stride leaves gaps.

    Examples
    --------
    >>> tile_grid(50, 70, 32).tolist()
    [[0, 0], [0, 32], [0, 38], [18, 0], [18, 32], [18, 38]]
    """
    stride = tile if stride is None else stride
    if tile < 1 or tile > min(height, width):
        raise ValueError(f"tile of {tile} px: expected 1 to {min(height, width)} px in a field of {height} x {width}")
    if not 1 <= stride <= tile:
        raise ValueError(f"stride of {stride} px: expected 1 to {tile} px (the tile), since a larger one leaves gaps")
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
    """Return the foreground threshold of one channel of a plate from its binned fields (n, h, w).

    Otsu (1979) on the logarithm of all pixels of the plate, without NaN. On a single empty field, Otsu's threshold
    separates noise from noise; over a plate, it separates cells from background. Infinity (no foreground) where all
    pixels are equal.
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


def foreground_fraction(
    binary: np.ndarray, origins: np.ndarray, tile: int, *, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Return the share of foreground of each tile, (n,) float64.

    Parameters
    ----------
    binary
        (h, w) bool, true for foreground.
    origins
        (n, 2) of the tiles, px of the field.
    tile
        Edge of a tile, px of the field.
    shape
        (H, W) of the field, where `binary` is coarser than the field; each pixel of `binary` that a tile touches
        counts.
    """
    height, width = binary.shape if shape is None else shape
    scale = np.array([binary.shape[0] / height, binary.shape[1] / width])
    low = np.floor(origins * scale + 1e-9).astype(np.int64)
    high = np.minimum(np.ceil((origins + tile) * scale - 1e-9).astype(np.int64), binary.shape)
    # Counting per tile is several times as fast as an integral image.
    inside = [
        np.count_nonzero(binary[top:bottom, left:right])
        for (top, left), (bottom, right) in zip(low.tolist(), high.tolist(), strict=True)
    ]
    share: np.ndarray = np.array(inside, dtype=np.float64) / np.maximum((high - low).prod(axis=1), 1)
    return share


def cut(field: np.ndarray, centres: np.ndarray, size: int) -> np.ndarray:
    """Cut squares (n, C, size, size) out of a field (C, H, W) around `centres` (n, 2), in the dtype of the field.

    A centre is rounded to the nearest pixel (half up), which becomes index ``size // 2`` of the square. Beyond the
    border, the field is reflected without repeating the edge (``numpy.pad(mode="reflect")``).

    Raises
    ------
    ValueError
        A centre is NaN or outside the field, or the size is below 1.
    """
    centres = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    if size < 1:
        raise ValueError(f"crop size: expected 1 px or more, found {size}")
    if not len(centres):
        return np.empty((0, field.shape[0], size, size), dtype=field.dtype)
    nearest = np.floor(np.nan_to_num(centres, nan=-9.0) + 0.5).astype(np.int64)
    outside = ((nearest < 0) | (nearest >= field.shape[1:])).any(axis=1)
    if outside.any():
        raise ValueError(f"centre {centres[outside][0].tolist()}: expected a point inside the field {field.shape[1:]}")
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


def mask(squares: np.ndarray, labels: np.ndarray, numbers: np.ndarray, background: np.ndarray) -> None:
    """Replace, in place, the pixels outside the cell in squares (n, C, size, size) around the cells `numbers` (n,).

    Parameters
    ----------
    squares
        Changed in place.
    labels
        (n, K, size, size), the same squares of K label images. A pixel belongs to the cell when one of them has the
        number of the cell.
    numbers
        (n,) of the cells.
    background
        (C,) counts of the pixels outside.
    """
    other = (labels != np.asarray(numbers)[:, None, None, None]).all(axis=1, keepdims=True)
    np.copyto(squares, np.asarray(background)[:, None, None], where=other, casting="unsafe")


def _lines(field: np.ndarray, size: int) -> np.ndarray:
    """Return each run of `size` pixels along a row of a field (C, H, W) as one element: (C, H, W - size + 1), a view.

    Copying a square as such runs takes 3/4 of the time of copying pixels.
    """
    whole = np.ascontiguousarray(field)
    shape = (*whole.shape[:2], whole.shape[2] - size + 1)
    return np.ndarray(shape, np.dtype((np.void, size * whole.itemsize)), whole, strides=whole.strides)


def _parts(start: int, size: int, edge: int) -> list[tuple[slice, slice]]:
    """Return the sources of `size` indices from `start` along an axis of length `edge`, mirrored at both ends.

    Pairs of slices: of the square, and of the field. Slices are several times as fast as an index array.
    """
    stop, period = start + size, edge - 1
    if period == 0:
        return [(slice(place, place + 1), slice(0, 1)) for place in range(size)]
    parts = []
    # Copy k of the axis covers k * period to (k + 1) * period; odd copies run backwards.
    for copy in range(start // period, -(-stop // period)):
        low, high = max(start, copy * period), min(stop, (copy + 1) * period)
        first, last = low - copy * period, high - copy * period
        # Index i of a mirrored copy is index period - i of the axis.
        source = slice(period - first, period - last, -1) if copy % 2 else slice(first, last)
        parts.append((slice(low - start, high - start), source))
    return parts


def soft_window(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian window (size, size) float32 about the centre of a square: maximum 1, `sigma` in px.

    Multiplied with a crop whose background is 0, it fades neighbouring cells without a hard edge.
    """
    if sigma <= 0:
        raise ValueError(f"soft window: expected a sigma above 0 px, found {sigma}")
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    window: np.ndarray = np.outer(line, line) / line.max() ** 2
    return window.astype(np.float32)


def well_sites(fields: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the sites of each well from (well, site) pairs; wells and sites are sorted."""
    wells: dict[str, list[str]] = {}
    for well, site in sorted(set(fields)):
        wells.setdefault(well, []).append(site)
    return wells
