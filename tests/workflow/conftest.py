"""The small screen: the demo screen, trained for a few steps, run once for all tests that look at a finished run."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

import screens


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Path:
    """Return the folder of the small screen, run to its end. Tests leave its results as they are.

    Processes that run tests side by side share one run: the first makes it with all cores while the others wait.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "finished"
    complete = folder.with_suffix(".complete")
    with FileLock(folder.with_suffix(".lock")):
        if not complete.exists():
            assert not folder.exists(), "the run of the small screen failed in another process"
            screens.make(folder, changes=screens.SMALL)
            done = screens.snakemake("--cores", "all", cwd=folder)
            assert done.returncode == 0, done.stdout[-6000:]
            complete.touch()
    return folder


@pytest.fixture
def screen(finished, tmp_path) -> Path:
    """Return a twin of the finished screen, whose config and sheet a test may change; its results are linked."""
    twin = tmp_path / "twin"
    twin.mkdir()
    shutil.copytree(finished / "config", twin / "config")
    shutil.copytree(finished / ".snakemake", twin / ".snakemake", ignore=shutil.ignore_patterns("locks", "log", "tmp*"))
    (twin / "results").symlink_to(finished / "results")
    return twin


@pytest.fixture
def clone(root, tmp_path) -> Path:
    """Return a copy of the clone, every file with a new modification time, as after a fresh checkout."""
    copy = tmp_path / "clone"
    copy.mkdir()
    shutil.copy(root / "Snakefile", copy)
    for name in ("workflow", "resources", "envs", "config"):
        shutil.copytree(
            root / name, copy / name, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__")
        )
    return copy
