"""The recipes of public data sets, on miniatures: what is planned, what the index finds, whole runs to the scores."""

import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pandas as pd
import yaml

import gallery as gallery_files
import jump_lite as jump_lite_files
import miniatures
import screens
from wellspring.datasets import bbbc021, compare, cpjump1, gallery, jump_lite
from wellspring.io import raw_image, tables

DMSO = jump_lite_files.DMSO
A_PLATE = ("index", "survey", "illumination", "images")
SHORT = {"evaluate": {"null_size": 1000, "bootstrap": 100, "permutations": 10}, "train": {"precision": "float32"},
         "embed": {"precision": "float32"}}  # fmt: skip


def made(recipe, mini, folder, *further):
    """Run a recipe's command on a miniature; returns the screen's folder."""
    images, metadata = mini
    recipe.main(["--images", str(images), "--metadata", str(metadata), "--out", str(folder), *further])
    return folder


def shortened(folder, **encoders):
    """Replace the encoders of a screen's config by entries like its own, untrained and small."""
    config = yaml.safe_load((folder / "config" / "config.yaml").read_text())
    entries = {name: screens.merge(config["encoders"][name], change) for name, change in encoders.items()}
    screens.write_config(folder, screens.merge({**config, "encoders": entries}, SHORT))
    return folder


