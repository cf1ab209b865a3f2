import re
from dataclasses import replace

import numpy as np
import pandas as pd
import tifffile
from scipy.ndimage import gaussian_filter

from options import options
from wellspring.io import tables
from wellspring.io.notes import loads
from wellspring.io.tables import Verdict
from wellspring.report import wording
from wellspring.survey import run as survey

UNLIMITED = {"focus": None, "sharpness": None, "mean": None, "foreground": None}
OPTIONS = options("survey", pixel_size=0.5, view_edge=16, max_excluded=0.5, outliers=UNLIMITED)
ROWS = "ABCD"


def _plate(folder, wells=("A01", "A02", "B01"), channels=("DNA", "ER")):
    rng = np.random.default_rng(1)
    rows = []
    for well in wells:
        for channel in channels:
            name = f"{well}_{channel}.tif"
            tifffile.imwrite(folder / name, rng.poisson(200, (64, 80)).astype(np.uint16))
            kind = "negcon" if well == "A01" else "trt"
            rows.append(("P", well, "1", channel, "1", name, 0, kind))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "pert_type"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def test_a_good_plate_is_kept_and_written(tmp_path):
    index = _plate(tmp_path)
    found = survey.run(index, tmp_path, options=OPTIONS, threads=2)
    assert found.verdict == Verdict()
    assert found.views.shape == (6, 16, 20)
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
    tifffile.imwrite(tmp_path / "A04_DNA.tif", np.zeros((64, 80), np.uint16))
    tifffile.imwrite(tmp_path / "A05_DNA.tif", np.arange(80 * 64, dtype=np.uint16).reshape(80, 64))
    tifffile.imwrite(tmp_path / "A06_ER.tif", np.arange(64 * 80, dtype=np.uint16).astype(np.uint8).reshape(64, 80))
    debris = np.full((64, 80), 300, np.uint16)
    debris[:16, :16] = 65535
    tifffile.imwrite(tmp_path / "A07_ER.tif", debris)
    found = survey.run(index, tmp_path, options=replace(OPTIONS, max_excluded=0.9))
    bad = found.table[found.table["Metadata_Verdict"] == "exclude"].set_index("Metadata_Well")
    assert bad["Metadata_Status"].to_dict() == {
        "A02": "missing", "A03": "truncated", "A04": "blank", "A05": "shape", "A06": "dtype", "A07": "ok",
    }  # fmt: skip
    assert bad.loc["A05", "Metadata_Reason"] == 'other_shape(found="80 x 64", usual="64 x 80")'
    assert bad.loc["A06", "Metadata_Reason"] == 'other_dtype(found="uint8", usual="uint16")'
    assert bad.loc["A07", "Metadata_Reason"] == "saturated(share=0.05, limit=0.01)"
    assert survey.kept(found.table)["Metadata_Well"].tolist() == ["A01"]
    assert np.isnan(found.views[(found.table["Metadata_Status"] != "ok").to_numpy()]).all()


def test_a_plate_that_loses_too_much_or_its_controls_has_a_verdict(tmp_path):
    index = _plate(tmp_path)
    (tmp_path / "A01_DNA.tif").unlink()
    found = survey.run(index, tmp_path, options=OPTIONS)
    assert found.verdict == Verdict(False, ("controls_excluded(wells=1)",))
    found = survey.run(index, tmp_path, options=replace(OPTIONS, max_excluded=0.2), verdict=Verdict(False, ("before",)))
    assert found.verdict.reasons[0] == "before"
    assert found.verdict.reasons[1] == "too_many_sites_excluded(excluded=1, sites=3, limit=0.2)"


def test_a_plate_without_one_image_has_a_survey(tmp_path):
    index = _plate(tmp_path).assign(Metadata_Path=None)
    found = survey.run(index, tmp_path, options=OPTIONS)
    assert not found.verdict.keep
    tables.write(found.table, tmp_path / "survey.parquet", table="survey", provenance={}, verdict=found.verdict)
    assert survey.kept(found.table).empty


