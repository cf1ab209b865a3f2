"""Whether a compressed image (JPEG, JPEG 2000, JPEG XR) has its end.

Their decoders fill what is lost with grey or zeros and report nothing: of a JPEG 2000 codestream that ends in zeros,
two thirds of the pixels may be wrong, and of a JPEG XR file that is cut, all behind the cut.
"""

import struct

END = b"\xff\xd9"  # of image, in JPEG; of codestream, in JPEG 2000. Compressed data have no such bytes
# How the formats begin, and the marker behind which compressed data follow.
MARKED = {b"\xff\xd8\xff": b"\xff\xda", b"\xff\x4f\xff\x51": b"\xff\x93", b"\x00\x00\x00\x0cjP  ": b"\xff\x93"}
XR = b"II\xbc"
XR_OFFSET, XR_COUNT = 0xBCC0, 0xBCC1  # tags of the image in the container of JPEG XR


def is_whole(data: bytes) -> bool:
    """Return whether an image of these formats has its end; true for other formats.

    What follows the end is of no interest: zeros that align parts, further boxes, or notes of a camera. A zeroed end of
    JPEG XR is not found, since its codestreams may end in zeros.
    """
    for start, begins in MARKED.items():
        if data.startswith(start):
            return data.rfind(END) > data.rfind(begins) >= 0
    if data.startswith(XR):
        return _end_of_xr(data) <= len(data)
    return True


def _end_of_xr(data: bytes) -> int:
    """Return the byte behind the image of a JPEG XR file by its directory; beyond the data if that is cut."""
    beyond = len(data) + 1
    try:
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        entries = [struct.unpack_from("<HHII", data, start + 2 + 12 * number) for number in range(count)]
    except struct.error:
        return beyond
    found = {tag: value for tag, _, _, value in entries}
    return found[XR_OFFSET] + found[XR_COUNT] if found.keys() >= {XR_OFFSET, XR_COUNT} else beyond
