"""Published profiles open in other tools, and exports hold what the profiles hold."""

import errno
import json
import sys

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest

from options import options
from single_cells import described, plate_of
from wellspring.evaluate import cell_tests
from wellspring.export import annotated, gallery, run
from wellspring.illumination import lightpath
from wellspring.io import tables
from wellspring.io.disk import DiskFullError
from wellspring.profile import single_cells
from wellspring.screen import platemap
from wellspring.simulate.features import feature_screen

TEXTS = ["Metadata_Plate", "Metadata_Well", "Metadata_Batch", "Metadata_Compound", "Metadata_pert_type"]


@pytest.fixture(scope="module")
def profiles():
    wells, _ = feature_screen(seed=5, controls=12, active=8, inactive=2, mechanisms=2, features=12, plates=1)
    wells["Metadata_Plate"] = wells["Metadata_Plate"].map({"B1_L1_P1": "00017", "B2_L1_P1": "00018"})
    lost = wells.index[wells["Metadata_pert_type"] == "negcon"][1]
    wells.loc[lost, tables.features(wells)] = np.nan
    wells.loc[lost, ["Metadata_Verdict", "Metadata_Reason"]] = ["undefined", "no cells"]
    return wells


@pytest.fixture
def published(profiles, tmp_path):
    """Return the path of the profiles as the workflow publishes them."""
    tables.write(profiles, tmp_path / "profiles.parquet", table="profile", provenance={"rule": "align"})
    return tmp_path / "profiles.parquet"


def test_pandas_polars_and_duckdb_read_texts_and_float32(published, profiles):
    names, rows = tables.features(profiles), len(profiles)
    frame = pd.read_parquet(published)
    assert (frame[names].dtypes == np.float32).all()
    assert all(isinstance(value, str) for value in frame["Metadata_Plate"])
    lazy = polars.read_parquet(published)
    assert {lazy.schema[name] for name in names} == {polars.Float32}
    assert {lazy.schema[name] for name in TEXTS} == {polars.String}
    found = duckdb.sql(f"SELECT * FROM '{published}' ORDER BY Metadata_Plate, Metadata_Well").df()
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{published}'").df()
    kinds = described.set_index("column_name")["column_type"]
    assert {kinds[name] for name in names} == {"FLOAT"} and {kinds[name] for name in TEXTS} == {"VARCHAR"}
    for other in (lazy.to_pandas(), found):
        assert len(other) == rows and other["Metadata_Plate"].tolist() == frame["Metadata_Plate"].tolist()
        np.testing.assert_array_equal(other[names].to_numpy(np.float32), frame[names].to_numpy())


def test_what_is_no_metadata_is_a_feature(published):
    """The JUMP recipe takes every other column for one, which then has to be a number."""
    for field in pq.read_schema(published):
        assert field.name.startswith("Metadata_") or str(field.type) == "float", field


def test_pycytominer_takes_them(published):
    from pycytominer import aggregate, feature_select, normalize

    frame = pd.read_parquet(published)
    frame = frame[frame["Metadata_Verdict"] == "keep"].reset_index(drop=True)
    names = tables.features(frame)
    wells = aggregate(frame, strata=["Metadata_Plate", "Metadata_Perturbation"], features=names)
    assert len(wells) == len(frame.drop_duplicates(["Metadata_Plate", "Metadata_Perturbation"]))
    metadata = [name for name in frame if name.startswith("Metadata_")]
    controls = "Metadata_pert_type == 'negcon'"
    normal = normalize(frame, features=names, meta_features=metadata, samples=controls, method="mad_robustize")
    assert np.isfinite(normal[names]).all(axis=None)
    chosen = feature_select(normal, features=names, operation=["variance_threshold", "correlation_threshold"])
    assert set(names) & set(chosen.columns) and set(metadata) <= set(chosen.columns)


def test_copairs_takes_them(published, tmp_path):
    from copairs.map import average_precision, mean_average_precision

    frame = pd.read_parquet(published).query("Metadata_Verdict == 'keep'").reset_index(drop=True)
    names = tables.features(frame)
    meta = frame[["Metadata_Plate", "Metadata_Perturbation", "Metadata_pert_type"]]
    keys = {
        "pos_sameby": ["Metadata_Perturbation"],
        "pos_diffby": [],
        "neg_sameby": [],
        "neg_diffby": ["Metadata_pert_type"],
    }
    found = average_precision(meta, frame[names].to_numpy(), **keys, progress_bar=False)
    treated = found[found["Metadata_pert_type"] == "trt"]
    assert treated["average_precision"].between(0, 1).all()
    options = {"null_size": 100, "threshold": 0.05, "seed": 0, "cache_dir": tmp_path / "null", "progress_bar": False}
    scores = mean_average_precision(treated, ["Metadata_Perturbation"], **options)
    assert len(scores) == treated["Metadata_Perturbation"].nunique()


