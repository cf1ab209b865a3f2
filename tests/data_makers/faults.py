r"""Faults: functions that damage a specimen plate, and the report that each fault must cause.

A fault is a function of :class:`specimens.Specimen` and :class:`random.Random`; it returns :class:`Damage`, or None
where the layout has nothing that it could damage. An image is damaged once; tables are, again and again.
"""

import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from specimens import KEYS, Key, Specimen, description, pixels, write


@dataclass(frozen=True)
class Damage:
    """The effect of a fault.

    ``doomed`` planes are excluded with a reason, or have the very pixels that were written; ``free`` ones may be read
    as other values, since the file has no checksum. ``stops``: whether the plate may, must, or must not (never) end in
    an error. ``told`` is a pattern in the messages of the run.
    """

    doomed: frozenset[Key] = frozenset()
    free: frozenset[Key] = frozenset()
    stops: str = "never"
    told: str = ""


Fault = Callable[[Specimen, random.Random], Damage | None]
FAULTS: dict[str, Fault] = {}
EVERY = frozenset(KEYS)
ANYTHING = Damage(doomed=EVERY, stops="may")  # a table says what all images are
ODD = (
    "a b", "ü é 漢字", "$(touch pwned)", "`id`", "; rm -rf .", "| cat", "a'b", 'a"b', "a\nb", "a\tb", "-rf", "*",
    "[a-z]", "{plate}", "%s%n", "%2e%2e", "~", "a,b", "\\", "\u202egnp", "e\u0301", "\x07", "🧫", "CON", "x" * 120, "#",
    "?", "&amp;", "<!--",
)  # fmt: skip


def fault(function: Fault) -> Fault:
    """Enter a fault into the table under its name."""
    FAULTS[function.__name__] = function
    return function


# Images


def _pick(specimen: Specimen, chance: random.Random, *suffixes: str) -> tuple[Path, frozenset[Key]] | None:
    """Return an image that is whole, and its planes, which are no longer."""
    left = [
        path
        for path, keys in sorted(specimen.files.items())
        if specimen.whole.issuperset(keys) and (not suffixes or path.suffix.lower() in suffixes) and path.is_file()
    ]
    if not left:
        return None
    path = chance.choice(left)
    keys = frozenset(specimen.files[path])
    specimen.whole -= keys
    return path, keys


def _image(change: Callable[[Path, random.Random], None], *suffixes: str) -> Fault:
    """Return the fault that changes one file, whose planes are doomed."""

    def damage(specimen: Specimen, chance: random.Random) -> Damage | None:
        picked = _pick(specimen, chance, *suffixes)
        if picked is None:
            return None
        change(picked[0], chance)
        return Damage(doomed=picked[1])

    return damage


