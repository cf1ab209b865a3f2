"""Choose the reader for a plate's folder and list its planes; ``READERS`` is the table of readers.

A reader is a module with ``present(folder)`` and ``planes(folder, *, plate, roots)``; to add one, write the
module and add its line to ``READERS``. A reader that needs keys of the config takes them by name in both functions.
"""

import logging
import os
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import ModuleType

import pandas as pd

from wellspring.index.readers import (
    cellvoyager,
    container,
    flex,
    folders,
    foreign,
    harmony,
    imagexpress,
    incell,
    jumplite,
    loaddata,
    ometiff,
    omezarr,
    pages,
    pattern,
    stated,
)
from wellspring.index.readers.listing import files
from wellspring.io import object_store, site_arrays
from wellspring.screen.sections import Index

logger = logging.getLogger(__name__)

SHOWN = 8  # files of a folder that an error lists, enough to show the naming scheme


@dataclass(frozen=True)
class Reader:
    """A reader: module, the files that ``auto`` looks for, its keys of ``index``.

    ``opens``: it opens images. ``walks``: it takes the images of all sub-folders, which no table of its own lists.
    ``table``: what states the well and channel of each file, whatever its name.
    """

    module: ModuleType
    sign: str
    keys: tuple[str, ...] = ()
    opens: bool = False
    walks: bool = False
    table: str = ""


READERS = {
    "harmony": Reader(harmony, "Harmony's Index.xml or Index.idx.xml", ("acquisition",), table="the index"),
    "imagexpress": Reader(imagexpress, "MetaXpress' .HTD, or its folders TimePoint_1 or ZStep_1"),
    "cellvoyager": Reader(cellvoyager, "CellVoyager's MeasurementData.mlf", table="MeasurementData.mlf"),
    "incell": Reader(incell, "IN Cell's .xdce", table="the .xdce"),
    "loaddata": Reader(
        loaddata,
        "a LoadData table: index.loaddata, or load_data.csv in the folder",
        ("loaddata", "moved"),
        table="the LoadData table",
    ),
    "omezarr": Reader(omezarr, "a zarr group with the metadata of a plate", ("roots",)),
    "jumplite": Reader(jumplite, "zarr arrays named SOURCE__BATCH__PLATE__WELL__SITE", ("roots",)),
    "ometiff": Reader(
        ometiff,
        "files .ome.tif, .ome.tiff, .companion.ome or .ome.xml",
        ("pattern", "roots"),
        opens=True,
        walks=True,
        table="the OME-XML",
    ),
    "container": Reader(
        container, "Nikon's .nd2, Leica's .lif or Zeiss' .czi", ("pattern", "roots"), opens=True, walks=True
    ),
    "flex": Reader(
        flex, "Opera's .flex with a description in each file, without an index", ("roots",), opens=True, walks=True
    ),
    "pattern": Reader(
        pattern, "files that index.pattern matches", ("pattern", "pages", "roots", "channels"), walks=True
    ),
}
LAST = "pattern"  # also matches the files of exports with richer metadata, so it is tried last


def planes(images: str, *, plate: str, options: Index) -> pd.DataFrame:
    """List the planes of a plate.

    Parameters
    ----------
    images
        The entry of the sheet: a folder, a URL, a LoadData table beside the images, or the plate of a store of sites.
    options
        Section ``index`` of the config.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``; the paths of a plate in an object store are relative to its URL.

    Raises
    ------
    ValueError
        No reader or several recognise the folder; or the reader's own errors, which name the file.
    """
    folder = object_store.home(images)
    stored = site_arrays.plate_of(object_store.plain(images))
    beginning = stored[1] if stored else ""
    if stored:
        if options.reader not in ("auto", "jumplite"):
            raise ValueError(f"{plate}: expected a folder for the reader {options.reader}, found {images}")
        options = replace(options, reader="jumplite")
    elif folder != object_store.plain(images):
        if options.reader not in ("auto", "loaddata"):
            raise ValueError(f"{plate}: expected a folder for the reader {options.reader}, found the table {images}")
        options = replace(options, reader="loaddata", loaddata=object_store.plain(images))
    if not object_store.is_url(folder):
        return _read(Path(folder), plate=plate, options=options, beginning=beginning)
    with object_store.stand_in(folder, f"{beginning}{site_arrays.BETWEEN}" if beginning else "") as listed:
        return _read(listed, plate=plate, options=options, url=folder, beginning=beginning)


