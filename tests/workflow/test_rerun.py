"""Reruns: nothing without a reason, and with one just the stage that has it and those that follow."""

import os

import pandas as pd
import pytest

import screens

AFTER = {
    "embed": {"embed", "profile", "fit", "align", "consensus", "evaluate", "report", "verdict"},
    "fit": {"fit", "align", "consensus", "evaluate", "report", "verdict"},
    "evaluate": {"evaluate", "report", "verdict"},
    "report": {"report", "verdict"},
    "single_cells": {"single_cells", "cell_tests", "report", "verdict"},
}


def test_a_second_run_does_nothing(finished):
    assert screens.planned(finished) == {}


def test_a_touch_reruns_nothing(screen, clone):
    """A fresh copy of the clone in another place, and config and sheet as new files of the same text."""
    for name in ("config.yaml", "plates.tsv"):
        os.utime(screen / "config" / name)
    assert screens.planned(screen, workflow=clone) == {}


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"embed": {"stride": 33}}, "embed"),
        ({"fit": {"min_controls": 13}}, "fit"),
        ({"evaluate": {"threshold": 0.06}}, "evaluate"),
        ({"report": {"title": "Another"}}, "report"),
        ({"profile": {"single_cell": True}}, "single_cells"),
    ],
)
def test_a_change_in_one_section_reruns_that_stage_and_what_follows(screen, changes, stage):
    screens.change(screen, changes)
    assert screens.planned(screen).keys() == AFTER[stage]


def test_a_change_in_one_encoder_reruns_that_encoder(screen):
    screens.change(screen, {"encoders": {"sslprofiler": {"steps": 21}}})
    jobs = screens.planned(screen)
    assert jobs["train"] == jobs["fit"] == jobs["evaluate"] == 1
    assert jobs["embed"] == 4
    assert not {"images", "cells", "crops"} & jobs.keys()


@pytest.mark.parametrize(
    ("module", "stage"), [("embed/run.py", "embed"), ("evaluate/score.py", "evaluate"), ("report/page.py", "report")]
)
def test_a_change_in_one_module_reruns_the_stages_that_use_it(screen, clone, module, stage):
    path = clone / "workflow" / "lib" / "wellspring" / module
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert screens.planned(screen, workflow=clone).keys() == AFTER[stage]


def test_a_change_in_a_script_reruns_its_stage(screen, clone):
    path = clone / "workflow" / "scripts" / "evaluate.py"
    path.write_text(path.read_text() + "# changed\n")
    assert screens.planned(screen, workflow=clone).keys() == AFTER["evaluate"]


def test_finished_results_outlive_an_update_on_request(screen, clone):
    for path in (clone / "workflow" / "lib" / "wellspring").glob("*.py"):
        path.write_text(path.read_text() + "\n# changed\n")
    assert screens.planned(screen, "--rerun-triggers", "mtime", "input", workflow=clone) == {}


def test_forcing_embed_embeds_again(finished):
    jobs = screens.planned(finished, "-R", "embed")
    assert jobs.keys() == AFTER["embed"]
    assert jobs["embed"] == 16


JOINED = {"consensus": 4, "evaluate": 4, "report": 1, "verdict": 1}
OF_A_PLATE = dict.fromkeys(("index", "survey", "illumination", "images", "cells", "crops"), 1)
OF_A_PLATE_AND_ENCODER = dict.fromkeys(("embed", "profile", "align"), 4)


@pytest.mark.parametrize("role", ["project", "heldout"])
@pytest.mark.parametrize("count", [1, 2])
def test_added_plates_go_through_what_others_fitted(screen, role, count):
    """Their own jobs and what joins plates; no other plate has a job, and nothing is trained or fitted."""
    add(screen, [f"P{number}" for number in range(count)], role=role)
    own = {name: count * each for name, each in (OF_A_PLATE | OF_A_PLATE_AND_ENCODER).items()}
    assert screens.planned(screen) == own | JOINED


def test_a_plate_added_to_fit_trains_and_fits_all_anew(screen):
    """Its own stages once; then all plates through what was trained anew, which encoders without training are not."""
    add(screen, ["P9"], role="fit")
    through = {"train": 2, "embed": 2 * 5 + 2, "profile": 2 * 5 + 2, "fit": 4, "align": 20}
    assert screens.planned(screen) == OF_A_PLATE | JOINED | through


def test_a_plate_taken_out_again_leaves_the_others_plates_alone(screen):
    rows = screens.read_sheet(screen)
    screens.write_sheet(screen, rows.assign(role=["fit", "fit", "fit", "no"]))
    jobs = screens.planned(screen)
    assert not set(OF_A_PLATE) & jobs.keys()


def test_a_plate_added_on_the_light_path_of_another_is_corrected_with_it(screen):
    """The flat field is made of both plates, so both are corrected anew; one of its own leaves the others alone."""
    rows = screens.read_sheet(screen)
    screens.write_sheet(screen, rows.assign(optics=rows["plate"]))
    assert screens.planned(screen) == {}
    add(screen, ["P9"], role="project", optics=rows["plate"][0])
    jobs = screens.planned(screen)
    assert jobs["index"] == jobs["survey"] == jobs["illumination"] == 1
    assert jobs["images"] == 2


def add(screen, names, **columns):
    """Add plates to the screen's sheet."""
    rows = screens.fabricate(screen, names).assign(cell_line="U2OS", **columns)
    screens.write_sheet(screen, pd.concat([screens.read_sheet(screen), rows]))


def test_large_results_may_be_deleted_when_a_screen_is_finished(screen, finished):
    """The files that the README allows to delete: without them nothing is made again."""
    results = screen / "results"
    results.unlink()
    results.mkdir()
    for path in (finished / "results").iterdir():
        if path.name not in ("demo", "images", "embed"):
            (results / path.name).symlink_to(path)
    assert screens.planned(screen) == {}
