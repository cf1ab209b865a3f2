"""The DAG, by dry runs: which jobs there are with cells on and off, several encoders, batches, modules and profiles."""

import hashlib

import pandas as pd
import pytest

import screens

A_PLATE = ("index", "survey", "images")
A_PLATE_AND_ENCODER = ("embed", "profile", "align")
AN_ENCODER = ("train", "fit", "consensus", "evaluate")
TILES = {"kind": "simclr", "view": {"kind": "tile"}}
CELLS = {"kind": "simclr", "view": {"kind": "cell", "size": 40}}


def only(folder, *, cells: bool, encoders: dict, sheet=None):
    """Make a screen whose encoders are just `encoders`."""
    screens.make(folder, changes={"cells": {"activate": cells}, "encoders": None}, sheet=sheet)
    screens.change(folder, {"encoders": encoders})
    return folder


@pytest.fixture
def fabricated(tmp_path):
    return screens.fabricate(tmp_path, ["P1", "P2", "P3"])


def expected(plates: int, encoders: int, *, cells: bool, **further: int) -> dict[str, int]:
    jobs = dict.fromkeys(A_PLATE, plates) | dict.fromkeys(A_PLATE_AND_ENCODER, plates * encoders)
    jobs |= dict.fromkeys(AN_ENCODER, encoders) | {"illumination": plates, "report": 1, "verdict": 1}
    if cells:
        jobs |= {"cells": plates, "crops": plates}
    return {**jobs, **further}


@pytest.mark.parametrize("names", [["simclr"], ["simclr", "other", "third"]])
@pytest.mark.parametrize("cells", [True, False])
def test_jobs_a_plate_and_jobs_an_encoder(tmp_path, fabricated, cells, names):
    encoders = dict.fromkeys(names, CELLS if cells else TILES)
    folder = only(tmp_path, cells=cells, encoders=encoders, sheet=fabricated)
    assert screens.planned(folder) == expected(3, len(names), cells=cells)


def test_cells_and_tiles_side_by_side(tmp_path, fabricated):
    folder = only(
        tmp_path,
        cells=True,
        encoders={"ones": CELLS, "others": TILES, "random": {"like": "ones", "steps": 0}},
        sheet=fabricated,
    )
    assert screens.planned(folder) == expected(3, 3, cells=True)
    tiles = screens.planned(folder, "results/align/others.parquet")
    assert "crops" not in tiles


def test_a_classical_encoder_is_measured_and_not_trained(tmp_path, fabricated):
    encoders = {"ones": CELLS, "classical": {"kind": "classical"}, "others": TILES, "twin": {"like": "classical"}}
    folder = only(tmp_path, cells=True, encoders=encoders, sheet=fabricated)
    jobs = expected(3, 4, cells=True, measure=6, train=2, embed=6)
    assert screens.planned(folder) == jobs
    alone = screens.planned(folder, "results/align/twin.parquet")
    assert alone["measure"] == 3
    assert {"train", "embed", "crops"}.isdisjoint(alone)


def test_a_classical_encoder_alone(tmp_path, fabricated):
    folder = only(tmp_path, cells=True, encoders={"classical": {"kind": "classical"}}, sheet=fabricated)
    jobs = expected(3, 1, cells=True, measure=3)
    del jobs["train"], jobs["embed"]
    assert screens.planned(folder) == jobs


def test_single_cells_are_of_encoders_of_cells(tmp_path, fabricated):
    encoders = {"ones": CELLS, "tiles": TILES, "classical": {"kind": "classical"}}
    folder = only(tmp_path, cells=True, encoders=encoders, sheet=fabricated)
    screens.change(folder, {"profile": {"single_cell": True}})
    jobs = screens.planned(folder, "all", "export")
    assert (jobs["profile"], jobs["single_cells"], jobs["cell_tests"], jobs["export"]) == (9, 6, 2, 1)


def test_a_file_is_laid_over_the_config_for_one_call(tmp_path, fabricated):
    folder = only(tmp_path, cells=True, encoders={"simclr": CELLS}, sheet=fabricated)
    assert "single_cells" not in screens.planned(folder)
    (folder / "try.yaml").write_text("profile: {single_cell: true}\n")
    assert screens.planned(folder, "--configfile", str(folder / "try.yaml"))["single_cells"] == 3


