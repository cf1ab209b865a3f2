"""As a module of another workflow: out of a clone, and out of a repository by tag, as snakedeploy writes it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def released(clone: Path, bare: Path) -> None:
    """Commit a copy of the clone, tag it v1 and clone it into a bare repository."""
    author = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a"], ["tag", "v1"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True, env=os.environ | author)
    subprocess.run(["git", "clone", "-q", "--bare", clone, bare], check=True)


def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where Snakemake looks for its copy of the repository before it asks the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "snakemake" / "snakemake" / "source-cache" / "snakemake-git-cache"
    return cache / "github.com" / "someone" / "wellspring"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_out_of_a_repository_by_tag(clone, outer, tmp_path, monkeypatch):
    """Snakemake's copy of the repository lies in its cache already, so that no network is needed."""
    released(clone, cached(tmp_path, monkeypatch))
    folder = outer(TAGGED)
    shutil.rmtree(clone)
    jobs = screens.planned(folder, workflow=folder)
    assert {"index", "survey", "images", "train", "report", "verdict"} <= jobs.keys()
    done = screens.snakemake("--cores", "1", "--until", "index", cwd=folder, workflow=folder)
    assert done.returncode == 0, done.stdout
    assert len(tables.read(folder / "results" / "index" / "P2.parquet")) == 5
    assert screens.planned(folder, "--until", "index", workflow=folder) == {}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_snakedeploy_deploys_a_tag_of_a_bare_repository(clone, tmp_path, monkeypatch):
    """The catalogue's standardised usage: deploy from a tag, edit sheet and config, run in the deployed folder."""
    pytest.importorskip("snakedeploy")
    bare = cached(tmp_path, monkeypatch)
    released(clone, bare)
    (clone / "Snakefile").write_text('raise ValueError("a later commit than the tag")')
    author = ["-c", "user.name=a", "-c", "user.email=a"]
    for command in (["commit", "-q", "-a", "-m", "b"], ["push", "-q", str(bare), "HEAD"]):
        subprocess.run(["git", "-C", str(clone), *author, *command], check=True)
    shutil.rmtree(clone)
    folder = tmp_path / "deployed"
    folder.mkdir()
    # A path with `github` in it is cloned by git, as an address of GitHub is.
    command = ["deploy-workflow", f"file://{bare}", str(folder), "--tag", "v1", "--name", "wellspring"]
    code = f"import sys; from snakedeploy.client import main; sys.argv[1:] = {command}; main()"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    written = (folder / "workflow" / "Snakefile").read_text()
    assert 'github("someone/wellspring", path="workflow/Snakefile", tag="v1")' in written
    assert "use rule * from wellspring" in written and 'configfile: "config/config.yaml"' in written
    sheet = screens.fabricate(folder, ["P1"])
    screens.draw(folder, "P1", "A01")
    shutil.rmtree(folder / "config")
    screens.make(folder, sheet=sheet)
    jobs = screens.planned(folder, workflow=folder / "workflow")
    assert {"index", "survey", "images", "train", "report", "verdict"} <= jobs.keys()
    done = screens.snakemake("--cores", "1", "--until", "index", cwd=folder, workflow=folder / "workflow")
    assert done.returncode == 0, done.stdout
    assert len(tables.read(folder / "results" / "index" / "P1.parquet")) == 5
