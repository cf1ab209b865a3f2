"""Single cells in the treatments' panels: shares and tests in words, and tiles of cells beyond the limit and within.

Shown where `profile.single_cell` is true. A tile has four cells of a treatment's wells, on the intensity scale of their
plates; the cells are those that the rule `single_cells` chose as typical of their side.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io import ngff
from wellspring.io.packed import Packed
from wellspring.io.phrases import count
from wellspring.report import palette, thumbnails
from wellspring.report.active import Population, Treatment
from wellspring.report.gather import Record, Screen
from wellspring.report.svg import probability
from wellspring.report.wording import worded

MOST = 40  # treatments with pictures of cells, the strongest first
CELLS = 4  # per tile
EDGE = 64  # px of a square around a cell where the screen has no crops
SIDES = {"beyond": "cells beyond the limit", "within": "cells within"}
CONTROLS = "control cells within"


def encoder_of(screen: Screen, encoder: str) -> str:
    """Return the encoder whose cells are shown: the page's, or the first with single cells; empty without any."""
    return next((name for name in (encoder, *screen.encoders) if name in screen.cell_tests), "")


def tiles(screen: Screen, found: Population, *, size: int) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Return tiles (C, size, size): of (side, treatment) for the strongest treatments, and of (`CONTROLS`, plate)."""
    chosen = screen.chosen_cells.get(encoder_of(screen, found.encoder), pd.DataFrame())
    if chosen.empty:
        return {}
    reader, result = _Cells(screen), dict[tuple[str, str], NDArray[np.uint8]]()
    by_well = dict(list(chosen.groupby(["Metadata_Plate", "Metadata_Well"])))
    shown = [*found.strongest(), *found.controls][:MOST]
    for one in shown:
        rows = _joined([by_well[well] for well in one.wells if well in by_well])
        for side in SIDES:
            if len(rows):
                _put(result, (side, one.item), reader.tile(_spread(rows[rows["Metadata_Chosen"] == side]), size))
    negative = screen.wells[screen.wells["Metadata_pert_type"] == "negcon"] if len(screen.wells) else screen.wells
    for plate in sorted({plate for one in shown for plate, _ in one.wells}):
        wells = negative.loc[negative["Metadata_Plate"] == plate, "Metadata_Well"]
        rows = _joined([by_well[plate, well] for well in wells if (plate, well) in by_well])
        if len(rows):
            _put(result, (CONTROLS, plate), reader.tile(_spread(rows[rows["Metadata_Chosen"] == "within"]), size))
    return result


def block(screen: Screen, one: Treatment, numbers: Mapping[tuple[str, str], int], *, encoder: str) -> Record | None:
    """Return `words` and `strips` (title and number of a tile) of a treatment; None where its cells were not tested."""
    name = encoder_of(screen, encoder)
    table = screen.cell_tests.get(name, pd.DataFrame())
    mine = table[table["Metadata_Item"] == one.item].to_dict("records") if len(table) else []
    if not mine:
        return None
    strips = [[title, numbers[side, one.item]] for side, title in SIDES.items() if (side, one.item) in numbers]
    if strips:
        plate = next((plate for plate, _ in one.wells if (CONTROLS, plate) in numbers), None)
        strips += [[f"{CONTROLS}, {plate}", numbers[CONTROLS, plate]]] if plate is not None else []
    return {"words": words(mine[0]) + (f" Cells of {name}." if name != encoder else ""), "strips": strips}


def words(row: Mapping[str, Any]) -> str:
    """Return share, its range over wells, and the tests of a row of the table `cell_tests`."""
    parts = [f"{count(row['cells'], 'single cell')} in {count(row['wells'], 'well')}"]
    if not pd.isna(row["share"]):
        parts[0] += (
            f": {_percent(row['share'])} % lie beyond the limit of 95 % of the control cells "
            f"({_percent(row['share_lowest'])} to {_percent(row['share_highest'])} % by well; 95 % of the control "
            f"wells have at most {_percent(row['share_controls'])} %)"
        )
    if row["Metadata_Reason"]:
        parts.append(f"not tested: {worded(row['Metadata_Reason'])}")
    else:
        tests = {"any difference of the distribution": "distribution", "of the mean": "mean", "about the mean": "shape"}
        parts.append(", ".join(f"{name}: q {probability(row[f'q_{test}'])}" for name, test in tests.items()))
    return "; ".join(parts) + "."


class _Cells:
    """Reads squares around cells: of corrected fields, or of ready-made crops."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._images: dict[str, ngff.PlateImages] = {}
        self._crops: dict[str, Packed] = {}
        self._scales: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}

    def tile(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8] | None:
        """Return a tile of up to four cells; None where no image of them is there."""
        half, found = size // 2, []
        for row in rows.to_dict("records"):
            image = self._image(row)
            if image is not None:
                low, high = self._scale(row["Metadata_Plate"], image)
                pairs = zip(thumbnails.square(image, half), low, high, strict=True)
                found.append(np.stack([palette.grey(plane, low=float(a), high=float(b)) for plane, a, b in pairs]))
        if not found:
            return None
        tile = np.zeros((len(self.screen.channels), size, size), dtype=np.uint8)
        for place, picture in enumerate(found[:CELLS]):
            y, x = half * (place // 2), half * (place % 2)
            tile[:, y : y + half, x : x + half] = picture
        return tile

    def _image(self, row: Mapping[str, Any]) -> NDArray[Any] | None:
        plate = str(row["Metadata_Plate"])
        if plate in self.screen.image_files and not pd.isna(row["Metadata_Center_Y"]):
            if plate not in self._images:
                self._images[plate] = ngff.open_plate(self.screen.image_files[plate].parent)
            images, edge = self._images[plate], self._edge(plate)
            height, width = images.shape[1:]
            y, x = (_start(float(row[f"Metadata_Center_{axis}"]), edge) for axis in "YX")
            rows, columns = slice(max(y, 0), min(y + edge, height)), slice(max(x, 0), min(x + edge, width))
            place = row["Metadata_Well"], row["Metadata_Site"]
            part = thumbnails.read(self.screen, images, *place, rows=rows, columns=columns)
            sides = (rows.start - y, y + edge - rows.stop), (columns.start - x, x + edge - columns.stop)
            return np.pad(part, ((0, 0), *sides), mode="edge")
        table = self.screen.crops.get(plate, pd.DataFrame())
        if len(table):
            keys = ("Metadata_Well", "Metadata_Site")
            mine = table[np.logical_and.reduce([table[key] == row[key] for key in keys])]
            mine = mine[mine["Metadata_Cell"] == row["Metadata_View"]]
            if len(mine) and plate in self.screen.crop_files:
                crop = self._packed(plate).read(int(mine["Metadata_Row"].iloc[0]))
                return thumbnails.on_all(self.screen, plate, crop)
        return None

    def _edge(self, plate: str) -> int:
        return int(self._packed(plate).shape[-1]) if plate in self.screen.crop_files else EDGE

    def _packed(self, plate: str) -> Packed:
        if plate not in self._crops:
            self._crops[plate] = Packed(self.screen.crop_files[plate])
        return self._crops[plate]

    def _scale(self, plate: str, image: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return black and white of a plate, of its first picture where they were not measured."""
        if plate not in self._scales:
            measured = thumbnails.intensity(self.screen, plate)
            self._scales[plate] = measured or thumbnails.percentiles(np.asarray(image, dtype=np.float64)[None])
        return self._scales[plate]


def _start(centre: float, edge: int) -> int:
    """Return the first pixel of a square; its middle is the pixel nearest to the centre."""
    return math.floor(centre + 0.5) - edge // 2


def _spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Return at most `CELLS` rows, the wells in turn."""
    turn = rows.groupby(["Metadata_Plate", "Metadata_Well"]).cumcount()
    return rows.loc[turn.sort_values(kind="stable").index[:CELLS]]


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _put(
    result: dict[tuple[str, str], NDArray[np.uint8]], key: tuple[str, str], tile: NDArray[np.uint8] | None
) -> None:
    if tile is not None:
        result[key] = tile


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"
