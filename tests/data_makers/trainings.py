"""Trainings on tiny plates: as a job of the rule's script, and as a run in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from torch import nn

import blobs
from options import options
from wellspring.screen.sections import Encoder
from wellspring.train import run
from wellspring.train.job import Job
from wellspring.train.sources import Source

CHANNELS = ["DNA", "RNA"]


def job(folder: Path, screen: dict, entry: Encoder, **over) -> Job:
    """Return a training that writes into `folder`; `over` are options of the section `train`."""
    return Job(
        name="small",
        encoder=entry,
        channels=tuple(CHANNELS),
        seed=1,
        options=options("train", **over),
        code="",
        **{kind: tuple(map(str, screen[kind])) for kind in ("images", "intensity", "crops", "crop_tables")},
        wells=(),
        weights=str(folder / "encoder.safetensors"),
        card=str(folder / "encoder.json"),
        history=str(folder / "history.parquet"),
        checkpoint=str(folder / "checkpoint.pt"),
        provenance={},
        threads=1,
    )


def train(
    entry: Encoder, screen: dict | None, folder: Path, *, channels: Sequence[str] = CHANNELS, **given
) -> tuple[nn.Module, run.Card, pd.DataFrame]:
    """Train an encoder on a screen; `given` is of `train_on`."""
    source = None if screen is None else blobs.source(screen, entry, channels=list(channels))
    return train_on(entry, source, folder, channels=channels, **given)


def train_on(
    entry: Encoder,
    source: Source | None,
    folder: Path,
    *,
    channels: Sequence[str] = CHANNELS,
    seed: int = 1,
    code: str = "",
    write: Callable | None = None,
    hook: Callable[[int], None] | None = None,
    wells: pd.DataFrame | None = None,
    **over,
) -> tuple[nn.Module, run.Card, pd.DataFrame]:
    """Train an encoder on a source, with its checkpoint in `folder`; `over` are options of the section `train`."""
    folder.mkdir(parents=True, exist_ok=True)
    return run.run(
        entry,
        source,
        name="small",
        channels=list(channels),
        seed=seed,
        options=options("train", **over),
        checkpoint=folder / "checkpoint.pt",
        code=code,
        write=write,
        hook=hook,
        wells=wells,
    )
