"""OME-TIFF by its OME-XML, single- and multi-file: wells, lengths, times; the pages found hold what was written."""

import numpy as np
import pytest
import tifffile

from wellspring.index.readers import ometiff
from wellspring.io import raw_image

NAME = r"(?P<well>[A-Z]\d+)(?:_s(?P<site>\d+))?(?:_(?P<channel>[A-Z]{2,}))?\.ome\.tiff?"
HEAD = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'


def _planes(folder, plate="P", **options):
    return ometiff.planes(folder, plate=plate, pattern=NAME, **options)


def _stack(*shape):
    """Return pixels of which each plane has values of its own."""
    count = int(np.prod(shape))
    return (np.arange(count)[:, None, None] * 100 + np.arange(64).reshape(8, 8)).astype(np.uint16).reshape(*shape, 8, 8)


@pytest.mark.parametrize("axes", ["TZC", "TCZ", "ZTC", "ZCT", "CTZ", "CZT"])
def test_every_order_of_axes(tmp_path, axes):
    sizes = {"T": 2, "Z": 3, "C": 4}
    pixels = _stack(*(sizes[axis] for axis in axes))
    metadata = {"axes": f"{axes}YX", "Channel": {"Name": ["DNA", "ER", "AGP", "Mito"]}}
    tifffile.imwrite(tmp_path / "B2_s3.ome.tif", pixels, ome=True, metadata=metadata, photometric="minisblack")
    frame = _planes(tmp_path)
    assert len(frame) == 24
    assert (frame["well"] + frame["site"]).unique().tolist() == ["B023"]
    for row in frame.itertuples():
        index = {
            "T": int(row.timepoint) - 1,
            "Z": int(row.plane) - 1,
            "C": metadata["Channel"]["Name"].index(row.channel),
        }
        expected = pixels[tuple(index[axis] for axis in axes)]
        np.testing.assert_array_equal(raw_image.read(tmp_path, row.path, row.page), expected)


def test_lengths_and_times_are_in_our_units(tmp_path):
    plane = {"PositionX": [1.5] * 2, "PositionXUnit": ["mm"] * 2, "PositionY": [7.0] * 2}
    plane |= {"PositionYUnit": ["reference frame"] * 2, "ExposureTime": [0.05, 2.0]}
    metadata = {"axes": "CYX", "PhysicalSizeX": 650.0, "PhysicalSizeXUnit": "nm", "Plane": plane}
    tifffile.imwrite(tmp_path / "A1.ome.tif", _stack(2), ome=True, metadata=metadata, photometric="minisblack")
    frame = _planes(tmp_path)
    assert frame["pixel_size"].tolist() == pytest.approx([0.65] * 2)
    assert frame["x"].tolist() == [1500.0] * 2
    assert frame["y"].isna().all()  # the reference frame is not a unit
    assert frame["exposure"].tolist() == [50.0, 2000.0]
    assert frame["channel"].tolist() == ["1", "2"]  # unnamed


def test_a_file_of_one_channel_is_what_its_name_says(tmp_path):
    for channel in ("DNA", "ER"):
        tifffile.imwrite(tmp_path / f"A1_s1_{channel}.ome.tif", _stack(1)[0], ome=True)
    frame = _planes(tmp_path)
    assert frame[["site", "channel", "page"]].to_numpy().tolist() == [["1", "DNA", 0], ["1", "ER", 0]]


def _image(number, files, name="DNA"):
    """Return an image of len(files) channels, each a file of its own."""
    channels = "".join(f'<Channel ID="Channel:{number}:{n}" Name="{name}{n}"/>' for n in range(len(files)))
    blocks = "".join(
        f'<TiffData FirstC="{n}" FirstZ="0" FirstT="0" IFD="0">'
        f'<UUID FileName="{file}">urn:uuid:{number}{n}1</UUID></TiffData>'
        for n, file in enumerate(files)
    )
    sizes = f'SizeX="8" SizeY="8" SizeZ="1" SizeT="1" SizeC="{len(files)}"'
    head = f'<Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="uint16" PhysicalSizeX="0.5" {sizes}>'
    return f'<Image ID="Image:{number}">{head}{channels}{blocks}</Pixels></Image>'


def _wells(*samples, name="P"):
    """Return a plate; a sample is (row, column, index, image)."""
    wells = "".join(
        f'<Well ID="W{n}" Row="{row}" Column="{column}"><WellSample ID="S{n}" Index="{index}" PositionX="2" '
        f'PositionXUnit="mm"><ImageRef ID="Image:{image}"/></WellSample></Well>'
        for n, (row, column, index, image) in enumerate(samples)
    )
    return f'<Plate ID="Plate:{name}" Name="{name}">{wells}</Plate>'


def _files(folder, *names, xml=None):
    pixels = _stack(len(names))
    for name, plane in zip(names, pixels, strict=True):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        tifffile.imwrite(folder / name, plane, description=xml or HEAD + "</OME>", metadata=None)
    return pixels