def selection(profiles, *, dropped):
    names = tables.features(profiles)
    table = pd.DataFrame({"Metadata_Feature": names, "Metadata_Kept": [name not in dropped for name in names]})
    return table.assign(Metadata_Reason=np.where(table["Metadata_Kept"], "", "constant"))


def test_anndata_comes_back_with_its_types(profiles, tmp_path):
    anndata = pytest.importorskip("anndata")
    table = selection(profiles, dropped=["x_2"])
    aligned = profiles.drop(columns="x_2")
    data = annotated.annotate(
        aligned, table, layers={"normalised": profiles.sample(frac=1, random_state=0)}, provenance={"seed": 1}
    )
    annotated.write(data, tmp_path / "a.h5ad")
    found = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(found.X, aligned[tables.features(aligned)].to_numpy(np.float32))
    np.testing.assert_array_equal(found.layers["normalised"], found.X)
    assert found.obs_names[0].startswith("00017/")
    assert found.obs["Plate"].dtype == "category" and found.obs["Site_Count"].dtype == np.int32
    assert found.obs["Verdict"].tolist().count("undefined") == 1
    assert found.uns["features"]["Metadata_Reason"].tolist().count("constant") == 1
    assert json.loads(found.uns["provenance"]) == {"seed": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5ad"]
    with pytest.raises(ValueError, match="normalised: expected all wells of the aligned profiles, found none of"):
        annotated.annotate(aligned, table, layers={"normalised": profiles.iloc[1:]}, provenance={})
    made = aligned.rename(columns={"x_0": "component_0"})
    assert not annotated.annotate(made, table, layers={"normalised": profiles}, provenance={}).layers


def test_without_the_package_it_says_what_to_do(profiles, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ModuleNotFoundError, match="export.formats: anndata needs the package anndata"):
        annotated.annotate(profiles, selection(profiles, dropped=[]), layers={}, provenance={})


def test_gallery_metadata_is_text_under_the_conventions_names(profiles, tmp_path):
    names = tables.features(profiles)
    gallery.write_table(profiles, tmp_path / "deep" / "a.parquet", source="source_1")
    found = pd.read_parquet(tmp_path / "deep" / "a.parquet")
    assert found.columns[:4].tolist() == gallery.KEY
    assert {"Metadata_pert_iname", "Metadata_broad_sample", "Metadata_Object_Count"} <= set(found.columns)
    for name in found:
        if name in names:
            assert found[name].dtype == np.float32
        else:
            assert all(value is None or isinstance(value, str) for value in found[name]), name
    assert found["Metadata_Site_Count"].iloc[0] == str(profiles["Metadata_Site_Count"].iloc[0])


def test_a_plate_that_could_not_be_normalised_has_no_normalised_file(profiles, tmp_path):
    options = {"plate": "00017", "batch": "B1", "source": "s", "kept": ["x_0", "x_1"]}
    for normalised, expected in ((None, 2), (profiles, 4)):
        gallery.write_classical(tmp_path / str(expected), aggregated=profiles, normalised=normalised, **options)
        files = sorted((tmp_path / str(expected) / "B1" / "00017").iterdir())
        assert len(files) == expected
    chosen = pd.read_csv(files[2], dtype={"Metadata_Plate": str})
    assert files[2].name == "00017_normalized_feature_select_negcon_all.csv.gz"
    assert tables.features(chosen) == ["x_0", "x_1"]
    np.testing.assert_array_equal(chosen["x_0"].astype(np.float32), profiles["x_0"])
    bare = pd.read_csv(files[0], dtype={"Metadata_Plate": str})
    assert [name for name in bare if name.startswith("Metadata_")] == ["Metadata_Plate", "Metadata_Well"]
    assert (bare["Metadata_Plate"] == profiles["Metadata_Plate"]).all()


def test_platemaps_and_flat_fields_read_back(profiles, tmp_path):
    wells = dict(iter(profiles.groupby("Metadata_Plate")))
    gallery.write_platemaps(wells, tmp_path, batches={"00017": "2026_01_first", "00018": "2026_02_second"})
    for plate, batch in (("00017", "2026_01_first"), ("00018", "2026_02_second")):
        found = platemap.read(tmp_path / "platemaps" / batch, plate=plate)
        for name in ("Well", "Compound", "Concentration", "pert_type", "moa", "target", "Cell_Line"):
            expected = wells[plate][f"Metadata_{name}"].reset_index(drop=True)
            pd.testing.assert_series_equal(found[f"Metadata_{name}"], expected, check_dtype=False)
    flat = np.linspace(0.5, 1.5, 24, dtype=np.float32).reshape(2, 3, 4)
    light = lightpath.LightPath(["DNA", "ER"], flat, 0 * flat, "median", np.ones(2, np.int32))
    lightpath.save(tmp_path / "scope.npz", light)
    gallery.write_illumination(tmp_path / "scope.npz", tmp_path / "images", plate="00017", batch="b")
    np.testing.assert_array_equal(np.load(tmp_path / "images/b/illum/00017/00017_IllumER.npy"), flat[1])


@pytest.mark.parametrize("batch", ["../../ESCAPED", "/tmp/ESCAPED", "2024/05", "=cmd", "a\nb", ".hidden"])
def test_a_batch_that_is_no_folders_name_writes_nothing(tmp_path, batch):
    """It made folders outside of the results, and split them at its slashes."""
    sheet = [{"plate": "P1", "batch": "B1", "optics": "P1"}, {"plate": "P2", "batch": batch, "optics": "P2"}]
    nothing = dict.fromkeys(("index", "illumination", "aggregated", "normalised", "features", "aligned"), [])
    place = tmp_path / "results" / "export"
    with pytest.raises(ValueError, match="export: plate P2: expected a batch"):
        run.gallery_of(nothing, place, sheet=sheet, encoders={}, options=options("export"))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", ["to_csv", "to_parquet"])
def test_a_full_disk_leaves_no_half_of_an_exported_table(profiles, tmp_path, monkeypatch, name):
    def half(frame, path, **options):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, name, half)
    with pytest.raises(DiskFullError, match=r"P1\S*: could not be written"):
        if name == "to_parquet":
            gallery.write_table(profiles, tmp_path / "P1.parquet", source="s")
        else:
            gallery.write_classical(
                tmp_path, plate="P1", batch="b", source="s", aggregated=profiles, normalised=None, kept=[]
            )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_anndata_has_components_and_places(profiles):
    pytest.importorskip("anndata")
    names = tables.features(profiles)
    table = pd.DataFrame({"Metadata_Feature": names, "Metadata_Kept": True})
    data = annotated.annotate(profiles, table, layers={}, provenance={})
    kept = (profiles["Metadata_Verdict"] == "keep").to_numpy()
    values = profiles.loc[kept, names].to_numpy(np.float64)
    found, axes = np.linalg.eigh(np.cov(values.T))
    expected = np.abs((values - values.mean(axis=0)) @ axes[:, ::-1])
    np.testing.assert_allclose(np.abs(data.obsm["X_pca"][kept]), expected, atol=1e-3)
    assert np.isnan(data.obsm["X_pca"][~kept]).all()
    np.testing.assert_allclose(data.uns["pca"]["variance_ratio"], found[::-1] / found.sum(), atol=1e-6)
    well = profiles["Metadata_Well"].iloc[5]
    assert data.obsm["spatial"][5].tolist() == [int(well[1:]) - 1, "ABCDEFGHIJKLMNOP".index(well[0])]


