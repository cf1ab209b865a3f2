"""A screen of foreign tables alone: no image is asked for, what lacks is named, exports open elsewhere."""

import json

import numpy as np
import pandas as pd
import pytest

import screens
from wellspring.io import embeddings, tables
from wellspring.screen import platemap
from wellspring.simulate.features import feature_screen

PLATES = {"B1_L1_P1": "00101", "B1_L1_P2": "00102", "B2_L1_P1": "00201", "B2_L1_P2": "00202"}
NAMES = {f"x_{number}": f"{part}_Texture_{number}" for number, part in enumerate(["Cells", "Nuclei", "Cytoplasm"] * 8)}
SHAPE = {"controls": 16, "active": 12, "inactive": 4, "mechanisms": 4, "features": 24, "effect": 3.0}
LOST = "00202"  # the plate that the table of all plates lacks


def single_cells(wells, rng):
    """Return five cells around each well's profile, in no order."""
    names = [name for name in wells if name.startswith("x_")]
    cells = wells.loc[wells.index.repeat(5), ["Metadata_Plate", "Metadata_Well", *names]]
    cells[names] += rng.normal(scale=0.1, size=(len(cells), len(names))).astype(np.float32)
    return cells.sample(frac=1, random_state=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run the screen, then its export: well tables in CSV a plate, single cells of three plates in one Parquet file."""
    folder = tmp_path_factory.mktemp("tables")
    wells, _ = feature_screen(seed=3, **SHAPE)
    wells["Metadata_Plate"] = wells["Metadata_Plate"].map(PLATES)
    rows = []
    for plate, part in wells.groupby("Metadata_Plate"):
        part = part.drop(index=part.index[part["Metadata_pert_type"] == "trt"][:1]) if plate == "00101" else part
        features = part.rename(columns=NAMES)[["Metadata_Plate", "Metadata_Well", *NAMES.values()]]
        features.to_csv(folder / f"{plate}.csv.gz", index=False)
        part = wells[wells["Metadata_Plate"] == plate]
        layout = part[[f"Metadata_{name}" for name in ("Well", "Compound", "pert_type", "moa")]]
        layout.rename(columns=lambda name: name.removeprefix("Metadata_").lower()).to_csv(
            folder / f"{plate}_map.csv", index=False
        )
        rows.append((plate, f"{plate}_map.csv", part["Metadata_Batch"].iloc[0], "fit"))
    there = wells[wells["Metadata_Plate"] != LOST]
    single_cells(there, np.random.default_rng(1)).to_parquet(folder / "cells.parquet", index=False, row_group_size=300)
    sheet = pd.DataFrame(rows, columns=["plate", "platemap", "batch", "role"])
    sheet["platemap"] = [str(folder / name) for name in sheet["platemap"]]
    screens.make(folder, changes={"encoders": None, "channels": None}, sheet=sheet)
    few = {"null_size": 1000, "bootstrap": 100, "permutations": 5}
    encoders = {
        "cellprofiler": {"kind": "table", "files": "{plate}.csv.gz"},
        "deep": {"kind": "table", "files": "cells.parquet", "view": {"kind": "cell"}},
    }
    screens.change(folder, {"encoders": encoders, "evaluate": few})
    stages = {"ingest": 8, "index": 4, "profile": 8, "fit": 2, "align": 8, "consensus": 2, "evaluate": 2, "report": 1}
    assert screens.planned(folder) == {**stages, "verdict": 1}
    done = screens.snakemake("--cores", "all", cwd=folder)
    assert done.returncode != 0, "the plate that a table lacks must be named at the end"
    assert f"cells.parquet has no row of plate {LOST}" in done.stdout, done.stdout[-6000:]
    assert screens.planned(folder, "export") == {"export": 1}
    done = screens.snakemake("--cores", "all", "export", cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


def test_tables_become_profiles_with_their_own_features(folder):
    for plate in PLATES.values():
        path = folder / f"results/embed/cellprofiler/{plate}.parquet"
        profiles = tables.read(folder / f"results/profile/cellprofiler/{plate}.aggregated.parquet")
        given = pd.read_csv(folder / f"{plate}.csv.gz").set_index("Metadata_Well")
        assert embeddings.names_of(path) == tables.features(profiles) == list(NAMES.values())
        kept = profiles[profiles["Metadata_Verdict"] == "keep"].set_index("Metadata_Well")
        np.testing.assert_allclose(kept[list(NAMES.values())], given.loc[kept.index, list(NAMES.values())], rtol=1e-6)
        lacking = profiles.loc[profiles["Metadata_Verdict"] == "undefined", "Metadata_Reason"].tolist()
        assert lacking == (["no_table_row"] if plate == "00101" else [])
        origin = tables.provenance(path)["foreign"]
        assert origin["file"] == f"{plate}.csv.gz" and len(origin["sha256"]) == 64
        assert len(origin["absent"]) == len(lacking)
    cells = tables.read(folder / "results/profile/deep/00101.aggregated.parquet")
    assert (cells["Metadata_Count_Cells"] == 5).all()


def test_both_tables_stand_in_the_report_which_says_that_there_are_no_images(folder):
    page = (folder / "results/report/index.html").read_text()
    assert "profiles come from tables" in page
    assert "without images" not in page
    for encoder in ("cellprofiler", "deep"):
        summary = tables.read(folder / f"results/evaluate/{encoder}.summary.parquet")
        assert len(summary) and encoder in page
    assert LOST in page
    assert not (folder / "results/survey").exists() and not (folder / "results/train").exists()


def test_anndata_holds_the_aligned_profiles(folder):
    anndata = pytest.importorskip("anndata")
    for encoder in ("cellprofiler", "deep"):
        aligned = tables.read(folder / f"results/align/{encoder}.parquet")
        data = anndata.read_h5ad(folder / f"results/export/{encoder}.h5ad")
        names = tables.features(aligned)
        assert data.var_names.tolist() == names and data.X.dtype == np.float32
        np.testing.assert_array_equal(data.X, aligned[names].to_numpy())
        assert data.obs_names.tolist() == (aligned["Metadata_Plate"] + "/" + aligned["Metadata_Well"]).tolist()
        assert set(data.layers) == {"aggregated", "normalised"}
        assert data.obs["pert_type"].dtype == "category" and data.obs["View_Count"].dtype == np.int32
        assert data.obs["Concentration"].dtype == np.float64
        assert json.loads(data.uns["provenance"])["aligned"]["rule"] == "consensus"
        assert data.var["Kept"].all() and len(data.uns["features"]) == len(NAMES)


def test_gallery_folders_have_the_conventions_names(folder):
    place = folder / "results/export/gallery/wellspring/source_1"
    for plate, batch in zip(sorted(PLATES.values()), ["B1", "B1", "B2", "B2"], strict=True):
        own = place / "workspace" / "profiles" / batch / plate
        found = sorted(path.name for path in own.iterdir())
        parts = ["", "_augmented", "_normalized_feature_select_negcon_all", "_normalized_negcon"]
        deep = list(place.glob(f"workspace_dl/profiles/deep_*/{batch}/{plate}/{plate}.parquet"))
        assert found == sorted(f"{plate}{part}.csv.gz" for part in parts)
        assert len(deep) == 1
        normalised = pd.read_csv(own / f"{plate}_normalized_negcon.csv.gz", dtype={"Metadata_Plate": str})
        profiles = tables.read(folder / f"results/profile/cellprofiler/{plate}.normalised.parquet")
        names = list(NAMES.values())
        np.testing.assert_array_equal(normalised[names].astype(np.float32), profiles[names])
        assert set(normalised["Metadata_Plate"]) == {plate} and set(normalised["Metadata_Source"]) == {"source_1"}
        again = platemap.read(place / "workspace/metadata/platemaps" / batch, plate=plate)
        assert again[["Metadata_Well", "Metadata_Compound", "Metadata_moa"]].equals(
            profiles[["Metadata_Well", "Metadata_Compound", "Metadata_moa"]]
        )
    assert list(place.glob("workspace_dl/collated/deep_*/collated.parquet"))
    assert list(place.glob("workspace_dl/consensus/deep_*/consensus.parquet"))
    assert list(place.glob("workspace/profiles_assembled/cellprofiler/v*/aligned.parquet"))
    about = pd.read_csv(place / "workspace/metadata/external_metadata/external_metadata.tsv", sep="\t")
    assert set(about.columns) == {"broad_sample", "pert_iname", "moa", "target_list"}


def test_published_tables_are_text_and_float32_and_nothing_else(folder):
    place = folder / "results/export/gallery/wellspring/source_1"
    paths = [*place.glob("workspace_dl/**/*.parquet"), *place.glob("workspace/profiles_assembled/**/*.parquet")]
    assert len(paths) == 4 + 2 + 2
    for path in paths:
        for name, kind in pd.read_parquet(path).dtypes.items():
            assert kind == (object if name.startswith("Metadata_") else np.float32), f"{path.name}: {name}"
