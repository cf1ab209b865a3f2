"""Sources of training images: they read the scaled pixels of items by number, from packed crops or stored fields.

An item is a cell or a field; the sampler draws both in the same way.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from wellspring.io import ngff
from wellspring.io.keys import SITE_KEY, WELL_KEY
from wellspring.io.packed import Packed
from wellspring.views.intensity import scale
from wellspring.views.scaling import IntensityScale, foreground_level

logger = logging.getLogger(__name__)
ABSENT = -1  # the place of a channel that the crops of a plate lack


class Source(Protocol):
    """Items of a training set.

    `frame` has their keys, one row per item; `pixels` the intensity scale of each plate; `plate`, `well` and `site`
    their codes, (N,) int64 each.
    """

    frame: pd.DataFrame
    pixels: list[IntensityScale]
    plate: NDArray[np.int64]
    well: NDArray[np.int64]
    site: NDArray[np.int64]

    def read(self, items: NDArray[np.int64], rng: np.random.Generator, *, sites: int = 1) -> NDArray[np.float32]:
        """Return the scaled pixels of items, (B, C, H, H) float32, in groups of `sites` items of one well."""
        ...


class Cells:
    """Packed single-cell crops of the plates of role `fit`.

    Parameters
    ----------
    crops
        `results/crops/{plate}.npy`, (N, C, Y, X) uint16 each.
    rows
        Tables of the crops, with plate, well, site and the row in the array.
    pixels
        Intensity scales of the same plates, in the order of `crops`.
    least
        Edge in pixels of the views that are cut from the crops.
    places, panels
        For each plate, the places of the encoder's channels in the crops (`ABSENT` for one that they lack, which is NaN
        in the images), and the number of channels of the crops; None where the encoder takes all.
    """

    def __init__(
        self,
        crops: Sequence[str | Path],
        rows: Sequence[pd.DataFrame],
        pixels: list[IntensityScale],
        *,
        least: int = 1,
        places: Sequence[Sequence[int]] | None = None,
        panels: Sequence[int] | None = None,
    ) -> None:
        self.arrays = [Packed(path) for path in crops]
        self.pixels = pixels
        whole = [list(range(len(scales.low))) for scales in pixels] if places is None else places
        self.places = [_Places.of(each) for each in whole]
        counts = [len(scales.low) for scales in pixels] if panels is None else panels
        for path, array, count in zip(crops, self.arrays, counts, strict=True):
            if len(array.shape) != 4 or array.shape[1] != count:
                raise ValueError(f"{path}: expected crops (N, {count}, Y, X), found {array.shape}")
            if min(array.shape[2:]) < least:
                raise ValueError(f"{path}: expected crops of {least} px (view.size) or more, found {array.shape[2:]}")
        self.frame = _joined(rows)
        self.plate = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        self.well, self.site = _codes(self.frame)
        self.row = self.frame["Metadata_Row"].to_numpy()

    def read(self, items: NDArray[np.int64], rng: np.random.Generator, *, sites: int = 1) -> NDArray[np.float32]:
        """Return scaled crops (B, C, Y, X) float32; `rng` and `sites` have no effect."""
        first = self.plate[items[0]]
        shape = len(items), len(self.pixels[first].low), *self.arrays[first].shape[2:]
        out = np.empty(shape, dtype=np.float32)
        for place, item in enumerate(items):
            code = self.plate[item]
            there = self.places[code]
            _scaled(self.arrays[code].read(int(self.row[item]))[there.stored], there, self.pixels[code], out[place])
        return out


class Fields:
    """Square blocks of the fields of the plates of role `fit`.

    Parameters
    ----------
    plates
        Opened stores.
    pixels
        Intensity scales of the same plates.
    channels
        Channels in the order of the encoder.
    size
        Edge of a block in pixels.
    stain
        The channel that shows foreground; of plates without it, the first of `channels` that they have.
    least
        Share of foreground that a block should have; if none of `tries` has it, the block with most is taken.
    tries
        Number of places that are tried.
    cache_bytes
        Fields are kept in memory, as stored, if all of them fit in this number of bytes; otherwise blocks are read one
        by one.
    """

    def __init__(
        self,
        plates: Sequence[ngff.PlateImages],
        pixels: list[IntensityScale],
        *,
        channels: Sequence[str],
        size: int,
        stain: str,
        least: float,
        tries: int,
        cache_bytes: int,
    ) -> None:
        for plate in plates:
            if min(plate.shape[1:]) < size:
                raise ValueError(
                    f"{plate.plate}: expected fields of {size} px (view.size) or more, found {plate.shape}"
                )
        self.plates, self.pixels, self.channels, self.size = list(plates), pixels, list(channels), size
        self.least, self.tries = least, tries
        self.panels = [[name for name in channels if name in plate.channels] for plate in plates]
        held = [
            [place if name in plate.channels else ABSENT for place, name in enumerate(channels)] for plate in plates
        ]
        self.places = [_Places.of(each) for each in held]  # blocks are in the order of `panels`
        self.stains = [stain if stain in panel else panel[0] for panel in self.panels]
        rows = [(plate.plate, well, site) for plate in plates for well, site in plate.fields]
        self.frame = pd.DataFrame(rows, columns=SITE_KEY)
        self.fields = [field for plate in plates for field in plate.fields]
        self.plate = np.repeat(np.arange(len(self.plates)), [len(plate.fields) for plate in plates])
        self.well, self.site = _codes(self.frame)
        self.above = [foreground_level(plate, stain=name) for plate, name in zip(plates, self.stains, strict=True)]
        need = sum(len(plate.fields) * int(np.prod(plate.shape)) * 2 for plate in plates)
        self.cache: dict[int, NDArray[Any]] | None = {} if need <= cache_bytes else None
        logger.info(
            "%d fields, %.0f MB, %s", len(rows), need / 1e6, "cached" if self.cache is not None else "not cached"
        )

    def read(self, items: NDArray[np.int64], rng: np.random.Generator, *, sites: int = 1) -> NDArray[np.float32]:
        """Return scaled blocks (B, C, size, size) float32 at places drawn by `rng`.

        A field that occurs several times in a group (in a well with fewer sites than the group) gives disjoint blocks,
        each from its own strip, if it is wide enough for them.
        """
        out = np.empty((len(items), len(self.channels), self.size, self.size), dtype=np.float32)
        for start in range(0, len(items), sites):
            group = items[start : start + sites]
            for place, item in enumerate(group):
                strip = int((group[:place] == item).sum()), int((group == item).sum())
                code, block = self.plate[item], self._block(int(item), rng, strip=strip)
                _scaled(block, self.places[code], self.pixels[code], out[start + place])
        return out

    def _block(self, item: int, rng: np.random.Generator, *, strip: tuple[int, int]) -> NDArray[Any]:
        """Return the stored pixels (C, size, size) of the first place with enough foreground, or of the best place.

        C are the channels that the plate has. `strip` is the number of the field's strip, and how many strips it is cut
        into.
        """
        code = self.plate[item]
        panel, stain = self.panels[code], self.stains[code]
        height, width = self.plates[code].shape[1:]
        number, count = strip
        low, high = 0, width - self.size
        if width >= count * self.size:
            low, high = number * width // count, (number + 1) * width // count - self.size
        best, most = (0, 0), -1.0
        kept: NDArray[Any] | None = None
        for attempt in range(self.tries):
            corner = (int(rng.integers(0, height - self.size + 1)), int(rng.integers(low, high + 1)))
            # Most first places have enough, so all channels are read there at once, and the stain is decoded once.
            whole = self._cut(item, panel, corner) if attempt == 0 else None
            shown = self._cut(item, [stain], corner)[0] if whole is None else whole[panel.index(stain)]
            share = float((shown > self.above[code]).mean())
            if share > most:
                best, kept, most = corner, whole, share
            if share >= self.least:
                break
        return self._cut(item, panel, best) if kept is None else kept

    def _cut(self, item: int, channels: list[str], corner: tuple[int, int]) -> NDArray[Any]:
        code = self.plate[item]
        plate, panel = self.plates[code], self.panels[code]
        rows, columns = (slice(start, start + self.size) for start in corner)
        if self.cache is None:
            block: NDArray[Any] = plate.read(*self.fields[item], channels, rows=rows, columns=columns)
            return block
        if item not in self.cache:
            self.cache[item] = plate.read(*self.fields[item], panel)
        part = self.cache[item][:, rows, columns]
        return part if channels == panel else part[[panel.index(name) for name in channels]]


@dataclass(frozen=True)
class _Places:
    """Where the channels of an encoder are in the pixels of a plate.

    Attributes
    ----------
    stored
        Places in the stored pixels, of the channels that the plate has.
    given
        Places of the same channels among those of the encoder; None for all.
    """

    stored: list[int]
    given: list[int] | None

    @classmethod
    def of(cls, places: Sequence[int]) -> "_Places":
        """Sort out the places of which some are `ABSENT`."""
        given = [place for place, stored in enumerate(places) if stored != ABSENT]
        return cls([places[place] for place in given], given if len(given) < len(places) else None)


def _scaled(pixels: NDArray[Any], places: _Places, scales: IntensityScale, out: NDArray[np.float32]) -> None:
    """Scale stored pixels (c, H, W) of the channels that a plate has into `out` (C, H, W); the others become NaN."""
    if places.given is None:
        scale(pixels, scales.low, scales.high, out=out)
        return
    out[...] = np.nan
    out[places.given] = scale(pixels, scales.low[places.given], scales.high[places.given])


def _joined(rows: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables; strings become categories, since those of millions of cells take gigabytes as objects."""
    columns: dict[str, Any] = {}
    for name in rows[0]:
        parts = [each[name] for each in rows]
        if parts[0].dtype == object:
            columns[name] = union_categoricals([part.astype("category") for part in parts], sort_categories=True)
        else:
            columns[name] = np.concatenate([part.to_numpy() for part in parts])
    return pd.DataFrame(columns)


def _codes(frame: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return codes of well and site that are unique over the screen, (N,) int64 each."""
    well, site = (
        frame.groupby(key, sort=True, observed=True).ngroup().to_numpy(np.int64) for key in (WELL_KEY, SITE_KEY)
    )
    return well, site
