import logging

import pytest
from pandas.testing import assert_frame_equal

import vendors
from wellspring.index.readers import cellvoyager

REAL = "vendor_layout_samples/CV8000/CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839"
RECORDS = "MeasurementData.mlf"


def _read(folder, **options):
    return vendors.order(cellvoyager.planes(folder, plate="P1", **options))


def _edit(path, old, new, count=1):
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps": 3, "timepoints": 2, "fields": 3},
        {"failed": ["H12", "C03"], "steps": 2},
        {"settings": False},
        {"wells": ["A01", "P24"]},
        {"wells": ["A01", "AF48"]},
        {"channels": ["HOECHST 33342", "µ & <é> 'x'"]},
        {"plate": "a b $(x) 'µ' & <é>"},
        {"side": 0},
    ],
    ids=str,
)
def test_plates_of_all_kinds(tmp_path, options):
    expected = vendors.cellvoyager(tmp_path, **options)
    assert cellvoyager.present(tmp_path)
    assert_frame_equal(_read(tmp_path), expected)


def test_a_real_export(shared_data):
    folder = shared_data / REAL
    assert cellvoyager.present(folder)
    frame = cellvoyager.planes(folder, plate="P1")
    assert len(frame) == 96 and frame["path"].is_unique and frame["path"].notna().all()
    counts = {name: frame[name].nunique() for name in ("well", "site", "channel", "plane", "timepoint")}
    assert counts == {"well": 3, "site": 4, "channel": 2, "plane": 4, "timepoint": 1}
    assert set(frame["well"]) == {"D08", "E03", "F08"} and set(frame["channel"]) == {"405", "488"}
    assert frame["pixel_size"].unique().tolist() == [0.325]
    assert frame["exposure"].unique().tolist() == [100]
    assert frame.groupby("plane")["z"].first().tolist() == [0, 3, 6, 9]
    assert frame.groupby("site")[["x", "y"]].first().to_numpy().tolist() == [
        [-567.1, 402.9], [82.8, 402.9], [-567.1, -247.0], [82.8, -247.0],
    ]  # fmt: skip
    assert (frame["bytes"] == [(folder / path).stat().st_size for path in frame["path"]]).all()
    directly = cellvoyager.planes(folder / "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack", plate="P1")
    assert (directly["bytes"] == frame["bytes"]).all()


def test_a_failed_plane_that_was_taken_again_is_there(tmp_path, caplog):
    expected = vendors.cellvoyager(tmp_path, wells=["A01"], steps=2)
    errors = "".join(
        f"<bts:MeasurementRecord bts:Type='ERR' bts:Row='1' bts:Column='1' bts:FieldIndex='{field}' bts:Ch='1'/>"
        for field in (2, 3)
    )
    _edit(tmp_path / RECORDS, "</bts:MeasurementData>", f"{errors}</bts:MeasurementData>")
    frame = _read(tmp_path)
    lost = frame[frame["path"].isna()]
    assert lost[["site", "channel", "plane"]].values.tolist() == [["3", "405", "1"], ["3", "405", "2"]]
    assert_frame_equal(vendors.order(frame[frame["path"].notna()]), expected)
    assert "2 records of errors: 2 planes were not taken, in the wells ['A01']" in caplog.text


def test_time_points_that_count_on_from_well_to_well(tmp_path):
    expected = vendors.cellvoyager(tmp_path, wells=["A01", "B02"], timepoints=2)
    text = (tmp_path / RECORDS).read_text("utf-8-sig").splitlines()
    for number, line in enumerate(text):
        if "bts:Row='2'" in line:
            for old, new in ((2, 4), (1, 3)):
                text[number] = text[number].replace(f"TimePoint='{old}'", f"TimePoint='{new}'")
    (tmp_path / RECORDS).write_text("\n".join(text))
    assert_frame_equal(_read(tmp_path), expected)


def test_images_of_two_actions_at_one_place_are_kept_apart(tmp_path, caplog):
    vendors.cellvoyager(tmp_path, wells=["A01"], fields=1)
    line = next(line for line in (tmp_path / RECORDS).read_text("utf-8-sig").splitlines() if "bts:Ch='1'" in line)
    again = line.replace("ActionIndex='1'", "ActionIndex='2'").replace("A01Z01C01", "A02Z01C01")
    (tmp_path / "P1_A01_T0001F001L01A02Z01C01.tif").write_bytes(b"again")
    _edit(tmp_path / RECORDS, "</bts:MeasurementData>", f"{again}</bts:MeasurementData>")
    frame = _read(tmp_path)
    assert frame["channel"].tolist() == ["405_A1", "405_A2", "488"]
    assert "several actions took the channels ['1']" in caplog.text