def test_an_encoder_that_is_not_trained_waits_for_no_images(tmp_path, fabricated):
    (tmp_path / "start.pth").write_bytes(b"")
    weights = {"path": str(tmp_path / "start.pth"), "sha256": hashlib.sha256(b"").hexdigest()}
    frozen = {"kind": "timm", "weights": weights, "view": {"kind": "cell"}}
    encoders = {"frozen": frozen, "random": {"kind": "simclr", "view": {"kind": "cell"}, "steps": 0}}
    folder = only(tmp_path, cells=True, encoders=encoders, sheet=fabricated)
    for name in encoders:
        assert screens.planned(folder, f"results/train/{name}/encoder.json") == {"train": 1}
    assert screens.planned(folder) == expected(3, 2, cells=True)
    (tmp_path / "start.pth").write_bytes(b"another")
    done = screens.snakemake("--cores", "1", "results/train/frozen/encoder.json", cwd=folder)
    assert done.returncode != 0 and "started: train" not in done.stdout, done.stdout
    assert f"{tmp_path}/start.pth: expected sha256 {weights['sha256']} (encoders.frozen.weights)" in done.stdout


def test_an_encoder_that_matches_treatments_reads_them_for_training_alone(tmp_path, fabricated):
    matched = TILES | {"local_aggregation": {"positives": "treatment", "heldout": "compound"}}
    encoders = {"ones": TILES, "others": matched, "random": {"like": "others", "steps": 0}}
    folder = only(tmp_path, cells=False, encoders=encoders, sheet=fabricated)
    done = screens.snakemake("-n", "-p", "--cores", "2", cwd=folder)
    assert done.returncode == 0, done.stdout
    jobs = [part for part in done.stdout.split("\nrule ") if part.startswith("train:")]
    reads = {part.split("encoder=")[1].split()[0]: "results/index/P1.parquet" in part for part in jobs}
    assert reads == {"ones": False, "others": True, "random": False}


def test_a_backbone_that_does_not_exist_stops_the_run_before_any_job(tmp_path, fabricated):
    folder = only(tmp_path, cells=False, encoders={"ones": TILES | {"backbone": "vit_tine_patch16"}}, sheet=fabricated)
    done = screens.snakemake("--cores", "1", cwd=folder)
    assert done.returncode != 0
    assert "encoders.ones: backbone: expected a timm model, found 'vit_tine_patch16'" in done.stdout
    assert not (folder / "results" / "index").exists()


def test_plates_of_one_light_path_share_a_flat_field(tmp_path, fabricated):
    sheet = fabricated.assign(optics=["scope", "scope", ""])
    folder = only(tmp_path, cells=False, encoders={"ones": TILES}, sheet=sheet)
    assert screens.planned(folder) == expected(3, 1, cells=False, illumination=2)


def test_given_flat_fields_must_be_there(tmp_path, fabricated):
    folder = only(tmp_path, cells=False, encoders={"ones": TILES}, sheet=fabricated)
    screens.change(folder, {"illumination": {"method": "given", "given": "illum/{optics}_Illum{channel}.npy"}})
    assert "illum/P1_IllumDNA.npy" in screens.refusal(folder, "results/illumination/P1.npz")
    (folder / "illum").mkdir()
    for channel in ("DNA", "ER", "RNA", "AGP", "Mito"):
        (folder / "illum" / f"P1_Illum{channel}.npy").touch()
    assert screens.planned(folder, "results/illumination/P1.npz") == {"index": 1, "survey": 1, "illumination": 1}
    screens.change(folder, {"illumination": {"given": None}})
    assert "illumination.given: expected the path" in screens.refusal(folder, "results/illumination/P1.npz")


def test_roles(tmp_path, fabricated):
    sheet = fabricated.assign(role=["fit", "project", "no"])
    folder = only(tmp_path, cells=True, encoders={"ones": CELLS}, sheet=sheet)
    assert screens.planned(folder) == expected(2, 1, cells=True)
    assert screens.planned(folder, "results/train/ones/encoder.json")["crops"] == 1
    assert screens.planned(folder, "results/fit/ones.npz")["profile"] == 1


def test_the_shipped_screen(root, tmp_path):
    folder = screens.make(tmp_path)
    jobs = screens.planned(folder)
    assert jobs["simulate"] == jobs["index"] == 4
    assert {"cells", "crops", "train", "report"} <= jobs.keys()
    assert screens.read_sheet(folder)["batch"].nunique() == 2


