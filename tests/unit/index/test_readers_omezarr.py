"""OME-Zarr plates of both zarr formats: listed planes are those of the NGFF metadata, lost chunks are reported."""

import json
import shutil

import numpy as np
import pytest
import zarr

import specimens
from wellspring.index.readers import omezarr
from wellspring.io import ngff, raw_image


def _write(
    path, *, version="0.5", axes="tczyx", shape=(2, 2, 3, 40, 30), wells=("A/1", "AF/48"), images=("0", "1"), **over
):
    """Write a plate, an array of random pixels in chunks of 16; returns (well path, image) -> pixels."""
    v3 = version == "0.5"
    rng = np.random.default_rng(0)
    rows, columns = ([{"name": name} for name in sorted({well.split("/")[part] for well in wells})] for part in (0, 1))
    described = [{"path": w, "rowIndex": 0, "columnIndex": 0} for w in wells]
    plate = {"name": over.pop("name", "P"), "rows": rows, "columns": columns, "wells": described}
    _group(path, v3, {"plate": plate, "version": version})
    scale = [0.65 if axis in "yx" else 2.0 for axis in axes]
    steps = [{"type": "scale", "scale": scale}]
    if "shift" in over:
        steps.append({"type": "translation", "translation": over["shift"]})
    named = [
        {"name": axis, "type": "space", "unit": "micrometer"} if axis in "zyx" else {"name": axis} for axis in axes
    ]
    image = {"multiscales": [{"axes": named, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]}
    if "channels" in over:
        image["omero"] = {"channels": [{"label": name} for name in over["channels"]]}
    held = {}
    for well in wells:
        for part in (well.split("/")[0], well):
            _group(path / part, v3, {"well": {"images": [{"path": name} for name in images]}, "version": version})
        for name in images:
            _group(path / well / name, v3, {**image, "version": version})
            pixels = rng.integers(1, 60000, shape).astype(over.get("dtype", np.uint16))
            options = {"zarr_format": 3 if v3 else 2, "chunks": (*[1] * (len(shape) - 2), 16, 16)}
            if over.get("shards"):
                options["shards"] = (*shape[:-2], 48, 32)
            if not v3:
                options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
            zarr.create_array(path / well / name / "0", data=pixels, **options)
            held[well, name] = pixels
    return held


def _group(path, v3, attributes):
    path.mkdir(parents=True, exist_ok=True)
    if v3:
        content = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}}
        return (path / "zarr.json").write_text(json.dumps(content))
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    return (path / ".zattrs").write_text(json.dumps(attributes))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("axes", "shape"), [("tczyx", (2, 2, 3, 40, 30)), ("cyx", (2, 40, 30)), ("yx", (40, 30)), ("zyx", (3, 40, 30))]
)
def test_every_plane_is_listed_and_read(tmp_path, version, axes, shape):
    held = _write(tmp_path / "P.zarr", version=version, axes=axes, shape=shape)
    frame = omezarr.planes(tmp_path, plate="P")
    assert len(frame) == 4 * np.prod(shape[:-2], dtype=int)
    assert not frame.duplicated(["well", "site", "channel", "plane", "timepoint"]).any()
    assert frame["pixel_size"].unique().tolist() == [0.65]
    assert frame["x"].isna().all()  # nothing is said of the stage
    paths = {"A01": "A/1", "AF48": "AF/48"}
    for row in frame.itertuples():
        index = {"t": int(row.timepoint) - 1, "c": int(row.channel) - 1, "z": int(row.plane) - 1}
        expected = held[paths[row.well], row.site][tuple(index[axis] for axis in axes[:-2])]
        found = raw_image.status(tmp_path, row.path, row.page)
        assert (found.status, found.pixels.dtype) == ("ok", np.uint16)
        np.testing.assert_array_equal(found.pixels, expected)


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2), (0, 9, 1)])
def test_the_level_of_most_pixels_is_read_in_whatever_order_they_are_listed(tmp_path, order):
    """Level 9 was not copied."""
    whole = np.random.default_rng(1).integers(1, 4000, (2, 40, 32)).astype(np.uint16)
    field = tmp_path / "P.zarr/A/1/0"
    attributes = {"plate": {"name": "P", "wells": [{"path": "A/1"}]}}
    for path, held in ((field.parents[2], attributes), (field.parent, {"well": {"images": [{"path": "0"}]}})):
        specimens._group(path, False, held)
    for level in range(3):
        step = 2**level
        array = {"zarr_format": 2, "chunks": (1, 10, 8), "chunk_key_encoding": {"name": "v2", "separator": "/"}}
        zarr.create_array(field / str(level), data=whole[:, ::step, ::step], **array)
    steps = {level: {"type": "scale", "scale": [1, 0.5 * 2**level, 0.5 * 2**level]} for level in order}
    scale = [{"path": str(level), "coordinateTransformations": [steps[level]]} for level in order]
    axes = [{"name": "c"}, *({"name": axis, "unit": "micrometer"} for axis in "yx")]
    specimens._group(field, False, {"multiscales": [{"axes": axes, "datasets": scale}]})
    frame = omezarr.planes(tmp_path, plate="P")
    assert frame["pixel_size"].tolist() == [0.5] * 2
    for row, expected in zip(frame.itertuples(), whole, strict=True):
        np.testing.assert_array_equal(raw_image.read(tmp_path, row.path, row.page), expected)


