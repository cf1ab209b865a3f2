"""One training run: a config entry and a training set flow in, a network, its card and its history flow out."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from wellspring.cells import model_files
from wellspring.encoders import cards, encoder, module
from wellspring.encoders.factory import Factory
from wellspring.train import distributed, hardware
from wellspring.train.checkpoint import Checkpoint
from wellspring.train.data import fingerprint, manifest
from wellspring.train.loop import train
from wellspring.train.networks import width
from wellspring.train.retrieval_watch import Retrieval, split
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings, resolve
from wellspring.train.simclr import SimCLR
from wellspring.train.sources import Source
from wellspring.train.sslprofiler import SSLProfiler

logger = logging.getLogger(__name__)

METHODS = {"simclr": SimCLR, "sslprofiler": SSLProfiler, "dino": SSLProfiler}


def run(
    entry: Mapping[str, object],
    source: Source | None,
    *,
    name: str,
    channels: list[str],
    seed: int,
    options: Mapping[str, object],
    checkpoint: Path,
    code: str = "",
    write: Callable[[nn.Module, dict, pd.DataFrame], None] | None = None,
    hook: Callable[[int], None] | None = None,
) -> tuple[nn.Module, dict, pd.DataFrame]:
    """Train an encoder, or build it untrained when its steps are 0.

    As one of several processes: all return the same, the one of rank 0 writes.

    Parameters
    ----------
    entry
        Of `encoders`, its defaults filled in and its `like` followed.
    source
        Training images; None for an encoder that is not trained.
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
    write
        Called with the result, by the process of rank 0; only then is the checkpoint removed.
    hook
        Called with each step when it is done.

    Returns
    -------
    tuple
        The network (on the CPU), its card (JSON values), and the rows of the table `history`.
    """
    settings = resolve(entry, seed=seed)
    device = encoder.device()
    seen = None
    if settings.steps:
        trained, shown = split(source, options["holdout"], seed=settings.seed)
        seen = manifest(trained)
    start = None
    if settings.weights:
        model_files.check(settings.weights, settings.weights_sha256, key=f"encoders.{name}.weights")
        start = settings.weights_sha256.lower()
    network = build(settings, channels=len(channels))
    features = width(network, channels=len(channels), size=settings.input_size)
    source_code = None if settings.factory is None else module.describe(settings.factory, settings.arguments)
    rows: list[dict] = []
    file = Checkpoint(
        checkpoint,
        fingerprint=fingerprint(
            entry=dict(entry),
            seed=seed,
            channels=channels,
            **{name: options[name] for name in ("precision", "compile", "accumulate")},
            processes=distributed.world(),
            manifest=seen,
            start=start,
            source=None if source_code is None else source_code["sha256"],
            code=code,
        ),
        minutes=options["checkpoint_minutes"],
    )
    if settings.steps:
        # Heads draw their first weights from the global state.
        torch.manual_seed(settings.seed)
        method = METHODS[settings.kind](network, settings, channels=len(channels), precision=options["precision"])
        method = hardware.fit(method, device=device, compile=options["compile"])
        logger.info(
            "%s: %d steps on %s, %d plates, %d items", name, settings.steps, device, len(seen["plates"]), seen["items"]
        )
        how = {key: options[key] for key in ("precision", "accumulate")}
        try:
            rows = train(
                method,
                trained,
                sampler(trained, settings),
                settings,
                device=device,
                checkpoint=file,
                log_every=options["log_every"],
                accumulate=options["accumulate"],
                retrieval=Retrieval(shown, settings, precision=options["precision"]),
                retrieve_every=options["retrieve_every"],
                board=checkpoint.with_name("tensorboard") if options["tensorboard"] else None,
                hook=hook,
            )
        except torch.OutOfMemoryError as error:
            raise hardware.explain(settings, name=name, device=device, error=error, **how) from error
        network = hardware.plain(method.encoder).to("cpu")
    else:
        logger.info("%s: not trained; %d features of %s", name, features, settings.weights or "first weights")
    card = {
        "name": name,
        "kind": entry["kind"],
        "objective": settings.kind,
        "module": source_code,
        "backbone": settings.backbone if source_code is None else None,
        "backbone_options": settings.backbone_options if source_code is None else {},
        "stem": settings.stem,
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
    card |= {"training": cards.training(card), "network_sha256": cards.network_digest(card)}
    result = network, card, history(rows)
    if distributed.rank() == 0:
        if write is not None:
            write(*result)
        file.remove()
    return result


def build(settings: Settings, *, channels: int) -> nn.Module:
    """Build the backbone of an encoder at its seed."""
    if settings.factory is not None:
        sizes = [settings.input_size]
        if settings.distilled and settings.distillation["local_count"]:
            sizes.append(settings.distillation["local_size"])
        own = module.build(
            Factory.read(settings.factory),
            channels=channels,
            size=settings.input_size,
            arguments=settings.arguments,
            seed=settings.seed,
            weights=settings.weights,
        )
        module.check(own, channels=channels, sizes=sizes, objective=settings.kind, key="encoders.factory")
        return own.to(memory_format=torch.channels_last)
    drop_path = settings.distillation["drop_path"] if settings.distilled else 0.0
    network = encoder.build(
        settings.backbone,
        channels=channels,
        size=settings.input_size,
        options=settings.backbone_options,
        seed=settings.seed,
        drop_path=drop_path,
        weights=settings.weights,
        stem=settings.stem,
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
    columns += ["lr", "feature_std", "rank", "teacher_entropy", "retrieval", "retrieval_chance"]
    frame = pd.DataFrame(rows, columns=["Metadata_Step", *columns])
    return frame.astype({"Metadata_Step": "int32"} | dict.fromkeys(columns, "float32"))
