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
    ("module", "stage"), [("embed.py", "embed"), ("evaluate/score.py", "evaluate"), ("report/page.py", "report")]
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
    assert jobs["embed"] == 12


def test_a_projected_plate_trains_and_fits_nothing(screen):
    rows = screens.fabricate(screen, ["P9"]).assign(role="project", cell_line="U2OS")
    screens.write_sheet(screen, pd.concat([screens.read_sheet(screen), rows]))
    jobs = screens.planned(screen)
    assert not {"train", "fit", "simulate", "crops"} & {name for name in jobs if name != "crops"}
    assert jobs["index"] == jobs["survey"] == jobs["illumination"] == jobs["images"] == jobs["cells"] == 1
    assert jobs["embed"] == jobs["profile"] == jobs["align"] == 3
    assert jobs["evaluate"] == 3


def test_large_results_may_be_deleted_when_a_screen_is_finished(finished):
    """What the README says may go: while it is away nothing is made again."""
    large = ("demo", "images", "embed")
    results = finished / "results"
    for name in large:
        (results / name).rename(results / f"{name}.away")
    try:
        assert screens.planned(finished) == {}
    finally:
        for name in large:
            (results / f"{name}.away").rename(results / name)
