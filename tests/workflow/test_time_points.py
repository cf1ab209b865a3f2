"""A screen of two time points, from the sheet to the page, as a user runs it: a profile per well and time point."""

import numpy as np
import pandas as pd
import pytest
import tifffile

import screens
from wellspring.illumination import lightpath
from wellspring.io import tables

WELLS = [f"{row}{column:02d}" for row in "AB" for column in range(1, 7)]


@pytest.fixture
def screen(tmp_path):
    rng, shape, sheet = np.random.default_rng(0), (70, 96), []
    for plate in ("P1", "P2"):
        (tmp_path / plate).mkdir()
        for well in WELLS:
            for time in (1, 2):
                strength = 1 + time * (well[0] == "B") * int(well[1:]) / 3
                for channel, level in (("DNA", 300), ("ER", 500 * strength)):
                    pixels = rng.poisson(level, shape) + 3 * np.arange(shape[1])
                    tifffile.imwrite(tmp_path / plate / f"{well}_t{time}_{channel}.tif", pixels.astype(np.uint16))
        sheet.append({"plate": plate, "images": str(tmp_path / plate), "platemap": str(tmp_path / "map.csv")})
    rows = [f"{well},DMSO,0,negcon" if well[0] == "A" else f"{well},drug,{int(well[1:])},trt" for well in WELLS]
    (tmp_path / "map.csv").write_text("well,compound,concentration,pert_type\n" + "\n".join(rows) + "\n")
    folder = screens.make(
        tmp_path / "screen", sheet=pd.DataFrame(sheet), changes={"channels": ["DNA", "ER"], "track_code": False}
    )
    pattern = r"(?P<well>[A-Z]\d\d)_t(?P<timepoint>\d)_(?P<channel>\w+)\.tif"
    screens.change(folder, {"index": {"reader": "pattern", "pattern": pattern}, "encoders": None})
    screens.change(folder, {"cells": {"activate": False}, "evaluate": {"null_size": 1000, "bootstrap": 100}})
    screens.change(folder, {"encoders": {"light": {"kind": "intensity", "view": {"kind": "tile", "size": 48}}}})
    return folder


def test_without_a_choice_the_way_out_is_named(screen):
    done = screens.snakemake("check", "--cores", "1", cwd=screen)
    assert done.returncode != 0
    assert "choose one in index.timepoint, or `all` for a profile per well and time point" in done.stdout


@pytest.mark.slow
def test_profiles_and_scores_by_time_point(screen):
    screens.change(screen, {"index": {"timepoint": "all"}})
    done = screens.snakemake("--cores", "2", cwd=screen)
    assert done.returncode == 0, done.stdout
    results = screen / "results"
    aligned = pd.concat([pd.read_parquet(path, use_threads=False) for path in results.glob("align/light/*.parquet")])
    counts = aligned.groupby(["Metadata_Imaged_Plate", "Metadata_Well"])["Metadata_Timepoint"].agg(["size", "nunique"])
    assert (counts == 2).all(axis=None) and len(counts) == 2 * len(WELLS)
    assert set(aligned["Metadata_Plate"]) == {f"{plate}_T{time}" for plate in ("P1", "P2") for time in (1, 2)}
    controls = pd.read_parquet(results / "profile/light/P1_T2.normalised.parquet", use_threads=False)
    controls = controls[controls["Metadata_pert_type"] == "negcon"]
    assert np.allclose(controls[tables.features(controls)].mean(), 0, atol=1e-4)
    light = lightpath.load(results / "illumination/P1.npz")
    assert tables.provenance(results / "images/P1_T1.parquet")["illumination"] == light.records()
    together = pd.read_parquet(results / "align/light.consensus.parquet", use_threads=False)
    assert together["Metadata_Timepoint"].value_counts().to_dict() == {"1": 7, "2": 7}
    items = pd.read_parquet(results / "evaluate/light.items.parquet", use_threads=False)
    names = items.groupby("Metadata_Metric")["Metadata_Item"].agg(set)
    assert names["dose.spearman"] == {"drug|1", "drug|2"}
    assert names["activity"] == {f"drug@{dose}|{time}" for dose in range(1, 7) for time in (1, 2)}
    hits = pd.read_csv(results / "report/hits.csv")
    assert set(hits["treatment"]) == names["activity"]
    curves = pd.read_csv(results / "report/curves.csv")
    assert set(curves["compound"]) == {"drug|1", "drug|2"}
    assert not screens.planned(screen)
