"""CPJUMP1's recipe: its metadata become sheet and platemap; what is wrong in them is named."""

import shutil

import pandas as pd
import pytest

import miniatures
from wellspring.datasets import cpjump1
from wellspring.index.readers import pattern

EXPERIMENT = "benchmark/output/experiment-metadata.tsv"
MAPS = f"metadata/platemaps/{miniatures.BATCH}"
PLATEMAP = f"{MAPS}/platemap/JUMP-Target-1_compound_platemap.txt"
COMPOUNDS = "metadata/external_metadata/JUMP-Target-1_compound_metadata.tsv"


@pytest.fixture
def mini(tmp_path):
    return miniatures.cpjump1(tmp_path, side=0)


def run(mini, out, *further, partial=True):
    images, metadata = mini
    given = ["--images", str(images), "--metadata", str(metadata), "--out", str(out), *further]
    cpjump1.main([*given, "--partial"] if partial else given)
    return out


def test_the_index_has_every_well_with_its_compound_target_and_condition(mini, tmp_path, monkeypatch):
    table = miniatures.indexed(run(mini, tmp_path / "screen"), monkeypatch)
    assert table["Metadata_Path"].notna().all()
    assert len(table) == 3 * len(miniatures.WELLS) * 2 * 5
    wells = table.drop_duplicates(["Metadata_Plate", "Metadata_Well"]).set_index(["Metadata_Plate", "Metadata_Well"])
    columns = ["Metadata_Compound", "Metadata_target", "Metadata_pert_type", "Metadata_control_type"]
    for plate, line in (("BR00116991", "A549"), ("BR00116995", "U2OS"), ("BR00117026", "U2OS")):
        assert wells.loc[(plate, "A01"), columns].tolist() == ["BRD-A86665761-001-01-1", "CACNB4", "trt", None]
        assert wells.loc[(plate, "A02"), columns].tolist() == ["DMSO", None, "negcon", "negcon"]
        # a positive control is a compound like the others by the config, and says what it is
        assert wells.loc[(plate, "C09"), columns[1:]].tolist() == ["TUBB", "trt", "poscon_diverse"]
        assert wells.loc[(plate, "C13"), columns[2:]].tolist() == ["trt", "poscon_cp"]
        assert wells.loc[(plate, "E09"), columns[2:]].tolist() == ["trt", "poscon_orf"]
        assert (wells.loc[plate, "Metadata_Cell_Line"] == line).all()
    assert (wells["Metadata_pert_type"] == "negcon").sum() == 3 * list(miniatures.WELLS.values()).count("")
    assert wells.loc[("BR00116991", "A21"), "Metadata_pert_iname"] == "dexamethasone"
    assert wells.loc[("BR00116991", "A21"), "Metadata_InChIKey"] == "UREBDLICKHMUKA-CXSFZGCWSA-N"
    conditions = ["Metadata_Batch", "Metadata_Time", "Metadata_Density", "Metadata_Modification", "Metadata_Role"]
    assert (wells[conditions] == [miniatures.BATCH, "24", "100", "Parental", "fit"]).all(axis=None)
    files = table[table["Metadata_Well"] == "A01"].drop_duplicates("Metadata_Channel")
    ends = files.set_index("Metadata_Channel")["Metadata_Path"].str.extract("-ch([0-9])sk")[0].to_dict()
    assert ends == {"Mito": "1", "AGP": "2", "RNA": "3", "ER": "4", "DNA": "5"}


def test_without_the_mapping_of_the_config_positive_controls_are_such(mini, tmp_path, monkeypatch):
    folder = run(mini, tmp_path / "screen")
    path = folder / "config" / "config.yaml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "pert_types:" not in line))
    wells = miniatures.indexed(folder, monkeypatch).drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    kinds = wells.set_index("Metadata_Well")["Metadata_pert_type"]
    assert set(kinds[["C09", "C13", "E06", "E09"]]) == {"poscon"}


def test_all_compound_plates_with_their_conditions(tmp_path):
    every = [plate for plates in miniatures.COMPOUND_PLATES.values() for plate in plates]
    mini = miniatures.cpjump1(tmp_path, imaged=[*every, *miniatures.OTHER_PLATES], wells={"A02": ""}, sites=1, side=0)
    folder = run(mini, tmp_path / "screen", partial=False)
    plates = pd.read_csv(folder / "config" / "plates.tsv", sep="\t", dtype=str)
    assert len(plates) == cpjump1.PLATES
    assert plates["cell_line"].value_counts().to_dict() == {"A549": 16, "U2OS": 8}
    groups = plates.groupby(["cell_line", "Time", "Density", "Modification"])["plate"].count()
    assert groups[("A549", "48", "100", "Cas9")] == 4
    assert groups[("A549", "48", "80", "Parental")] == groups[("A549", "48", "120", "Parental")] == 2
    assert groups[("U2OS", "48", "100", "Parental")] == 4
    assert (plates["platemap"] == "config/platemaps/JUMP-Target-1_compound_platemap.csv").all()
    assert not set(plates["plate"]) & set(miniatures.OTHER_PLATES)


