"""Bad plates sink no other: the rest is trained on and reported, and the run ends in an error that names them."""

import shutil

import pandas as pd
import pytest

import screens
from wellspring.io import tables
from wellspring.workflow import failures

TINY = {
    "kind": "simclr",
    "view": {"kind": "tile", "size": 40},
    "backbone": "vit_tiny_patch16_224",
    "backbone_options": {"embed_dim": 32, "depth": 1, "num_heads": 2, "patch_size": 8},
    "steps": 2,
    "batch": 8,
}
GOOD = ("good1", "good2")
BAD = ("unreadable", "uncontrolled")


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """Run a screen of four user plates, cells off: two good ones read in place, two bad ones."""
    folder = tmp_path_factory.mktemp("bad")
    demo = finished / "results" / "demo"
    rows = []
    sources = sorted(path for path in demo.iterdir() if path.is_dir())
    for name, source in zip((*GOOD, *BAD), sources, strict=True):
        images, platemap = source, source / "platemap.csv"
        if name in BAD:
            images = folder / "raw" / name
            shutil.copytree(source, images)
            platemap = shutil.move(images / "platemap.csv", folder / "raw" / f"{name}.csv")
        if name == "unreadable":
            for file in images.glob("*.tif"):
                file.write_bytes(file.read_bytes()[:10])
        if name == "uncontrolled":
            wells = pd.read_csv(platemap)
            wells.assign(compound=wells["compound"].replace("DMSO", "WS-099"), pert_type="trt").to_csv(
                platemap, index=False
            )
        rows.append((name, str(images), str(platemap), "b1", "U2OS", "fit"))
    sheet = pd.DataFrame(rows, columns=["plate", "images", "platemap", "batch", "cell_line", "role"])
    screens.make(folder, changes={"cells": {"activate": False}, "encoders": None}, sheet=sheet)
    few = {"null_size": 1000, "bootstrap": 100, "permutations": 0}
    screens.change(folder, {"encoders": {"tiny": TINY}, "evaluate": few})
    return folder, screens.snakemake("--cores", "all", "-k", cwd=folder)


def test_the_run_ends_in_an_error_that_names_the_bad_plates(run):
    folder, done = run
    assert done.returncode != 0
    assert "2 of 4 plates were left out of the results" in done.stdout, done.stdout[-4000:]
    for name in BAD:
        assert f"{name}: " in done.stdout
    assert "set role: no in the sheet to accept" in done.stdout
    assert not (folder / "results" / "report" / "verdict.tsv").exists()


def test_the_others_are_profiled_and_reported(run):
    folder, _ = run
    joined = tables.read(folder / "results" / "align" / "tiny.parquet")
    assert set(joined["Metadata_Plate"]) == set(GOOD)
    assert (joined["Metadata_Verdict"] == "keep").all()
    assert not tables.read(folder / "results" / "evaluate" / "tiny.summary.parquet").empty


def test_a_bad_plate_has_every_table_with_its_verdict(run):
    folder, _ = run
    for name in BAD:
        for level in ("aggregated", "normalised"):
            path = folder / "results" / "profile" / "tiny" / f"{name}.{level}.parquet"
            assert len(tables.read(path)) == 24, "its wells do not vanish"
        verdict = tables.verdict(path)
        assert not verdict.keep
        assert verdict.reasons
    assert "control" in " ".join(verdict.reasons)
    survey = tables.read(folder / "results" / "survey" / "unreadable.parquet")
    assert set(survey["Metadata_Status"]) <= {"truncated", "unreadable", "missing"}


def test_the_report_opens_with_them(run):
    folder, _ = run
    page = (folder / "results" / "report" / "index.html").read_text()
    body = page[page.index("<body") :]
    for name in BAD:
        assert name in body


def test_two_tables_say_where_it_failed(run):
    """Plates by the stage that left them out; and the one job that failed, which names them."""
    folder, _ = run
    rows = pd.read_csv(folder / "results" / "report" / "failures.tsv", sep="\t")
    assert set(zip(rows["plate"], rows["rule"], strict=True)) >= {("unreadable", "survey"), ("uncontrolled", "index")}
    assert all((folder / log).is_file() for log in rows["log"])
    (row,) = failures.read(folder / "results" / "failures.tsv").to_dict("records")
    assert row["rule"] == "verdict" and "2 of 4 plates" in row["reason"]


@pytest.mark.slow
def test_role_no_makes_it_green(run):
    """What joins plates is made again without the bad ones."""
    folder, _ = run
    sheet = screens.read_sheet(folder)
    screens.write_sheet(folder, sheet.assign(role=["no" if name in BAD else "fit" for name in sheet["plate"]]))
    done = screens.snakemake("--cores", "all", cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    assert pd.read_csv(folder / "results" / "report" / "verdict.tsv", sep="\t")["plate"].tolist() == list(GOOD)
