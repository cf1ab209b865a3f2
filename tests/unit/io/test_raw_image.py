import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile

from wellspring.io import raw_image


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 4000, (64, 80)).astype(np.uint16)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "lzw"}, {"byteorder": ">"}])
def test_pixels_come_back(tmp_path, image, options):
    tifffile.imwrite(tmp_path / "x.tif", image, **options)
    found = raw_image.status(tmp_path, "x.tif")
    assert (found.status, found.reason) == ("ok", "")
    assert found.pixels.dtype == np.uint16
    assert found.pixels.dtype.isnative
    np.testing.assert_array_equal(found.pixels, image)


def test_page_and_png(tmp_path, image):
    import imageio.v3

    tifffile.imwrite(tmp_path / "x.tif", np.stack([image, image + 1]), photometric="minisblack")
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.tif", 1), image + 1)
    assert raw_image.status(tmp_path, "x.tif", 2).status == "missing"
    imageio.v3.imwrite(tmp_path / "x.png", image)
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.png"), image)


def test_pixel_size_is_the_ome_xml_s(tmp_path, image):
    metadata = {"axes": "YX", "PhysicalSizeX": 650, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(tmp_path / "x.ome.tif", image, ome=True, metadata=metadata)
    assert raw_image.status(tmp_path, "x.ome.tif").pixel_size == pytest.approx(0.65)
    tifffile.imwrite(tmp_path / "x.tif", image, resolution=(72, 72), resolutionunit="INCH")
    assert raw_image.status(tmp_path, "x.tif").pixel_size is None


def test_what_is_wrong_is_told_apart(tmp_path, image):
    assert raw_image.status(tmp_path, None).status == "missing"
    assert raw_image.status(tmp_path, "no.tif").status == "missing"
    (tmp_path / "text.tif").write_text("this is no image, but a note about one")
    assert raw_image.status(tmp_path, "text.tif").status == "unreadable"
    (tmp_path / "empty.tif").touch()
    assert raw_image.status(tmp_path, "empty.tif").status == "truncated"
    tifffile.imwrite(tmp_path / "blank.tif", np.full_like(image, 7))
    assert raw_image.status(tmp_path, "blank.tif").reason == "blank(value=7)"
    tifffile.imwrite(tmp_path / "float.tif", image.astype(np.float32))
    assert raw_image.status(tmp_path, "float.tif").status == "dtype"
    tifffile.imwrite(tmp_path / "colour.tif", np.dstack([image, image + 1, image]).astype(np.uint8), photometric="rgb")
    assert "colours" in raw_image.status(tmp_path, "colour.tif").reason
    with pytest.raises(raw_image.PlaneError, match="no file no.tif"):
        raw_image.read(tmp_path, "no.tif")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_file_never_passes(tmp_path, image, share, compression):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert raw_image.status(tmp_path, "x.tif").status == "truncated"


@pytest.mark.parametrize("kind", ["png", "tif", "deflate"])
def test_truncated_anywhere(tmp_path, image, kind):
    """Cut at any byte: no exception, and no other pixels than those written pass as good."""
    import imageio.v3

    path = tmp_path / ("x.png" if kind == "png" else "x.tif")
    if kind == "png":
        imageio.v3.imwrite(path, image[:16, :16])
    else:
        tifffile.imwrite(path, image[:16, :16], compression="zlib" if kind == "deflate" else None)
    content = path.read_bytes()
    for size in range(0, len(content), 3):
        path.write_bytes(content[:size])
        found = raw_image.status(tmp_path, path.name)
        if found.status == "ok":
            np.testing.assert_array_equal(found.pixels, image[:16, :16])
        else:
            assert found.status in ("truncated", "unreadable"), (size, found.reason)


@pytest.mark.parametrize("flips", range(20))
def test_damaged_headers_never_raise(tmp_path, image, flips):
    path, rng = tmp_path / "x.tif", np.random.default_rng(flips)
    tifffile.imwrite(path, image[:8, :8], compression="zlib" if flips % 2 else None)
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, 250, 1 + flips % 4):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    assert raw_image.status(tmp_path, "x.tif").status in (
        "ok",
        "unreadable",
        "truncated",
        "dtype",
        "shape",
        "missing",
        "blank",
    )


