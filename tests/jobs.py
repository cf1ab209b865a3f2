"""Jobs of training as a rule's script describes them, on tiny plates."""

from pathlib import Path

import blobs

CHANNELS = ["DNA", "RNA"]


def job(folder: Path, screen: dict, entry: dict, **options) -> dict:
    """The description of a training that writes into `folder`."""
    return {
        "name": "small",
        "encoder": entry,
        "channels": CHANNELS,
        "seed": 1,
        "options": blobs.options("train", **options),
        "code": "",
        **{kind: [str(path) for path in screen[kind]] for kind in ("images", "intensity", "crops", "crop_tables")},
        "weights": str(folder / "encoder.safetensors"),
        "card": str(folder / "encoder.json"),
        "history": str(folder / "history.parquet"),
        "checkpoint": str(folder / "checkpoint.pt"),
        "provenance": {},
    }
