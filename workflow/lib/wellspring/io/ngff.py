"""Write and read plates as OME-Zarr; all code that depends on the folders of a stored plate is here.

NGFF 0.5 high-content-screening layout on zarr 3: ``<row>/<column>/<site>/0``, e.g. ``B/03/1/0``, is an array (C, Y, X)
in one shard; ``1`` beside it is its second resolution level (`ngff_levels`). Corrected pixels (uint16) and label images
(uint32, one channel per kind of object) have the same layout.
A plate is written under a temporary name and renamed when it is complete; the reader needs the root's ``zarr.json``.
"""

import glob
import json
import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr

from wellspring.io import lease, zarr_shard
from wellspring.io.disk import full, is_full
from wellspring.io.lease import Lease
from wellspring.io.ngff_levels import REDUCED, means, middles
from wellspring.io.ngff_metadata import NGFF, display, image, path_of, write_group, write_wells

logger = logging.getLogger(__name__)

# Target edge of a chunk, px: views and viewers read parts of a field; 1080 px are 3 x 360. Compared with chunks of
# 540 px, views of 224 and 64 px take 0.75 and 0.55 of the time, whole fields 1.04, and files are as large (measured).
TILE = 360


def tile_of(shape: Sequence[int], *, edge: int | None = None) -> tuple[int, int]:
    """Return height and width of a field's chunks: near ``edge`` px (None: TILE), so that they divide it evenly."""
    height, width = (math.ceil(full / max(1, round(full / (edge or TILE)))) for full in shape)
    return height, width


