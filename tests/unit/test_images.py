import numpy as np
import pandas as pd
import pytest
import tifffile

from wellspring import images, intensity, store
from wellspring.illumination import LightPath

OPTIONS = {"projection": "max", "low": 0.001, "high": 0.999}


def _plate(folder, depth=2):
    rng = np.random.default_rng(0)
    rows = []
    for well in ("A01", "A02"):
        for channel in ("DNA", "ER"):
            for plane in range(depth):
                name = f"{well}_{channel}_{plane}.tif"
                tifffile.imwrite(folder / name, rng.integers(100, 900, (20, 24)).astype(np.uint16))
                rows.append(("P", well, "1", channel, str(plane + 1), name, 0, "keep", 0.5))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "Verdict", "Pixel_Size"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def _light(shape=(20, 24)):
    flat = np.broadcast_to(np.linspace(0.5, 1.5, shape[1], dtype=np.float32), (2, *shape))
    nothing = np.zeros(2)
    return LightPath(["ER", "DNA"], flat, np.full((2, *shape), 50, np.float32), "given", nothing, nothing, nothing)


def _write(path, frame, folder, **over):
    arguments = {
        "light": _light(),
        "folder": folder,
        "plate": "P",
        "channels": ["DNA", "ER"],
        "options": OPTIONS,
    } | over
    return images.write(path, index=frame, surveyed=frame, **arguments)


@pytest.mark.parametrize(
    ("projection", "project"), [("max", np.max), ("mean", np.mean), ("first", lambda z, axis: z[0])]
)
def test_planes_are_projected_corrected_and_stored(tmp_path, projection, project):
    frame = _plate(tmp_path)
    scale = _write(tmp_path / "p.zarr", frame, tmp_path, options=OPTIONS | {"projection": projection}, threads=2)
    plate = store.open_plate(tmp_path / "p.zarr")
    assert (plate.fields, plate.pixel_size) == ([("A01", "1"), ("A02", "1")], 0.5)
    raw = project(np.stack([tifffile.imread(tmp_path / f"A02_ER_{z}.tif") for z in (0, 1)]), axis=0)
    expected = np.rint((raw - 50.0) / _light().flat[0].astype(np.float32) + 50)
    np.testing.assert_allclose(plate.read("A02", "1", ["ER"])[0], expected, atol=1)
    assert scale["fields"].tolist() == [2, 2]
    pixels = np.stack([plate.read(*field) for field in plate.fields])
    np.testing.assert_allclose(
        intensity.scale(pixels, scale["low"], scale["high"]).mean(axis=(0, 2, 3)), scale["mean"], rtol=1e-4
    )


def test_excluded_sites_are_absent(tmp_path):
    frame = _plate(tmp_path, depth=1)
    frame.loc[0, "Metadata_Verdict"] = "exclude"
    (tmp_path / "A01_DNA_0.tif").unlink()
    assert _write(tmp_path / "p.zarr", frame, tmp_path)["fields"].tolist() == [1, 1]
    assert store.open_plate(tmp_path / "p.zarr").fields == [("A02", "1")]
    frame["Metadata_Verdict"] = "exclude"
    assert _write(tmp_path / "p.zarr", frame, tmp_path)["fields"].tolist() == [0, 0]
    assert store.open_plate(tmp_path / "p.zarr").fields == []


def test_another_shape_than_the_light_path_is_an_error(tmp_path):
    with pytest.raises(
        ValueError, match=r"P A01 site 1: expected fields of \(8, 8\) as its light path, found \(20, 24\)"
    ):
        _write(tmp_path / "p.zarr", _plate(tmp_path), tmp_path, light=_light((8, 8)))
