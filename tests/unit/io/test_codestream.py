"""A compressed image whose end is missing is truncated, by whichever codec and container."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from wellspring.io import raw_image
from wellspring.io.codestream import is_whole


def field(dtype, seed=0):
    """Return a smooth field with noise, not square."""
    y, x = np.mgrid[:120, :150]
    level = 90 + 60 * np.sin(y / 9) * np.cos(x / 13) + np.random.default_rng(seed).normal(0, 4, y.shape)
    return level.astype(dtype) if dtype == np.uint8 else (level * 200).astype(dtype)


TIFFS = [("jpeg2000", np.uint16), ("jpegxr", np.uint16), ("jpegxl", np.uint16), ("jpeg", np.uint8)]


def damaged(content, start, count, keep, how):
    """Return a file's bytes of which a part of `count` bytes keeps the share `keep`: the rest zeros, or cut off."""
    left, content = int(count * keep), bytearray(content)
    if how == "zeros":
        content[start + left : start + count] = bytes(count - left)
    else:
        place = content.index(count.to_bytes(4, "little"))
        content[place : place + 4] = left.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("how", ["zeros", "cut"])
@pytest.mark.parametrize(("compression", "dtype"), [*TIFFS, ("jpegxr", np.uint8)])
def test_a_part_of_a_tiff_without_its_end_is_refused(tmp_path, compression, dtype, how):
    tifffile.imwrite(tmp_path / "a.tif", field(dtype), compression=compression)
    assert raw_image.status(tmp_path, "a.tif").status == "ok"
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    content, rng = (tmp_path / "a.tif").read_bytes(), np.random.default_rng(4)
    most = 1 - 520 / count if (compression, how) == ("jpegxr", "zeros") else 0.99
    for keep in [most, *rng.uniform(0.1, most - 0.01, 6)]:
        (tmp_path / "b.tif").write_bytes(damaged(content, start, count, keep, how))
        assert raw_image.status(tmp_path, "b.tif").status in ("truncated", "unreadable"), keep


@pytest.mark.parametrize("how", ["zeros", "cut"])
@pytest.mark.parametrize(("name", "dtype"), [("a.jp2", np.uint16), ("a.jpg", np.uint8)])
def test_an_image_file_without_its_end_is_refused(tmp_path, name, dtype, how):
    path, rng = tmp_path / name, np.random.default_rng(8)
    Image.fromarray(field(dtype)).save(path)
    assert raw_image.status(tmp_path, name).status == "ok"
    content = path.read_bytes()
    path.write_bytes(content + b"a note of the camera")
    assert raw_image.status(tmp_path, name).status == "ok"
    for keep in [0.99, *rng.uniform(0.1, 0.98, 6)]:
        left = content[: int(keep * len(content))]
        path.write_bytes(left.ljust(len(content), b"\0") if how == "zeros" else left)
        assert raw_image.status(tmp_path, name).status in ("truncated", "unreadable"), keep


@pytest.mark.parametrize("fill", [0, 100])
def test_whole_images_have_their_end_also_flat_ones_and_in_tiles(tmp_path, fill):
    flat = np.full((64, 96), fill, dtype=np.uint16)
    assert is_whole(imagecodecs.jpegxr_encode(flat)) and is_whole(imagecodecs.jpeg2k_encode(flat))
    pixels = field(np.uint16)
    for compression in ("jpeg2000", "jpegxr", "jpegxl"):
        tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, tile=(64, 80))
        np.testing.assert_array_equal(raw_image.read(tmp_path, "a.tif"), pixels)


@pytest.mark.parametrize("seed", range(8))
def test_a_whole_jpeg_xr_image_may_end_in_zeros_and_one_with_a_zeroed_end_is_refused(seed):
    """Images of any size, noise and loss, also with black corners: 512 bytes of zeros are those of 16 x 16 px."""
    rng, refused = np.random.default_rng(seed), 0
    for level in (None, 1.0, 0.9, 0.5):
        height, width = rng.integers(17, 400, 2)
        noise = rng.normal(0, 10 ** rng.uniform(0, 4), (height, width)).cumsum(axis=rng.integers(2))
        pixels = (noise - noise.min()).clip(0, 65535).astype(np.uint16)
        pixels[rng.random(pixels.shape) < rng.choice([0, 0.5])] = 0
        pixels[-rng.integers(1, 17) :, -rng.integers(1, 17) :] = 0
        whole = imagecodecs.jpegxr_encode(pixels, level=level)
        assert is_whole(whole), (height, width, level)
        room = len(whole) - 300  # behind the container's header
        if room > 513:
            lost = int(rng.integers(513, room))
            assert not is_whole(whole[:-lost] + bytes(lost)), (height, width, level, lost)
            refused += 1
    assert refused > 1