def test_our_own_plates_are_read(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 4000, (2, 50, 60)).astype(np.uint16)
    with ngff.PlateWriter(tmp_path / "own.zarr", plate="P", channels=["DNA", "ER"], pixel_size=0.5) as writer:
        writer.write("B03", "7", pixels)
    for folder in (tmp_path, tmp_path / "own.zarr"):
        frame = omezarr.planes(folder, plate="P")
        assert frame[["well", "site", "channel", "pixel_size"]].to_numpy().tolist() == [
            ["B03", "7", name, 0.5] for name in ("DNA", "ER")
        ]
        for row, expected in zip(frame.itertuples(), pixels, strict=True):
            np.testing.assert_array_equal(raw_image.read(folder, row.path, row.page), expected)


def test_names_of_channels_and_places_on_the_stage(tmp_path):
    _write(tmp_path, axes="cyx", shape=(2, 40, 30), channels=["DNA", "ER"], shift=[0, 100.0, 200.0], images=("0",))
    frame = omezarr.planes(tmp_path, plate="P")
    assert frame["channel"].tolist() == ["DNA", "ER"] * 2
    assert frame["x"].unique().tolist() == pytest.approx([200 + 14.5 * 0.65])
    assert frame["y"].unique().tolist() == pytest.approx([100 + 19.5 * 0.65])
    assert (frame["bytes"] > 2 * 40 * 30).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_chunk_that_is_not_there_is_no_black_square(tmp_path, version):
    _write(tmp_path, version=version, axes="cyx", shape=(2, 40, 30), images=("0",))
    array = tmp_path / "A" / "1" / "0" / "0"
    base = array / "c" if version == "0.5" else array
    (base / "1" / "2" / "1").unlink()
    assert raw_image.status(tmp_path, "A/1/0/0", 0).status == "ok"
    found = raw_image.status(tmp_path, "A/1/0/0", 1)
    assert found.status == "truncated"
    assert "1 of 6 chunks are missing" in found.reason
    shutil.rmtree(base / "1")
    assert raw_image.status(tmp_path, "A/1/0/0", 1).status == "missing"
    assert raw_image.status(tmp_path, "A/1/0/0", 2).status == "missing"
    (base / "0" / "0" / "0").write_bytes(b"garbage")
    assert raw_image.status(tmp_path, "A/1/0/0", 0).status == "unreadable"


