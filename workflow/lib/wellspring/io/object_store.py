"""Images in an object store: list a URL, or copy its files to the node's own disk.

Every URL that fsspec can open is accepted; ``file://`` is a plain path. The settings of the store are in the config
(``index.object_store``) and reach fsspec through the environment. Credentials are in the environment or in the user's
own files, never here. A store that does not answer is asked again; if it stays unreachable, that is an error and no
missing image.
"""

import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from wellspring.io import site_arrays
from wellspring.io.ahead import REQUESTS, ahead

logger = logging.getLogger(__name__)

PAUSES = (1.0, 4.0, 16.0)  # seconds before a request is repeated; S3 asks for growing pauses when it is busy
CONNECT, READ = 10, 60  # seconds for a connection, and between two parts of an answer; botocore has 60 and 60
# For botocore, whose pool has 10 connections by default, too few for `REQUESTS` at a time.
LIMITS: dict[str, object] = {
    "connect_timeout": CONNECT,
    "read_timeout": READ,
    "retries": {"mode": "standard", "max_attempts": 2},
    "max_pool_connections": 2 * REQUESTS,
}
WHOLE = 300  # seconds for one file or listing: 30 MB at 100 kB per second
LOADDATA = (".csv", ".csv.gz", ".parquet")
ZARR = ("zarr.json", ".zattrs", ".zarray", ".zgroup")  # metadata of zarr groups and arrays
# Endings of files that describe the planes; readers open these, so they are copied and not replaced by sparse files.
TABLES = (".xml", ".htd", ".mlf", ".mes", ".mrf", ".wpi", ".xdce", ".companion.ome", *LOADDATA, *ZARR)
LARGEST = 2**30  # bytes of such a file; the Index.xml of a 1536-well plate has about 300 MB

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
LISTLESS = ("http://", "https://")
LOCAL = ("file", "local")  # schemes of this machine's disks

Result = TypeVar("Result")


def is_url(path: object) -> bool:
    """Return whether a path is a URL, other than one of this machine's disks."""
    match = SCHEME.match(str(path))
    return match is not None and match[1] not in LOCAL


def plain(path: str) -> str:
    """Return the path of a ``file://`` URL; any other path unchanged."""
    match = SCHEME.match(path)
    return path if match is None or match[1] not in LOCAL else "/" + unquote(path[match.end() :]).lstrip("/")


def home(images: object) -> str:
    """Return the folder or URL that a plate's paths are relative to.

    Of a LoadData table it is the folder that the table is in, of a plate of a store of sites
    (:mod:`wellspring.io.site_arrays`) the store.
    """
    path = plain(str(images))
    if stored := site_arrays.plate_of(path):
        return stored[0]
    named = path.lower().endswith(LOADDATA) if is_url(path) else Path(path).is_file()
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".") if named else path


def climbs(url: str) -> bool:
    """Return whether a URL has a part ``..``, by which some stores would leave its prefix."""
    return ".." in unquote(url).replace("\\", "/").split("/")


def environment(*, anonymous: bool, endpoint: str | None) -> dict[str, str]:
    """Return the environment variables that pass ``index.object_store`` to fsspec; the user's own are kept."""
    own = json.loads(os.environ.get("FSSPEC_S3", "{}"))
    address = {"endpoint_url": endpoint} if endpoint else {}
    return {"FSSPEC_S3": json.dumps({**own, "anon": anonymous, **address})}


def listing(url: str, beginning: str = "") -> dict[str, int]:
    """Return path (relative to ``url``) and size in bytes of every object below a prefix, sorted, without hidden ones.

    With ``beginning`` only those whose path begins so; S3 lists no others.

    Raises
    ------
    ValueError
        The prefix does not exist, or listing it is not permitted.
    """
    try:
        return _listing(url, beginning=beginning)
    except (FileNotFoundError, PermissionError) as error:
        found, where = f"{type(error).__name__}: {error}", f"{url}/{beginning}" if beginning else url
        raise ValueError(f"{where}: expected a prefix that can be listed, found {found}") from error


def names(url: str) -> list[str]:
    """Return the names of files and folders directly below a prefix, sorted; empty where there is nothing.

    Raises
    ------
    ValueError
        Listing the prefix is not permitted.
    """
    system, root = _system(url)
    try:
        found = persist(lambda: _call(system, "ls", root, detail=False), url)
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise ValueError(f"{url}: expected a prefix that can be listed, found PermissionError: {error}") from error
    below = {str(path).rstrip("/").rpartition("/")[2] for path in found if str(path).strip("/") != root.strip("/")}
    return sorted(name for name in below if not _hidden(name))


@contextmanager
def stand_in(url: str, beginning: str = "") -> Iterator[Path]:
    """Yield a temporary folder with the files of the prefix ``url``: copies of tables, and sparse files for images.

    With ``beginning`` only those whose path begins so.

    The sparse files have the images' names and sizes and take no space, so that every reader that opens no image works
    as on disk.
    """
    with tempfile.TemporaryDirectory(prefix="wellspring-") as name:
        folder, wanted = Path(name), list[str]()
        for path, size in listing(url, beginning).items():
            target = folder / path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch(exist_ok=False)
            except OSError as error:  # a key that is a prefix of another, or longer than a disk's names
                logger.warning("%s/%s is left out: %s", url.rstrip("/"), path, error.strerror)
                continue
            if path.lower().endswith(TABLES) and size <= LARGEST:
                wanted.append(path)
            else:
                os.truncate(target, size)
        for _ in ahead(lambda path: fetch(f"{url.rstrip('/')}/{path}", folder / path), wanted, threads=REQUESTS):
            pass
        yield folder