def _header(path, *, height, width, compression=None):
    """Write a TIFF of 8 x 8 whose header states another size, as one strip."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(64, dtype=np.uint16).reshape(8, 8), compression=compression)
    written = stream.getvalue()
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        places = {name: tiff.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength", "RowsPerStrip")}
        types = {name: tiff.pages[0].tags[name].dtype for name in places}
    content = bytearray(written)
    for name, value in (("ImageWidth", width), ("ImageLength", height), ("RowsPerStrip", height)):
        struct.pack_into("<I" if types[name] == 4 else "<H", content, places[name], value)
    path.write_bytes(content)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_header_that_promises_a_bomb_is_refused_before_memory_is(tmp_path, compression, monkeypatch):
    _header(tmp_path / "x.tif", height=50_000, width=50_000, compression=compression)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("pixels were decoded"))
    found = raw_image.status(tmp_path, "x.tif")
    assert found.status == "unreadable"
    assert "expected at most 536870912 pixels, found 2500000000 by its header" in found.reason


def test_an_uncompressed_file_holds_the_bytes_that_its_header_says(tmp_path):
    _header(tmp_path / "x.tif", height=4000, width=4000)
    found = raw_image.status(tmp_path, "x.tif")
    assert (found.status, "expected 32000000 bytes of pixels" in found.reason) == ("truncated", True)


def _png(path, size, raw):
    """Write a PNG image of grey values of 16 bit whose chunks are whole, whatever rows they hold."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 16, 0, 0, 0, 0)), chunk(b"IDAT", zlib.compress(raw))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")]))


def test_a_png_that_promises_a_bomb(tmp_path):
    _png(tmp_path / "x.png", (60_000, 60_000), b"\0" * 100)
    assert raw_image.status(tmp_path, "x.png").status == "unreadable"


@pytest.mark.parametrize("rows", [40, 39, 25, 1, 0])
def test_a_png_with_too_few_rows_is_truncated(tmp_path, rows):
    """Its chunks and their checksums are whole, and it decompresses to the end."""
    pixels = np.random.default_rng(2).integers(1, 60_000, (40, 50)).astype(np.uint16)
    _png(tmp_path / "x.png", (50, 40), b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels[:rows]))
    found = raw_image.status(tmp_path, "x.png")
    assert found.status == ("ok" if rows == 40 else "truncated"), found.reason
    if rows == 40:
        np.testing.assert_array_equal(found.pixels, pixels)


def test_directories_of_pages_in_a_circle_end(tmp_path, image):
    tifffile.imwrite(tmp_path / "x.tif", image)
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        first, tags = tiff.pages[0].offset, len(tiff.pages[0].tags)
    content = bytearray((tmp_path / "x.tif").read_bytes())
    struct.pack_into("<I", content, first + 2 + 12 * tags, first)
    (tmp_path / "x.tif").write_bytes(content)
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.tif"), image)
    found = raw_image.status(tmp_path, "x.tif", 5)
    assert (found.status, found.reason) == ("missing", 'missing(detail="x.tif: no page 5")'), "the file has one image"


def test_what_is_no_regular_file_is_not_opened(tmp_path, image):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    (tmp_path / "gone.tif").symlink_to("nowhere.tif")
    (tmp_path / "file").touch()
    for name, status in {
        "pipe.tif": "unreadable",
        "folder.tif": "unreadable",
        "loop.tif": "unreadable",
        "gone.tif": "missing",
        "file/x.tif": "missing",
        "nul\0.tif": "unreadable",
        "x" * 300 + ".tif": "unreadable",
    }.items():
        assert raw_image.status(tmp_path, name).status == status, name
    assert (
        raw_image.status(tmp_path, "/dev/zero").reason
        == 'unreadable(detail="zero: expected a regular file, found another kind")'
    )


