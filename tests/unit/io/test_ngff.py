"""Stored plates are valid OME-Zarr 0.5 for other tools: a validator without a warning, ome-zarr-py, and Zarr itself."""

import warnings

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import ngff, zarr_shard

v05 = pytest.importorskip("ome_zarr_models.v05", reason="ome-zarr-models is not installed")

WELLS = ("B03", "A01", "AF48")
SITES = ("1", "2")
SHAPE = (70, 90)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A plate of pixels and one of labels in folders beside each other, as the workflow has them."""
    root, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    paths = {kind: root / kind / "P1.zarr" for kind in ("images", "cells")}
    with (
        ngff.PlateWriter(paths["images"], plate="P1", channels=["DNA", "ER"], pixel_size=0.6) as images,
        ngff.LabelWriter(paths["cells"], plate="P1", source=paths["images"], pixel_size=0.6) as labels,
    ):
        for well in WELLS:
            for site in SITES:
                images.write(well, site, rng.integers(0, 5000, (2, *SHAPE)).astype(np.uint16))
                labels.write(well, site, {name: rng.integers(0, 9, SHAPE) for name in ("nuclei", "cells")})
        images.windows = {"DNA": (10, 900), "ER": (0, 5)}
    return paths


@pytest.fixture(autouse=True)
def strict():
    """A warning of the validator is a complaint too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("kind", ["images", "cells"])
def test_a_validator_accepts_plate_wells_and_fields(folders, kind):
    group = zarr.open_group(folders[kind], mode="r")
    plate = v05.HCS.from_zarr(group)
    described = plate.ome_attributes.plate
    assert [row.name for row in described.rows] == ["A", "B", "AF"]
    assert {well.path for well in described.wells} == {"A/01", "B/03", "AF/48"}
    assert described.field_count == len(SITES)
    wells = list(plate.well_groups)
    assert [[image.path for image in well.ome_attributes.well.images] for well in wells] == [list(SITES)] * len(WELLS)
    for well in described.wells:
        for site in SITES:
            image = v05.Image.from_zarr(group[f"{well.path}/{site}"])
            assert image.members["0"].shape == (2, *SHAPE)


def test_a_validator_accepts_the_labels_and_they_name_their_image(folders):
    group = zarr.open_group(folders["cells"], mode="r")
    for well, site in ngff.open_labels(folders["cells"]).fields:
        label = v05.ImageLabel.from_zarr(group[ngff.path_of(well, site)])
        source = label.attributes.ome.image_label.source.image
        image = (folders["cells"] / ngff.path_of(well, site) / source).resolve()
        assert image == (folders["images"] / ngff.path_of(well, site)).resolve()
        v05.Image.from_zarr(zarr.open_group(image, mode="r"))


def test_a_plate_without_fields_is_accepted(tmp_path):
    with ngff.PlateWriter(tmp_path / "p.zarr", plate="P1", channels=["DNA"]):
        pass
    assert v05.HCS.from_zarr(zarr.open_group(tmp_path / "p.zarr", mode="r")).n_wells == 0


def test_ome_zarr_py_sees_wells_fields_axes_channels_and_windows(folders):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        plate = next(iter(Reader(parse_url(str(folders["images"])))()))
        assert plate.data[0].shape == (2, 3 * 70, 3 * 90)  # rows A, B, AF; columns 01, 03, 48; a field each
        field = next(iter(Reader(parse_url(str(folders["images"] / "B" / "03" / "1")))()))
        pixels = ngff.open_plate(folders["images"]).read("B03", "1")
        np.testing.assert_array_equal(np.asarray(field.data[0]), pixels)
        assert field.metadata["channel_names"] == ["DNA", "ER"]
        assert field.metadata["contrast_limits"] == [[10.0, 900.0], [0.0, 5.0]]
        assert [axis["name"] for axis in field.metadata["axes"]] == ["c", "y", "x"]
        assert field.metadata["coordinateTransformations"][0][0]["scale"] == [1.0, 0.6, 0.6]
        nodes = list(Reader(parse_url(str(folders["cells"] / "B" / "03" / "1")))())
        assert any(node.load(Label) for node in nodes)
        assert any(np.array_equal(np.asarray(node.data[0]), pixels) for node in nodes)  # the image that the labels name


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_zarr_reads_any_array_that_is_written_here(tmp_path_factory, data):
    """Checksum included, which Zarr verifies."""
    shape = tuple(data.draw(st.integers(1, most)) for most in (3, 90, 90))
    tile = tuple(data.draw(st.integers(1, edge + 3)) for edge in shape[1:])
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.uint32]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pixels = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    pixels[:, : data.draw(st.integers(0, shape[1]))] = 0
    folder = tmp_path_factory.mktemp("array") / "0"
    zarr_shard.write(folder, pixels, tile=tile)
    array = zarr.open_array(folder, mode="r")
    assert (array.dtype, array.chunks[0]) == (pixels.dtype, 1)
    np.testing.assert_array_equal(array[:], pixels)
    np.testing.assert_array_equal(zarr_shard.read(folder, range(shape[0]), slice(None), slice(None)), pixels)


def test_a_shard_is_what_zarr_writes_but_for_the_order_of_its_chunks(tmp_path):
    """The same chunks of the same bytes: another writer may take over."""
    pixels = np.random.default_rng(0).integers(0, 5000, (2, 80, 60)).astype(np.uint16)
    pixels[0, :40] = 0
    zarr_shard.write(tmp_path / "ours", pixels, tile=(40, 30))
    ours = zarr.open_array(tmp_path / "ours", mode="r")
    theirs = zarr.create_array(
        tmp_path / "theirs",
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=(1, 40, 30),
        shards=pixels.shape,
        compressors=ours.compressors,
        dimension_names=zarr_shard.AXES,
        config={"write_empty_chunks": True},
    )
    theirs[:] = pixels
    assert ours.metadata == theirs.metadata
    sizes = [(tmp_path / name / "c/0/0/0").stat().st_size for name in ("ours", "theirs")]
    assert sizes[0] == sizes[1] + zarr_shard.CHECK  # the seal
