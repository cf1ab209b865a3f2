"""Single planes of TIFF, PNG and Zarr: boundaries of each refusal, and what other files look like."""

import json
import struct

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wellspring.io import budget, plane_file, raw_image, tiff_plane, zarr_plane
from wellspring.io.plane_file import PlaneFileError

PIXELS = np.random.default_rng(0).integers(1, 4000, (24, 40)).astype(np.uint16)


def status(call):
    with pytest.raises(PlaneFileError) as error:
        call()
    return error.value.status, str(error.value)


def test_a_tiff_of_the_largest_size_is_read_and_one_above_is_not(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS)
    pixels, size, pages = tiff_plane.read(tmp_path / "x.tif", 0, largest=960)
    np.testing.assert_array_equal(pixels, PIXELS)
    assert (size, pages) == (None, 1)
    found = status(lambda: tiff_plane.read(tmp_path / "x.tif", 0, largest=959))
    assert found == ("unreadable", "expected at most 959 pixels, found 960 by its header")
    assert raw_image.PIXELS == 536_870_912


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pages_are_counted_and_their_plane_is_found(tmp_path, count):
    stack = np.stack([PIXELS + number for number in range(count)])
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack")
    for page in range(count):
        found = raw_image.status(tmp_path, "x.tif", page)
        np.testing.assert_array_equal(found.pixels, stack[page])
        assert found.pages == count and found.status == "ok"
    assert raw_image.status(tmp_path, "x.tif", count).status == "missing"


def test_other_formats_have_one_page(tmp_path):
    import imageio.v3

    imageio.v3.imwrite(tmp_path / "x.png", PIXELS)
    assert raw_image.status(tmp_path, "x.png").pages == 1
    assert raw_image.status(tmp_path, "x.png", 1).status == "missing"


@pytest.mark.parametrize("unit", ["µm", "nm", "mm", "inch", None])
def test_the_pixel_size_is_in_micrometres(tmp_path, unit):
    metadata = {"axes": "YX", "PhysicalSizeX": 2.5} | ({} if unit is None else {"PhysicalSizeXUnit": unit})
    tifffile.imwrite(tmp_path / "x.ome.tif", PIXELS, ome=True, metadata=metadata)
    wanted = {"µm": 2.5, "nm": 0.0025, "mm": 2500.0, "inch": None, None: 2.5}[unit]
    found = raw_image.status(tmp_path, "x.ome.tif")
    assert found.pixel_size == (None if wanted is None else pytest.approx(wanted))
    tifffile.imwrite(tmp_path / "y.ome.tif", PIXELS, ome=True, metadata={"axes": "YX"})
    assert raw_image.status(tmp_path, "y.ome.tif").pixel_size is None


def palette(path, colours):
    indices = (np.arange(24 * 40) % 256).astype(np.uint8).reshape(24, 40)
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours.astype(np.uint16))
    return indices