def _cells(rng, *, blur=0.0, count=30, edge=128):
    """Return round cells with sharp edges on a ground, blurred, with the noise of a camera: uint16."""
    shape = edge, edge + 16
    y, x = np.mgrid[: shape[0], : shape[1]]
    field = np.full(shape, 100.0)
    for centre in rng.uniform(0, shape, (count, 2)):
        field += 400 * (np.hypot(y - centre[0], x - centre[1]) < 6)
    return rng.poisson(gaussian_filter(field, blur) if blur else field).astype(np.uint16)


def _wells(folder, fields):
    """Write one field per well and plane, {(well, plane): pixels}, as a plate of one channel."""
    rows = []
    for (well, plane), pixels in fields.items():
        name = f"{well}_{plane}.tif"
        tifffile.imwrite(folder / name, pixels)
        rows.append(("P", well, "1", "DNA", plane, name, 0, "negcon" if well == "A01" else "trt"))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "pert_type"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def test_a_blurred_image_is_unlike_its_plate_and_an_emptied_well_is_not(tmp_path):
    rng = np.random.default_rng(0)
    wells = [f"{row}{column:02d}" for row in ROWS for column in range(1, 7)]
    fields = {(well, "1"): _cells(rng) for well in wells}
    fields["B03", "1"] = _cells(rng, blur=3)
    fields["C04", "1"] = _cells(rng, count=0)
    fields["D05", "1"] = _cells(rng, count=3)
    index = _wells(tmp_path, fields)
    found = survey.run(index, tmp_path, options=OPTIONS).table
    assert (found["Metadata_Verdict"] == "keep").all(), "measured, not judged, by default"
    limits = replace(OPTIONS, outliers=replace(OPTIONS.outliers, sharpness=8))
    found = survey.run(index, tmp_path, options=limits).table.set_index("Metadata_Well")
    bad = found[found["Metadata_Verdict"] == "exclude"]
    assert bad.index.tolist() == ["B03"]
    (note,) = loads(bad["Metadata_Reason"].iloc[0])
    assert (note.code, note.values["measure"], note.values["channel"], note.values["limit"]) == (
        "outlier",
        "sharpness",
        "DNA",
        8,
    )
    assert note.values["deviations"] < -8 and 0 < note.values["value"] < note.values["median"] < 1
    words = r"outlier: sharpness 0\.\d+, \d+\.\d robust standard deviations below the plate's median of DNA "
    assert re.fullmatch(words + r"\(0\.\d+\), limit 8", wording.words(note))
    assert np.isnan(found.loc["C04", "sharpness"])
    found = survey.run(index, tmp_path, options=replace(OPTIONS, min_sharpness=0.2)).table
    assert found.loc[found["Metadata_Verdict"] == "exclude", "Metadata_Well"].tolist() == ["B03"]
    (note,) = loads(found["Metadata_Reason"].max())
    assert note.code == "low_sharpness" and 0.1 <= note.values["value"] < note.values["limit"] == 0.2


def test_a_stack_is_as_sharp_as_its_sharpest_plane(tmp_path):
    rng = np.random.default_rng(0)
    blurs = {("A01", "1"): 4, ("A01", "2"): 0, ("A02", "1"): 4, ("A02", "2"): 3}
    index = _wells(tmp_path, {place: _cells(rng, blur=blur) for place, blur in blurs.items()})
    found = survey.run(index, tmp_path, options=replace(OPTIONS, min_sharpness=0.2)).table
    assert found.loc[found["Metadata_Verdict"] == "exclude", "Metadata_Well"].tolist() == ["A02", "A02"]


def test_few_images_have_no_outliers(tmp_path):
    rng = np.random.default_rng(0)
    fields = {(f"A{number:02d}", "1"): _cells(rng, blur=3 * (number == 3)) for number in range(1, survey.FEWEST)}
    limits = replace(OPTIONS, outliers=replace(OPTIONS.outliers, sharpness=3))
    found = survey.run(_wells(tmp_path, fields), tmp_path, options=limits)
    assert (found.table["Metadata_Verdict"] == "keep").all()


