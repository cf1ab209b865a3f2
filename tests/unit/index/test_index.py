import itertools

import pandas as pd
import pytest
import tifffile

import coded
from options import options as section
from wellspring.illumination import estimate, lightpath
from wellspring.images import run as images
from wellspring.index import run as index
from wellspring.index.readers import listing
from wellspring.io import ngff, tables
from wellspring.survey import run as survey

SHEET = {"plate": "P1", "batch": "B1", "cell_line": "U2OS", "role": "fit", "optics": "P1", "time": "48"}


def _planes(wells=("A01", "A02"), sites=("1", "2"), channels=("w1", "w2")):
    rows = [(f"{w}_s{s}_{c}.tif", w, s, c, "1", 0, 9) for w, s, c in itertools.product(wells, sites, channels)]
    return listing.complete(pd.DataFrame(rows, columns=["path", "well", "site", "channel", "plane", "page", "bytes"]))


def _wells(wells=("A01", "A02"), kinds=("negcon", "trt")):
    names = ["Compound", "Concentration", "Perturbation", "moa", "target", "Cell_Line"]
    frame = pd.DataFrame({"Metadata_Well": wells, "Metadata_pert_type": kinds, "Metadata_donor": "d"})
    return frame.assign(**{f"Metadata_{name}": None for name in names})


def _join(planes, wells, **options):
    aliases = {"DNA": "w1", "ER": "w2"}
    return index.join(planes, wells, sheet=SHEET, channels=["DNA", "ER"], aliases=aliases, **options)


def test_every_expected_plane_has_a_row(tmp_path):
    planes = _planes()
    found = _join(planes.drop(index=[1]), _wells())
    assert len(found.table) == 8
    gap = found.table[found.table["Metadata_Path"].isna()]
    assert gap[["Metadata_Well", "Metadata_Site", "Metadata_Channel"]].to_numpy().tolist() == [["A01", "1", "ER"]]
    assert found.audit.set_index("Metadata_Well")["Metadata_Channels_Missing"].to_dict() == {"A01": "1:ER", "A02": ""}
    assert (found.table["Metadata_Cell_Line"] == "U2OS").all()
    assert (found.table["Metadata_time"] == "48").all()
    assert (found.table["Metadata_donor"] == "d").all()
    assert found.verdict.keep
    for table, frame in (("index", found.table), ("audit", found.audit)):
        tables.write(frame, tmp_path / f"{table}.parquet", table=table, provenance={})
    assert tables.read(tmp_path / "index.parquet")["Metadata_Path"].isna().sum() == 1
    assert found.listing != _join(planes, _wells()).listing
    assert found.listing == _join(planes.drop(index=[1]).sample(frac=1, random_state=1), _wells()).listing


def test_without_images_the_wells_are_those_of_the_platemap(tmp_path):
    (tmp_path / "map.csv").write_text("well,compound,dose\na1,DMSO,\nB2,drug,high\n")
    sheet = {**SHEET, "images": "", "platemap": str(tmp_path / "map.csv")}
    found = index.build(sheet, [], section("index"))
    assert found.table["Metadata_Well"].tolist() == ["A01", "B02"]
    assert (found.table[["Metadata_Site", "Metadata_Channel", "Metadata_Plane"]] == "").all(axis=None)
    assert found.table["Metadata_pert_type"].tolist() == ["negcon", "trt"]
    assert found.table["Metadata_dose"].tolist() == [None, "high"]
    assert found.audit["Metadata_In_Platemap"].all() and not found.audit["Metadata_In_Images"].any()
    assert found.verdict.keep
    for table, frame in (("index", found.table), ("audit", found.audit)):
        tables.write(frame, tmp_path / f"{table}.parquet", table=table, provenance={})
    without = index.build(sheet, [], section("index", negcon=[]))
    assert without.verdict == tables.Verdict(False, ("no_negative_controls",))
    assert index.build(sheet, [], section("index", negcon=[]), controls=False).verdict.keep


def test_lost_wells_are_an_error_that_lists_them():
    with pytest.raises(
        ValueError, match=r"P1: 1 wells have images and no row in the platemap: \['A03'\]; P1: 1 wells have a row"
    ):
        _join(_planes(("A01", "A03")), _wells())
    found = _join(_planes(("A01", "A03")), _wells(), lost_wells="report")
    assert found.table.groupby("Metadata_Well")["Metadata_Path"].count().to_dict() == {"A01": 4, "A02": 0}
    audit = found.audit.set_index("Metadata_Well")
    assert audit["Metadata_In_Images"].to_dict() == {"A01": True, "A02": False, "A03": True}
    assert audit["Metadata_In_Platemap"].to_dict() == {"A01": True, "A02": True, "A03": False}


def test_empty_wells_need_no_images():
    found = _join(_planes(("A01",)), _wells(kinds=("negcon", "empty")))
    assert found.table["Metadata_Well"].unique().tolist() == ["A01"]


