"""Jobs with `--software-deployment-method apptainer`, whose program is one that notes its call and runs the command."""

import os
import stat

import pytest

import screens
from wellspring.io.shipped import CLONE

APPTAINER = """#!/usr/bin/env bash
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
printf '%s\\n' "$APPTAINER_BIND" "$@" >>"{calls}"
# exec --home FOLDER [OPTION ...] IMAGE sh -c COMMAND
exec "${{@: -3:1}}" -c "${{@: -1}}"
"""


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """Return a screen whose images are outside of its folder, and the file of apptainer's calls."""
    (tmp_path / "bin").mkdir()
    program, calls = tmp_path / "bin" / "apptainer", tmp_path / "calls"
    program.write_text(APPTAINER.format(calls=calls))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WELLSPRING_IMAGES", str(tmp_path / "images"))
    for name in ("APPTAINER_BIND", "SINGULARITY_BIND"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "images").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "screen").mkdir()
    sheet = screens.fabricate(tmp_path / "disk", ["P1"])
    screens.draw(tmp_path / "disk", "P1", "A01")
    for column in ("images", "platemap"):
        sheet[column] = [f"{tmp_path}/disk/{path}" for path in sheet[column]]
    screens.make(tmp_path / "screen", sheet=sheet)
    return tmp_path / "screen", calls


def test_images_that_are_not_there_are_named_before_any_job(screen):
    folder, calls = screen
    done = screens.snakemake("--cores", "1", "--sdm", "apptainer", "-n", cwd=folder)
    assert done.returncode == 1 and not calls.exists()
    assert "wellspring-core.sif: expected the image of a job, found none. Build it with envs/image.sh" in done.stdout
    assert "Traceback" not in done.stdout and "Building DAG" not in done.stdout


def test_a_job_runs_in_the_image_of_its_environment_and_sees_clone_and_images(screen):
    folder, calls = screen
    for target in ("core", "full"):
        (folder.parent / "images" / f"wellspring-{target}.sif").write_bytes(b"")
    done = screens.snakemake("results/index/P1.parquet", "--cores", "1", "--sdm", "apptainer", cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:]
    bind, *call = calls.read_text().splitlines()
    assert f"{CLONE}:{CLONE}:ro" in bind.split(",")
    shown = [line.split(":")[0] for line in bind.split(",")]
    assert any(
        (folder.parent / "disk").is_relative_to(path) or path.startswith(f"{folder.parent}/disk") for path in shown
    )
    assert str(folder.parent / "images" / "wellspring-core.sif") in call
    assert (folder / "results" / "index" / "P1.parquet").exists()


def test_without_the_option_no_image_and_no_apptainer_is_needed(screen):
    folder, calls = screen
    assert screens.planned(folder)["index"] == 1
    assert not calls.exists()
