import numpy as np
import pandas as pd
import pytest
import tifffile

from wellspring import quality, survey, tables
from wellspring.tables import Verdict

OPTIONS = {
    "pixel_size": 0.5,
    "view_edge": 16,
    "saturation": None,
    "max_saturated": 0.01,
    "min_focus": None,
    "max_excluded": 0.5,
}


def _plate(folder, wells=("A01", "A02", "B01"), channels=("DNA", "ER")):
    rng = np.random.default_rng(1)
    rows = []
    for well in wells:
        for channel in channels:
            name = f"{well}_{channel}.tif"
            tifffile.imwrite(folder / name, rng.poisson(200, (64, 64)).astype(np.uint16))
            kind = "negcon" if well == "A01" else "trt"
            rows.append(("P", well, "1", channel, "1", name, 0, kind))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "pert_type"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def test_a_good_plate_is_kept_and_written(tmp_path):
    index = _plate(tmp_path)
    found = survey.run(index, tmp_path, options=OPTIONS, threads=2)
    assert found.verdict == Verdict()
    assert found.views.shape == (6, 16, 16)
    assert (found.table["Metadata_Verdict"] == "keep").all()
    np.testing.assert_allclose(found.views.mean(axis=(1, 2)), found.table["mean"], rtol=1e-6)
    tables.write(found.table, tmp_path / "survey.parquet", table="survey", provenance={}, verdict=found.verdict)
    assert tables.read(tmp_path / "survey.parquet")["Metadata_Pixel_Size"].eq(0.5).all()
    again = survey.run(index.sample(frac=1, random_state=0), tmp_path, options=OPTIONS)
    pd.testing.assert_frame_equal(found.table, again.table)
    np.testing.assert_array_equal(found.views, again.views)


def test_faults_are_named_and_take_their_site_along(tmp_path):
    index = _plate(tmp_path, wells=("A01", "A02", "A03", "A04", "A05", "A06", "A07"))
    (tmp_path / "A02_DNA.tif").unlink()
    path = tmp_path / "A03_ER.tif"
    path.write_bytes(path.read_bytes()[:3000])
    tifffile.imwrite(tmp_path / "A04_DNA.tif", np.zeros((64, 64), np.uint16))
    tifffile.imwrite(tmp_path / "A05_DNA.tif", np.arange(32 * 64, dtype=np.uint16).reshape(32, 64))
    tifffile.imwrite(tmp_path / "A06_ER.tif", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
    debris = np.full((64, 64), 300, np.uint16)
    debris[:16, :16] = 65535
    tifffile.imwrite(tmp_path / "A07_ER.tif", debris)
    found = survey.run(index, tmp_path, options=OPTIONS | {"max_excluded": 0.9})
    bad = found.table[found.table["Metadata_Verdict"] == "exclude"].set_index("Metadata_Well")
    assert bad["Metadata_Status"].to_dict() == {
        "A02": "missing", "A03": "truncated", "A04": "blank", "A05": "shape", "A06": "dtype", "A07": "ok",
    }  # fmt: skip
    assert bad.loc["A05", "Metadata_Reason"] == "shape: 32 x 64, where the plate has 64 x 64"
    assert bad.loc["A06", "Metadata_Reason"] == "dtype: uint8, where the plate has uint16"
    assert bad.loc["A07", "Metadata_Reason"] == "saturated: 6.2% of the pixels, more than 1.0%"
    assert survey.kept(found.table)["Metadata_Well"].tolist() == ["A01"]
    assert np.isnan(found.views[(found.table["Metadata_Status"] != "ok").to_numpy()]).all()


def test_a_plate_that_loses_too_much_or_its_controls_has_a_verdict(tmp_path):
    index = _plate(tmp_path)
    (tmp_path / "A01_DNA.tif").unlink()
    found = survey.run(index, tmp_path, options=OPTIONS)
    assert found.verdict == Verdict(False, ("all sites of the 1 negative control wells are excluded",))
    found = survey.run(index, tmp_path, options=OPTIONS | {"max_excluded": 0.2}, verdict=Verdict(False, ("before",)))
    assert found.verdict.reasons[0] == "before"
    assert found.verdict.reasons[1] == "1 of 3 sites excluded (33.3%), more than survey.max_excluded (20%)"


def test_a_plate_without_one_image_has_a_survey(tmp_path):
    index = _plate(tmp_path).assign(Metadata_Path=None)
    found = survey.run(index, tmp_path, options=OPTIONS)
    assert not found.verdict.keep
    tables.write(found.table, tmp_path / "survey.parquet", table="survey", provenance={}, verdict=found.verdict)
    assert survey.kept(found.table).empty


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_quantiles_agree_with_numpy(dtype):
    pixels = np.random.default_rng(0).poisson(60, (211, 97)).astype(dtype)
    found = quality.measure(pixels)
    for share in quality.QUANTILES:
        assert found[f"quantile_{share}"] == np.quantile(pixels, share, method="inverted_cdf")
    assert found["mean"] == pytest.approx(pixels.mean())
    assert quality.measure(pixels, saturation=70)["saturated"] == (pixels >= 70).mean()


def test_focus_falls_with_blur():
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(300, 400))
    slopes = [
        quality.focus(gaussian_filter(noise, s) * 1000 + 9000 if s else noise * 1000 + 9000) for s in (0, 0.6, 1, 2)
    ]
    assert abs(slopes[0]) < 0.1
    assert slopes == sorted(slopes, reverse=True)
    assert np.isnan(quality.focus(np.full((64, 64), 5, np.uint8)))
