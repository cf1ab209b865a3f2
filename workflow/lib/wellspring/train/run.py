"""One training run: from a config entry and a training set to the network, its card and its history."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from wellspring.cells import model_files
from wellspring.encoders import cards, encoder, module
from wellspring.encoders.adaptive import Adaptive
from wellspring.screen.sections import Encoder, Train
from wellspring.train import build, distributed, hardware
from wellspring.train.adversary import codes
from wellspring.train.checkpoint import Checkpoint
from wellspring.train.data import fingerprint, manifest
from wellspring.train.journal import Row
from wellspring.train.labels import Grouped
from wellspring.train.loop import train
from wellspring.train.networks import width
from wellspring.train.retrieval_watch import Retrieval, split
from wellspring.train.settings import Settings, resolve
from wellspring.train.sources import Source

logger = logging.getLogger(__name__)

Card = dict[str, object]
Write = Callable[[nn.Module, Card, pd.DataFrame], None]
COLUMNS = ["loss", "nt_xent", "distillation", "ibot", "koleo", "local_aggregation", "adversary"]
COLUMNS += ["lr", "feature_std", "rank", "teacher_entropy", "retrieval", "retrieval_chance"]


def run(
    entry: Encoder,
    source: Source | None,
    *,
    name: str,
    channels: Sequence[str],
    seed: int,
    options: Train,
    checkpoint: Path,
    code: str = "",
    wells: pd.DataFrame | None = None,
    write: Write | None = None,
    hook: Callable[[int], None] | None = None,
) -> tuple[nn.Module, Card, pd.DataFrame]:
    """Train an encoder, or build it untrained when its steps are 0.

    With several processes, all of them return the same result, and the process of rank 0 writes it.

    Parameters
    ----------
    entry
        Entry of `encoders`, with its defaults filled in and its `like` followed.
    source
        Training images; None for an encoder that is not trained.
    name
        Name of the entry.
    channels
        Channels in the order of the source's pixels.
    seed
        Seed of the run; the entry's own seed has precedence.
    options
        The config section `train`.
    checkpoint
        File for the state of the unfinished run.
    code
        Digest of the code, part of the fingerprint.
    wells
        Treatments of the wells (`labels.COLUMNS`), for an encoder that matches wells of a treatment.
    write
        Called with the result in the process of rank 0; the checkpoint is removed only afterwards.
    hook
        Called with each step after it is done.

    Returns
    -------
    tuple
        The network (on the CPU), its card (JSON values), and the rows of the table `history`.

    Raises
    ------
    ValueError
        The encoder has steps and no source.
    hardware.TooLarge
        A step does not fit in the GPU's memory.
    """
    settings = resolve(entry, seed=seed)
    weights = settings.weights
    if weights is not None:
        model_files.check(weights.path, weights.sha256, key=f"encoders.{name}.weights")
    network = build.network(settings, channels=len(channels))
    card = _card(entry, settings, network, name=name, channels=channels)
    parts = None
    if settings.steps:
        if source is None:
            raise ValueError(f"encoders.{name}: expected training images for {settings.steps} steps, found none")
        parts = split(source, options.holdout, seed=settings.seed)
        card["trained_on"] = manifest(parts[0])
        card |= _untrained(parts[0], channels, name=name)
        if settings.aggregation.positives != "site":
            if wells is None:
                raise ValueError(
                    f"encoders.{name}.local_aggregation.positives: expected the wells' treatments, found none"
                )
            grouped = Grouped(parts[0], wells, settings.aggregation)
            card["labels"] = {"compounds": len(grouped.compounds), "items": int(grouped.labelled.sum())}
            parts = grouped, parts[1]
    digest = _fingerprint(card, options, seed=seed, code=code)
    file = Checkpoint(checkpoint, fingerprint=digest, minutes=options.checkpoint_minutes)
    rows: list[Row] = []
    if parts is not None:
        network, rows = _trained(network, settings, *parts, name=name, options=options, checkpoint=file, hook=hook)
    else:
        start = "first weights" if weights is None else weights.path
        logger.info("%s: not trained; a network of %d features with %s", name, card["features"], start)
    card["final"] = {key: value for key, value in rows[-1].items() if key != "Metadata_Step"} if rows else {}
    result = network, card, history(rows)
    if distributed.rank() == 0:
        if write is not None:
            write(*result)
        file.remove()
    return result


def _untrained(source: Source, channels: Sequence[str], *, name: str) -> dict[str, list[str]]:
    """Return the channels that no training image has, as `untrained` of the card; nothing where all are there."""
    lows = np.stack([scales.low for scales in source.pixels])
    absent = [channel for channel, low in zip(channels, lows.T, strict=True) if np.isnan(low).all()]
    if absent:
        logger.warning("%s: no training image has %s, which no plate is embedded by", name, ", ".join(absent))
    return {"untrained": absent} if absent else {}


def history(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as the table `history`, with a null for a figure that an objective does not have."""
    frame = pd.DataFrame(rows, columns=["Metadata_Step", *COLUMNS])
    return frame.astype({"Metadata_Step": "int32"} | dict.fromkeys(COLUMNS, "float32"))


