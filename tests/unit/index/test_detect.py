"""The reader of a folder is recognised by its files, named in the log, and never guessed."""

import logging

import numpy as np
import pytest
import tifffile
import zarr

from options import options as section
from wellspring.index.readers import detect
from wellspring.screen import well_names

PATTERN = r"(?P<well>[A-Z]{1,2}\d+)_s(?P<site>\d)_(?P<channel>\w+)\.tif"


def _options(**changes):
    return section("index", **{"pattern": PATTERN, **changes})


def _choose(folder, **over):
    return detect.choose(folder, plate="P", options=_options(**over))


def _name(folder, name, content=""):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


def _zarr(folder):
    zarr.open_group(folder / "P.zarr", mode="w").attrs["ome"] = {"plate": {"wells": []}}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: None, "pattern"),
        (lambda folder: _name(folder, "load_data.csv"), "loaddata"),
        (lambda folder: _name(folder, "Load_Data_with_illum.parquet"), "loaddata"),
        (lambda folder: _name(folder, "a/x.ome.tiff"), "ometiff"),
        (lambda folder: _name(folder, "x.companion.ome"), "ometiff"),
        (_zarr, "omezarr"),
    ],
)
def test_a_folder_says_what_it_is(tmp_path, caplog, make, expected):
    _name(tmp_path, "A1_s1_w1.tif")
    make(tmp_path)
    with caplog.at_level(logging.INFO):
        assert _choose(tmp_path) == expected
    assert f"P: reader {expected} chosen; found {detect.READERS[expected].sign}" in caplog.text


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("ImageXpress_exported/9987_Plate_3434", "imagexpress"),
        ("CV8000/CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839", "cellvoyager"),
        ("operetta_plate", "harmony"),
    ],
)
def test_real_exports(shared_data, folder, expected):
    place = shared_data / "vendor_layout_samples" / folder
    assert _choose(place) == expected
    assert len(detect.planes(str(place), plate="P", options=_options()))


def test_several_are_listed_and_none_is_chosen(tmp_path):
    _name(tmp_path, "load_data.csv")
    _zarr(tmp_path)
    with pytest.raises(ValueError, match=r"P: .* several ways, name one in index.reader: loaddata \(.*\); omezarr \("):
        _choose(tmp_path)


def test_a_table_that_the_config_names_is_meant(tmp_path):
    _zarr(tmp_path)
    assert _choose(tmp_path, loaddata="any.csv") == "loaddata"


def test_none_lists_what_was_looked_for_and_what_is_there(tmp_path):
    for number in range(20):
        _name(tmp_path, f"{number:02d}.jpg")
    with pytest.raises(ValueError) as caught:
        _choose(tmp_path)
    assert all(f"{name}: {reader.sign}" in str(caught.value) for name, reader in detect.READERS.items())
    assert "00.jpg" in str(caught.value) and "07.jpg" in str(caught.value) and "08.jpg" not in str(caught.value)


def test_links_are_those_that_the_config_allows(tmp_path):
    _name(tmp_path, "archive/A1_s1_w1.tif")
    (tmp_path / "P").mkdir()
    (tmp_path / "P" / "images").symlink_to(tmp_path / "archive")
    with pytest.raises(ValueError, match="index.roots"):
        _choose(tmp_path / "P")
    options = _options(roots=[str(tmp_path / "archive")])
    found = detect.planes(str(tmp_path / "P"), plate="P", options=options)
    assert found["path"].tolist() == ["images/A1_s1_w1.tif"]


def test_a_table_in_the_sheet_is_loaddata(tmp_path):
    _name(tmp_path, "x.tif")
    _name(tmp_path, "any name.csv", "Metadata_Well,FileName_DNA\nA1,x.tif\n")
    table = str(tmp_path / "any name.csv")
    for place in (table, f"file://{table}", f"file://{table.replace(' ', '%20')}"):
        assert detect.planes(place, plate="P", options=_options())["path"].tolist() == ["x.tif"]
    with pytest.raises(ValueError, match="expected a folder for the reader harmony, found the table"):
        detect.planes(table, plate="P", options=_options(reader="harmony"))


@pytest.mark.parametrize(("rows", "columns"), [(8, 12), (16, 24), (32, 48)])
def test_plates_of_96_384_and_1536_wells(tmp_path, rows, columns):
    names = [well_names.name(row, column) for row in range(rows) for column in range(columns)]
    for name in names:
        (tmp_path / f"{name}_s1_w1.tif").touch()
    found = detect.planes(str(tmp_path), plate="P", options=_options())
    assert sorted(found["well"]) == sorted(names)
    assert len(names) in (96, 384, 1536)


def test_pages_of_a_stack(tmp_path):
    tifffile.imwrite(tmp_path / "A1_s1_w1.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    found = detect.planes(str(tmp_path), plate="P", options=_options(pages="plane"))
    assert found[["plane", "page"]].to_numpy().tolist() == [["1", 0], ["2", 1], ["3", 2]]
