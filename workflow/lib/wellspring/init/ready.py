"""Make the config of a screen of ready-made crops of single cells: a table with a row per crop, and their pixels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.cells.ready import listing, pixels
from wellspring.encoders.table_format import open_source
from wellspring.encoders.table_keys import known_keys
from wellspring.init import plates, stains, wells, written
from wellspring.init.images import Lines, Screen, profile
from wellspring.io import packed, raw_image
from wellspring.io.shipped import CLONE
from wellspring.screen import config
from wellspring.screen.sections import Crops, GivenCrops

ENDINGS = (".csv", ".csv.gz", ".tsv", ".parquet", ".npz")
ARRAYS = (".npy", ".npz", ".zarr")
MOST_CHANNELS = 16
PER_CHANNEL = re.compile(r"(?:path|file|FileName|Metadata_Path)_(.+)")
SEEN = 24  # crops that are looked at, side by side, to guess stains


@dataclass(frozen=True)
class Ready:
    """Crops that were recognised: ``crops.given``, names of channels in the files, and the edge of a crop in px."""

    folder: Path
    given: GivenCrops
    channels: tuple[str, ...]
    edge: int


def recognised(folder: Path, count: int = 0) -> Ready | None:
    """Return the crops of a folder: a table with wells and either cells and their files, or an array of all of them.

    ``count`` is the number of channels where it is known; it is needed for channels side by side that are not square.

    Raises
    ------
    ValueError
        There is such a table, and its crops cannot be read, or their channels cannot be counted.
    """
    tables = sorted(path for path in folder.iterdir() if path.name.lower().endswith(ENDINGS)) if folder.is_dir() else []
    for path in tables:
        names = _names(path)
        keys = known_keys(names)
        if "well" not in keys or path.name.lower().startswith("load_data"):
            continue
        each = [match[1] for name in names if (match := PER_CHANNEL.fullmatch(name))]
        file = any(name in names for name in listing.NAMES["file"])
        cell = any(name in names for name in listing.NAMES["cell"])
        arrays = sorted(one for one in folder.iterdir() if one.name.endswith(ARRAYS) and (one != path or _stacked(one)))
        if cell and (file or each):
            given = replace(config.default(Crops).given, table=path.name)
            return _described(folder, given, tuple(each) if not file else (), count)
        if not file and not each and len(arrays) == 1:
            given = replace(config.default(Crops).given, table=path.name, array=arrays[0].name)
            return _described(folder, given, (), count)
    return None


def screen(found: Ready, *, platemap: Path | None, out: Path, channels: Mapping[str, str], steps: int | None) -> Screen:
    """Return the screen of ready-made crops; arguments and errors as :func:`wellspring.init.images.screen`."""
    unknown = sorted(set(channels.values()) - set(found.channels))
    if unknown:
        raise ValueError(f"--channels: expected channels of the crops, {list(found.channels)}, found {unknown}")
    names = _named(found, channels)
    ours = list(channels) or list(names.values())
    given = found.given if list(names.values()) == ours else replace(found.given, channels=tuple(names.values()))
    table = listing.cells_of(found.folder / str(given.table))
    keys = known_keys(list(table))
    owners = sorted(table[keys["plate"]].unique()) if "plate" in keys else [plates.name_of(found.folder)]
    path = platemap or wells.platemap_in(found.folder, without=str(given.table))
    notes = [
        f"format: ready-made crops, {len(table)} in {given.table}, {len(found.channels)} channels, {found.edge} px"
    ]
    notes += [
        f"channel {number} of the crops is taken as {name}; to name it otherwise: --channels"
        for number, name in names.items()
    ]
    listed = {}
    for owner in owners:
        rows = listing.read(given, found.folder, plate=owner, channels=list(names.values())).rows
        listed[owner] = rows.rename(columns={"Metadata_Well": "well"})
    fill = False
    if path is None:
        path = out / "config" / "platemaps" / "wells.csv"
        fill = wells.blank(pd.concat(listed.values()), path)
        notes.append(f"no platemap found; fill in {path}" if fill else f"the platemap that was filled in, {path}")
    seen = wells.Mapped() if fill else wells.mapped(path, owners)
    images, where = str(found.folder.resolve()), written.relative(path, out)
    sheet = [{"plate": owner, "images": images, "platemap": where, "role": "fit"} for owner in owners]
    stated = {
        key: value for key in ("table", "array", "layout") if (value := getattr(given, key)) not in (None, "auto")
    }
    stated |= {"channels": list(given.channels)} if given.channels else {}
    gpu = written.has_gpu()
    size = min(found.edge, 128 if gpu else 52)
    view = size * 3 // 4 // 8 * 8 or size
    lines: Lines = [("channels", ours, "Names of the channels, in the order of the crops.")]
    lines += [(f"index.{key}", value, f"Of the platemap: {reason}.") for key, (value, reason) in seen.keys.items()]
    if any(not wells.same(path, owner, rows, seen) for owner, rows in listed.items()):
        lines.append(("index.lost_wells", "report", "Crops and platemap do not have the same wells."))
    lines.append(("crops.size", size, f"px, of the {found.edge} px of a crop."))
    lines.append(("crops.given", stated, "The table of the crops, and how their pixels lie."))
    sites = max(rows.groupby("well")["Metadata_Site"].nunique().median() for rows in listed.values())
    lines += written.cell_encoders(gpu=gpu, view=view, sites=float(sites), steps=steps)
    lines += profile(None if fill else seen, min(rows["well"].nunique() for rows in listed.values()))
    return Screen(written.sheet(sheet), written.text(lines, clone=CLONE), (*notes, *seen.notes))


def _names(path: Path) -> list[str]:
    """Return the columns of a table, or the vectors of an archive; none where it is no table."""
    try:
        if path.suffix == ".npz":
            return [name for name, values in packed.archive(path).items() if values.ndim == 1]
        return [str(name) for name in open_source(path).schema.names]
    except ValueError:
        return []  # a file of another kind: no table of crops


def _stacked(path: Path) -> bool:
    """Return whether an archive of vectors also has an array of crops."""
    return path.suffix == ".npz" and any(values.ndim == 4 for values in packed.archive(path).values())


def _described(folder: Path, given: GivenCrops, named: tuple[str, ...], count: int) -> Ready:
    """Count the channels of the first crop, and find their axis."""
    if given.array is not None:
        shape = pixels.shape_of(folder / given.array)[1:]
    elif named:
        row = listing.read(given, folder, plate=_first(folder, given), channels=named).rows.iloc[0]
        return Ready(folder, given, named, min(raw_image.array(folder / row["files"][0]).shape))
    else:
        row = listing.read(given, folder, plate=_first(folder, given), channels=("1",)).rows.iloc[0]
        file = folder / row["files"][0]
        shape = np.load(file, mmap_mode="r").shape if file.suffix == ".npy" else raw_image.array(file).shape
        shape = shape[1:] if len(shape) == 4 else shape
    table = folder / str(given.table)
    if len(shape) == 2:
        wide = count or shape[1] // shape[0]
        if not wide or shape[1] % wide or (not count and shape[1] % shape[0]):
            raise ValueError(
                f"{table}: expected crops of one channel, or square ones side by side, found images of {shape}: name "
                "all channels, from the left, as --channels DNA=1 ER=2"
            )
        layout = replace(given, layout="side_by_side") if wide > 1 else given
        return Ready(folder, layout, tuple(map(str, range(1, wide + 1))), min(shape[0], shape[1] // wide))
    count = count or min(shape)
    if len(shape) != 3 or count > MOST_CHANNELS or count not in (shape[0], shape[-1]):
        raise ValueError(f"{table}: expected crops (C, Y, X) or (Y, X, C), found {shape}")
    axis: Literal["channels_first", "channels_last"] = "channels_first" if shape[0] == count else "channels_last"
    edge = min(shape[1:] if axis == "channels_first" else shape[:2])
    return Ready(folder, replace(given, layout=axis), tuple(map(str, range(1, count + 1))), edge)


def _first(folder: Path, given: GivenCrops) -> str:
    table = listing.cells_of(folder / str(given.table))
    keys = known_keys(list(table))
    return str(table[keys["plate"]].iloc[0]) if "plate" in keys else plates.name_of(folder)


def _named(found: Ready, channels: Mapping[str, str]) -> dict[str, str]:
    """Return the number or name of each channel of the crops to its name in the config."""
    own = {number: name for name, number in channels.items()}
    if own:
        return {each: own.get(each, f"Ch{each}") for each in found.channels}
    if not found.channels[0].isdecimal():
        return {each: each for each in found.channels}
    rows = listing.read(found.given, found.folder, plate=_first(found.folder, found.given), channels=found.channels)
    crops = pixels.Crops(found.folder, rows.array, layout=found.given.layout, channels=len(found.channels))
    chosen = rows.rows.iloc[:: max(1, len(rows.rows) // SEEN)].head(SEEN)
    seen = [crops.read(row["files"], int(row["item"])) for row in chosen.to_dict("records")]
    images: dict[str, list[npt.NDArray[np.uint16]]] = {}
    for place, each in enumerate(found.channels):
        tall = max(crop.shape[1] for crop in seen)
        padded = [np.pad(crop[place], ((0, tall - crop.shape[1]), (0, 0)), mode="edge") for crop in seen]
        images[each] = [np.concatenate(padded, axis=1).astype(np.uint16)]
    return stains.guess(list(found.channels), images)