def test_compounds_by_name_are_one_where_samples_are_two(mini, tmp_path):
    path = "config/platemaps/JUMP-Target-1_compound_platemap.csv"
    samples = pd.read_csv(run(mini, tmp_path / "samples") / path).set_index("well")["compound"]
    names = pd.read_csv(run(mini, tmp_path / "names", "--compound", "pert_iname") / path).set_index("well")["compound"]
    assert samples["A21"] != samples["O02"]
    assert names["A21"] == names["O02"] == "dexamethasone"
    assert samples["A02"] == names["A02"] == "DMSO"


def test_loaddata_tables_say_the_same_as_file_names(tmp_path, monkeypatch):
    mini = miniatures.cpjump1(tmp_path, imaged=["BR00116991", "BR00117026"], side=0)
    by_name = miniatures.indexed(run(mini, tmp_path / "first"), monkeypatch)
    for plate in ("BR00116991", "BR00117026"):
        tables = miniatures.load_data(tmp_path / "it's a table", plate)
    by_table = miniatures.indexed(run(mini, tmp_path / "second", "--load-data", str(tables)), monkeypatch)
    by_name["Metadata_Site"] = by_name["Metadata_Site"].str.lstrip("0")
    by_name["Metadata_Plane"] = "1"
    pd.testing.assert_frame_equal(by_table, by_name)
    shutil.rmtree(tables / miniatures.BATCH / "BR00117026")
    with pytest.raises(ValueError, match=r"expected one table BR00117026/load_data.csv or .*, found \[\]"):
        run(mini, tmp_path / "third", "--load-data", str(tables))


def test_metadata_files_may_lie_side_by_side(mini, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in (EXPERIMENT, f"{MAPS}/barcode_platemap.csv", PLATEMAP, COMPOUNDS):
        shutil.copy(mini[1] / name, flat)
    first, second = run(mini, tmp_path / "first"), run((mini[0], flat), tmp_path / "second")
    for name in ("plates.tsv", "platemaps/JUMP-Target-1_compound_platemap.csv"):
        assert (first / "config" / name).read_text() == (second / "config" / name).read_text()


def test_folders_of_illumination_functions_are_no_plates(mini, tmp_path):
    plates = pd.read_csv(run(mini, tmp_path / "screen") / "config" / "plates.tsv", sep="\t")
    assert plates["images"].str.endswith("Measurement1").all()
    assert all(next(pattern.files(path), None) for path in map(type(tmp_path), plates["images"]))


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        (EXPERIMENT, "Cell_type", "Cells", r"experiment-metadata.tsv: expected the columns \['Cell_type'\], found"),
        (EXPERIMENT, "A549\t24", "\t24", r"experiment-metadata.tsv: line 2: expected a value in column Cell_type"),
        (EXPERIMENT, "BR00116992", "BR00116991", r"experiment-metadata.tsv: line 3: plate BR00116991 is there twice"),
        (PLATEMAP, "BRD-A86665761-001-01-1", "BRD-X", r"platemap.txt: line 2: expected a broad_sample of .*'BRD-X'"),
        (PLATEMAP, "A09\t", "A02\t", r"platemap.txt: line 4: well A02 is there twice"),
        (PLATEMAP, "well_position", "well", r"platemap.txt: expected the columns \['well_position'\]"),
        (COMPOUNDS, "\tIAZDPXIOMUYVGZ", "BRD-D\tIAZDPXIOMUYVGZ", r"platemap.txt: line 3: .*found an empty one"),
        (COMPOUNDS, "BRD-A58048407-001-20-4", "BRD-A86665761-001-01-1", r"metadata.tsv: line 3: BRD-.* is there twice"),
        (COMPOUNDS, "control_type", "control", r"compound_metadata.tsv: expected the columns \['control_type'\]"),
        (f"{MAPS}/barcode_platemap.csv", "BR00116991,J", "BR00116991,K", r"BR00116991: expected platemap JUMP-.* K"),
        (f"{MAPS}/barcode_platemap.csv", "BR00116991,", "BR00116999,", r"plate BR00116991: expected .* found none"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_file_and_line(mini, tmp_path, name, before, after, message):
    with pytest.raises(ValueError, match=message):
        run(miniatures.edited(mini, name, before, after), tmp_path / "screen")
    assert not (tmp_path / "screen").exists()


def test_plates_and_folders_that_do_not_match_are_named(mini, tmp_path):
    home = mini[0] / "images"
    (home / "BR00999999__2020-11-05T19_51_35-Measurement1").mkdir()
    with pytest.raises(ValueError, match=r"experiment-metadata.tsv, found folders of \['BR00999999'\], which it lacks"):
        run(mini, tmp_path / "screen")
    (home / "BR00999999__2020-11-05T19_51_35-Measurement1").rmdir()
    with pytest.raises(ValueError, match=r"a folder for each of 24 plates, found none for 21 of them: \['BR00116992'"):
        run(mini, tmp_path / "screen", partial=False)
    (home / "BR00116991__2020-11-06T00_00_00-Measurement2").mkdir()
    with pytest.raises(ValueError, match="expected one folder of plate BR00116991, found .*1 and .*Measurement2"):
        run(mini, tmp_path / "screen")
    with pytest.raises(ValueError, match=r"expected rows of batch B7, found \['2020_11_04_CPJUMP1'"):
        run(mini, tmp_path / "screen", "--batch", "B7")
