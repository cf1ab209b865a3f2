"""Read the pixels of ready-made crops, (C, Y, X): from one array of all crops, or from files of each crop."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellspring.index.readers.listing import places, within
from wellspring.io import packed, raw_image, zarr_plane
from wellspring.io.plane_file import PlaneFileError

ARRAYS = (".npy", ".npz")
LAYOUTS = {"channels_first": 0, "channels_last": -1}


class Crops:
    """The pixels of a plate's crops.

    Parameters
    ----------
    folder
        The plate's folder.
    array
        Array of all crops, or None where each crop has files.
    layout
        ``crops.given.layout``.
    channels
        Number of channels of a crop.
    rules
        What the config states about raw pixels.
    roots
        Folders outside of the plate's that links may lead to.

    Raises
    ------
    ValueError
        The array does not exist, is damaged, or has other axes; names the file.
    """

    def __init__(
        self,
        folder: str | Path,
        array: Path | None,
        *,
        layout: str,
        channels: int,
        rules: raw_image.Rules = raw_image.USUAL,
        roots: Sequence[str] = (),
    ) -> None:
        self.folder, self.layout, self.channels, self.rules = Path(folder), layout, channels, rules
        self.places = places(folder, roots)
        self.array = None if array is None else _Array(array, layout, channels, rules)

    def read(self, files: tuple[str, ...], item: int) -> NDArray[Any]:
        """Return one crop (C, Y, X), uint8 or uint16.

        Raises
        ------
        PlaneError
            It is missing, unreadable, of other axes or of another type; `status` is as of a plane.
        """
        if self.array is not None:
            return self.array.read(item)
        if len(files) == 1 and self.channels > 1:
            return _channels_first(self._file(files[0], item), self.layout, self.channels, files[0])
        planes = [np.squeeze(self._file(name, item)) for name in files]
        shapes = {plane.shape for plane in planes}
        if len(shapes) > 1 or len(next(iter(shapes))) != 2:
            raise raw_image.PlaneError("shape", f"{files[0]}: expected one plane per channel, found {sorted(shapes)}")
        return np.stack(planes)

    def _file(self, name: str, item: int) -> NDArray[Any]:
        """Return the pixels of a file, or of an item of it."""
        if not name:
            raise raw_image.PlaneError("missing", "no file named")
        path = self.folder / name
        if not within(os.path.realpath(path), self.places):
            raise raw_image.PlaneError("unreadable", f"{name}: expected a file in the plate's folder, found a link")
        if not is_file(path):
            raise raw_image.PlaneError("missing", f"no file {name[:200]}")
        if path.suffix != ".npy":
            if item > 0:
                raise raw_image.PlaneError("missing", f"{name}: no item {item}; an image has one crop")
            return raw_image.array(path, rules=self.rules)
        try:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
            pixels = np.array(stored if item < 0 else stored[item])
        except IndexError as error:
            raise raw_image.PlaneError("missing", f"{name}: no item {item} of an array {stored.shape}") from error
        except packed.UNREADABLE as error:
            raise raw_image.PlaneError("unreadable", f"{name}: {error}"[:200]) from error
        return raw_image.grey(pixels, self.rules, name)


def is_file(path: Path) -> bool:
    """Return whether a file is there; a name that no disk takes is of none."""
    try:
        return path.is_file()
    except OSError:  # longer than the disk's names
        return False


class _Array:
    """An array of all crops: (N, C, Y, X) or (N, Y, X, C), of NumPy or zarr."""

    def __init__(self, path: Path, layout: str, channels: int, rules: raw_image.Rules) -> None:
        self.path, self.rules, self.layout, self.channels = path, rules, layout, channels
        self.zarr = path.is_dir()
        opened: Any = _zarr(path) if self.zarr else _numpy(path)
        self.stored = opened
        self.folder = path / str(self.stored.path) if self.zarr else path
        if len(self.stored.shape) == 3 and (layout == "side_by_side" or channels == 1):
            return
        if len(self.stored.shape) != 4:
            raise ValueError(f"{path}: expected an array (N, C, Y, X) of crops, found {self.stored.shape}")
        axis = _axis(self.stored.shape[1:], layout, channels, str(path))
        if self.zarr and axis != 0:
            raise ValueError(f"{path}: expected a zarr array (N, C, Y, X), found {self.stored.shape}")

    def __len__(self) -> int:
        return int(self.stored.shape[0])

    def read(self, item: int) -> NDArray[Any]:
        if item >= len(self):
            raise raw_image.PlaneError("missing", f"no item {item} of {len(self)} in {self.path.name}")
        if self.zarr:  # plane by plane, since zarr gives zeros for a chunk that is lost
            count = self.channels if len(self.stored.shape) == 4 else 1
            try:
                planes = [self._plane(item * count + channel) for channel in range(count)]
            except PlaneFileError as error:
                raise raw_image.PlaneError(error.status, f"{self.path.name}: item {item}: {error}") from error
            crop: NDArray[Any] = np.stack(planes) if count > 1 else planes[0]
        else:
            crop = np.array(self.stored[item])
        return _channels_first(
            raw_image.grey(crop, self.rules, f"{self.path.name}: item {item}"),
            self.layout,
            self.channels,
            self.path.name,
        )

    def _plane(self, number: int) -> NDArray[Any]:
        return zarr_plane.read(self.folder, number, largest=raw_image.PIXELS, absent=self.rules.absent_chunks)


def shape_of(path: Path) -> tuple[int, ...]:
    """Return the shape of an array of all crops; `ValueError` as :class:`Crops`."""
    opened: Any = _zarr(path) if path.is_dir() else _numpy(path)
    return tuple(opened.shape)


def _numpy(path: Path) -> NDArray[Any]:
    """Open the array of an .npy, or the only array of 3 or 4 axes of an .npz."""
    if not path.is_file() or path.suffix not in ARRAYS:
        found = f"a file {path.suffix}" if path.is_file() else "no such file or folder"
        raise ValueError(f"{path}: expected crops in an .npy, .npz or zarr array (crops.given.array), found {found}")
    if path.suffix == ".npy":
        try:
            opened: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except packed.UNREADABLE as error:
            raise ValueError(f"{path}: expected an array in a NumPy file, found {error}") from error
        return opened
    arrays = {name: values for name, values in packed.archive(path).items() if values.ndim in (3, 4)}
    if len(arrays) != 1:
        shapes = {name: values.shape for name, values in arrays.items()}
        raise ValueError(f"{path}: expected one array of crops (N, C, Y, X), found {shapes or 'none'}")
    return next(iter(arrays.values()))


def _zarr(path: Path) -> Any:
    """Open a zarr array, or the only array of 3 or 4 axes in a group."""
    import zarr

    try:
        opened = zarr.open(path, mode="r")
    except Exception as error:  # zarr raises whatever it meets in damaged metadata
        raise ValueError(f"{path}: expected a zarr array, found {type(error).__name__}: {error}") from error
    if isinstance(opened, zarr.Array):
        return opened
    arrays = [array for _, array in opened.arrays() if array.ndim in (3, 4)]
    if len(arrays) != 1:
        found = {array.path: array.shape for array in arrays}
        raise ValueError(f"{path}: expected one array of crops (N, C, Y, X), found {found or 'none'}")
    return arrays[0]


def _axis(shape: Sequence[int], layout: str, channels: int, name: str) -> int:
    """Return the axis of the channels of a crop, 0 or -1."""
    if layout in LAYOUTS:
        axis = LAYOUTS[layout]
        if shape[axis] != channels:
            raise ValueError(_mismatch(shape, f"{channels} channels as {layout}", name))
        return axis
    fits = [axis for axis in (0, -1) if shape[axis] == channels]
    if layout == "auto" and len(fits) == 1:
        return fits[0]
    raise ValueError(_mismatch(shape, f"one axis of {channels} channels", name))


def _mismatch(shape: Sequence[int], expected: str, name: str) -> str:
    remedy = "crops.given.layout names the axes, crops.given.channels the channels"
    return f"{name}: expected {expected}, found a crop of {tuple(shape)} ({remedy})"


def _channels_first(pixels: NDArray[Any], layout: str, channels: int, name: str) -> NDArray[Any]:
    """Return a crop as (C, Y, X); `PlaneError` where its axes do not show the channels."""
    if pixels.ndim == 2 and channels == 1:
        return pixels[None]
    if pixels.ndim == 3 and layout != "side_by_side":
        try:
            return np.moveaxis(pixels, _axis(pixels.shape, layout, channels, name), 0)
        except ValueError as error:
            raise raw_image.PlaneError("shape", str(error)) from error
    width = pixels.shape[-1] // channels
    whole = pixels.ndim == 2 and pixels.shape[1] == width * channels
    if whole and (layout == "side_by_side" or (layout == "auto" and width == pixels.shape[0])):
        return np.stack(np.split(pixels, channels, axis=1))
    raise raw_image.PlaneError("shape", _mismatch(pixels.shape, f"{channels} channels", name))