def sizes(urls: Sequence[str]) -> dict[str, int]:
    """Return the size in bytes of those URLs that exist, with one listing per folder.

    If a store cannot be listed, every size is 0, and a missing file is noticed when it is read.
    """
    there: dict[str, int] = {}
    for parent in sorted({url.rpartition("/")[0] for url in urls}):
        if parent.startswith(LISTLESS):
            there |= {url: 0 for url in urls if url.rpartition("/")[0] == parent}
            continue
        try:
            found = {f"{parent}/{path}": size for path, size in _listing(parent, depth=1).items()}
        except FileNotFoundError:
            logger.warning("%s: no such folder", parent)
        except PermissionError:
            logger.warning("%s: listing is not permitted; its files are assumed to exist", parent)
            there |= {url: 0 for url in urls if url.rpartition("/")[0] == parent}
        else:
            there |= {url: found[url] for url in urls if url in found}
    return there


@contextmanager
def staged(url: str) -> Iterator[Path]:
    """Yield a copy of a file on the node's own disk (``TMPDIR``), which is removed at the end.

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        As the store answers; ``ConnectionError`` if it cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="wellspring-") as folder:
        path = Path(folder, file_name(url))
        fetch(url, path)
        yield path


def file_name(url: str) -> str:
    """Return the end of a URL as the name of a file; disks take names of 255 bytes."""
    name = url.partition("?")[0].rpartition("/")[2][-100:]
    return name if name.strip(".") else "image"


def fetch(url: str, path: Path) -> None:
    """Copy one file; raises as ``staged`` does."""
    system, source = _system(url)

    def get() -> None:
        _call(system, "get_file", source, str(path))
        if path.stat().st_size == 0 and (size := _call(system, "info", source)["size"]):
            raise ConnectionError(f"{url}: expected {size} bytes, found an empty answer")

    persist(get, url)


def _listing(url: str, *, depth: int | None = None, beginning: str = "") -> dict[str, int]:
    system, root = _system(url)
    narrowed = {"prefix": beginning} if beginning else {}  # other file systems than those of clouds ignore it
    found = persist(lambda: _call(system, "find", root, maxdepth=depth, detail=True, **narrowed), url)
    sizes = {}
    for name, entry in found.items():
        path = name.removeprefix(root.rstrip("/")).lstrip("/")
        shown = path.startswith(beginning) and not any(map(_hidden, path.split("/")))
        if entry.get("type") == "file" and path and shown:
            sizes[path] = int(entry.get("size") or 0)
    if not sizes:
        raise FileNotFoundError(f"no files below {url}")
    return dict(sorted(sizes.items()))


def _hidden(part: str) -> bool:
    """Return whether a part of a key is hidden, as ``.DS_Store`` is; the metadata of zarr are not."""
    return part[:1] in ("", ".") and part not in ZARR


def zarr_options(url: str) -> dict[str, object]:
    """Return the options by which zarr opens a URL with fsspec, as this module does."""
    system, _ = _system(url)
    return {**system.storage_options, "asynchronous": True}


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it; options that are not set here come from user and config.

    ``::`` is a part of a key here, although fsspec would follow it to a second file system.
    """
    from fsspec import get_filesystem_class

    options = {}
    if url.startswith(("s3://", "s3a://")):
        options = {"config_kwargs": deepcopy(LIMITS)}  # botocore changes the entry `retries` of what it is given
    scheme = SCHEME.match(url)
    try:
        kind = get_filesystem_class(scheme[1] if scheme else "file")
        return kind(**kind._get_kwargs_from_urls(url), **options), kind._strip_protocol(url)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url}: expected a URL that fsspec can open, found {error}") from error


def _call(system: Any, method: str, *arguments: object, **options: object) -> Any:
    """Call a method of a file system, within ``WHOLE`` seconds if it can be interrupted."""
    from fsspec.asyn import AsyncFileSystem, sync

    if isinstance(system, AsyncFileSystem):
        return sync(system.loop, getattr(system, f"_{method}"), *arguments, timeout=WHOLE, **options)
    return getattr(system, method)(*arguments, **options)


def persist(ask: Callable[[], Result], url: str) -> Result:
    """Return the answer of a store; errors of the file are raised at once, other errors after the last pause."""
    pauses = iter(PAUSES)
    while True:
        try:
            return ask()
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
            raise
        except Exception as error:  # the libraries of object stores raise errors of their own
            pause = next(pauses, None)
            if pause is None:
                raise ConnectionError(f"{url}: {type(error).__name__}: {error}"[:500]) from error
            logger.warning("%s: %s: asked again after %g s", url, type(error).__name__, pause)
            time.sleep(pause)
