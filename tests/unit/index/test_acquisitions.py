"""Acquisitions of a well are never averaged as sites: one is chosen, or they are the cycles of one measurement."""

import json

import numpy as np
import pytest
import zarr

import coded


def _plate(folder, images, *, name="P1", well="A/1", channels=None):
    """Write an OME-Zarr plate of one well; `images` is path -> (acquisition or None, value per channel)."""
    listed = [{"path": path} | ({} if one is None else {"acquisition": one}) for path, (one, _) in images.items()]
    plate = {"name": name, "wells": [{"path": well}], "rows": [{"name": "A"}], "columns": [{"name": "1"}]}
    for place, attributes in ((folder, {"plate": plate}), (folder / well, {"well": {"images": listed}})):
        _group(place, attributes)
    for path, (one, values) in images.items():
        names = (channels or {}).get(one, ["DNA", "ER"])[: len(values)]
        multiscales = [{"axes": [{"name": axis} for axis in "cyx"], "datasets": [{"path": "0"}]}]
        _group(folder / well / path, {"multiscales": multiscales, "omero": {"channels": [{"label": n} for n in names]}})
        pixels = np.array([coded.plane(value) for value in values])
        zarr.create_array(folder / well / path / "0", data=pixels, zarr_format=3, chunks=(1, *coded.SHAPE))


def _group(place, attributes):
    place.mkdir(parents=True, exist_ok=True)
    content = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}}
    (place / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize("derived", [False, True])
def test_one_acquisition_is_chosen(tmp_path, derived):
    second = "0_corrected" if derived else "1"
    _plate(tmp_path / "P1.zarr", {"0": (0, [11, 12]), second: (0 if derived else 1, [21, 22])})
    options = {"channels": ["DNA", "ER"], "at": tmp_path}
    with pytest.raises(ValueError, match="expected one acquisition, found .*index.acquisition"):
        coded.build(tmp_path / "P1.zarr", ["A01"], **options)
    with pytest.raises(ValueError, match="expected one acquisition") as caught:  # they are no parts of one
        coded.build(tmp_path / "P1.zarr", ["A01"], acquisition="all", **options)
    assert "index.acquisition: all" not in str(caught.value)
    for choice, values in (("0", [11, 12]), ("0_corrected" if derived else "1", [21, 22])):
        found = coded.build(tmp_path / "P1.zarr", ["A01"], acquisition=choice, **options)
        assert list(coded.read(found, tmp_path / "P1.zarr").values()) == values


def test_cycles_of_different_channels_are_joined(tmp_path):
    images = {"0": (0, [11]), "1": (0, [12]), "2": (1, [21]), "3": (1, [22])}
    _plate(tmp_path / "P1.zarr", images, channels={0: ["DNA"], 1: ["ER"]})
    found = coded.build(tmp_path / "P1.zarr", ["A01"], channels=["DNA", "ER"], at=tmp_path)
    assert coded.read(found, tmp_path / "P1.zarr") == {
        ("A01", "0", "DNA", "1"): 11,
        ("A01", "0", "ER", "1"): 21,
        ("A01", "1", "DNA", "1"): 12,
        ("A01", "1", "ER", "1"): 22,
    }
