"""One training run: a config entry and a training set flow in, a network, its card and its history flow out."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from wellspring import encoder
from wellspring.provenance import file_digest
from wellspring.train.checkpoint import Checkpoint
from wellspring.train.data import fingerprint, manifest
from wellspring.train.loop import train
from wellspring.train.networks import width
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings, resolve
from wellspring.train.simclr import SimCLR
from wellspring.train.sources import Source
from wellspring.train.sslprofiler import SSLProfiler

logger = logging.getLogger(__name__)

METHODS = {"simclr": SimCLR, "sslprofiler": SSLProfiler, "dino": SSLProfiler}


def run(
    entry: Mapping[str, object],
    source: Source,
    *,
    name: str,
    channels: list[str],
    seed: int,
    options: Mapping[str, object],
    checkpoint: Path,
    code: str = "",
) -> tuple[nn.Module, dict, pd.DataFrame]:
    """Train an encoder, or build it untrained when its steps are 0.

    Parameters
    ----------
    entry
        Of `encoders`, its defaults filled in and its `like` followed.
    source
        Training images.
    name
        Of the entry.
    channels
        In the order of the source's pixels.
    seed
        The run's; the entry's own goes first.
    options
        The config section `train`.
    checkpoint
        Where the state of an unfinished run lies.
    code
        Digest of the code, part of the fingerprint.

    Returns
    -------
    tuple
        The network (on the CPU), its card (JSON values), and the rows of the table `history`.
    """
    settings = resolve(entry, seed=seed)
    device = encoder.device()
    seen = manifest(source)
    network = build(settings, channels=len(channels))
    features = width(network, channels=len(channels), size=settings.input_size)
    start = file_digest(settings.weights) if settings.weights else None
    rows: list[dict] = []
    if settings.steps:
        # Heads draw their first weights from the global state.
        torch.manual_seed(settings.seed)
        method = METHODS[settings.kind](network, settings, channels=len(channels), precision=options["precision"])
        file = Checkpoint(
            checkpoint,
            fingerprint=fingerprint(
                entry=dict(entry),
                seed=seed,
                channels=channels,
                precision=options["precision"],
                manifest=seen,
                start=start,
                code=code,
            ),
            minutes=options["checkpoint_minutes"],
        )
        logger.info(
            "%s: %d steps on %s, %d plates, %d items", name, settings.steps, device, len(seen["plates"]), seen["items"]
        )
        rows = train(
            method,
            source,
            sampler(source, settings),
            settings,
            device=device,
            checkpoint=file,
            log_every=options["log_every"],
        )
        network = method.encoder.to("cpu")
        file.remove()
    card = {
        "name": name,
        "kind": settings.kind,
        "backbone": settings.backbone,
        "backbone_options": settings.backbone_options,
        "channels": list(channels),
        "input_size": settings.input_size,
        "features": features,
        "view": settings.view,
        "steps": settings.steps,
        "seed": settings.seed,
        "weights": {"name": Path(settings.weights).name, "sha256": start} if settings.weights else None,
        "trained_on": seen,
        "entry": dict(entry),
        "final": {key: value for key, value in rows[-1].items() if key != "Metadata_Step"} if rows else {},
    }
    return network, card, history(rows)


def build(settings: Settings, *, channels: int) -> nn.Module:
    """Build the backbone of an encoder at its seed."""
    drop_path = settings.distillation["drop_path"] if settings.distilled else 0.0
    network = encoder.build(
        settings.backbone,
        channels=channels,
        size=settings.input_size,
        options=settings.backbone_options,
        seed=settings.seed,
        drop_path=drop_path,
        weights=settings.weights,
    )
    return network.to(memory_format=torch.channels_last)


def sampler(source: Source, settings: Settings) -> Sampler:
    """Return what draws the batches of an encoder from a source."""
    drawn = Sampler(
        source.plate,
        source.well,
        source.site,
        batch=settings.batch,
        sites=settings.sites,
        one_plate=settings.one_plate,
        seed=settings.seed,
        alone=settings.view["kind"] == "tile",
    )
    if settings.sites > 1 and drawn.short_wells:
        logger.info("%d wells have fewer sites than a group: they give several places of a site", drawn.short_wells)
    return drawn


def history(rows: list[dict]) -> pd.DataFrame:
    """Return rows as the table `history`, with a null for what an objective does not have."""
    columns = ["loss", "nt_xent", "distillation", "ibot", "koleo", "local_aggregation"]
    columns += ["lr", "feature_std", "rank", "teacher_entropy"]
    frame = pd.DataFrame(rows, columns=["Metadata_Step", *columns])
    return frame.astype({"Metadata_Step": "int32"} | dict.fromkeys(columns, "float32"))
