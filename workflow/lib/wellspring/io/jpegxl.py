"""The codec ``imagecodecs_jpegxl`` of zarr v2, for reading: a chunk must be an image of exactly the array's shape.

JPEG XL by imagecodecs (libjxl). The output is allocated by the array's metadata, not by the image's header, so that a
chunk of another site or size, or one that promises terabytes, is an error and no array of other values.
"""

from collections.abc import Mapping
from typing import Any

import numcodecs
import numpy as np
import zarr
from numcodecs.abc import Codec


class JpegXl(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Decoder of chunks that are JPEG XL images; `shape` and `dtype` of the chunk are set by `expect`."""

    codec_id = "imagecodecs_jpegxl"

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None
        self.dtype: np.dtype[Any] | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> "JpegXl":
        """Return the codec of stored settings, which are those of the encoder."""
        return cls()

    def encode(self, buf: Any) -> bytes:
        """Return an array as JPEG XL without loss; axes of length 1 are left out, as the decoder expects."""
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(np.squeeze(np.asarray(buf)), lossless=True))

    def decode(self, buf: Any, out: Any = None) -> np.ndarray:
        """Return the pixels of a chunk; `ValueError` if its shape or type is not that of the array's chunks."""
        import imagecodecs

        if self.shape is None or self.dtype is None:
            return np.asarray(imagecodecs.jpegxl_decode(buf, out=out))
        shape = tuple(size for size in self.shape if size > 1)
        shape = (1,) * (2 - len(shape)) + shape
        pixels = np.empty(shape, dtype=self.dtype.newbyteorder("="))
        imagecodecs.jpegxl_decode(bytes(buf), out=pixels)
        return pixels.astype(self.dtype, copy=False)


def expect(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array of zarr v2 whose JPEG XL chunks, if it has such, are compared with its metadata."""
    codec = getattr(array.metadata, "compressor", None)
    if isinstance(codec, JpegXl):
        codec.shape, codec.dtype = array.chunks, np.dtype(array.dtype)
    return array


numcodecs.register_codec(JpegXl)