def test_palettes_of_grey_values_are_looked_up(tmp_path):
    ramp, rng = np.arange(256) * 257, np.random.default_rng(1)
    indices = palette(tmp_path / "ramp.tif", np.stack([ramp] * 3))
    np.testing.assert_array_equal(raw_image.read(tmp_path, "ramp.tif"), indices)
    mixed = rng.permutation(256) * 256 + rng.integers(0, 256, 256)
    palette(tmp_path / "mixed.tif", np.stack([mixed] * 3))
    np.testing.assert_array_equal(raw_image.read(tmp_path, "mixed.tif"), (mixed // 256)[indices])
    for place in (0, 1, 2):  # one entry of one colour differs
        colours = np.stack([ramp] * 3)
        colours[place, 9] = 5
        palette(tmp_path / "colour.tif", colours)
        found = raw_image.status(tmp_path, "colour.tif")
        assert (found.status, "a palette of colours" in found.reason) == ("dtype", True)


LIT = [places for number in range(1, 8) if (places := [place for place in range(3) if number >> place & 1])]


@pytest.mark.parametrize("lit", LIT, ids=str)
def test_a_stain_in_a_colour_of_its_own_is_read_and_two_stains_are_not(tmp_path, lit):
    """Red, green, blue, yellow, magenta, cyan and grey, as RGB in TIFF and PNG and as palettes."""
    rng = np.random.default_rng(sum(lit))
    grey = rng.integers(0, 256, (24, 40)).astype(np.uint8)
    colours = np.zeros((24, 40, 3), np.uint8)
    colours[..., lit] = grey[..., None]
    tifffile.imwrite(tmp_path / "x.tif", colours, photometric="rgb")
    Image.fromarray(colours).save(tmp_path / "x.png")
    for name in ("x.tif", "x.png"):
        np.testing.assert_array_equal(raw_image.read(tmp_path, name), grey)
    ramp = np.zeros((3, 256), int)
    ramp[lit] = np.arange(256) * 257
    indices = palette(tmp_path / "p.tif", ramp)
    np.testing.assert_array_equal(raw_image.read(tmp_path, "p.tif"), indices)
    second = colours.copy()
    second[5, 6, (lit[0] + 1) % 3] = int(second[5, 6, lit[0]]) // 2 + 1
    second[5, 7, lit[0]] = 200
    second[5, 7, (lit[0] + 1) % 3] = 100
    tifffile.imwrite(tmp_path / "y.tif", second, photometric="rgb")
    found = raw_image.status(tmp_path, "y.tif")
    assert found.status == "dtype"
    assert "several colours (export one grey image per channel" in found.reason


@pytest.mark.parametrize("place", [1, 2])
def test_one_pixel_of_colour_is_a_colour_image(tmp_path, place):
    grey = np.dstack([PIXELS.astype(np.uint8)] * 3)
    tifffile.imwrite(tmp_path / "grey.tif", grey, photometric="rgb")
    np.testing.assert_array_equal(raw_image.read(tmp_path, "grey.tif"), grey[..., 0])
    grey[3, 5, place] += 1
    tifffile.imwrite(tmp_path / "grey.tif", grey, photometric="rgb")
    assert raw_image.status(tmp_path, "grey.tif").status == "dtype"


def test_an_opaque_channel_is_no_colour(tmp_path):
    grey = PIXELS.astype(np.uint8)
    Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)])).save(tmp_path / "x.png")
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.png"), grey)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_the_opacity_of_grey_values_is_no_signal(tmp_path, planar):
    grey = PIXELS.astype(np.uint8)
    opacity = np.where(grey > grey.mean(), 255, 60).astype(np.uint8)
    Image.fromarray(np.dstack([grey, opacity]), "LA").save(tmp_path / "x.png")
    np.testing.assert_array_equal(raw_image.read(tmp_path, "x.png"), grey)
    layers = np.stack([grey, opacity], axis=-1 if planar == "contig" else 0)
    for name, kinds in (("alpha.tif", ["unassalpha"]), ("two.tif", ["unspecified"])):
        tifffile.imwrite(tmp_path / name, layers, photometric="minisblack", planarconfig=planar, extrasamples=kinds)
    np.testing.assert_array_equal(raw_image.read(tmp_path, "alpha.tif"), grey)
    two = raw_image.status(tmp_path, "two.tif")
    assert two.status == "shape"
    assert "export one grey image per channel" in two.reason


@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
def test_colours_stored_as_planes_are_read_as_those_of_pixels_are(tmp_path, compression):
    rng = np.random.default_rng(5)
    grey = rng.integers(0, 65536, (24, 40)).astype(np.uint16)
    colours = np.stack([grey, np.zeros_like(grey), grey])
    for name, layers in (("one.tif", colours), ("several.tif", np.stack([grey, grey[::-1], grey]))):
        tifffile.imwrite(tmp_path / name, layers, photometric="rgb", planarconfig="separate", compression=compression)
    np.testing.assert_array_equal(raw_image.read(tmp_path, "one.tif"), grey)
    several = raw_image.status(tmp_path, "several.tif")
    assert several.status == "dtype"
    assert "several colours (export one grey image per channel" in several.reason


