"""Stored plates that travel: one zip archive per plate, where jobs share no folder and outputs go through a store.

On a shared file system a plate is a folder of thousands of files, of which a rule declares the root's ``zarr.json``. A
storage provider of Snakemake moves declared files only. There a rule declares one archive per plate, which is complete
or absent: a zipped OME-Zarr by RFC-9 of OME-NGFF (``.ozx``), without compression, since chunks are compressed already.
The same plate gives the same bytes.

The raw plates of the demo, which a job makes, travel as a zip archive too (``.zip``): Snakemake finds no folder in a
store of objects that was not there at the start.

The comment of an archive has the number and a checksum of its members' names, sizes and checksums, since zip has none
of its directory: an archive from which members are lost, doubled or renamed is refused, as is one with other bytes.
"""

import atexit
import errno
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath

from wellspring.io import tables
from wellspring.io.lease import PLATE_ROOT, whole_folder
from wellspring.io.ngff_metadata import NGFF

SUFFIX, RAW = ".ozx", ".zip"  # of a stored plate, and of raw images
COMMENT = {"ome": {"version": NGFF, "zipFile": {"centralDirectory": {"jsonFirst": True}}}}
BLOCK = 2**22  # bytes that are copied at a time


def opened(declared: str | Path) -> Path:
    """Return the folder of a plate that a rule declares as an input.

    Parameters
    ----------
    declared
        The root's ``zarr.json``, whose folder is returned; or an archive, which is unpacked into the temporary folder
        of this process once. The folder ``images`` or ``cells`` around it is kept, so that paths from labels to pixels
        are those of a shared file system.

    Raises
    ------
    ValueError
        The archive is damaged or truncated; names it and the remedy.
    """
    declared = Path(declared)
    if declared.suffix != SUFFIX:
        return declared.parent
    return _unpacked(declared.absolute())


@contextmanager
def written(declared: str | Path) -> Iterator[Path]:
    """Yield the folder into which a job writes a plate that its rule declares as an output.

    An archive is written at the end of the block, under a temporary name until it is complete, and not if the block
    raises an exception. The temporary folder then has the plate twice: as a folder and as an archive.
    """
    declared = Path(declared)
    if declared.suffix != SUFFIX:
        yield declared.parent
        return
    with _archived(declared) as folder:
        yield folder


def raw(declared: str | Path | Sequence[str] | None) -> str | Path | None:
    """Return the folder of raw images that a rule declares as an input, unpacked from an archive; None without input.

    Raises
    ------
    ValueError
        The archive is damaged or truncated; names it and the remedy.
    TypeError
        The rule declares several folders.
    """
    if not declared:  # Snakemake has an empty list for an input that a job lacks
        return None
    if not isinstance(declared, str | Path):
        raise TypeError(f"expected one folder of raw images, found {list(declared)}")
    if Path(declared).suffix != RAW or Path(declared).is_dir():
        return declared
    return _unpacked(Path(declared).absolute())


@contextmanager
def raw_written(declared: str | Path) -> Iterator[Path]:
    """Yield the folder into which a job writes raw images: the declared output, or one that is archived at the end."""
    declared = Path(declared)
    with _archived(declared) if declared.suffix == RAW else whole_folder(declared) as folder:
        folder.mkdir(exist_ok=True)
        yield folder


@contextmanager
def _archived(declared: Path) -> Iterator[Path]:
    """Yield the place of a folder that is packed into `declared` at the end of the block."""
    folder = _place(declared)
    folder.parent.mkdir(parents=True, exist_ok=True)
    yield folder
    with tables.atomic(declared) as temporary:
        pack(folder, temporary)


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a folder, linked ones too, into an archive: metadata from the root down, then data."""
    names = [
        PurePosixPath(Path(root, name).relative_to(folder).as_posix())
        for root, _, files in os.walk(folder, followlinks=True)
        for name in files
    ]
    names.sort(key=lambda name: (name.name != PLATE_ROOT, len(name.parts) if name.name == PLATE_ROOT else 0, name))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for name in names:
            entry = zipfile.ZipInfo(str(name))  # of 1980, so that the archive has no times
            entry.external_attr = 0o644 << 16
            with (folder / name).open("rb") as source, target.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, BLOCK)
        target.comment = json.dumps(COMMENT | {"wellspring": _content(target)}).encode()


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive into a folder.

    Raises
    ------
    ValueError
        The archive is damaged or truncated, or has other members than were written; names it.
    """
    if not archive.is_file():
        raise ValueError(f"{archive}: expected a zipped plate, found no such file")
    try:
        with zipfile.ZipFile(archive) as source:
            comment = json.loads(source.comment)
            stated, found = comment.get("wellspring") if isinstance(comment, dict) else None, _content(source)
            if stated != found:
                raise ValueError(f"members {found}, and {stated} in its comment")
            source.extractall(folder)
    except Exception as error:  # damaged bytes raise various exceptions
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of a place before the file's beginning
            raise
        raise ValueError(
            f"{archive}: expected a zipped plate, found {type(error).__name__}: {error}. Delete it; it is made again"
        ) from error


def _content(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the number of members and a checksum of their names, sizes and checksums, in their order.

    Raises
    ------
    ValueError
        A member is there twice, or its name leads out of the folder or is no path of a file.
    """
    members = archive.infolist()
    names = [PurePosixPath(member.filename) for member in members]
    for member, name in zip(members, names, strict=True):
        if name.is_absolute() or ".." in name.parts or str(name) != member.filename or "\\" in member.filename:
            raise ValueError(f"the member {member.filename!r}, which is no path within the plate")
    if len(set(names)) < len(names):
        raise ValueError(f"{len(names) - len(set(names))} members that are there twice")
    listed = [(member.filename, member.file_size, member.CRC) for member in members]
    return {"files": len(members), "crc32": zlib.crc32(json.dumps(listed).encode())}


@cache
def _unpacked(archive: Path) -> Path:
    folder = _place(archive)
    unpack(archive, folder)
    return folder


def _place(archive: Path) -> Path:
    name = archive.stem if archive.suffix == RAW else f"{archive.stem}.zarr"
    return _scratch() / archive.parent.name / name


@cache
def _scratch() -> Path:
    """Return the temporary folder of this process, which is removed at its end; processes that it starts leave it."""
    folder, owner = Path(tempfile.mkdtemp(prefix="wellspring_")), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder
