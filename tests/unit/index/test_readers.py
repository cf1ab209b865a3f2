import numpy as np
import pandas as pd
import pytest
import tifffile

from wellspring.index.readers import loaddata, pattern

SIMPLE = r"(?P<well>[A-Z]\d+)_s(?P<site>\d+)_(?P<channel>\w+)\.tif"
PHENIX = r"r(?P<row>\d+)c(?P<column>\d+)f(?P<site>\d+)p(?P<plane>\d+)-ch(?P<channel>\d+)sk1fk1fl1\.tiff"


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not an image")


def test_names_are_read_and_files_are_not(tmp_path):
    _touch(tmp_path, "a/B2_s1_w1.tif", "B2_s2_w1.tif", "notes.txt", ".hidden_B2_s1_w1.tif", "B2_s1_w1.tif.bak")
    frame = pattern.planes(tmp_path, plate="P", pattern=SIMPLE)
    assert frame["path"].tolist() == ["B2_s2_w1.tif", "a/B2_s1_w1.tif"]
    assert frame["well"].tolist() == ["B02", "B02"]
    assert frame["bytes"].tolist() == [12, 12]
    assert (frame["plane"] == "1").all()


def test_row_and_column_as_numbers(tmp_path):
    _touch(tmp_path, "r16c24f03p02-ch5sk1fk1fl1.tiff")
    row = pattern.planes(tmp_path, plate="P", pattern=PHENIX).iloc[0]
    assert (row["well"], row["site"], row["plane"], row["channel"]) == ("P24", "03", "02", "5")


def test_other_plates_are_left(tmp_path):
    _touch(tmp_path, "P1/A1_s1_w1.tif", "P2/A1_s1_w1.tif")
    frame = pattern.planes(tmp_path, plate="P2", pattern=rf"(?P<plate>P\d)/{SIMPLE}")
    assert frame["path"].tolist() == ["P2/A1_s1_w1.tif"]


def test_nothing_found_and_no_well(tmp_path):
    _touch(tmp_path, "x.tif")
    with pytest.raises(ValueError, match="P: no file in .* found 1 files"):
        pattern.planes(tmp_path, plate="P", pattern=SIMPLE)
    with pytest.raises(ValueError, match="expected a group well"):
        pattern.planes(tmp_path, plate="P", pattern=r"(?P<site>\d)")
    with pytest.raises(ValueError, match="expected a plate's folder, found nothing"):
        pattern.planes(tmp_path / "no", plate="P", pattern=SIMPLE)


def test_pages(tmp_path):
    stack = np.zeros((3, 8, 8), np.uint16)
    tifffile.imwrite(tmp_path / "A1_s1.tif", stack, photometric="minisblack")
    (tmp_path / "A2_s1.tif").write_bytes(b"broken")
    name = r"(?P<well>[A-Z]\d+)_s(?P<site>\d+)\.tif"
    frame = pattern.planes(tmp_path, plate="P", pattern=name, pages="channel")
    assert frame.groupby("well")["channel"].agg(list).to_dict() == {"A01": ["1", "2", "3"], "A02": ["1", "2", "3"]}
    assert frame["page"].tolist() == [0, 1, 2] * 2
    frame = pattern.planes(tmp_path, plate="P", pattern=name, pages="plane")
    assert frame.loc[frame["well"] == "A01", "plane"].tolist() == ["1", "2", "3"]


def _load_data(folder, name="load_data.csv", **columns):
    frame = pd.DataFrame(
        {"Metadata_Plate": ["0012", "0013"], "Metadata_Well": ["a1", "A1"], "Metadata_Site": ["01", "1"], **columns}
    )
    path = folder / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["load_data.csv", "load_data.csv.gz", "load_data.parquet"])
