"""The identity of planes is cross-checked: each of these inputs once gave wrong pixels without an error."""

import gzip
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

import coded
import vendors
from wellspring.index.readers import origin

SIMPLE = r"(?P<well>[A-Z]\d+)_s(?P<site>\d+)_(?P<channel>\w+)\.tif"


def _table(folder, rows, name="load_data.csv"):
    pd.DataFrame(rows).to_csv(folder / name, index=False)


def test_a_second_measurements_wells_are_not_taken_from_the_first(tmp_path, caplog):
    home = tmp_path / "P1__run1"
    for number, well in enumerate(("A01", "B02", "C03")):
        coded.tiff(home / "Images" / f"{well}.tif", 100 + number)
    runs = ["run1", "run1", "run2"]
    rows = {
        "Metadata_Plate": ["P1"] * 3,
        "Metadata_Well": ["A01", "B02", "C03"],
        "FileName_DNA": ["A01.tif", "B02.tif", "C03.tif"],
        "PathName_DNA": [f"/home/ubuntu/bucket/P1__{run}/Images" for run in runs],
    }
    _table(home, rows)
    found = coded.build(home, rows["Metadata_Well"], channels=["DNA"], at=tmp_path)
    values = coded.read(found, home)
    assert values == {("A01", "1", "DNA", "1"): 100, ("B02", "1", "DNA", "1"): 101, ("C03", "1", "DNA", "1"): None}
    assert "1 files count as missing" in caplog.text and "p1__run2" in caplog.text


def test_two_measurements_of_a_table_are_not_mixed_in_a_folder_named_as_the_plate(tmp_path):
    home = tmp_path / "P1"
    for number, well in enumerate(("A01", "B02")):
        coded.tiff(home / f"{well}.tif", 100 + number)
    rows = {"Metadata_Well": ["A01", "B02"], "FileName_DNA": ["A01.tif", "B02.tif"]}
    rows["PathName_DNA"] = ["/x/P1__run1/Images", "/x/P1__run2/Images"]
    _table(home, rows)
    with pytest.raises(ValueError, match=r"several folders.*x/p1__run1.*x/p1__run2.*index\.moved"):
        coded.build(home, rows["Metadata_Well"], channels=["DNA"], at=tmp_path)
    moved = {"/x/{plate}__run1/Images": str(home)}
    found = coded.build(home, rows["Metadata_Well"], channels=["DNA"], at=tmp_path, moved=moved)
    assert coded.read(found, home)["A01", "1", "DNA", "1"] == 100


def test_re_imaged_wells_are_missing_whatever_their_folder_is_called(tmp_path):
    home = tmp_path / "P1"
    for number, well in enumerate(("A01", "B02")):
        coded.tiff(home / f"{well}.tif", 100 + number)
    rows = {"Metadata_Well": ["A01", "B02"], "FileName_DNA": ["A01.tif", "B02.tif"]}
    _table(home, rows | {"PathName_DNA": ["/x/P1/Images", "/x/repeat/Images"]})
    found = coded.build(home, rows["Metadata_Well"], channels=["DNA"], at=tmp_path)
    assert list(coded.read(found, home).values()) == [100, None]
    _table(home, rows | {"PathName_DNA": [str(home), str(tmp_path / "repeat")]})
    found = coded.build(home, rows["Metadata_Well"], channels=["DNA"], at=tmp_path)
    assert list(coded.read(found, home).values()) == [100, None]
    _table(home, rows | {"PathName_DNA": ["/x/bucket/Images"] * 2})
    found = coded.build(home, rows["Metadata_Well"], channels=["DNA"], at=tmp_path)
    assert list(coded.read(found, home).values()) == [100, 101]


