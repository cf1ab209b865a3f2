"""Names of stores with one zarr array per site, as JUMP-Lite: ``STORE.zarr/SOURCE__BATCH__PLATE__WELL__SITE``.

A store holds the sites of all plates of a data set, hundreds of thousands of arrays. A plate is therefore named by the
beginning of its keys, ``STORE.zarr/SOURCE__BATCH__PLATE``, which is no folder.
"""

from pathlib import Path
from typing import NamedTuple

BETWEEN = "__"
STORE = ".zarr"
PARTS = 3  # of a plate: source, batch, plate; a site has well and site besides


class Key(NamedTuple):
    """The parts of a site's key; the well is as written, the site has letters and digits."""

    source: str
    batch: str
    plate: str
    well: str
    site: str


def key(name: str) -> Key | None:
    """Return the parts of a site's key, None for other names.

    Examples
    --------
    >>> key("source_4__2021_04_26_Batch1__BR00117035__A01__1").plate
    'BR00117035'
    >>> key("source_4__2021_04_26_Batch1__BR00117035__A01") is None
    True
    """
    parts = name.split(BETWEEN)
    if len(parts) != len(Key._fields) or not all(parts) or "/" in name:
        return None
    found = Key(*parts)
    return found if found.site.isascii() and found.site.isalnum() else None


def plate_of(images: str) -> tuple[str, str] | None:
    """Return store and beginning of the keys where an entry of the sheet names a plate of a store, else None.

    Parameters
    ----------
    images
        A path or URL; a path that exists is a folder or file of its own.

    Examples
    --------
    >>> plate_of("s3://bucket/mq.zarr/source_4__Batch1__BR00117035")
    ('s3://bucket/mq.zarr', 'source_4__Batch1__BR00117035')
    """
    store, _, name = images.rstrip("/").rpartition("/")
    parts = name.split(BETWEEN)
    if not store.endswith(STORE) or len(parts) != PARTS or not all(parts) or ".." in parts:
        return None
    return None if "://" not in images and Path(images).exists() else (store, name)
