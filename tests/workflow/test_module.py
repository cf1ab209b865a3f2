"""As a module of another workflow: out of a clone, and out of a repository by tag, as snakedeploy writes it."""

import os
import shutil
import subprocess

import pytest

import screens
from wellspring.io import tables

MODULE = """\
configfile: "config/config.yaml"


module wellspring:
    snakefile:
        {snakefile}
    pathvars:
        results="{results}",
    config:
        config


use rule * from wellspring{names}
"""
# What `snakedeploy deploy-workflow https://github.com/someone/wellspring . --tag v1` writes into workflow/Snakefile.
TAGGED = 'github("someone/wellspring", path="Snakefile", tag="v1")'


@pytest.fixture
def outer(tmp_path):
    """Return a function that makes an outer workflow around a screen of two plates, with one field each."""

    def make(snakefile: str, *, results: str = "results", names: str = ""):
        folder = tmp_path / "outer"
        sheet = screens.fabricate(folder, ["P1", "P2"])
        for plate in ("P1", "P2"):
            screens.draw(folder, plate, "A01")
        screens.make(folder, sheet=sheet)
        (folder / "Snakefile").write_text(MODULE.format(snakefile=snakefile, results=results, names=names))
        return folder

    return make


def test_a_stage_runs_in_another_workflow_under_other_names_and_elsewhere(root, outer):
    folder = outer(f'"{root}/Snakefile"', results="out/deep", names=" as wellspring_*")
    stage = ("--until", "wellspring_index")
    assert screens.planned(folder, *stage, workflow=folder) == {"wellspring_index": 2}
    done = screens.snakemake("--cores", "1", *stage, cwd=folder, workflow=folder)
    assert done.returncode == 0, done.stdout
    assert len(tables.read(folder / "out" / "deep" / "index" / "P1.parquet")) == 5
    assert not (folder / "results").exists()
    assert screens.planned(folder, *stage, workflow=folder) == {}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_out_of_a_repository_by_tag(clone, outer, tmp_path, monkeypatch):
    """Snakemake's copy of the repository lies in its cache already, so that no network is needed."""
    author = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a"], ["tag", "v1"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True, env=os.environ | author)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "snakemake" / "snakemake" / "source-cache" / "snakemake-git-cache"
    subprocess.run(["git", "clone", "-q", "--bare", clone, cache / "github.com/someone/wellspring"], check=True)
    folder = outer(TAGGED)
    shutil.rmtree(clone)
    jobs = screens.planned(folder, workflow=folder)
    assert {"index", "survey", "images", "train", "report", "verdict"} <= jobs.keys()
    done = screens.snakemake("--cores", "1", "--until", "index", cwd=folder, workflow=folder)
    assert done.returncode == 0, done.stdout
    assert len(tables.read(folder / "results" / "index" / "P2.parquet")) == 5
    assert screens.planned(folder, "--until", "index", workflow=folder) == {}
