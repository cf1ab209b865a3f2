"""Opera's FLEX files without an index: fields, focal planes and channels of a file, as openreadout reads them."""

import random

import numpy as np
import pytest

import coded
import opera
import vendors
from wellspring.index.readers import detect, flex
from wellspring.io import raw_image

ALIASES = {"DNA": "Exp1Cam1", "ER": "Exp2Cam2"}


@pytest.mark.parametrize("reader", ["auto", "flex"])
def test_pages_are_named_by_the_description(tmp_path, reader):
    held = {}
    for number, (well, fields) in enumerate((("B03", 3), ("H12", 1))):
        planes = opera.drawn(fields, 2, 2, seed=number)
        order = random.Random(number).sample(sorted(planes), len(planes))
        row, column = ord(well[0]) - 64, int(well[1:])
        opera.flex(tmp_path / f"P1/{row:03}{column:03}000.flex", well, {key: planes[key] for key in order})
        held |= {(well, str(f), ("DNA", "ER")[c - 1], str(z)): one for (f, z, c), one in planes.items()}
    options = {"channels": ["DNA", "ER"], "aliases": ALIASES, "at": tmp_path, "reader": reader}
    table = coded.build(tmp_path / "P1", ["B03", "H12"], **options).table
    assert len(table) == len(held) == 16
    for row in table.to_dict("records"):
        key = tuple(row[f"Metadata_{name}"] for name in ("Well", "Site", "Channel", "Plane"))
        found = raw_image.read(tmp_path / "P1", row["Metadata_Path"], int(row["Metadata_Page"]))
        np.testing.assert_array_equal(found, held[key])
        assert row["Metadata_Pixel_Size"] == pytest.approx(0.32)
        assert row["Metadata_Position_X"] == pytest.approx(100 * int(key[1]))
        assert row["Metadata_Exposure"] == pytest.approx(100 if key[2] == "DNA" else 200)


def test_openreadout_agrees(tmp_path):
    openreadout = pytest.importorskip("openreadout")
    planes = opera.drawn(3, 2, 2)
    path = tmp_path / "P1/002003000.flex"
    opera.flex(path, "B03", planes)
    rows = flex.planes(tmp_path / "P1", plate="P1").set_index(["site", "plane", "channel"])
    said = openreadout.info(str(path))
    count = 0
    with openreadout.File(str(path)) as file:
        for image in said["images"]:
            extra = image["extra"]
            for c, z in np.ndindex(image["size_c"], image["size_z"]):
                channel = image["channels"][c]["name"].partition("_")[2]
                row = rows.loc[str(extra["field"]), str(z + 1), channel]
                theirs = file.read_plane(image=image["index"], c=c, z=z)
                np.testing.assert_array_equal(raw_image.read(tmp_path / "P1", row["path"], int(row["page"])), theirs)
                assert row["well"] == extra["well"]
                assert row["x"] == pytest.approx(extra["position_x_um"])
                assert row["exposure"] == pytest.approx(image["channels"][c]["exposure_ms"])
                count += 1
    assert count == len(rows) == 12


def test_the_factor_of_a_page_is_multiplied(tmp_path):
    planes = opera.drawn(1, 1, 2)
    opera.flex(tmp_path / "a.flex", "A01", planes, factors=(1, 12.5))
    first, second = (raw_image.read(tmp_path, "a.flex", page) for page in (0, 1))
    np.testing.assert_array_equal(first, planes[1, 1, 1])
    np.testing.assert_array_equal(second, np.rint(planes[1, 1, 2] * 12.5).astype(np.uint16))
    opera.flex(tmp_path / "b.flex", "A01", planes, factors=(1, 1000))
    assert "a factor of 1000" in raw_image.status(tmp_path, "b.flex", 1).reason


def test_a_damaged_file_is_left_out_and_an_undescribed_one_is_told(tmp_path, caplog):
    opera.flex(tmp_path / "P1/001001000.flex", "A01", opera.drawn(1, 1, 1))
    (tmp_path / "P1/001002000.flex").write_bytes(b"II*\0" + bytes(40))
    assert flex.planes(tmp_path / "P1", plate="P1")["path"].tolist() == ["001001000.flex"]
    assert "001002000.flex cannot be read" in caplog.text
    (tmp_path / "P1/001001000.flex").unlink()
    with pytest.raises(ValueError, match=r"P1: expected files .flex that Opera describes in .*001002000"):
        flex.planes(tmp_path / "P1", plate="P1")


def test_a_plate_with_an_index_of_columbus_is_read_by_it(tmp_path):
    """Columbus calls its index ImageIndex.ColumbusIDX.xml."""
    expected = vendors.harmony(tmp_path / "P1", wells=["A01"], fields=1, channels=["DNA", "ER"], side=0)
    text = (tmp_path / "P1/Images/Index.xml").read_text()
    for number, path in enumerate(expected["path"]):
        name = path.rpartition("/")[2]
        text = text.replace(f"<URL>{name}", f'<URL BufferNo="{number}">001001000.flex')
        (tmp_path / "P1" / path).unlink()
    (tmp_path / "P1/Images/Index.xml").unlink()
    (tmp_path / "P1/Images/ImageIndex.ColumbusIDX.xml").write_text(text)
    coded.tiff(tmp_path / "P1/Images/001001000.flex", 31, 32)
    assert detect.choose(tmp_path / "P1", plate="P1", options=coded.section("index")) == "harmony"
    found = coded.build(tmp_path / "P1", ["A01"], channels=["DNA", "ER"], at=tmp_path)
    assert coded.read(found, tmp_path / "P1") == {("A01", "1", "DNA", "1"): 31, ("A01", "1", "ER", "1"): 32}