def finished(folder, *arguments):
    done = screens.snakemake("--cores", "2", *arguments, cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder / "results"


def test_bbbc021_plans_every_stage(tmp_path):
    folder = made(bbbc021, miniatures.bbbc021(tmp_path, side=0), tmp_path / "screen")
    jobs = screens.planned(folder)
    assert {jobs[stage] for stage in (*A_PLATE, "cells", "crops")} == {3}
    assert jobs["train"] == jobs["fit"] == jobs["evaluate"] == 5
    assert jobs["embed"] == jobs["align"] == 15


def test_cpjump1_plans_tiles_alone(tmp_path):
    folder = made(cpjump1, miniatures.cpjump1(tmp_path, side=0), tmp_path / "screen", "--partial")
    jobs = screens.planned(folder)
    assert {jobs[stage] for stage in A_PLATE} == {3}
    assert jobs["train"] == jobs["evaluate"] == 2
    assert not {"cells", "crops"} & jobs.keys()


def test_the_index_of_a_run_finds_every_well(tmp_path):
    folder = made(bbbc021, miniatures.bbbc021(tmp_path / "a", side=0), tmp_path / "first")
    other = made(cpjump1, miniatures.cpjump1(tmp_path / "b", side=0), tmp_path / "second", "--partial")
    for screen in (folder, other):
        results = finished(screen, "--until", "index")
        for plate in screens.read_sheet(screen)["plate"]:
            audit = tables.read(results / "index" / f"{plate}.audit.parquet")
            assert audit[["Metadata_In_Images", "Metadata_In_Platemap"]].all(axis=None)
            assert (audit["Metadata_Channels_Missing"] == "").all()
            table = tables.read(results / "index" / f"{plate}.parquet")
            assert table["Metadata_Path"].notna().all()
            assert tables.verdict(results / "index" / f"{plate}.parquet").keep
    wells = tables.read(folder / "results" / "index" / "Week7_34341.parquet").set_index("Metadata_Well")
    assert set(wells.loc["C04", "Metadata_moa"]) == {"Actin disruptors"}
    assert set(wells["Metadata_Batch"]) == {"Week7"}
    assert set(tables.read(other / "results" / "index" / "BR00117026.parquet")["Metadata_Cell_Line"]) == {"U2OS"}


def test_bbbc021_runs_to_nsc_and_nscb(tmp_path, capsys):
    folder = made(bbbc021, miniatures.bbbc021(tmp_path, side=128), tmp_path / "screen")
    small = {"backbone": "test_resnet", "steps": 0, "view": {"size": 32}}
    shortened(folder, simclr_perakis=small)
    screens.change(folder, {"crops": {"cells_per_well": 8, "size": 32}, "cells": {"nucleus_diameter": 12}})
    results = finished(folder)
    summary = tables.read(results / "evaluate" / "simclr_perakis.summary.parquet")
    scores = summary.set_index(["Metadata_Metric", "Metadata_Level"])
    for metric in ("nsc", "nscb"):
        for level in compare.LEVELS:
            row = scores.loc[(metric, level)]
            assert row["n"] == 4  # annotated treatments: two mechanisms, each of two compounds in two weeks
            assert 0 <= row["value"] <= 1
            assert "too_few_groups_for_interval" in row["Metadata_Note"]  # two mechanisms
    profiles = tables.read(results / "align" / "simclr_perakis.parquet")
    assert (profiles["Metadata_Verdict"] == "keep").all()
    assert len(profiles) == sum(len(miniatures.CONTROLS) + len(wells) for wells in miniatures.PLATES.values())
    # not normalised by plate, as published: the first two levels are the same
    first, second = (
        tables.read(results / "profile" / "simclr_perakis" / f"Week1_22123.{level}.parquet")
        for level in compare.LEVELS[:2]
    )
    np.testing.assert_allclose(first[tables.features(first)], second[tables.features(second)], rtol=1e-5)
    capsys.readouterr()
    compare.main([str(results), "--dataset", "bbbc021"])
    page = capsys.readouterr().out
    assert page.count("here       simclr_perakis") == 9
    assert "Perakis et al. 2021" in page


def test_cpjump1_runs_to_the_challenge_s_file(tmp_path, capsys):
    folder = made(cpjump1, miniatures.cpjump1(tmp_path, side=96), tmp_path / "screen", "--partial")
    network = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
    small = {"backbone_options": network, "backbone": "vit_tiny_patch16_224", "steps": 0, "view": {"size": 48}}
    small["distillation"] = {"global_size": 48, "local_size": 24, "prototypes": 16, "hidden": 16, "bottleneck": 8}
    shortened(folder, sslprofiler=small)
    # eight DMSO wells per plate in the miniature, 64 in the published layout
    screens.change(folder, {"profile": {"min_controls": 4}, "report": {"encoder": "sslprofiler"}})
    results = finished(folder)
    summary = tables.read(results / "evaluate" / "sslprofiler.summary.parquet").set_index("Metadata_Metric")
    transfer = summary.loc[["transfer.cell_line.compound.k1", "transfer.cell_line.mechanism.k5"]]
    assert transfer["value"].notna().all()
    position = summary.loc["transfer.cell_line.compound.k1.position_only"]
    assert (position["value"] == 1).all()  # every compound has its well
    items = tables.read(results / "evaluate" / "sslprofiler.items.parquet")
    pairs = set(items.loc[items["Metadata_Metric"] == "transfer.cell_line.compound.k1", "Metadata_Item"])
    assert pairs == {"A549->A549", "A549->U2OS", "U2OS->A549", "U2OS->U2OS"}
    compare.main([str(results), "--dataset", "cpjump1", "--level", "aligned"])
    assert "position alone 1.000" in capsys.readouterr().out
    plates = screens.read_sheet(folder)["plate"].tolist()
    rows = [(plate, well) for plate in reversed(plates) for well, sample in miniatures.WELLS.items() if sample]
    asked = pd.DataFrame(rows, columns=["plate", "well"])
    asked.insert(0, "ID", range(len(asked)))
    asked.to_csv(tmp_path / "metadata_test.csv", index=False)
    out = tmp_path / "submission.csv"
    given = ["--profiles", str(results / "align" / "sslprofiler.parquet"), "--ids", str(tmp_path / "metadata_test.csv")]
    command = [sys.executable, "-m", "wellspring.datasets.submission", *given, "--out", str(out)]
    library = str(screens.ROOT / "workflow" / "lib")
    done = run(
        command, env=screens.environment() | {"PYTHONPATH": library}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(out)
    assert table["ID"].tolist() == list(range(len(asked)))
    assert table.columns[1] == "feature_1"
    assert np.isfinite(table.iloc[:, 1:]).all(axis=None)


def test_jump_lite_is_indexed_read_and_planned_beside_published_embeddings(tmp_path, monkeypatch):
    folder = jump_lite_screen(tmp_path)
    table = miniatures.indexed(folder, monkeypatch)
    assert table["Metadata_Path"].notna().all()
    images = screens.read_sheet(folder).set_index("plate")["images"]
    for row in table.iloc[::17].to_dict("records"):
        home, _, beginning = images[row["Metadata_Plate"]].rpartition("/")
        assert row["Metadata_Path"].startswith(f"{beginning}__")
        found = raw_image.read(images[row["Metadata_Plate"]], row["Metadata_Path"], row["Metadata_Page"])
        channel = jump_lite_files.CHANNELS.index(row["Metadata_Channel"])
        np.testing.assert_array_equal(found, jump_lite_files.decoded(Path(home, row["Metadata_Path"]))[channel])
    jobs = screens.planned(folder)
    assert {jobs[stage] for stage in A_PLATE} == {2}
    assert jobs["train"] == 2 and jobs["evaluate"] == 4  # sslprofiler and its twin; two published models beside them
    assert jobs["embed"] == jobs["ingest"] == 4


def test_plates_of_the_gallery_are_planned(tmp_path, monkeypatch):
    folder = gallery_screen(tmp_path)
    assert miniatures.indexed(folder, monkeypatch)["Metadata_Path"].notna().all()
    jobs = screens.planned(folder)
    assert {jobs[stage] for stage in A_PLATE} == {3}
    assert jobs["train"] == jobs["evaluate"] == 2


def jump_lite_screen(tmp_path, *, shape=jump_lite_files.SHAPE):
    """Make the screen of a miniature of JUMP-Lite: two sources, compounds and controls, two embeddings."""
    wells = [("A01", DMSO, "negcon"), ("B02", DMSO, "negcon"), ("C03", DMSO, "negcon"), ("D04", DMSO, "negcon")]
    wells += [("A02", "JCP2022_000001", "trt"), ("B03", "JCP2022_000001", "trt"), ("C04", "JCP2022_000002", "trt")]
    wells += [("D01", "JCP2022_000002", "trt"), ("A04", "JCP2022_000003", "trt"), ("B04", "JCP2022_000003", "trt")]
    plates = [("source_4", "Batch1", "BR00117035"), ("source_13", "Run1", "CP-CC9-R1-01")]
    rows = [(*plate, well, jcp, None, kind, "compound") for plate in plates for well, jcp, kind in wells]
    columns = ["source", "batch", "plate", "well", "jcp", "symbol", "pert_type", "kind"]
    metadata = jump_lite_files.metadata(tmp_path / "metadata", pd.DataFrame(rows, columns=columns))
    keys = pd.read_parquet(metadata / jump_lite.SITES)["Metadata_Site_Key"].tolist()
    rng = np.random.default_rng(0)
    jump_lite_files.store(tmp_path / "images", {key: jump_lite_files.field(rng, shape) for key in keys})
    for model in ("dinov2", "dinov2_random"):
        jump_lite_files.embeddings(tmp_path / "embeddings", keys, name=f"{model}-{jump_lite.CODEC}")
    further = ["--embeddings", str(tmp_path / "embeddings")]
    return made(jump_lite, (tmp_path / "images", metadata), tmp_path / "screen", *further)


def gallery_screen(tmp_path, **options):
    """Make the screen of a miniature of the gallery on disk."""
    root = gallery_files.write(tmp_path / "mirror", **options)
    gallery.main(["--root", str(root), "--project", "cpg0016-jump", "--out", str(tmp_path / "screen")])
    return tmp_path / "screen"


NETWORK = {
    "backbone_options": {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
    "backbone": "vit_tiny_patch16_224",
    "steps": 0,
    "view": {"size": 48},
    "distillation": {"global_size": 48, "local_size": 24, "prototypes": 16, "hidden": 16, "bottleneck": 8},
}


def test_jump_lite_runs_to_scores_of_our_encoder_and_published_ones(tmp_path):
    screen = jump_lite_screen(tmp_path, shape=(96, 128))
    folder = shortened(screen, sslprofiler=NETWORK, random={}, dinov2={}, dinov2_random={})
    screens.change(folder, {"profile": {"min_controls": 2}, "fit": {"min_controls": 2}})
    results = finished(folder)
    for name in ("sslprofiler", "random", "dinov2", "dinov2_random"):
        profiles = tables.read(results / "align" / f"{name}.parquet")
        assert len(profiles) == 20 and np.isfinite(profiles[tables.features(profiles)]).all(axis=None)
        summary = tables.read(results / "evaluate" / f"{name}.summary.parquet").set_index("Metadata_Metric")
        assert (
            np.isfinite(summary.loc["replicates.map", "value"]).all()
            if "replicates.map" in summary.index
            else len(summary)
        )
    page = (results / "report" / "index.html").read_text()
    assert "dinov2" in page and "JUMP-Lite" in page


def test_the_gallery_runs_to_its_report(tmp_path):
    wells = {f"{row}{column:02d}": "" for row in "ABCD" for column in (1, 2)}
    wells |= {"A03": "BRD-K1", "B03": "BRD-K1", "C03": "BRD-K2", "D03": "BRD-K2"}
    folder = shortened(gallery_screen(tmp_path, wells=wells, shape=(96, 128)), sslprofiler=NETWORK)
    screens.change(folder, {"profile": {"min_controls": 4}})
    results = finished(folder)
    profiles = tables.read(results / "align" / "sslprofiler.parquet")
    assert len(profiles) == 3 * len(wells)
    assert "Cell Painting Gallery, cpg0016-jump" in (results / "report" / "index.html").read_text()