def test_loaddata_by_file_and_folder(tmp_path, name):
    _touch(tmp_path, "Images/x.tiff", "other/x.tiff")
    table = _load_data(
        tmp_path,
        name,
        FileName_OrigDNA=["x.tiff"] * 2,
        PathName_OrigDNA=["/home/u/0012/Images/"] * 2,
        FileName_IllumDNA=["i"] * 2,
    )
    frame = loaddata.planes(tmp_path, plate="0012", loaddata=table)
    known = ["path", "well", "site", "channel", "plane", "timepoint", "page", "bytes"]
    assert frame[known].values.tolist() == [["Images/x.tiff", "A01", "01", "DNA", "1", "1", 0, 12]]
    assert frame[["pixel_size", "x", "y", "z", "exposure"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("plates", "well", "site"),
    [
        ("Metadata_AssayPlateBarcode", "Image_Metadata_Well", "Image_Metadata_Site"),
        ("Plate", "Well", "Field"),
        ("metadata_plate", "metadata_well", "metadata_fov"),
    ],
)
def test_loaddata_columns_of_other_names(tmp_path, plates, well, site):
    """The rows of another plate are left out, and wells and sites are known; plates of one other name are this one."""
    _touch(tmp_path, "a.tif", "b.tif", "c.tif")
    named = {plates: ["P", "P", "Q"], well: ["b2", "B02", "B02"], site: ["3", "4", "3"]}
    table = tmp_path / "load_data.csv"
    pd.DataFrame({"FileName_DNA": ["a.tif", "b.tif", "c.tif"], **named}).to_csv(table, index=False)
    frame = loaddata.planes(tmp_path, plate="P")
    assert frame[["well", "site", "path"]].to_numpy().tolist() == [["B02", "3", "a.tif"], ["B02", "4", "b.tif"]]
    with pytest.raises(ValueError, match=r"no row in .*load_data.csv, which has the plates \['P', 'Q'\]"):
        loaddata.planes(tmp_path, plate="R")
    if not plates.lower().startswith("metadata_plate"):
        alone = {"FileName_DNA": ["a.tif"], plates: ["0815"], well: ["A1"], site: ["1"]}
        pd.DataFrame(alone).to_csv(table, index=False)
        assert loaddata.planes(tmp_path, plate="P")["path"].tolist() == ["a.tif"]


def test_loaddata_wells_of_two_columns_that_differ_are_refused(tmp_path):
    _touch(tmp_path, "a.tif")
    frame = pd.DataFrame({"FileName_DNA": ["a.tif"], "Well": ["A01"], "Image_Metadata_Well": ["A02"]})
    frame.to_csv(tmp_path / "load_data.csv", index=False)
    with pytest.raises(ValueError, match=r"expected one column Metadata_Well, found \['Well', 'Image_Metadata_Well'\]"):
        loaddata.planes(tmp_path, plate="P")


def test_loaddata_takes_names_of_cellprofiler_before_others(tmp_path):
    """Of fields and their index by their order, and whatever a column of another name holds."""
    _touch(tmp_path, "a.tif")
    own = {"Metadata_Row": ["2"], "Metadata_Column": ["3"], "Metadata_Field": ["5"], "Metadata_FieldIndex": ["4"]}
    frame = pd.DataFrame({"FileName_DNA": ["a.tif"], "Column": ["9"], "Field": ["9"], **own})
    frame.to_csv(tmp_path / "load_data.csv", index=False)
    assert loaddata.planes(tmp_path, plate="P")[["well", "site"]].to_numpy().tolist() == [["B03", "5"]]


def test_loaddata_by_url_with_a_missing_file(tmp_path):
    _touch(tmp_path, "x 1.tiff")
    url = ["s3://bucket/0012/x%201.tiff", ""]
    table = _load_data(tmp_path, URL_OrigDNA=url, URL_OrigER=["s3://bucket/0012/gone.tiff", ""])
    frame = loaddata.planes(tmp_path, plate="0012", loaddata=table).set_index("channel")
    assert frame.loc["DNA", "path"] == "x 1.tiff"
    assert frame.loc["ER", "path"] is None
    assert frame.loc["ER", "bytes"] == 0


def test_loaddata_mistakes(tmp_path):
    table = _load_data(tmp_path, FileName_DNA=["gone.tif"] * 2)
    with pytest.raises(ValueError, match=r"0099: no row in .*\['0012', '0013'\]"):
        loaddata.planes(tmp_path, plate="0099", loaddata=table)
    with pytest.raises(ValueError, match="none of the 1 files"):
        loaddata.planes(tmp_path, plate="0012", loaddata=table)


def test_loaddata_paths_count_where_they_are_allowed(tmp_path):
    _touch(tmp_path, "P/a.tif", "P/twin.tif", "archive/b.tif", "archive/twin.tif", "secret/c.tif", "P/d.tif")
    (tmp_path / "P" / "link.tif").symlink_to("a.tif")
    folders = ["P", "archive", "archive", "secret", "P/../secret", "archive/../secret", "P"]
    names = ["a.tif", "b.tif", "twin.tif", "c.tif", "c.tif", "c.tif", "link.tif"]
    columns = {"Metadata_Well": [f"A{n + 1}" for n in range(7)], "FileName_DNA": names}
    table = pd.DataFrame(columns | {"PathName_DNA": [f"{tmp_path}/{name}" for name in folders]})
    table.to_csv(tmp_path / "t.csv", index=False)
    options = {"plate": "P", "loaddata": tmp_path / "t.csv"}
    allowed = loaddata.planes(tmp_path / "P", roots=[str(tmp_path / "archive")], **options)
    outside = [str(tmp_path / "archive" / name) for name in ("b.tif", "twin.tif")]
    assert allowed["path"].tolist() == ["a.tif", *outside, None, None, None, "a.tif"]
    assert allowed["bytes"].tolist() == [12, 12, 12, 0, 0, 0, 12]
    narrow = loaddata.planes(tmp_path / "P", **options)
    assert narrow["path"].tolist() == ["a.tif", None, None, None, None, None, "a.tif"]


def test_loaddata_takes_the_first_place_that_holds_the_file(tmp_path):
    _touch(tmp_path, "x.tif", "y.tif")
    table = _load_data(
        tmp_path, FileName_DNA=["gone.tif", ""], URL_DNA=["s3://bucket/x.tif", ""], FileName_ER=["y.tif"] * 2
    )
    frame = loaddata.planes(tmp_path, plate="0012", loaddata=table)
    assert frame.set_index("channel")["path"].to_dict() == {"DNA": "x.tif", "ER": "y.tif"}


def test_loaddata_lengths_in_metres_pages_and_times(tmp_path):
    _touch(tmp_path, "x.tif")
    told = {"Metadata_ImageResolutionX": [5.98e-7] * 2, "Metadata_PositionX": ["-0.0003"] * 2}
    shared = {"FileName_DNA": ["x.tif"] * 2, "Metadata_PlaneID": [2, 2], "Metadata_TimepointID": [4, 4]}
    row = loaddata.planes(
        tmp_path, plate="0012", loaddata=_load_data(tmp_path, **shared, **told, Frame_DNA=[3, 3])
    ).iloc[0]
    assert (row["pixel_size"], row["x"]) == pytest.approx((0.598, -300))
    assert (row["page"], row["plane"], row["timepoint"]) == (3, "2", "4")
    told["Metadata_ImageResolutionX"] = [0.598] * 2  # no metres, so the unit of the position is not known either
    row = loaddata.planes(tmp_path, plate="0012", loaddata=_load_data(tmp_path, **shared, **told)).iloc[0]
    assert np.isnan([row["pixel_size"], row["x"]]).all()


def test_loaddata_of_a_usual_name_needs_no_key(tmp_path):
    _touch(tmp_path, "x.tif")
    _load_data(tmp_path, FileName_DNA=["x.tif"] * 2)
    _load_data(tmp_path, "load_data_with_illum.csv", FileName_DNA=["gone.tif"] * 2)
    assert loaddata.planes(tmp_path, plate="0012")["path"].tolist() == ["x.tif"]
    with pytest.raises(ValueError, match="P: expected a table in index.loaddata, or a load_data.csv"):
        loaddata.planes(tmp_path / "gone", plate="P")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"PAR1garbagePAR1", b"\x1f\x8b\x08\x00", b'a,b\n"', b"x,y\n1,2\n"]
)
def test_loaddata_that_is_no_table_is_named(tmp_path, name, content):
    _touch(tmp_path, "x.tif")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        loaddata.planes(tmp_path, plate="P", loaddata=name)


