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
# Most bytes of zeros at the end of a whole JPEG XR image: the 255 coefficients of the last block of 16 x 16 px, of 16
# bits each. 366 were found in 400 images of random size, noise and loss, with black corners and margins (jxrlib).
XR_ZEROS = 512


def is_whole(data: bytes) -> bool:
    """Return whether an image of these formats has its end; true for other formats.

    What follows the end is of no interest: zeros that align parts, further boxes, or notes of a camera. A JPEG XR image
    has no mark at its end, and may end in zeros; it lacks its end if these are more than one block of pixels can have.
    """
    for start, begins in MARKED.items():
        if data.startswith(start):
            return data.rfind(END) > data.rfind(begins) >= 0
    if data.startswith(XR):
        image = _image_of_xr(data)
        return image is not None and len(image) - len(image.rstrip(b"\0")) <= XR_ZEROS
    return True


def _image_of_xr(data: bytes) -> bytes | None:
    """Return the codestream of a JPEG XR file by its directory; None if the one or the other is cut."""
    try:
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        entries = [struct.unpack_from("<HHII", data, start + 2 + 12 * number) for number in range(count)]
    except struct.error:
        return None
    found = {tag: value for tag, _, _, value in entries}
    if not found.keys() >= {XR_OFFSET, XR_COUNT}:
        return None
    end = found[XR_OFFSET] + found[XR_COUNT]
    return data[found[XR_OFFSET] : end] if end <= len(data) else None
