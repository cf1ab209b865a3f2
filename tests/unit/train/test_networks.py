"""Backbones, heads, starting weights and the two files of an encoder."""

import copy

import pytest
import torch
from safetensors.torch import save_file

from wellspring.encoders import encoder, pretrained
from wellspring.train import networks

SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8}
VIT = "vit_tiny_patch16_224"


def vit(channels: int = 3, size: int = 32, **over) -> torch.nn.Module:
    return encoder.build(VIT, channels=channels, size=size, options=SMALL, **over).eval()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(("backbone", "options"), [(VIT, SMALL), ("resnet10t", {})])
def test_any_number_of_channels(backbone, options, channels):
    network = encoder.build(backbone, channels=channels, size=32, options=options).eval()
    found = network(torch.zeros(2, channels, 32, 32))
    assert found.shape == (2, networks.width(network, channels=channels, size=32))


def test_first_weights_follow_the_seed_and_leave_the_global_state():
    before = torch.random.get_rng_state()
    one, again, other = vit(seed=1), vit(seed=1), vit(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(one(images), again(images))
    assert not torch.allclose(one(images), other(images))


def test_a_vit_takes_views_of_several_sizes():
    assert vit(size=32)(torch.zeros(1, 3, 16, 16)).shape == (1, 32)


def test_an_unknown_backbone_is_refused_by_name():
    with pytest.raises(ValueError, match="vit_enormous"):
        encoder.build("vit_enormous", channels=3, size=32)


def test_tokens_of_the_last_blocks():
    network, images = vit(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        pooled = encoder.features(network, images)
        both = encoder.features(network, images, tokens="class_and_patches")
        deep = encoder.features(network, images, tokens="class_and_patches", layers=2)
        state = network.forward_features(images)
    assert torch.equal(pooled, state[:, 0])
    unit = torch.nn.functional.normalize
    assert torch.allclose(both, torch.cat([unit(state[:, 0]), unit(state[:, 1:].mean(dim=1))], dim=1), atol=1e-5)
    assert deep.shape == (2, 128)
    assert torch.allclose(deep[:, 64:], both, atol=1e-5)


def test_tokens_of_a_network_without_a_class_token():
    network = encoder.build("resnet10t", channels=2, size=32).eval()
    found = encoder.features(network, torch.randn(3, 2, 32, 32), tokens="class_and_patches")
    assert torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)


def test_unknown_tokens_are_refused():
    with pytest.raises(ValueError, match="embed.tokens"):
        encoder.features(vit(), torch.zeros(1, 3, 32, 32), tokens="all")


def test_widened_kernels_answer_alike_where_channels_are_alike():
    kernels, grey = torch.randn(4, 3, 5, 5), torch.randn(2, 1, 9, 9)
    convolve = torch.nn.functional.conv2d
    wide = pretrained.widen(kernels, 5)
    assert wide.shape == (4, 5, 5, 5)
    assert torch.allclose(
        convolve(grey.expand(-1, 3, -1, -1), kernels), convolve(grey.expand(-1, 5, -1, -1), wide), atol=1e-4
    )


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_starting_weights_of_colour_images(tmp_path, suffix):
    start = vit(channels=3, seed=5)
    path = tmp_path / f"start.{suffix}"
    state = {f"backbone.{name}": value for name, value in start.state_dict().items()} | {
        "head.weight": torch.zeros(2, 2)
    }
    if suffix == "pth":
        torch.save({"teacher": state}, path)
    else:
        save_file(state, path)
    wide = vit(channels=5, size=48, weights=path)  # another grid, so the position embedding is resampled too
    assert torch.equal(wide.blocks[0].attn.qkv.weight, start.blocks[0].attn.qkv.weight)
    assert torch.allclose(wide.patch_embed.proj.weight[:, 0] * 5, start.patch_embed.proj.weight.sum(dim=1), atol=1e-5)


def test_weights_of_another_backbone_are_refused(tmp_path):
    save_file(encoder.build("resnet10t", channels=3, size=32).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="cls_token"):
        vit(weights=tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="expected a local file"):
        vit(weights=tmp_path / "absent.safetensors")


def test_an_encoder_comes_back_from_its_files(tmp_path):
    network = vit(channels=2)
    card = {"backbone": VIT, "backbone_options": SMALL, "channels": ["DNA", "RNA"], "input_size": 32, "kind": "simclr"}
    files = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    encoder.save(network, card, *files)
    first = [file.read_bytes() for file in files]
    again = encoder.load(*files)
    assert again.channels == ["DNA", "RNA"]
    images = torch.randn(2, 2, 32, 32)
    assert torch.equal(again.network(images), network(images))
    encoder.save(again.network, again.card, *files)
    assert [file.read_bytes() for file in files] == first


def test_prototype_head_gives_cosines():
    head = networks.PrototypeHead(8, prototypes=6, hidden=16, bottleneck=4)
    found = head(torch.randn(5, 8))
    assert found.shape == (5, 6)
    assert float(found.detach().abs().max()) <= 1 + 1e-5


def test_the_teacher_follows_by_the_momentum():
    student, teacher = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    before = copy.deepcopy(teacher)
    networks.follow(teacher, student, momentum=0.75)
    assert torch.allclose(teacher.weight, 0.75 * before.weight + 0.25 * student.weight)
    networks.follow(teacher, student, momentum=1.0)
    assert not torch.equal(teacher.weight, student.weight)


def test_the_teacher_keeps_the_running_statistics_of_its_own_images():
    student, teacher = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    teacher(torch.randn(64, 3))
    own = teacher.running_var.clone()
    student(10 * torch.randn(64, 3))
    networks.follow(teacher, student, momentum=0.5)
    assert torch.equal(teacher.running_var, own) and not torch.allclose(student.running_var, own)


def test_biases_and_normalisations_do_not_decay():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    decaying, free = networks.groups(module)
    assert [each.shape for each in decaying["params"]] == [(2, 3)]
    assert decaying["decays"] and not free["decays"]
    assert len(free["params"]) == 3
