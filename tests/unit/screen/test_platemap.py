import numpy as np
import pandas as pd
import pytest

from wellspring.screen import platemap


def _file(folder, text, name="map.csv"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_usual_columns_and_types(tmp_path):
    path = _file(
        tmp_path,
        "well_position,compound,concentration,control_type,moa,donor\na1,X,0.1,,kinase,7\nA2,,,negcon,,\nB1,,,,,\n",
    )
    frame = platemap.read(path, plate="P").set_index("Metadata_Well")
    assert frame["Metadata_pert_type"].to_dict() == {"A01": "trt", "A02": "negcon", "B01": "empty"}
    assert frame.loc["A01", "Metadata_Perturbation"] == "X@0.1"
    assert frame.loc["A02", "Metadata_Perturbation"] == "negcon"
    assert frame["Metadata_Concentration"].dtype == np.float64
    assert frame.loc["A01", "Metadata_donor"] == "7"
    assert frame.loc["A02", "Metadata_moa"] is None


def test_close_concentrations_stay_apart(tmp_path):
    path = _file(tmp_path, "well,compound,concentration\nA1,X,0.12345678\nA2,X,0.12345679\n")
    assert platemap.read(path, plate="P")["Metadata_Perturbation"].nunique() == 2


def test_controls_by_compound(tmp_path):
    path = _file(tmp_path, "well\tcompound\nA1\tDMSO\nA2\tTaxol\nA3\tX\n", "map.tsv")
    frame = platemap.read(path, plate="P", poscon=["Taxol"])
    assert frame["Metadata_pert_type"].tolist() == ["negcon", "poscon", "trt"]


def test_jump_control_means_its_control_type(tmp_path):
    path = _file(
        tmp_path,
        "well_position,broad_sample,pert_type,control_type\nA1,a,control,negcon\nA2,b,control,poscon_cp\nA3,c,trt,\n",
    )
    assert platemap.read(path, plate="P")["Metadata_pert_type"].tolist() == ["negcon", "poscon", "trt"]


def test_by_barcode(tmp_path):
    _file(tmp_path, "Assay_Plate_Barcode,Plate_Map_Name\n0012,mapA\n0013,mapB\n", "barcode_platemap.csv")
    _file(tmp_path, "plate_map_name\twell_position\tbroad_sample\nmapA\tA01\tBRD-1\n", "platemap/mapA.txt")
    assert platemap.read(tmp_path, plate="0012")["Metadata_Compound"].tolist() == ["BRD-1"]
    with pytest.raises(ValueError, match="0014: expected one platemap in .*barcode_platemap.csv, found"):
        platemap.read(tmp_path, plate="0014")
    with pytest.raises(ValueError, match="mapB.txt: expected the platemap here"):
        platemap.read(tmp_path, plate="0013")


def test_rows_of_this_plate(tmp_path):
    path = _file(tmp_path, "plate,well,compound\n1,A1,X\n2,A1,Y\n")
    assert platemap.read(path, plate="2")["Metadata_Compound"].tolist() == ["Y"]
    with pytest.raises(ValueError, match=r"3: no row in .*\['1', '2'\]"):
        platemap.read(path, plate="3")


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("well,compound\nA1,X\na01,Y\nB2,Z\n", {}, r"found twice \['A01'\]"),
        ("well,pert_type\nA1,banana\n", {}, r"found \['banana'\]"),
        ("well,concentration\nA1,much\n", {}, r"expected numbers as concentrations, found \['much'\]"),
        ("compound\nX\n", {}, "expected a column well or"),
        ("well,drug\nA1,X\n", {"compound": "durg"}, r"map.csv has no column \['durg'\] \(set index.columns\), found"),
        ("well,drug\nA1,X\n", {"drug": "drug"}, r"index.columns: expected keys of \['well', .*, found \['drug'\]"),
    ],
)
def test_mistakes_are_named(tmp_path, text, columns, message):
    with pytest.raises(ValueError, match=message):
        platemap.read(_file(tmp_path, text), plate="P", columns=columns)


def test_real_layout(shared_data):
    frame = platemap.read(
        shared_data / "bbbc013" / "plate_layout.csv",
        plate="BBBC013",
        columns={"concentration": "dose", "pert_type": "role"},
    )
    assert frame["Metadata_pert_type"].value_counts().to_dict() == {"trt": 36, "negcon": 8, "poscon": 4}
    doses = frame.loc[frame["Metadata_pert_type"] == "trt", "Metadata_Concentration"]
    assert doses.nunique() == 9
    assert isinstance(frame, pd.DataFrame)


def test_rows_are_sorted_by_well_and_a_given_type_replaces_the_usual_one(tmp_path):
    path = _file(tmp_path, "well,compound,pert_type\nB1,X,trt\nA2,Y,treatment\nA1,Z,trt\n")
    frame = platemap.read(path, plate="P", pert_types={"trt": "poscon"})
    assert frame["Metadata_Well"].tolist() == ["A01", "A02", "B01"]
    assert frame["Metadata_pert_type"].tolist() == ["poscon", "trt", "poscon"]


def test_a_well_without_a_compound_is_known_by_its_type_whatever_its_concentration(tmp_path):
    path = _file(tmp_path, "well,compound,concentration,pert_type\nA1,,0.5,negcon\nA2,X,0.5,trt\nA3,Y,,trt\n")
    assert platemap.read(path, plate="P")["Metadata_Perturbation"].tolist() == ["negcon", "X@0.5", "Y"]


