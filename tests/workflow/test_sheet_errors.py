"""Mistakes in config and sheet stop the run before any job and name the change to make."""

import pytest

import screens


@pytest.fixture
def folder(tmp_path):
    return screens.make(tmp_path, sheet=screens.fabricate(tmp_path, ["P1", "P2"]))


def edit(folder, **columns):
    """Change the first row of the screen's sheet."""
    sheet = screens.read_sheet(folder)
    for name, value in columns.items():
        sheet.loc[0, name] = value
    screens.write_sheet(folder, sheet)


def test_unknown_config_key_comes_with_the_nearest_known(folder):
    screens.change(folder, {"survey": {"max_exclude": 0.1}})
    assert "survey: unknown key 'max_exclude' (did you mean 'max_excluded'?)" in screens.refusal(folder)


def test_unknown_config_key_on_the_command_line(folder):
    assert "unknown key 'sede' (did you mean 'seed'?)" in screens.refusal(folder, "--config", "sede=3")


def test_unknown_step_and_a_step_that_the_plates_do_not_allow(folder):
    screens.change(folder, {"fit": {"steps": ["select", "sphre"]}})
    assert "fit.steps.1: 'sphre' is not one of ['select', 'sphere'" in screens.refusal(folder)
    screens.change(folder, {"fit": {"steps": ["select", "harmony"]}})
    edit(folder, role="heldout")
    assert "fit.steps: expected the role fit for all plates" in screens.refusal(folder)


def test_sheet_with_a_missing_column(folder):
    screens.write_sheet(folder, screens.read_sheet(folder).drop(columns="platemap"))
    assert "config/plates.tsv: expected the columns ['platemap'], found ['plate', 'images'" in screens.refusal(folder)


def test_doubled_plate(folder):
    edit(folder, plate="P2")
    assert "config/plates.tsv: expected each plate once, found ['P2'] more than once" in screens.refusal(folder)


def test_path_that_does_not_exist(folder):
    edit(folder, images="raw/lost")
    text = screens.refusal(folder)
    assert "config/plates.tsv: plate P1: expected images at 'raw/lost', found no such file or folder" in text


def test_foreign_row_that_points_into_the_demo_folder(folder):
    edit(folder, images="results/demo/P1")
    text = screens.refusal(folder)
    assert "config/plates.tsv: plate P1: expected images outside of the demo's folder" in text
    assert "deleted and rewritten" in text


def test_demo_plate_under_the_name_of_another(folder):
    edit(folder, plate="B1_A549", images="results/demo/B1_U2OS")
    assert "plate B1_A549: expected images outside of the demo's folder" in screens.refusal(folder)


@pytest.mark.parametrize("name", ["../P1", "$(touch owned)"])
def test_plate_name_with_shell_and_path_characters(folder, name):
    edit(folder, plate=name)
    text = screens.refusal(folder)
    assert "config/plates.tsv: line 2: expected a plate of letters, digits, '.', '_' and '-'" in text
    assert f"found {name!r}" in text
    assert not list(folder.rglob("owned"))


def test_encoder_like_one_that_is_not_there(folder):
    screens.change(folder, {"encoders": {"copy": {"like": "simclir"}}})
    text = screens.refusal(folder)
    assert "encoders.copy.like: expected one of [" in text
    assert "found 'simclir'" in text


def test_encoders_that_are_like_each_other(folder):
    screens.change(folder, {"encoders": {"one": {"like": "two"}, "two": {"like": "one"}}})
    assert "like: expected no circle, found one -> two -> one" in screens.refusal(folder)


def test_cell_encoder_without_cells(folder):
    screens.change(folder, {"cells": {"activate": False}, "encoders": {"simclr": {"view": {"kind": "cell"}}}})
    assert "view.kind: expected tile while cells.activate is false, found cell" in screens.refusal(folder)


@pytest.mark.parametrize("kind", ["units", "column", "key"])
def test_contradictions_of_all_platemaps_stop_the_run_before_its_first_job(folder, kind):
    if kind == "units":
        for plate, unit in (("P1", "uM"), ("P2", "nM")):
            (folder / "raw" / f"{plate}.csv").write_text(f"well,compound,conc_{unit}\nA01,DMSO,\nA02,x,5\n")
        words = "expected one unit of concentrations, found {'nM': ['P2'], 'µM': ['P1']} (set index.unit)"
    elif kind == "column":
        screens.change(folder, {"evaluate": {"label": "Metadata_moaa"}})
        words = "evaluate.label: no plate has the column 'Metadata_moaa' (did you mean 'Metadata_moa'?)"
    else:
        path = folder / "config" / "config.yaml"
        path.write_text(path.read_text() + "seed: 3\n")
        words = "config.yaml: expected the key 'seed' once, found it in lines"
    done = screens.snakemake("--cores", "1", cwd=folder)
    assert done.returncode != 0
    assert words in done.stdout, done.stdout[-3000:]
    assert " done: " not in done.stdout and not (folder / "results" / "index").exists()