def test_a_shard_that_is_not_there_is_told(tmp_path):
    _write(tmp_path, axes="cyx", shape=(2, 96, 30), images=("0",), shards=True)
    assert raw_image.status(tmp_path, "A/1/0/0", 1).status == "ok"
    (tmp_path / "A/1/0/0/c/0/1/0").unlink()
    assert raw_image.status(tmp_path, "A/1/0/0", 1).status == "truncated"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"shape": [2, 200_000, 200_000]}, "unreadable"),
        ({"shape": [2]}, "unreadable"),
        ({"data_type": "nonsense"}, "unreadable"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 2**20, 2**20]}}}, "unreadable"),
    ],
)
def test_metadata_that_promise_too_much_are_not_believed(tmp_path, change, status):
    _write(tmp_path, axes="cyx", shape=(2, 40, 30), images=("0",))
    path = tmp_path / "A/1/0/0/zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert raw_image.status(tmp_path, "A/1/0/0", 0).status == status
    path.write_text("{")
    assert raw_image.status(tmp_path, "A/1/0/0", 0).status == "unreadable"
    path.unlink()
    assert raw_image.status(tmp_path, "A/1/0/0", 0).status == "unreadable"


def test_types_that_are_no_grey_values(tmp_path):
    _write(tmp_path, axes="cyx", shape=(2, 40, 30), images=("0",), dtype=np.float32)
    assert raw_image.status(tmp_path, "A/1/0/0", 0).status == "dtype"


@pytest.mark.parametrize("path", ["../outside", "/etc", "A/../..", "..", ""])
def test_metadata_lead_nowhere_else(tmp_path, path):
    _write(tmp_path / "outside", images=("0",))
    _write(tmp_path / "P.zarr", images=("0",))
    well = tmp_path / "P.zarr" / "A" / "1" / "zarr.json"
    spec = json.loads(well.read_text())
    spec["attributes"]["ome"]["well"]["images"] = [{"path": path}]
    well.write_text(json.dumps(spec))
    assert omezarr.planes(tmp_path / "P.zarr", plate="P")["well"].unique().tolist() == ["AF48"]
    plate = tmp_path / "P.zarr" / "zarr.json"
    spec = json.loads(plate.read_text())
    spec["attributes"]["ome"]["plate"]["wells"] = [{"path": path}]
    plate.write_text(json.dumps(spec))
    with pytest.raises(ValueError, match="expected paths within the plate's folder"):
        omezarr.planes(tmp_path / "P.zarr", plate="P")


def test_a_broken_image_leaves_the_others(tmp_path, caplog):
    _write(tmp_path, images=("0", "1", "2"))
    for name, text in (
        ("0", "{"),
        ("1", '{"attributes": {"ome": {"multiscales": [{"datasets": [{"path": "0"}], "axes": 1}]}}}'),
    ):
        (tmp_path / "A" / "1" / name / "zarr.json").write_text(text)
    frame = omezarr.planes(tmp_path, plate="P")
    assert frame.groupby("well")["site"].unique().map(list).to_dict() == {"A01": ["2"], "AF48": ["0", "1", "2"]}
    assert "this image, but it has no metadata" in caplog.text
    assert "an image of" in caplog.text


def test_of_several_plates_that_of_the_name(tmp_path):
    _write(tmp_path / "one.zarr", name="P1", images=("0",))
    _write(tmp_path / "P2.zarr", name="two", images=("0",))
    assert omezarr.planes(tmp_path, plate="P1")["path"].iloc[0].startswith("one.zarr/")
    assert omezarr.planes(tmp_path, plate="P2")["path"].iloc[0].startswith("P2.zarr/")
    with pytest.raises(ValueError, match=r"P3: expected one OME-Zarr plate in .*, found \['P2.zarr', 'one.zarr'\]"):
        omezarr.planes(tmp_path, plate="P3")
    assert omezarr.present(tmp_path)
    assert not omezarr.present(tmp_path / "P2.zarr" / "A")
