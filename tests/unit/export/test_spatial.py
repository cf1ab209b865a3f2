"""SpatialData of a field, written and read back by the package itself; the message where it is not installed."""

import importlib.util

import numpy as np
import pytest

from report_screen import fabricate
from wellspring.export import spatial
from wellspring.io import ngff, tables

FIELD = {"plate": "P2", "well": "A03", "site": "1"}
there = importlib.util.find_spec("spatialdata") is not None


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    fabricate(folder, plates=2, bad=0, sites=1, rows=4, columns=8, treatments=3, channels=("DNA", "ER"))
    return folder


@pytest.mark.skipif(not there, reason="spatialdata is not installed")
def test_the_package_reads_pixels_labels_and_cells_back(results, tmp_path):
    import spatialdata

    spatial.main([str(results), *FIELD.values(), str(tmp_path / "field.zarr")])
    read = spatialdata.read_zarr(tmp_path / "field.zarr")
    pixels = ngff.open_plate(results / "images" / "P2.zarr").read("A03", "1")
    np.testing.assert_array_equal(read["pixels"].to_numpy(), pixels)
    assert read["pixels"].coords["c"].to_numpy().tolist() == ["DNA", "ER"]
    labels = ngff.open_labels(results / "cells" / "P2.zarr")
    for name in ("nuclei", "cells"):
        np.testing.assert_array_equal(read[name].to_numpy(), labels.read("A03", "1", name))
    cells = tables.read(results / "cells" / "P2.parquet")
    mine = cells[cells["Metadata_Well"] == "A03"]
    table = read["cells_table"]
    assert table.obs["Cell"].tolist() == mine["Metadata_Cell"].tolist() and len(mine) > 3
    np.testing.assert_array_equal(table.obsm["spatial"], mine[["Metadata_Center_X", "Metadata_Center_Y"]])
    # the table annotates the label image: each row finds its object
    labelled = set(np.unique(labels.read("A03", "1", "cells"))) - {0}
    matched, _ = spatialdata.join_spatialelement_table(
        sdata=read, spatial_element_names="cells", table_name="cells_table"
    )
    assert labelled <= set(table.obs["Cell"]) and set(matched) == {"cells"}
    scale = spatialdata.transformations.get_transformation(read["pixels"]).to_affine_matrix(("x", "y"), ("x", "y"))
    assert scale[0, 0] == scale[1, 1] == pytest.approx(0.65)
    with pytest.raises(SystemExit):
        spatial.main([str(results), *FIELD.values(), str(tmp_path / "field.zarr")])


@pytest.mark.skipif(not there, reason="spatialdata is not installed")
def test_a_field_that_the_plate_lacks_is_named(results):
    with pytest.raises(KeyError, match="no field H12 site 1"):
        spatial.field(results, plate="P2", well="H12", site="1")


@pytest.mark.skipif(there, reason="spatialdata is installed")
def test_without_the_package_the_message_names_the_remedy(results, tmp_path, capsys):
    with pytest.raises(ModuleNotFoundError, match="pip install spatialdata, into an environment of its own"):
        spatial.field(results, **FIELD)
    with pytest.raises(SystemExit):
        spatial.main([str(results), *FIELD.values(), str(tmp_path / "field.zarr")])
    assert "error: SpatialData needs the package spatialdata (pip install" in capsys.readouterr().err
