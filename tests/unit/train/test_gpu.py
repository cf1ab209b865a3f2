"""The same config on a GPU: it trains there, and its vectors are those of the CPU."""

import copy
import dataclasses
import signal

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
from wellspring.train import build
from wellspring.train.checkpoint import Interrupted
from wellspring.train.hardware import TooLarge
from wellspring.train.launch import launch
from wellspring.train.settings import resolve
from wellspring.views.scaling import IntensityScale, intensity_scale, prepare

CHANNELS = ["DNA", "RNA"]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize(
    "over", [{"one_plate": True}, {"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}}], ids=["cells", "tiles"]
)
def test_training_and_embedding_on_a_gpu(tmp_path, over):
    assert encoder.device().type == "cuda"
    entry = blobs.entry(**over)
    screen = blobs.screen(tmp_path, channels=CHANNELS)
    network, card, history = trainings.train(entry, screen, tmp_path, log_every=1)
    assert np.isfinite(history["loss"]).all()
    encoder.save(network, card, tmp_path / "encoder.safetensors", tmp_path / "encoder.json")
    paths = blobs.plate(tmp_path / "one", channels=CHANNELS)
    vectors = {}
    for device in ("cpu", "cuda"):
        known = encoder.load(tmp_path / "encoder.safetensors", tmp_path / "encoder.json")
        scales = intensity_scale(tables.read(paths["intensity"]), known.channels)
        cells = pd.read_parquet(paths["cells"])
        plate = embed.PlateInputs(ngff.open_plate(paths["images"]), scales, cells)
        section = options("embed", dtype="float32", leave_out=[])
        _, vectors[device] = embed.embed(known, plate, section, device=torch.device(device))
    np.testing.assert_allclose(vectors["cpu"], vectors["cuda"], atol=1e-2, rtol=1e-2)


def train(folder, *, hook=None, entry: dict, **options):
    screen = blobs.screen(folder / "screen", channels=CHANNELS)
    return trainings.train(entry, screen, folder, hook=hook, log_every=2, retrieve_every=4, **options)


@pytest.mark.parametrize("kind", ["simclr", "sslprofiler"])
@pytest.mark.parametrize("options", [{}, {"precision": "bfloat16", "compile": True}, {"accumulate": 2}], ids=str)
def test_a_stopped_training_goes_on(tmp_path, kind, options):
    view = {"kind": "cell", "size": 24} if kind == "simclr" else {"kind": "tile", "size": 32}
    entry = blobs.entry(kind=kind, view=view, steps=10)
    whole, _, history = train(tmp_path, entry=entry, **options)
    with pytest.raises(Interrupted):
        train(
            tmp_path,
            entry=entry,
            **options,
            hook=lambda step: signal.raise_signal(signal.SIGTERM) if step == 3 else None,
        )
    again, _, rows = train(tmp_path, entry=entry, **options)
    assert list(rows["Metadata_Step"]) == list(history["Metadata_Step"])
    assert rows["retrieval"].notna().sum() == 4
    for name, value in whole.state_dict().items():  # some backward kernels of a GPU are not deterministic
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-2, atol=1e-2)


def test_too_little_memory_is_explained(tmp_path):
    entry = blobs.entry(batch=96)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(8e6 / total)
    try:
        with pytest.raises(TooLarge, match=r"GiB, of which .* were used.*train.accumulate: 2 \("):
            train(tmp_path, entry=entry)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("compiled", [False, True])
def test_two_gpus_train_together(tmp_path, compiled):
    """With batch normalisation over both, which the heads of these have."""
    screen = blobs.screen(tmp_path / "screen", channels=CHANNELS)
    entry = blobs.entry(
        kind="sslprofiler", view={"kind": "tile", "size": 32}, distillation={"batch_norm": True}, steps=6
    )
    job = trainings.job(tmp_path, screen, entry, gpus=2, log_every=1, compile=compiled)
    launch(job, threads=8)
    assert np.isfinite(tables.read(tmp_path / "history.parquet")["loss"]).all()
    assert set(encoder.load(tmp_path / "encoder.safetensors", tmp_path / "encoder.json").card["trained_on"]["plates"])


def embedded(network: torch.nn.Module, paths: dict, *, kind: str = "tile", device: str, **over) -> np.ndarray:
    card = {"kind": "timm", "channels": CHANNELS, "input_size": 24}
    card["view"] = {"kind": kind, "size": 24, "window": None}
    scales = intensity_scale(tables.read(paths["intensity"]), CHANNELS)
    plate = embed.PlateInputs(ngff.open_plate(paths["images"]), scales, pd.read_parquet(paths["cells"]))
    section = options("embed", **{"dtype": "float32", "leave_out": []} | over)
    return embed.embed(encoder.Encoder(network, card), plate, section, device=torch.device(device))[1]


NETWORKS = {
    "vit": ("vit_tiny_patch16_224", {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}),
    "resnet": ("resnet10t", {}),
}
WAYS = {
    "pooled": {},
    "tokens": {"tokens": "class_and_patches", "layers": 2},
    "field": {"field": "joined"},
    "cells": {"kind": "cell"},
    "batches": {"batch": 5},
}


@pytest.mark.parametrize("stem", ["widened", "channelwise"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("way", WAYS)
def test_vectors_of_a_gpu_are_those_of_the_cpu(tmp_path, name, stem, way):
    backbone, options = NETWORKS[name]
    network = encoder.build(backbone, channels=2, size=24, options=options, stem=stem).eval()
    paths = blobs.plate(tmp_path, channels=CHANNELS)
    expected = embedded(network, paths, device="cpu", **WAYS[way])
    found = embedded(network.to(memory_format=torch.channels_last), paths, device="cuda", **WAYS[way])
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=1e-2)


def test_vectors_in_bfloat16_point_where_those_of_float32_do(tmp_path):
    network = encoder.build(NETWORKS["vit"][0], channels=2, size=24, options=NETWORKS["vit"][1]).eval()
    paths = blobs.plate(tmp_path, channels=CHANNELS)
    whole, half = (embedded(network, paths, device="cuda", precision=each) for each in ("float32", "bfloat16"))
    cosine = (whole * half).sum(1) / np.linalg.norm(whole, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.99


def test_pixels_are_prepared_on_a_gpu_as_on_the_cpu():
    rng = np.random.default_rng(0)
    raw = torch.from_numpy(rng.integers(0, 2**16, (3, 2, 9, 7)).astype(np.uint16))
    scales = IntensityScale(
        *(np.array(pair, dtype=np.float32) for pair in ((100, 7), (40000, 7), (0.2, 0.1), (0.1, 0.0)))
    )
    torch.testing.assert_close(
        prepare(raw.to("cuda").float(), scales).cpu(), prepare(raw.float(), scales), atol=1e-4, rtol=1e-5
    )


def test_channels_last_is_kept_and_changes_nothing():
    settings = dataclasses.replace(resolve(blobs.entry(), seed=1), backbone="resnet10t", backbone_options={})
    network = build.network(settings, channels=2).eval().to("cuda")
    kernels = [value for value in network.parameters() if value.ndim == 4 and value.shape[1] > 1]
    assert kernels and all(value.is_contiguous(memory_format=torch.channels_last) for value in kernels)
    images = torch.randn(4, 2, 24, 24, device="cuda")
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        torch.testing.assert_close(network(images), plain(images), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["simclr", "sslprofiler"])
def test_a_step_in_bfloat16_is_near_one_in_float32(tmp_path, kind):
    view = {"kind": "cell", "size": 24} if kind == "simclr" else {"kind": "tile", "size": 32}
    losses = {}
    for precision in ("float32", "bfloat16"):
        _, _, rows = train(tmp_path / precision, entry=blobs.entry(kind=kind, view=view, steps=2), precision=precision)
        losses[precision] = rows["loss"].to_numpy()
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=5e-2)
