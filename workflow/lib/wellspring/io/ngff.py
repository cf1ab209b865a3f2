"""Fields in, an OME-Zarr plate out, and back: the only module that knows the folders of a stored plate.

NGFF 0.5 high-content-screening layout on zarr 3: ``<row>/<column>/<site>/0``, e.g. ``B/03/1/0``, an array (C, Y, X) in
one shard. Corrected pixels (uint16) and label images (uint32, one channel a kind of object) are stored alike. A plate
is written beside its final name and renamed when whole; what the reader needs stands in the root's ``zarr.json``.
"""

import glob
import json
import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import zarr

from wellspring.io import zarr_shard
from wellspring.io.lease import Lease

logger = logging.getLogger(__name__)

NGFF = "0.5"
# Target edge of a chunk: a view reads a part of a field, a viewer a screenful; 1080 -> 3 x 360. In fields of 1080 px
# views of 224 and 64 px cost .75 and .55 of what they do in chunks of 540, whole fields 1.04; files are as large
# (measured).
TILE = 360
COLOURS = {
    "DNA": "0000FF", "DAPI": "0000FF", "ER": "00FF00", "RNA": "FFFF00", "AGP": "FF8000", "Mito": "FF0000",
    "GFP": "00FF00", "Actin": "FF0000", "Tubulin": "00FF00",
}  # fmt: skip
FALLBACK = ("FFFFFF", "00FFFF", "FF00FF", "FFFF00", "00FF00", "FF0000", "0000FF", "FF8000")


def path_of(well: str, site: str) -> str:
    """Return the path of a field in the plate: well ``B03``, site ``1`` -> ``B/03/1``."""
    row = well.rstrip("0123456789")
    if not row or row == well or not site.isalnum():
        raise ValueError(f"well {well!r}, site {site!r}: expected a well like B03 and an alphanumeric site")
    return f"{row}/{well[len(row) :]}/{site}"


def tile_of(shape: Sequence[int], *, edge: int | None = None) -> tuple[int, int]:
    """Return height and width of the chunks of a field: near ``edge`` px (None: TILE), so that they fill it evenly."""
    height, width = (math.ceil(full / max(1, round(full / (edge or TILE)))) for full in shape)
    return height, width


