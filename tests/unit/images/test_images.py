from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile

from options import options
from wellspring.illumination.lightpath import LightPath
from wellspring.images import run as images
from wellspring.index.readers import imagexpress
from wellspring.io import ngff, raw_image
from wellspring.io.keys import PLANE_KEY
from wellspring.survey import run as survey
from wellspring.views import intensity

OPTIONS = options("images", projection="max", low=0.001, high=0.999)
PROJECTIONS = {
    "max": lambda stack: stack.max(axis=0),
    "mean": lambda stack: stack.mean(axis=0),
    "sharpest": lambda stack: stack[1],  # as `_plate` says
    "plane": lambda stack: stack[0],
}


def _plate(folder, depth=2):
    rng = np.random.default_rng(0)
    rows = []
    for well in ("A01", "A02"):
        for channel in ("DNA", "ER"):
            for plane in range(depth):
                name = f"{well}_{channel}_{plane}.tif"
                tifffile.imwrite(folder / name, rng.integers(100, 900, (20, 24)).astype(np.uint16))
                rows.append(("P", well, "1", channel, str(plane + 1), name, 0, "keep", 0.5, float(plane)))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "Verdict", "Pixel_Size"]
    return pd.DataFrame(rows, columns=[*(f"Metadata_{name}" for name in names), "sharpness"])


def _light(shape=(20, 24)):
    flat = np.broadcast_to(np.linspace(0.5, 1.5, shape[1], dtype=np.float32), (2, *shape))
    nothing = np.zeros(2)
    return LightPath(["ER", "DNA"], flat, np.full((2, *shape), 50, np.float32), "given", nothing)


def _write(path, frame, folder, **over):
    arguments = {
        "light": _light(),
        "folder": folder,
        "plate": "P",
        "channels": ["DNA", "ER"],
        "options": OPTIONS,
    } | over
    return images.write(path, index=frame, surveyed=frame, **arguments)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_planes_are_projected_corrected_and_stored(tmp_path, projection):
    frame = _plate(tmp_path, depth=3)
    frame = frame[frame["sharpness"] < 2] if projection == "sharpest" else frame
    chosen = replace(OPTIONS, projection=projection, plane="1" if projection == "plane" else None)
    scale = _write(tmp_path / "p.zarr", frame, tmp_path, options=chosen, threads=2)
    plate = ngff.open_plate(tmp_path / "p.zarr")
    assert (plate.fields, plate.pixel_size) == ([("A01", "1"), ("A02", "1")], 0.5)
    raw = PROJECTIONS[projection](np.stack([tifffile.imread(tmp_path / f"A02_ER_{z}.tif") for z in range(3)]))
    expected = (raw - 50.0) / _light().flat[0].astype(np.float64) + 50
    off = np.abs(plate.read("A02", "1", ["ER"])[0] - expected)
    assert off.max() <= 0.501  # rounded once, after the projection and the correction
    assert scale["fields"].tolist() == [2, 2]
    pixels = np.stack([plate.read(*field)[:, :: intensity.STEP] for field in plate.fields])
    np.testing.assert_allclose(
        intensity.scale(pixels, scale["low"], scale["high"]).mean(axis=(0, 2, 3)), scale["mean"], rtol=1e-4
    )


def test_a_channel_without_a_gain_keeps_its_pixels_and_the_table_says_so(tmp_path):
    frame = _plate(tmp_path, depth=1)
    why = "light_untested(wells=2, needed=4)"
    light = replace(_light(), applied=np.array([True, False]), notes=["", why])
    table = _write(tmp_path / "p.zarr", frame, tmp_path, light=light).set_index("Metadata_Channel")
    assert table["Metadata_Illumination"].to_dict() == {"DNA": "not_applied", "ER": "given"}
    assert table["Metadata_Illumination_Notes"].to_dict() == {"DNA": why, "ER": ""}
    plate = ngff.open_plate(tmp_path / "p.zarr")
    raw = tifffile.imread(tmp_path / "A01_DNA_0.tif")
    np.testing.assert_array_equal(plate.read("A01", "1", ["DNA"])[0], raw)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_byte(tmp_path, threads):
    frame = _plate(tmp_path)
    scales = [_write(tmp_path / f"{n}.zarr", frame, tmp_path, threads=n) for n in (2, threads)]
    pd.testing.assert_frame_equal(*scales)
    files = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "2.zarr", tmp_path / f"{threads}.zarr")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_that_has_gone_since_the_survey_is_an_error_and_leaves_no_plate(tmp_path, threads):
    frame = _plate(tmp_path)
    (tmp_path / "A01_ER_1.tif").unlink()
    with pytest.raises(ValueError, match=r"no file A01_ER_1\.tif"):
        _write(tmp_path / "p.zarr", frame, tmp_path, threads=threads)
    assert not list(tmp_path.glob("*zarr*")) and not list(tmp_path.glob(".*zarr*"))