def _trained(
    network: nn.Module,
    settings: Settings,
    source: Source,
    held: Source,
    *,
    name: str,
    options: Train,
    checkpoint: Checkpoint,
    hook: Callable[[int], None] | None,
) -> tuple[nn.Module, list[Row]]:
    """Train a network on a source; return the network that embeds, on the CPU, and the rows of the history.

    Retrieval is measured on the wells of `held`.
    """
    device = encoder.device()
    channels, plates = len(source.pixels[0].low), len(set(source.plate.tolist()))
    adversary = settings.adversary
    nuisances = codes(source, adversary.against)[1] if adversary.weight else ()
    if isinstance(network, Adaptive):
        network.mixed = any(bool(np.isnan(scales.low).any()) for scales in source.pixels)
    if adversary.weight and len(nuisances) < len(adversary.against):
        found = f"{len(adversary.against) - len(nuisances)} of {', '.join(adversary.against)}"
        logger.warning(
            "%s: adversary: %s have a single value in the training images and are not predicted", name, found
        )
    method = build.objective(
        network,
        settings,
        channels=channels,
        precision=options.precision,
        device=device,
        compiled=options.compile,
        nuisances=nuisances,
    )
    logger.info("%s: %d steps on %s, %d plates, %d items", name, settings.steps, device, plates, len(source.frame))
    try:
        rows = train(
            method,
            source,
            build.sampler(source, settings),
            settings,
            options,
            device=device,
            checkpoint=checkpoint,
            retrieval=Retrieval(held, settings, precision=options.precision),
            board=checkpoint.path.with_name("tensorboard") if options.tensorboard else None,
            hook=hook,
        )
    except torch.OutOfMemoryError as error:
        raise hardware.explain(settings, options, name=name, device=device, error=error) from error
    return hardware.plain(method.encoder).to("cpu"), rows


def _card(entry: Encoder, settings: Settings, network: nn.Module, *, name: str, channels: Sequence[str]) -> Card:
    """Return the card of an encoder before its training."""
    own = None if settings.factory is None else module.describe(settings.factory, settings.arguments)
    weights = settings.weights
    card: Card = {
        "name": name,
        "kind": entry.kind,
        "objective": settings.kind,
        "module": own,
        "backbone": settings.backbone if own is None and settings.kind != "intensity" else None,
        "backbone_options": settings.backbone_options if own is None else {},
        "stem": settings.stem,
        "channels": list(channels),
        "inputs": settings.inputs,
        "input_size": settings.input_size,
        "features": width(network, channels=len(channels), size=settings.input_size),
        "view": asdict(settings.view) | {"embedded": settings.embedded},
        "magnification": None if settings.kind in cards.FROZEN else settings.magnification,
        "steps": settings.steps,
        "seed": settings.seed,
        "weights": None if weights is None else {"name": Path(weights.path).name, "sha256": weights.sha256.lower()},
        "trained_on": None,
        "labels": None,
        "entry": asdict(entry),
        "final": {},
    }
    plain: Card = json.loads(json.dumps(card))  # lists instead of tuples
    return plain | {"training": cards.training(plain), "network_sha256": cards.network_digest(plain)}


def _fingerprint(card: Card, options: Train, *, seed: int, code: str) -> str:
    """Return the digest of everything that decides the weights of a run."""
    return fingerprint(
        card=card,
        seed=seed,
        precision=options.precision,
        compile=options.compile,
        accumulate=options.accumulate,
        processes=distributed.world(),
        code=code,
    )
