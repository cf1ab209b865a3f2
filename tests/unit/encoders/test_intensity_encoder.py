"""The encoder `intensity`: its statistics, and its way through card, file and config."""

import numpy as np
import torch

import blobs
from options import options
from wellspring.encoders import encoder
from wellspring.encoders.intensity import Intensity
from wellspring.screen import config, encoder_kinds
from wellspring.train.run import run


def test_statistics_equal_numpy():
    rng = np.random.default_rng(5)
    views = rng.normal(size=(6, 4, 9, 13)).astype(np.float32)
    views[:, 3] += 2 * views[:, 1]
    found = Intensity(channels=4)(torch.from_numpy(views)).numpy()
    assert found.shape == (6, 4 + 4 + 6)
    for row, view in zip(found, views, strict=True):
        pixels = view.reshape(4, -1).astype(np.float64)
        upper = np.corrcoef(pixels)[np.triu_indices(4, 1)]
        np.testing.assert_allclose(row, np.concatenate([pixels.mean(axis=1), pixels.std(axis=1), upper]), atol=2e-5)


def test_a_channel_without_signal_has_no_correlation():
    views = torch.zeros(1, 3, 5, 7)
    views[0, 1] = torch.randn(5, 7)
    assert torch.isfinite(Intensity(channels=3)(views)).all()
    assert Intensity(channels=3)(views)[0, 6:].tolist() == [0, 0, 0]


def test_it_is_saved_and_loaded_like_a_network(tmp_path):
    entry = blobs.entry(kind="intensity", steps=None)
    network, card, history = run(
        entry, None, name="plain", channels=["DNA", "RNA"], seed=1, options=options("train"), checkpoint=tmp_path / "c"
    )
    assert card["training"] == "frozen" and card["features"] == 5 and card["backbone"] is None and history.empty
    files = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    encoder.save(network, card, *files)
    views = torch.randn(2, 2, 24, 24)
    assert torch.equal(encoder.load(*files).network(views), network(views))


def test_it_needs_neither_training_nor_cells():
    complete = config.typed(config.resolve({"channels": ["DNA"], "encoders": {"plain": {"kind": "intensity"}}}))
    assert not encoder_kinds.trains(complete.encoders["plain"]) and complete.encoders["plain"].view.kind == "tile"