def test_inks_of_a_print_are_no_colours(tmp_path):
    """The fourth ink, black, is not the opacity of three colours."""
    grey = PIXELS.astype(np.uint8)
    inks = np.dstack([0 * grey, grey, 0 * grey, grey[::-1]])
    tifffile.imwrite(tmp_path / "x.tif", inks, photometric="separated")
    Image.fromarray(inks, "CMYK").save(tmp_path / "x.jpg", quality=100)
    for name in ("x.tif", "x.jpg"):
        assert raw_image.status(tmp_path, name).status == "dtype"


@pytest.mark.parametrize(("code", "refused"), [(1, False), (2, True), (3, True), (4, True), (5, False)])
def test_compressions_of_fax_pages_hold_no_grey_values(tmp_path, code, refused):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS.astype(np.uint8), compression="lzw" if code == 5 else None)
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        place, order = tiff.pages.first.tags["Compression"].valueoffset, tiff.byteorder
    content = bytearray((tmp_path / "x.tif").read_bytes())
    struct.pack_into(f"{order}H", content, place, code)
    (tmp_path / "x.tif").write_bytes(content)
    found = raw_image.status(tmp_path, "x.tif")
    assert (found.status == "unreadable") == refused and ("of fax pages" in found.reason) == refused


def test_a_scan_of_one_bit_is_turned(tmp_path):
    for photometric in ("miniswhite", "minisblack"):
        tifffile.imwrite(tmp_path / "x.tif", PIXELS > 2000, photometric=photometric, compression="zlib")
        pixels, _, _ = tiff_plane.read(tmp_path / "x.tif", 0, largest=10**6)
        np.testing.assert_array_equal(pixels, (PIXELS > 2000) ^ (photometric == "miniswhite"))
    assert raw_image.status(tmp_path, "x.tif").pixels.dtype == np.uint8
    tifffile.imwrite(tmp_path / "f.tif", PIXELS.astype(np.float32), photometric="miniswhite")
    assert raw_image.status(tmp_path, "f.tif").status == "dtype"


def test_strips_may_touch_but_not_overlap(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS, rowsperstrip=8)
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        tag, order, page = tiff.pages.first.tags["StripOffsets"], tiff.byteorder, tiff.pages.first
        starts, counts = page.dataoffsets, page.databytecounts
        assert starts[1] == starts[0] + counts[0]
        width = {3: "H", 4: "I"}[int(tag.dtype)]
        place = tag.valueoffset
    content = bytearray((tmp_path / "x.tif").read_bytes())
    struct.pack_into(order + width, content, place + struct.calcsize(width), starts[1] - 1)
    (tmp_path / "x.tif").write_bytes(content)
    assert "share bytes" in raw_image.status(tmp_path, "x.tif").reason


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_a_tiff_is_known_by_its_first_bytes(tmp_path, head):
    (tmp_path / "x").write_bytes(head + bytes(20))
    assert plane_file.is_tiff(tmp_path / "x")
    for other in (head[:3], head[:3] + b"x", b"x" + head):
        (tmp_path / "x").write_bytes(other)
        assert not plane_file.is_tiff(tmp_path / "x")
    big = {"bigtiff": b"+" in head, "byteorder": "<" if head[:1] == b"I" else ">"}
    tifffile.imwrite(tmp_path / "image.dat", PIXELS, **big)
    assert (tmp_path / "image.dat").read_bytes()[:4] == head
    np.testing.assert_array_equal(raw_image.read(tmp_path, "image.dat"), PIXELS)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("offset", [7, 8, 9, 30])
def test_a_file_ends_early_where_its_directory_lies_beyond_it(tmp_path, order, offset):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", offset)
    for size in range(8, 40):
        (tmp_path / "x.tif").write_bytes(head + bytes(size - 8))
        assert plane_file.ends_early(tmp_path / "x.tif") == (offset + 2 > size)


def test_a_file_ends_early_where_it_is_empty_or_a_png_without_its_end(tmp_path):
    end = struct.pack(">I", 0) + b"IEND" + bytes(4)
    for content, early in [
        (b"", True),
        (b"x", False),
        (b"\x89PNG" + bytes(40), True),
        (b"\x89PNG" + bytes(40) + end, False),
        (b"\x89PNG" + bytes(8) + end + b"x" * 9, True),
        (b"\x89PNG" + bytes(8) + end + b"x" * 4, False),
        (b"\x89PNG" + bytes(8) + end + b"x" * 5, True),
        (b"\x89JPG" + bytes(40), False),
    ]:
        (tmp_path / "x").write_bytes(content)
        assert plane_file.ends_early(tmp_path / "x") == early, content
    assert not plane_file.ends_early(tmp_path)


