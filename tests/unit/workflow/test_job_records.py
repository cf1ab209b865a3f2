"""Snakemake's records of outputs are corrected from those of the jobs."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from wellspring.io import made
from wellspring.workflow import records

PATTERNS = ("results/crops/{plate}.npy", "results/crops/{plate}.parquet", "results/images/{plate}.zarr/zarr.json")


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Make the outputs of three jobs with their records; return Snakemake's records of them, which agree."""
    monkeypatch.chdir(tmp_path)
    known = {}
    for plate in ("P1", "P2"):
        known |= made_by(f"results/crops/{plate}.npy", f"results/crops/{plate}.parquet", params=["'A'", "0"])
    return known | made_by("results/images/P1.zarr/zarr.json", params=["'B'"])


def made_by(*outputs, params):
    record = made.path_of(outputs[0])
    for output in map(Path, outputs):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("made")
    record.write_text(json.dumps({"rule": "crops", "outputs": outputs, "inputs": ["a"], "params": params}))
    return {output: SimpleNamespace(params=params) for output in outputs}


def correct(known):
    """Return the outputs whose records are corrected, with the values."""
    written = {}
    assert records.correct(PATTERNS, read=known.get, write=written.__setitem__) == list(written)
    return written


def test_records_that_agree_stay(outputs):
    assert correct(outputs) == {}


def test_a_missing_record_is_restored(outputs):
    del outputs["results/crops/P2.npy"], outputs["results/images/P1.zarr/zarr.json"]
    found = correct(outputs)
    assert set(found) == {"results/crops/P2.npy", "results/images/P1.zarr/zarr.json"}
    assert found["results/crops/P2.npy"]["params"] == ["'A'", "0"]
    assert found["results/crops/P2.npy"]["input"] == ["a"] and found["results/crops/P2.npy"]["rule"] == "crops"
    assert found["results/crops/P2.npy"]["endtime"] == Path("results/crops/P2.npy").stat().st_mtime


def test_a_record_of_other_options_is_replaced(outputs):
    """Snakemake's is of the options that it had, the job's of those that it read."""
    outputs["results/crops/P1.parquet"] = SimpleNamespace(params=["'A'", "1"])
    assert {output: values["params"] for output, values in correct(outputs).items()} == {
        "results/crops/P1.parquet": ["'A'", "0"]
    }


def test_a_record_without_options_is_replaced(outputs):
    outputs["results/crops/P1.npy"] = SimpleNamespace(params=None)
    assert list(correct(outputs)) == ["results/crops/P1.npy"]


def test_outputs_that_are_gone_get_no_record(outputs):
    del outputs["results/crops/P2.npy"]
    Path("results/crops/P2.npy").unlink()
    assert correct(outputs) == {}


def test_forgotten_records_do_not_count(outputs):
    records.forget(["results/crops/P1.npy", "results/images/P1.zarr/zarr.json", "results/absent/P1.npy"])
    left = [path for path in outputs if made.path_of(path).exists()]
    assert left == ["results/crops/P2.npy"]
    assert set(correct({})) == {"results/crops/P2.npy", "results/crops/P2.parquet"}


def test_absolute_results_are_found(outputs, tmp_path):
    patterns = [str(tmp_path / pattern) for pattern in PATTERNS]
    found = {}
    records.correct(patterns, read=lambda _: None, write=found.__setitem__)
    assert set(found) == set(outputs)


def test_a_damaged_record_stops_the_run_by_name(outputs):
    made.path_of("results/crops/P2.npy").write_text("{")
    with pytest.raises(ValueError, match=r"results/crops/\.P2\.npy\.made: expected what made"):
        correct(outputs)


def test_the_latest_job_counts_of_two_with_one_output(tmp_path, monkeypatch):
    """With other `export.formats` the first output of the rule is another, and so is its record."""
    monkeypatch.chdir(tmp_path)
    made_by("export/simclr.h5ad", "export/gallery", params=["both"])
    made_by("export/gallery", params=["gallery"])
    patterns = ("export/simclr.h5ad", "export/gallery")
    for later, params in (("gallery", "gallery"), ("simclr.h5ad", "both")):
        for name in ("gallery", "simclr.h5ad"):
            time = 2000 if name == later else 1000
            os.utime(made.path_of(f"export/{name}"), (time, time))
        written = {}
        records.correct(patterns, read=lambda _: None, write=written.__setitem__)
        assert {output: values["params"] for output, values in written.items()} == {
            "export/gallery": [params],
            "export/simclr.h5ad": ["both"],
        }


def test_results_in_a_folder_with_brackets_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "results [2]*?"
    folder.mkdir()
    monkeypatch.chdir(folder)
    known = made_by("crops/P1.npy", "crops/P[1].npy", params=["'A'"])
    for base in (str(folder), "crops/.."):
        written = {}
        records.correct([f"{base}/crops/{{plate}}.npy"], read=lambda _: None, write=written.__setitem__)
        assert set(written) == set(known)
