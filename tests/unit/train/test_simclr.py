"""Contrastive training of cells: starting weights of colour images, the published head, optimiser and schedule."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import blobs
import trainings
from wellspring.encoders import encoder, pretrained
from wellspring.screen.sections import Encoder
from wellspring.train import build
from wellspring.train.data import Batch
from wellspring.train.settings import resolve
from wellspring.train.simclr import SimCLR

CHANNELS = ["DNA", "ER", "RNA", "AGP", "Mito"]
# As published: Perakis et al. 2021 and its released code.
PUBLISHED = {
    "kind": "simclr",
    "backbone": "resnet18",
    "augmentation": {"preset": "perakis"},
    "local_aggregation": {"kind": "none"},
    "projector": {"hidden": 2048, "out": 256, "batch_norm": False},
    "optimiser": "adam",
    "lr": 3e-4,
    "weight_decay": 1e-5,
    "warmup": 0.0,
    "batch": 8,
    "steps": 3,
}


def entry(*, options: dict | None = None, **over) -> Encoder:
    return dataclasses.replace(blobs.entry(**(PUBLISHED | over)), backbone_options=options or {})


def batch(count: int, *, sites: int, channels: int = 2, seed: int = 0) -> Batch:
    images = torch.rand(count, channels, 32, 32, generator=torch.Generator().manual_seed(seed))
    scale = torch.full((count, channels), 0.5)
    return Batch(images, scale, scale, torch.arange(count) // sites, sites)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[torch.nn.Module, str]:
    """A ResNet-18 for three colours, and its file with a classifier, as weights of photographs are published."""
    network = encoder.build("resnet18", channels=3, size=32, seed=7)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(network.state_dict() | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, path)
    return network, str(path)


def test_training_starts_from_photographs_with_a_widened_stem(photographs):
    start, path = photographs
    known = resolve(entry(weights=blobs.weights(path)), seed=1)
    method = SimCLR(build.network(known, channels=5), known, channels=5, precision="float32")
    found, wanted = method.encoder.state_dict(), start.state_dict()
    assert found["conv1.weight"].shape == (64, 5, 7, 7)
    for name, value in found.items():
        expected = pretrained.widen(wanted[name], 5) if name == "conv1.weight" else wanted[name]
        assert torch.equal(value, expected), name
    grey = torch.rand(2, 1, 32, 32, generator=seeded())
    with torch.no_grad():
        one, five = start.eval()(grey.expand(-1, 3, -1, -1)), method.encoder.eval()(grey.expand(-1, 5, -1, -1))
    assert torch.allclose(one, five, atol=1e-4)


def test_a_run_from_photographs_trains_and_says_where_it_started(photographs, tmp_path):
    start, path = photographs
    screen = blobs.screen(tmp_path / "screen", channels=CHANNELS)
    network, card, history = trainings.train(
        entry(weights=blobs.weights(path)), screen, tmp_path, channels=CHANNELS, log_every=1
    )
    assert card["weights"]["name"] == "resnet18.safetensors"
    assert len(card["weights"]["sha256"]) == 64
    assert np.isfinite(history["nt_xent"]).all()
    moved = (network.state_dict()["layer1.0.conv1.weight"] - start.state_dict()["layer1.0.conv1.weight"]).abs().max()
    assert 0 < float(moved) < 3 * 3e-4 * 1.5  # Adam moves a weight by about lr a step


def test_weights_of_another_network_are_refused(photographs):
    _, path = photographs
    with pytest.raises(ValueError, match=r"resnet18.safetensors: expected the \d+ weights of resnet34; 80 are missing"):
        build.network(resolve(entry(weights=blobs.weights(path), backbone="resnet34"), seed=1), channels=5)


def test_the_published_head_has_two_layers_and_no_normalisation():
    known = resolve(entry(backbone="resnet10t"), seed=1)
    method = SimCLR(build.network(known, channels=2), known, channels=2, precision="float32")
    kinds = [type(layer).__name__ for layer in method.projector]
    assert kinds == ["Linear", "ReLU", "Linear"]
    assert (method.projector[0].out_features, method.projector[2].out_features) == (2048, 256)


def test_adam_takes_the_decay_as_a_part_of_the_gradient():
    known = resolve(entry(backbone="resnet10t", weight_decay=0.1), seed=1)
    method = SimCLR(build.network(known, channels=2), known, channels=2, precision="float32")
    from wellspring.train import loop

    optimiser = loop._optimiser(method, known)
    group = next(each for each in optimiser.param_groups if each["decays"])
    group["weight_decay"] = 0.1
    weight = group["params"][0]
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    optimiser.step()
    # A gradient of decay x weight alone: Adam's first step is lr times its sign. AdamW would shrink by lr x decay.
    far = before.abs() > 1e-4
    assert torch.allclose((weight - before)[far], -3e-4 * before.sign()[far], rtol=1e-2)


def test_pairs_pull_and_are_a_term_of_their_own():
    over = {"backbone": "vit_tiny_patch16_224", "local_aggregation": {"kind": "pair", "sites_per_well": 3}, "batch": 6}
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
    known = resolve(entry(**over, options=small), seed=1)
    assert known.sites == 3
    torch.manual_seed(0)
    method = SimCLR(build.network(known, channels=2), known, channels=2, precision="float32").train()
    terms, seen = method(batch(6, sites=3), 0, seeded())
    assert set(terms) == {"nt_xent", "local_aggregation", "loss"}
    assert torch.allclose(terms["loss"], terms["nt_xent"] + terms["local_aggregation"])
    terms["loss"].backward()
    assert all(torch.isfinite(each.grad).all() for each in method.parameters())
    assert not seen["features"].requires_grad
    single, _ = method(batch(6, sites=1), 0, seeded())
    assert set(single) == {"nt_xent", "loss"}


@pytest.mark.parametrize("preset", ["perakis", "perakis_strong", "cells"])
def test_steps_on_one_batch_lower_the_loss(preset):
    over = {
        "backbone": "vit_tiny_patch16_224",
        "augmentation": {"preset": preset},
        "local_aggregation": {"kind": "pair"},
    }
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
    known = resolve(entry(**over, options=small), seed=1)
    torch.manual_seed(0)
    method = SimCLR(build.network(known, channels=2), known, channels=2, precision="float32").train()
    optimiser, rows, one = torch.optim.AdamW(method.parameters(), lr=2e-3), [], batch(12, sites=2)
    # Images of wells that differ: a channel's level and a stripe.
    one.images[:] = one.images * 0.2 + torch.linspace(0.1, 0.7, 6).repeat_interleave(2)[:, None, None, None]
    for step in range(50):
        terms, _ = method(one, step, seeded(step))
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        rows.append(float(terms["loss"].detach()))
    assert np.mean(rows[-10:]) < np.mean(rows[:10]) - 0.2


def test_a_window_needs_views_that_keep_the_cell_in_the_middle():
    with pytest.raises(ValueError, match=r"view.window: expected null with resized crops"):
        resolve(entry(view={"kind": "cell", "size": 24, "window": 8.0}), seed=1)
    over = {"view": {"kind": "cell", "size": 24, "window": 8.0}, "augmentation": {"preset": "cells"}}
    assert resolve(entry(**over), seed=1).view.window == 8.0
