"""Odd things in folders of images: other spellings of a name, projections, copies, folders of operating systems."""

import numpy as np
import pytest
import tifffile

import coded
from wellspring.init import plates

WELLS = ("A01", "A02", "B01")


def write(folder, form="{well}_s{site}_{channel}.tif", *, start=100, wells=WELLS):
    """Write the planes of a plate, each with its own value; return these by well, site and channel."""
    written = {}
    for well in wells:
        for site in "12":
            for channel in ("DNA", "ER"):
                written[well, site, channel] = start + 5 * len(written)
                coded.tiff(folder / form.format(well=well, site=site, channel=channel), written[well, site, channel])
    return written


def read(folder, **options):
    found = coded.build(folder, list(WELLS), channels=["DNA", "ER"], at=folder.parent, **options)
    return {key[:3]: value for key, value in coded.read(found, folder).items()}


def renamed(folder, match, old, new):
    for path in sorted(folder.glob(match)):
        path.rename(path.with_name(path.name.replace(old, new)))


@pytest.mark.parametrize(
    ("match", "old", "new"),
    [("*_s1_ER.tif", "_s1", "_s01"), ("B*.tif", "_s", "_s0"), ("B*_ER.tif", "_ER", "_er"), ("A02*", "A02", "a2")],
)
def test_two_spellings_of_a_site_or_channel_are_one(match, old, new, tmp_path):
    written = write(tmp_path / "P1")
    renamed(tmp_path / "P1", match, old, new)
    assert read(tmp_path / "P1") == written
    (found,), _, _ = plates.look([tmp_path / "P1"])
    assert (set(found.planes["channel"]), set(found.planes["site"])) == ({"DNA", "ER"}, {"1", "2"})


@pytest.mark.parametrize(
    "copy", ["A01_s01_DNA.tif", "A1_s1_DNA.tif", "A01_s1_dna.tif", "A01_s1_DNA.TIF", "x_A01_s1_DNA.tif"]
)
def test_two_files_of_one_plane_are_refused_in_any_spelling(copy, tmp_path):
    write(tmp_path / "P1")
    coded.tiff(tmp_path / "P1" / copy, 7)
    with pytest.raises(ValueError, match=f"have planes twice .*{copy}.*A01"):
        read(tmp_path / "P1")


def test_projections_are_not_a_focal_plane(tmp_path):
    folder = tmp_path / "P1"
    written = write(folder, "{well}_s{site}_z1_{channel}.tif")
    write(folder, "{well}_s{site}_z2_{channel}.tif", start=200)
    write(folder, "{well}_s{site}_zMIP_{channel}.tif", start=300)
    form = r"(?P<well>[A-Z]\d+)_s(?P<site>\d+)_z(?P<plane>{})_(?P<channel>[A-Z]+)\.tif"
    words = (
        r"P1: expected focal planes by number, found \['MIP'\] beside \['1', '2'\] in channel DNA, ER .*index\.pattern"
    )
    with pytest.raises(ValueError, match=words):
        read(folder, pattern=form.replace("{}", r"\w+"))
    assert read(folder, pattern=form.replace("{}", "MIP")) == {key: 200 + value for key, value in written.items()}


@pytest.mark.parametrize("system", ["$RECYCLE.BIN", "__MACOSX", "@eaDir", ".Trash-1000", "System Volume Information"])
def test_folders_of_operating_systems_are_left_out(system, tmp_path):
    folder = tmp_path / "P1"
    written = write(folder)
    write(folder / system, start=300)
    for name in ("Thumbs.db", "desktop.ini", "._A01_s1_DNA.tif", "A01_s3_DNA.tif.part", "A01_s3_DNA.tif.crdownload"):
        (folder / name).write_bytes(b"x")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    assert read(folder) == written
    (found,), _, _ = plates.look([folder])
    assert len(found.planes) == len(written)


@pytest.mark.parametrize("other", ["thumbs", "processed", "backup", "illum"])
def test_other_images_in_a_sub_folder_are_named(other, tmp_path):
    folder = tmp_path / "P1"
    written = write(folder)
    write(folder / other, start=300)
    with pytest.raises(ValueError, match=rf"expected one acquisition, found .*'\.'.*'{other}'"):
        read(folder)
    assert read(folder, acquisition=".") == written
    second = write(tmp_path / "P2")
    found, options, notes = plates.look([folder, tmp_path / "P2"])
    assert options.acquisition == "." and any(f"of ['.', '{other}'" in note for note in notes)
    assert [plate.name for plate in found] == ["P1", "P2"]
    assert read(tmp_path / "P2", acquisition=".") == second


