"""A screen of plates with different panels, from the sheet to the page: one encoder trains on all and embeds each."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

import screens
from wellspring.illumination import lightpath
from wellspring.io import ngff, tables

WELLS = [f"{row}{column:02d}" for row in "ABC" for column in range(1, 7)]
PANELS = {"P1": ("DNA", "ER", "Mito"), "P2": ("DNA", "ER"), "P3": ("DNA", "Mito")}
NETWORK = {
    "kind": "simclr",
    "stem": "adaptive",
    "steps": 6,
    "batch": 8,
    "one_plate": True,
    "view": {"kind": "tile", "size": 32},
    "backbone": "vit_tiny_patch16_224",
    "backbone_options": {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
}


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panels")
    rng, shape, sheet = np.random.default_rng(0), (70, 96), []
    for plate, panel in PANELS.items():
        (folder / plate).mkdir()
        for well in WELLS:
            strength = 1 + (well[0] != "A") * int(well[1:]) / 3
            for channel in panel:
                pixels = rng.poisson(300 if channel == "DNA" else 400 * strength, shape) + 3 * np.arange(shape[1])
                tifffile.imwrite(folder / plate / f"{well}_{channel}.tif", pixels.astype(np.uint16))
        panel_of = "" if plate == "P1" else ",".join(reversed(panel))
        row = {"plate": plate, "images": str(folder / plate), "platemap": str(folder / "map.csv"), "panel": panel_of}
        sheet.append(row)
    rows = [f"{well},DMSO,0,negcon" if well[0] == "A" else f"{well},drug,{int(well[1:])},trt" for well in WELLS]
    (folder / "map.csv").write_text("well,compound,concentration,pert_type\n" + "\n".join(rows) + "\n")
    made = screens.make(folder / "screen", sheet=pd.DataFrame(sheet), changes={"channels": None, "track_code": False})
    pattern = r"(?P<well>[A-Z]\d\d)_(?P<channel>\w+)\.tif"
    screens.change(made, {"index": {"reader": "pattern", "pattern": pattern}, "encoders": None})
    changes = {"channels": ["DNA", "ER", "Mito"], "cells": {"activate": False}}
    screens.change(made, changes | {"evaluate": {"null_size": 1000, "bootstrap": 100, "permutations": 5}})
    screens.change(made, {"encoders": {"any": NETWORK, "dna": NETWORK | {"stem": "widened", "channels": ["DNA"]}}})
    return made


def test_an_encoder_that_needs_all_channels_is_refused_before_any_job(screen):
    screens.change(screen, {"encoders": {"whole": NETWORK | {"stem": "widened"}}})
    try:
        told = screens.refusal(screen)
    finally:
        screens.change(screen, {"encoders": {"whole": None}})
    lacking = "P2 without Mito; P3 without ER"
    assert f"channels of encoders.whole (stem: adaptive takes any panel, or set its channels), found {lacking}" in told


@pytest.mark.slow
def test_one_encoder_trains_on_all_panels_and_embeds_each(screen):
    done = screens.snakemake("--cores", "2", cwd=screen)
    assert done.returncode == 0, done.stdout[-6000:]
    results = screen / "results"
    card = json.loads((results / "train/any/encoder.json").read_text())
    assert card["channels"] == ["DNA", "ER", "Mito"] and card["trained_on"]["plates"] == list(PANELS)
    for plate, panel in PANELS.items():
        assert ngff.open_plate(results / f"images/{plate}.zarr").channels == list(panel)
        assert lightpath.load(results / f"illumination/{plate}.npz").channels == list(panel)
        index = tables.read(results / f"index/{plate}.parquet")
        assert len(index) == len(panel) * len(WELLS) and "Metadata_panel" not in index
        assert tables.verdict(results / f"images/{plate}.parquet").keep
    aligned = [tables.read(results / f"align/any/{plate}.parquet") for plate in PANELS]
    assert len({tuple(tables.features(frame)) for frame in aligned}) == 1
    assert all(np.isfinite(frame[tables.features(frame)].to_numpy()).all() for frame in aligned)
    assert (results / "report/index.html").is_file() and not screens.planned(screen)