def test_doubled_planes_are_an_error_that_lists_them():
    planes = pd.concat([_planes(), _planes().head(1).assign(path="again/A01_s1_w1.tif")])
    with pytest.raises(
        ValueError, match=r"have planes twice \(\['A01_s1_w1.tif', 'again/A01_s1_w1.tif'\], in the .*: \['A01'\]"
    ):
        _join(planes, _wells())
    found = _join(planes, _wells(), lost_wells="report")
    assert len(found.table) == 8
    assert found.audit["Metadata_Doubled"].tolist() == [True, False]


def test_bad_plates_have_verdicts():
    assert _join(_planes(), _wells(kinds=("trt", "trt"))).verdict.reasons == ("no_negative_controls",)
    found = _join(_planes(channels=("w1",)), _wells())
    assert found.verdict.reasons == ('channel_without_files(channel="ER")',)
    assert found.table["Metadata_Path"].isna().sum() == 4


def test_no_channel_at_all_is_a_mistake_of_the_config():
    with pytest.raises(ValueError, match=r"expected the channels \['w1', 'w2'\], found \['c1', 'c2'\]"):
        _join(_planes(channels=("c1", "c2")), _wells())


def test_expected_sites_can_be_given():
    found = _join(_planes(sites=("1",)), _wells(), sites=["1", "2"])
    assert found.audit["Metadata_Sites_Expected"].tolist() == [2, 2]
    assert found.audit["Metadata_Sites_Found"].tolist() == [1, 1]
    assert found.table["Metadata_Path"].isna().sum() == 4


def test_what_the_microscope_says_joins_the_index(tmp_path):
    said = {"pixel_size": 0.6, "x": 1.0, "y": -2.0, "z": 3.5, "exposure": 40.0, "timepoint": "3"}
    found = _join(_planes().assign(**said).drop(index=[1]), _wells())
    columns = ["Pixel_Size", "Position_X", "Position_Y", "Position_Z", "Exposure", "Timepoint"]
    row, gap = found.table.iloc[0], found.table[found.table["Metadata_Path"].isna()].iloc[0]
    assert [row[f"Metadata_{name}"] for name in columns] == list(said.values())
    assert gap[[f"Metadata_{name}" for name in columns[:5]]].isna().all()
    assert gap["Metadata_Timepoint"] == "3"
    assert not {"Metadata_X", "Metadata_Y", "Metadata_Z"} & set(found.table)
    tables.write(found.table, tmp_path / "index.parquet", table="index", provenance={})
    tables.write(_join(_planes(), _wells()).table, tmp_path / "index.parquet", table="index", provenance={})


def test_one_time_point_is_chosen_by_a_person(caplog):
    planes = pd.concat([_planes().assign(timepoint=time) for time in ("10", "2")], ignore_index=True)
    with pytest.raises(
        ValueError, match=r"P1: expected one time point, found \['2', '10'\] \(choose one in index.timepoint"
    ):
        index.at_time(planes, None, plate="P1")
    with pytest.raises(ValueError, match="P1: expected time point 3, found"):
        index.at_time(planes, 3, plate="P1")
    with caplog.at_level("INFO"):
        assert len(index.at_time(planes, 2, plate="P1")) == 8
    assert "time point 2 is used; planes of other time points are ignored: {'10': 8}" in caplog.text
    assert len(index.at_time(_planes(), None, plate="P1")) == 8


def test_a_real_plate_from_files_to_corrected_pixels(shared_data, tmp_path):
    """BBBC013: 48 wells, 2 channels of 8-bit palette images, through index, survey, illumination and images."""
    folder = shared_data / "bbbc013"
    sheet = SHEET | {"plate": "BBBC013", "images": folder / "images", "platemap": folder / "plate_layout.csv"}
    options = section(
        "index",
        pattern=r"(?P<channel>Channel[12])-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif",
        channels={"DNA": "Channel2", "GFP": "Channel1"},
        columns={"concentration": "dose", "pert_type": "role"},
    )
    channels = ["DNA", "GFP"]
    found = index.build(sheet, channels, options)
    assert len(found.table) == 96
    assert found.table["Metadata_Path"].notna().all()
    assert found.verdict.keep
    seen = survey.run(found.table, sheet["images"], options=section("survey"), verdict=found.verdict)
    assert seen.verdict.keep
    assert len(survey.kept(seen.table)) == 48
    light = estimate.light_path(
        [seen.table], [seen.views], channels=channels, options=section("illumination", apply="always")
    )
    scale = images.write(
        tmp_path / "p.zarr",
        index=found.table,
        surveyed=seen.table,
        light=light,
        folder=sheet["images"],
        plate="BBBC013",
        channels=channels,
        options=section("images"),
    )
    plate = ngff.open_plate(tmp_path / "p.zarr")
    assert (len(plate.fields), plate.shape) == (48, (2, 640, 640))
    assert (scale["high"] > 10 * (scale["low"] + 1)).all()
    raw = tifffile.TiffFile(sheet["images"] / "Channel2-40-D-04.tif").pages[0].asarray()
    expected = lightpath.correct(raw, light.flat[0], light.dark[0])
    assert (plate.read("D04", "1", ["DNA"])[0] == expected).all()