def test_a_channel_that_the_index_lacks_is_named(tmp_path):
    frame = _plate(tmp_path)
    frame = frame[(frame["Metadata_Well"] == "A01") | (frame["Metadata_Channel"] == "ER")]
    with pytest.raises(ValueError, match=r"A02 site 1: expected the channels \['DNA', 'ER'\], found \['ER'\]"):
        _write(tmp_path / "p.zarr", frame, tmp_path)


def test_excluded_sites_are_absent(tmp_path):
    frame = _plate(tmp_path, depth=1)
    frame.loc[0, "Metadata_Verdict"] = "exclude"
    (tmp_path / "A01_DNA_0.tif").unlink()
    assert _write(tmp_path / "p.zarr", frame, tmp_path)["fields"].tolist() == [1, 1]
    assert ngff.open_plate(tmp_path / "p.zarr").fields == [("A02", "1")]
    frame["Metadata_Verdict"] = "exclude"
    assert _write(tmp_path / "p.zarr", frame, tmp_path)["fields"].tolist() == [0, 0]
    assert ngff.open_plate(tmp_path / "p.zarr").fields == []


def test_another_shape_than_the_light_path_is_an_error(tmp_path):
    with pytest.raises(
        ValueError, match=r"P A01 site 1: expected fields of \(8, 8\) as its light path, found \(20, 24\)"
    ):
        _write(tmp_path / "p.zarr", _plate(tmp_path), tmp_path, light=_light((8, 8)))


@pytest.mark.parametrize("projection", ["sharpest", "plane", "max", "mean"])
def test_a_real_stack_is_projected(tmp_path, shared_data, projection):
    """Two channels of ten planes beside one of a single plane, surveyed and corrected by an even light path."""
    folder = shared_data / "vendor_layout_samples" / "ImageXpress" / "Projection-Mix"
    found = imagexpress.planes(folder, plate="P")
    names = {"well": "Well", "site": "Site", "channel": "Channel", "plane": "Plane", "path": "Path", "page": "Page"}
    index = found.rename(columns={name: f"Metadata_{new}" for name, new in names.items()})
    index = index.assign(Metadata_Plate="P", Metadata_pert_type="trt")[
        [*PLANE_KEY, "Metadata_Path", "Metadata_Page", "Metadata_pert_type"]
    ]
    index = index[(index["Metadata_Well"] == "E07") & (index["Metadata_Site"] == "1")]
    surveyed = survey.run(index, folder, options=options("survey")).table
    channels = sorted(index["Metadata_Channel"].unique())
    depths = index.groupby("Metadata_Channel").size().to_dict()
    assert sorted(depths.values())[0] == 1 and sorted(depths.values())[-1] > 5
    even = np.ones((len(channels), 512, 512), np.float32)
    light = LightPath(channels, even, 0 * even, "none", np.zeros(len(channels)))
    chosen = options("images", projection=projection, plane=4 if projection == "plane" else None)
    images.write(
        tmp_path / "p.zarr",
        index=index,
        surveyed=surveyed,
        light=light,
        folder=folder,
        plate="P",
        channels=channels,
        options=chosen,
    )
    pixels = ngff.open_plate(tmp_path / "p.zarr").read("E07", "1")
    for number, channel in enumerate(channels):
        part = surveyed[surveyed["Metadata_Channel"] == channel].merge(index, on=PLANE_KEY)
        stack = np.stack([raw_image.read(folder, path) for path in part["Metadata_Path"]])
        planes_of = {
            "sharpest": lambda stack, part=part: stack[int(part["sharpness"].fillna(-1).argmax())],
            "plane": lambda stack, part=part: stack[
                part["Metadata_Plane"].tolist().index("4") if len(stack) > 1 else 0
            ],
            "max": lambda stack: stack.max(axis=0),
            "mean": lambda stack: np.floor(stack.mean(axis=0) + 0.5),
        }
        np.testing.assert_array_equal(pixels[number], planes_of[projection](stack))
