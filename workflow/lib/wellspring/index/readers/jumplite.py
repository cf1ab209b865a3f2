"""Read a store of one zarr array per site, as JUMP-Lite has: ``STORE.zarr/SOURCE__BATCH__PLATE__WELL__SITE``.

Each array is (channel, y, x) with the channels AGP, DNA, ER, Mito, RNA, JPEG XL in zarr v2 or Zstandard in zarr v3
(Munoz et al. 2026, arXiv 2608.07632). Only names and metadata of the arrays are read. The sheet names a plate by the
beginning of its keys, ``STORE.zarr/SOURCE__BATCH__PLATE``, or by the store, whose keys then name the plate once.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wellspring.index.readers.listing import check_plate, complete, files, places, within
from wellspring.io import budget, site_arrays
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")  # in the order of the arrays
METADATA = ("zarr.json", ".zarray")  # in the order in which zarr takes them
SHOWN = 5  # keys that a message lists


def present(folder: Path | str, *, roots: Sequence[Path | str] = ()) -> bool:
    """Return whether the folder has an array that is named as a site."""
    return any(_has_metadata(Path(folder) / name) for name in _names(Path(folder)) if site_arrays.key(name))


def planes(folder: Path | str, *, plate: str, beginning: str = "", roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate.

    Parameters
    ----------
    folder
        The store, or any folder of such arrays.
    plate
        The plate, where `beginning` is empty; else for messages.
    beginning
        ``SOURCE__BATCH__PLATE``, which the keys begin with.
    roots
        Folders outside of the store that links may lead to.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``; the path is the key, the page the channel's number from 0, ``bytes`` those of
        the array. A site whose array has no readable metadata, or not five channels, has planes without a path.

    Raises
    ------
    ValueError
        No folder, no array of the plate, several plates of this name, no array of five channels, or a link that leads
        out of the store.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{plate}: expected a store {folder}, found {'a file' if folder.exists() else 'nothing'}")
    allowed = places(folder, roots)
    sites = list(_sites(folder, plate=plate, beginning=beginning))
    rows: list[dict[str, Any]] = []
    refused: dict[str, list[str]] = defaultdict(list)
    for key, well in sites:
        name = site_arrays.BETWEEN.join(key)
        reason, size = _array(folder / name, allowed)
        if reason:
            refused[reason].append(name)
        path = None if reason else name
        shared = {"well": well, "site": key.site.lstrip("0") or "0", "path": path, "bytes": 0 if reason else size}
        rows.extend({**shared, "channel": channel, "page": page} for page, channel in enumerate(CHANNELS))
    for reason, names in refused.items():
        logger.warning("%s: %d sites count as missing: %s: %s", plate, len(names), reason, ", ".join(names[:SHOWN]))
    if sum(map(len, refused.values())) == len(sites):
        raise ValueError(f"{plate}: no site of {folder} can be read: {'; '.join(sorted(refused))}")
    logger.info("%s: %d sites in %s", plate, len(sites), folder)
    return complete(pd.DataFrame(rows))


def _sites(folder: Path, *, plate: str, beginning: str) -> Iterator[tuple[site_arrays.Key, str]]:
    """Yield the keys of a plate with their wells, in the order of their names."""
    found, odd, plates = [], [], set()
    for name in sorted(_names(folder)):
        key = site_arrays.key(name)
        if beginning and not name.startswith(f"{beginning}{site_arrays.BETWEEN}"):
            continue
        if key is None or not well_names.is_well(key.well):
            odd += [name] if beginning or plate in name.split(site_arrays.BETWEEN) else []
        elif beginning or key.plate == plate:
            found.append((key, well_names.normalise(key.well)))
            plates.add(site_arrays.BETWEEN.join(key[: site_arrays.PARTS]))
    if odd:
        form = "SOURCE__BATCH__PLATE__WELL__SITE"
        logger.warning("%s: %d entries of %s are not named %s: %s", plate, len(odd), folder, form, odd[:SHOWN])
    if len(plates) > 1:
        named = [f"{folder}/{each}" for each in sorted(plates)[:SHOWN]]
        message = f"expected one plate of this name, found {len(plates)}; write one of {named} in the sheet"
        raise ValueError(f"{plate}: {message}")
    if not found:
        form = f"{beginning or f'SOURCE__BATCH__{plate}'}__WELL__SITE"
        raise ValueError(f"{plate}: expected arrays {form} in {folder}, found none")
    if beginning:
        check_plate([beginning.rsplit(site_arrays.BETWEEN, maxsplit=1)[-1]], plate=plate, where=folder)
    yield from found


def _names(folder: Path) -> Iterator[str]:
    """Yield the names in a folder that are not hidden; a store has a million, so their kind is not asked for here."""
    if folder.is_dir():
        with os.scandir(folder) as listing:
            yield from (entry.name for entry in listing if not entry.name.startswith("."))


def _has_metadata(array: Path) -> bool:
    return any((array / name).is_file() for name in METADATA)


def _array(array: Path, allowed: Sequence[str]) -> tuple[str, int]:
    """Return why an array is not one of five channels, empty if it is, and the bytes of its files."""
    if not within(os.path.realpath(array), allowed):
        raise ValueError(
            f"{array}: expected links within the store or index.roots, found one to {os.path.realpath(array)} (name a "
            "folder above it in index.roots, or remove the link)"
        )
    metadata = next((array / name for name in METADATA if (array / name).is_file()), None)
    if metadata is None:
        return "expected an array with .zarray or zarr.json, found none", 0
    try:
        found = budget.json_of(metadata) if within(os.path.realpath(metadata), allowed) else None
    except (ValueError, OSError) as error:
        return f"expected metadata of an array, found {type(error).__name__}", 0
    shape = found.get("shape") if isinstance(found, dict) else None
    sizes = shape if isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape) else []
    if len(sizes) != 3 or sizes[0] != len(CHANNELS):
        return f"expected the shape (channels {', '.join(CHANNELS)}; y; x), found {str(shape)[:60]}", 0
    return "", sum(size for _, size in files(array, roots=allowed))
