"""Each time point of a plate is a plate of its own, and scores compare wells of one time point."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from options import options as section
from wellspring.evaluate import dose, lines, wells
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.retrieval import activity
from wellspring.index import run as index
from wellspring.index import times
from wellspring.profile.aggregate import wells_of
from wellspring.screen import config
from wellspring.screen.sections import Config

PATTERN = r"(?P<well>[A-Z]\d\d)_(?P<timepoint>\w+)_s(?P<site>\d)_(?P<channel>\w+)\.tif"
OPTIONS = section("index", pattern=PATTERN, timepoint="all")


def _row(folder, labels, plate="P1", **more):
    images = folder / plate
    images.mkdir()
    for label in labels:
        for well in ("A01", "A02"):
            tifffile.imwrite(images / f"{well}_{label}_s1_DNA.tif", np.zeros((6, 8), np.uint16))
    (folder / "map.csv").write_text("well,compound,pert_type\nA01,DMSO,negcon\nA02,drug,trt\n")
    row = {"plate": plate, "images": str(images), "platemap": str(folder / "map.csv"), "batch": "B1"}
    return row | {"cell_line": "U2OS", "role": "fit", "optics": plate, "acquisition": "", "timepoint": ""} | more


@pytest.mark.parametrize("labels", [["1", "2", "10"], ["00h30m", "12h00m"], ["7"]])
def test_a_row_per_time_point_with_its_own_planes(tmp_path, labels):
    row = _row(tmp_path, labels)
    rows = times.expanded([row], OPTIONS)
    assert [one["plate"] for one in rows] == [f"P1_T{label}" for label in labels]
    assert {one["optics"] for one in rows} == {"P1"}
    for one, label in zip(rows, labels, strict=True):
        found = index.build(one, ["DNA"], OPTIONS)
        assert found.table["Metadata_Path"].tolist() == [f"{well}_{label}_s1_DNA.tif" for well in ("A01", "A02")]
        assert set(found.table["Metadata_Imaged_Plate"]) == {"P1"}
        assert wells_of(found.table, by_time=True)["Metadata_Timepoint"].tolist() == [label] * 2
        assert "Metadata_Timepoint" not in wells_of(found.table)


def test_a_choice_of_the_sheet_stays(tmp_path):
    row = _row(tmp_path, ["1", "2"], timepoint="2")
    assert times.expanded([row], OPTIONS) == [row]
    found = index.build(row, ["DNA"], section("index", pattern=PATTERN, timepoint=1))
    assert set(found.table["Metadata_Timepoint"]) == {"2"}
    with pytest.raises(ValueError, match=r"found \['1', '2'\] \(choose one in index.timepoint, or `all` for a profile"):
        index.build(row | {"timepoint": ""}, ["DNA"], section("index", pattern=PATTERN))


def test_platemaps_by_barcode_and_acquisitions_keep_the_name_of_the_plate(tmp_path):
    row = _row(tmp_path, ["1", "2"], acquisition="{plate}_run")
    (tmp_path / "maps" / "platemap").mkdir(parents=True)
    (tmp_path / "maps" / "barcode_platemap.csv").write_text("Assay_Plate_Barcode,Plate_Map_Name\nP1,map\n")
    (tmp_path / "maps" / "platemap" / "map.txt").write_text("well_position\tpert_type\tcompound\nA01\tnegcon\tDMSO\n")
    one = times.expanded([row | {"acquisition": ""}], OPTIONS)[1] | {"platemap": str(tmp_path / "maps")}
    (tmp_path / "maps" / "platemap" / "map.txt").open("a").write("A02\ttrt\tdrug\n")
    found = index.build(one, ["DNA"], OPTIONS).table
    assert found["Metadata_Compound"].tolist() == ["DMSO", "drug"]
    with pytest.raises(ValueError, match="P1_run"):
        index.build(times.expanded([row], OPTIONS)[0], ["DNA"], OPTIONS)


def test_names_that_become_equal_are_refused(tmp_path):
    rows = [_row(tmp_path, ["a_b", "a__b"])]
    with pytest.raises(ValueError, match=r"found \['P1_Ta-b'\] more than once"):
        times.expanded(rows, OPTIONS)


def test_jobs_use_what_the_main_process_found(tmp_path):
    row, variables = _row(tmp_path, ["1", "2"]), {}
    first = times.expanded([row], OPTIONS, known=variables)
    for path in (tmp_path / "P1").glob("*_2_*"):
        path.unlink()
    assert times.expanded([row], OPTIONS, known=variables, again=False) == first
    assert len(times.expanded([row], OPTIONS, known=variables)) == 1
    assert [*json.loads(variables[times.FOUND]).values()] == [["1"]]


def test_the_config_compares_within_a_time_point():
    complete = config.fill({"channels": ["DNA"], "encoders": {"any": {}}, "index": {"timepoint": "all"}})
    changed = config.typed(complete | times.grouped(complete))
    assert isinstance(changed, Config)
    assert changed.profile.group_by == ("Metadata_Cell_Line", "Metadata_Timepoint")
    assert changed.evaluate.replicates_share == ("Metadata_Timepoint",)
    assert times.grouped(complete | {"index": complete["index"] | {"timepoint": "1"}}) == {}
    frame = pd.DataFrame({"Metadata_Perturbation": ["X@1", "X@1"], "Metadata_Timepoint": ["24", "48"]})
    assert wells.replicate_names(frame, changed.evaluate.replicates_share).tolist() == ["X@1|24", "X@1|48"]


def _screen(rng, *, signs=(1, -1), late_only=False):
    """Return profiles of 2 time points: X moves along one axis by its dose, up at the first and down at the second."""
    rows, values = [], []
    for number, (time, sign) in enumerate(zip(("24", "48"), signs, strict=True)):
        for replicate in range(3):
            plate = f"P{replicate}_T{time}"
            for well in range(6):
                rows.append((plate, f"A{well + 1:02d}", "DMSO", 0.0, "negcon", time))
                values.append(rng.normal(0, 0.1, 8))
            for well, level in enumerate((1.0, 2.0, 4.0, 8.0)):
                strength = 0 if late_only and number == 0 else sign * level
                rows.append((plate, f"B{well + 1:02d}", "X", level, "trt", time))
                values.append(rng.normal(0, 0.1, 8) + strength * np.eye(8)[0])
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type", "Timepoint"]
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    frame["Metadata_Perturbation"] = wells.treatments(frame)
    return np.array(values), frame.assign(Metadata_Cell_Line="U2OS", Metadata_Verdict="keep")


def test_doses_are_judged_at_each_time_point():
    """Opposite answers at two times do not cancel each other, and each time has its item."""
    features, frame = _screen(np.random.default_rng(0))
    monotonic, _ = dose.dose(features, frame, bootstrap=50)
    assert monotonic.items["Metadata_Item"].tolist() == ["X|24", "X|48"]
    assert (monotonic.items["value"] > 0.9).all()
    late, _ = dose.dose(*_screen(np.random.default_rng(1), late_only=True), bootstrap=50)
    by_item = late.items.set_index("Metadata_Item")["value"]
    assert by_item["X|48"] > 0.9 and abs(by_item["X|24"]) < 0.7


def test_activity_is_judged_at_each_time_point():
    features, frame = _screen(np.random.default_rng(2), late_only=True)
    score = activity(features, frame, replicates_share=("Metadata_Timepoint",), null_size=500)
    active_at = score.items.set_index("Metadata_Item")["value"]
    assert set(active_at.index) == {f"X@{level}|{time}" for level in (1.0, 2.0, 4.0, 8.0) for time in ("24", "48")}
    assert active_at["X@8.0|48"] > 0.9 > active_at["X@8.0|24"]


def test_mechanisms_are_judged_at_each_time_point():
    seen = []

    def compute(features, metadata, options, seed):
        seen.append(set(metadata["Metadata_Timepoint"]))
        return []

    features, frame = _screen(np.random.default_rng(3))
    metric = Metric("nsc", "mechanism", "across", 1, "", "", "", compute=compute)
    lines.by_line(metric).compute(features, frame, section("evaluate"), 0)
    assert seen == [{"24"}, {"48"}]
    assert wells.lines(frame.assign(Metadata_Timepoint="24")).tolist() == ["U2OS"] * len(frame)