@dataclass(frozen=True)
class PlateImages:
    """A stored plate, opened for reading; small when pickled, since each read opens the pixels again."""

    path: Path
    plate: str
    channels: list[str]
    pixel_size: float | None
    """Micrometres per pixel, if known."""

    fields: list[tuple[str, str]]
    """(well, site), sorted."""

    shape: tuple[int, int, int]
    """(C, H, W) of every field; (C, 0, 0) for a plate without fields."""

    source: str | None = None
    """Of labels: path of the plate of pixels, relative to this plate."""

    identities: dict[str, int] = field(default_factory=dict)
    """Path of a field to the identity of its pixels (`zarr_shard.write`); empty for a plate of version 0.1."""

    def read(
        self,
        well: str,
        site: str,
        channels: Sequence[str] | None = None,
        *,
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> np.ndarray:
        """Read a field or a part of it.

        Parameters
        ----------
        well, site
            The field; `KeyError` if the plate does not have it.
        channels
            Names, in the order of the result (None: all); `ValueError` for unknown ones.
        rows, columns
            The part of the field, px.

        Returns
        -------
        numpy.ndarray
            (C, H, W) in the stored dtype.
        """
        place = path_of(well, site)
        folder = self.path / place / "0"
        if not (folder / "zarr.json").is_file():
            if (well, site) in self.fields:
                raise ValueError(f"{folder}: expected a stored field, found none; make the plate again")
            raise KeyError(f"{self.plate}: no field {well} site {site} in {self.path}")
        names = self.channels if channels is None else list(channels)
        unknown = [name for name in names if name not in self.channels]
        if unknown:
            raise ValueError(f"{self.plate}: expected channels of {self.channels} in {self.path}, found {unknown}")
        numbers = [self.channels.index(name) for name in names]
        direct = zarr_shard.read(folder, numbers, rows, columns, identity=self.identities.get(place))
        if direct is not None:
            return direct
        array = zarr.open_array(folder, mode="r")
        return np.stack([np.asarray(array[number, rows, columns]) for number in numbers])


@dataclass(frozen=True)
class PlateLabels(PlateImages):
    """Label images of a plate; each kind of object (nuclei, cells) is a channel."""

    def read(self, well: str, site: str, name: str) -> np.ndarray:  # type: ignore[override]  # one image, by its name
        """Read one label image (H, W) uint32; 0 is background."""
        field: np.ndarray = super().read(well, site, [name])[0]
        return field


def open_plate(path: Path | str) -> PlateImages:
    """Open a plate of corrected pixels."""
    return PlateImages(**_described(Path(path)))


def open_labels(path: Path | str) -> PlateLabels:
    """Open a plate of label images."""
    return PlateLabels(**_described(Path(path)))


class PlateWriter:
    """Write fields of one shape as a plate; a context manager that leaves a complete plate or none.

    ``windows`` (channel to display limits (low, high), in counts) may be set until the end. Threads may write different
    fields at the same time. An exception removes the incomplete plate; a full disk is an ``OSError`` that names the
    field. Each writer has a separate folder; if another one began later, this one raises `lease.Superseded` and does
    not publish its plate.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint16)

    def __init__(
        self,
        path: Path | str,
        *,
        plate: str,
        channels: Sequence[str],
        pixel_size: float | None = None,
        windows: Mapping[str, tuple[float, float]] | None = None,
        source: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.plate, self.channels, self.pixel_size, self.source = plate, list(channels), pixel_size, source
        self.windows: dict[str, tuple[float, float]] = dict(windows or {})
        claimed = lease.of(self.path)  # by the job, when it started
        self._claimed, self._lease = claimed is not None, claimed or Lease(self.path)
        self._partial = self.path.with_name(f".{self.path.name}.{self._lease.token}.partial")
        self._fields: set[tuple[str, str]] = set()
        self._identities: dict[str, int] = {}
        self._shape: tuple[int, int, int] | None = None

    def __enter__(self) -> Self:
        try:
            self._lease.demand() if self._claimed else self._lease.take()
        except OSError as error:
            raise self._unwritten(error, "lease") from error
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)  # left by a killed job, or by a job that this one supersedes
        self._partial.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if not self._claimed:
                self._lease.__exit__()
            shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, well: str, site: str, pixels: np.ndarray) -> None:
        """Write one field (C, H, W)."""
        shape = tuple(pixels.shape)
        if pixels.ndim != 3 or shape[0] != len(self.channels) or pixels.dtype != self.dtype:
            raise ValueError(
                f"{self.plate} {well} site {site}: expected ({len(self.channels)}, H, W) of {self.dtype}, "
                f"found {shape} of {pixels.dtype}"
            )
        self._shape = self._shape or shape
        if shape != self._shape:
            raise ValueError(f"{self.plate} {well} site {site}: expected {self._shape} as before, found {shape}")
        if (well, site) in self._fields:
            raise ValueError(f"{self.plate} {well} site {site}: written twice")
        self._fields.add((well, site))
        try:
            place = path_of(well, site)
            folder = self._partial / place
            self._identities[place] = zarr_shard.write(folder / "0", pixels, tile=tile_of(shape[1:]))
            small = self._reduced(pixels)
            zarr_shard.write(folder / "1", small, tile=tile_of(small.shape[1:]))
        except OSError as error:
            raise self._unwritten(error, f"{well} site {site}") from error

    def _finish(self) -> None:
        """Write the metadata, and rename the plate to its final name."""
        try:
            self._lease.demand()
            self._describe()
            with self._lease.publishing():
                if self.path.exists():
                    shutil.rmtree(self.path)
                self._partial.replace(self.path)
        except OSError as error:
            raise self._unwritten(error, "metadata") from error

    def _unwritten(self, error: OSError, what: str) -> OSError:
        """Return the error of a full or failing disk, which names the output."""
        if is_full(error):
            return full(f"{self.plate} {what}", self.path.parent, error)
        return OSError(
            error.errno, f"{self.plate} {what}: could not be written to {self.path.parent}: {error.strerror}"
        )

    def _describe(self) -> None:
        """Write the metadata of every group, those of the root last."""
        fields = sorted(self._fields)
        for well, site in fields:
            write_group(self._partial / path_of(well, site), {"ome": self._image(well, site)})
        ours = {
            "plate": self.plate,
            "channels": self.channels,
            "pixel_size": self.pixel_size,
            "fields": fields,
            "shape": self._shape or (len(self.channels), 0, 0),
            "source": self.source,
            "identities": {path: self._identities[path] for path in sorted(self._identities)},
        }
        ome = write_wells(self._partial, fields, name=self.plate)
        write_group(self._partial, {"ome": ome, "wellspring": ours})

    def _image(self, well: str, site: str) -> dict[str, object]:
        """Return the NGFF metadata of one field."""
        shown = display(self.plate, self.channels, windows=self.windows, dtype=self.dtype)
        return image(f"{self.plate} {well} {site}", pixel_size=self.pixel_size, factors=(1, REDUCED)) | shown

    def _reduced(self, pixels: np.ndarray) -> np.ndarray:
        """Return the second resolution level of a field."""
        return means(pixels)


class LabelWriter(PlateWriter):
    """Write label images as a separate plate; each names the field of ``source`` that it labels.

    ``source`` is the path of the plate of pixels. It is stored relative to the plate of labels, so that both can be
    moved together.
    """

    dtype = np.dtype(np.uint32)

    def __init__(
        self,
        path: Path | str,
        *,
        plate: str,
        names: Sequence[str] = ("nuclei", "cells"),
        source: Path | str,
        pixel_size: float | None = None,
    ) -> None:
        there = Path(os.path.relpath(source, path)).as_posix()
        super().__init__(path, plate=plate, channels=names, source=there, pixel_size=pixel_size)

    def write(self, well: str, site: str, labels: Mapping[str, np.ndarray]) -> None:  # type: ignore[override]  # by name
        """Write one field: name to label image (H, W) of unsigned integers, 0 for background."""
        if sorted(labels) != sorted(self.channels):
            raise ValueError(f"{self.plate} {well} site {site}: expected {self.channels}, found {sorted(labels)}")
        super().write(well, site, np.stack([labels[name].astype(self.dtype) for name in self.channels]))

    def _reduced(self, pixels: np.ndarray) -> np.ndarray:
        return middles(pixels)

    def _image(self, well: str, site: str) -> dict[str, object]:
        source = f"../../../{self.source}/{path_of(well, site)}"  # relative to the field of labels
        return super()._image(well, site) | {"image-label": {"version": NGFF, "source": {"image": source}}}


def _described(path: Path) -> dict[str, Any]:
    """Return the fields of `PlateImages` from the metadata of a plate's root."""
    try:
        ours = json.loads((path / "zarr.json").read_text())["attributes"]["wellspring"]
    except KeyError as error:
        raise ValueError(f"{path}: expected a plate written by this workflow, found no {error} in zarr.json") from error
    fields = [(well, site) for well, site in ours.pop("fields")]
    known: dict[str, Any] = ours | {"path": path, "fields": fields, "shape": tuple(ours.pop("shape"))}
    return known