def test_plates_of_one_name_get_that_of_the_folder_above(tmp_path):
    for day in ("day 1", "day 2"):
        write(tmp_path / day / "P1")
    found, _, notes = plates.look([tmp_path / "day 1/P1", tmp_path / "day 2/P1"])
    assert [plate.name for plate in found] == ["day_1_P1", "day_2_P1"]
    assert any("is called day_2_P1, since two folders are called P1" in note for note in notes)
    found, _, _ = plates.look([tmp_path / "day 1/P1", tmp_path / "day 1/P1"])
    assert [plate.name for plate in found] == ["day_1_P1", "day_1_P1_2"]


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("folder", ["C:\\x/P1\\Images/", "\\\\server\\share\\P1\\Images", "/x//P1/./Images/ "])
def test_a_loaddata_table_of_another_system_is_read(between, folder, tmp_path):
    lines = ["Metadata_Plate,Metadata_Well,FileName_DNA,PathName_DNA".replace(",", between)]
    for value, well in enumerate(WELLS, start=3):
        coded.tiff(tmp_path / f"P1/Images/{well}.tif", 10 * value)
        lines.append(between.join(["P1 ", f" {well}", f"{well}.tif ", folder]))
    (tmp_path / "P1/load_data.csv").write_text("\r\n".join(lines) + "\r\n")
    found = coded.read(coded.build(tmp_path / "P1", WELLS, channels=["DNA"], at=tmp_path), tmp_path / "P1")
    assert list(found.values()) == [30, 40, 50]


def test_a_pattern_that_init_proposes_for_a_format_is_named(tmp_path):
    """OME-TIFFs that describe no plate, of names that the default of `index.pattern` does not match."""
    for well in WELLS:
        for site in (1, 2):
            path = tmp_path / "P1" / f"scan_{well}_{site}.ome.tif"
            path.parent.mkdir(exist_ok=True)
            names = {"axes": "CYX", "Channel": {"Name": ["DNA", "ER"]}}
            tifffile.imwrite(path, np.zeros((2, 20, 30), dtype=np.uint16), ome=True, metadata=names)
    (found,), options, notes = plates.look([tmp_path / "P1"])
    assert f"file names: 6 of 6 images match {options.pattern} (as scan_A01_1.ome.tif)" in notes
    assert sorted(set(zip(found.planes["well"], found.planes["site"], strict=True))) == [
        (well, site) for well in WELLS for site in "12"
    ]


def loaddata(tmp_path, *, between=",", mark="", well="B01"):
    """Write a plate with a LoadData table; return the table's text and the keywords that read it."""
    for value, name in enumerate(WELLS, start=3):
        coded.tiff(tmp_path / f"P1/{name}.tif", 10 * value)
    rows = [["Metadata_Well", "FileName_DNA"], *([name, f"{name}.tif"] for name in ("A01", "A02")), [well, "B01.tif"]]
    return mark + "\n".join(between.join(row) for row in rows) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("between", "mark"), [(",", ""), ("\t", ""), (";", "sep=;\n"), ("\t", "sep=\t\r\n")])
def test_a_loaddata_table_as_excel_saves_it_is_read(encoding, between, mark, tmp_path):
    text = loaddata(tmp_path, between=between, mark=mark)
    (tmp_path / "P1/load_data.csv").write_bytes(text.encode(encoding))
    found = coded.read(coded.build(tmp_path / "P1", WELLS, channels=["DNA"], at=tmp_path), tmp_path / "P1")
    assert list(found.values()) == [30, 40, 50]


@pytest.mark.parametrize(
    ("well", "encoding", "words"),
    [
        ("", "utf-8", r"load_data\.csv: well '': .*found an empty cell"),
        ("\u00dc1", "latin-1", r"load_data\.csv: expected UTF-8, found other bytes .*save it as CSV in UTF-8"),
    ],
)
def test_a_loaddata_table_that_cannot_be_read_is_named_with_the_remedy(well, encoding, words, tmp_path):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1/load_data.csv").write_bytes(loaddata(tmp_path, well=well).encode(encoding))
    with pytest.raises(ValueError, match=words):
        coded.build(tmp_path / "P1", WELLS, channels=["DNA"], at=tmp_path)


def test_a_loaddata_table_in_other_letters_and_with_whole_numbers_as_decimals_is_read(tmp_path):
    """Names of files without regard to case are those of Windows and macOS; pandas writes 1 beside a gap as 1.0."""
    lines = ["Metadata_Row,Metadata_Col,Metadata_Site,Metadata_PlaneID,FileName_DNA,PathName_DNA"]
    for value, (row, column) in enumerate([(1, 1), (1, 2), (2, 1)], start=3):
        coded.tiff(tmp_path / f"P1/Images/{WELLS[value - 3]}.tif", 10 * value)
        lines.append(f"{row}.0,{column}.0,2.0,1.0,{WELLS[value - 3].lower()}.TIF,D:\\p1\\images")
    (tmp_path / "P1/load_data.csv").write_text("\n".join(lines) + "\n")
    found = coded.read(coded.build(tmp_path / "P1", WELLS, channels=["DNA"], at=tmp_path), tmp_path / "P1")
    assert found == {(well, "2", "DNA", "1"): 10 * value for value, well in enumerate(WELLS, start=3)}


def test_files_that_differ_in_case_alone_are_not_guessed(tmp_path):
    for value, name in enumerate(("A01.tif", "a01.TIF", "B01.tif"), start=1):
        coded.tiff(tmp_path / f"P1/{name}", value)
    rows = "A01,A01.TIF\nB01,b01.tif\n"
    (tmp_path / "P1/load_data.csv").write_text(f"Metadata_Well,FileName_DNA\n{rows}")
    found = coded.read(coded.build(tmp_path / "P1", ["A01", "B01"], channels=["DNA"], at=tmp_path), tmp_path / "P1")
    assert list(found.values()) == [None, 3]