def test_rows_of_another_plate_are_not_taken_from_this_one(tmp_path):
    home = tmp_path / "P1"
    coded.tiff(home / "A01.tif", 7)
    _table(home, {"Metadata_Well": ["A01"], "FileName_DNA": ["A01.tif"], "PathName_DNA": ["/data/P2/Images"]})
    with pytest.raises(ValueError, match=r"none of the 1 files.*'data/p2'.*index\.moved"):
        coded.build(home, ["A01"], channels=["DNA"], at=tmp_path)


@pytest.mark.parametrize(
    ("stated", "actual", "rank"),
    [
        ("C:\\scan\\P1\\Images\\a.tif", "/data/P1/a.tif", 3),
        ("s3://bucket/P1/Images/a.tif", "/mnt/run 7/Images/a.tif", 2),
        ("/x/P1-2020/Images/a.tif", "/data/P1/a.tif", 1),
        ("/x/P10/Images/a.tif", "/data/P1/a.tif", -1),
        ("/x/P1_run2/a.tif", "/data/P1_run1/a.tif", -1),
        ("/home/ubuntu/bucket/Images/a.tif", "/data/P1/a.tif", 0),
        ("Images/a.tif", "/data/P1/a.tif", 3),
    ],
)
def test_agreement_of_folders(stated, actual, rank):
    assert origin.rank(origin.folders(stated), origin.folders(actual), plate="P1") == rank


def test_harmonys_name_with_another_folder_is_missing(tmp_path, caplog):
    expected = vendors.harmony(tmp_path / "P1", wells=["A01", "B02"], fields=1, channels=["DNA"])
    first = expected["path"][0].rpartition("/")[2]
    index = tmp_path / "P1/Images/Index.xml"
    index.write_text(index.read_text().replace(f"<URL>{first}", f"<URL>../../P1__run2/Images/{first}"))
    found = coded.build(tmp_path / "P1", ["A01", "B02"], channels=["DNA"], at=tmp_path)
    assert found.table["Metadata_Path"].tolist() == [None, expected["path"][1]]
    index.write_text(index.read_text().replace("../../P1__run2/Images/", "run2/"))
    found = coded.build(tmp_path / "P1", ["A01", "B02"], channels=["DNA"], at=tmp_path)
    assert found.table["Metadata_Path"].tolist() == [None, expected["path"][1]]


@pytest.mark.parametrize("column", ["channel", "well", "site"])
def test_an_image_named_for_two_planes_is_an_error_that_lists_them(tmp_path, column):
    home = tmp_path / "P1"
    coded.tiff(home / "a.tif", 1)
    coded.tiff(home / "b.tif", 2)
    names = {"FileName_AGP": ["a.tif", "b.tif"], "FileName_Mito": ["a.tif", "b.tif"]}
    rows = {"Metadata_Well": ["A01", "B02"], "Metadata_Site": ["1", "1"], **names}
    if column != "channel":
        rows = rows | {"FileName_AGP": ["a.tif", "a.tif"]}
        rows |= {"Metadata_Site": ["1", "2"], "Metadata_Well": ["A01", "A01"]} if column == "site" else {}
    _table(home, rows)
    channels = ["AGP", "Mito"] if column == "channel" else ["AGP"]
    with pytest.raises(ValueError, match=r"a\.tif page 0: A01 1 AGP 1 and .*leave one of the channels out"):
        coded.build(home, sorted(set(rows["Metadata_Well"])), channels=channels, at=tmp_path)
    if column == "channel":
        found = coded.build(home, ["A01", "B02"], channels=["Mito"], at=tmp_path)
        assert list(coded.read(found, home).values()) == [1, 2]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_plate_whose_planes_all_name_one_file_is_an_error_that_names_it(tmp_path, kind):
    """Every well would have the pixels of one: an export with a macro that did not change the name."""
    home = tmp_path / "P1"
    coded.tiff(home / "a.tif", 1)
    rows = {"Metadata_Well": ["A01", "A01", "B02", "B02"], "Metadata_Site": ["1", "2", "1", "2"]}
    rows |= {f"FileName_Orig{channel}": ["a.tif"] * 4 for channel in ("DNA", "ER")}
    if kind == "parquet":
        pd.DataFrame(rows).to_parquet(home / "load_data.parquet")
    else:
        _table(home, rows)
    with pytest.raises(ValueError, match=r"found 1 named for several: a\.tif page 0: A01 1 DNA 1 and .*B02 2 ER 1"):
        coded.build(home, ["A01", "B02"], channels=["DNA", "ER"], at=tmp_path)


