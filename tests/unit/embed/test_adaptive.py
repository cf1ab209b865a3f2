"""One encoder for any subset of the channels: sampling, transfer to a panel without a channel, and subsets."""

import dataclasses

import numpy as np
import pytest
import torch
from test_embed import inputs, section

import blobs
import trainings
from wellspring.embed import run as embed
from wellspring.encoders import encoder
from wellspring.encoders.adaptive import Adaptive
from wellspring.io import ngff, tables
from wellspring.train import build
from wellspring.train.rehearsal import rehearse
from wellspring.train.settings import resolve
from wellspring.views import intensity

CHANNELS = ["DNA", "RNA", "Mito"]
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=CHANNELS)


def test_the_joint_embedding_is_the_mean_over_channels_with_their_gains():
    network = encoder.build("vit_tiny_patch16_224", channels=3, size=24, options=SMALL, stem="adaptive").eval()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        network.gain.copy_(torch.rand(3, 32, generator=rng))
        network.shift.copy_(torch.rand(3, 32, generator=rng))
        images = torch.randn(2, 3, 24, 24, generator=rng)
        each = [network.network(images[:, [place]]) * network.gain[place] + network.shift[place] for place in range(3)]
        torch.testing.assert_close(network(images), (each[0] + each[1] + each[2]) / 3)
        torch.testing.assert_close(network.of([2, 0])(images[:, [2, 0]]), (each[2] + each[0]) / 2)
    with pytest.raises(ValueError, match="expected 3 channels, found 2"):
        network(images[:, :2])


def test_training_shows_subsets_of_all_sizes():
    shown = []

    class Seen(torch.nn.Module):
        def forward(self, image):
            shown.append(float(image.mean()))
            return image.mean(dim=(2, 3))

    network = Adaptive(Seen(), channels=4, features=1).train()
    images = torch.arange(4.0)[None, :, None, None].expand(1, 4, 2, 2)
    torch.manual_seed(0)
    subsets = []
    for _ in range(200):
        shown.clear()
        network(images)
        subsets.append(tuple(shown))
    assert {len(each) for each in subsets} == {1, 2, 3, 4}
    assert {each[0] for each in subsets if len(each) == 1} == {0, 1, 2, 3}
    shown.clear()
    network.eval()(images)
    assert shown == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["simclr", "sslprofiler"])
def test_trained_on_three_channels_and_embedded_on_two(tmp_path, screen, kind):
    entry = blobs.entry(kind=kind, stem="adaptive", steps=2, view={"kind": "cell", "size": 24, "embedded": 24})
    network, card, history = trainings.train(entry, screen, tmp_path, channels=CHANNELS)
    assert np.isfinite(history["loss"]).all() and card["features"] == 32
    encoder.save(network, card, tmp_path / "e.safetensors", tmp_path / "e.json")
    whole = encoder.load(tmp_path / "e.safetensors", tmp_path / "e.json")
    panel = blobs.plate(tmp_path / "panel", "P9", channels=["Mito", "DNA"])
    part = whole.on(ngff.open_plate(panel["images"]).channels)
    assert part.channels == ["DNA", "Mito"] and whole.on(CHANNELS) is whole
    frame, matrix = embed.embed(part, inputs(part, panel), section(), device=CPU)
    assert matrix.shape == (len(tables.read(panel["crop_tables"])), 32) and len(frame) == len(matrix)
    assert np.isfinite(matrix).all() and matrix.std(axis=0).max() > 0
    with pytest.raises(ValueError, match="channels: expected .* found"):
        whole.on(["BF"])


def test_other_stems_need_their_channels(tmp_path):
    entry = blobs.entry(steps=0)
    network, card, _ = trainings.train(entry, None, tmp_path)
    with pytest.raises(ValueError, match=r"channels: expected \['DNA', 'RNA'\] for small, found \['DNA'\]"):
        encoder.Encoder(network, card).on(["DNA"])


@pytest.mark.parametrize("stem", ["channelwise", "adaptive"])
@pytest.mark.parametrize("kind", ["simclr", "sslprofiler", "dino"])
def test_stems_by_channel_are_trained(tmp_path, screen, stem, kind):
    view = {"kind": "tile", "size": 32} if kind == "dino" else {"kind": "cell", "size": 24, "embedded": 24}
    entry = blobs.entry(kind=kind, stem=stem, steps=1, batch=4, view=view, augmentation={"preset": "flips"})
    before = build.network(resolve(entry, seed=1), channels=3).state_dict()
    network, card, _ = trainings.train(entry, screen, tmp_path, channels=CHANNELS)
    assert card["features"] == (96 if stem == "channelwise" else 32)
    after = network.state_dict()
    moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert any("patch_embed" in name for name in moved) and any("blocks.1" in name for name in moved)


def test_an_encoder_of_some_channels_reads_only_these(tmp_path, screen):
    """In another order than stored, which is not that of the names either."""
    entry = blobs.entry(steps=1, view={"kind": "cell", "size": 24})
    chosen = ["Mito", "DNA"]
    source = blobs.source(screen, entry, channels=chosen)
    seen = source.read(np.arange(3), np.random.default_rng(0))
    whole = blobs.source(screen, entry, channels=CHANNELS).read(np.arange(3), np.random.default_rng(0))
    np.testing.assert_array_equal(seen, whole[:, [2, 0]])
    stored = np.load(screen["crops"][0])[source.frame["Metadata_Row"][0]]
    low, high = source.pixels[0].low, source.pixels[0].high
    np.testing.assert_array_equal(seen[0], intensity.scale(stored[[2, 0]], low, high))
    _, card, _ = trainings.train(entry, screen, tmp_path, channels=chosen)
    assert card["channels"] == chosen


def test_networks_are_built_before_any_job():
    rehearse(blobs.entry(), name="mine", channels=3, seed=1)
    wrong = {
        r"encoders.mine: backbone: expected a timm model, found 'vit_tine'": {"backbone": "vit_tine"},
        r"encoders.mine: .*unexpected keyword argument 'embed_dam'": {"backbone_options": {"embed_dam": 1}},
    }
    entries = {words: blobs.entry(**over) for words, over in wrong.items()}
    plain = dataclasses.replace(blobs.entry(kind="sslprofiler"), backbone="resnet10t", backbone_options={})
    entries[r"encoders.mine: .*expected 0 for a backbone without patch"] = plain
    for words, entry in entries.items():
        with pytest.raises(ValueError, match=words):
            rehearse(entry, name="mine", channels=3, seed=1)