@dataclass(frozen=True)
class PlateImages:
    """A stored plate, opened for reading; cheap to copy and to pickle, since pixels are opened at each read.

    ``fields`` are (well, site) in sorted order; ``shape`` is (C, H, W), or (C, 0, 0) for a plate without fields.
    ``source``, of labels, is the way to the plate of pixels from this one.
    """

    path: Path
    plate: str
    channels: list[str]
    pixel_size: float | None
    fields: list[tuple[str, str]]
    shape: tuple[int, int, int]
    source: str | None = None

    def read(
        self,
        well: str,
        site: str,
        channels: Sequence[str] | None = None,
        *,
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> np.ndarray:
        """Read a field, or the part ``rows`` x ``columns`` of it: (C, H, W), channels in the order asked for."""
        folder = self.path / path_of(well, site) / "0"
        if not folder.is_dir():
            raise KeyError(f"{self.plate}: no field {well} site {site} in {self.path}")
        names = self.channels if channels is None else list(channels)
        unknown = [name for name in names if name not in self.channels]
        if unknown:
            raise ValueError(f"{self.plate}: no channel {unknown} in {self.path}, which holds {self.channels}")
        numbers = [self.channels.index(name) for name in names]
        direct = zarr_shard.read(folder, numbers, rows, columns)
        if direct is not None:
            return direct
        array = zarr.open_array(folder, mode="r")
        return np.stack([np.asarray(array[number, rows, columns]) for number in numbers])


@dataclass(frozen=True)
class PlateLabels(PlateImages):
    """Label images of a plate; a kind of object (nuclei, cells) is a channel."""

    def read(self, well: str, site: str, name: str) -> np.ndarray:  # type: ignore[override]
        """Read one label image (H, W) uint32; 0 is background."""
        return super().read(well, site, [name])[0]


def open_plate(path: Path | str) -> PlateImages:
    """Open a plate of corrected pixels."""
    return PlateImages(**_described(Path(path)))


def open_labels(path: Path | str) -> PlateLabels:
    """Open a plate of label images."""
    return PlateLabels(**_described(Path(path)))


class PlateWriter:
    """Write fields of one shape as a plate; a context manager that leaves a whole plate or none.

    ``windows`` may be set until the end: channel -> (low, high) counts, the display limits of the metadata.
    Threads may write different fields at the same time. Leaving by an exception removes what was written; a full disk
    is an ``OSError`` that names the field. The plate is written in a folder of this writer's own; a writer that another
    one overtook raises `lease.Superseded` in place of publishing its plate.
    """

    dtype = np.dtype(np.uint16)

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
        self._lease = Lease(self.path)
        self._partial = self.path.with_name(f".{self.path.name}.{self._lease.token}.partial")
        self._fields: set[tuple[str, str]] = set()
        self._shape: tuple[int, int, int] | None = None

    def __enter__(self) -> Self:
        try:
            self._lease.take()
        except OSError as error:
            raise self._unwritten(error, "lease") from error
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)  # of a job that was killed, or that this one overtakes
        self._partial.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
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
            zarr_shard.write(self._partial / path_of(well, site) / "0", pixels, tile=tile_of(shape[1:]))
        except OSError as error:
            raise self._unwritten(error, f"{well} site {site}") from error

    def _finish(self) -> None:
        """Write the metadata, and give the plate its name."""
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
        """Return the error of a full or failing disk with what was to be written; nothing of the plate stays."""
        found = f"expected room for it in {self.path.parent}, found: {error.strerror}"
        return OSError(error.errno, f"{self.plate} {what}: {found}")

    def _describe(self) -> None:
        """Write the metadata of every group, the root last."""
        fields = sorted(self._fields)
        wells: dict[str, list[str]] = {}
        for well, site in fields:
            wells.setdefault(path_of(well, site).rsplit("/", 1)[0], []).append(site)
            _group(self._partial / path_of(well, site), {"ome": self._image(well, site)})
        rows = sorted({path.split("/")[0] for path in wells}, key=lambda row: (len(row), row))
        columns = sorted({path.split("/")[1] for path in wells})
        for row in rows:
            _group(self._partial / row, {})
        for path, sites in wells.items():
            described = {"version": NGFF, "images": [{"path": site} for site in sites]}
            _group(self._partial / path, {"ome": {"version": NGFF, "well": described}})
        plate: dict[str, object] = {
            "version": NGFF,
            "name": self.plate,
            "rows": [{"name": row} for row in rows],
            "columns": [{"name": column} for column in columns],
            "wells": [
                {"path": path, "rowIndex": rows.index(row), "columnIndex": columns.index(column)}
                for path, (row, column) in ((path, path.split("/")) for path in wells)
            ],
        }
        if fields:  # the standard has no plate of 0 fields
            plate["field_count"] = max(len(sites) for sites in wells.values())
        ours = {
            "plate": self.plate,
            "channels": self.channels,
            "pixel_size": self.pixel_size,
            "fields": fields,
            "shape": self._shape or (len(self.channels), 0, 0),
            "source": self.source,
        }
        _group(self._partial, {"ome": {"version": NGFF, "plate": plate}, "wellspring": ours})

    def _image(self, well: str, site: str) -> dict[str, object]:
        """Return the NGFF metadata of one field."""
        unit = {} if self.pixel_size is None else {"unit": "micrometer"}
        step = self.pixel_size or 1.0
        return {
            "version": NGFF,
            "multiscales": [
                {
                    "name": f"{self.plate} {well} {site}",
                    "axes": [{"name": "c", "type": "channel"}]
                    + [{"name": axis, "type": "space", **unit} for axis in ("y", "x")],
                    "datasets": [
                        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, step, step]}]}
                    ],
                }
            ],
            **self._display(),
        }

    def _display(self) -> dict[str, object]:
        top = float(np.iinfo(self.dtype).max)
        channels = []
        for number, name in enumerate(self.channels):
            low, high = self.windows.get(name, (0.0, top))
            colour = COLOURS.get(name, FALLBACK[number % len(FALLBACK)])
            window = {"min": 0.0, "max": top, "start": float(low), "end": float(high)}
            channels.append({"label": name, "color": colour, "active": True, "window": window})
        return {"omero": {"name": self.plate, "channels": channels, "rdefs": {"model": "color"}}}


class LabelWriter(PlateWriter):
    """Write label images of the fields of ``source`` as a plate of their own, each naming its image of pixels.

    ``source`` is the path of the plate of pixels; what is stored of it is the way there from the plate of labels, so
    that both may be moved together.
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

    def write(self, well: str, site: str, labels: Mapping[str, np.ndarray]) -> None:  # type: ignore[override]
        """Write one field: name -> (H, W) of unsigned labels, 0 the background."""
        if sorted(labels) != sorted(self.channels):
            raise ValueError(f"{self.plate} {well} site {site}: expected {self.channels}, found {sorted(labels)}")
        super().write(well, site, np.stack([labels[name].astype(self.dtype) for name in self.channels]))

    def _image(self, well: str, site: str) -> dict[str, object]:
        source = f"../../../{self.source}/{path_of(well, site)}"  # from the field of labels to that of pixels
        return super()._image(well, site) | {"image-label": {"version": NGFF, "source": {"image": source}}}


def _group(folder: Path, attributes: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"attributes": attributes, "zarr_format": 3, "node_type": "group"}, indent=1)
    (folder / "zarr.json").write_text(text)


def _described(path: Path) -> dict[str, object]:
    """Read what the root says of a plate."""
    try:
        ours = json.loads((path / "zarr.json").read_text())["attributes"]["wellspring"]
    except KeyError as error:
        raise ValueError(f"{path}: expected a plate written by this workflow, found no {error} in zarr.json") from error
    fields = [(well, site) for well, site in ours.pop("fields")]
    return ours | {"path": path, "fields": fields, "shape": tuple(ours.pop("shape"))}
