"""Training images: stored plates or packed crops flow in, scaled pixels of items by number flow out.

An item is a cell or a field, so that the sampler draws both alike.
"""

import logging
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from wellspring.io import ngff
from wellspring.io.keys import SITE_KEY, WELL_KEY
from wellspring.views.intensity import scale
from wellspring.views.scaling import IntensityScale, foreground_level

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Items of a training set: codes of their plate, well and site (N,), and their pixels."""

    frame: pd.DataFrame
    pixels: list[IntensityScale]
    plate: np.ndarray
    well: np.ndarray
    site: np.ndarray

    def read(self, items: np.ndarray, rng: np.random.Generator, *, sites: int = 1) -> np.ndarray:
        """Scaled pixels (B, C, H, H) float32 of some items, in groups of `sites` of one well."""


class Cells:
    """Packed single-cell crops of the plates that fit.

    Parameters
    ----------
    crops
        `results/crops/{plate}.npy`, (N, C, Y, X) uint16 each.
    rows
        Their tables, with plate, well, site and the row in the array.
    pixels
        Of the same plates, in the order of `crops`.
    least
        Edge of the views that are cut from the crops.
    """

    def __init__(
        self, crops: Sequence[str | Path], rows: Sequence[pd.DataFrame], pixels: list[IntensityScale], *, least: int = 1
    ) -> None:
        self.arrays = [Packed(path) for path in crops]
        self.pixels = pixels
        for path, array, scales in zip(crops, self.arrays, pixels, strict=True):
            if len(array.shape) != 4 or array.shape[1] != len(scales.low):
                raise ValueError(f"{path}: expected crops (N, {len(scales.low)}, Y, X), found {array.shape}")
            if min(array.shape[2:]) < least:
                raise ValueError(f"{path}: expected crops of {least} px (view.size) or more, found {array.shape[2:]}")
        self.frame = _joined(rows)
        self.plate = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        self.well, self.site = _codes(self.frame)
        self.row = self.frame["Metadata_Row"].to_numpy()

    def read(self, items: np.ndarray, rng: np.random.Generator, *, sites: int = 1) -> np.ndarray:
        """Scaled crops (B, C, Y, X) float32; nothing is drawn."""
        out = np.empty((len(items), *self.arrays[self.plate[items[0]]].shape[1:]), dtype=np.float32)
        for place, item in enumerate(items):
            code = self.plate[item]
            scales = self.pixels[code]
            scale(self.arrays[code].read(int(self.row[item])), scales.low, scales.high, out=out[place])
        return out


class Packed:
    """An array (N, ...) in a NumPy file, read item by item.

    Not mapped into memory: a process is charged for the pages of a mapped file that it has touched, so that its memory
    would seem to grow to the size of the training set. The file stays open: to open it costs as much as half an item.
    """

    def __init__(self, path: str | Path) -> None:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not mapped.flags.c_contiguous:
            raise ValueError(f"{path}: expected an array in C order, found {mapped.flags}")
        self.path, self.shape, self.dtype, self._start = Path(path), mapped.shape, mapped.dtype, mapped.offset
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple:
        """Open the file anew in another process."""
        return Packed, (self.path,)

    def read(self, item: int) -> np.ndarray:
        """Return item number `item`; threads may read at the same time."""
        out = np.empty(self.shape[1:], dtype=self.dtype)
        found = os.preadv(self._file, [out], self._start + item * out.nbytes)
        if found != out.nbytes:
            raise ValueError(f"{self.path}: expected {out.nbytes} bytes of item {item}, found {found}")
        return out


class Fields:
    """Blocks of whole fields of the plates that fit.

    Parameters
    ----------
    plates
        Opened stores.
    pixels
        Of the same plates.
    channels
        In the order of the encoder.
    size
        Edge of a block in pixels.
    stain
        The channel that shows foreground.
    least
        A block should hold this share of foreground; the best of `tries` is taken where none does.
    tries
        Places that are looked at.
    cache_bytes
        Fields are kept in memory, as stored, when all of them fit in this; else blocks are read one by one.
    """

    def __init__(
        self,
        plates: Sequence[ngff.PlateImages],
        pixels: list[IntensityScale],
        *,
        channels: list[str],
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
        self.plates, self.pixels, self.channels, self.size = list(plates), pixels, channels, size
        self.stain, self.least, self.tries = stain, least, tries
        rows = [(plate.plate, well, site) for plate in plates for well, site in plate.fields]
        self.frame = pd.DataFrame(rows, columns=SITE_KEY)
        self.fields = [field for plate in plates for field in plate.fields]
        self.plate = np.repeat(np.arange(len(self.plates)), [len(plate.fields) for plate in plates])
        self.well, self.site = _codes(self.frame)
        self.above = [foreground_level(plate, stain=stain) for plate in plates]
        need = sum(len(plate.fields) * int(np.prod(plate.shape)) * 2 for plate in plates)
        self.cache: dict[int, np.ndarray] | None = {} if need <= cache_bytes else None
        logger.info(
            "%d fields, %.0f MB, %s", len(rows), need / 1e6, "cached" if self.cache is not None else "not cached"
        )

    def read(self, items: np.ndarray, rng: np.random.Generator, *, sites: int = 1) -> np.ndarray:
        """Scaled blocks (B, C, size, size) float32 at places drawn by `rng`.

        A field that stands several times in a group (a well with fewer sites than the group) gives disjoint blocks,
        each from a strip of its own, where it is wide enough for them.
        """
        out = np.empty((len(items), len(self.channels), self.size, self.size), dtype=np.float32)
        for start in range(0, len(items), sites):
            group = items[start : start + sites]
            for place, item in enumerate(group):
                strip = int((group[:place] == item).sum()), int((group == item).sum())
                scales = self.pixels[self.plate[item]]
                block = self._block(int(item), rng, strip=strip)
                scale(block, scales.low, scales.high, out=out[start + place])
        return out

    def _block(self, item: int, rng: np.random.Generator, *, strip: tuple[int, int]) -> np.ndarray:
        """IntensityScale (C, size, size) of the first place that holds enough foreground, or of the best one."""
        code = self.plate[item]
        height, width = self.plates[code].shape[1:]
        number, count = strip
        low, high = 0, width - self.size
        if width >= count * self.size:
            low, high = number * width // count, (number + 1) * width // count - self.size
        best, kept, most = (0, 0), None, -1.0
        for attempt in range(self.tries):
            corner = (int(rng.integers(0, height - self.size + 1)), int(rng.integers(low, high + 1)))
            # Most first places do, so that one is read whole and its stain decoded once.
            whole = self._cut(item, self.channels, corner) if attempt == 0 else None
            stain = (
                self._cut(item, [self.stain], corner)[0] if whole is None else whole[self.channels.index(self.stain)]
            )
            share = float((stain > self.above[code]).mean())
            if share > most:
                best, kept, most = corner, whole, share
            if share >= self.least:
                break
        return self._cut(item, self.channels, best) if kept is None else kept

    def _cut(self, item: int, channels: list[str], corner: tuple[int, int]) -> np.ndarray:
        plate = self.plates[self.plate[item]]
        rows, columns = (slice(start, start + self.size) for start in corner)
        if self.cache is None:
            return plate.read(*self.fields[item], channels, rows=rows, columns=columns)
        if item not in self.cache:
            self.cache[item] = plate.read(*self.fields[item], self.channels)
        part = self.cache[item][:, rows, columns]
        return part if channels == self.channels else part[[self.channels.index(name) for name in channels]]


def _joined(rows: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables; strings become categories, since as objects those of millions of cells take gigabytes."""
    columns = {}
    for name in rows[0]:
        parts = [each[name] for each in rows]
        if parts[0].dtype == object:
            columns[name] = union_categoricals([part.astype("category") for part in parts], sort_categories=True)
        else:
            columns[name] = np.concatenate([part.to_numpy() for part in parts])
    return pd.DataFrame(columns)


def _codes(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Codes of well and site that are unique over the screen, (N,) int64 each."""
    keys = WELL_KEY, SITE_KEY
    return tuple(frame.groupby(key, sort=True, observed=True).ngroup().to_numpy(np.int64) for key in keys)
