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
from wellspring.encoders.adaptive import Adaptive, subset
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


def test_channels_that_an_image_lacks_are_no_part_of_its_mean():
    network = encoder.build("resnet10t", channels=3, size=24, stem="adaptive").eval()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        network.gain.copy_(torch.rand(3, 512, generator=rng))
        network.shift.copy_(torch.rand(3, 512, generator=rng))
        images = torch.randn(3, 3, 24, 20, generator=rng)
        expected = [network.of([0, 1, 2])(images[:1]), network.of([1])(images[1:2, [1]])]
        expected += [network.of([0, 2])(images[2:, [0, 2]])]
        images[1, [0, 2]] = float("nan")
        images[2, 1] = float("nan")
        network.mixed = True
        torch.testing.assert_close(network(images), torch.cat(expected))
        parts = [network.of([place])(images[:1, [place]]) for place in range(3)]
        torch.testing.assert_close(network.each(images[:1]), torch.cat(parts, dim=1))
        with pytest.raises(ValueError, match="expected one channel or more without NaN"):
            network(images * float("nan"))


def test_a_random_subset_is_one_of_the_channels_that_an_image_has():
    torch.manual_seed(3)
    present = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
    drawn = torch.stack([subset(present) for _ in range(600)])
    assert not (drawn & ~present).any() and drawn.any(dim=2).all()
    for image, many in enumerate([5, 2, 1, 3]):
        sizes = drawn[:, image].sum(dim=1)
        for size in range(1, many + 1):
            assert abs(float((sizes == size).double().mean()) - 1 / many) < 0.06
        alone = drawn[sizes == 1, image].double().mean(dim=0)[present[image]]
        assert (alone - 1 / many).abs().max() < 0.15


PANELS = {"P1": ["DNA", "RNA"], "P2": ["Mito", "RNA"], "P3": ["RNA", "DNA", "Mito"]}


@pytest.fixture(scope="module")
def panels(tmp_path_factory):
    """Three plates, of which one has all channels, stored in another order."""
    folder = tmp_path_factory.mktemp("panels")
    plates = [blobs.plate(folder, name, channels=channels, width=80) for name, channels in PANELS.items()]
    return {kind: [each[kind] for each in plates] for kind in plates[0]}


@pytest.mark.parametrize("view", [{"kind": "tile", "size": 32}, {"kind": "cell", "size": 24}], ids=["tile", "cell"])
@pytest.mark.parametrize("cache_mb", [0, 10])
def test_images_have_the_channels_of_their_plate_and_nan_elsewhere(panels, view, cache_mb):
    entry = blobs.entry(stem="adaptive", view=view)
    source = blobs.source(panels, entry, channels=CHANNELS, cache_mb=cache_mb)
    items = np.array([np.flatnonzero(source.plate == code)[1] for code in range(3)])
    seen = source.read(items, np.random.default_rng(0))
    lacks = np.isnan(seen).all(axis=(2, 3))
    assert lacks.tolist() == [[name not in panel for name in CHANNELS] for panel in PANELS.values()]
    assert np.isfinite(seen[~lacks]).all() and seen[~lacks].std(axis=(1, 2)).min() > 0
    for code, panel in enumerate(PANELS.values()):  # alone, each plate reads the same pixels
        alone = {kind: [paths[code]] for kind, paths in panels.items()}
        ordered = [name for name in CHANNELS if name in panel]
        own = blobs.source(alone, blobs.entry(view=view), channels=ordered, cache_mb=cache_mb)
        first = np.flatnonzero(source.plate == code)[:1]
        one, pixels = (each.read(at, np.random.default_rng(1)) for each, at in ((source, first), (own, np.array([0]))))
        np.testing.assert_array_equal(one[:, [CHANNELS.index(name) for name in ordered]], pixels)
    with pytest.raises(ValueError, match=r"P1: expected the channels .*'Mito'.* found"):
        blobs.source(panels, blobs.entry(view=view), channels=CHANNELS)


