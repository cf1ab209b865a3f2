"""Layouts that one rule less would refuse: each is read to the last pixel, or refused by its name."""

import itertools
import json
import re
import shutil
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import coded
import containers
from wellspring.index.readers import detect, foreign, pattern
from wellspring.io import raw_image

DATA = np.random.default_rng(0).integers(-300, 300, (9, 14))


@pytest.mark.parametrize("form", ["{}", "_{}", "_[{}]"])
@pytest.mark.parametrize("reader", ["auto", "imagexpress"])
def test_metaxpress_without_htd_in_one_folder(tmp_path, form, reader):
    """JUMP's source_8: GUIDs in the names, no .HTD, no folders; and thumbnails, which are left out."""
    home, expected = tmp_path / "P1", {}
    for number, well in enumerate(("A01", "H12")):
        for site in ("1", "2"):
            for wave, channel in (("1", "DNA"), ("2", "ER")):
                value = 100 * number + 10 * int(site) + int(wave)
                stem = f"P1_{well}_s{site}_w{wave}"
                for extra in ("", "_thumb"):
                    guid = form.format(str(uuid.uuid5(uuid.NAMESPACE_OID, stem + extra)).upper())
                    coded.tiff(home / f"{stem}{extra}{guid}.tif", value if not extra else 9)
                expected[well, site, channel, "1"] = value
    found = coded.build(
        home,
        ["A01", "H12"],
        channels=["DNA", "ER"],
        at=tmp_path,
        aliases={"DNA": "w1", "ER": "w2"},
        reader=reader,
    )
    assert coded.read(found, home) == expected


@pytest.mark.parametrize("reader", ["auto", "ometiff"])
@pytest.mark.parametrize("ending", [".tif", ".tiff"])
def test_ome_tiff_that_is_called_tif(tmp_path, reader, ending):
    home, expected = tmp_path / "P1", {}
    home.mkdir()
    for start, well in ((100, "A01"), (200, "B02")):
        values = start + np.arange(6).reshape(2, 3)  # z, c
        stack = np.array([[coded.plane(value) for value in row] for row in values])
        metadata = {"axes": "ZCYX", "Channel": {"Name": ["DNA", "ER", "AGP"]}}
        tifffile.imwrite(home / f"{well}_s1{ending}", stack, ome=True, metadata=metadata)
        for (plane, channel), value in np.ndenumerate(values):
            expected[well, "1", ("DNA", "ER", "AGP")[channel], str(plane + 1)] = value
    channels = ["DNA", "ER", "AGP"]
    pattern = r"(?P<well>[A-Z]\d+)_s(?P<site>\d)\.tiff?"
    found = coded.build(home, ["A01", "B02"], channels=channels, at=tmp_path, pattern=pattern, reader=reader)
    assert coded.read(found, home) == expected


def test_single_planes_with_ome_xml_are_named_by_their_files(tmp_path):
    for well, value in (("A01", 1), ("B02", 2)):
        (tmp_path / "P1").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "P1" / f"{well}_s1_DNA.tif", coded.plane(value), ome=True)
    found = coded.build(tmp_path / "P1", ["A01", "B02"], channels=["DNA"], at=tmp_path)
    assert list(coded.read(found, tmp_path / "P1").values()) == [1, 2]
    detected = detect.choose(tmp_path / "P1", plate="P1", options=coded.section("index"))
    assert detected == "pattern"


@pytest.mark.parametrize(
    ("kind", "limits"),
    [(np.float32, (-300, 300)), (np.int16, (-32768, 32767)), (np.uint32, (0, 65535)), (np.float64, (-1000, 2000))],
)
@pytest.mark.parametrize("form", ["tif", "zarr"])
def test_other_types_by_a_stated_range(tmp_path, kind, limits, form):
    values = DATA + (300 if kind == np.uint32 else 0)
    if form == "tif":
        tifffile.imwrite(tmp_path / "a.tif", values.astype(kind))
    else:
        zarr.create_array(tmp_path / "a.tif", data=values.astype(kind), zarr_format=3)
    plain = raw_image.status(tmp_path, "a.tif")
    assert plain.status == "dtype"
    assert "index.range states" in plain.reason
    low, high = limits
    rules = raw_image.Rules.of({"range": [low, high], "absent_chunks": "auto"})
    found = raw_image.read(tmp_path, "a.tif", rules=rules)
    assert found.dtype == np.uint16
    assert np.abs(found - (values - low) * (65535 / (high - low))).max() <= 0.5 + 1e-9
    assert found.min() == round((int(values.min()) - low) * 65535 / (high - low))
    narrow = raw_image.Rules(range=(float(values.min()), float(values.max()) - 1))
    assert raw_image.status(tmp_path, "a.tif", rules=narrow).status == "dtype"
    assert "within index.range" in raw_image.status(tmp_path, "a.tif", rules=narrow).reason