class SeveralReadersError(ValueError):
    """A folder that more than one reader recognises; the message has the readers and the key that chooses one."""


def choose(folder: Path, *, plate: str, options: Index, shown: object = None) -> str:
    """Return the name of the only reader that recognises a folder; the reader by file names counts if no other does."""
    first = [name for name, reader in READERS.items() if name != LAST and _present(reader, folder, options)]
    first = ["loaddata"] if options.loaddata else first  # a table named in the config has precedence
    found = first or _by_content(folder, options)
    if len(found) == 1:
        logger.info("%s: reader %s chosen; found %s", plate, found[0], READERS[found[0]].sign)
        return found[0]
    listed = [path for path, _ in islice(files(folder, roots=options.roots), SHOWN)]
    if found:
        signs = "; ".join(f"{name} ({READERS[name].sign})" for name in found)
        raise SeveralReadersError(
            f"{plate}: {shown or folder} can be read in several ways, name one in index.reader: {signs}"
        )
    signs = "; ".join(f"{name}: {reader.sign}" for name, reader in READERS.items())
    hint = foreign.hint(folder, roots=options.roots)
    raise ValueError(f"{plate}: expected in {shown or folder} one of {signs}; found the files {listed or 'none'}{hint}")


def _by_content(folder: Path, options: Index) -> list[str]:
    """Return the reader of a folder that no table and no name of a folder gives away."""
    if options.pages == "single" and ometiff.unnamed(folder, roots=options.roots):
        return ["ometiff"]
    if _present(READERS[LAST], folder, options):
        return [LAST]
    return ["imagexpress"] if imagexpress.unique_names(folder) else []


def _read(folder: Path, *, plate: str, options: Index, url: str | None = None, beginning: str = "") -> pd.DataFrame:
    name: str = options.reader
    if name == "auto":
        name = choose(folder, plate=plate, options=options, shown=url)
    reader = READERS[name]
    if url and (reader.opens or ("pages" in reader.keys and options.pages in ("channel", "plane"))):
        raise ValueError(f"{plate}: expected a folder on disk, since {name} opens the images, found {url}")
    try:
        own = {"beginning": beginning} if beginning else {}
        found = reader.module.planes(folder, plate=plate, **{"roots": options.roots, **_taken(reader, options), **own})
        steps = imagexpress.steps(folder, plate=plate) if name == "imagexpress" else None
        if not url:
            found = pages.complete(
                _linked(found, folder), folder, plate=plate, option=options.pages, steps=steps, aliases=options.channels
            )
        if reader.table:
            stated.check(found, plate=plate, where=reader.table)
        if not reader.walks:
            return found
        named = options.pattern if "pattern" in reader.keys else ""
        return folders.apart(found, plate=plate, counted=reader.opens, pattern=named)
    except ValueError as error:
        if plate in str(error):
            raise
        raise ValueError(f"{plate}: {error}") from error


def _linked(planes: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the planes with the path of the file itself for a link to a file in the plate's folder.

    One image that two names lead to is then named for two planes, as `index.crosscheck` finds it. Stores by content,
    in which equal black images are one file, lie in other or hidden folders. Links to no file stay: their planes are
    missing.
    """
    paths = planes["path"].dropna().unique()
    links = {path for path in paths if (folder / path).is_symlink()}
    if not links:
        return planes
    home = f"{os.path.realpath(folder)}/"
    real = {path: os.path.realpath(folder / path) for path in paths if (folder / path).exists()}
    real = {
        path: place for path, place in real.items() if place.startswith(home) and "/." not in place[len(home) - 1 :]
    }
    first: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (path in links, path)):
        first.setdefault(real.get(path, path), path)
    return planes.assign(path=planes["path"].map(lambda path: first.get(real.get(path, ""), path)))


def _present(reader: Reader, folder: Path, options: Index) -> bool:
    return bool(reader.module.present(folder, **_taken(reader, options)))


def _taken(reader: Reader, options: Index) -> dict[str, object]:
    return {key: getattr(options, key) for key in reader.keys}
