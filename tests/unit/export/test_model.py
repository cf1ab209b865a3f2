"""Exported encoders: every form gives the features of `embed`, and the folder is what its readers expect."""

import dataclasses
import functools
import json
import re

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import timm
import torch
import yaml
from bioimageio.spec import InvalidDescr, load_description

import blobs
import wellspring as ws
from options import options
from wellspring.embed import run as embed
from wellspring.encoders import encoder
from wellspring.encoders.stems import Mapped, matrix
from wellspring.export import graph, licences, model, run
from wellspring.export.model_card import About
from wellspring.io import ngff, tables
from wellspring.screen.sections import Embed
from wellspring.train import run as training
from wellspring.views import cutting
from wellspring.views.scaling import intensity_scale

CHANNELS = ["RNA", "DNA"]
CPU = torch.device("cpu")
SSL = {"kind": "sslprofiler", "view": {"kind": "cell", "size": 32, "window": 9.0, "embedded": 32}, "steps": 0}
SSL |= {"backbone_options": {"depth": 1, "embed_dim": 16}}
FORMS = {
    "tokens, window, smaller input": SSL,
    "tiles, reduced": {"view": {"kind": "tile", "size": 40, "embedded": 56}, "steps": 0},
    "resnet": {"backbone": "resnet10t", "steps": 0},
    "channelwise, by view": {"stem": "channelwise", "view": {"kind": "cell", "size": 24, "pixels": "view"}, "steps": 0},
    "adaptive": {"stem": "adaptive", "steps": 0},
    "intensity": {"kind": "intensity", "steps": 0},
}


def section(**over) -> Embed:
    return options("embed", **{"dtype": "float32", "leave_out": [], "least_foreground": 0} | over)


def encoder_of(tmp_path, over: dict) -> encoder.Encoder:
    """Return an encoder whose random weights are not those of any seed of the library."""
    entry = blobs.entry(**over)
    if entry.backbone == "resnet10t":
        entry = dataclasses.replace(entry, backbone_options={})
    network, card, _ = training.run(
        entry, None, name="mine", channels=CHANNELS, seed=1, options=options("train"), checkpoint=tmp_path / "c.pt"
    )
    torch.manual_seed(7)
    for weight in network.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    return encoder.Encoder(network.to(memory_format=torch.contiguous_format).eval(), card)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return blobs.plate(tmp_path_factory.mktemp("plate"), channels=["DNA", "ER", "RNA"], width=112)


@pytest.fixture(scope="module")
def exported(paths, tmp_path_factory):
    """Return an encoder, the folder of its export, and the table of scales."""
    folder = tmp_path_factory.mktemp("model")
    known = encoder_of(folder, SSL)
    known.card.update(steps=40, trained_on={"plates": ["P1"], "wells": 3, "items": 48, "digest": "0"})
    known.card["entry"]["weights"] = {"path": "/home/me/secret.pth", "sha256": "0" * 64}
    scales = tables.read(paths["intensity"])
    ws.Encoder(known).export(
        folder / "out",
        intensities=scales,
        title="Blobs",
        license="https://creativecommons.org/licenses/by/4.0/",
        authors=["A. Person"],
        summary=summary(),
    )
    return known, folder / "out", scales


def about_blobs(scales: pd.DataFrame) -> About:
    return About("Blobs", licences.NOT_CHOSEN, [], scales)


def summary() -> pd.DataFrame:
    rows = [("activity", "aligned", 0.6254, 0.51, 0.7), ("activity", "normalised", 0.31, 0.2, 0.4)]
    rows += [("activity.position_only", "aligned", 0.77, 0.6, 0.9), ("consistency", "aligned", np.nan, np.nan, np.nan)]
    frame = pd.DataFrame(rows, columns=["Metadata_Metric", "Metadata_Level", "value", "low", "high"])
    return frame.assign(chance=0.25)


