"""Pictures of treated and control wells for the treatments' panels: one grey sheet per channel, drawn on demand.

A tile shows four cells of a well, or one field where cells were not cropped, in every channel. Black and white are
those of the plate, so that a treated well and a control of its plate can be compared. The page draws one channel, or
mixes the channels into a composite. Sheets of many tiles share one file per channel.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io import packed
from wellspring.io.packed import Packed
from wellspring.report import palette, thumbnails
from wellspring.report.gather import Record, Screen

Well = tuple[str, str]  # plate, well
PLANS = (
    (6, 128),
    (4, 112),
    (3, 96),
    (2, 96),
    (2, 80),
    (1, 80),
    (1, 64),
    (1, 48),
    (1, 40),
    (1, 32),
)  # tiles a treatment, pixels of a tile
BUDGET = 5_000_000  # bytes of the page for all tiles
WEIGHT = 0.45  # bytes of the page for a grey pixel, at this quality
QUALITY = 72
CONTROLS = 3  # control wells a plate
SHEET = 64  # tiles a sheet: one is decoded when a tile of it is first shown
LEVELS = np.linspace(0.02, 0.98, 25)  # quantiles by which two wells are compared


@dataclass(frozen=True)
class Tiles:
    """Tiles in the order of their numbers, and the sheets that hold them."""

    size: int
    across: int
    channels: tuple[str, ...]
    sheets: tuple[tuple[str, ...], ...]  # one data address per channel
    numbers: dict[Well, int]
    quantiles: dict[Well, NDArray[Any]] = field(default_factory=dict)  # (channels, levels) of the grey values
    each: int = 0  # most tiles of a treatment
    what: str = ""

    def block(self) -> Record:
        """Return what the page needs to draw tiles."""
        wells = [f"{plate} {well}" for plate, well in self.numbers]
        colours = [list(colour) for colour in palette.CHANNELS[: len(self.channels)]]
        return {
            "size": self.size,
            "across": self.across,
            "each": SHEET,
            "channels": self.channels,
            "colours": colours,
            "sheets": self.sheets,
            "wells": wells,
            "what": self.what,
        }

    def difference(self, treated: Iterable[Well], controls: Iterable[Well]) -> int:
        """Return the channel in which treated wells differ most from controls of their plates, 0 without any.

        Distance: mean absolute difference of the quantiles of the grey values (Wasserstein-1).
        """
        own: dict[str, list[Well]] = {}
        for one in controls:
            own.setdefault(one[0], []).append(one)
        apart = [
            np.abs(self.quantiles[one] - np.mean([self.quantiles[other] for other in own[one[0]]], axis=0)).mean(axis=1)
            for one in treated
            if one in self.quantiles and one[0] in own
        ]
        return int(np.mean(apart, axis=0).argmax()) if apart else 0


def plan(treatments: int, plates: int, channels: int, *, budget: int = BUDGET) -> tuple[int, int]:
    """Return the number of tiles per treatment and their size in pixels: the largest that the budget allows."""
    for each, size in PLANS:
        tiles = each * treatments + CONTROLS * plates
        if tiles * channels * size * size * WEIGHT <= budget:
            return each, size
    return PLANS[-1]


def affordable(size: int, plates: int, channels: int, *, budget: int = BUDGET) -> int:
    """Return how many tiles of treatments the budget allows besides those of controls."""
    return max(0, int(budget / (WEIGHT * max(channels, 1) * size * size)) - CONTROLS * plates)


def spread(wells: Sequence[Well], limit: int) -> list[Well]:
    """Return at most `limit` of the wells, the plates in turn."""
    turn: dict[str, int] = {}
    places: list[tuple[int, int]] = []
    for one in wells:
        places.append((turn.get(one[0], 0), len(places)))
        turn[one[0]] = turn.get(one[0], 0) + 1
    return [wells[place] for _, place in sorted(places)][:limit]


def controls(screen: Screen) -> dict[str, list[Well]]:
    """Return plate -> negative controls with a picture, spread over the plate."""
    if screen.wells.empty or "Metadata_pert_type" not in screen.wells:
        return {}
    negative = screen.wells[screen.wells["Metadata_pert_type"] == "negcon"]
    found = {}
    for plate, rows in negative.groupby("Metadata_Plate", sort=True):
        known = pictured(screen, str(plate))
        there = [well for well in rows["Metadata_Well"] if well in known]
        places = np.linspace(0, max(len(there) - 1, 0), min(CONTROLS, len(there))).round().astype(int).tolist()
        found[str(plate)] = [(str(plate), str(there[place])) for place in places]
    return found


def pictured(screen: Screen, plate: str) -> set[str]:
    """Return the wells of a plate that a tile can be made of."""
    if screen.crops:
        table = screen.crops.get(plate, pd.DataFrame())
        return set(table["Metadata_Well"]) if len(table) and plate in screen.crop_files else set()
    if plate not in screen.view_files or screen.survey.empty:
        return set()
    survey = screen.survey
    return set(
        survey.loc[(survey["Metadata_Plate"] == plate) & (survey["Metadata_Verdict"] == "keep"), "Metadata_Well"]
    )


def make(
    screen: Screen,
    wells: Sequence[Well],
    *,
    size: int,
    each: int,
    further: Mapping[Well, NDArray[np.uint8]] | None = None,
) -> Tiles:
    """Return the tiles of wells, in their order, and then `further` ones; a well without a picture has none."""
    by_plate: dict[str, list[str]] = {}
    for plate, well in dict.fromkeys(wells):
        by_plate.setdefault(plate, []).append(well)
    draw = _of_cells if screen.crops else _of_fields
    found: dict[Well, NDArray[np.uint8]] = {}
    for plate, some in by_plate.items():
        found |= {(plate, well): tile for well, tile in draw(screen, plate, some, size).items()}
    found |= further or {}
    ordered = [one for one in dict.fromkeys([*wells, *(further or {})]) if one in found]
    across = int(SHEET**0.5)
    sheets = [
        tuple(
            palette.data_address(sheet, kind="JPEG", quality=QUALITY)
            for sheet in _sheet([found[one] for one in ordered[start : start + SHEET]], across)
        )
        for start in range(0, len(ordered), SHEET)
    ]
    return Tiles(
        size=size,
        across=across,
        channels=screen.channels,
        sheets=tuple(sheets),
        numbers={one: number for number, one in enumerate(ordered)},
        quantiles={one: np.quantile(found[one].reshape(len(screen.channels), -1), LEVELS, axis=1).T for one in ordered},
        each=each,
        what="four cells of the well" if screen.crops else "one field of the well",
    )


def _sheet(tiles: Sequence[NDArray[np.uint8]], across: int) -> NDArray[np.uint8]:
    """Return the sheets (C, H, W) of tiles (C, size, size), row by row."""
    channels, size, _ = tiles[0].shape
    sheet = np.zeros((channels, -(-len(tiles) // across) * size, min(across, len(tiles)) * size), dtype=np.uint8)
    for place, tile in enumerate(tiles):
        y, x = size * (place // across), size * (place % across)
        sheet[:, y : y + size, x : x + size] = tile
    return sheet


def _grey(image: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (C, H, W) uint8 between the intensities of black and white (C,)."""
    return np.stack(
        [palette.grey(plane, low=float(a), high=float(b)) for plane, a, b in zip(image, low, high, strict=True)]
    )


