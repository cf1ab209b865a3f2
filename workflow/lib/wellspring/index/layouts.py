"""Compare the wells of a platemap with those of the images: which other reading of the platemap would agree."""

from collections.abc import Collection

from wellspring.screen import well_names

ALIKE = 0.9  # share of the wells of both that must agree in another reading
GAIN = 0.2  # and by how much it must agree better than the platemap as it is


def hint(imaged: Collection[str], mapped: Collection[str]) -> str:
    """Return what may be wrong with a platemap whose wells are not those of the images, as part of a message.

    Parameters
    ----------
    imaged, mapped
        Wells of the images, and of the platemap without empty wells, as ``A01``.

    Examples
    --------
    >>> hint(["A01", "A02", "A03"], ["A01", "B01", "C01"])
    '; rows and columns of the platemap may be swapped: then 3 of 3 wells agree'
    """
    images = {well_names.position(well) for well in imaged}
    cells = {well_names.position(well) for well in mapped}
    if not images or not cells:
        return ""
    readings = {"rows and columns of the platemap may be swapped": {(column, row) for row, column in cells}}
    for down, right in ((0, 1), (1, 0), (1, 1), (0, -1), (-1, 0), (-1, -1)):
        words = [f"{what} by {step:+d}" for what, step in (("rows", down), ("columns", right)) if step]
        readings[f"the platemap may be shifted, {' and '.join(words)}"] = {(r + down, c + right) for r, c in cells}
    now = _alike(cells, images)
    best = max(readings, key=lambda words: _alike(readings[words], images))
    then = _alike(readings[best], images)
    if now < then == 1 or then >= max(ALIKE, now + GAIN):
        both = readings[best] & images
        return f"; {best}: then {len(both)} of {len(readings[best] | images)} wells agree"
    formats = [next(size for size in well_names.PLATES if _fits(found, size)) for found in (cells, images)]
    if formats[0] != formats[1]:
        of_map, of_images = (rows * columns for rows, columns in formats)
        return f"; the platemap has the extent of a plate of {of_map} wells, the images of one of {of_images}"
    return ""


def _alike(one: set[tuple[int, int]], other: set[tuple[int, int]]) -> float:
    return len(one & other) / len(one | other)


def _fits(found: set[tuple[int, int]], size: tuple[int, int]) -> bool:
    return max(row for row, _ in found) < size[0] and max(column for _, column in found) < size[1]