def test_a_record_named_twice_stays_twice(tmp_path):
    vendors.cellvoyager(tmp_path, wells=["A01"], fields=1)
    line = next(line for line in (tmp_path / RECORDS).read_text("utf-8-sig").splitlines() if "bts:Ch='1'" in line)
    _edit(tmp_path / RECORDS, "</bts:MeasurementData>", f"{line}</bts:MeasurementData>")
    assert _read(tmp_path)["channel"].tolist() == ["405", "405", "488"]


def test_names_of_channels(tmp_path):
    vendors.cellvoyager(tmp_path, wells=["A01"], fields=1, channels=["GFP", "GFP", "x", " "])
    third = "bts:Target=\"x\" bts:ExposureTime='300' bts:Binning='1' bts:Fluorophore='%s'"
    _edit(tmp_path / "Settings.mes", third % "", third % "DAPI")
    assert _read(tmp_path)["channel"].tolist() == ["C04", "DAPI", "GFP_1", "GFP_2"]


@pytest.mark.parametrize("name", ["../outside.tif", "{outside}", "file://{outside}", "..\\outside.tif", "/etc/passwd"])
def test_files_outside_are_refused_and_told(tmp_path, caplog, name):
    plate, outside = tmp_path / "P1", tmp_path / "outside.tif"
    outside.write_bytes(b"secret")
    expected = vendors.cellvoyager(plate, wells=["A01"], fields=1)
    name = name.format(outside=outside)
    _edit(plate / RECORDS, expected["path"][0], name)
    frame = _read(plate)
    assert frame["path"].isna().sum() == 1 and repr(name) in caplog.text
    allowed = _read(plate, roots=[tmp_path])
    below = not name.startswith(("file", "/etc"))
    assert allowed["path"].isna().sum() == (0 if below else 1)


def test_a_link_instead_of_the_records_is_not_opened(tmp_path):
    plate = tmp_path / "P1"
    vendors.cellvoyager(plate)
    (plate / RECORDS).rename(tmp_path / "far.mlf")
    (plate / RECORDS).symlink_to(tmp_path / "far.mlf")
    with pytest.raises(ValueError, match="found a link to .*far.mlf"):
        cellvoyager.planes(plate, plate="P1")
    assert len(cellvoyager.planes(plate, plate="P1", roots=[tmp_path])) == 8


def test_missing_files_and_images_without_record(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    expected = vendors.cellvoyager(tmp_path)
    (tmp_path / expected["path"][0]).unlink()
    frame = _read(tmp_path)
    assert frame["path"].isna().tolist().count(True) == 1
    assert "1 files named in" in caplog.text and "SC_BP445-45_20x v2_M01_CH01.tif" in caplog.text


def test_several_measurements(tmp_path):
    for name in ("P1", "P2"):
        vendors.cellvoyager(tmp_path / name, plate=name)
    assert cellvoyager.planes(tmp_path, plate="P2")["path"].str.startswith("P2/").all()
    with pytest.raises(ValueError, match="P3: expected one MeasurementData.mlf"):
        cellvoyager.planes(tmp_path, plate="P3")
    with pytest.raises(ValueError, match="P3: expected one MeasurementData.mlf"):
        cellvoyager.planes(tmp_path / "none", plate="P3")
    assert not cellvoyager.present(tmp_path / "none")


def test_records_that_are_not_understood_are_left_and_told(tmp_path, caplog):
    vendors.cellvoyager(tmp_path, wells=["A01"], fields=2)
    _edit(tmp_path / RECORDS, "bts:FieldIndex='1'", "bts:FieldIndex='one'")
    _edit(tmp_path / RECORDS, "bts:Row='1' bts:TimePoint='1' bts:FieldIndex='2'", "bts:Row='77' bts:FieldIndex='2'")
    assert len(_read(tmp_path)) == 2
    assert "2 records of" in caplog.text and "cannot be parsed and are skipped" in caplog.text


@pytest.mark.parametrize("name", [RECORDS, "Settings.mes", "MeasurementDetail.mrf"])
def test_damaged_tables_are_errors_that_name_the_file(tmp_path, name):
    vendors.cellvoyager(tmp_path)
    content = (tmp_path / name).read_bytes()
    bomb = b"<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><a>&c;</a>"
    for damaged in (b"", content[: len(content) // 2], b"\0" * 100, bomb):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}: expected"):
            cellvoyager.planes(tmp_path, plate="P1")


def test_records_of_errors_only(tmp_path):
    vendors.cellvoyager(tmp_path, wells=[], failed=["A01"])
    with pytest.raises(ValueError, match=r"MeasurementData\.mlf: expected records of images, found none \(1 errors"):
        cellvoyager.planes(tmp_path, plate="P1")
