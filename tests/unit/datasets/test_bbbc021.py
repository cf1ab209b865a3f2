"""BBBC021's recipe: its metadata become sheet, platemaps and tables of files; what is wrong in them is named."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

import miniatures
from wellspring.datasets import bbbc021
from wellspring.evaluate.nearest import nsc, nscb
from wellspring.io.shipped import DATASET_RECIPES
from wellspring.screen import config, sheet


@pytest.fixture
def mini(tmp_path):
    return miniatures.bbbc021(tmp_path, side=0)


def run(mini, out, *further):
    images, metadata = mini
    bbbc021.main(["--images", str(images), "--metadata", str(metadata), "--out", str(out), *further])
    return out


def options(folder):
    return config.resolve(yaml.safe_load((folder / "config" / "config.yaml").read_text()))


def test_the_index_has_every_well_with_its_treatment_mechanism_and_week(mini, tmp_path, monkeypatch):
    table = miniatures.indexed(run(mini, tmp_path / "screen"), monkeypatch)
    assert table["Metadata_Path"].notna().all()
    assert len(table) == (11 + 11 + 11 - 1 + 1) * 4 * 3
    wells = table.drop_duplicates(["Metadata_Plate", "Metadata_Well"]).set_index(["Metadata_Plate", "Metadata_Well"])
    columns = ["Metadata_Compound", "Metadata_Concentration", "Metadata_moa", "Metadata_pert_type", "Metadata_Batch"]
    assert wells.loc[("Week1_22123", "B03"), columns].tolist() == [
        "cytochalasin B", 30.0, "Actin disruptors", "trt", "Week1",
    ]  # fmt: skip
    assert wells.loc[("Week7_34341", "C05"), columns].tolist() == ["AZ-J", float("3e-4"), None, "trt", "Week7"]
    assert wells.loc[("Week7_34341", "E11"), columns].tolist() == ["DMSO", 0.0, None, "negcon", "Week7"]
    assert wells.loc[("Week1_22123", "E02"), columns].tolist() == ["taxol", 0.3, None, "poscon", "Week1"]
    assert wells.loc[("Week1_22123", "D05"), columns[2:4]].tolist() == ["Microtubule stabilizers", "trt"]
    assert (wells["Metadata_Cell_Line"] == "MCF7").all()
    assert set(wells["Metadata_replicate"]) == {"1", "2", "3"}
    assert wells["Metadata_Concentration"].dtype == np.float64


def test_the_pattern_of_the_config_reads_the_same_planes(mini, tmp_path, monkeypatch):
    folder = run(mini, tmp_path / "screen")
    table = miniatures.indexed(folder, monkeypatch)
    path = folder / "config" / "config.yaml"
    text = path.read_text().replace("reader: loaddata", "reader: pattern")
    path.write_text(text.replace("channels: {}", 'channels: {DNA: "1", Tubulin: "2", Actin: "4"}'))
    pd.testing.assert_frame_equal(miniatures.indexed(folder, monkeypatch), table)


def test_archives_unpacked_into_folders_of_their_names_or_of_weeks(tmp_path, monkeypatch):
    nested = miniatures.bbbc021(tmp_path / "nested", nested=True, side=0)
    table = miniatures.indexed(run(nested, tmp_path / "first"), monkeypatch)
    weeks = miniatures.bbbc021(tmp_path / "weeks", side=0)
    for folder in list(weeks[0].iterdir()):
        home = weeks[0] / folder.name.partition("_")[0]
        home.mkdir(exist_ok=True)
        folder.rename(home / folder.name)
    again = miniatures.indexed(run(weeks, tmp_path / "second"), monkeypatch)
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel", "Metadata_Compound"]
    pd.testing.assert_frame_equal(again[keys], table[keys])


def test_an_image_that_is_not_there_is_a_missing_plane(mini, tmp_path, monkeypatch):
    lost = next((mini[0] / "Week1_22141").glob("*B03_s2_w4*"))
    lost.unlink()
    table = miniatures.indexed(run(mini, tmp_path / "screen"), monkeypatch)
    gap = table[table["Metadata_Path"].isna()]
    assert gap[["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel"]].to_numpy().tolist() == [
        ["Week1_22141", "B03", "2", "Actin"]
    ]


def test_the_annotated_subset_leaves_out_other_treatments_and_plates(tmp_path, monkeypatch):
    plates = {**miniatures.PLATES, "Week4_27481": {"C03": ("5-fluorouracil", "0.003")}}
    mini = miniatures.bbbc021(tmp_path, plates=plates, side=0)
    table = miniatures.indexed(run(mini, tmp_path / "screen", "--annotated"), monkeypatch)
    assert set(table["Metadata_Plate"]) == set(miniatures.PLATES)
    treated = table[table["Metadata_pert_type"] == "trt"]
    assert treated["Metadata_moa"].notna().all()
    assert set(treated.loc[treated["Metadata_Plate"] == "Week7_34341", "Metadata_Well"]) == {"C03", "C04"}
    assert set(table["Metadata_pert_type"]) == {"trt", "negcon", "poscon"}


@pytest.mark.parametrize(("taxol", "mechanism"), [("series", None), ("all", "Microtubule stabilizers")])
def test_what_a_positive_control_counts_for(mini, tmp_path, monkeypatch, taxol, mechanism):
    table = miniatures.indexed(run(mini, tmp_path / "screen", "--taxol", taxol), monkeypatch)
    controls = table[table["Metadata_Well"].isin(["E02", "B11"])]
    assert (controls["Metadata_pert_type"] == "poscon").all()
    assert set(controls["Metadata_moa"]) == {mechanism}


def test_structures_where_there_are_any(mini, tmp_path):
    (mini[1] / "BBBC021_v1_compound.csv").write_text("Compound,SMILES\ntaxol,CC1=C2\n")
    platemap = pd.read_csv(run(mini, tmp_path / "screen") / "config/platemaps/Week1_22123.csv").set_index("well")
    assert platemap.loc["D05", "smiles"] == "CC1=C2"
    assert pd.isna(platemap.loc["B03", "smiles"])
    (mini[1] / "BBBC021_v1_compound.csv").write_text("name,SMILES\ntaxol,CC1=C2\n")
    with pytest.raises(ValueError, match="BBBC021_v1_compound.csv: expected a column compound, found"):
        run(mini, tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("BBBC021_v1_image.csv", "Image_Metadata_Compound", "Compound", r"image.csv: expected the columns \['Image_Me"),
        ("BBBC021_v1_moa.csv", '"moa"\n', '"MoA"\n', r"moa.csv: expected the columns \['moa'\], found"),
        ("BBBC021_v1_moa.csv", '"taxol"', '"paclitaxel"', r"moa.csv: line 2: expected a treatment .*paclitaxel at 0.3"),
        ("BBBC021_v1_moa.csv", "30.000000", "29", r"moa.csv: line 3: .*found cytochalasin B at 29"),
        ("BBBC021_v1_moa.csv", "30.000000", "much", r"moa.csv: line 3: expected a number in column conc.*'much'"),
        ("BBBC021_v1_moa.csv", '"latrunculin B",3.000000', '"taxol",0.3', r"moa.csv: line 5: taxol is there twice"),
        ("BBBC021_v1_image.csv", "Week1_22123,B02", "Plate1,B02", r"image.csv: line 2: expected a plate W.*'Plate1'"),
        ("BBBC021_v1_image.csv", "Week1_22123,B02", "Week1_22123,B03", r"csv: line 2: expected a file of the well"),
        ("BBBC021_v1_image.csv", "B02_s1_w1", "B02-s1-w1", r"image.csv: line 2: expected a file <...>_<well>_s<site>"),
        ("BBBC021_v1_image.csv", "DMSO,0\n", "DMSO,\n", r"image.csv: line 2: expected a value in .*Concentration"),
        ("BBBC021_v1_image.csv", "DMSO,0\n", "TKK,0\n", r"image.csv: line 3: expected one treatment in Week1_.* B02"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_file_and_line(mini, tmp_path, name, before, after, message):
    with pytest.raises(ValueError, match=message):
        run(miniatures.edited(mini, name, before, after), tmp_path / "screen")
    assert not (tmp_path / "screen").exists()


def test_plates_and_folders_that_do_not_match_are_named(mini, tmp_path):
    images = mini[0]
    (images / "Week3_25421").mkdir()
    with pytest.raises(ValueError, match=r"image.csv, found folders of \['Week3_25421'\], which it lacks"):
        run(mini, tmp_path / "screen")
    (images / "Week3_25421").rename(images / "notes")
    shutil.rmtree(images / "Week1_22141")
    with pytest.raises(ValueError, match=r"expected a folder for each of 3 plates, found none for 1 .*'Week1_22141'"):
        run(mini, tmp_path / "screen")
    made = sheet.columns().keys()
    written = pd.read_csv(run(mini, tmp_path / "screen", "--partial") / "config/plates.tsv", sep="\t")
    assert written["plate"].tolist() == ["Week1_22123", "Week7_34341"]
    assert set(written.columns) <= made
    (images / "again" / "Week1_22123").mkdir(parents=True)
    with pytest.raises(ValueError, match="expected one folder of plate Week1_22123, found .* and "):
        run(mini, tmp_path / "other", "--partial")
    with pytest.raises(ValueError, match=r"expected one file BBBC021_v1_image.csv in it or below, found none"):
        run((images, images), tmp_path / "other")
    with pytest.raises(ValueError, match="expected folders of plates, whose names match"):
        run((mini[1], mini[1]), tmp_path / "other")


def test_a_screen_is_not_overwritten_unasked(mini, tmp_path):
    folder = run(mini, tmp_path / "screen")
    path = folder / "config" / "plates.tsv"
    path.write_text(path.read_text().replace("\tfit", "\theldout", 1))
    kept = path.read_text()
    with pytest.raises(ValueError, match=r"found \['plates.tsv', .*--overwrite replaces them"):
        run(mini, folder)
    assert path.read_text() == kept
    shutil.rmtree(mini[0] / "Week1_22141")
    run(mini, folder, "--overwrite", "--partial")
    assert "heldout" not in path.read_text()
    assert not (folder / "config/platemaps/Week1_22141.csv").exists()


def test_the_command_says_an_error_in_one_line(mini, tmp_path):
    miniatures.edited(mini, "BBBC021_v1_moa.csv", '"taxol"', '"paclitaxel"')
    given = ["--images", str(mini[0]), "--metadata", str(mini[1]), "--out", str(tmp_path / "screen")]
    library = str(DATASET_RECIPES.parents[1] / "workflow" / "lib")
    done = subprocess.run(
        [sys.executable, "-m", "wellspring.datasets.bbbc021", *given],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": library},
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: \S+BBBC021_v1_moa.csv: line 2: .*paclitaxel at 0.3\n", done.stderr)


@pytest.fixture(scope="module")
def published(shared_data):
    folder = shared_data / "bbbc021_ljosa_profiles"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def test_the_published_metadata_hold_what_is_published_of_them(published):
    rows = bbbc021.fields(published / "BBBC021_v1_image.csv.gz")
    moa = bbbc021.mechanisms(published / "BBBC021_v1_moa.csv", rows)
    wells = bbbc021.layout(rows, moa)
    assert (len(rows), len(wells), wells["plate"].nunique(), wells["week"].nunique()) == (13_200, 3_300, 55, 10)
    assert wells["pert_type"].value_counts().to_dict() == {"trt": 2640, "negcon": 330, "poscon": 330}
    marked = wells[wells["moa"].notna()]
    treatments = marked.groupby(["compound", "concentration"])
    assert treatments.ngroups == bbbc021.TREATMENTS
    assert (marked["compound"].nunique(), marked["moa"].nunique()) == (bbbc021.COMPOUNDS, bbbc021.MECHANISMS)
    assert (treatments["week"].nunique() == 1).all()  # so every reading of "not the same batch" is the same
    subset = bbbc021.annotated(wells)
    assert subset["plate"].nunique() == 49
    # the wells of the published profiles are DMSO and the annotated treatments, taxol by its dose series alone
    profiles = pd.read_csv(published / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    theirs = set(zip(profiles["Image_Metadata_Plate"], profiles["Image_Metadata_Well"], strict=True))
    mine = pd.concat([marked, wells[wells["pert_type"] == "negcon"]])
    assert set(zip(mine["plate"], mine["well"], strict=True)) == theirs
    every = bbbc021.layout(rows, moa, taxol="all")
    assert (every["compound"].eq("taxol") & every["moa"].notna()).sum() == 339


def test_published_profiles_score_as_published(published):
    rows = bbbc021.fields(published / "BBBC021_v1_image.csv.gz")
    wells = bbbc021.layout(rows, bbbc021.mechanisms(published / "BBBC021_v1_moa.csv", rows))
    profiles = pd.read_csv(published / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    table = profiles.merge(
        wells, left_on=["Image_Metadata_Plate", "Image_Metadata_Well"], right_on=["plate", "well"], validate="1:1"
    )
    values = table[[name for name in profiles if not name.startswith("Image_Metadata")]]
    values = values.loc[:, np.isfinite(values).all() & (values.std() > 0)].to_numpy()
    control = (table["pert_type"] == "negcon").to_numpy()
    for plate in table["plate"].unique():
        mine = (table["plate"] == plate).to_numpy()
        center, spread = values[mine & control].mean(axis=0), values[mine & control].std(axis=0)
        held = spread > 1e-9 * np.abs(center)
        values[mine] = (values[mine] - center) / np.where(held, spread, np.inf)
    metadata = pd.DataFrame(
        {
            "Metadata_Plate": table["plate"],
            "Metadata_Well": table["well"],
            "Metadata_Batch": table["week"],
            "Metadata_Compound": table["compound"],
            "Metadata_Concentration": table["concentration"],
            "Metadata_pert_type": table["pert_type"],
            "Metadata_moa": table["moa"],
        }
    )
    score, across = (metric(values, metadata, operation="mean") for metric in (nsc, nscb))  # of replicates, as theirs
    assert (score.n, across.n) == (103, 92)
    assert score.value == pytest.approx(0.83, abs=0.02)
    assert across.value < score.value
