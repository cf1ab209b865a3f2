"""Miniature files of Nikon (ND2, version 3) and Leica (LIF, version 2), written byte by byte in the vendors' layout."""

import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

MAGIC = 0x0ABECEDA


def nd2(path: Path, stacks: np.ndarray, *, positions: Sequence[str], channels: Sequence[str], pixel: float) -> None:
    """Write stacks (T, P, Z, C, Y, X) uint16 as an ND2 of time, position and focus loops."""
    times, places, depth, count, height, width = stacks.shape
    assert (places, count) == (len(positions), len(channels))
    sequence = times * places * depth
    points = {
        f"i{n:010}": {"dPosX": 10.0 * n, "dPosY": 0.0, "dPosZ": 0.0, "pPosName": p} for n, p in enumerate(positions)
    }
    time = {"uiCount": times, "dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0}
    loops = [(1, time), (2, {"uiCount": places, "bUseZ": False, "Points": points})]
    loops.append((4, {"uiCount": depth, "dZLow": 0.0, "dZHigh": float(depth), "dZStep": 1.0}))
    experiment: dict = {}
    for kind, pars in reversed(loops):
        below = {"ppNextLevelEx": {"i0000000000": experiment}} if experiment else {}
        experiment = {"eType": kind, "uLoopPars": pars} | below
    planes = {
        f"a{n}": {"uiSampleIndex": n, "uiCompCount": 1, "sDescription": name, "pFluorescentProbe": {"m_sName": name}}
        for n, name in enumerate(channels)
    }
    picture = {"dCalibration": pixel, "bCalibrated": True, "sPicturePlanes": {"uiCount": count, "sPlaneNew": planes}}
    attributes = {
        "uiWidth": width, "uiWidthBytes": width * count * 2, "uiHeight": height, "uiComp": count, "uiBpcInMemory": 16,
        "uiBpcSignificant": 16, "uiSequenceCount": sequence, "eCompression": 2,
    }  # fmt: skip
    data = bytearray(struct.pack("<IIQ32s64s", MAGIC, 32, 64, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0"))
    data += b"\0" * (4096 - len(data))
    chunks: dict[bytes, tuple[int, int]] = {}

    def put(name: bytes, content: bytes) -> None:
        chunks[name] = len(data), len(content)
        data.extend(struct.pack("<IIQ", MAGIC, 4080 - 8, len(content)) + name.ljust(4080 - 8, b"\0") + content)

    put(b"ImageAttributesLV!", _variant("SLxImageAttributes", attributes))
    put(b"ImageMetadataLV!", _variant("SLxExperiment", experiment))
    put(b"ImageMetadataSeqLV|0!", _variant("SLxPictureMetadata", picture))
    for number, (t, p, z) in enumerate(itertools.product(range(times), range(places), range(depth))):
        pixels = np.moveaxis(stacks[t, p, z], 0, -1).astype("<u2")
        put(f"ImageDataSeq|{number}!".encode(), struct.pack("<d", 0.0) + pixels.tobytes())
    listed = b"".join(name + struct.pack("<QQ", *place) for name, place in chunks.items())
    start = len(data)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", start)
    name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    data += struct.pack("<IIQ", MAGIC, len(name), len(listed) + len(end)) + name + listed + end
    path.write_bytes(bytes(data))


def lif(path: Path, images: dict[str, np.ndarray], *, luts: Sequence[str], pixel: float) -> None:
    """Write images (T, Z, C, Y, X) uint16 by their paths, ``TileScan/A/1/R1``, as a LIF; `pixel` in micrometres."""
    tree: dict = {}
    for number, name in enumerate(images):
        *folders, last = name.split("/")
        place = tree
        for part in folders:
            place = place.setdefault(part, {})
        place[last] = number
    stacks = list(images.values())

    def element(name: str, held: dict | int) -> str:
        if isinstance(held, dict):
            below = "".join(element(*item) for item in held.items())
            inner = f"<Data><Collection /></Data><Memory Size='0' MemoryBlockID='MemBlock_c{name}'/>"
            inner += f"<Children>{below}</Children>"
        else:
            inner = (
                _leica(stacks[held], luts, pixel)
                + f"<Memory Size='{stacks[held].nbytes}' MemoryBlockID='MemBlock_{held}'/>"
            )
        return f"<Element Name={quoteattr(name)} Visibility='1' UniqueID='u'>{inner}</Element>"

    text = f"<LMSDataContainerHeader Version='2'>{element('project', tree)}</LMSDataContainerHeader>"
    data = struct.pack("<IIBI", 0x70, 2 * len(text) + 5, 0x2A, len(text)) + text.encode("utf-16-le")
    for number, stack in enumerate(stacks):
        name, content = f"MemBlock_{number}", stack.astype("<u2").tobytes()
        head = struct.pack("<IIBQBI", 0x70, 2 * len(name) + 14, 0x2A, len(content), 0x2A, len(name))
        data += head + name.encode("utf-16-le") + content
    path.write_bytes(data)


def _leica(stack: np.ndarray, luts: Sequence[str], pixel: float) -> str:
    times, depth, _, height, width = stack.shape
    plane = height * width * 2
    channels = "".join(
        f"<ChannelDescription DataType='0' ChannelTag='0' Resolution='16' NameOfMeasuredQuantity='' Min='0' "
        f"Max='65535' Unit='' LUTName={quoteattr(name)} IsLUTInverted='0' BytesInc='{number * plane}' BitInc='0'/>"
        for number, name in enumerate(luts)
    )
    axes = [(1, width, 2), (2, height, 2 * width), (3, depth, plane * len(luts)), (4, times, plane * len(luts) * depth)]
    described = "".join(
        f"<DimensionDescription DimID='{axis}' NumberOfElements='{size}' Origin='0' "
        f"Length='{(size - 1) * pixel * 1e-6!r}' Unit='{'s' if axis == 4 else 'm'}' BitInc='0' BytesInc='{step}'/>"
        for axis, size, step in axes
        if size > 1
    )
    return (
        f"<Data><Image><ImageDescription><Channels>{channels}</Channels><Dimensions>{described}</Dimensions>"
        "</ImageDescription></Image></Data>"
    )


def _variant(name: str, value: object) -> bytes:
    """Return a named value in Nikon's binary form ("lite variant")."""
    text = (name + "\0").encode("utf-16-le")

    def head(kind: int) -> bytes:
        return struct.pack("BB", kind, len(text) // 2) + text

    if isinstance(value, dict):
        items = [_variant(key, each) for key, each in value.items()]
        inner = b"".join(items)
        length = len(head(11)) + 12 + len(inner)
        return head(11) + struct.pack("<IQ", len(items), length) + inner + b"\0" * (8 * len(items))
    if isinstance(value, bool):
        return head(1) + struct.pack("B", value)
    if isinstance(value, int):
        return head(3) + struct.pack("<I", value)
    if isinstance(value, float):
        return head(6) + struct.pack("<d", value)
    return head(8) + (str(value) + "\0").encode("utf-16-le")
