"""Tables and metadata damaged at random: a reader lists planes of its folder or names the fault."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wellspring.index.readers import loaddata, ometiff, omezarr
from wellspring.index.readers.listing import COLUMNS

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EVIL = [
    "../secret.tif",
    "/etc/passwd",
    "",
    "\\",
    "..",
    "x" * 5000,
    "é",
    "$(id)",
    "-1",
    "1e99",
    "NaN",
    "s3://b/k",
    "A999",
]
XML = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Plate ID="Plate:0" Name="P">
<Well ID="W" Row="0" Column="1"><WellSample ID="S" Index="0" PositionX="2" PositionXUnit="mm"><ImageRef ID="Image:0"/>
</WellSample></Well></Plate><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8"
SizeY="8" SizeZ="1" SizeT="1" SizeC="2" PhysicalSizeX="0.5"><Channel ID="C0" Name="DNA"/><Channel ID="C1" Name="ER"/>
<TiffData FirstC="0" IFD="0"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>
<TiffData FirstC="1" IFD="0"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData>
<Plane TheC="0" TheZ="0" TheT="0" ExposureTime="5"/></Pixels></Image></OME>"""
TABLE = "Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA,PathName_DNA,URL_ER,Frame_DNA\nP,A1,1,a.ome.tif,/x,s3://b/b.ome.tif,0\n"
PLATE = {"plate": {"name": "P", "wells": [{"path": "A/1"}]}, "version": "0.5"}
WELL = {"well": {"images": [{"path": "0"}]}}
IMAGE = {
    "multiscales": [
        {
            "axes": [{"name": "c"}, {"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}],
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}],
        }
    ],
    "omero": {"channels": [{"label": "DNA"}, {"label": "ER"}]},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.tif").touch()
    (tmp_path / "P").mkdir()
    for name in ("a.ome.tif", "b.ome.tif"):
        (tmp_path / "P" / name).write_bytes(b"no image")
    return tmp_path / "P"


def _sound(folder, read):
    """Assert that a reader returns planes of the folder alone, or raises an error that names the plate or a file."""
    try:
        frame = read()
    except ValueError as error:
        assert len(str(error)) > 10
        return
    assert list(frame.columns) == COLUMNS
    for path in frame["path"].dropna():
        assert (folder / path).resolve().is_relative_to(folder.resolve())
        assert (folder / path).exists()


@st.composite
def _spoilt(draw, text):
    """Return a text with a few parts cut out, doubled, or replaced by what an attacker or a bad disk would write."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.sampled_from([*EVIL, text[start:end] * 2, "\x00", '"', "<", ","])) + text[end:]
    return text


def _leaves(value, path=()):
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from _leaves(part, (*path, key))


@st.composite
def _twisted(draw, spec):
    """Return JSON of which one part is something else, or is missing."""
    spec = json.loads(json.dumps(spec))
    *above, last = draw(st.sampled_from(list(_leaves(spec))))
    parent = spec
    for key in above:
        parent = parent[key]
    odd = st.one_of(
        st.none(), st.integers(), st.floats(), st.sampled_from(EVIL), st.just([]), st.just({}), st.just([[]])
    )
    parent[last] = draw(odd)
    return json.dumps(spec)


@QUICK
@given(xml=_spoilt(XML))
def test_ome_xml(folder, xml):
    (folder / "P.companion.ome").write_text(xml)
    _sound(folder, lambda: ometiff.planes(folder, plate="P", pattern=r"(?P<well>[A-Z]\d+)\.ome\.tif"))


@QUICK
@given(text=_spoilt(TABLE))
def test_loaddata(folder, text):
    (folder / "t.csv").write_text(text)
    _sound(folder, lambda: loaddata.planes(folder, plate="P", loaddata="t.csv"))


@QUICK
@given(
    texts=st.one_of(
        st.tuples(_twisted(PLATE), st.just(json.dumps(WELL)), st.just(json.dumps(IMAGE))),
        st.tuples(st.just(json.dumps(PLATE)), _twisted(WELL), st.just(json.dumps(IMAGE))),
        st.tuples(st.just(json.dumps(PLATE)), st.just(json.dumps(WELL)), _twisted(IMAGE)),
        st.tuples(st.just(json.dumps(PLATE)), st.just(json.dumps(WELL)), _spoilt(json.dumps(IMAGE))),
    )
)
def test_ome_zarr(folder, texts):
    shutil.rmtree(folder)
    for place, text in zip((folder, folder / "A" / "1", folder / "A" / "1" / "0"), texts, strict=True):
        place.mkdir(parents=True, exist_ok=True)
        (place / ".zattrs").write_text(text)
    array = Path(folder, "A", "1", "0", "0")
    array.mkdir()
    (array / ".zarray").write_text('{"shape": [2, 8, 8]}')
    _sound(folder, lambda: omezarr.planes(folder, plate="P"))


def test_what_is_not_damaged_is_read(folder):
    (folder / "P.companion.ome").write_text(XML)
    (folder / "t.csv").write_text(TABLE)
    ome = ometiff.planes(folder, plate="P", pattern=r"(?P<well>[A-Z]\d+)\.ome\.tif")
    table = loaddata.planes(folder, plate="P", loaddata="t.csv")
    for frame, well in ((ome, "A02"), (table, "A01")):
        assert frame[["well", "channel", "path"]].to_numpy().tolist() == [
            [well, "DNA", "a.ome.tif"],
            [well, "ER", "b.ome.tif"],
        ]
