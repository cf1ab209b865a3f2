import logging

import pytest
from pandas.testing import assert_frame_equal

import vendors
from wellspring.index.readers import htd, imagexpress, metaseries

SAMPLES = "vendor_layout_samples"


def _read(folder, plate="P1", **options):
    return vendors.order(imagexpress.planes(folder, plate=plate, **options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exported": True},
        {"timepoints": 3},
        {"timepoints": 2, "exported": True},
        {"steps": 3},
        {"steps": 12, "timepoints": 2, "exported": True},
        {"steps": 2, "projection": True},
        {"steps": 2, "projection": True, "exported": True},
        {"sites": 1},
        {"waves": ["DAPI"]},
        {"sites": 1, "waves": ["DAPI"], "exported": True},
        {"sites": 12, "waves": [f"wave {number}" for number in range(1, 12)], "side": 0},
        {"wells": ["A01", "P24"], "rows": 16, "columns": 24},
        {"wells": ["A01", "AF48", "S10"], "rows": 32, "columns": 48},
        {"plate": "a_B02_s1 $(x) 'µ' é"},
        {"side": 0},
    ],
    ids=str,
)
def test_plates_of_all_kinds(tmp_path, options):
    expected = vendors.imagexpress(tmp_path, **options)
    assert imagexpress.present(tmp_path)
    assert_frame_equal(_read(tmp_path), expected)