def test_files_of_several_pages_are_no_single_planes(tmp_path):
    home = tmp_path / "P1"
    coded.tiff(home / "A01_s1_DNA.tif", 11, 12, 13)
    coded.tiff(home / "B02_s1_DNA.tif", 21, 22, 23)
    with pytest.raises(ValueError, match=r"expected files of one page, found A01_s1_DNA\.tif with 3.*index\.pages"):
        coded.build(home, ["A01", "B02"], channels=["DNA"], at=tmp_path, pattern=SIMPLE)
    found = coded.build(home, ["A01", "B02"], channels=["DNA"], at=tmp_path, pattern=SIMPLE, pages="first")
    assert list(coded.read(found, home).values()) == [11, 21]
    found = coded.build(home, ["A01", "B02"], channels=["DNA"], at=tmp_path, pattern=SIMPLE, pages="plane")
    assert list(coded.read(found, home).values()) == [11, 12, 13, 21, 22, 23]


def test_imagejs_metadata_name_the_pages(tmp_path, caplog):
    home = tmp_path / "P1"
    home.mkdir()
    expected = {}
    for start, well in ((100, "A01"), (200, "B02")):
        values = start + np.arange(6).reshape(3, 2)  # z, c
        stack = np.array([[coded.plane(value) for value in row] for row in values])
        tifffile.imwrite(home / f"{well}.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
        expected |= {(well, "1", str(c + 1), str(z + 1)): int(values[z, c]) for z in range(3) for c in range(2)}
    options = {"pattern": r"(?P<well>[A-Z]\d+)\.tif", "aliases": {"DNA": "1", "ER": "2"}}
    found = coded.build(home, ["A01", "B02"], channels=["DNA", "ER"], at=tmp_path, **options)
    named = {(well, site, {"1": "DNA", "2": "ER"}[c], z): value for (well, site, c, z), value in expected.items()}
    assert coded.read(found, home) == named
    coded.tiff(home / "C03.tif", 1)
    found = coded.build(home, ["A01", "B02", "C03"], channels=["DNA", "ER"], at=tmp_path, **options)
    lost = {(well, site, c, z): None for well, site, c, z in coded.read(found, home) if well == "C03"}
    assert coded.read(found, home) == named | lost
    assert len(lost) == 6
    assert "expected 6 pages, found {'C03.tif': 1}" in caplog.text


def test_a_stack_among_single_planes_is_read_where_imagej_names_its_pages(tmp_path):
    home = tmp_path / "P1"
    for number, well in enumerate(("A01", "A02", "A03")):
        coded.tiff(home / f"{well}.tif", 10 + number)
    stack = np.array([coded.plane(value) for value in (21, 22, 23)])
    tifffile.imwrite(home / "B01.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    options = {"channels": ["DNA"], "at": tmp_path, "pattern": r"(?P<well>[A-Z]\d+)\.tif", "aliases": {"DNA": "1"}}
    expected = {("A01", "1", "DNA", "1"): 10, ("A02", "1", "DNA", "1"): 11, ("A03", "1", "DNA", "1"): 12}
    expected |= {("B01", "1", "DNA", str(z)): 20 + z for z in (1, 2, 3)}
    assert coded.read(coded.build(home, ["A01", "A02", "A03", "B01"], **options), home) == expected
    tifffile.imwrite(
        home / "B01.tif", stack
    )  # nothing names the pages: the first is listed, and the survey excludes it
    found = coded.build(home, ["A01", "A02", "A03", "B01"], **options)
    assert len(found.table) == 4


def test_z_steps_of_the_htd_name_the_pages(tmp_path):
    home = tmp_path / "P1"
    vendors.imagexpress(home, waves=["DAPI"], sites=1, thumbnails=False)
    htd = home / "P1.HTD"
    htd.write_text(
        htd.read_text("latin-1").replace('"ZSeries", FALSE', '"ZSeries", TRUE').replace('"ZSteps", 0', '"ZSteps", 3'),
        "latin-1",
    )
    for number, path in enumerate(sorted(home.glob("*.tif"))):
        coded.tiff(path, *(10 * number + step for step in (1, 2, 3)))
    found = coded.build(home, ["A01", "B02"], channels=["DAPI"], at=tmp_path)
    keys = [(well, "1", "DAPI", step) for well in ("A01", "B02") for step in ("1", "2", "3")]
    assert coded.read(found, home) == dict(zip(keys, [1, 2, 3, 11, 12, 13], strict=True))


def test_series_and_frames_of_cellprofiler(tmp_path):
    home = tmp_path / "P1"
    home.mkdir()
    with tifffile.TiffWriter(home / "a.tif") as file:  # three series, of two pages each
        for first in (10, 20, 30):
            file.write(np.array([coded.plane(first), coded.plane(first + 1)]), photometric="minisblack")
    rows = {"Metadata_Well": ["A01"], **{f"FileName_{name}": ["a.tif"] for name in ("DNA", "ER", "AGP")}}
    rows |= {
        "Series_DNA": [0],
        "Series_ER": [2],
        "Series_AGP": [1],
        "Frame_DNA": [1],
        "Frame_ER": [0],
        "Frame_AGP": [1],
    }
    _table(home, rows)
    found = coded.build(home, ["A01"], channels=["DNA", "ER", "AGP"], at=tmp_path)
    assert list(coded.read(found, home).values()) == [11, 30, 21]
    _table(home, rows | {"Series_ER": [3]})
    with pytest.raises(ValueError, match=r"a\.tif: expected frame 0 of series 3, found series of \[2, 2, 2\] frames"):
        coded.build(home, ["A01"], channels=["DNA", "ER", "AGP"], at=tmp_path)


@pytest.mark.parametrize("kind", ["miniswhite", "thumbnail", "pyramid"])
def test_pages_that_are_no_planes(tmp_path, kind):
    home = tmp_path / "P1"
    home.mkdir()
    with tifffile.TiffWriter(home / "A01_s1_DNA.tif") as file:
        if kind == "miniswhite":
            file.write(2**16 - 1 - coded.plane(50), photometric="miniswhite", metadata=None)
        else:
            small = {"photometric": "minisblack", "subfiletype": 1, "metadata": None}
            if kind == "thumbnail":
                file.write(np.zeros((2, 4), np.uint16), **small)
            file.write(coded.plane(50), photometric="minisblack", metadata=None)
            if kind == "pyramid":
                file.write(np.zeros((3, 5), np.uint16), **small)
    found = coded.build(home, ["A01"], channels=["DNA"], at=tmp_path, pattern=SIMPLE)
    assert list(coded.read(found, home).values()) == [50]


def test_a_columbus_index_names_the_buffers_of_its_files(tmp_path):
    expected = vendors.harmony(tmp_path / "P1", wells=["A01"], fields=1, channels=["DNA", "ER"], side=0)
    index = tmp_path / "P1/Images/Index.xml"
    text = index.read_text()
    for number, path in enumerate(expected["path"]):
        name = path.rpartition("/")[2]
        text = text.replace(f"<URL>{name}", f'<URL BufferNo="{number}">001001000.flex')
        (tmp_path / "P1" / path).unlink()
    index.write_text(text)
    coded.tiff(tmp_path / "P1/Images/001001000.flex", 31, 32)
    found = coded.build(tmp_path / "P1", ["A01"], channels=["DNA", "ER"], at=tmp_path)
    assert coded.read(found, tmp_path / "P1") == {("A01", "1", "DNA", "1"): 31, ("A01", "1", "ER", "1"): 32}


def test_doubled_planes_are_never_chosen_by_name(tmp_path):
    home = tmp_path / "P1"
    coded.tiff(home / "run1" / "A01_s1_DNA.tif", 1)
    coded.tiff(home / "run2" / "A01_s1_DNA.tif", 2)
    coded.tiff(home / "run2" / "B02_s1_DNA.tif", 3)
    options = {"channels": ["DNA"], "at": tmp_path, "pattern": SIMPLE}
    for lost_wells in ("error", "report"):
        with pytest.raises(ValueError, match=r"one acquisition, found \{'run1'.*'run2'.*one in index.acquisition"):
            coded.build(home, ["A01", "B02"], lost_wells=lost_wells, **options)
    with pytest.raises(ValueError, match=r"folders \['run1', 'run2'\]: index.acquisition chooses a folder"):
        coded.build(home, ["A01", "B02"], acquisition="all", **options)
    passed = coded.build(home, ["A01", "B02"], lost_wells="report", acquisition="all", **options)
    assert list(coded.read(passed, home).values()) == [None, 3]
    assert passed.audit["Metadata_Doubled"].tolist() == [True, False]
    chosen = coded.build(home, ["A01", "B02"], acquisition="run2", **options)
    assert list(coded.read(chosen, home).values()) == [2, 3]
    with pytest.raises(ValueError, match=r"expected the acquisition run3 .*folders \['run1', 'run2'\]"):
        coded.build(home, ["A01", "B02"], acquisition="run3", **options)


def test_harmonys_measurements_one_folder_up(tmp_path):
    home = tmp_path / "P1"
    one = vendors.harmony(home / "P1__run1", wells=["A01"], fields=1, channels=["DNA"])
    found = coded.build(home, ["A01"], channels=["DNA"], at=tmp_path)
    assert found.table["Metadata_Path"].tolist() == [f"P1__run1/{one['path'][0]}"]
    vendors.harmony(home / "P1__run2", wells=["A01"], fields=1, channels=["DNA"])
    with pytest.raises(ValueError, match=r"found \['P1__run1', 'P1__run2'\] \(choose one in index.acquisition"):
        coded.build(home, ["A01"], channels=["DNA"], at=tmp_path)
    found = coded.build(home, ["A01"], channels=["DNA"], at=tmp_path, acquisition="{plate}__run2")
    assert found.table["Metadata_Path"].tolist() == [f"P1__run2/{one['path'][0]}"]


def test_a_microscopes_name_of_another_plate_is_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    vendors.harmony(tmp_path / "P1", wells=["A01"], fields=1, channels=["DNA"], plate="P10")
    coded.build(tmp_path / "P1", ["A01"], channels=["DNA"], at=tmp_path)
    assert "is of the plate P10 by its own metadata" in caplog.text
    caplog.clear()
    vendors.harmony(tmp_path / "P1", wells=["A01"], fields=1, channels=["DNA"], plate="P1 (repeat)")
    coded.build(tmp_path / "P1", ["A01"], channels=["DNA"], at=tmp_path)
    assert "own metadata" not in caplog.text


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize(
    "name", ["FileName_OrigER", "PathName_OrigER", "URL_OrigER", "Metadata_Well", "Metadata_Site", "Other"]
)
def test_a_doubled_column_is_an_error_that_names_it(tmp_path, name, form):
    """The second was once taken for a channel ER.1, and the first for ER whichever was right."""
    home = tmp_path / "P1"
    for number in range(2):
        coded.tiff(home / f"{number}.tif", number)
    columns = {"Metadata_Well": "A01", "Metadata_Site": "1", "FileName_OrigER": "0.tif", "PathName_OrigER": str(home)}
    columns |= {"URL_OrigER": "", "Other": "x"}
    changed = {"Metadata_Well": "B02", "Metadata_Site": "2", "FileName_OrigER": "1.tif"}.get(name, "y")

    def written(last):
        _doubled(home / f"load_data.{form}", [*columns, name], [*columns.values(), last])

    written(changed)
    with pytest.raises(
        ValueError, match=rf"load_data\.{form}: expected a LoadData table, .*\['{name}'\] more than once"
    ):
        coded.build(home, ["A01"], channels=["ER"], at=tmp_path)
    if form == "parquet":  # of which none can be chosen by its name
        return
    written(columns[name])  # the same cells twice are no contradiction
    assert coded.read(coded.build(home, ["A01"], channels=["ER"], at=tmp_path), home) == {("A01", "1", "ER", "1"): 0}


def _doubled(path, names, cells):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_arrays([pa.array([cell]) for cell in cells], names=names), path)
    else:
        text = f"{','.join(names)}\n{','.join(cells)}\n".encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.parametrize("cells", ["A01,1,a.tif,", "A01,1,a.tif,x,y"])
def test_rows_longer_than_the_header_do_not_shift(tmp_path, cells):
    """Pandas would take the first column for the names of rows, and the site for the well."""
    home = tmp_path / "P1"
    coded.tiff(home / "a.tif", 1)
    (home / "load_data.csv").write_text(f"Metadata_Well,Metadata_Site,FileName_ER\n{cells}\n{cells}\n")
    with pytest.raises(ValueError, match=r"load_data\.csv: expected a LoadData table.*line 2"):
        coded.build(home, ["A01"], channels=["ER"], at=tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    home = tmp_path / "P1"
    coded.tiff(home / "a.tif", 1)
    (home / "load_data.csv").write_text("Metadata_Well,Metadata_Site,FileName_ER\nA01,1,a.tif\n", encoding="utf-8-sig")
    assert coded.read(coded.build(home, ["A01"], channels=["ER"], at=tmp_path), home) == {("A01", "1", "ER", "1"): 1}


@pytest.mark.parametrize("kind", ["channel", "site", "twice"])
def test_a_link_to_the_image_of_another_plane_is_an_error_that_lists_both(tmp_path, kind):
    for number, name in enumerate(("A01_s1_DNA", "A01_s1_ER", "A01_s2_DNA", "A01_s2_ER")):
        coded.tiff(tmp_path / "P1" / f"{name}.tif", 20 + number)
    link = tmp_path / "P1" / ("A01_s2_DNA.tif" if kind == "site" else "A01_s1_ER.tif")
    link.unlink()
    link.symlink_to("A01_s1_DNA.tif")
    if kind == "twice":  # two links to an image that is no plane
        first = tmp_path / "P1" / "A01_s1_DNA.tif"
        first.rename(tmp_path / "P1" / "image.tif")
        for path in (first, link):
            path.unlink(missing_ok=True)
            path.symlink_to("image.tif")
    words = (
        r"expected each image for one well, site, channel and plane, found 1 named for several: A01_s1_\w+\.tif page 0"
    )
    with pytest.raises(ValueError, match=words):
        coded.build(tmp_path / "P1", ["A01"], channels=["DNA", "ER"], at=tmp_path)


def test_links_to_a_store_by_content_may_share_a_black_image(tmp_path):
    coded.tiff(tmp_path / "store" / "ab12", 30)
    for name in ("A01_s1_DNA", "A01_s1_ER"):
        (tmp_path / "P1").mkdir(exist_ok=True)
        (tmp_path / "P1" / f"{name}.tif").symlink_to(tmp_path / "store" / "ab12")
    roots = [str(tmp_path / "store")]
    found = coded.build(tmp_path / "P1", ["A01"], channels=["DNA", "ER"], at=tmp_path, roots=roots)
    assert list(coded.read(found, tmp_path / "P1").values()) == [30, 30]
