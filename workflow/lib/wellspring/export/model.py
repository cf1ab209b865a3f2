"""Export of an encoder as a folder that works without this library: for BioImage.IO, Hugging Face, ONNX and PyTorch.

| file | for |
|---|---|
| `model.onnx` | ONNX Runtime and others: pixels and scale to vectors |
| `model.pt2` | PyTorch: the same as a program of torch.export |
| `model.safetensors`, `config.json` | the network alone: timm, Hugging Face, and this library |
| `rdf.yaml`, `test_*.npy` | BioImage.IO, with an example of input and output |
| `README.md` | model card: data, training, licences, evaluation |
| `scales.csv` | intensity scales of the screen's plates |

Each form is loaded again and compared with `embed` before the folder appears.
"""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save as packed

from wellspring.embed.run import embed_images, tokens_of
from wellspring.encoders import encoder as encoders
from wellspring.encoders.encoder import Encoder
from wellspring.export import bioimage, graph, model_card
from wellspring.export.model_card import About
from wellspring.io.provenance import file_digest
from wellspring.screen.sections import Embed
from wellspring.views.scaling import IntensityScale, intensity_scale

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5  # largest difference to `embed`, as a share of the largest feature (or of 1, if that is larger)
VIEWS = 2  # of the example; torch.export would fix a batch of one


def write_model(encoder: Encoder, folder: str | Path, *, options: Embed, about: About) -> None:
    """Write an encoder to `folder`; a model that is there is replaced.

    Parameters
    ----------
    encoder
        Network and card.
    options
        Config section `embed`.
    about
        What the model card states beside the encoder itself.

    Raises
    ------
    ModuleNotFoundError
        A package is not installed; the message names the remedy.
    ValueError
        A form differs from `embed` by more than 1e-5, the description is not valid for BioImage.IO, or the folder has
        other files; nothing is written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "rdf.yaml").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: expected an empty folder or an exported model, found other files")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        differences = _fill(partial, encoder, options, about)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logger.info("%s: %s, differences to embed %s", folder, encoder.card["name"], differences)


def example(encoder: Encoder, scale: IntensityScale) -> np.ndarray:
    """Return views (2, C, edge, edge) uint16 of random counts, a little beyond the limits of a plate.

    The first channel of the last view has one count, as that of an empty view: rounding must not become signal.
    """
    random = np.random.default_rng(0)
    edge, span = encoder.embedded, scale.high - scale.low
    low, high = (scale.low - 0.1 * span)[:, None, None], (scale.high + 0.1 * span)[:, None, None]
    drawn = low + random.random((VIEWS, len(scale.low), edge, edge)) * (high - low)
    drawn[-1, 0] = scale.low[0] + 0.3 * span[0]
    views: np.ndarray = np.clip(np.rint(drawn), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    return views


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference of features, as a share of the largest feature, or of 1 if that is larger."""
    if found.shape != wanted.shape:
        raise ValueError(f"expected features of shape {wanted.shape}, found {found.shape}")
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))


def _fill(folder: Path, encoder: Encoder, options: Embed, about: About) -> dict[str, float]:
    """Write all files; return, by file, the difference to `embed`."""
    scale = intensity_scale(_firsts(about.intensities), encoder.channels)
    views, rows = example(encoder, scale), np.stack([scale.low, scale.high, scale.mean, scale.std]).astype(np.float32)
    alone = replace(options, field="none", precision="float32")
    wanted, pixels = embed_images(encoder, views, scale, alone), views.astype(np.float32)
    made = graph.program(graph.Graph(encoder, alone), pixels, rows)
    opset = graph.write_onnx(made, folder / "model.onnx")
    torch.export.save(made, folder / "model.pt2")
    published = _write_network(encoder, folder, alone)
    found = {
        "model.onnx": graph.run_onnx(folder / "model.onnx", pixels, rows),
        "model.pt2": graph.run_program(folder / "model.pt2", pixels, rows),
        "model.safetensors": embed_images(published, views, scale, alone),
    }
    differences = {name: difference(features, wanted) for name, features in found.items()}
    for name, value in differences.items():
        if not value <= TOLERANCE:
            raise ValueError(
                f"{folder / name}: expected the features of {encoder.card['name']} to {TOLERANCE:g}, found a difference"
                f" of {value:.2g} of the largest feature; no model is written"
            )
    columns = ["Metadata_Plate", "Metadata_Channel", "low", "high", "mean", "std"]
    about.intensities[columns].to_csv(folder / "scales.csv", index=False)
    for name, array in (("pixels", pixels), ("scale", rows), ("features", wanted)):
        np.save(folder / f"test_{name}.npy", array)
    text = model_card.text(encoder, options, about, differences, width=wanted.shape[1])
    (folder / "README.md").write_text(text, encoding="utf-8")
    bioimage.write(encoder, about, folder, opset=opset)
    return differences


def _firsts(intensities: pd.DataFrame) -> pd.DataFrame:
    """Return a row per channel, of the first plate that has it: panels of plates may differ."""
    return intensities.drop_duplicates("Metadata_Channel")


def _write_network(encoder: Encoder, folder: Path, options: Embed) -> Encoder:
    """Write weights and config of the network alone, and load them again."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    weights.write_bytes(packed(encoders.state(encoder.network), metadata={"format": "pt"}))  # readable for others
    known = _public(encoder.card) | {"weights_sha256": file_digest(weights)}
    known["tokens"], known["layers"] = tokens_of(encoder, options), options.layers
    config.write_text(json.dumps(_of_timm(encoder) | {"wellspring": known}, indent=2, sort_keys=True) + "\n")
    return encoders.load(weights, config)


def _public(card: dict[str, Any]) -> dict[str, Any]:
    """Return a card without paths of the machine on which it was made."""
    if "entry" not in card:
        return dict(card)
    return card | {"entry": {**card["entry"], "weights": card["weights"]}}


def _of_timm(encoder: Encoder) -> dict[str, Any]:
    """Return the config by which timm builds the network from the folder; empty for networks that timm cannot build."""
    card = encoder.card
    if not model_card.of_timm(card):
        return {}
    channels, size = len(encoder.channels), int(card["input_size"])
    arguments = encoders.arguments(card["backbone"], size=size, options=card["backbone_options"])
    return {
        "architecture": card["backbone"],
        "num_classes": 0,
        "num_features": int(card["features"]),
        "model_args": {"in_chans": channels, **arguments},
        "pretrained_cfg": {
            "input_size": [channels, size, size],
            "num_classes": 0,
            "mean": [0.0] * channels,
            "std": [1.0] * channels,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
        },
    }
