"""A miniature of the aimed races of tests/slurm/soak.py: overtaken jobs and a purge end with the same bytes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import races
import runs
from snakemake.persistence.file import FilePersistence

import screens
from wellspring.io import made

RULES = {"simulate", "index", "survey", "illumination", "images", "cells", "crops", "train", "embed", "profile", "fit"}
RULES |= {"align", "consensus", "evaluate", "report", "verdict"}


@pytest.fixture
def ground(finished):
    return races.Ground(screens.ROOT, finished, screens.read_sheet(finished)["plate"].iloc[0])


@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("suspended", "images"),
        ("resumed", "crops"),
        pytest.param("unseen", "cells", marks=pytest.mark.slow),
        pytest.param("purge", "cells", marks=pytest.mark.slow),
    ],
    ids=lambda name: name,
)
def test_a_race_converges_or_stops_by_name(ground, tmp_path, kind, stage):
    row = races.race(ground, tmp_path / "race", kind=kind, stage=stage, seed=f"{kind} {stage}")
    assert not row["missed"], row
    assert row["different"] == [] and row.get("named", True), row


@pytest.mark.slow
def test_the_head_of_an_overtaken_job_deletes_what_the_other_made_unless_it_keeps_incomplete_files(ground, tmp_path):
    """Why the profile has `keep-incomplete`: Snakemake takes the outputs of a failed job for its own."""
    how = {"kind": "two heads", "stage": "crops", "seed": "two heads"}
    row = races.race(ground, tmp_path / "kept", **how)
    assert not row["missed"] and row["first"] != 0, row
    assert row["different"] == [] and row["ended"] == 0, row
    row = races.race(replace(ground, local=()), tmp_path / "deleted", **how)
    assert not row["missed"] and row["first"] != 0 and row["ended"] == 0, row
    lost = [f"crops/{ground.plate}.npy", f"crops/{ground.plate}.parquet"]
    assert row["different"] == lost, row


def test_each_job_records_what_snakemake_does(finished, monkeypatch):
    """Every output of a stage has one record of its job; options and inputs are those of Snakemake's record."""
    monkeypatch.chdir(finished)
    known = FilePersistence()
    jobs = [made.read(path) for path in Path("results").rglob(".*.made")]
    of = {output: job for job in jobs for output in job.outputs}
    assert len(of) == sum(len(job.outputs) for job in jobs) and {job.rule for job in jobs} >= RULES
    for output, job in of.items():
        theirs = known._read_record(output)
        assert list(job.params) == theirs.params and list(job.inputs) == theirs.input, output
        assert job.rule == theirs.rule and Path(output).exists(), output


def test_outputs_without_a_record_of_snakemake_are_compared_with_the_config(screen):
    """As after a killed Snakemake, whose job ended later: its record is missing, and the config is another one now."""
    shutil.rmtree(screen / ".snakemake" / "metadata")
    assert screens.planned(screen) == {}
    shutil.rmtree(screen / ".snakemake" / "metadata")
    screens.change(screen, {"evaluate": {"permutations": 7}})
    assert screens.planned(screen).keys() == {"evaluate", "report", "verdict"}


def test_touched_results_count_as_those_of_the_present_config(finished, tmp_path):
    folder = runs.twin(finished, tmp_path / "screen")
    screens.change(folder, {"evaluate": {"permutations": 7}})
    assert "evaluate" in screens.planned(folder)
    done = screens.snakemake("--cores", "2", "--touch", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert screens.planned(folder) == {}
