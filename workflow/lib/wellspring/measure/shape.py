"""Shape features of objects, as cp_measure's ``get_sizeshape`` and ``get_feret`` define them, without positions."""

import numpy as np
from cp_measure.core.numba._feret import get_feret
from cp_measure.primitives import _moments as moments

from wellspring.measure.objects import Objects, compiled

ORDER = 4  # moments are of the orders 0 to 3 in rows and columns
DIAGONAL = float(np.sqrt(2))
PIECES = ("Perimeter", "PerimeterCrofton", "EulerNumber", "FilledArea", "ConvexArea")
# Lengths of scikit-image's `perimeter` by the border pixels around a border pixel, and of `perimeter_crofton` and
# steps of `euler_number` by the pixels of a square of 2 x 2.
STEPS = np.zeros(50)
STEPS[[5, 7, 15, 17, 25, 27]], STEPS[[21, 33]], STEPS[[13, 23]] = 1, DIAGONAL, (1 + DIAGONAL) / 2
SLANT = 1 / (4 * DIAGONAL)
CROFTON = np.pi * np.array(
    [0, 0.25 + SLANT, SLANT, 2 * SLANT, 0, 0.25 + SLANT, 0, SLANT, 0.25, 0.5, SLANT, SLANT, 0.25, 0.5, 0, 0]
)
EULER = np.array([0.0, 0, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, -1, 0])


def measure(objects: Objects) -> dict[str, np.ndarray]:
    """Return name to (m,) values."""
    area = np.diff(objects.starts).astype(np.float64)
    box = np.array([(y.stop - y.start) * (x.stop - x.start) for y, x in objects.boxes], dtype=np.float64)
    pieces = _pieces(objects.starts, objects.rows, objects.columns, STEPS, CROFTON, EULER)
    found = dict(zip(PIECES, pieces.T, strict=True))
    radii = _radii(objects.depth, objects.starts)
    raw, central = _moments(objects.starts, objects.rows, objects.columns)
    normalised = np.full(raw.shape, np.nan)
    for row, column in np.argwhere(np.add.outer(np.arange(ORDER), np.arange(ORDER)) >= 2):
        normalised[:, row, column] = central[:, row, column] / area ** ((row + column) / 2 + 1)
    inertia = moments.inertia_2d(central)
    major, minor, eccentricity, _ = moments.axes_eccentricity_orientation(inertia)
    return {
        "Area": area,
        "BoundingBoxArea": box,
        "EquivalentDiameter": np.sqrt(4 * area / np.pi),
        "MajorAxisLength": major,
        "MinorAxisLength": minor,
        "Eccentricity": eccentricity,
        "FormFactor": 4 * np.pi * area / found["Perimeter"] ** 2,
        "Extent": area / box,
        "Solidity": area / found["ConvexArea"],
        "Compactness": found["Perimeter"] ** 2 / (4 * np.pi * area),
        "MaximumRadius": radii[:, 0],
        "MeanRadius": radii[:, 1],
        "MedianRadius": radii[:, 2],
        **found,
        **moments.moment_feature_dict(raw, central, normalised, moments._hu_from_normalized(normalised), inertia),
        **get_feret(objects.labels),
    }


@compiled
def _pieces(
    starts: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    steps: np.ndarray,
    crofton: np.ndarray,
    euler: np.ndarray,
) -> np.ndarray:
    """Return PIECES of each object, (m, 5)."""
    out = np.zeros((len(starts) - 1, 5))
    for number in range(len(starts) - 1):
        part = slice(starts[number], starts[number + 1])
        y, x = rows[part] - rows[part].min(), columns[part] - columns[part].min()
        mask = np.zeros((y.max() + 3, x.max() + 3), np.bool_)  # with a frame of one pixel
        for pixel in range(len(y)):
            mask[y[pixel] + 1, x[pixel] + 1] = True
        out[number, 0] = _perimeter(mask, steps)
        for row in range(1, mask.shape[0]):
            for column in range(1, mask.shape[1]):
                above = 2 * mask[row - 1, column] + 8 * mask[row - 1, column - 1]
                square = mask[row, column] + 4 * mask[row, column - 1] + above
                out[number, 1] += crofton[square]
                out[number, 2] += euler[square]
        out[number, 3] = mask.size - _around(mask)
        out[number, 4] = _convex(mask)
    return out