def test_until_and_a_stage_name(tmp_path, fabricated):
    folder = only(tmp_path, cells=True, encoders={"ones": CELLS}, sheet=fabricated)
    assert screens.planned(folder, "--until", "images").keys() == {"index", "survey", "illumination", "images"}


def test_profile_slurm_as_typed_from_the_root(root, tmp_path):
    """The link in the root makes the bare name work; no cluster is needed to plan (without `--cores`, on one core)."""
    folder = screens.make(tmp_path)
    done = screens.snakemake("-n", "--profile", "slurm", "--cores", "64", cwd=folder)
    assert done.returncode == 0, done.stdout
    train = done.stdout.split("rule train:")[1].split("\nrule ")[0]
    assert "slurm_partition=gpu" in train
    assert "threads: 8" in train
    images = done.stdout.split("rule images:")[1].split("\nrule ")[0]
    assert "slurm_partition=cpu" in images


MODULE = """\
configfile: "mine.yaml"


module wellspring:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from wellspring as wellspring_*


rule all:
    default_target: True
    input:
        rules.wellspring_all.input,
"""


def test_as_a_module_with_the_config_passed_in(root, tmp_path, fabricated):
    folder = only(tmp_path, cells=True, encoders={"ones": CELLS}, sheet=fabricated)
    (folder / "config" / "config.yaml").rename(folder / "mine.yaml")
    (folder / "Snakefile").write_text(MODULE.format(snakefile=root / "Snakefile"))
    jobs = screens.planned(folder, workflow=folder)
    assert jobs.pop("wellspring_all", 1) == 1
    assert {name.removeprefix("wellspring_"): count for name, count in jobs.items()} == expected(3, 1, cells=True)


def test_a_module_may_put_its_results_elsewhere(root, tmp_path, fabricated):
    folder = only(tmp_path, cells=False, encoders={"ones": TILES}, sheet=fabricated)
    (folder / "config" / "config.yaml").rename(folder / "mine.yaml")
    text = MODULE.format(snakefile=root / "Snakefile").replace(
        "    config:\n", '    pathvars:\n        results="out",\n    config:\n', 1
    )
    (folder / "Snakefile").write_text(text)
    done = screens.snakemake("-n", "--cores", "2", cwd=folder, workflow=folder)
    assert done.returncode == 0, done.stdout
    assert "out/report/index.html" in done.stdout
    assert " results/" not in done.stdout


def test_a_relative_sheet_is_the_screens_own(tmp_path, fabricated):
    """With `-d` the config and the sheet of that folder count, not those of the clone."""
    folder = only(tmp_path, cells=False, encoders={"ones": TILES}, sheet=fabricated)
    (folder / "config" / "plates.tsv").rename(folder / "mine.csv")
    pd.read_csv(folder / "mine.csv", sep="\t").to_csv(folder / "mine.csv", index=False)
    screens.change(folder, {"plates": "mine.csv"})
    assert screens.planned(folder)["index"] == 3


def test_small_plates_of_a_batch_are_surveyed_for_the_light_path_of_one(tmp_path, fabricated):
    """P1 and P3 are of batch B1; as many wells as a large plate has, by the lines of its platemap, stand alone."""
    folder = only(tmp_path, cells=False, encoders={"tiles": TILES}, sheet=fabricated)
    target = "results/illumination/P1.npz"
    assert screens.planned(folder, target) == {"index": 2, "survey": 2, "illumination": 1}
    with (folder / "raw" / "P3.csv").open("a") as platemap:
        platemap.writelines(f"A{number:02d},x,trt\n" for number in range(2, 70))
    assert screens.planned(folder, target) == {"index": 1, "survey": 1, "illumination": 1}


def test_platemaps_that_jobs_write_decide_no_input(tmp_path):
    """A simulated plate has one only once it is simulated: the plan must be the same before and after."""
    folder = only(tmp_path, cells=False, encoders={"tiles": TILES})
    target = "results/illumination/B1_U2OS.npz"
    assert screens.planned(folder, target) == {"simulate": 1, "index": 1, "survey": 1, "illumination": 1}
    for plate in ("B1_U2OS", "B1_A549"):
        (folder / "results" / "demo" / plate).mkdir(parents=True)
        (folder / "results" / "demo" / plate / "platemap.csv").write_text("well_position,compound\nA01,DMSO\n")
    assert screens.planned(folder, target) == {"index": 1, "survey": 1, "illumination": 1}