def test_usual_types_are_as_stored_whatever_the_range(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", coded.plane(7))
    np.testing.assert_array_equal(
        raw_image.read(tmp_path, "a.tif", rules=raw_image.Rules(range=(0.0, 1.0))), coded.plane(7)
    )
    values = DATA.astype(np.float32)
    values[0, 0] = np.nan
    tifffile.imwrite(tmp_path / "b.tif", values)
    found = raw_image.status(tmp_path, "b.tif", rules=raw_image.Rules(range=(-1000.0, 1000.0)))
    assert (found.status, "not numbers" in found.reason) == ("dtype", True)
    with pytest.raises(
        ValueError, match=r"index.range: expected a smaller and a larger grey value, found \[1.0, 0.0\]"
    ):
        raw_image.Rules.of({"range": [1, 0], "absent_chunks": "auto"})


def _round_well():
    """Return a field that is black outside of a disc, as a stitched well."""
    rows, columns = np.mgrid[:96, :128]
    inside = (rows - 48) ** 2 + (columns - 64) ** 2 < 45**2
    return np.where(inside, np.random.default_rng(1).integers(100, 4000, inside.shape), 0).astype(np.uint16)


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_that_the_writer_left_out_are_black(tmp_path, version):
    pixels = _round_well()
    config = {"write_empty_chunks": False}
    zarr.create_array(tmp_path / "0", data=pixels, chunks=(16, 16), zarr_format=version, fill_value=0, config=config)
    whole = [
        path for path in (tmp_path / "0").rglob("*") if path.is_file() and not path.name.startswith((".z", "zarr"))
    ]
    assert len(whole) < 6 * 8  # some are left out
    np.testing.assert_array_equal(raw_image.read(tmp_path, "0"), pixels)
    rules = {name: raw_image.Rules(absent_chunks=name) for name in ("zeros", "missing")}
    np.testing.assert_array_equal(raw_image.read(tmp_path, "0", rules=rules["zeros"]), pixels)
    assert raw_image.status(tmp_path, "0", rules=rules["missing"]).status == "truncated"
    middle = next(path for path in whole if path.name in ("3.4",) or path.parts[-2:] == ("3", "4"))
    middle.unlink()
    lost = raw_image.status(tmp_path, "0")
    assert lost.status == "truncated"
    assert "index.absent_chunks" in lost.reason


def test_a_writer_that_stores_black_chunks_leaves_none_out(tmp_path):
    pixels = _round_well()
    config = {"write_empty_chunks": True}
    zarr.create_array(tmp_path / "0", data=pixels, chunks=(16, 16), zarr_format=3, fill_value=0, config=config)
    (tmp_path / "0" / "c" / "0" / "0").unlink()  # black, and lost
    assert raw_image.status(tmp_path, "0").status == "truncated"


def test_chunks_within_a_shard_are_black_by_its_index(tmp_path):
    pixels = _round_well()
    options = {"shards": (48, 64), "config": {"write_empty_chunks": False}, "fill_value": 0, "zarr_format": 3}
    zarr.create_array(tmp_path / "0", data=pixels, chunks=(16, 16), **options)
    rules = raw_image.Rules(absent_chunks="missing")
    np.testing.assert_array_equal(raw_image.read(tmp_path, "0", rules=rules), pixels)


def test_a_lost_chunk_names_well_and_site(tmp_path):
    array = tmp_path / "P.zarr" / "B" / "3" / "1" / "0"
    zarr.create_array(array, data=np.full((32, 48), 7, np.uint16), chunks=(16, 16), zarr_format=3)
    (array / "c" / "1" / "1").unlink()
    assert "B/3/1/0: 1 of 6 chunks are missing" in raw_image.status(tmp_path, "P.zarr/B/3/1/0").reason


def test_numeric_rows_and_ngff_0_1(tmp_path):
    """NGFF 0.1 names no axes and no version; bioformats2raw writes rows as numbers from 0."""
    home, expected = tmp_path / "P1.zarr", {}
    (home / "1" / "2").mkdir(parents=True)
    paths = {"A01": "0/0", "B03": "1/2"}
    plate = {"rows": [{"name": "0"}, {"name": "1"}], "columns": [{"name": "0"}, {"name": "2"}]}
    attributes = {home: {"plate": plate | {"wells": [{"path": path} for path in paths.values()]}}}
    for start, (well, path) in enumerate(paths.items()):
        attributes[home / path] = {"well": {"images": [{"path": "0"}]}}
        attributes[home / path / "0"] = {"multiscales": [{"datasets": [{"path": "0"}]}]}
        values = 10 * start + np.arange(6).reshape(1, 2, 3)
        data = np.array([[[coded.plane(v) for v in z] for z in c] for c in values])
        zarr.create_array(home / path / "0" / "0", data=data, zarr_format=2, chunks=(1, 1, 1, *coded.SHAPE))
        expected |= {
            (well, "0", ("DNA", "ER")[c], str(z + 1)): int(values[0, c, z]) for c in range(2) for z in range(3)
        }
    for place, content in attributes.items():
        (place / ".zgroup").write_text('{"zarr_format": 2}')
        (place / ".zattrs").write_text(json.dumps(content))
    found = coded.build(home, list(paths), channels=["DNA", "ER"], at=tmp_path, aliases={"DNA": "1", "ER": "2"})
    assert coded.read(found, home) == expected


@pytest.mark.parametrize("ending", foreign.ENDINGS)
def test_a_format_that_is_not_read_is_named_with_its_export(tmp_path, ending):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / f"scan_A01{ending}").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match=r"P1: expected in .* found the files .*which is not read: \w+") as error:
        detect.choose(tmp_path / "P1", plate="P1", options=coded.section("index"))
    what, export = foreign.KINDS[foreign.ENDINGS[ending]]
    assert f"1 files {ending} are {what}, which is not read: {export}" in str(error.value)


