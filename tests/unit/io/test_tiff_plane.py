"""Every strip and tile of a plane is accounted for: what is not in the file is truncated, never black."""

import struct

import numpy as np
import pytest
import tifffile

from wellspring.io import raw_image, tiff_plane
from wellspring.io.plane_file import PlaneFileError

KINDS = {
    "strips": {"rowsperstrip": 8},
    "one strip": {"rowsperstrip": 64},
    "zlib strips": {"rowsperstrip": 8, "compression": "zlib"},
    "lzw strips": {"rowsperstrip": 8, "compression": "lzw"},
    "tiles": {"tile": (16, 32)},
    "zstd tiles": {"tile": (16, 32), "compression": "zstd"},
    "big-endian": {"rowsperstrip": 8, "byteorder": ">"},
    "bigtiff": {"rowsperstrip": 8, "bigtiff": True, "compression": "zlib"},
}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(90, 4000, (64, 80)).astype(np.uint16)


def entries(path, code):
    """Return (offset in the file, format) of each value of a tag of the first page."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[code]
        size = {3: "H", 4: "I", 16: "Q"}[int(tag.dtype)]
        form = tiff.byteorder + size
        return [(tag.valueoffset + number * struct.calcsize(form), form) for number in range(tag.count)]


def patch(path, place, form, value):
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(struct.pack(form, value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tag", ["offset", "count"])
@pytest.mark.parametrize("which", ["first", "middle", "last", "all"])
def test_a_part_without_pixels_is_truncated(tmp_path, image, kind, tag, which):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, **KINDS[kind])
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.tif"), image)
    code = {("offset", False): 273, ("count", False): 279, ("offset", True): 324, ("count", True): 325}
    found = entries(path, code[tag, "tile" in kind])
    chosen = {"first": [0], "middle": [len(found) // 2], "last": [-1], "all": range(len(found))}[which]
    for number in chosen:
        patch(path, *found[number], 0)
    read = raw_image.status(tmp_path, "x.tif")
    assert read.status == "truncated", read
    assert "x.tif" in read.reason
    lost = len(found) if which == "all" else 1
    assert f"{lost} of {len(found)} strips or tiles have no pixels" in read.reason


@pytest.mark.parametrize("kind", ["strips", "zlib strips", "tiles"])
def test_a_part_that_is_another_ones_is_refused(tmp_path, image, kind):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, **KINDS[kind])
    offsets = entries(path, 324 if "tile" in kind else 273)
    place, form = offsets[1]
    with path.open("rb") as stream:
        stream.seek(place)
        (second,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    patch(path, *offsets[0], second)
    assert raw_image.status(tmp_path, "x.tif").status == "unreadable"


def test_fewer_parts_than_the_header_needs(tmp_path, image):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, rowsperstrip=8, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        length = tiff.pages.first.tags["ImageLength"]
    patch(path, length.valueoffset, "<I" if int(length.dtype) == 4 else "<H", 128)
    assert raw_image.status(tmp_path, "x.tif").status == "truncated"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zero_is_black_whatever_the_file_calls_white(tmp_path, image, dtype):
    stored = image.astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", np.iinfo(dtype).max - stored, photometric="miniswhite")
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.tif"), stored)


def _packed(path, values, bits, *, white_is_zero=False):
    """Write grey values of few bits by hand: rows of packed bits, each from a whole byte, after an 8-byte header."""
    rows, columns = values.shape
    wide = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(rows, columns, 2), axis=2)[..., 16 - bits :]
    data = np.packbits(wide.reshape(rows, -1), axis=1).tobytes()
    data += b"\0" * (len(data) % 2)
    tags = [(256, 4, columns), (257, 4, rows), (258, 3, bits), (259, 3, 1), (262, 3, int(not white_is_zero)),
            (273, 4, 8), (277, 3, 1), (278, 4, rows), (279, 4, rows * -(-columns * bits // 8))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0")


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_values_packed_in_fewer_bits(tmp_path, bits, white_is_zero):
    values = np.random.default_rng(bits).integers(0, 2**bits, (11, 37), np.uint16)
    _packed(tmp_path / "a.tif", values, bits, white_is_zero=white_is_zero)
    found = raw_image.status(tmp_path, "a.tif")
    assert (found.status, found.reason) == ("ok", "")
    assert found.pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    np.testing.assert_array_equal(found.pixels, 2**bits - 1 - values if white_is_zero else values)
    cut = (tmp_path / "a.tif").read_bytes()
    at = cut.rindex(struct.pack("<HHI", 279, 4, 1)) + 8
    (tmp_path / "b.tif").write_bytes(cut[:at] + struct.pack("<I", 11 * -(-37 * bits // 8) - 1) + cut[at + 4 :])
    assert raw_image.status(tmp_path, "b.tif").status == "truncated"


@pytest.mark.parametrize("ome", [False, True])
def test_the_number_of_pages_leaves_out_thumbnails_but_in_ome(tmp_path, image, ome):
    """In OME-TIFF the metadata number all directories; in others a reduced copy (subfile type 1) is no plane."""
    path = tmp_path / ("x.ome.tif" if ome else "x.tif")
    with tifffile.TiffWriter(path, ome=ome) as file:
        for number in range(3):
            file.write(image + number, metadata={"axes": "YX"} if ome else None, contiguous=False)
        if not ome:
            file.write(image[::4, ::4], subfiletype=1, metadata=None)
    pixels, _, pages = tiff_plane.read(path, 1, largest=10**7)
    np.testing.assert_array_equal(pixels, image + 1)
    assert pages == 3


@pytest.mark.parametrize("compression", ["packbits", "zlib", "lzw", "lzma", "zstd"])
@pytest.mark.parametrize("edge", [1, 7, 300, 3000])
def test_an_even_image_holds_all_pixels_however_few_bytes_it_takes(tmp_path, compression, edge):
    path = tmp_path / "even.tif"
    for rows in (1, edge):
        if edge * edge // rows > 100_000:
            continue
        pixels = np.full((edge, edge), 300, np.uint16)
        tifffile.imwrite(path, pixels, compression=compression, rowsperstrip=rows)
        np.testing.assert_array_equal(np.atleast_2d(tiff_plane.read(path, 0, largest=2**29)[0]), np.squeeze(pixels))


@pytest.mark.parametrize("compression", ["packbits", "zlib", "lzw", "lzma", "zstd"])
def test_compressed_bytes_that_cannot_hold_the_pixels_are_not_decoded(tmp_path, compression, monkeypatch):
    """A decoder would ask for 1 GB first, and some end the process where it is refused."""
    path = tmp_path / "bomb.tif"
    pixels = np.random.default_rng(0).integers(0, 4000, (64, 64), np.uint16)
    tifffile.imwrite(path, pixels, compression=compression, rowsperstrip=64)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            entry = tiff.pages[0].tags[name]
            content[entry.offset + 2 : entry.offset + 4] = (4).to_bytes(2, "little")
            content[entry.offset + 8 : entry.offset + 12] = (23_000).to_bytes(4, "little")
    path.write_bytes(content)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(
        PlaneFileError, match=r"expected 1058000000 bytes of pixels by its header, found \d+ compressed"
    ):
        tiff_plane.read(path, 0, largest=2**30)


LZW = {
    "strips": {"rowsperstrip": 7},
    "differences": {"rowsperstrip": 7, "predictor": 2},
    "big-endian differences": {"rowsperstrip": 7, "predictor": 2, "byteorder": ">"},
    "tiles": {"tile": (32, 16)},
    "bigtiff": {"bigtiff": True},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize("kind", LZW)
def test_every_page_compressed_by_lzw_is_read(tmp_path, kind, dtype):
    path = tmp_path / "lzw.tif"
    options = dict(LZW[kind]) | ({"predictor": 3} if dtype == np.float32 and "predictor" in LZW[kind] else {})
    planes = np.random.default_rng(1).integers(0, 120, (3, 50, 41)).astype(dtype)
    with tifffile.TiffWriter(
        path, **{key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    ) as out:
        for plane in planes:
            out.write(plane, compression="lzw", metadata=None, **options)
    for page, plane in enumerate(planes):
        found, _, pages = tiff_plane.read(path, page, largest=2**20)
        assert pages == 3
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, plane)


def test_codes_that_a_strip_does_not_define_are_an_error(tmp_path):
    """The first code after the one that clears the table is 331, which no code has defined; some decoders crash."""
    path = tmp_path / "lzw.tif"
    for seed in range(30):
        rng = np.random.default_rng(seed)
        tifffile.imwrite(path, rng.integers(0, 4000, (64, 64), np.uint16), compression="lzw", rowsperstrip=64)
        with tifffile.TiffFile(path) as tiff:
            start, size = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
        content = bytearray(path.read_bytes())
        if seed:
            content[start : start + size] = bytes([0x80]) + rng.bytes(size - 1)
        content[start : start + 3] = bytes([0x80, 0x52, 0xC0])
        path.write_bytes(content)
        found = raw_image.status(tmp_path, path.name)
        assert found.status == "unreadable"
        assert "lzw.tif" in found.reason