def _scale(screen: Screen, plate: str, crops: Packed) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return black and white (C,) of a plate without measured ones, of some of its cells."""
    some = np.linspace(0, len(crops) - 1, min(thumbnails.SCALE_VIEWS, len(crops))).round().astype(int)
    return thumbnails.percentiles(thumbnails.on_all(screen, plate, crops.take(some)).astype(np.float64))


def _of_cells(screen: Screen, plate: str, wells: Sequence[str], size: int) -> dict[str, NDArray[np.uint8]]:
    """Return well -> tile of four crops; a well with fewer leaves the rest black."""
    table = screen.crops.get(plate, pd.DataFrame())
    if table.empty or plate not in screen.crop_files:
        return {}
    crops, half, found = Packed(screen.crop_files[plate]), size // 2, {}
    low, high = thumbnails.intensity(screen, plate) or _scale(screen, plate, crops)
    for well, rows in table[table["Metadata_Well"].isin(wells)].groupby("Metadata_Well", sort=True):
        numbers = rows["Metadata_Row"].to_numpy(dtype=int)
        numbers = numbers[np.linspace(0, len(numbers) - 1, min(4, len(numbers))).round().astype(int)]
        images = thumbnails.on_all(screen, plate, crops.take(numbers))
        tile = np.zeros((images.shape[1], size, size), dtype=np.uint8)
        for place, image in enumerate(images):
            y, x = half * (place // 2), half * (place % 2)
            tile[:, y : y + half, x : x + half] = _grey(thumbnails.square(image, half), low, high)
        found[str(well)] = tile
    return found


def _of_fields(screen: Screen, plate: str, wells: Sequence[str], size: int) -> dict[str, NDArray[np.uint8]]:
    """Return well -> tile of the first site of which no image was left out; a channel without an image is black."""
    if plate not in screen.view_files or screen.survey.empty:
        return {}
    survey = screen.survey
    kept = survey[(survey["Metadata_Plate"] == plate) & (survey["Metadata_Verdict"] == "keep")]
    views = packed.mapped(screen.view_files[plate])
    ends = {channel: thumbnails.scale_of(views, rows["Row"]) for channel, rows in kept.groupby("Metadata_Channel")}
    found = {}
    for well, rows in kept[kept["Metadata_Well"].isin(wells)].groupby("Metadata_Well", sort=True):
        site = rows[rows["Metadata_Site"] == rows["Metadata_Site"].iloc[0]].drop_duplicates("Metadata_Channel")
        row = site.set_index("Metadata_Channel")["Row"].to_dict()
        tile = np.zeros((len(screen.channels), size, size), dtype=np.uint8)
        for place, channel in enumerate(screen.channels):
            if channel in row and channel in ends:
                image = thumbnails.square(np.asarray(views[row[channel]], dtype=np.float64)[None], size)
                low, high = ends[channel]
                tile[place] = palette.grey(image[0], low=low, high=high)
        found[str(well)] = tile
    return found
