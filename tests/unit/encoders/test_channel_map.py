"""Models of fixed inputs: channels reach the right input, and what does not fit is refused before any job."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import blobs
from options import options
from wellspring.embed import run as embed
from wellspring.encoders import cards, encoder
from wellspring.encoders.stems import Mapped, matrix
from wellspring.screen import config
from wellspring.screen.sections import Encoder, read
from wellspring.train import run as training
from wellspring.train.rehearsal import rehearse
from wellspring.views.scaling import IntensityScale, spread_views

SCREEN = ["DNA", "ER", "RNA", "AGP"]
SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
SUBCELL = {"inputs": ["tubules", "ER", "nucleus", "protein"], "channel_map": {"tubules": None, "nucleus": "DNA"}}
SUBCELL["channel_map"]["protein"] = ["RNA", "AGP"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return the config entries of files of a network of four inputs, and of three."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for count in (3, 4):
        state = encoder.build("vit_tiny_patch16_224", channels=count, size=32, options=SMALL, seed=5).state_dict()
        torch.save(state, folder / f"{count}.pth")
        found[count] = blobs.weights(folder / f"{count}.pth")
    return found


def whole(weights: dict, **over) -> dict:
    entry = {"kind": "timm", "backbone": "vit_tiny_patch16_224", "backbone_options": SMALL, "weights": weights}
    entry |= {"view": {"kind": "tile", "size": 32}}
    return config.resolve({"channels": SCREEN, "encoders": {"theirs": entry | SUBCELL | over}})["encoders"]["theirs"]


def built(entry: dict, tmp_path) -> encoder.Encoder:
    network, card, _ = training.run(
        read(Encoder, entry),
        None,
        name="theirs",
        channels=entry["channels"],
        seed=1,
        options=options("train"),
        checkpoint=tmp_path / "c.pt",
    )
    files = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    encoder.save(network, card, *files)
    return encoder.load(*files)


def test_each_input_of_the_model_sees_its_channels(tmp_path, weights):
    entry = whole(weights[4])
    assert entry["channels"] == ["ER", "DNA", "RNA", "AGP"]
    known = built(entry, tmp_path)
    plain = encoder.build("vit_tiny_patch16_224", channels=4, size=32, options=SMALL, weights=weights[4]["path"]).eval()
    er, dna, rna, agp = images = torch.randn(4, 3, 32, 32)
    theirs = torch.stack([torch.zeros_like(er), er, dna, (rna + agp) / 2], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(known.network(images.transpose(0, 1)), plain(theirs))
        for tokens in ("pooled", "class_and_patches"):
            found = encoder.features(known.network, images.transpose(0, 1), tokens=tokens)
            torch.testing.assert_close(found, encoder.features(plain, theirs, tokens=tokens))
    assert known.card["features"] == 16 and known.channels == ["ER", "DNA", "RNA", "AGP"]
    other = dict(known.card, inputs=[["tubules", ["ER"]], *known.card["inputs"][1:]])
    assert cards.network_digest(other) != known.card["network_sha256"]


def test_the_vector_of_a_view_is_that_of_its_mapped_pixels(tmp_path, weights):
    known = built(whole(weights[4], view={"kind": "tile", "size": 32, "pixels": "range"}), tmp_path)
    views = np.random.default_rng(2).integers(100, 900, (3, 4, 32, 32)).astype(np.uint16)
    scale = IntensityScale(*(np.full(4, value, dtype=np.float32) for value in (50, 1000, 0.4, 0.2)))
    found = embed.embed_images(known, views, scale, options("embed", dtype="float32"))
    scaled = ((np.clip((views - 50) / 950, 0, 1) - 0.4) / 0.2).astype(np.float32)
    low, high = (getattr(scaled.reshape(3, -1), end)(axis=1)[:, None, None, None] for end in ("min", "max"))
    er, dna, rna, agp = torch.from_numpy((scaled - low) / (high - low)).unbind(1)
    with torch.no_grad():
        wanted = known.network.network(torch.stack([torch.zeros_like(er), er, dna, (rna + agp) / 2], dim=1))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    assert torch.equal(spread_views(torch.full((1, 2, 3, 4), 7.0)), torch.zeros(1, 2, 3, 4))


@pytest.mark.parametrize("seed", range(6))
def test_any_map_is_the_mean_of_the_named_channels(seed):
    rng = np.random.default_rng(seed)
    channels = [f"C{number}" for number in range(int(rng.integers(1, 7)))]
    count = int(rng.integers(1, 6))
    inputs = [
        (f"in{place}", list(rng.permutation(channels)[: rng.integers(0, len(channels) + 1)])) for place in range(count)
    ]
    images = rng.normal(size=(2, len(channels), 5, 7)).astype(np.float32)
    wanted = np.zeros((2, count, 5, 7), dtype=np.float32)
    for place, (_, mine) in enumerate(inputs):
        for name in mine:
            wanted[:, place] += images[:, channels.index(name)] / len(mine)
    network = Mapped(torch.nn.Flatten(), matrix(inputs, channels))
    np.testing.assert_allclose(network(torch.from_numpy(images)).numpy(), wanted.reshape(2, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"channel_map": {"nucleus": "DNA"}}, r"channel_map: expected a channel out of .*null.*found none for \['tub"),
        ({"channel_map": {"blue": "DNA"}}, r"channel_map: expected names out of inputs, .*found \['blue'\]"),
        ({"channel_map": SUBCELL["channel_map"] | {"nucleus": "DAPI"}}, r"channel_map: expected names out of channels"),
        (
            {"channel_map": SUBCELL["channel_map"] | {"protein": ["RNA", "Gol"]}},
            r"channel_map: .* out of channels, .*found \['Gol'\]",
        ),
        ({"channel_map": dict.fromkeys(SUBCELL["inputs"])}, "channel_map: expected a channel for an input at least"),
        ({"channels": ["DNA", "ER"]}, "channels: expected none beside inputs, which name .*found .'DNA', 'ER'"),
        (
            {"stem": "channelwise"},
            "inputs: expected none but for a frozen model .*found kind timm and stem channelwise",
        ),
        ({"kind": "simclr"}, "inputs: expected none but for a frozen model .*found kind simclr"),
        ({"kind": "intensity"}, "inputs: expected none but for a frozen model"),
        ({"inputs": []}, r"channel_map: expected names out of inputs, \[\], found"),
        ({"inputs": ["ER", "ER"]}, "inputs: .*non-unique"),
    ],
)
def test_maps_that_do_not_fit_are_refused_with_the_config(weights, over, message):
    with pytest.raises(ValueError, match=f"encoders.theirs.{message}"):
        whole(weights[4], **over)


def test_weights_for_another_number_of_inputs_are_refused_before_any_job(weights):
    entry = read(Encoder, whole(weights[3]))
    with pytest.raises(
        ValueError, match=r"encoders.theirs: .*have another shape, e.g. patch_embed.proj.weight \(16, 3, "
    ):
        rehearse(entry, name="theirs", channels=4, seed=1)
    rehearse(read(Encoder, whole(weights[4])), name="theirs", channels=4, seed=1)


def test_inputs_that_are_named_as_channels_need_no_map_and_a_module_is_fed_alike(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\ndef mean(channels, size):\n    assert channels == 2\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    entry = {"kind": "module", "factory": f"{tmp_path}/own.py:mean", "inputs": ["AGP", "DNA"]}
    entry |= {"view": {"kind": "tile", "size": 16}}
    complete = config.resolve({"channels": SCREEN, "encoders": {"own": entry}})["encoders"]["own"]
    known = built(complete, tmp_path)
    assert known.channels == ["AGP", "DNA"] and known.card["inputs"] == [["AGP", ["AGP"]], ["DNA", ["DNA"]]]
    images = torch.randn(2, 2, 16, 16)
    torch.testing.assert_close(known.network(images), images.mean(dim=(2, 3)))
    assert json.loads((tmp_path / "encoder.json").read_text())["entry"]["inputs"] == ["AGP", "DNA"]


def test_a_training_has_no_range_of_views():
    entry = blobs.entry(view={"pixels": "range"})
    with pytest.raises(
        ValueError, match="view.pixels: expected plate or view for simclr, which is trained, found range"
    ):
        rehearse(dataclasses.replace(entry), name="a", channels=2, seed=1)
