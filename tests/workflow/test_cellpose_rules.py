"""Segmentation by networks: requested resources, missing weights, and the target that downloads them."""

import hashlib
import re

import pytest
import yaml

import screens


def asked(folder, *arguments):
    """Return the part of a dry run about the first job of `cells`."""
    done = screens.snakemake("--dry-run", "--until", "cells", *arguments, cwd=folder)
    return done.returncode, done.stdout


def chosen(path, digest="0" * 64):
    return {"cells": {"method": "cellpose", "cellpose": {"weights": {"nuclei": {"path": path, "sha256": digest}}}}}


def test_only_networks_ask_for_a_gpu_and_weights(tmp_path):
    (tmp_path / "w").write_bytes(b"")
    folder = screens.make(tmp_path / "a")
    assert re.search(r"rule cells:.*?gpu=0", asked(folder)[1], re.S)
    folder = screens.make(tmp_path / "b", changes=chosen(str(tmp_path / "w")))
    code, said = asked(folder)
    assert code == 0, said
    block = said.split("rule cells:")[1].split("rule ")[0]
    assert "gpu=1" in block and str(tmp_path / "w") in block


@pytest.mark.parametrize(
    ("path", "message"),
    [(None, "expected path and sha256 for cells.method cellpose, found none"), ("/no/file", "found none at /no/file")],
)
def test_no_job_starts_without_weights_and_the_error_says_where_they_come_from(tmp_path, path, message):
    changes = {"cells": {"method": "cellpose"}} if path is None else chosen(path)
    code, said = asked(screens.make(tmp_path, changes=changes))
    assert code != 0
    assert message in " ".join(said.split()) and "snakemake weights" in said


def test_the_target_fetches_and_prints_the_lines_of_the_config(tmp_path):
    (tmp_path / "cpsam_v2").write_bytes(b"weights")
    source = {"cells": {"method": "cellpose", "cellpose": {"source": (tmp_path / "cpsam_v2").as_uri()}}}
    folder = screens.make(tmp_path / "screen", changes=source)
    done = screens.snakemake("--cores", "1", "weights", cwd=folder)
    assert done.returncode == 0, done.stdout
    file = folder / "results" / "weights" / "cellpose"
    lines = (folder / "results" / "weights" / "cellpose.yaml").read_text()
    assert lines in done.stdout and "CC BY-NC" in lines
    named = yaml.safe_load(lines)["cells"]["cellpose"]["weights"]["nuclei"]
    assert named == {"path": str(file), "sha256": hashlib.sha256(b"weights").hexdigest()}
    screens.change(folder, chosen(str(file)))
    assert asked(folder)[0] == 0