def test_a_companion_names_the_files_and_the_wells(tmp_path):
    names = ["a/f0.ome.tif", "a/f1.ome.tif", "a/f2.ome.tif", "a/f3.ome.tif"]
    only = f'{HEAD}<BinaryOnly MetadataFile="P.companion.ome" UUID="urn:uuid:1"/></OME>'
    pixels = _files(tmp_path, *names, xml=only)
    images = _image(0, names[:2]) + _image(1, names[2:])
    (tmp_path / "P.companion.ome").write_text(HEAD + _wells((31, 47, 3, 0), (31, 47, 1, 1)) + images + "</OME>")
    frame = _planes(tmp_path)
    assert frame["well"].tolist() == ["AF48"] * 4
    assert frame["site"].tolist() == ["2", "2", "1", "1"]  # in the order of the samples' Index
    assert frame["channel"].tolist() == ["DNA0", "DNA1"] * 2
    assert frame["path"].tolist() == names
    assert (frame["x"] == 2000).all() and (frame["pixel_size"] == 0.5).all()
    for row, expected in zip(frame.itertuples(), pixels, strict=True):
        np.testing.assert_array_equal(raw_image.read(tmp_path, row.path, row.page), expected)


def test_files_that_share_one_xml_are_listed_once(tmp_path):
    names = ["f0.ome.tif", "f1.ome.tif"]
    xml = HEAD + _wells((0, 0, 0, 0)) + _image(0, names) + "</OME>"
    _files(tmp_path, *names, xml=xml)
    assert _planes(tmp_path)[["path", "well", "site"]].to_numpy().tolist() == [[name, "A01", "1"] for name in names]


def test_files_with_a_sample_of_a_plate_each_are_sites_of_their_well(tmp_path):
    for number in range(3):
        name = f"field{number}.ome.tif"
        _files(tmp_path, name, xml=HEAD + _wells((1, 2, number, 0)) + _image(0, [name]) + "</OME>")
    frame = _planes(tmp_path)
    assert frame[["path", "well", "site"]].to_numpy().tolist() == [
        [f"field{n}.ome.tif", "B03", str(n + 1)] for n in range(3)
    ]


def test_of_several_plates_that_of_the_name(tmp_path):
    xml = HEAD + _wells((0, 0, 0, 0), name="other") + _wells((0, 1, 0, 0)) + _image(0, ["f.ome.tif"]) + "</OME>"
    _files(tmp_path, "f.ome.tif", xml=xml)
    assert _planes(tmp_path)["well"].tolist() == ["A02"]
    with pytest.raises(ValueError, match="expected OME-TIFFs"):
        _planes(tmp_path, plate="none")


@pytest.mark.parametrize("name", ["../out.ome.tif", "/etc/passwd", "gone.ome.tif", "a/../../out.ome.tif"])
def test_a_named_file_is_one_that_the_folder_holds(tmp_path, name):
    _files(
        tmp_path,
        "out.ome.tif",
        "P/f.ome.tif",
        xml=HEAD + _wells((0, 0, 0, 0)) + _image(0, ["f.ome.tif", name]) + "</OME>",
    )
    frame = _planes(tmp_path / "P")
    assert frame["path"].tolist() == ["f.ome.tif", None]
    assert frame["bytes"].tolist()[1] == 0


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + HEAD + "&b;</OME>"
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + HEAD + "&a;</OME>"
MANY = HEAD + _image(0, ["A2.ome.tif"]).replace('SizeZ="1"', 'SizeZ="2000000000"') + "</OME>"
FAR = HEAD + _image(0, ["A2.ome.tif"]).replace('FirstZ="0"', 'FirstZ="-3"') + "</OME>"


@pytest.mark.parametrize("xml", [BOMB, OUTSIDE, MANY, FAR, "garbage <OME", "<svg/>", HEAD, "<OME>\x00</OME>"])
def test_xml_that_can_not_be_read_leaves_the_file_to_the_survey(tmp_path, caplog, xml):
    tifffile.imwrite(tmp_path / "A1.ome.tif", _stack(2), ome=True, metadata={"axes": "CYX"}, photometric="minisblack")
    tifffile.imwrite(tmp_path / "A2.ome.tif", _stack(2), description=xml, metadata=None)
    (tmp_path / "A3.ome.tif").write_bytes(b"no TIFF")
    frame = _planes(tmp_path)
    assert frame.groupby("well")["channel"].agg(list).to_dict() == dict.fromkeys(("A01", "A02", "A03"), ["1", "2"])
    assert "A2.ome.tif: its OME-XML cannot be read" in caplog.text


def test_nothing_that_can_be_read(tmp_path):
    (tmp_path / "A1.ome.tif").write_bytes(b"no TIFF")
    with pytest.raises(ValueError, match="P: expected OME-TIFFs in .* found none among 1 files"):
        _planes(tmp_path)
    assert ometiff.present(tmp_path)
    (tmp_path / "A1.ome.tif").rename(tmp_path / "A1.tif")
    assert not ometiff.present(tmp_path)
