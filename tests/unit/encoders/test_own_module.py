"""Networks of one's own: found, built, checked, trained, saved and loaded; and refused by key and remedy."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import blobs
import own_networks
from options import options
from trainings import job
from wellspring.embed import run as embed
from wellspring.encoders import encoder, module
from wellspring.encoders.factory import Factory, source_of
from wellspring.io import ngff, tables
from wellspring.screen import config
from wellspring.screen.sections import Encoder
from wellspring.train import build
from wellspring.train.settings import resolve
from wellspring.train.worker import work
from wellspring.views.scaling import intensity_scale

CHANNELS = ["DNA", "RNA"]


@pytest.fixture
def file(tmp_path):
    return own_networks.write(tmp_path / "code")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=CHANNELS, width=110)


def entry(file, function: str, **over) -> Encoder:
    """An entry of `encoders` of kind module."""
    over = {"steps": None if over.get("objective") in (None, "frozen") else 3} | over
    return blobs.entry(kind="module", factory=f"{file}:{function}", **over)


def made(file, function: str, **over) -> torch.nn.Module:
    return build.network(resolve(entry(file, function, **over), seed=1), channels=2)


@pytest.mark.parametrize(
    ("function", "over", "width", "embedded"),
    [
        ("small", {"arguments": {"width": 6}}, 6, 6),
        ("small", {"objective": "frozen", "view": {"kind": "tile", "size": 40}}, 8, 8),
        ("small", {"objective": "simclr"}, 8, 8),
        ("tokens", {"objective": "sslprofiler"}, 16, 32),
        ("tokens", {"objective": "dino", "view": {"kind": "tile", "size": 40}}, 16, 32),
    ],
)
def test_it_is_trained_or_frozen_and_comes_back_from_its_files(screen, tmp_path, file, function, over, width, embedded):
    described = job(tmp_path, screen, entry(file, function, **over), log_every=1)
    work(described)
    known = encoder.load(described.weights, described.card)
    steps = 0 if over.get("objective") in (None, "frozen") else 3
    assert len(tables.read(described.history)) == steps
    assert known.card["kind"] == "module" and known.card["objective"] == over.get("objective", "frozen")
    assert (known.card["features"], known.card["steps"]) == (width, steps)
    assert known.card["training"] == ("trained" if steps else "frozen")
    assert known.card["backbone"] is None
    start = made(file, function, **over).state_dict()
    moved = [not torch.equal(value, start[name]) for name, value in known.network.state_dict().items()]
    assert any(moved) == bool(steps)
    assert not known.network.training and not any(each.requires_grad for each in known.network.parameters())
    scale = intensity_scale(tables.read(screen["intensity"][0]), CHANNELS)
    plate = embed.PlateInputs(ngff.open_plate(screen["images"][0]), scale, tables.read(screen["cells"][0]))
    frame, matrix = embed.embed(known, plate, options("embed", batch=5), device=torch.device("cpu"))
    assert matrix.shape == (len(frame), embedded) and len(frame) and np.isfinite(matrix).all()


def test_the_seed_decides_the_first_weights_and_no_other_random_state(file):
    torch.manual_seed(4)
    before = torch.get_rng_state()
    one, again = (made(file, "small", seed=seed).state_dict()["0.weight"] for seed in (7, 7))
    assert torch.equal(one, again) and torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, made(file, "small", seed=8).state_dict()["0.weight"])


def test_weights_of_a_file_are_filled_in(tmp_path, file):
    first = made(file, "small", seed=3)
    save_file(
        {f"model.{name}": value.contiguous() for name, value in first.state_dict().items()}, tmp_path / "w.safetensors"
    )
    network = made(file, "small", weights=blobs.weights(tmp_path / "w.safetensors"))
    assert torch.equal(network[0].weight, first[0].weight)
    with pytest.raises(ValueError, match=r"w\.safetensors: expected the 2 weights of Sequential; .*0\.weight"):
        made(file, "small", arguments={"width": 5}, weights=blobs.weights(tmp_path / "w.safetensors"))


def test_a_package_is_found_by_its_path(tmp_path, monkeypatch):
    package = tmp_path / "path" / "nets_of_a_lab"
    own_networks.write(package)
    (package / "__init__.py").touch()
    factory = Factory.read("nets_of_a_lab.networks:small")
    with pytest.raises(
        ValueError, match="encoders.factory: expected an importable package.*'nets_of_a_lab'; .*PYTHONPATH"
    ):
        factory.load()
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    assert isinstance(module.build(factory, channels=2, size=24, arguments={}), torch.nn.Module)
    assert set(factory.sources()) == {"nets_of_a_lab/__init__.py", "nets_of_a_lab/networks.py"}
    before = factory.digest()
    (package / "helper.py").write_text("x = 1\n")
    assert factory.digest() != before
    monkeypatch.delitem(sys.modules, "nets_of_a_lab.networks")
    monkeypatch.delitem(sys.modules, "nets_of_a_lab")


def test_a_module_that_is_one_file_is_digested_without_its_neighbours(tmp_path, monkeypatch):
    own_networks.write(tmp_path, "nets_alone.py")
    (tmp_path / "other.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(Factory.read("nets_alone:small").sources()) == {"nets_alone.py"}


def test_an_edit_changes_the_digest_and_is_loaded(file):
    described = dataclasses.asdict(entry(file, "small"))
    before = source_of(described, name="own")
    assert made(file, "small")[0].weight.shape[0] == 8
    file.write_text(file.read_text().replace("width=8", "width=9"))
    assert source_of(described, name="own") != before
    assert made(file, "small")[0].weight.shape[0] == 9
    assert source_of(dataclasses.asdict(blobs.entry()), name="own") is None


def test_weights_of_an_edited_source_are_refused(screen, tmp_path, file):
    described = job(tmp_path, screen, entry(file, "small"))
    work(described)
    file.write_text(file.read_text().replace("nn.GELU", "nn.ReLU"))
    with pytest.raises(ValueError, match=r"encoder\.json: module\.factory: expected the source .* edited after"):
        encoder.load(described.weights, described.card)


@pytest.mark.parametrize(
    ("function", "over", "message"),
    [
        ("absent", {}, r"has no function 'absent'; it has \['small'"),
        ("failing", {}, "failed: RuntimeError: no such luck"),
        ("a_number", {}, "expected .*:a_number to return an nn.Module, found int"),
        ("maps", {}, r"to map \(2, 2, 24, 24\) float32 to \(2, features\), found \(2, 4, 22, 22\)"),
        ("only_size", {}, "to take the keyword arguments channels, size; its signature is"),
        ("small", {"arguments": {"depth": 3}}, "to take the keyword arguments channels, size, depth"),
        ("small", {"arguments": {"size": 3}}, r"expected arguments beside channels and size, found \['size'\]"),
        ("without_weights", {"objective": "simclr"}, "expected trainable weights for objective simclr"),
        (
            "small",
            {"objective": "dino"},
            "objective dino needs patch tokens as .*PatchTokens.* Sequential lacks embed_dim",
        ),
        ("of_one_size", {"objective": "sslprofiler"}, "PatchTokens"),
        ("uneven", {"objective": "sslprofiler"}, r"expected forward_head\(forward_features\(images\)\) to equal"),
        ("without_grid", {"objective": "dino"}, r"expected tokens of shape \(2, 10, 16\) for 3 x 3 patches"),
    ],
)
def test_what_does_not_fit_is_refused(file, function, over, message):
    with pytest.raises(ValueError, match=rf"encoders\.factory: .*{message}"):
        made(file, function, **over)


def test_a_file_that_is_not_there_or_not_python_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected a file at .*nowhere\.py \(paths are relative to the working directory"
    ):
        made(tmp_path / "nowhere.py", "small")
    (tmp_path / "broken.py").write_text("def small(:\n")
    with pytest.raises(ValueError, match="encoders.factory: .*broken.py cannot be imported: SyntaxError"):
        made(tmp_path / "broken.py", "small")
    with pytest.raises(ValueError, match="expected PACKAGE.MODULE:FUNCTION or FILE.py:FUNCTION, found 'small'"):
        Factory.read("small")


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"factory": None}, r"encoders\.own\.factory: expected PACKAGE\.MODULE:FUNCTION or FILE\.py:FUNCTION"),
        ({"kind": "simclr"}, r"encoders\.own\.factory: expected null but for module, found 'networks\.py:small'"),
        (
            {"kind": "simclr", "factory": None, "objective": "dino"},
            "expected arguments and objective for the kind module",
        ),
        ({"stem": "channelwise"}, r"encoders\.own\.stem: expected widened for the kind module"),
        ({"factory": "networks.py"}, r"encoders\.own\.factory: 'networks\.py' does not match"),
        ({"objective": "simclr", "batch": 7}, r"encoders\.own\.batch: expected a multiple"),
    ],
)
def test_the_config_refuses_what_does_not_go_together(over, message):
    given = {"encoders": {"own": {"kind": "module", "factory": "networks.py:small"} | over}, "channels": CHANNELS}
    with pytest.raises(ValueError, match=message):
        config.resolve(given | {"train": {"accumulate": 2}})


def test_a_frozen_module_has_no_steps():
    with pytest.raises(ValueError, match="encoders.steps: expected 0 for frozen, which is not trained, found 5"):
        resolve(entry("networks.py", "small", steps=5), seed=1)


def test_class_and_patches_need_tokens_and_the_last_layer(file):
    images = torch.randn(2, 2, 24, 40)
    network = made(file, "tokens", objective="dino").eval()
    with torch.no_grad():
        found, whole = encoder.features(network, images, tokens="class_and_patches"), network.forward_features(images)
    expected = [torch.nn.functional.normalize(each, dim=1) for each in (whole[:, 0], whole[:, 1:].mean(dim=1))]
    torch.testing.assert_close(found, torch.cat(expected, dim=1))
    with pytest.raises(ValueError, match="embed.layers: expected 1 .*, found 2"):
        encoder.features(network, images, tokens="class_and_patches", layers=2)
    with pytest.raises(ValueError, match="embed.tokens: expected pooled .*Sequential lacks embed_dim"):
        encoder.features(made(file, "small").eval(), images, tokens="class_and_patches")
