"""Miniature files of Zeiss ZEN (CZI, ZISRAW 1.0), written byte by byte in the vendor's layout."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np

KINDS = {"u1": 0, "u2": 1, "f4": 2, "u4": 12}


def czi(
    path: Path,
    planes: Mapping[tuple[int, int, int, int, int], np.ndarray],
    *,
    scenes: Sequence[tuple[str, str | None]],
    channels: Sequence[str],
    pixel: float = 0.325,
    compression: str = "raw",
    pyramid: bool = False,
    further: Mapping[str, int] | None = None,
) -> None:
    """Write planes (scene, tile, time, focal plane, channel -> (Y, X)) as a CZI.

    `scenes` has the name of each position and its well (None: no plate), `pixel` is in micrometres. With `pyramid`,
    each plane also has a subblock of half its resolution; `further` are starts on other axes.
    """
    data = bytearray()

    def segment(name: bytes, content: bytes) -> int:
        place = len(data)
        size = -(-len(content) // 32) * 32
        data.extend(struct.pack("<16sqq", name, size, len(content)) + content.ljust(size, b"\0"))
        return place

    segment(b"ZISRAWFILE", bytes(512))
    entries = []
    for (scene, tile, time, plane, channel), pixels in planes.items():
        levels = [(pixels, 1)] + ([(pixels[::2, ::2], 2)] if pyramid else [])
        for stored, factor in levels:
            axes = [("X", tile * pixels.shape[1], pixels.shape[1], stored.shape[1])]
            axes += [("Y", 0, pixels.shape[0], stored.shape[0])]
            axes += [
                (axis, number, 1, 1) for axis, number in zip("CZTSM", (channel, plane, time, scene, tile), strict=True)
            ]
            axes += [(axis, number, 1, 1) for axis, number in (further or {}).items()]
            content, code = _compressed(stored, compression)
            entry = _entry(stored.dtype, len(data), code, factor > 1, axes)
            fixed = (struct.pack("<iiq", 0, 0, len(content)) + entry).ljust(256, b"\0")
            segment(b"ZISRAWSUBBLOCK", fixed + content)
            entries.append(entry)
    directory = segment(b"ZISRAWDIRECTORY", struct.pack("<i124x", len(entries)) + b"".join(entries))
    text = _metadata(planes, scenes, channels, pixel).encode()
    metadata = segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(text), 0) + text)
    head = struct.pack("<ii8x16s16siqqiq", 1, 0, bytes(range(16)), bytes(range(16)), 0, directory, metadata, 0, 0)
    data[32 : 32 + len(head)] = head
    path.write_bytes(bytes(data))


def _entry(dtype: np.dtype, place: int, code: int, reduced: bool, axes: Sequence[tuple[str, int, int, int]]) -> bytes:
    head = struct.pack("<2siqiiB5xi", b"DV", KINDS[dtype.str[1:]], place, 0, code, 2 * reduced, len(axes))
    return head + b"".join(
        struct.pack("<4siifi", axis.encode(), start, size, float(start), stored) for axis, start, size, stored in axes
    )


def _compressed(pixels: np.ndarray, how: str) -> tuple[bytes, int]:
    raw = pixels.tobytes()
    if how == "raw":
        return raw, 0
    if how == "jpegxr":
        return imagecodecs.jpegxr_encode(pixels, level=1.0), 4
    if how == "zstd":
        return imagecodecs.zstd_encode(raw), 5
    if how == "zstd plain":
        return b"\x01" + imagecodecs.zstd_encode(raw), 6
    assert how == "zstd packed"
    apart = np.frombuffer(raw, np.uint8).reshape(-1, 2).T.tobytes()
    return b"\x03\x01\x01" + imagecodecs.zstd_encode(apart), 6


def _metadata(planes, scenes: Sequence[tuple[str, str | None]], channels: Sequence[str], pixel: float) -> str:
    """Return the XML of ZEN: names of channels and scenes, numbers of each axis and the scaling."""
    listed = ""
    for number, (name, well) in enumerate(scenes):
        inner = "<CenterPosition>0,0</CenterPosition>"
        if well is not None:
            row, column = ord(well[0]) - 64, int(well[1:])
            inner += f"<ArrayName>{well}</ArrayName><Shape Id='{number}' Name='{well}' Status='Focused'>"
            inner += f"<ColumnIndex>{column}</ColumnIndex><RowIndex>{row}</RowIndex></Shape>"
        listed += f"<Scene Index='{number}' Name={quoteattr(name)}>{inner}</Scene>"
    named = "".join(
        f"<Channel Id='Channel:{number}' Name={quoteattr(name)}><PixelType>Gray16</PixelType></Channel>"
        for number, name in enumerate(channels)
    )
    sizes = {axis: 1 + max(key[place] for key in planes) for place, axis in enumerate("SMTZC")}
    height, width = next(iter(planes.values())).shape
    counts = "".join(f"<Size{axis}>{count}</Size{axis}>" for axis, count in {**sizes, "X": width, "Y": height}.items())
    scale = "".join(
        f"<Distance Id='{axis}'><Value>{pixel * 1e-6!r}</Value><DefaultUnitFormat>µm</DefaultUnitFormat></Distance>"
        for axis in "XY"
    )
    return (
        f"<?xml version='1.0' encoding='utf-8'?><ImageDocument><Metadata><Information><Image>{counts}<Dimensions>"
        f"<Channels>{named}</Channels><S><Scenes>{listed}</Scenes></S></Dimensions></Image></Information>"
        f"<Scaling><Items>{scale}</Items></Scaling></Metadata></ImageDocument>"
    )
