"""The description of an exported model for BioImage.IO: `rdf.yaml`, validated by the package bioimageio.spec."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wellspring.encoders.encoder import Encoder
from wellspring.export.graph import INPUTS, MISSING, OUTPUT
from wellspring.export.licences import spdx, words
from wellspring.export.model_card import About
from wellspring.io.provenance import file_digest
from wellspring.io.version import __version__

SCALES = ("low", "high", "mean", "std")  # rows of the input `scale`
ATTACHED = ("model.pt2", "model.safetensors", "config.json", "scales.csv")
CITED = {
    "sslprofiler": ("Dai et al. 2025, SSLProfiler", "https://arxiv.org/abs/2506.14265"),
    "simclr": ("Perakis et al. 2021, contrastive learning of single cells", "https://arxiv.org/abs/2103.16670"),
    "dino": ("Caron et al. 2021, DINO", "https://arxiv.org/abs/2104.14294"),
}


def write(encoder: Encoder, about: About, folder: Path, *, opset: int) -> None:
    """Write `rdf.yaml` beside the files that it describes, and validate it.

    Raises
    ------
    ModuleNotFoundError
        bioimageio.spec is not installed; the message names the remedy.
    ValueError
        The description is not valid; names the fields.
    """
    if spdx(about.license) is None:
        (folder / "LICENSE").write_text(words(about.license) + "\n", encoding="utf-8")
    described = _description(encoder, about, folder, opset=opset)
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    (folder / "rdf.yaml").write_text(text, encoding="utf-8")
    _validate(described, folder)


def _description(encoder: Encoder, about: About, folder: Path, *, opset: int) -> dict[str, Any]:
    features = [f"feature_{place}" for place in range(np.load(folder / f"test_{OUTPUT}.npy").shape[1])]
    edge = [{"type": "space", "id": axis, "size": encoder.embedded} for axis in ("y", "x")]
    axes = {
        "pixels": [{"type": "batch"}, _channels(encoder.channels), *edge],
        "scale": [{"type": "index", "id": "index", "size": len(SCALES)}, _channels(encoder.channels)],
        OUTPUT: [{"type": "batch"}, _channels(features)],
    }
    meanings = {
        "pixels": "Counts of a view, corrected for illumination, in the channels' order.",
        "scale": f"Of the view's plate, per channel: {', '.join(SCALES)} (README.md).",
        OUTPUT: "The vector of the view.",
    }
    tensors = {
        name: {
            "id": name,
            "description": meanings[name],
            "axes": axes[name],
            "test_tensor": _file(folder / f"test_{name}.npy"),
            "data": {"type": "float32"},
        }
        for name in (*INPUTS, OUTPUT)
    }
    license, objective = spdx(about.license), encoder.card.get("objective", encoder.card["kind"])
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": f"{about.title} {encoder.card['name']}"[:128],
        "description": f"Features of {encoder.card['view']['kind']}s in fluorescence images of {about.title}.",
        "authors": [{"name": name} for name in about.authors],
        "license": license if license is not None else _file(folder / "LICENSE"),
        "cite": [{"text": text, "url": address} for text, address in filter(None, [CITED.get(objective)])],
        "documentation": "README.md",
        "tags": ["fluorescence-light-microscopy", "cells", "high-content-imaging", "feature-extraction"],
        "inputs": [tensors[name] for name in INPUTS],
        "outputs": [tensors[OUTPUT]],
        "weights": {"onnx": {**_file(folder / "model.onnx"), "opset_version": opset}},
        "attachments": [_file(folder / name) for name in ATTACHED],
        "config": {"bioimageio": {"wellspring_version": __version__}},
    }


def _channels(names: list[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": list(names)}


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": file_digest(path)}


def _validate(described: Mapping[str, Any], folder: Path) -> None:
    """Validate the fields, and the files by their sha256 and their shapes; addresses are not looked up."""
    try:
        from bioimageio.spec import InvalidDescr, ValidationContext, build_description
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    for files, part in ((False, described), (True, {**described, "cite": []})):
        context = ValidationContext(root=folder, file_name="rdf.yaml", perform_io_checks=files, update_hashes=False)
        found = build_description(part, context=context)
        if isinstance(found, InvalidDescr):
            reasons = [f"{'.'.join(map(str, one.loc))}: {one.msg}" for one in found.validation_summary.errors]
            raise ValueError(f"rdf.yaml: expected a valid description for BioImage.IO, found {reasons}")