def test_anndata_of_cells_reads_back(tmp_path):
    anndata = pytest.importorskip("anndata")
    plate = plate_of(np.random.default_rng(6), treated={"a": 2}, cells=(20, 30))
    cells, tests = tmp_path / "net/P1.cells.parquet", tmp_path / "net.cells.parquet"
    about = {"provenance": {"rule": "single_cells"}, "verdict": tables.Verdict()}
    single_cells.write(plate, cells, tmp_path / "distributions.parquet", **about)
    tables.write(cell_tests.cell_tests([described(plate)]), tests, table="cell_tests", provenance={})
    path = tmp_path / "export/net/P1.h5ad"
    run.cells_of({"cells": [str(cells)], "cell_tests": [str(tests)]}, [str(path)], provenance={"rule": "export"})
    data, (frame, matrix) = anndata.read_h5ad(path), tables.read_embedding(cells)
    np.testing.assert_array_equal(data.X, matrix)
    assert data.obs_names[3] == "/".join(frame.iloc[3][["Metadata_Plate", "Metadata_Well", "Metadata_Site"]]) + (
        f"/{frame['Metadata_View'].iloc[3]}"
    )
    assert data.var_names.tolist() == list(plate.names) and data.obs_names.is_unique
    np.testing.assert_array_equal(data.obsm["spatial"][:, 1], frame["Metadata_Center_Y"])
    assert data.uns["cell_tests"]["Metadata_Item"].tolist() == ["a"]
    assert json.loads(data.uns["provenance"])["cells"]["rule"] == "single_cells"