@compiled
def _perimeter(mask: np.ndarray, steps: np.ndarray) -> float:
    height, width = mask.shape
    border = np.zeros((height, width), np.int64)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            whole = mask[y - 1, x] and mask[y + 1, x] and mask[y, x - 1] and mask[y, x + 1]
            border[y, x] = mask[y, x] and not whole
    total = 0.0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if border[y, x]:
                near = border[y - 1, x] + border[y + 1, x] + border[y, x - 1] + border[y, x + 1]
                far = border[y - 1, x - 1] + border[y - 1, x + 1] + border[y + 1, x - 1] + border[y + 1, x + 1]
                total += steps[1 + 2 * near + 10 * far]
    return total


@compiled
def _around(mask: np.ndarray) -> int:
    """Return the number of pixels outside that the frame reaches, over corners too; the rest are object and holes."""
    height, width = mask.shape
    seen = mask.copy()
    seen[0, 0] = True
    stack = [(0, 0)]
    count = 0
    while stack:
        y, x = stack.pop()
        count += 1
        for row in range(max(y - 1, 0), min(y + 2, height)):
            for column in range(max(x - 1, 0), min(x + 2, width)):
                if not seen[row, column]:
                    seen[row, column] = True
                    stack.append((row, column))
    return count


@compiled
def _convex(mask: np.ndarray) -> int:
    """Return the number of pixels whose centre is in the convex hull of the middles of all pixels' sides.

    Coordinates are doubled, so that they are integers and the count is exact.
    """
    height = mask.shape[0]
    left, right = np.full(2 * height, 2**40), np.full(2 * height, -(2**40))
    for y in range(height):
        inside = np.flatnonzero(mask[y])
        if len(inside):
            for row, wide in ((2 * y - 1, 0), (2 * y, 1), (2 * y + 1, 0)):
                left[row] = min(left[row], 2 * inside[0] - wide)
                right[row] = max(right[row], 2 * inside[-1] + wide)
    low, high = _chain(left, 2**40), _chain(-right, 2**40)
    count = 0
    for y in range(height):
        if low[0, 0] <= 2 * y <= low[-1, 0]:
            first, last = _least(low, 2 * y), -_least(high, 2 * y)
            count += max(last - first + 1, 0)
    return count


@compiled
def _chain(edge: np.ndarray, absent: int) -> np.ndarray:
    """Return the corners (n, 2) of the left half of a convex hull, from the leftmost column of each row."""
    corners = np.empty((len(edge), 2), np.int64)
    count = 0
    for row in range(len(edge)):
        if edge[row] == absent:
            continue
        while count > 1:
            down, right = corners[count - 1, 0] - corners[count - 2, 0], corners[count - 1, 1] - corners[count - 2, 1]
            if right * (row - corners[count - 2, 0]) < down * (edge[row] - corners[count - 2, 1]):
                break
            count -= 1
        corners[count, 0], corners[count, 1] = row, edge[row]
        count += 1
    return corners[:count]


@compiled
def _least(corners: np.ndarray, row: int) -> int:
    """Return the first pixel on or right of a chain in a doubled row."""
    place = 0
    while place + 2 < len(corners) and corners[place + 1, 0] < row:
        place += 1
    down, right = corners[place + 1, 0] - corners[place, 0], corners[place + 1, 1] - corners[place, 1]
    column = corners[place, 1] * down + right * (row - corners[place, 0])
    return int(-((-column) // (2 * down)))


@compiled
def _radii(depth: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return maximum, mean and median depth of each object, (m, 3)."""
    out = np.zeros((len(starts) - 1, 3))
    for number in range(len(starts) - 1):
        own = depth[starts[number] : starts[number + 1]]
        out[number, 0], out[number, 1], out[number, 2] = own.max(), own.mean(), np.median(own)
    return out


@compiled
def _moments(starts: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return raw moments from the corner of the box, and central ones, (m, 4, 4) each."""
    raw, central = np.zeros((len(starts) - 1, 4, 4)), np.zeros((len(starts) - 1, 4, 4))
    for number in range(len(starts) - 1):
        part = slice(starts[number], starts[number + 1])
        y, x = rows[part] - rows[part].min(), columns[part] - columns[part].min()
        middle_y, middle_x = y.mean(), x.mean()
        for pixel in range(len(y)):
            for down in range(4):
                for right in range(4):
                    raw[number, down, right] += float(y[pixel]) ** down * float(x[pixel]) ** right
                    away = (y[pixel] - middle_y) ** down * (x[pixel] - middle_x) ** right
                    central[number, down, right] += away
    return raw, central
