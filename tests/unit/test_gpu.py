"""The same config on a GPU: it trains there, and its vectors are those of the CPU."""

import numpy as np
import pandas as pd
import pytest
import torch

import blobs
from wellspring import embed, encoder, store, tables
from wellspring.pixels import pixels
from wellspring.train import run

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
    network, card, history = run.run(
        entry,
        blobs.source(screen, entry, channels=CHANNELS),
        name="small",
        channels=CHANNELS,
        seed=1,
        options=blobs.options("train", log_every=1),
        checkpoint=tmp_path / "checkpoint.pt",
        code="",
    )
    assert np.isfinite(history["loss"]).all()
    encoder.save(network, card, tmp_path / "encoder.safetensors", tmp_path / "encoder.json")
    paths = blobs.plate(tmp_path / "one", channels=CHANNELS)
    vectors = {}
    for device in ("cpu", "cuda"):
        known = encoder.load(tmp_path / "encoder.safetensors", tmp_path / "encoder.json")
        scales = pixels(tables.read(paths["intensity"]), known.channels)
        cells = pd.read_parquet(paths["cells"])
        _, vectors[device] = embed.embed(
            known, store.open_plate(paths["images"]), scales, cells=cells, device=torch.device(device), dtype="float32"
        )
    np.testing.assert_allclose(vectors["cpu"], vectors["cuda"], atol=1e-2, rtol=1e-2)
