"""Encoders: channel by channel, their tokens, and their two files."""

import json
import os
import stat

import pytest
import torch
from torch import nn

from wellspring.encoders import encoder, pretrained
from wellspring.train.networks import width

SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8}
VIT = "vit_tiny_patch16_224"
NETWORKS = [(VIT, SMALL), ("resnet10t", {})]


def start(tmp_path, backbone: str, options: dict) -> tuple[torch.nn.Module, str]:
    """A network of three colours and the file of its weights."""
    network = encoder.build(backbone, channels=3, size=32, options=options, seed=3).eval()
    path = tmp_path / "start.pth"
    torch.save(network.state_dict(), path)
    return network, str(path)


@pytest.mark.parametrize(("backbone", "options"), NETWORKS)
@pytest.mark.parametrize("tokens", ["pooled", "class_and_patches"])
def test_channelwise_is_the_network_on_each_channel_as_a_grey_image(tmp_path, backbone, options, tokens):
    colours, path = start(tmp_path, backbone, options)
    network = encoder.build(backbone, channels=4, size=32, options=options, weights=path, stem="channelwise").eval()
    images = torch.randn(2, 4, 32, 32)
    with torch.no_grad():
        found = encoder.features(network, images, tokens=tokens)
        each = [
            encoder.features(colours, images[:, [channel] * 3], tokens=tokens) for channel in range(images.shape[1])
        ]
    torch.testing.assert_close(found, torch.cat(each, dim=1), atol=1e-4, rtol=1e-4)
    if tokens == "pooled":
        assert width(network, channels=4, size=32) == found.shape[1] == 4 * each[0].shape[1]


def test_channelwise_features_follow_their_channel():
    network = encoder.build(VIT, channels=3, size=32, options=SMALL, stem="channelwise").eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found, swapped = (network(images[:, order]).reshape(2, 3, 32) for order in ([0, 1, 2], [2, 0, 1]))
    torch.testing.assert_close(found[:, [2, 0, 1]], swapped)


def test_one_channel_sums_the_colours():
    kernels = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(pretrained.widen(kernels, 1), kernels.sum(dim=1, keepdim=True))


def test_class_and_patches_take_the_first_prefix_token():
    """Of a class token before register tokens, by hand from the network's own tokens, on images that are not square."""
    options = SMALL | {"reg_tokens": 2, "class_token": True}
    network = encoder.build(VIT, channels=2, size=32, options=options, seed=2).eval()
    images = torch.randn(3, 2, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = encoder.features(network, images, tokens="class_and_patches")
        states = network.forward_features(images)
    assert network.num_prefix_tokens == 3 and states.shape == (3, 3 + 4 * 6, 32)
    blocks = states[:, 0], states[:, 3:].mean(dim=1)
    torch.testing.assert_close(found, torch.cat([nn.functional.normalize(each, dim=1) for each in blocks], dim=1))


@pytest.mark.parametrize(("backbone", "options"), NETWORKS)
def test_layers_are_joined_each_of_length_one(backbone, options):
    network = encoder.build(backbone, channels=2, size=32, options=options).eval()
    images = torch.randn(2, 2, 32, 48)
    with torch.no_grad():
        one, two = (encoder.features(network, images, tokens="class_and_patches", layers=count) for count in (1, 2))
    blocks = 2 if backbone == VIT else 1
    torch.testing.assert_close(one.split(one.shape[1] // blocks, dim=1)[0].norm(dim=1), torch.ones(2))
    assert two.shape[1] > one.shape[1]
    torch.testing.assert_close(two[:, -one.shape[1] :], one)
    assert torch.all((two.norm(dim=1) ** 2 - 2 * blocks).abs() < 1e-4)
    with pytest.raises(ValueError, match="embed.tokens: expected 'pooled' or 'class_and_patches', found 'all'"):
        encoder.features(network, images, tokens="all")


@pytest.mark.parametrize("stem", ["widened", "channelwise"])
def test_an_encoder_of_either_stem_comes_back_from_its_files(tmp_path, stem):
    _, path = start(tmp_path, VIT, SMALL)
    network = encoder.build(VIT, channels=2, size=32, options=SMALL, weights=path, stem=stem).eval()
    card = {"backbone": VIT, "backbone_options": SMALL, "channels": ["DNA", "RNA"], "input_size": 32, "kind": "timm"}
    files = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    encoder.save(network, card | {"stem": stem}, *files)
    again = encoder.load(*files)
    assert json.loads(files[1].read_text())["stem"] == stem
    assert isinstance(again.network, encoder.Channelwise) == (stem == "channelwise")
    images = torch.randn(3, 2, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.network(images), network(images))


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_weights_are_readable_for_whom_other_files_are(tmp_path, mask, mode):
    network = encoder.build(VIT, channels=2, size=32, options=SMALL, seed=1)
    files = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    before = os.umask(mask)
    try:
        encoder.save(network, {"kind": "simclr"}, *files)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [mode, mode]


def test_a_card_without_a_digest_of_its_weights_is_refused_by_name(tmp_path):
    network = encoder.build(VIT, channels=2, size=32, options=SMALL, seed=1).eval()
    card = {"backbone": VIT, "backbone_options": SMALL, "channels": ["DNA", "RNA"], "input_size": 32, "kind": "simclr"}
    weights, path = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    encoder.save(network, card, weights, path)
    stored = json.loads(path.read_text())
    del stored["weights_sha256"]
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"encoder\.json: expected weights_sha256"):
        encoder.load(weights, path)


def test_an_unknown_stem_is_refused():
    with pytest.raises(ValueError, match="encoders.stem: expected one of .*found 'deep'"):
        encoder.build(VIT, channels=2, size=32, options=SMALL, stem="deep")
