"""Frozen networks of timm: from a config entry and a local file to vectors, without training images."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import blobs
import trainings
from options import options
from wellspring.embed import run as embed
from wellspring.encoders import encoder
from wellspring.io import ngff, tables
from wellspring.screen import config, encoder_kinds
from wellspring.screen.sections import Encoder
from wellspring.train.settings import resolve
from wellspring.train.worker import work
from wellspring.views.scaling import intensity_scale

CHANNELS = ["DNA", "RNA"]
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
VIT = "vit_tiny_patch16_224"


@pytest.fixture
def weights(tmp_path) -> dict[str, str]:
    network = encoder.build(VIT, channels=3, size=24, options=SMALL, seed=9)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "start.pth")
    return blobs.weights(tmp_path / "start.pth")


def entry(weights: dict[str, str] | None, **over) -> Encoder:
    return blobs.entry(kind="timm", weights=weights, steps=None, view={"kind": "tile", "size": 24}, **over)


@pytest.mark.parametrize(("stem", "width"), [("widened", 32), ("channelwise", 64)])
def test_a_frozen_network_is_built_without_images_and_embeds(tmp_path, weights, stem, width):
    nothing = {kind: [] for kind in ("images", "intensity", "crops", "crop_tables")}
    job = trainings.job(tmp_path, nothing, entry(weights, stem=stem))
    work(job)
    assert len(tables.read(job.history)) == 0
    known = encoder.load(job.weights, job.card)
    assert {key: known.card[key] for key in ("kind", "stem", "steps", "features", "trained_on")} == {
        "kind": "timm",
        "stem": stem,
        "steps": 0,
        "features": width,
        "trained_on": None,
    }
    assert known.card["weights"]["name"] == "start.pth"
    paths = blobs.plate(tmp_path / "plate", channels=CHANNELS, width=130)
    scales = intensity_scale(tables.read(paths["intensity"]), CHANNELS)
    plate = embed.PlateInputs(ngff.open_plate(paths["images"]), scales)
    frame, matrix = embed.embed(known, plate, options("embed"), device=torch.device("cpu"))
    assert matrix.shape == (len(frame), width) and np.isfinite(matrix).all()


def test_the_card_is_json_and_the_files_do_not_depend_on_where_the_weights_lie(tmp_path, weights):
    network, card, history = trainings.train(entry(weights), None, tmp_path)
    assert json.loads(json.dumps(card)) == card
    assert isinstance(history, pd.DataFrame)
    encoder.save(network, card, tmp_path / "e.safetensors", tmp_path / "e.json")
    (tmp_path / "start.pth").unlink()
    images = torch.randn(2, 2, 24, 24)
    again = encoder.load(tmp_path / "e.safetensors", tmp_path / "e.json")
    with torch.no_grad():
        torch.testing.assert_close(again.network(images), network.eval()(images))


def test_other_weights_than_those_of_the_config_are_refused(tmp_path, weights):
    Path(weights["path"]).write_bytes(Path(weights["path"]).read_bytes() + b"1")
    with pytest.raises(ValueError, match=r"start\.pth: expected sha256 .* \(encoders.small.weights\), found"):
        trainings.train(entry(weights), None, tmp_path)


def test_what_a_frozen_network_needs_is_said_by_its_settings(weights):
    assert resolve(entry(weights), seed=1).steps == 0
    with pytest.raises(ValueError, match="encoders.weights: expected a local file for timm.* `steps: 0`"):
        resolve(entry(None), seed=1)
    with pytest.raises(ValueError, match="encoders.steps: expected 0 for timm"):
        resolve(dataclasses.replace(entry(weights), steps=5), seed=1)
    with pytest.raises(ValueError, match="encoders.stem: expected widened or channelwise for timm"):
        resolve(dataclasses.replace(entry(weights), stem="adaptive"), seed=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": {"frozen": {"kind": "timm"}}}, "encoders.frozen.weights: expected a local file .* steps: 0"),
        (
            {"encoders": {"start": {"kind": "simclr", "weights": "absent.pth"}}},
            "encoders.start.weights: expected a local file, found none at absent.pth",
        ),
        (
            {
                "embed": {"field": "joined"},
                "cells": {"activate": True},
                "encoders": {"cells": {"kind": "simclr", "view": {"kind": "cell"}}},
            },
            "encoders.cells.view.kind: expected tile with embed.field joined, since a cell has no second scale",
        ),
    ],
)
def test_mistakes_are_named_before_any_job(changes, message):
    with pytest.raises(ValueError, match=message):
        config.resolve({"channels": CHANNELS} | changes)


def test_a_good_entry_passes(weights):
    frozen = {"frozen": {"kind": "timm", "weights": weights, "stem": "channelwise"}}
    complete = config.resolve({"channels": CHANNELS, "encoders": frozen, "embed": {"field": "joined"}})
    assert not encoder_kinds.trains(config.typed(complete).encoders["frozen"])
