"""Squares around cells without their neighbours: which rules then read label images."""

import re

import pytest

import screens


@pytest.mark.parametrize("neighbours", ["kept", "masked"])
@pytest.mark.parametrize("rule", ["crops", "embed"])
def test_label_images_are_asked_for_where_neighbours_are_masked(tmp_path, neighbours, rule):
    folder = screens.make(tmp_path, changes={"crops": {"neighbours": neighbours}})
    done = screens.snakemake("--dry-run", "--until", rule, cwd=folder)
    assert done.returncode == 0, done.stdout
    asked = re.findall(rf"^rule {rule}:\n    input: (.*)$", done.stdout, re.M)
    labels = [bool(re.search(r"results/cells/\w+\.zarr/zarr\.json", line)) for line in asked]
    # Of the encoders of the shipped screen some look at tiles, which have no neighbours.
    expected = [neighbours == "masked" and "results/cells/" in line for line in asked]
    assert asked and labels == expected and any(labels) == (neighbours == "masked")