@pytest.mark.parametrize(("start", "magic", "kind"), foreign.MAGIC)
@pytest.mark.parametrize("name", ["scan_A01.bin", "scan_A01", "scan_A01_odd.tif"])
def test_so_is_one_by_its_first_bytes(tmp_path, start, magic, kind, name):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / name).write_bytes(bytes(start) + magic + bytes(600))
    with pytest.raises(ValueError, match=r"P1: expected in .* which is not read: \w+") as error:
        detect.choose(tmp_path / "P1", plate="P1", options=coded.section("index"))
    assert f"are {foreign.KINDS[kind][0]}, which is not read: {foreign.KINDS[kind][1]}" in str(error.value)


def test_the_commonest_files_that_are_not_read_are_named(tmp_path):
    (tmp_path / "P1").mkdir()
    for number in range(3):
        (tmp_path / "P1" / f"scan_{number}.c01").write_bytes(bytes(9))
    (tmp_path / "P1" / "notes.txt").write_text("of the microscopist")
    (tmp_path / "P1" / "movie.mp4").write_bytes(bytes(9))
    assert ". 3 files .c01 are Cellomics C01, which is not read: HCS Studio exports" in foreign.hint(tmp_path / "P1")


def _expressions():
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
    return re.findall(r"^\| [^|]+ \| `([^`|]+)` \| `([^`|]+)`", page, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "expression"), _expressions())
def test_expressions_of_the_docs_match_their_file_names(name, expression):
    match = pattern.compile_pattern(expression).fullmatch(name)
    assert pattern.well_of(match) == "B03"
    assert match["site"].lstrip("0") == "1"


def test_cellomics_tiff_export_by_the_expression_of_the_docs(tmp_path):
    """Fields and channels count from 0, and a plate's files share the name of their scan."""
    expression = next(text for name, text in _expressions() if name.startswith("MFGTMP"))
    expected = {}
    for number, well in enumerate(("A01", "B03", "P24")):
        for field in range(2):
            for channel in range(3):
                value = 100 * number + 10 * field + channel
                coded.tiff(tmp_path / "P1" / f"MFGTMP_260306160001_{well}f{field:02}d{channel}.TIF", value)
                if channel < 2:
                    expected[well, f"{field:02}", ("DNA", "ER")[channel], "1"] = value
    (tmp_path / "P1" / "asn.mdb").write_bytes(b"\0\1\0\0Standard Jet DB" + bytes(50))  # the database of the scan
    options = {"channels": ["DNA", "ER"], "aliases": {"DNA": "0", "ER": "1"}, "pattern": expression}
    found = coded.build(tmp_path / "P1", ["A01", "B03", "P24"], at=tmp_path, **options)
    assert coded.read(found, tmp_path / "P1") == expected


