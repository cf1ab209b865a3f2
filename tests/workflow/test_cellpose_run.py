"""Cells by Cellpose through Snakemake, on weights made here whose objects are known: labels, table and crops."""

import os
import subprocess

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

import screens
import tiny_cellpose
from wellspring.io import ngff, tables
from wellspring.io.provenance import file_digest

pytestmark = pytest.mark.slow
SIDE, WELLS = 96, ("A01", "A02", "B01", "B02")
CHANNELS = ["DNA", "RNA"]
EACH = (SIDE // tiny_cellpose.PATCH) ** 2  # objects a field: every patch is one


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from cellpose import vit

    path = tmp_path_factory.mktemp("weights") / "squares"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vit, "sam_model_registry", {"vit_l": tiny_cellpose.Sam})
        torch.manual_seed(0)
        tiny_cellpose.squares(vit.CPSAM()).save_model(path)
    return path


def named(weights, digest=None):
    return {"cells": {"cellpose": {"weights": {"nuclei": {"path": str(weights), "sha256": digest}}}}}


def run(folder, *arguments):
    """Run Snakemake with the small network in place of Cellpose's."""
    shim = tiny_cellpose.shim(folder / "shim") if not (folder / "shim").exists() else folder / "shim"
    environment = screens.environment() | {"PYTHONPATH": os.fspath(shim)}
    return subprocess.run(
        screens.command("--cores", "1", *arguments, cwd=folder),
        env=environment,
        cwd=screens.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, weights):
    """Return a screen of one small plate, run up to its crops."""
    folder = tmp_path_factory.mktemp("cellpose")
    rng, raw = np.random.default_rng(0), folder / "raw" / "P1"
    raw.mkdir(parents=True)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for well in WELLS:
        shape = sum(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 60) for y, x in rng.uniform(10, 86, (9, 2)))
        for channel in CHANNELS:
            pixels = 200 + 3000 * shape + rng.normal(0, 15, shape.shape)
            tifffile.imwrite(raw / f"{well}_s1_{channel}.tif", pixels.astype(np.uint16))
    layout = pd.DataFrame({"well": WELLS, "compound": ["DMSO", "a", "b", "c"], "pert_type": ["negcon", *["trt"] * 3]})
    layout.to_csv(folder / "raw" / "P1.csv", index=False)
    sheet = pd.DataFrame({"plate": ["P1"], "images": [str(raw)], "platemap": [str(folder / "raw" / "P1.csv")]})
    changes = {
        "channels": CHANNELS,
        "illumination": {"method": "none"},
        "cells": {
            "method": "cellpose",
            "cytoplasm": ["RNA"],
            "nucleus_diameter": 9,
            "cellpose": {"flow_threshold": 0.0, "precision": "float32"},
        },
        "crops": {"cells_per_well": 10},
    }
    screens.make(folder, changes=screens.merge(changes, named(weights, file_digest(weights))), sheet=sheet)
    done = run(folder, "results/crops/P1.npy")
    assert done.returncode == 0, done.stdout[-4000:] + log(folder)
    return folder


def log(folder):
    """Return the log of the rule cells."""
    path = folder / "results" / "logs" / "cells" / "P1.log"
    return path.read_text() if path.exists() else ""


def test_every_patch_is_a_cell_in_labels_table_and_crops(folder):
    frame = tables.read(folder / "results/cells/P1.parquet")
    assert frame.groupby("Metadata_Well").size().to_dict() == dict.fromkeys(WELLS, EACH)
    assert frame["Metadata_Matched"].all()
    assert set(frame["Metadata_Nucleus_Area"]) == set(frame["Metadata_Cell_Area"]) == {tiny_cellpose.PATCH**2}
    labels = ngff.open_labels(folder / "results/cells/P1.zarr")
    assert labels.fields == [(well, "1") for well in WELLS]
    for name in ("nuclei", "cells"):
        image = labels.read("B01", "1", name)
        patches = image.reshape(-1, tiny_cellpose.PATCH, SIDE // tiny_cellpose.PATCH, tiny_cellpose.PATCH)
        assert (patches == patches[:, :1, :, :1]).all() and len(np.unique(image)) == EACH
    rows = tables.read(folder / "results/crops/P1.parquet")
    assert rows.groupby("Metadata_Well").size().to_dict() == dict.fromkeys(WELLS, 10)
    crops = np.load(folder / "results/crops/P1.npy", mmap_mode="r")
    assert crops.shape[:2] == (40, 2) and crops.max() > 500


def test_masked_squares_hold_their_own_patch_alone(folder):
    screens.change(folder, {"crops": {"neighbours": "masked"}})
    done = run(folder, "results/crops/P1.npy")
    assert done.returncode == 0, done.stdout[-4000:]
    low = tables.read(folder / "results/images/P1.parquet").set_index("Metadata_Channel").loc[CHANNELS, "low"]
    crops = np.load(folder / "results/crops/P1.npy")
    other = crops != np.rint(low.to_numpy())[:, None, None]
    # In a corner the field is reflected, and the cell with it.
    assert 0 < other.sum(axis=(2, 3)).max() <= (2 * tiny_cellpose.PATCH - 1) ** 2


def test_the_log_tells_the_licence(folder):
    assert "CC BY-NC" in log(folder)


def test_weights_of_another_digest_stop_the_job_and_say_so(folder, weights):
    screens.change(folder, named(weights, "0" * 64))
    done = run(folder, "results/crops/P1.npy")
    assert done.returncode != 0
    said = " ".join(log(folder).split())
    assert f"{weights}: expected the sha256 {'0' * 64} that cells.cellpose.weights.nuclei states, found" in said
    assert not (folder / "results/cells/P1.parquet").exists()


def test_weights_that_are_gone_stop_before_any_job(folder, tmp_path):
    screens.change(folder, named(tmp_path / "gone", "0" * 64))
    done = run(folder, "results/crops/P1.npy")
    assert done.returncode != 0 and "Job stats" not in done.stdout
    assert f"expected a file of weights, found none at {tmp_path / 'gone'}" in " ".join(done.stdout.split())
