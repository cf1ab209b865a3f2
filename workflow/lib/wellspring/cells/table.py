"""The table of the cells of one field: centres, boxes, areas, brightness and flags, from its label images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from wellspring.cells.flags import measure

CLOSE = 0.05  # diameters between two nuclei that touch


def table(
    nuclei: np.ndarray,
    cells: np.ndarray,
    *,
    dna: np.ndarray,
    diameter: float,
    small: float = 0.25,
    large: float = 4.0,
) -> pd.DataFrame:
    """Return one row per cell of the label images of a field.

    Parameters
    ----------
    nuclei, cells
        (H, W) unsigned labels, 0 is background. The same number is the same cell; a number in one image only is an
        unmatched row.
    dna
        (H, W) counts, for brightness and sharpness of the nuclei.
    diameter
        Typical nucleus diameter, px.
    small, large
        A nucleus below `small` or above `large` times the area of the typical disc is flagged.

    Returns
    -------
    pandas.DataFrame
        Columns of the table ``cells`` without plate, well and site; sorted by ``Metadata_Cell``. The centre is the
        centroid of the nucleus, or of the cell without a nucleus; the bounding box contains cell and nucleus, half
        open. Flags that compare with other cells of the plate are added by `flags.flag`.

    Raises
    ------
    ValueError
        The images differ in shape.
    """
    if nuclei.shape != cells.shape:
        raise ValueError(f"label images: expected one shape, found {nuclei.shape} and {cells.shape}")
    count = int(max(nuclei.max(initial=0), cells.max(initial=0))) + 1
    areas = [np.bincount(labels.ravel(), minlength=count) for labels in (nuclei, cells)]
    numbers = np.flatnonzero((areas[0] + areas[1])[1:]) + 1
    nucleus, cell = (area[numbers] for area in areas)
    centre = np.where(nucleus[:, None] > 0, _centroids(nuclei, count)[numbers], _centroids(cells, count)[numbers])
    boxes = _boxes([nuclei, cells], numbers)
    height, width = nuclei.shape
    disc = np.pi / 4 * diameter**2
    border = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2] == height) | (boxes[:, 3] == width)
    flags = {
        "border": border,
        "small": (nucleus > 0) & (nucleus < small * disc),
        "large": nucleus > large * disc,
        "unmatched": (nucleus == 0) | (cell == 0),
    }
    named = np.array(list(flags))
    measured = measure(nuclei, dna, outside=(nuclei == 0) & (cells == 0), diameter=diameter)
    brightness, sharpness = (np.pad(values, (0, count - len(values))) for values in measured)
    touching = np.pad(contact(nuclei, diameter=diameter), (0, count - int(nuclei.max(initial=0)) - 1))
    return pd.DataFrame(
        {
            "Metadata_Cell": numbers.astype(np.int32),
            "Metadata_Center_Y": centre[:, 0].astype(np.float32),
            "Metadata_Center_X": centre[:, 1].astype(np.float32),
            "Metadata_Box_Y0": boxes[:, 0],
            "Metadata_Box_X0": boxes[:, 1],
            "Metadata_Box_Y1": boxes[:, 2],
            "Metadata_Box_X1": boxes[:, 3],
            "Metadata_Nucleus_Area": nucleus.astype(np.int32),
            "Metadata_Cell_Area": cell.astype(np.int32),
            "Metadata_Nucleus_Brightness": brightness[numbers],
            "Metadata_Nucleus_Sharpness": sharpness[numbers],
            "Metadata_Nucleus_Contact": touching[numbers],
            "Metadata_Matched": (nucleus > 0) & (cell > 0),
            "Metadata_Border": border,
            "Metadata_Flags": [";".join(named[row]) for row in np.stack(list(flags.values()), axis=1)],
        }
    )


def contact(nuclei: np.ndarray, *, diameter: float) -> np.ndarray:
    """Return the share of the outline of the nuclei 0 to n that lies at another nucleus, (n + 1,) float32.

    Pixels within a twentieth of `diameter`, and at least 1 px, of another nucleus count. Nuclei that touch have a small
    share, the pieces of a divided object a large one: 0.36 for two halves of a disc, 0.5 for four quarters.
    """
    labels = nuclei.astype(np.int32)
    inside, edge = labels > 0, 2 * max(1, round(CLOSE * diameter)) + 1
    others = np.where(inside, labels, np.iinfo(labels.dtype).max)
    near = (ndimage.maximum_filter(labels, edge) != labels) | (ndimage.minimum_filter(others, edge) != labels)
    outline = inside & ((ndimage.maximum_filter(labels, 3) != labels) | (ndimage.minimum_filter(labels, 3) != labels))
    count = int(labels.max(initial=0)) + 1
    both, whole = (np.bincount(labels[where], minlength=count) for where in (outline & near, outline))
    shares: np.ndarray = (both / np.maximum(whole, 1)).astype(np.float32)
    return shares


def _centroids(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the centroids (y, x) of the labels 0 to count - 1, (count, 2); 0 for absent labels."""
    flat = labels.ravel()
    total = np.maximum(np.bincount(flat, minlength=count), 1)
    axes = (np.repeat(np.arange(labels.shape[0]), labels.shape[1]), np.tile(np.arange(labels.shape[1]), len(labels)))
    return np.stack([np.bincount(flat, axis, minlength=count) / total for axis in axes], axis=1)


def _boxes(images: Sequence[np.ndarray], numbers: np.ndarray) -> np.ndarray:
    """Return the half-open bounding boxes (y0, x0, y1, x1) of `numbers` over all `images`, (n, 4) int32."""
    boxes = np.tile(np.array([2**30, 2**30, 0, 0], dtype=np.int32), (int(numbers.max(initial=0)) + 1, 1))
    for labels in images:
        for number, found in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
            if found is not None:
                y, x = found
                low, high = np.minimum(boxes[number, :2], (y.start, x.start)), (y.stop, x.stop)
                boxes[number] = *low, *np.maximum(boxes[number, 2:], high)
    chosen: np.ndarray = boxes[numbers]
    return chosen