def test_the_pixel_size_is_the_configs_or_the_indexs_or_the_files(tmp_path):
    index = _plate(tmp_path, wells=("A01", "A02"), channels=("DNA",))
    tifffile.imwrite(
        tmp_path / "A02_DNA.tif",
        np.arange(64 * 64, dtype=np.uint16).reshape(64, 64),
        ome=True,
        metadata={"axes": "YX", "PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "µm"},
    )
    unset = replace(OPTIONS, pixel_size=None)
    sizes = [
        survey.run(table, tmp_path, options=given).table["Metadata_Pixel_Size"].tolist()
        for table, given in (
            (index, unset),
            (index.assign(Metadata_Pixel_Size=[0.7, np.nan]), unset),
            (index.assign(Metadata_Pixel_Size=0.7), OPTIONS),
        )
    ]
    np.testing.assert_array_equal(sizes, [[np.nan, 0.3], [0.7, 0.3], [0.5, 0.5]])


def _index_of(values, *, channel="DNA"):
    return pd.DataFrame({"Metadata_Channel": channel, "Metadata_Plane": "1"}, index=values.index)


def test_outliers_of_brightness_are_on_both_sides_and_those_of_blur_below():
    values = pd.Series([*np.linspace(90, 110, 21), 10.0, 190.0])
    median, mad = np.median(values), np.median(np.abs(values - np.median(values)))
    assert median == 100
    for measure, expected in (("mean", [21, 22]), ("foreground", [21, 22]), ("focus", [21]), ("sharpness", [21])):
        far, notes = survey._outliers(values, _index_of(values), measure=measure, limit=8)
        assert np.flatnonzero(far).tolist() == expected, measure
        away = [round((values[place] - median) / (1.4826 * mad), 1) for place in expected]
        assert [note.values["deviations"] for note in notes] == away
    away = 90 / (1.4826 * mad)
    for limit, count in ((away * 1.001, 0), (away * 0.999, 2)):
        assert survey._outliers(values, _index_of(values), measure="mean", limit=limit)[0].sum() == count


def test_outliers_are_judged_among_planes_of_their_own_channel():
    dim, bright = (pd.Series(base + np.linspace(-5, 5, survey.FEWEST)) for base in (100, 1000))
    values = pd.concat([dim, bright, pd.Series([100.0])], ignore_index=True)
    index = _index_of(values)
    index["Metadata_Channel"] = ["DNA"] * survey.FEWEST + ["ER"] * (survey.FEWEST + 1)
    far, (note,) = survey._outliers(values, index, measure="mean", limit=10)
    assert np.flatnonzero(far).tolist() == [len(values) - 1]
    assert note.values["channel"] == "ER" and note.values["deviations"] < 0
    few = values[: survey.FEWEST - 1]
    assert not survey._outliers(few, _index_of(few), measure="mean", limit=0.1)[0].any()


def test_a_plate_is_left_out_by_its_share_of_sites_and_by_the_loss_of_all_controls():
    wells = ["A01", "A02", "A03", "A04"]
    table = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": wells, "Metadata_Site": "1"})
    index = table.assign(Metadata_pert_type=["negcon", "negcon", "trt", "trt"])

    def judged(excluded, limit):
        verdict = np.where(table["Metadata_Well"].isin(excluded), "exclude", "keep")
        return survey.judge(table.assign(Metadata_Verdict=verdict), index, max_excluded=limit, verdict=Verdict())

    assert judged(["A01"], 0.25) == Verdict(), "a share equal to the limit passes, and one control is left"
    assert judged(["A01"], 0.24).reasons == ("too_many_sites_excluded(excluded=1, sites=4, limit=0.24)",)
    assert judged(["A01", "A02"], 0.5).reasons == ("controls_excluded(wells=2)",)
    assert judged(["A03", "A04"], 0.5) == Verdict()
    assert len(judged(wells, 0.5).reasons) == 2