TEN = [str(step) for step in range(1, 11)]
# folder -> planes, the z steps of each channel, time points, micrometres a pixel, exposure in ms
REAL = {
    "ImageXpress_exported/9987_Plate_3420": (1, {"DAPI": ["1"]}, ["1"], 1.3672, 100),
    "ImageXpress_exported/9987_Plate_3434": (
        24, dict.fromkeys(["DAPI", "FITC", "Texas Red"], ["1", "2"]), ["1"], 1.3672, 100,
    ),
    "ImageXpress_exported/9987_Plate_3435": (16, {"DAPI": ["1"], "FITC": ["1"]}, ["1", "2"], 1.3672, 100),
    "ImageXpress/Projection-Mix": (88, {"w1": TEN, "w2": TEN, "w3": ["0"], "w4": ["1"]}, ["1"], 1.3668, 15),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_exports(shared_data, name):
    count, channels, timepoints, pixel_size, exposure = REAL[name]
    folder = shared_data / SAMPLES / name
    frame = imagexpress.planes(folder, plate="P1")
    assert imagexpress.present(folder)
    assert len(frame) == count and frame["path"].is_unique and frame["path"].notna().all()
    found = {channel: sorted(part["plane"].unique(), key=int) for channel, part in frame.groupby("channel")}
    assert found == channels
    assert sorted(frame["timepoint"].unique()) == timepoints
    assert not frame.duplicated(["well", "site", "channel", "plane", "timepoint"]).any()
    assert frame["pixel_size"].unique().tolist() == [pixel_size]
    assert frame["exposure"].unique().tolist() == [exposure]
    assert not frame["path"].str.contains("thumb").any()
    assert (frame["bytes"] == [(folder / path).stat().st_size for path in frame["path"]]).all()


def test_wells_sites_and_places_of_real_exports(shared_data):
    mixed = imagexpress.planes(shared_data / SAMPLES / "ImageXpress/Projection-Mix", plate="P1")
    assert set(mixed["well"]) == {"E07", "E08"} and set(mixed["site"]) == {"1", "2"}
    assert mixed.groupby("site")["x"].first().tolist() == pytest.approx([-349.92, 349.92])
    one = imagexpress.planes(shared_data / SAMPLES / "ImageXpress_exported/9987_Plate_3420", plate="P1").iloc[0]
    assert (one["well"], one["site"], one["path"]) == ("B02", "1", "TimePoint_1/9987_B02.TIF")


def test_of_several_plates_in_a_folder_that_of_the_name_is_read(shared_data, tmp_path):
    folder = shared_data / SAMPLES / "ImageXpress_exported"
    frame = imagexpress.planes(folder, plate="9987_Plate_3435")
    assert len(frame) == 16 and frame["path"].str.startswith("9987_Plate_3435/TimePoint_").all()
    with pytest.raises(ValueError, match="other: expected one plate of that name below .*9987_Plate_3434"):
        imagexpress.planes(folder, plate="other")
    for plate in ("one", "two"):
        vendors.imagexpress(tmp_path, plate=plate, exported=True)
    assert imagexpress.planes(tmp_path, plate="two")["path"].str.contains("/two_").all()


def test_an_image_of_another_name_is_left(tmp_path, caplog):
    expected = vendors.imagexpress(tmp_path)
    (tmp_path / "overlay_A01.tif").touch()
    assert_frame_equal(_read(tmp_path, plate="a name that no file has"), expected)
    assert "images of other plates below" in caplog.text and "['/overlay']" in caplog.text


def test_a_stack_and_its_projection_are_not_mixed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for exported in (True, False):
        folder = tmp_path / str(exported)
        vendors.imagexpress(folder, steps=3, projection=True, exported=exported)
        assert set(_read(folder)["plane"]) == {"1", "2", "3"}
        assert "the z steps are used, 8 files of projections are ignored" in caplog.text


def test_a_wave_that_was_only_projected_is_taken_as_it_is(tmp_path):
    vendors.imagexpress(tmp_path, steps=2, projection=True, exported=True)
    for path in tmp_path.rglob("ZStep_[12]/*_w2.TIF"):
        path.unlink()
    frame = imagexpress.planes(tmp_path, plate="P1")
    found = {channel: set(part["plane"]) for channel, part in frame.groupby("channel")}
    assert found == {"DAPI": {"1", "2"}, "Texas Red": {"0"}}


def test_projections_alone_are_the_images(tmp_path):
    vendors.imagexpress(tmp_path, steps=2, projection=True, exported=True)
    for path in tmp_path.rglob("ZStep_[12]/*.TIF"):
        path.unlink()
    assert set(imagexpress.planes(tmp_path, plate="P1")["plane"]) == {"1"}


def test_wells_and_sites_without_a_file_are_missing_planes(tmp_path, caplog):
    expected = vendors.imagexpress(tmp_path, selected=["A01", "B02", "C03"], steps=2, timepoints=2)
    (tmp_path / expected["path"][0]).unlink()
    frame = imagexpress.planes(tmp_path, plate="P1")
    lost = frame[frame["path"].isna()]
    assert len(frame) == len(expected) // 2 * 3
    assert lost["well"].value_counts().to_dict() == {"C03": 16, "A01": 1}
    assert lost.duplicated(vendors.KEY).sum() == 0 and (lost["bytes"] == 0).all()
    assert "17 planes of the .HTD have no file, all of the wells ['C03'] among them" in caplog.text


def test_wells_that_were_not_selected_are_told(tmp_path, caplog):
    vendors.imagexpress(tmp_path, selected=["A01"])
    assert set(_read(tmp_path)["well"]) == {"A01", "B02"}
    assert "wells that the .HTD does not select have images: ['B02']" in caplog.text


def test_sites_numbered_over_the_whole_grid(tmp_path):
    vendors.imagexpress(tmp_path, wells=["A01", "A02"])
    for path in list(tmp_path.glob("*_s2_*")):
        path.rename(path.with_name(path.name.replace("_s2_", "_s9_")))
    frame = imagexpress.planes(tmp_path, plate="P1")
    assert set(frame["site"]) == {"1", "9"} and frame["path"].notna().all()


def test_waves_without_file_or_of_one_name(tmp_path, caplog):
    vendors.imagexpress(tmp_path, waves=["DAPI", "GFP", "GFP", ""])
    for path in tmp_path.glob("*_w1*"):
        path.unlink()
    assert set(_read(tmp_path)["channel"]) == {"GFP_w2", "GFP_w3", "w4"}
    assert "waves of the .HTD without any file: {'1': 'DAPI'}" in caplog.text


def test_without_htd_waves_are_numbers(tmp_path):
    vendors.imagexpress(tmp_path, htd=False, steps=2)
    assert set(_read(tmp_path)["channel"]) == {"w1", "w2"}
    assert imagexpress.present(tmp_path)


def test_a_wave_number_is_not_mistaken_for_the_guid_after_it(tmp_path):
    for start in ("P_A01_s1_w2", "P_A01_s1_w10"):
        (tmp_path / f"{start}66923EBB-9960-4952-8955-D1721D112EE2.tif").touch()
    assert imagexpress.planes(tmp_path, plate="P")["channel"].tolist() == ["w10", "w2"]


def test_images_on_no_well_are_told(tmp_path, caplog):
    vendors.imagexpress(tmp_path, wells=["A01"])
    (tmp_path / "P1_ZZ99_s1_w1.tif").touch()
    assert set(_read(tmp_path)["well"]) == {"A01"}
    assert "1 images have an invalid well and are ignored: ['P1_ZZ99_s1_w1.tif']" in caplog.text


def test_nothing_of_the_kind(tmp_path):
    assert not imagexpress.present(tmp_path) and not imagexpress.present(tmp_path / "none")
    with pytest.raises(ValueError, match="P1: expected files <plate>_<well>_s<site>_w<wave>.tif below"):
        imagexpress.planes(tmp_path, plate="P1")


def test_damaged_images_have_no_pixel_size_but_are_there(tmp_path):
    expected = vendors.imagexpress(tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*_w1*"))):
        content = path.read_bytes()
        path.write_bytes([b"", b"II*\0\xff\xff\xff\xff", content[: len(content) // 2], b"\0" * 500][number % 4])
    frame = _read(tmp_path)
    assert frame["path"].tolist() == expected["path"].tolist()
    assert frame.loc[frame["channel"] == "DAPI", "pixel_size"].isna().all()
    assert (frame.loc[frame["channel"] == "Texas Red", "pixel_size"] == 1.3672).all()


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("plain words", (None, None)),
        ("<MetaData><prop id='spatial-calibration-x' value='0.5'/></MetaData>", (None, None)),
        (
            "<m><p id='spatial-calibration-x' value='500'/><p id='spatial-calibration-units' value='nm'/>"
            "<p id='Exposure Time' value='0.2 s'/></m>",
            (0.5, 200),
        ),
        (
            "<m><p id='spatial-calibration-x' value='5'/><p id='spatial-calibration-units' value='um'/>"
            "<p id='spatial-calibration-state' value='off'/><p id='Exposure Time' value='long'/></m>",
            (None, None),
        ),
    ],
)
def test_tags(tmp_path, description, expected):
    vendors._image(tmp_path / "a.tif", 4, description=description)
    said = metaseries.tags(tmp_path / "a.tif")
    for key, value in zip(("pixel_size", "exposure"), expected, strict=True):
        assert said[key] == (pytest.approx(value) if value else pytest.approx(float("nan"), nan_ok=True))


def test_a_bomb_in_the_tags_is_refused(tmp_path):
    bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a><p id='spatial-calibration-x' value='&b;'/></a>"
    vendors._image(tmp_path / "a.tif", 4, description=bomb)
    with pytest.raises(ValueError, match=r"a\.tif: expected XML without DTD"):
        metaseries.tags(tmp_path / "a.tif")


BAD = {
    "empty": (b"", "expected selected wells"),
    "garbage": (bytes(range(256)) * 3, "expected"),
    "no wells": (b'"TimePoints", 1\r\n', "expected selected wells"),
    "too many rows": (b'"WellsSelection99", TRUE\r\n', "expected rows A to AF"),
    "row 0": (b'"WellsSelection0", TRUE\r\n', "expected rows A to AF"),
    "a row of many digits": (b'"WellsSelection' + b"9" * 5000 + b'", TRUE\r\n', "expected rows of a plate"),
    "too many waves": (b'"WellsSelection1", TRUE\r\n"NWavelengths", 99999999999\r\n', "expected a number of waves"),
    "no number of waves": (b'"WellsSelection1", TRUE\r\n"NWavelengths", many\r\n', "expected a number of waves"),
    "too large": (b'"x", 1\r\n' * 200_000, "expected at most"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_what_is_no_htd(tmp_path, content, message):
    vendors.imagexpress(tmp_path)
    (tmp_path / "P1.HTD").write_bytes(content)
    with pytest.raises(ValueError, match=rf"P1\.HTD: .*{message}"):
        imagexpress.planes(tmp_path, plate="P1")


def test_settings(tmp_path):
    lines = [
        '"WellsSelection1", FALSE, TRUE', '"WellsSelection2", true, FALSE', '"Sites", TRUE', '"NWavelengths", 3',
        '"SiteSelection1", TRUE, FALSE', '"SiteSelection2", TRUE, TRUE', '"WaveName1", "DAPI, 405"',
        '"WaveName2", "GFP"', '"WaveCollect2", 0',
    ]  # fmt: skip
    (tmp_path / "a.htd").write_text("\n".join(lines))
    assert htd.read(tmp_path / "a.htd") == htd.Settings(("A02", "B01"), 3, {"1": "DAPI, 405", "3": ""})
