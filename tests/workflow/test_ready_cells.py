"""A screen of ready-made crops of cells: no fields are asked for, and all that follows the crops runs on them."""

import numpy as np
import pandas as pd
import pytest

import ready_crops
import screens
from wellspring.io import packed, tables

PLATES = ("P1", "P2")
COMPOUNDS = ("DMSO", "a", "b", "c")  # in the columns 2, 3, 4, 5
STRENGTH = {"DMSO": (1, 1, 1), "a": (2.5, 1, 1), "b": (1, 2.5, 1), "c": (1, 1, 0.2)}
ROWS = "BCDE"
LOST = ("P2", "E05")  # a well without crops


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run a screen of two plates with four wells per treatment and five cells per well, images as CHAMMI's."""
    folder = tmp_path_factory.mktemp("cells")
    wells = {f"{row}{2 + number:02d}": name for row in ROWS for number, name in enumerate(COMPOUNDS)}
    table = ready_crops.keys(PLATES, tuple(wells), cells=3)
    full = table["Well"].str.upper().str[0] + table["Well"].str[1:].str.zfill(2)
    table = table[~((table["Plate"] == LOST[0]) & (full == LOST[1]))].reset_index(drop=True)
    full = table["Well"].str.upper().str[0] + table["Well"].str[1:].str.zfill(2)
    rng = np.random.default_rng(5)
    pixels = np.stack([ready_crops.crop(rng, strength=STRENGTH[wells[well]]) for well in full])
    given = ready_crops.write(folder / "crops", "side by side", table, pixels)
    (folder / "map.csv").write_text("well,compound\n" + "".join(f"{well},{name}\n" for well, name in wells.items()))
    rows = [(plate, str(folder / "crops"), str(folder / "map.csv"), f"b{plate}") for plate in PLATES]
    screens.make(
        folder,
        changes={"encoders": None, "channels": None, "cells": None},
        sheet=pd.DataFrame(rows, columns=["plate", "images", "platemap", "batch"]),
    )
    small = {"kind": "cell", "size": 32}
    encoders = {
        "simclr": {"kind": "simclr", "steps": 4, "batch": 8, "view": small, "backbone": "resnet18"},
        "intensity": {"kind": "intensity", "view": small},
    }
    changes = {
        "channels": list(ready_crops.CHANNELS),
        "encoders": encoders,
        "crops": {"size": 36, "cells_per_well": 4, "given": given},
        "profile": {"min_controls": 4},
        "evaluate": {"null_size": 1000, "bootstrap": 100, "permutations": 5},
    }
    screens.change(folder, changes)
    stages = {"index": 2, "pack": 2, "train": 2, "embed": 4, "profile": 4, "fit": 2, "align": 4, "consensus": 2}
    assert screens.planned(folder) == {**stages, "evaluate": 2, "report": 1, "verdict": 1}
    done = screens.snakemake("--cores", "all", cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


def test_the_array_and_table_are_those_of_the_rule_crops(folder):
    table = tables.read(folder / "results/crops/P1.parquet")
    array = packed.Packed(folder / "results/crops/P1.npy")
    assert array.shape == (96, 3, 36, 36) and len(table) == 96
    assert table.groupby("Metadata_Well")["Metadata_Sample"].sum().eq(4).all()
    assert LOST[1] not in set(tables.read(folder / "results/crops/P2.parquet")["Metadata_Well"])


def test_every_cell_is_embedded_and_counted(folder):
    for encoder in ("simclr", "intensity"):
        profiles = tables.read(folder / f"results/profile/{encoder}/P2.aggregated.parquet")
        counts = profiles.set_index("Metadata_Well")["Metadata_Count_Cells"]
        assert counts.pop(LOST[1]) == 0 and (counts == 6).all() and len(counts) == 15
        lost = profiles.set_index("Metadata_Well").loc[LOST[1]]
        assert lost["Metadata_Verdict"] == "undefined" and lost["Metadata_Reason"] == "no_cells"


def test_planted_differences_are_found(folder):
    summary = tables.read(folder / "results/evaluate/intensity.summary.parquet")
    active = summary[summary["Metadata_Metric"].str.startswith("activity.") & summary["value"].notna()]
    assert len(active) and active["value"].max() > 0.9
    hits = pd.read_csv(folder / "results/report/hits.csv")
    assert {"a", "b", "c"} <= set(hits["compound"])


def test_the_report_shows_cells_and_names_their_source(folder):
    page = (folder / "results/report/index.html").read_text()
    assert "ready-made crops" in page and "profiles come from tables" not in page
    assert not any((folder / "results" / name).exists() for name in ("survey", "illumination", "cells"))


def test_the_check_reads_the_crops(folder):
    done = screens.snakemake("check", "--cores", "1", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "96 crops of 16 wells and 32 sites: 40 x 36 px uint16" in done.stdout
    assert "1 wells of the platemap have no crops: E05" in done.stdout