@pytest.mark.parametrize(
    ("planes", "expected"), [(1001, "at most 1000 focal planes, found 1001 in channel DNA"), (500, "")]
)
def test_a_count_that_one_file_claims_is_not_expected_of_a_whole_plate(planes, expected):
    rows = pd.concat(
        [_planes(), *(_planes().head(1).assign(plane=str(n), path=f"{n}.tif") for n in range(2, planes + 1))]
    )
    if not expected:
        # DNA of A01 has 500 planes at one of 2 sites, ER has 1; A02 has 1 of each.
        assert _join(rows, _wells()).table["Metadata_Well"].value_counts().to_dict() == {"A01": 2 * 501, "A02": 4}
        return
    with pytest.raises(ValueError, match=expected):
        _join(rows, _wells())


def test_a_wrong_number_does_not_fill_the_memory():
    """One file with plane 900 in a well of 250 sites: 225,000 rows of 1,149 files."""
    rows = [_planes(("A01",), [str(n) for n in range(250)], ("w1",))]
    rows += [_planes(("A01",), ("0",), ("w1",)).assign(plane=str(n), path=f"{n}.tif") for n in range(2, 901)]
    with pytest.raises(ValueError, match="P1: expected the same sites and planes in most wells, found 1149 planes"):
        _join(pd.concat(rows), _wells(("A01",), ("negcon",)))


def test_wells_have_the_sites_that_they_show(caplog):
    """A scan that stops at enough cells: wells of 1 to 3 sites, numbered on from well to well."""
    parts = [_planes(("A01",), ("1", "2", "3")), _planes(("A02",), ("4",))]
    found = _join(pd.concat(parts), _wells())
    assert found.table.groupby("Metadata_Well")["Metadata_Site"].unique().map(list).to_dict() == {
        "A01": ["1", "2", "3"],
        "A02": ["4"],
    }
    assert found.table["Metadata_Path"].notna().all()
    assert found.audit["Metadata_Sites_Expected"].tolist() == [3, 1]
    assert "P1: wells have 1 to 3 sites (fewest: A02)" in caplog.text
    stated = _join(pd.concat(parts), _wells(), sites=["1", "2", "3"])
    assert stated.table["Metadata_Path"].isna().groupby(stated.table["Metadata_Well"]).sum().to_dict() == {
        "A01": 0,
        "A02": 6,
    }


def test_a_lost_file_is_missing_although_wells_differ():
    """Well A01 has 3 focal planes, A02 has 2. A file that another channel or site of the well shows to be lost is."""
    parts = [_planes().assign(plane=str(n), path=lambda rows, n=n: rows["path"] + str(n)) for n in (1, 2, 3)]
    planes = pd.concat(parts, ignore_index=True)
    planes = planes[(planes["well"] == "A01") | (planes["plane"] != "3")]
    lost = (planes["well"] == "A02") & (planes["channel"] == "w2") & (planes["plane"] == "2")
    found = _join(planes[~lost], _wells())
    gap = found.table[found.table["Metadata_Path"].isna()]
    columns = ["Metadata_Well", "Metadata_Site", "Metadata_Channel", "Metadata_Plane"]
    assert gap[columns].to_numpy().tolist() == [["A02", "1", "ER", "2"], ["A02", "2", "ER", "2"]]
    assert len(found.table) == 2 * 2 * 3 + 2 * 2 * 2


def test_a_well_without_images_should_have_what_most_have():
    parts = [_planes(("A01", "A02"), ("1", "2")), _planes(("A03",), ("1", "2", "3"))]
    wells = _wells(("A01", "A02", "A03", "A04"), ["negcon"] * 4)
    found = _join(pd.concat(parts), wells, lost_wells="report")
    assert found.audit["Metadata_Sites_Expected"].tolist() == [2, 2, 3, 2]
    assert found.table.groupby("Metadata_Well")["Metadata_Path"].size().tolist() == [4, 4, 6, 4]


@pytest.mark.parametrize("given", [("01", "02"), ("7",), ("s1",)])
def test_sites_of_the_config_that_no_well_has_are_named(tmp_path, given):
    for site in "12":
        coded.tiff(tmp_path / "P1" / f"A01_s{site}_DNA.tif", 9)
    with pytest.raises(ValueError, match=r"P1: expected the sites \[.*\] of index\.sites, found \['1', '2'\]"):
        coded.build(tmp_path / "P1", ["A01"], channels=["DNA"], at=tmp_path, sites=list(given))