def test_the_docs_name_every_format_that_is_not_read():
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
    assert len(_expressions()) >= 6
    assert [ending for ending in foreign.ENDINGS if f"`{ending}`" not in page] == []


def _xdce(home, wells, *, sites, filters, depth=1, lost=()):
    """Write a plate of IN Cell Analyzer; returns the value of each plane by well, site, filters and plane."""
    images, held = "", {}
    for number, (well, site, wave, z) in enumerate(
        itertools.product(wells, range(sites), range(len(filters)), range(depth))
    ):
        row, column = ord(well[0]) - 64, int(well[1:])
        excitation, emission = filters[wave]
        step = f" z {z + 1}" if depth > 1 else ""
        name = f"{well[0]} - {column}(fld {site + 1} wv {excitation} - {emission}{step}).tif"
        if (well, site) not in lost:
            coded.tiff(home / name, 100 + number)
        held[well, str(site + 1), f"{excitation} - {emission}", str(z + 1)] = 100 + number
        images += (
            f'<Image acquisition_time_ms="1.0" filename="{name}"><Well label="{well[0]} - {column}">'
            f'<Row number="{row}"/><Column number="{column}"/></Well><ExcitationFilter name="{excitation}" unit="nm" />'
            f'<EmissionFilter name="{emission}" unit="nm" /><Identifier field_index="{site}" time_index="0" '
            f'wave_index="{wave}" z_index="{z}" /></Image>\n'
        )
    calibration = '<ObjectiveCalibration id="1" pixel_width="0.325" pixel_height="0.325" unit="um" />'
    head = f'<?xml version="1.0" encoding="ISO-8859-1"?><ImageStack><AutoLeadAcquisitionProtocol>{calibration}'
    (home / "P1.xdce").write_text(
        f'{head}</AutoLeadAcquisitionProtocol><Images path="E:\\scans\\P1">{images}</Images></ImageStack>'
    )
    return held


@pytest.mark.parametrize("reader", ["auto", "incell"])
@pytest.mark.parametrize("depth", [1, 3])
def test_in_cell(tmp_path, reader, depth):
    filters = [("UV", "DAPI"), ("Blue", "FITC")]
    home = tmp_path / "P1"
    held = _xdce(home, ["A01", "C12"], sites=2, filters=filters, depth=depth, lost={("C12", 1)})
    ours = {"UV - DAPI": "DNA", "Blue - FITC": "ER"}
    found = coded.build(
        home,
        ["A01", "C12"],
        channels=["DNA", "ER"],
        at=tmp_path,
        aliases={channel: name for name, channel in ours.items()},
        reader=reader,
    )
    assert coded.read(found, home) == {
        (well, site, ours[name], plane): None if (well, site) == ("C12", "2") else value
        for (well, site, name, plane), value in held.items()
    }
    assert found.table["Metadata_Pixel_Size"].dropna().unique().tolist() == [0.325]
    for name in ("Alpha", "Gamma"):
        shutil.copytree(home, tmp_path / "day" / name)
    build = {"channels": ["DNA"], "at": tmp_path, "aliases": {"DNA": "UV - DAPI"}, "plate": "day", "reader": reader}
    with pytest.raises(ValueError, match=r"day: expected one \.xdce .*Alpha/P1\.xdce.*Gamma/P1\.xdce"):
        coded.build(tmp_path / "day", ["A01", "C12"], **build)
    (home / "P1.xdce").write_text("<ImageStack></ImageStack>")
    with pytest.raises(ValueError, match=r"P1.*P1.xdce: expected images, found none"):
        coded.build(home, ["A01"], channels=["DNA"], at=tmp_path, reader=reader)