def array(folder, values, **options):
    made = zarr.create_array(folder, shape=values.shape, dtype=values.dtype, **options)
    made[...] = values
    return made


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_plane_of_an_array_is_read(tmp_path_factory, data):
    steps = data.draw(st.lists(st.integers(1, 3), max_size=3))
    shape = (*steps, data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
    pieces = tuple(data.draw(st.integers(1, edge)) for edge in shape)
    version = data.draw(st.sampled_from([2, 3]))
    values = np.random.default_rng(0).integers(1, 999, shape).astype(np.uint16)
    folder = tmp_path_factory.mktemp("array") / "0"
    array(folder, values, chunks=pieces, zarr_format=version)
    planes = values.reshape(-1, *shape[-2:])
    page = data.draw(st.integers(0, len(planes) - 1))
    largest = max(shape[-2] * shape[-1], int(np.prod(pieces)))
    np.testing.assert_array_equal(zarr_plane.read(folder, page, largest=largest), planes[page])
    assert status(lambda: zarr_plane.read(folder, page, largest=largest - 1))[0] == "unreadable"
    found = status(lambda: zarr_plane.read(folder, len(planes), largest=largest))
    assert found == ("missing", f"no plane {len(planes)} in the shape {shape}")


def test_lost_chunks_are_counted(tmp_path):
    values = np.random.default_rng(0).integers(1, 99, (2, 6, 8)).astype(np.uint8)
    array(tmp_path / "0", values, chunks=(1, 3, 4))
    for number, place in enumerate([(0, 1), (1, 0), (0, 0), (1, 1)], start=1):
        (tmp_path / "0" / "c" / "1" / str(place[0]) / str(place[1])).unlink()
        state, text = status(lambda: zarr_plane.read(tmp_path / "0", 1, largest=99))
        assert state == ("missing" if number == 4 else "truncated") and text.startswith(f"{number} of 4 chunks are")
        np.testing.assert_array_equal(zarr_plane.read(tmp_path / "0", 0, largest=99), values[0])


def test_shards_and_the_chunks_within_them_are_limited(tmp_path, monkeypatch):
    values = np.ones((8, 12), np.uint8)
    array(tmp_path / "0", values, chunks=(2, 3), shards=(4, 6))
    monkeypatch.setattr(budget, "CHUNKS", 16)
    np.testing.assert_array_equal(zarr_plane.read(tmp_path / "0", 0, largest=96), values)
    for most, message in ((15, "at most 15 chunks of a plane, found 16"), (3, "found 4")):
        monkeypatch.setattr(budget, "CHUNKS", most)
        assert message in status(lambda: zarr_plane.read(tmp_path / "0", 0, largest=96))[1]


def test_an_array_needs_two_axes_and_metadata(tmp_path):
    array(tmp_path / "line", np.ones(5, np.uint8))
    assert "found the shape (5,)" in status(lambda: zarr_plane.read(tmp_path / "line", 0, largest=99))[1]
    (tmp_path / "folder").mkdir()
    assert "found a folder" in status(lambda: zarr_plane.read(tmp_path / "folder", 0, largest=99))[1]


def test_metadata_are_read_again_when_they_change(tmp_path):
    array(tmp_path / "0", np.full((4, 6), 3, np.uint8))
    first = zarr_plane.read(tmp_path / "0", 0, largest=99)
    assert zarr_plane.OPEN == 32 and zarr_plane._open.cache_info().maxsize == 32
    described = json.loads((tmp_path / "0" / "zarr.json").read_text())
    described["shape"] = [3, 6]
    (tmp_path / "0" / "zarr.json").write_text(json.dumps(described))
    assert first.shape == (4, 6) and zarr_plane.read(tmp_path / "0", 0, largest=99).shape == (3, 6)