@pytest.mark.parametrize("one_plate", [True, False])
@pytest.mark.parametrize("kind", ["simclr", "sslprofiler", "dino"])
def test_one_encoder_is_trained_on_plates_of_different_panels(tmp_path, panels, kind, one_plate):
    """Each channel is trained by the plates that have it, and each plate is embedded on the channels that it has."""
    entry = blobs.entry(
        kind=kind,
        stem="adaptive",
        steps=6,
        one_plate=one_plate,
        view={"kind": "tile", "size": 32} if kind == "dino" else {"kind": "cell", "size": 24, "embedded": 24},
    )
    network, card, history = trainings.train(entry, panels, tmp_path, channels=CHANNELS, log_every=1, retrieve_every=3)
    assert np.isfinite(history["loss"]).all() and np.isfinite(history["retrieval"].dropna()).all()
    assert (network.gain - 1).abs().amax(dim=1).min() > 0, "of each channel"
    assert card["trained_on"]["plates"] == list(PANELS)
    encoder.save(network, card, tmp_path / "e.safetensors", tmp_path / "e.json")
    whole = encoder.load(tmp_path / "e.safetensors", tmp_path / "e.json")
    found = {}
    for code, name in enumerate(PANELS):
        plate = {kind: paths[code] for kind, paths in panels.items()}
        part = whole.on(ngff.open_plate(plate["images"]).channels)
        assert set(part.channels) == set(PANELS[name])
        found[name] = embed.embed(part, inputs(part, plate), section(), device=CPU)[1]
    assert {matrix.shape[1] for matrix in found.values()} == {32}
    assert all(np.isfinite(matrix).all() and matrix.std(axis=0).max() > 0 for matrix in found.values())


def test_embeddings_by_channel_are_of_plates_with_all_channels(tmp_path, panels):
    entry = blobs.entry(stem="adaptive", steps=1, view={"kind": "cell", "size": 24})
    network, card, _ = trainings.train(entry, panels, tmp_path, channels=CHANNELS)
    whole = encoder.Encoder(network.eval(), card)
    plate = {kind: paths[2] for kind, paths in panels.items()}
    each = embed.embed(whole, inputs(whole, plate), section(channels="each", dtype="float32"), device=CPU)[1]
    joint = embed.embed(whole, inputs(whole, plate), section(dtype="float32"), device=CPU)[1]
    assert each.shape == (len(joint), 96)
    np.testing.assert_allclose(each.reshape(-1, 3, 32).mean(axis=1), joint, rtol=1e-4, atol=1e-5)
    part, lacking = whole.on(PANELS["P1"]), {kind: paths[0] for kind, paths in panels.items()}
    with pytest.raises(ValueError, match=r"embed.channels: expected joint .* found each \(lacking Mito\)"):
        embed.embed(part, inputs(part, lacking), section(channels="each"), device=CPU)


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
    entries[r"encoders.mine: .*expected crops of two patches or more .* 1 x 1 of ResNet"] = plain
    for words, entry in entries.items():
        with pytest.raises(ValueError, match=words):
            rehearse(entry, name="mine", channels=3, seed=1)


def test_a_channel_that_no_training_image_has_is_no_part_of_a_vector(tmp_path, panels):
    """P1 has no Mito; the vectors of P3, which has it, are those of its two other channels."""
    entry = blobs.entry(stem="adaptive", steps=1, view={"kind": "cell", "size": 24})
    first = {kind: paths[:1] for kind, paths in panels.items()}
    network, card, _ = trainings.train(entry, first, tmp_path, channels=CHANNELS)
    assert card["untrained"] == ["Mito"]
    part = encoder.Encoder(network.eval(), card).on(ngff.open_plate(panels["images"][2]).channels)
    assert part.channels == ["DNA", "RNA"] and part.card["lacking"] == ["Mito"]
    plate = {kind: paths[2] for kind, paths in panels.items()}
    found = embed.embed(part, inputs(part, plate), section(dtype="float32"), device=CPU)[1]
    wanted = encoder.Encoder(network.of([0, 1]).eval(), card | {"channels": ["DNA", "RNA"]})
    np.testing.assert_array_equal(
        found, embed.embed(wanted, inputs(wanted, plate), section(dtype="float32"), device=CPU)[1]
    )
