"""Provenance records what made a table, without times or paths of a machine."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest

from wellspring.io import provenance


class Items(dict):
    """A stand-in for Snakemake's named lists: iterates over values."""

    def __iter__(self):
        return iter(self.values())


def job(tmp_path, monkeypatch, *, text="one", **params):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir(exist_ok=True)
    (tmp_path / "results" / "a.parquet").write_text(text)
    return SimpleNamespace(
        rule="fit", params={"code": "c0de", **params}, input=Items(table="results/a.parquet", raw="raw.tif")
    )


def test_same_job_same_words(tmp_path, monkeypatch):
    first = provenance.of(job(tmp_path, monkeypatch, options={"a": 1, "b": 2}, seed=3))
    second = provenance.of(job(tmp_path, monkeypatch, options={"b": 2, "a": 1}, seed=3))
    assert first == second
    assert first["rule"] == "fit"
    assert first["seed"] == 3
    assert first["code"] == "c0de"
    assert first["inputs"].keys() == {"results/a.parquet"}
    assert "pycytominer" in first["packages"]
    assert str(tmp_path) not in str(first)


def test_options_and_inputs_tell(tmp_path, monkeypatch):
    base = provenance.of(job(tmp_path, monkeypatch, options={"a": 1}))
    assert provenance.of(job(tmp_path, monkeypatch, options={"a": 2}))["options"] != base["options"]
    assert provenance.of(job(tmp_path, monkeypatch, options={"a": 1}, text="two"))["inputs"] != base["inputs"]


def test_packages_that_are_named_are_installed():
    for rule, names in provenance.PACKAGES.items():
        assert all(provenance._version(name) != "absent" for name in names), rule


def test_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert provenance.file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_is_that_of_the_clone_and_never_of_a_repository_around_it(tmp_path):
    author = ["-c", "user.name=a", "-c", "user.email=a"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    head = subprocess.check_output(["git", "-C", tmp_path, "rev-parse", "HEAD"], text=True).strip()
    assert provenance.commit(tmp_path.resolve()) == head
    inner, tree = tmp_path / "clone", tmp_path / ("0123abcd" * 5)
    for folder in (inner, tree):
        folder.mkdir()
    assert provenance.commit(inner.resolve()) == "unknown"
    assert provenance.commit(tree.resolve()) == tree.name
