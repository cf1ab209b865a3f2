"""Provenance records what made a table, without times or paths of a machine."""

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


def table(path, inputs):
    frame = pd.DataFrame({"Metadata_Plate": ["P1"], "Metadata_Well": ["A01"]})
    form = pa.Table.from_pandas(frame).replace_schema_metadata(
        {"wellspring.provenance": json.dumps({"rule": "profile", "inputs": inputs})}
    )
    pq.write_table(form, path)


def test_an_input_made_of_another_version_of_a_further_input_is_an_error(tmp_path, monkeypatch):
    """A table that a person replaced by one of an older or another run, with a time that no rerun notices."""
    monkeypatch.chdir(tmp_path)
    table("embed.parquet", {})
    table("profile.parquet", {"embed.parquet": provenance.file_digest("embed.parquet"), "absent.parquet": "0" * 64})
    both = SimpleNamespace(rule="evaluate", params={}, input=["profile.parquet", "embed.parquet"])
    assert set(provenance.of(both)["inputs"]) == {"profile.parquet", "embed.parquet"}
    table("embed.parquet", {"index.parquet": "1" * 64})
    with pytest.raises(ValueError, match=r"profile\.parquet: .* present embed\.parquet.*snakemake -R profile"):
        provenance.of(both)
    alone = SimpleNamespace(rule="evaluate", params={}, input=["profile.parquet"])
    assert set(provenance.of(alone)["inputs"]) == {"profile.parquet"}


@pytest.mark.parametrize("other", [b"", b"PAR1", b"one", None])
def test_tables_of_another_make_are_recorded_as_they_are(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    if other is None:
        pd.DataFrame({"a": [1]}).to_parquet("a.parquet")
    else:
        Path("a.parquet").write_bytes(other)
    found = provenance.of(SimpleNamespace(rule="ingest", params={}, input=["a.parquet"]))
    assert found["inputs"] == {"a.parquet": provenance.file_digest("a.parquet")}


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