def cut(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def zero(path: Path, chance: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garble(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(chance.randrange(1, 3000)))


def _other_format(path: Path, chance: random.Random) -> None:
    heads = (
        b"<html>404</html>", b"%PDF-1.4", b"\x1f\x8b\x08", b"GIF89a", b"BM", b"\xff\xd8\xff\xe0", b"\x89HDF\r\n\x1a\n",
        b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"8BPS", b"P6 9 9 255\n", b"SIMPLE  =",
        b"\x93NUMPY", b"PK\3\4",
    )  # fmt: skip
    path.write_bytes(chance.choice(heads) + chance.randbytes(chance.randrange(400)))


def pipe(path: Path, chance: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def folder_instead(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()
    if chance.random() < 0.5:
        (path / "zarr.json").write_text(chance.choice(['{"zarr_format": 3', "{}", "[]", '{"shape": [1, 64, 64]}']))


def to_itself(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _to_nothing(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.symlink_to("no such file.tif")


def _odd_name(path: Path, chance: random.Random) -> None:
    name = chance.choice(ODD)
    path.rename(path.with_name(chance.choice([f"{name}{path.suffix}", f"{name}{path.name}", f"{path.stem}{name}"])))


def swap_case(path: Path, chance: random.Random) -> None:
    path.rename(path.with_name(path.name.swapcase()))


FAULTS |= {
    "truncated": _image(cut),
    "zeroed": _image(zero),
    "emptied": _image(lambda path, chance: path.write_bytes(b"")),
    "garbage": _image(garble),
    "other_format": _image(_other_format),
    "removed": _image(lambda path, chance: path.unlink()),
    "pipe": _image(pipe),
    "folder_for_image": _image(folder_instead),
    "link_to_itself": _image(to_itself),
    "link_to_nothing": _image(_to_nothing),
    "odd_name": _image(_odd_name),
    "case": _image(swap_case),
}


def _undetectable(change: Callable[[bytearray, random.Random], None]) -> Fault:
    """Return the fault that changes bytes which may be pixels; a TIFF has no checksum of them."""

    def damage(specimen: Specimen, chance: random.Random) -> Damage | None:
        picked = _pick(specimen, chance)
        if picked is None:
            return None
        content = bytearray(picked[0].read_bytes())
        change(content, chance)
        picked[0].write_bytes(content)
        # A file of OME-TIFF or of several pages says which planes it has.
        free = EVERY if specimen.layout in ("ometiff", "pattern pages") else picked[1]
        return Damage(free=free, stops="may" if free is EVERY else "never")

    return damage


def flip(content: bytearray, chance: random.Random) -> None:
    near = chance.random() < 0.5  # most bytes are pixels; headers stand at the beginning
    for _ in range(chance.randrange(1, 9)):
        content[chance.randrange(min(len(content), 400) if near else len(content))] ^= 1 << chance.randrange(8)


def _zero_on(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start:] = bytes(len(content) - start)


def zero_block(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content)) // 512 * 512
    content[start : start + 512] = bytes(min(512, len(content) - start))


FAULTS |= {
    "flipped": _undetectable(flip),
    "zeroed_from": _undetectable(_zero_on),
    "zeroed_block": _undetectable(zero_block),
}

TIFF = (".tif", ".tiff")
DRAWN = (*TIFF, ".png")


def _redrawn(change: Callable[[np.ndarray, random.Random], list[np.ndarray]], *suffixes: str) -> Fault:
    """Return the fault that writes other planes in place of an image."""

    def damage(specimen: Specimen, chance: random.Random) -> Damage | None:
        picked = _pick(specimen, chance, *suffixes)
        if picked is None:
            return None
        path, keys = picked
        said = description(path) if path.suffix.lower() in TIFF else None
        write(
            path, *change(pixels(min(keys)), chance), description=said, compression=chance.choice([None, "lzw", "zlib"])
        )
        return Damage(doomed=keys)

    return damage


def _retyped(plane: np.ndarray, chance: random.Random) -> list[np.ndarray]:
    kinds = (
        np.float32,
        np.float64,
        np.uint32,
        np.int16,
        np.int32,
        np.int8,
        np.uint64,
        bool,
        np.complex64,
        np.float16,
        np.uint8,
    )
    kind = chance.choice(kinds)
    return [(plane % 256).astype(kind) if kind is np.uint8 else plane.astype(kind)]


def _reshaped(plane: np.ndarray, chance: random.Random) -> list[np.ndarray]:
    shapes = [(63, 64), (64, 63), (64, 1), (1, 64), (1, 1), (2, 2), (65, 64), (128, 128), (32, 32), (8, 512)]
    return [np.resize(plane, chance.choice(shapes))]


def _coloured(plane: np.ndarray, chance: random.Random) -> list[np.ndarray]:
    shades = np.stack([plane, plane[::-1], plane.T], axis=-1)
    return [(shades >> 4).astype(np.uint8) if chance.random() < 0.5 else shades]


def _several(plane: np.ndarray, chance: random.Random) -> list[np.ndarray]:
    """More pages than the plate's other images have; the first is as it was."""
    return [plane, *(plane[::-1] for _ in range(chance.randrange(1, 5)))]


FAULTS |= {
    "dtype": _redrawn(_retyped, *TIFF),
    "shape": _redrawn(_reshaped, *DRAWN),
    "colours": _redrawn(_coloured, *TIFF),
    "coloured_png": _redrawn(
        lambda plane, chance: [(np.stack([plane, plane[::-1], plane.T], -1) >> 4).astype(np.uint8)], ".png"
    ),
}


@fault
def pages(specimen: Specimen, chance: random.Random) -> Damage | None:
    """Another count of pages than the plate's other files have."""
    picked = _pick(specimen, chance, *TIFF)
    if picked is None:
        return None
    path, keys = picked
    planes = [pixels(key) for key in specimen.files[path]]
    said = description(path)
    if len(planes) > 1 and chance.random() < 0.5:
        write(path, planes[0], description=said)
        return Damage(doomed=keys, stops="may" if specimen.layout == "ometiff" else "never")
    write(path, *planes, *(planes[0][::-1] for _ in range(chance.randrange(1, 5))), description=said)
    return Damage(doomed=keys, told=r"several_pages\(pages=" if len(planes) == 1 else "")


@fault
def palette(specimen: Specimen, chance: random.Random) -> Damage | None:
    """Indices into a palette of colours."""
    picked = _pick(specimen, chance, *TIFF)
    if picked is None:
        return None
    path, keys = picked
    colours = np.array([[chance.randrange(65536) for _ in range(256)] for _ in range(3)], np.uint16)
    indices = pixels(min(keys)).astype(np.uint8)
    tifffile.imwrite(
        path, indices, photometric="palette", colormap=colours, description=description(path), metadata=None
    )
    return Damage(doomed=keys)


@fault
def bomb(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A header that states more pixels than any camera has."""
    picked = _pick(specimen, chance, *DRAWN)
    if picked is None:
        return None
    path, keys = picked
    size = chance.choice([20_000, 22_000, 23_170, 30_000, 65_535, 100_000, 2**31 - 1, 2**32 - 1])
    content = bytearray(path.read_bytes())
    if path.suffix == ".png":
        content[16:24] = struct.pack(">II", min(size, 2**31 - 1), min(size, 2**31 - 1))
        if chance.random() < 0.7:
            content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages[0].tags
            names = chance.choice([("ImageWidth",), ("ImageLength",), ("ImageWidth", "ImageLength", "RowsPerStrip")])
            for name in names:
                _put(content, tags[name], size, tiff.byteorder)
    path.write_bytes(content)
    return Damage(doomed=keys)


@fault
def tag(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A number of the TIFF directory, or the offset of the next one, is another."""
    picked = _pick(specimen, chance, *TIFF)
    if picked is None:
        return None
    path, keys = picked
    content = bytearray(path.read_bytes())
    number = chance.choice(
        [0, 1, 2, 3, 7, 8, 255, 5, 32773, 34712, 50000, 65535, 2**31, 2**32 - 1, len(content), len(content) - 4]
    )
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[0].tags
        names = ["Compression", "BitsPerSample", "SamplesPerPixel", "PhotometricInterpretation", "StripOffsets",
                 "StripByteCounts", "RowsPerStrip", "SampleFormat", "Predictor", "ImageWidth", "ImageLength",
                 "next"]  # fmt: skip
        name = chance.choice([name for name in names if name in found or name == "next"])
        if name == "next":
            first = tiff.pages[0].offset
            count = struct.unpack(tiff.byteorder + "H", content[first : first + 2])[0]
            at = first + 2 + 12 * count
            where = chance.choice([first, 8, number])
            content[at : at + 4] = struct.pack(tiff.byteorder + "I", where)
        else:
            _put(content, found[name], number, tiff.byteorder)
    path.write_bytes(content)
    # Rows that a strip has, its order of bits, or where it begins, may change pixels to others that are as good.
    free = EVERY if specimen.layout in ("ometiff", "pattern pages") else keys
    return Damage(free=free, stops="may" if free is EVERY else "never")


def _put(content: bytearray, entry: tifffile.TiffTag, value: int, order: str) -> None:
    """Write a number into a directory's entry, as LONG where it fits no SHORT."""
    if entry.count != 1:
        return
    content[entry.offset + 2 : entry.offset + 4] = struct.pack(order + "H", 4)
    content[entry.offset + 8 : entry.offset + 12] = struct.pack(order + "I", value)


@fault
def denied(specimen: Specimen, chance: random.Random) -> Damage | None:
    """An image, or a folder of images, that may not be read."""
    picked = _pick(specimen, chance)
    if picked is None:
        return None
    specimen.denied = True
    path, keys = picked
    if chance.random() < 0.3 and path.parent != specimen.folder:
        path.parent.chmod(0)
        specimen.whole.clear()
        return ANYTHING
    path.chmod(0)
    return Damage(doomed=keys, stops="may" if specimen.layout in ("ometiff", "pattern pages") else "never")


@fault
def link_outside(specimen: Specimen, chance: random.Random) -> Damage | None:
    """An image is a link to one that nobody allowed."""
    picked = _pick(specimen, chance)
    if picked is None or specimen.archive in picked[0].parents:
        return None
    path, keys = picked
    path.unlink()
    path.symlink_to(
        chance.choice(
            [specimen.secret / path.name, specimen.secret / "image.tif", Path("/etc/passwd"), Path("/dev/zero")]
        )
    )
    if specimen.layout.startswith("omezarr"):  # an image that is left, with all its chunks
        site = {key[:2] for key in keys}
        keys = frozenset(key for key in KEYS if key[:2] in site)
        specimen.whole -= keys
        return Damage(doomed=keys, stops="may", told="expected links within the plate's folder")
    return Damage(stops="must", told="expected links within the plate's folder")


@fault
def link_to_archive(specimen: Specimen, chance: random.Random) -> Damage | None:
    """An image that lies where the config allows it; nothing is lost."""
    picked = _pick(specimen, chance)
    if picked is None or specimen.archive in picked[0].parents:
        return None
    path, keys = picked
    target = specimen.archive / path.name
    while target.exists():
        target = target.with_name(f"{target.stem}_{target.suffix}")
    path.rename(target)
    path.symlink_to(target)
    return Damage(doomed=keys)


@fault
def doubled(specimen: Specimen, chance: random.Random) -> Damage | None:
    """An image is there twice, with other pixels."""
    if specimen.tables and not specimen.layout.startswith("imagexpress"):
        return None  # the tables say which files are images; for rows that are doubled see `row_doubled`
    picked = _pick(specimen, chance)
    if picked is None:
        return None
    path, keys = picked
    again = path.parent / chance.choice(["again", *ODD]).replace("/", "") / path.name
    if specimen.layout == "imagexpress":
        again = path.with_name(path.name[:-40] + "0" * 8 + path.name[-32:])
    if again.exists() or specimen.layout == "imagexpress exported":
        return None
    again.parent.mkdir(exist_ok=True)
    shutil.copy(path, again)
    return Damage(doomed=frozenset(keys), stops="may", told="have planes twice|are acquisitions of th")


@fault
def channel_missing(specimen: Specimen, chance: random.Random) -> Damage | None:
    """No image of a channel is there, except links that another fault made."""
    if any(len(keys) > 1 for keys in specimen.files.values()):
        return None
    channel = chance.choice(("DNA", "ER"))
    lost = frozenset(key for key in KEYS if key[2] == channel)
    for path, keys in specimen.files.items():
        if keys[0] in lost and path.is_file() and not path.is_symlink():
            path.unlink()
    specimen.whole -= lost
    return Damage(doomed=lost, stops="may", told=f'channel_without_files\\(channel="{channel}"|missing')


@fault
def well_missing(specimen: Specimen, chance: random.Random) -> Damage | None:
    """No image of a well is there."""
    well = chance.choice([key[0] for key in KEYS])
    lost = frozenset(key for key in KEYS if key[0] == well)
    for path, keys in specimen.files.items():
        if set(keys) <= lost and (path.is_symlink() or path.exists()) and not path.is_dir():
            path.unlink()
    specimen.whole -= lost
    return Damage(doomed=lost, stops="may", told="missing|no images")


# Folders


@fault
def loop(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A folder that is in itself; nothing is lost."""
    homes = sorted({path.parent for path in specimen.files if specimen.folder in path.parents} | {specimen.folder})
    link = chance.choice(homes) / chance.choice(["loop", *ODD])
    if os.path.lexists(link) or "/" in link.name:
        return None
    link.symlink_to(chance.choice([".", str(specimen.folder), f"../{link.parent.name}"]))
    return Damage()


@fault
def folder_link_outside(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A folder in the plate's is a link to one that nobody allowed."""
    link = specimen.folder / chance.choice(["out", "Images2", "zz.zarr", "TimePoint_9"])
    if os.path.lexists(link):
        return None
    link.symlink_to(chance.choice([specimen.secret, specimen.base, Path("/etc"), Path("..")]))
    return Damage(stops="may" if specimen.layout.startswith("omezarr") else "must")


@fault
def clutter(specimen: Specimen, chance: random.Random) -> Damage | None:
    """Files that are not images, with names that shells handle badly; nothing is lost."""
    for name in chance.sample(ODD, 4):
        place = specimen.folder / name
        if "/" not in name and not os.path.lexists(place):
            chance.choice([lambda at: at.mkdir(), lambda at: at.write_bytes(b"II*\0"), os.mkfifo])(place)
    raw = os.fsencode(specimen.folder) + b"/\xff\xfe" + bytes([chance.randrange(128, 255)])
    if chance.random() < 0.5 and not os.path.lexists(raw):
        with open(raw, "wb"):  # noqa: PTH123 - a name that is no text
            pass
    return Damage()
