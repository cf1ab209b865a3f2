"""The resources that the rule `train` requests, by `train.gpus` and `train.nodes`."""

import re

import pytest

import screens

SHORT = {"steps": 20, "batch": 16}


def planned(folder, **train) -> dict[str, dict[str, str]]:
    """The resources of each encoder's training in a dry run."""
    encoders = {"cells": {"like": "simclr", **SHORT}, "untrained": {"like": "simclr", "steps": 0}}
    screens.make(folder, changes={"train": train, "encoders": encoders})
    done = screens.snakemake("-n", "--cores", "200", "--forcerun", "train", cwd=folder)
    assert done.returncode == 0, done.stdout
    found = {}
    for part in re.findall(r"rule train:\n((?: .*\n)+)", done.stdout):
        name = re.search(r"wildcards: encoder=(\w+)", part)[1]
        asked = dict(pair.split("=") for pair in re.search(r"resources: (.*)", part)[1].split(", "))
        found[name] = asked | {"threads": re.search(r"threads: (\d+)", part)[1]}
    return found


@pytest.mark.parametrize(
    ("train", "asked"),
    [
        ({}, {"threads": "8", "mem_mb": "32000", "gpu": "1"}),
        ({"gpus": 4}, {"threads": "32", "mem_mb": "80000", "gpu": "4"}),
        ({"gpus": 8, "nodes": 2}, {"threads": "64", "mem_mb": "144000", "gpu": "0", "gres": "gpu:8", "nodes": "2"}),
    ],
)
def test_a_training_asks_for_its_gpus_and_an_untrained_encoder_does_not(tmp_path, train, asked):
    found = planned(tmp_path, **train)
    assert {name: value for name, value in found["cells"].items() if name in (*asked, "gres", "nodes")} == asked
    assert found["untrained"]["gpu"] == "1" and found["untrained"]["threads"] == "8"
    assert "nodes" not in found["untrained"]


def test_a_batch_that_the_processes_can_not_share_is_named_before_any_job(tmp_path):
    encoders = {"cells": {"like": "simclr", "steps": 20, "batch": 18}}
    screens.make(tmp_path, changes={"train": {"gpus": 2, "accumulate": 2}, "encoders": encoders})
    done = screens.snakemake("-n", cwd=tmp_path)
    assert done.returncode == 1
    expected = "encoders.cells.batch: expected a multiple of train.gpus x train.nodes x train.accumulate = 4, found 18"
    assert expected in done.stdout
