"""Read an OME-Zarr plate: NGFF 0.1 to 0.4 on zarr v2, 0.5 and later on zarr v3.

Only the JSON metadata of plate, wells and images are read, no chunks. The path of a plane is the array of full
resolution; its page is the flat index over the axes before y and x.
"""

import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wellspring.index.readers.listing import check_plate, complete, files, inside, places, within
from wellspring.io import budget
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

AXES = "tczyx"  # of versions that name none
MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6,
               "angstrom": 1e-4, "inch": 25400.0}  # fmt: skip
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # of a path in the metadata; those of the specification are within
METADATA = ("zarr.json", ".zarray", ".zattrs")  # of an array; zarr opens them by itself
PLANES = 10**6  # planes of one array


def present(folder: Path | str, *, roots: Sequence[Path | str] = ()) -> bool:
    """Return whether the folder is an OME-Zarr plate or holds one."""
    return any(True for _ in _plates(Path(folder), places(folder, roots)))


def planes(folder: Path | str, *, plate: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate.

    Parameters
    ----------
    folder
        The zarr group of the plate, or a folder that holds it.
    plate
        Name of the group to read (in its metadata, or of its folder), if there are several.
    roots
        Folders outside of the plate's that links may lead to.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``; a site is called as its image group, an acquisition by its number, a channel
        as ``omero`` does or by its number from 1; ``bytes`` are those of the whole array. Position where the metadata
        have a translation.

    Raises
    ------
    ValueError
        No plate, or several; metadata that name another place, or that are not those of a plate.
    """
    folder = Path(folder)
    allowed = places(folder, roots)
    groups = list(_plates(folder, allowed))
    if len(groups) > 1:
        named = [(path, spec) for path, spec in groups if plate in (spec.get("name"), path.name, path.stem)]
        groups = named if len(named) == 1 else groups
    if len(groups) != 1:
        names = [path.name for path, _ in groups]
        raise ValueError(f"{plate}: expected one OME-Zarr plate in {folder}, found {names or 'none'}")
    group, spec = groups[0]
    rows: list[dict[str, Any]] = []
    for well in _listed(spec, "wells", group):
        place = _within(group, well, folder, roots)
        label = _well(well, spec)
        attributes = _attributes(place, allowed)
        if "well" not in attributes:
            logger.warning("%s: %s: the plate lists this well, but it has no metadata", plate, place)
            continue
        images = _listed(attributes["well"], "images", place)
        for image in images:
            site, acquisition = _taken(image, images)
            try:
                field = _within(place, image, folder, roots)
                found = list(_image(field, folder, roots, plate))
            except (ValueError, TypeError, LookupError, AttributeError) as error:  # JSON of another shape than NGFF's
                logger.warning("%s: an image of %s is ignored: %s: %s", plate, place, type(error).__name__, error)
                continue
            rows.extend({"well": label, "site": site, "acquisition": acquisition, **row} for row in found)
    check_plate([str(spec.get("name") or "")], plate=plate, where=group)
    if not rows:
        raise ValueError(f"{plate}: expected images in the wells of {group}, found none")
    logger.info("%s: %d planes in %s", plate, len(rows), group)
    return complete(pd.DataFrame(rows))


def _well(well: dict[str, Any], spec: dict[str, Any]) -> str:
    """Return the name of a well, whose row may be a number, counted from 0 if the plate has a row or column 0."""
    row, _, column = str(well["path"]).rpartition("/")
    row = row.rpartition("/")[2]
    listed = [*(spec.get("rows") or []), *(spec.get("columns") or [])]
    first = 0 if any(isinstance(each, dict) and each.get("name") == "0" for each in listed) else 1
    if not column.isdecimal():
        raise ValueError(f"expected wells as row/column, found {well['path']!r}")
    number = str(int(row) + 1 - first) if row.isdecimal() else row
    return well_names.join(number, str(int(column) + (1 - first if row.isdecimal() else 0)))


def _taken(image: dict[str, Any], images: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Return site and acquisition of an image of a well.

    An image ``0_corrected`` beside ``0`` was derived from it: it is of the same site, and of an acquisition of its own.
    """
    name = str(image.get("path")).rpartition("/")[2]
    others = {str(each.get("path")).rpartition("/")[2] for each in images} - {name}
    origin = max((each for each in others if re.match(rf"{re.escape(each)}[_.-]", name)), key=len, default=None)
    acquisition = str(image.get("acquisition", 0))
    return (name, acquisition) if origin is None else (origin, f"{acquisition}{name[len(origin) :]}")


def _plates(folder: Path, allowed: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the zarr groups with a plate's metadata: the folder itself, else its subfolders."""
    own = _attributes(folder, allowed).get("plate") if folder.is_dir() else None
    if isinstance(own, dict):
        yield folder, own
        return
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for path in below:
        spec = _attributes(path, allowed).get("plate")
        if isinstance(spec, dict):
            yield path, spec


def _image(field: Path, folder: Path, roots: Sequence[Path | str], plate: str) -> Iterator[dict[str, Any]]:
    """Yield the planes of an image group; without metadata none, and a warning in the log."""
    allowed = places(folder, roots)
    attributes = _attributes(field, allowed)
    scales = attributes.get("multiscales")
    if not isinstance(scales, list) or not scales or not scales[0].get("datasets"):
        logger.warning("%s: %s: the well lists this image, but it has no metadata", plate, field)
        return
    level, array = _finest(scales[0]["datasets"], field, folder, roots)
    if not all(within(os.path.realpath(array / name), allowed) for name in METADATA):
        raise ValueError(
            f"{array}: expected metadata in the plate's folder or index.roots, found a link that leads out"
        )
    shape = _shape(array, allowed)
    axes = scales[0].get("axes") or list(AXES)
    names = "".join(str(axis["name"] if isinstance(axis, dict) else axis).lower() for axis in axes)
    if len(names) != len(shape) or set(names) - set(AXES) or len(set(names)) < len(names) or names[-2:] != "yx":
        raise ValueError(f"{array}: expected axes of t, c, z, y, x that end in y, x, found {names!r} of shape {shape}")
    steps = shape[:-2]
    if not 0 < math.prod(steps) <= PLANES:
        raise ValueError(f"{array}: expected 1 to {PLANES} planes, found the shape {shape}")
    units = [MICROMETRES.get(str(axis.get("unit"))) if isinstance(axis, dict) else None for axis in axes]
    scale, shift = _transformed(level, scales[0], len(shape))
    known = {name: (factor, unit) for name, factor, unit in zip(names, scale, units, strict=True) if unit}
    size = sum(size for _, size in files(array, roots=(folder, *roots)))
    shared = {"path": array.relative_to(folder).as_posix(), "bytes": size}
    if "x" in known:
        shared["pixel_size"] = known["x"][0] * known["x"][1]
    channels = [str(channel.get("label") or "") for channel in (attributes.get("omero") or {}).get("channels", [])]
    count = shape[names.index("c")] if "c" in names else 1
    if len(channels) != count or len(set(channels)) < count or not all(channels):
        channels = [str(number + 1) for number in range(count)]
    for page in range(math.prod(steps)):
        index, rest = {}, page
        for axis, size in zip(reversed(names[:-2]), reversed(steps), strict=True):
            rest, index[axis] = divmod(rest, size)
        row = {**shared, "page": page, "channel": channels[index.get("c", 0)]}
        row |= {"plane": str(index.get("z", 0) + 1), "timepoint": str(index.get("t", 0) + 1)}
        if shift is not None:
            middle = {**index, "x": (shape[-1] - 1) / 2, "y": (shape[-2] - 1) / 2}
            for axis in known.keys() & set("xyz"):
                factor, unit = known[axis]
                row[axis] = (shift[names.index(axis)] + middle[axis] * factor) * unit
        yield row


def _finest(
    levels: Sequence[dict[str, Any]], field: Path, folder: Path, roots: Sequence[Path | str]
) -> tuple[dict[str, Any], Path]:
    """Return the level with the most pixels, which not all writers list first as specified, and its array."""
    arrays = [_within(field, level, folder, roots) for level in levels]
    allowed = places(folder, roots)
    pixels = [0] * len(arrays)
    for place, array in enumerate(arrays if len(arrays) > 1 else ()):
        try:
            pixels[place] = math.prod(_shape(array, allowed)[-2:])
        except ValueError:
            continue  # a level that was not copied; the caller reports the one that is read
    finest = pixels.index(max(pixels))
    return levels[finest], arrays[finest]


def _transformed(level: dict[str, Any], whole: dict[str, Any], count: int) -> tuple[list[float], list[float] | None]:
    """Return scale and translation of an array in the units of its axes; None if no translation is given."""
    scale, shift = [1.0] * count, None
    for step in [*level.get("coordinateTransformations", []), *whole.get("coordinateTransformations", [])]:
        values = step.get(step.get("type"))
        if not isinstance(values, list) or len(values) != count:
            continue
        if step["type"] == "scale":
            scale = [one * float(value) for one, value in zip(scale, values, strict=True)]
            shift = shift and [one * float(value) for one, value in zip(shift, values, strict=True)]
        elif step["type"] == "translation":
            shift = [one + float(value) for one, value in zip(shift or [0.0] * count, values, strict=True)]
    return scale, shift


def _attributes(group: Path, allowed: Sequence[str]) -> dict[str, Any]:
    """Return the attributes of a zarr group: those under ``ome`` (version 0.5), else all; empty if not a group."""
    found = _json(group / "zarr.json", allowed).get("attributes") or _json(group / ".zattrs", allowed)
    return found["ome"] if isinstance(found.get("ome"), dict) else found


def _shape(array: Path, allowed: Sequence[str]) -> tuple[int, ...]:
    found = _json(array / "zarr.json", allowed) or _json(array / ".zarray", allowed)
    shape = found.get("shape")
    if not isinstance(shape, list) or len(shape) < 2 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"{array}: expected a zarr array of two axes or more, found {shape or 'no metadata'}")
    return tuple(shape)


def _json(path: Path, allowed: Sequence[str]) -> dict[str, Any]:
    """Return the content of a metadata file; None if it is absent, not JSON, or behind a link that leads out."""
    try:
        if not path.is_file():
            return {}
        if not within(os.path.realpath(path), allowed):
            logger.warning("%s: a link that leads out of the plate's folder and index.roots is not followed", path)
            return {}
        found = budget.json_of(path)
    except (ValueError, OSError) as error:
        logger.warning("%s: expected JSON, found %s: %s", path, type(error).__name__, error)
        return {}
    return found if isinstance(found, dict) else {}


def _listed(spec: object, key: str, where: Path) -> list[dict[str, Any]]:
    found = spec.get(key) if isinstance(spec, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "path" in entry for entry in found):
        raise ValueError(f"{where}: expected a list of {key} with their paths in the metadata, found {str(found)[:80]}")
    return found


def _within(group: Path, entry: dict[str, Any], folder: Path, roots: Sequence[Path | str]) -> Path:
    """Return the place that a path in the metadata names, which must be below its group, links resolved."""
    parts = str(entry.get("path")).split("/")
    place = group.joinpath(*parts)
    if not all(PART.fullmatch(part) for part in parts) or not inside(place, folder, roots):
        raise ValueError(f"{group}: expected paths within the plate's folder, found {entry.get('path')!r}")
    return place