def views_and_features(known: encoder.Encoder, paths: dict, **over) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return real views (N, C, edge, edge) cut by hand, the scale (4, C), and what `embed` makes of the plate."""
    plate = ngff.open_plate(paths["images"])
    scales = tables.read(paths["intensity"]).set_index("Metadata_Channel").loc[CHANNELS]
    scale = intensity_scale(tables.read(paths["intensity"]), CHANNELS)
    cells = pd.read_parquet(paths["cells"])
    frame, wanted = embed.embed(known, embed.PlateInputs(plate, scale, cells), section(**over), device=CPU)
    views = [
        cutting.cut(plate.read(row.Metadata_Well, row.Metadata_Site, CHANNELS), np.array([centre]), known.embedded)[0]
        for row in frame.itertuples()
        for centre in [(row.Metadata_Center_Y, row.Metadata_Center_X)]
    ]
    rows = scales[["low", "high", "mean", "std"]].to_numpy(np.float32).T
    return np.stack(views).astype(np.float32), np.ascontiguousarray(rows), wanted


@pytest.mark.parametrize("form", FORMS)
def test_the_graph_gives_the_features_that_embed_gives_of_real_views(tmp_path, paths, form):
    known = encoder_of(tmp_path, FORMS[form])
    views, scale, wanted = views_and_features(known, paths)
    whole = graph.Graph(known, section()).eval()
    with torch.no_grad():
        found = whole(torch.tensor(views), torch.tensor(scale)).numpy()
    assert len(views) > 10 and model.difference(found, wanted) < 1e-5


def test_onnx_and_torch_export_give_the_features_that_embed_gives_of_real_views(exported, paths):
    known, folder, _ = exported
    views, scale, wanted = views_and_features(known, paths)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    for count in (1, 5, len(views)):
        found = session.run(["features"], {"pixels": views[:count], "scale": scale})[0]
        np.testing.assert_allclose(found, wanted[:count], atol=1e-5, rtol=0)
        with torch.no_grad():
            again = torch.export.load(folder / "model.pt2").module()(torch.tensor(views[:count]), torch.tensor(scale))
        np.testing.assert_allclose(again.numpy(), wanted[:count], atol=1e-5, rtol=0)
    assert np.abs(session.run(None, {"pixels": views, "scale": scale * 2})[0] - wanted).max() > 1e-2


@pytest.mark.parametrize("content", ["one count", "three counts", "a line"])
def test_views_with_hardly_a_signal_have_the_features_that_embed_gives(tmp_path, paths, content):
    """Standardised by view, they are divided by almost nothing: what a runtime rounds would become a signal."""
    known = encoder_of(tmp_path, FORMS["channelwise, by view"] | {"stem": "widened"})
    scale, random = intensity_scale(tables.read(paths["intensity"]), CHANNELS), np.random.default_rng(4)
    views = np.full((3, 2, known.embedded, known.embedded), 700, dtype=np.uint16)
    views[1:] += random.integers(0, 3, views[1:].shape).astype(np.uint16) if content == "three counts" else 0
    views[..., 5, :] = 9000 if content == "a line" else views[..., 5, :]
    scale = dataclasses.replace(scale, low=np.zeros(2, np.float32), high=np.full(2, 65535, np.float32))
    rows = np.stack([scale.low, scale.high, scale.mean, scale.std]).astype(np.float32)
    wanted = embed.embed_images(known, views, scale, section())
    made = graph.program(graph.Graph(known, section()), views.astype(np.float32), rows)
    graph.write_onnx(made, tmp_path / "model.onnx")
    torch.export.save(made, tmp_path / "model.pt2")
    for name, found in (("model.onnx", graph.run_onnx), ("model.pt2", graph.run_program)):
        assert model.difference(found(tmp_path / name, views.astype(np.float32), rows), wanted) < 1e-5, name


def test_the_network_alone_is_that_of_timm_and_of_the_library(exported, paths):
    known, folder, scales = exported
    views, _, wanted = views_and_features(known, paths)
    loaded = ws.Encoder.load(folder)
    assert loaded.channels == CHANNELS
    np.testing.assert_allclose(loaded.embed(views.astype(np.uint16), intensities=scales), wanted, atol=1e-5, rtol=0)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 2, known.card["input_size"], known.card["input_size"])
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), known.network(images))


def test_the_code_of_the_card_gives_the_features_that_embed_gives(exported, paths, monkeypatch):
    known, folder, _ = exported
    views, scale, wanted = views_and_features(known, paths)
    monkeypatch.chdir(folder)
    text = (folder / "README.md").read_text()
    space: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], space)
    np.testing.assert_allclose(space["features_of"](views, scale), wanted, atol=1e-5, rtol=0)
    plate = ngff.open_plate(paths["images"])
    whole = np.stack([plate.read(well, site, CHANNELS) for well, site in plate.fields])
    np.testing.assert_allclose(space["scale_of"](whole), scale, rtol=1e-5)


def test_bioimage_io_accepts_the_folder_and_a_changed_file_is_found(exported):
    known, folder, _ = exported
    described = yaml.safe_load((folder / "rdf.yaml").read_text())
    assert described["license"] == "CC-BY-4.0" and described["authors"] == [{"name": "A. Person"}]
    assert [axis.get("size") for axis in described["inputs"][0]["axes"]] == [None, None, 32, 32]
    assert described["inputs"][0]["axes"][1]["channel_names"] == CHANNELS
    assert not isinstance(load_description(folder / "rdf.yaml", perform_io_checks=False), InvalidDescr)
    arrays = {name: np.load(folder / f"test_{name}.npy") for name in ("pixels", "scale", "features")}
    found = graph.run_onnx(folder / "model.onnx", arrays["pixels"], arrays["scale"])
    np.testing.assert_allclose(found, arrays["features"], atol=1e-5)
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1, "whoever reads one file can read all"
    assert arrays["features"].shape == (2, 32) and len(described["outputs"][0]["axes"][1]["channel_names"]) == 32


def test_the_card_states_data_training_licences_and_evaluation_and_no_path_of_the_machine(exported):
    known, folder, scales = exported
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "cc-by-4.0" and front["library_name"] == "timm"
    for words in ("RNA, DNA", "40 steps, seed 1", "1 plates of Blobs (P1), 3 wells, 48 images of cells", "A. Person"):
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith("| Phenotypic activity")]
    assert rows == ["| Phenotypic activity (mAP) | 0.625 | 0.510 to 0.700 | 0.250 |"]
    assert "secret" not in "".join(file.read_text() for file in (folder / "README.md", folder / "config.json"))
    assert json.loads((folder / "config.json").read_text())["wellspring"]["name"] == "mine"
    published = pd.read_csv(folder / "scales.csv")
    assert published["Metadata_Channel"].tolist() == scales["Metadata_Channel"].tolist()
    np.testing.assert_allclose(published["high"], scales["high"])


def test_a_form_that_differs_is_refused_and_nothing_is_written(tmp_path, paths, monkeypatch):
    known, scales = encoder_of(tmp_path, FORMS["intensity"]), tables.read(paths["intensity"])
    monkeypatch.setattr(graph, "program", lambda *given: None)
    monkeypatch.setattr(graph, "write_onnx", lambda *given: 20)
    monkeypatch.setattr(torch.export, "save", lambda *given: None)

    def told(path, pixels, scale, *, error):
        whole = graph.Graph(known, section()).eval()
        return whole(torch.from_numpy(pixels), torch.from_numpy(scale)).numpy() * np.float32(1 + error)

    for name, other in (("run_onnx", "run_program"), ("run_program", "run_onnx")):
        monkeypatch.setattr(graph, other, functools.partial(told, error=0))
        monkeypatch.setattr(graph, name, functools.partial(told, error=2e-5))
        message = r"model.(onnx|pt2): expected the features of mine to 1e-05, found a difference of [12]"
        with pytest.raises(ValueError, match=message):
            model.write_model(known, tmp_path / "out", options=section(), about=about_blobs(scales))
        assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_files_is_left_alone(tmp_path, exported):
    known, _, scales = exported
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder or an exported model, found other files"):
        model.write_model(known, tmp_path, options=section(), about=about_blobs(scales))
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("address", "identifier"),
    [
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://spdx.org/licenses/Apache-2.0.html", "Apache-2.0"),
        ("https://spdx.org/licenses/MIT", "MIT"),
        (licences.NOT_CHOSEN, None),
        ("https://example.org/licenses/by/4.0/", None),
    ],
)
def test_licences_by_address(address, identifier):
    assert licences.spdx(address) == identifier


def test_the_stage_writes_a_folder_per_trained_encoder(tmp_path, exported, monkeypatch):
    known, _, scales = exported
    encoder.save(
        known.network, known.card, *[tmp_path / "train/mine" / f"encoder.{end}" for end in ("safetensors", "json")]
    )
    tables.write(scales, tmp_path / "P1.parquet", table="intensity", provenance={})
    scores = summary().assign(n=3, n_undefined=0, Metadata_Guard="", Metadata_Note="", Metadata_Left_Out="")
    scores = scores.astype({"n": "int32", "n_undefined": "int32"})
    tables.write(scores, tmp_path / "mine.summary.parquet", table="summary", provenance={})
    seen = []
    monkeypatch.setattr(model, "write_model", lambda *given, **named: seen.append((given, named)))
    inputs = {"cards": [str(tmp_path / "train/mine/encoder.json")], "intensity": [str(tmp_path / "P1.parquet")]}
    inputs["scores"] = [str(tmp_path / "mine.summary.parquet")]
    chosen = options("export", formats=["models"], license="https://spdx.org/licenses/MIT", authors=["B"])
    run.models(
        inputs, tmp_path / "models", embed=section(), options=chosen, title="T", quantiles=[0.01, 0.99], masked=True
    )
    [((loaded, folder), named)] = seen
    about = named["about"]
    assert folder == tmp_path / "models" / "mine" and loaded.card["name"] == "mine"
    assert (about.title, about.license, list(about.authors)) == ("T", "https://spdx.org/licenses/MIT", ["B"])
    assert about.quantiles == (0.01, 0.99) and about.masked and len(about.summary) == 4
    assert about.intensities["Metadata_Plate"].tolist() == ["P1"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("form", list(FORMS)[1:])
def test_every_form_of_network_is_exported(tmp_path, paths, form):
    known = encoder_of(tmp_path, FORMS[form])
    about = about_blobs(tables.read(paths["intensity"]))
    model.write_model(known, tmp_path / "out", options=section(), about=about)
    views, scale, wanted = views_and_features(known, paths)
    found = graph.run_onnx(tmp_path / "out" / "model.onnx", views, scale)
    assert model.difference(found, wanted) < 1e-5
    assert "all rights reserved" in (tmp_path / "out" / "LICENSE").read_text()


def test_the_example_takes_each_channel_from_a_plate_that_has_it(paths):
    """An encoder of plates of different panels is exported although the first plate lacks a channel."""
    later = tables.read(paths["intensity"])
    first = later[later["Metadata_Channel"] != "ER"].assign(Metadata_Plate="P0", low=7.0)
    scale = intensity_scale(model._firsts(pd.concat([first, later], ignore_index=True)), CHANNELS)
    known = later.set_index("Metadata_Channel")["low"]
    wanted = [known["ER"] if name == "ER" else 7.0 for name in CHANNELS]
    np.testing.assert_allclose(scale.low, wanted, rtol=1e-6)


def test_a_model_of_fixed_inputs_is_exported_and_not_promised_to_timm(tmp_path, paths):
    """timm would build its network for the inputs, to which it cannot map the channels."""
    known = encoder_of(tmp_path, {"steps": 0})
    inputs = [["red", ["DNA"]], ["green", ["RNA", "DNA"]], ["blue", []]]
    size, given = known.card["input_size"], known.card["backbone_options"]
    network = encoder.build(known.card["backbone"], channels=3, size=size, options=given)
    card = known.card | {"inputs": inputs}
    mapped = encoder.Encoder(Mapped(network, matrix(inputs, CHANNELS)).eval().requires_grad_(False), card)
    model.write_model(mapped, tmp_path / "out", options=section(), about=about_blobs(tables.read(paths["intensity"])))
    assert set(json.loads((tmp_path / "out" / "config.json").read_text())) == {"wellspring"}
    card_text = (tmp_path / "out" / "README.md").read_text()
    assert "create_model" not in card_text and "library_name" not in card_text
    views, scale, wanted = views_and_features(mapped, paths)
    assert model.difference(graph.run_onnx(tmp_path / "out" / "model.onnx", views, scale), wanted) < 1e-5
