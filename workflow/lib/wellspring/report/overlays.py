"""Segmented fields with outlined cells and nuclei, and the numbers of flagged cells per plate.

A negative control and a treated well of each plate are drawn, so that a segmentation that fails on either is seen. Part
of a large field is shown, as wide as some dozens of nuclei: outlines of a whole one would be a blur.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wellspring.io import ngff, sealed
from wellspring.report import palette, thumbnails
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.pictures import Picture
from wellspring.views.crops import well_generator
from wellspring.views.cutting import well_sites

COLUMNS = ["Metadata_Cell", "Metadata_Nucleus_Area", "Metadata_Flags"]
EDGE = 540  # px; largest edge of a picture
NUCLEI = 24  # width of a picture in nucleus diameters, for fields that are wider
SPARE = 1.25  # a field up to this much wider is shown whole
DIM = 0.55  # of the pixels' brightness, so that outlines stand out
# Outlines of a cell without and with flags, of its body and of its nucleus; they differ in lightness too.
PLAIN, FLAGGED = ((235, 235, 235), (90, 225, 255)), ((255, 110, 0), (255, 200, 60))
KINDS = {"negcon": "negative control", "trt": "treated", "poscon": "positive control"}
FLAGS = ("border", "small", "large", "unmatched", "dim", "bright", "blurred")


def fields(screen: Screen, *, limit: int) -> list[Picture]:
    """Return at most `limit` outlined fields, two per plate; of too many plates an evenly spread selection."""
    files = (screen.label_files, screen.image_files, screen.cell_files)
    there = [plate for plate in screen.plates if all(plate in each for each in files)]
    many = min(len(there), -(-limit // 2))
    chosen = [there[place] for place in np.linspace(0, len(there) - 1, many).round().astype(int)]
    return [picture for plate in chosen for picture in _of_plate(screen, plate)][:limit]


def by_plate(screen: Screen) -> list[Record]:
    """Return one dict per plate with cells: cells, flagged ones, and those with each flag."""
    found = screen.flags
    rows = []
    for plate in screen.plates if len(found) else ():
        mine = found[found["Metadata_Plate"] == plate]
        if len(mine):
            cells, bare = int(mine["Cells"].sum()), int(mine.loc[mine["Metadata_Flags"] == "", "Cells"].sum())
            rows.append({"plate": plate, "cells": cells, "flagged": cells - bare, "flags": counted(mine)})
    return rows


def counted(rows: pd.DataFrame) -> dict[str, int]:
    """Return flag -> cells that bear it, of rows with `Metadata_Flags` and `Cells`, in the order of FLAGS."""
    each = rows.assign(Flag=rows["Metadata_Flags"].str.split(";")).explode("Flag").groupby("Flag")["Cells"].sum()
    return {flag: int(each.get(flag, 0)) for flag in FLAGS}


def outlines(labels: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels (H, W) bool of objects that touch another label above, below, left or right."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        ahead = np.diff(labels.astype(np.int64), axis=axis) != 0
        first, last = [(slice(None), part) if axis else (part, slice(None)) for part in (slice(-1), slice(1, None))]
        edge[first] |= ahead
        edge[last] |= ahead
    return edge & (labels > 0)


def draw(pixels: NDArray[Any], nuclei: NDArray[Any], cells: NDArray[Any], *, flagged: NDArray[Any]) -> NDArray[Any]:
    """Return pixels (H, W, 3) uint8 with the outlines of labels (H, W); those of the numbers `flagged` in orange."""
    out = np.rint(pixels * DIM).astype(np.uint8)
    for place, labels in enumerate((cells, nuclei)):
        edge = outlines(labels)
        marked = np.isin(labels, flagged)
        out[edge & ~marked], out[edge & marked] = PLAIN[place], FLAGGED[place]
    return out


def window(shape: tuple[int, int], wide: float) -> tuple[tuple[slice, slice], int]:
    """Return the middle square of a field (H, W), about `wide` px, and the step that brings it to EDGE px or less."""
    edge = min(shape) if min(shape) <= SPARE * wide else max(1, round(wide))
    y, x = ((length - edge) // 2 for length in shape)
    return (slice(y, y + edge), slice(x, x + edge)), -(-edge // EDGE)


def _of_plate(screen: Screen, plate: str) -> list[Picture]:
    """Return fields of a random negative control and a random treated well; of other wells where there is none."""
    labels = ngff.open_labels(screen.label_files[plate].parent)
    sites = well_sites(labels.fields)
    wells = screen.wells[screen.wells["Metadata_Plate"] == plate]
    kind = dict(zip(wells["Metadata_Well"], pick(wells, "Metadata_pert_type").fillna(""), strict=True))
    name = dict(zip(wells["Metadata_Well"], pick(wells, "Metadata_Perturbation").fillna(""), strict=True))
    random = well_generator(screen.seed or 0, plate, "overlays")
    order = [list(sites)[place] for place in random.permutation(len(sites))]
    firsts = [next((well for well in order if kind.get(well) == wanted), None) for wanted in ("negcon", "trt")]
    drawn = [well for well in [*firsts, *order] if well is not None]
    pictures = []
    for well in list(dict.fromkeys(drawn))[:2]:
        site = sites[well][int(random.integers(len(sites[well])))]
        words = [str(name.get(well, "")), KINDS.get(kind.get(well, ""), "")]
        pictures.append(field(screen, labels, plate, well, site, words=[word for word in words if word]))
    return pictures


def field(screen: Screen, labels: ngff.PlateLabels, plate: str, well: str, site: str, *, words: list[str]) -> Picture:
    """Return the picture of one field with outlines; `words` are shown below its title."""
    images = ngff.open_plate(screen.image_files[plate].parent)
    here = [("Metadata_Well", "==", well), ("Metadata_Site", "==", site)]
    sealed.verify(screen.cell_files[plate])
    rows = pq.read_table(screen.cell_files[plate], columns=COLUMNS, filters=here).to_pandas()
    flags = rows["Metadata_Flags"].fillna("")
    area = rows.loc[rows["Metadata_Nucleus_Area"] > 0, "Metadata_Nucleus_Area"].median()
    height, width = labels.shape[1:]
    wide = NUCLEI * 2 * np.sqrt(area / np.pi) if area > 0 else max(height, width)
    (y, x), step = window((height, width), wide)
    nuclei, cells = (labels.read(well, site, kind)[y, x][::step, ::step] for kind in ("nuclei", "cells"))
    image = thumbnails.read(screen, images, well, site, rows=y, columns=x)
    scale = thumbnails.intensity(screen, plate) or np.percentile(image.reshape(len(image), -1), (1, 99.8), axis=1)
    shown = palette.composite(thumbnails.square(image, nuclei.shape[0]), low=scale[0], high=scale[1])
    pixels = draw(shown, nuclei, cells, flagged=rows.loc[flags != "", "Metadata_Cell"].to_numpy())
    many = counted(pd.DataFrame({"Metadata_Flags": flags, "Cells": 1}))
    reasons = ", ".join(f"{count} {flag}" for flag, count in many.items() if count)
    total = f"{len(rows):,} cells, {(flags != '').sum():,} flagged" + (f": {reasons}" if reasons else "")
    edge = y.stop - y.start
    part = [] if height == width == edge else [f"the middle {edge} px of {height} x {width}"]
    title = f"{plate} {well}, site {site}"
    return Picture(palette.data_address(pixels, kind="JPEG", quality=78), title, (" · ".join(words), total, *part))
