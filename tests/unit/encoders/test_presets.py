"""Shipped presets: they resolve, they can be built, and their numbers go together."""

import math
from dataclasses import replace

import pytest
import torch
import yaml

from wellspring.io.shipped import ENCODER_PRESETS
from wellspring.screen import config, config_readme
from wellspring.screen.sections import Encoder, read
from wellspring.train import build
from wellspring.train.settings import resolve

CHANNELS = 5
FILES = sorted(path.stem for path in ENCODER_PRESETS.glob("*.yaml"))
NAMES = sorted(config.presets())


def whole(name: str) -> dict:
    """The config of somebody who follows a preset, complete."""
    file = yaml.safe_load((ENCODER_PRESETS / f"{name.split('.', maxsplit=1)[0]}.yaml").read_text())
    mine = {"channels": [f"C{number}" for number in range(CHANNELS)], "cells": {"activate": True}}
    return config.resolve({**mine, **file["config"], "encoders": {"mine": {"like": name}}})


def test_the_files_are_those_that_are_named():
    assert FILES == ["demo", "gpu_node", "one_gpu"]
    for file in FILES:
        assert f"{file}.sslprofiler" in NAMES and f"{file}.simclr" in NAMES
    page = config_readme.describe()
    assert all(f"| `{name}` |" in page for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_resolves_and_is_overridden(name):
    entry = whole(name)["encoders"]["mine"]
    assert "like" not in entry
    mine = {"untrained": {"like": name, "steps": 0}, "again": {"like": "untrained", "view": {"size": 48}}}
    assert config.inherit("again", mine)["view"] == config.presets()[name]["view"] | {"size": 48}
    assert config.inherit("again", mine)["steps"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_numbers_go_together(name):
    complete = whole(name)
    entry, train = complete["encoders"]["mine"], complete["train"]
    settings = resolve(read(Encoder, entry), seed=1)
    per_gpu = settings.batch / train["gpus"] / train["nodes"] / train["accumulate"]
    assert per_gpu % settings.sites == 0
    assert per_gpu <= (64 if settings.distilled else 256)  # what the smallest of the GPUs has room for
    assert 0 < settings.warmup < settings.steps / 5 or settings.warmup == 0
    assert bool(settings.steps) == (settings.kind != "timm")
    patch = entry["backbone_options"].get("patch_size", 16)
    if settings.distilled:
        sizes = [entry["distillation"][size] for size in ("global_size", "local_size")]
        assert all(size % patch == 0 for size in sizes)
        assert sizes[1] < sizes[0] <= settings.view.size
        if not name.startswith("demo."):
            assert settings.lr == pytest.approx(1e-3 if name == "one_gpu.sslprofiler" else 5e-4 * settings.batch / 256)
            assert settings.steps * settings.batch > 100 * entry["distillation"]["prototypes"]
    else:
        assert settings.view.size % patch == 0 or "vit" not in settings.backbone
        if entry["optimiser"] == "adamw" and settings.steps and settings.weights is None:
            assert settings.lr == pytest.approx(1e-3 * math.sqrt(max(settings.batch, 256) / 256))
    if settings.view.kind == "cell" and settings.steps:
        assert complete["crops"]["size"] >= 1.3 * settings.view.size  # what `view.size` asks for


def test_fields_on_one_gpu_are_trained_as_cellpaintssl():
    """Rate 1e-3 at a batch of 64, temperatures 0.01 to 0.04, native crops of 224 and 96 px, a slow teacher."""
    settings = resolve(read(Encoder, whole("one_gpu.sslprofiler")["encoders"]["mine"]), seed=1)
    options = settings.distillation
    assert settings.lr == pytest.approx(1e-3) and settings.batch == 64
    assert options.teacher_temperature == (0.01, 0.04) and options.teacher_warmup == 0.1
    assert settings.ramp == settings.steps / 10 and options.freeze_last == 0.015 and options.momentum == 0.9995
    assert settings.augmentation.crop == "native" and (options.global_size, options.local_size) == (224, 96)
    assert settings.view.size >= 448 and settings.embedded == 224 and settings.magnification == (1.0, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_can_be_built(name):
    settings = resolve(read(Encoder, whole(name)["encoders"]["mine"]), seed=1)
    if settings.kind == "timm":
        network = build.network(settings, channels=CHANNELS)
        assert sum(each.numel() for each in network.parameters()) == 4_652_008 - 1_281_000 + 32 * 9 * (CHANNELS - 3)
        return
    with torch.device("meta"):
        network = build.network(replace(settings, weights=None), channels=CHANNELS)
        method = build.OBJECTIVES[settings.kind](network, settings, channels=CHANNELS, precision="bfloat16")
    millions = sum(each.numel() for each in method.encoder.parameters()) / 1e6
    expected = {"demo": 0.8, "one_gpu": 21.6, "gpu_node": 86}[name.split(".")[0]]
    expected = {"one_gpu.perakis": 23.5, "gpu_node.simclr": 21.6, "one_gpu.simclr_imagenet": 3.4}.get(name, expected)
    assert millions == pytest.approx(expected, rel=0.05)


def test_the_demo_has_what_goes_with_its_presets(root):
    shipped = config.resolve(yaml.safe_load((root / "config" / "config.yaml").read_text()))
    file = yaml.safe_load((ENCODER_PRESETS / "demo.yaml").read_text())["config"]
    assert all(shipped[section][key] == value for section, keys in file.items() for key, value in keys.items())
