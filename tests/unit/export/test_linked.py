"""Plates with labels in each field's group open in other readers: plate, well and field, with label images."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from wellspring.export.linked import link_plate
from wellspring.io import ngff

WELLS, SITES, SHAPE = ("B03", "A01"), ("1", "2"), (70, 90)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a linked plate, its pixels, and its labels by field and kind; the last field has no labels."""
    root, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    pixels = {place: rng.integers(0, 5000, (2, *SHAPE)).astype(np.uint16) for place in _fields()}
    labels = {(*place, name): rng.integers(0, 9, SHAPE) for place in _fields()[:-1] for name in ("nuclei", "cells")}
    paths = {name: root / name / "P1.zarr" for name in ("images", "cells")}
    with ngff.PlateWriter(paths["images"], plate="P1", channels=["DNA", "ER"], pixel_size=0.6) as writer:
        for place, values in pixels.items():
            writer.write(*place, values)
    with ngff.LabelWriter(paths["cells"], plate="P1", source=paths["images"], pixel_size=0.6) as writer:
        for place in _fields()[:-1]:
            writer.write(*place, {name: labels[(*place, name)] for name in ("nuclei", "cells")})
    joined = root / "export" / "plates" / "P1.zarr"
    link_plate(paths["images"], paths["cells"], joined)
    moved = root.rename(root.with_name("moved"))  # results may be moved: links are relative
    return moved / joined.relative_to(root), pixels, labels


def _fields() -> list[tuple[str, str]]:
    return [(well, site) for well in WELLS for site in SITES]


def test_pixels_are_linked_and_labels_are_arrays_of_their_own(made):
    path, pixels, labels = made
    for well, site in _fields():
        field = path / ngff.path_of(well, site)
        assert (field / "0").is_symlink() and not Path(field / "0").readlink().is_absolute()
        np.testing.assert_array_equal(zarr.open_array(field / "0", mode="r")[:], pixels[well, site])
    for (well, site, name), values in labels.items():
        group = path / ngff.path_of(well, site) / "labels" / name
        np.testing.assert_array_equal(zarr.open_array(group / "0", mode="r")[:], values)
        rows, columns = (np.minimum(np.arange(0, edge, 4) + 2, edge - 1) for edge in SHAPE)
        np.testing.assert_array_equal(zarr.open_array(group / "1", mode="r")[:], values[np.ix_(rows, columns)])
    assert not (path / ngff.path_of(*_fields()[-1]) / "labels").exists()


def test_the_validator_accepts_plate_fields_and_labels(made):
    v05 = pytest.importorskip("ome_zarr_models.v05", reason="ome-zarr-models is not installed")
    path, _, labels = made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(path, mode="r")
        assert {well.path for well in v05.HCS.from_zarr(group).ome_attributes.plate.wells} == {"A/01", "B/03"}
        for well, site, name in labels:
            field = group[ngff.path_of(well, site)]
            assert v05.Image.from_zarr(field).labels.attributes.ome.labels == ["nuclei", "cells"]
            label = v05.ImageLabel.from_zarr(field[f"labels/{name}"])
            assert [axis.name for axis in label.ome_attributes.multiscales[0].axes] == ["y", "x"]


def test_ome_zarr_py_opens_the_field_with_its_labels(made):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    path, pixels, labels = made
    plate = next(iter(Reader(parse_url(str(path)))()))
    assert plate.data[0].shape == (2, 2 * 70, 2 * 90)
    nodes = list(Reader(parse_url(str(path / "B" / "03" / "1")))())
    np.testing.assert_array_equal(np.asarray(nodes[0].data[0]), pixels["B03", "1"])
    found = {node.zarr.basename(): np.asarray(node.data[0]) for node in nodes if node.load(Label)}
    assert set(found) == {"nuclei", "cells"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, labels["B03", "1", name])


def test_ngio_opens_plate_well_and_field_with_labels(made):
    ngio = pytest.importorskip("ngio", reason="ngio is not installed")
    path, pixels, labels = made
    plate = ngio.open_ome_zarr_plate(path)
    assert sorted(plate.wells_paths()) == ["A/01", "B/03"]
    field = plate.get_image("B", 3, "1")
    np.testing.assert_array_equal(field.get_image().get_as_numpy().squeeze(), pixels["B03", "1"])
    assert sorted(field.list_labels()) == ["cells", "nuclei"]
    for name in ("nuclei", "cells"):
        np.testing.assert_array_equal(field.get_label(name).get_as_numpy().squeeze(), labels["B03", "1", name])
    assert field.get_image().pixel_size.x == pytest.approx(0.6)


def test_napari_opens_the_field_with_its_labels(made):
    plugin = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    path, pixels, labels = made
    layers = plugin.napari_get_reader(str(path / "B" / "03" / "1"))()
    kinds = [layer[2] for layer in layers]
    assert kinds.count("labels") == 2 and "image" in kinds
    names = {layer[1]["name"]: np.asarray(layer[0][0]).squeeze() for layer in layers if layer[2] == "labels"}
    for name in ("nuclei", "cells"):
        [values] = [values for key, values in names.items() if name in str(key)]
        np.testing.assert_array_equal(values, labels["B03", "1", name])
    assert any(layer[2] == "image" for layer in plugin.napari_get_reader(str(path))()), "the plate opens as well"


def test_labels_of_another_plate_are_refused(made, tmp_path):
    path = made[0]
    results = path.parents[2]
    with ngff.PlateWriter(tmp_path / "P2.zarr", plate="P2", channels=["DNA"]) as writer:
        writer.write("A01", "1", np.zeros((1, 4, 6), np.uint16))
    with pytest.raises(ValueError, match="expected the labels of .*P2.zarr"):
        link_plate(tmp_path / "P2.zarr", results / "cells" / "P1.zarr", tmp_path / "out.zarr")
