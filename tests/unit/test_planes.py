import numpy as np
import pytest
import tifffile

from wellspring import planes


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 4000, (64, 80)).astype(np.uint16)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "lzw"}, {"byteorder": ">"}])
def test_pixels_come_back(tmp_path, image, options):
    tifffile.imwrite(tmp_path / "x.tif", image, **options)
    found = planes.status(tmp_path, "x.tif")
    assert (found.status, found.reason) == ("ok", "")
    assert found.pixels.dtype == np.uint16
    assert found.pixels.dtype.isnative
    np.testing.assert_array_equal(found.pixels, image)


def test_page_and_png(tmp_path, image):
    import imageio.v3

    tifffile.imwrite(tmp_path / "x.tif", np.stack([image, image + 1]), photometric="minisblack")
    np.testing.assert_array_equal(planes.read(tmp_path, "x.tif", 1), image + 1)
    assert planes.status(tmp_path, "x.tif", 2).status == "missing"
    imageio.v3.imwrite(tmp_path / "x.png", image)
    np.testing.assert_array_equal(planes.read(tmp_path, "x.png"), image)


def test_pixel_size_is_the_ome_xml_s(tmp_path, image):
    metadata = {"axes": "YX", "PhysicalSizeX": 650, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(tmp_path / "x.ome.tif", image, ome=True, metadata=metadata)
    assert planes.status(tmp_path, "x.ome.tif").pixel_size == pytest.approx(0.65)
    tifffile.imwrite(tmp_path / "x.tif", image, resolution=(72, 72), resolutionunit="INCH")
    assert planes.status(tmp_path, "x.tif").pixel_size is None


def test_what_is_wrong_is_told_apart(tmp_path, image):
    assert planes.status(tmp_path, None).status == "missing"
    assert planes.status(tmp_path, "no.tif").status == "missing"
    (tmp_path / "text.tif").write_text("this is no image, but a note about one")
    assert planes.status(tmp_path, "text.tif").status == "unreadable"
    (tmp_path / "empty.tif").touch()
    assert planes.status(tmp_path, "empty.tif").status == "truncated"
    tifffile.imwrite(tmp_path / "blank.tif", np.full_like(image, 7))
    assert planes.status(tmp_path, "blank.tif").reason == "blank: every pixel is 7"
    tifffile.imwrite(tmp_path / "float.tif", image.astype(np.float32))
    assert planes.status(tmp_path, "float.tif").status == "dtype"
    tifffile.imwrite(tmp_path / "colour.tif", np.dstack([image, image + 1, image]).astype(np.uint8), photometric="rgb")
    assert "colours" in planes.status(tmp_path, "colour.tif").reason
    with pytest.raises(planes.PlaneError, match="no file no.tif"):
        planes.read(tmp_path, "no.tif")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_file_never_passes(tmp_path, image, share, compression):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert planes.status(tmp_path, "x.tif").status == "truncated"


def test_palette_images_are_grey_values(shared_data):
    found = planes.status(shared_data / "bbbc013" / "images", "Channel2-40-D-04.tif")
    assert found.status == "ok"
    assert found.pixels.shape == (640, 640)
    assert found.pixels.dtype == np.uint8
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)