def test_time_points_by_name(tmp_path):
    _touch(tmp_path, "t1/A1_s1_w1.tif", "t2/A1_s1_w1.tif")
    frame = pattern.planes(tmp_path, plate="P", pattern=rf"t(?P<timepoint>\d)/{SIMPLE}")
    assert frame["timepoint"].tolist() == ["1", "2"]
    with pytest.raises(ValueError, match="index.pattern: expected a regular expression"):
        pattern.planes(tmp_path, plate="P", pattern="(?P<well>[")


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        (
            "vendor_layout_samples/ImageXpress_exported/9987_Plate_3434",
            r"TimePoint_1/ZStep_(?P<plane>[1-9]\d*)/\d+_(?P<well>[A-P]\d\d)_s(?P<site>\d)_(?P<channel>w\d)\.TIF",
            {"well": 2, "site": 2, "channel": 3},
        ),
        ("nf1_jump_pccma_fov_samples/JUMP_plate_BR00117006/images/orig", PHENIX, {"well": 1, "site": 1, "channel": 3}),
        (
            "nf1_jump_pccma_fov_samples/NF1_cellpainting_data_shrunken/Plate_2_images",
            r"(?P<well>[A-H]\d+)_01_\d_(?P<site>\d)_(?P<channel>[A-Z]+)_001\.tif",
            {"well": 5, "channel": 3},
        ),
    ],
)
def test_real_exports(shared_data, folder, name, expected):
    frame = pattern.planes(shared_data / folder, plate="P", pattern=name)
    assert {key: frame[key].nunique() for key in expected} == expected
    assert not frame.duplicated(["well", "site", "channel", "plane"]).any()