@pytest.mark.parametrize("reader", ["auto", "ometiff"])
def test_cq1(tmp_path, reader):
    """The wells of a CQ1 are in the names of images; its MIP describes the same planes projected, and is left."""
    home, images, expected = tmp_path / "P1", "", {}
    for number, (well, row, column) in enumerate((("A01", 1, 1), ("B03", 2, 3))):
        for field in (1, 2):
            blocks = ""
            for channel in (1, 2):
                file = f"W{12 * (row - 1) + column:04d}F{field:04d}T0001Z001C{channel}.tif"
                value = 100 * number + 10 * field + channel
                coded.tiff(home / "Image" / file, value)
                expected[well, str(field), ("DNA", "ER")[channel - 1], "1"] = value
                blocks += f"<TiffData FirstC='{channel - 1}' IFD='0' PlaneCount='1'>"
                blocks += f"<UUID FileName='Image\\{file}'>urn:uuid:{file}</UUID></TiffData>"
            name = f"W{12 * (row - 1) + column}(R{row}C{column}),A1,F{field}"
            images += (
                f"<Image ID='Image:{number}:{field}' Name='{name}'><Pixels ID='P' "
                "DimensionOrder='XYZCT' Type='uint16' SizeX='10' SizeY='6' SizeZ='1' SizeC='2' SizeT='1'>"
                f"<Channel ID='C:0' Name='CH1'/><Channel ID='C:1' Name='CH2'/>{blocks}</Pixels></Image>"
            )
    text = f"<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2013-06'>{images}</OME>"
    (home / "MeasurementResult.ome.xml").write_text(text)
    (home / "MeasurementResultMIP.ome.xml").write_text(text.replace("Image\\\\", "Projection\\\\"))
    found = coded.build(
        home, ["A01", "B03"], channels=["DNA", "ER"], at=tmp_path, aliases={"DNA": "CH1", "ER": "CH2"}, reader=reader
    )
    assert coded.read(found, home) == expected
    for name in ("Alpha", "Gamma"):
        shutil.copytree(home, tmp_path / "day" / name)
    build = {"channels": ["DNA"], "at": tmp_path, "aliases": {"DNA": "CH1"}, "plate": "day", "reader": reader}
    with pytest.raises(ValueError, match=r"day: expected one acquisition, found \{'Alpha'.*'Gamma'"):
        coded.build(tmp_path / "day", ["A01", "B03"], **build)


def test_images_of_another_plate_by_their_names_are_told(tmp_path, caplog):
    for number, well in enumerate(("A01", "B03")):
        coded.tiff(tmp_path / "scan" / "TimePoint_1" / f"BR77_{well}_w1.TIF", number)
    options = {"channels": ["DNA"], "aliases": {"DNA": "w1"}, "at": tmp_path}
    coded.build(tmp_path / "scan", ["A01", "B03"], plate="BR77", **options)
    assert "by its own metadata" not in caplog.text
    coded.build(tmp_path / "scan", ["A01", "B03"], plate="BR78", **options)
    assert "is of the plate BR77, scan by its own metadata" in caplog.text


def test_files_of_positions_need_their_package_and_a_well(tmp_path, monkeypatch):
    home = tmp_path / "P1"
    home.mkdir()
    stacks = np.arange(2 * 60, dtype=np.uint16).reshape(1, 2, 1, 1, *coded.SHAPE)
    containers.nd2(home / "scan.nd2", stacks, positions=["#1", "#2"], channels=["DAPI"], pixel=0.65)
    options = {"channels": ["DNA"], "aliases": {"DNA": "DAPI"}, "at": tmp_path}
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(ValueError, match=r"P1/scan.nd2: expected the package nd2, .* `pip install nd2`"):
        coded.build(home, ["A01"], **options)
    monkeypatch.undo()
    pytest.importorskip("nd2")
    with pytest.raises(ValueError, match=r"P1: expected files .* found \['scan.nd2/#1', 'scan.nd2/#2'\] \(set index"):
        coded.build(home, ["A01"], **options)
    (home / "scan.nd2").rename(home / "Well_A01_P1.nd2")
    found = coded.build(home, ["A01"], pattern=r"Well_(?P<well>[A-Z]\d+)_.*\.nd2/#(?P<site>\d)", **options)
    assert found.table["Metadata_Site"].tolist() == ["1", "2"]
    assert found.table["Metadata_Pixel_Size"].tolist() == [0.65, 0.65]
    for page in (0, 1):
        np.testing.assert_array_equal(raw_image.read(home, "Well_A01_P1.nd2", page), stacks[0, page, 0, 0])
    assert raw_image.status(home, "Well_A01_P1.nd2", 2).status == "missing"
    containers.nd2(home / "Well_A01_P1.nd2", stacks, positions=["B01", "B02"], channels=["DAPI"], pixel=0.65)
    (home / "Well_A01_P1.nd2").rename(home / "WellA01.nd2")
    with pytest.raises(ValueError, match=r"P1: expected one well in 'WellA01.nd2/B01', found \['A01', 'B01'\]"):
        coded.build(home, ["A01"], **options)
    content = (home / "WellA01.nd2").read_bytes()
    (home / "WellA01.nd2").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"P1: expected files .* none that opens among 1"):
        coded.build(home, ["A01"], **options)
    assert raw_image.status(home, "WellA01.nd2", 0).status == "unreadable"
