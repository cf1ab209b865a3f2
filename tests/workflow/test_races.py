"""A miniature of the aimed races of tests/slurm/soak.py: overtaken jobs and a purge end with the same bytes."""

from dataclasses import replace

import pytest
import races

import screens


@pytest.fixture
def ground(finished):
    return races.Ground(screens.ROOT, finished, screens.read_sheet(finished)["plate"].iloc[0])


@pytest.mark.parametrize(
    ("kind", "stage"), [("suspended", "images"), ("resumed", "crops"), ("purge", "cells")], ids=lambda name: name
)
def test_a_race_converges_or_stops_by_name(ground, tmp_path, kind, stage):
    row = races.race(ground, tmp_path / "race", kind=kind, stage=stage, seed=f"{kind} {stage}")
    assert not row["missed"], row
    assert row["different"] == [] and row.get("named", True), row


def test_the_head_of_an_overtaken_job_deletes_what_the_other_made_unless_it_keeps_incomplete_files(ground, tmp_path):
    """Why the profile has `keep-incomplete`: Snakemake takes the outputs of a failed job for its own."""
    how = {"kind": "two heads", "stage": "crops", "seed": "two heads"}
    row = races.race(ground, tmp_path / "kept", **how)
    assert not row["missed"] and row["first"] != 0, row
    assert row["different"] == [] and row["ended"] == 0, row
    row = races.race(replace(ground, local=()), tmp_path / "deleted", **how)
    assert row["first"] != 0 and row["ended"] == 0, row
    lost = [f"crops/{ground.plate}.npy", f"crops/{ground.plate}.parquet"]
    assert row["different"] == lost, row