def test_a_column_that_is_named_for_one_purpose_still_serves_its_own(tmp_path):
    path = _file(tmp_path, "well,compound,moa\nA1,X,kinase\n")
    frame = platemap.read(path, plate="P", columns={"compound": "moa"})
    assert frame["Metadata_Compound"].tolist() == frame["Metadata_moa"].tolist() == ["kinase"]


JUMP = "well_position,Metadata_JCP2022,gene,treatment,pert_type,control_type\n" + "".join(
    f"A{number:02d},JCP2022_{number:06d},G{number},T{number},{kind}\n"
    for number, kind in enumerate(["trt,"] * 6 + ["control,negcon"] * 2, 1)
)


def test_a_compound_column_of_an_unknown_name_is_an_error_with_suggestions(tmp_path):
    path = _file(tmp_path, JUMP)
    message = r"6 wells of type trt have no compound: expected a column .*index.columns.compound, perhaps .*'gene'"
    with pytest.raises(ValueError, match=message):
        platemap.read(path, plate="P")
    frame = platemap.read(path, plate="P", columns={"compound": "Metadata_JCP2022"})
    assert frame["Metadata_Compound"].nunique() == 8
    assert frame["Metadata_Perturbation"].tolist() == [f"JCP2022_{number:06d}" for number in range(1, 9)]
    assert frame["Metadata_pert_type"].tolist() == ["trt"] * 6 + ["negcon"] * 2


def test_one_column_may_serve_two_names(tmp_path):
    text = "well,broad_sample,moa\nA01,BRD-1,m\nA02,BRD-2,n\nA03,DMSO,\n"
    frame = platemap.read(_file(tmp_path, text), plate="P", columns={"perturbation": "broad_sample"})
    assert frame["Metadata_Perturbation"].tolist() == frame["Metadata_Compound"].tolist() == ["BRD-1", "BRD-2", "DMSO"]
    assert frame["Metadata_moa"].tolist()[:2] == ["m", "n"]
    other = platemap.read(
        _file(tmp_path, text.replace("broad_sample", "id")), plate="P", columns={"perturbation": "id", "target": "id"}
    )
    assert other["Metadata_Compound"].tolist() == other["Metadata_target"].tolist() == ["BRD-1", "BRD-2", "DMSO"]


def test_a_typed_well_without_a_compound_is_an_error(tmp_path):
    path = _file(tmp_path, "well,compound,pert_type\nA01,x,trt\nA02,,trt\nA03,,negcon\nA04,,\n")
    with pytest.raises(ValueError, match=r"1 wells of type trt have no compound in 'compound': \['A02'\]"):
        platemap.read(path, plate="P")


def test_text_is_text(tmp_path):
    text = "well,compound,moa\nA01,NA,null\nA02,None,a #1\nA03,#5 blend,nan\nA04,DMSO,N/A\n"
    frame = platemap.read(_file(tmp_path, text), plate="P")
    assert frame["Metadata_Compound"].tolist() == ["NA", "None", "#5 blend", "DMSO"]
    assert frame["Metadata_moa"].tolist() == ["null", "a #1", "nan", "N/A"]


def test_independent_mistakes_of_a_platemap_are_named_together(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound,dose_uM,pert_type\nA01,DMSO,,negcon\nB01,x,lots,trt\nB02,MARCH1,1,control?\n")
    with pytest.raises(ValueError, match="lots") as caught:
        platemap.read(path, plate="P1")
    found = str(caught.value).splitlines()
    assert [len(found), "['lots'] in column 'dose_uM'" in found[0], "found ['control?']" in found[1]] == [2, True, True]
    path.write_text("well,compound,dose_uM,pert_type\nA01,y,1,poscon\nA02,y,1,\nB01,1-Mar,2,trt\nB02,,1,trt\n")
    with pytest.raises(ValueError, match="MARCH1") as caught:
        platemap.read(path, plate="P1")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and "1-Mar" in lines[0] and "no compound" in lines[1] and "['A02']" in lines[2]


@pytest.mark.parametrize("name", ["type", "role", "well_role", "content", "class"])
@pytest.mark.parametrize("codes", [("N", "P", "T"), ("n", "p", "s"), ("NC", "PC", "T"), ("N1", "P1", "T1")])
def test_short_signs_of_types_are_no_plain_metadata(tmp_path, name, codes):
    rows = "\n".join(
        f"{well},{what},{code}" for well, what, code in zip(("A01", "A02", "B01"), "dyx", codes, strict=True)
    )
    path = _file(tmp_path, f"well,compound,{name}\n{rows}\n")
    with pytest.raises(ValueError, match=r"index\.pert_types"):
        platemap.read(path, plate="day", negcon=["d"])
    given = dict(zip(codes, ("negcon", "poscon", "trt"), strict=True))
    found = platemap.read(path, plate="day", negcon=["d"], pert_types=given)
    assert found["Metadata_pert_type"].tolist() == ["negcon", "poscon", "trt"]


def test_two_columns_of_wells_that_differ_are_refused_unless_one_is_named(tmp_path):
    path = _file(tmp_path, "well,Well Position,compound\nA01,B01,DMSO\nB01,A01,x\n")
    with pytest.raises(
        ValueError, match=r"expected one column of wells, found \['well', 'Well Position'\].*columns\.well"
    ):
        platemap.read(path, plate="P1")
    found = platemap.read(path, plate="P1", columns={"well": "Well Position"})
    assert found["Metadata_Compound"].tolist() == ["x", "DMSO"]
    same = _file(tmp_path, "well,Well Position,compound\nA01,A1,DMSO\nB01,B-01,x\n", "same.csv")
    assert platemap.read(same, plate="P1")["Metadata_Compound"].tolist() == ["DMSO", "x"]