def test_a_file_that_may_not_be_read(tmp_path, image, monkeypatch):
    tifffile.imwrite(tmp_path / "x.tif", image)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tifffile, "TiffFile", refuse)
    monkeypatch.setattr(raw_image.Path, "open", refuse)
    found = raw_image.status(tmp_path, "x.tif")
    assert (found.status, "Permission denied" in found.reason) == ("unreadable", True)
    stat = raw_image.Path.stat
    monkeypatch.setattr(raw_image.Path, "stat", lambda path, **_: refuse() if path.suffix else stat(path))
    assert raw_image.status(tmp_path, "x.tif").reason == 'unreadable(detail="x.tif: Permission denied")'


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "RGB", "1"])
def test_other_formats(tmp_path, mode):
    from PIL import Image

    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    if mode == "I;16":
        picture, grey = Image.fromarray(grey.astype(np.uint16) * 256), grey.astype(np.uint16) * 256
    else:
        picture = Image.fromarray(grey).convert(mode)
    picture.save(tmp_path / "x.png")
    found = raw_image.status(tmp_path, "x.png")
    if mode == "1":
        assert found.status == "dtype"
    else:
        np.testing.assert_array_equal(found.pixels, grey)


@pytest.mark.parametrize("name", ["x.png", "x.eps", "x.ps", "x.fits"])
def test_no_image_file_starts_a_program_or_takes_the_size_that_it_states(tmp_path, name, monkeypatch):
    """Pillow would run Ghostscript on an EPS whatever its ending, and reserve what a FITS header states."""
    import subprocess
    import tracemalloc

    def refuse(*command, **_):
        pytest.fail(f"started {command}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    cards = ["SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    2"]
    cards += ["NAXIS1  =                40000", "NAXIS2  =                40000", "END"]
    fits = "".join(card.ljust(80) for card in cards).ljust(2880).encode() + b"\0" * 2880
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%id) (w) file\nshowpage\n%%EOF\n"
    for content in (eps, fits):
        (tmp_path / name).write_bytes(content)
        tracemalloc.start()
        assert raw_image.status(tmp_path, name).status == "unreadable"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**24


def test_absolute_paths_are_read_where_they_are(tmp_path, image):
    tifffile.imwrite(tmp_path / "x.tif", image)
    np.testing.assert_array_equal(raw_image.read(tmp_path / "elsewhere", str(tmp_path / "x.tif")), image)
    (tmp_path / "table.csv").touch()
    np.testing.assert_array_equal(raw_image.read(tmp_path / "table.csv", "x.tif"), image)
    np.testing.assert_array_equal(raw_image.read(f"file://{tmp_path}", "x.tif"), image)


def test_palette_images_are_grey_values(shared_data):
    found = raw_image.status(shared_data / "bbbc013" / "images", "Channel2-40-D-04.tif")
    assert found.status == "ok"
    assert found.pixels.shape == (640, 640)
    assert found.pixels.dtype == np.uint8
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "uint32", "int32"])
def test_the_limits_of_a_range_are_within_it(tmp_path, kind):
    values = np.array([[-3, 0, 7, 40], [41, 90, 100, 100], [5, -3, 2, 1]]) - (0 if kind[0] in "if" else -3)
    low, high = float(values.min()), float(values.max())
    tifffile.imwrite(tmp_path / "x.tif", values.astype(kind))
    found = raw_image.status(tmp_path, "x.tif", rules=raw_image.Rules(range=(low, high)))
    assert found.status == "ok" and found.pixels.dtype == np.uint16
    exact = [[round((value - low) * 65535 / (high - low)) for value in row] for row in values.tolist()]
    np.testing.assert_array_equal(found.pixels, exact)
    for limits in ((low + 1, high), (low, high - 1), (low + 1, high - 1)):
        found = raw_image.status(tmp_path, "x.tif", rules=raw_image.Rules(range=limits))
        assert found.status == "dtype" and f"{low:g} to {high:g}" in found.reason


def test_a_value_that_is_not_a_number_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.array([[0.5, np.nan, 1.0], [0.0, 0.5, 1.0]], dtype=np.float32))
    found = raw_image.status(tmp_path, "x.tif", rules=raw_image.Rules(range=(0.0, 1.0)))
    assert found.status == "dtype" and "not numbers" in found.reason
