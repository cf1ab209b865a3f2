"""The objects of a training, built from its settings: the network, the objective around it, and the sampler."""

import logging
from collections.abc import Sequence

import torch
from torch import nn

from wellspring.encoders import encoder, module
from wellspring.encoders.factory import Factory
from wellspring.encoders.intensity import Intensity
from wellspring.encoders.stems import Mapped, matrix
from wellspring.io.packaged import located
from wellspring.train import hardware
from wellspring.train.objective import Objective
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings
from wellspring.train.simclr import SimCLR
from wellspring.train.sources import Source
from wellspring.train.sslprofiler import SSLProfiler

logger = logging.getLogger(__name__)

OBJECTIVES = {"simclr": SimCLR, "sslprofiler": SSLProfiler, "dino": SSLProfiler}


def network(settings: Settings, *, channels: int) -> nn.Module:
    """Build the network that embeds, with its first weights.

    The weights come from `settings.weights` or from the seed; the global random state is restored.
    """
    if settings.kind == "intensity":
        return Intensity(channels=channels)
    start = None if settings.weights is None else located(settings.weights.path, key="encoders.weights")
    taken = len(settings.inputs) or channels
    if settings.factory is not None:
        sizes = [settings.input_size]
        if settings.distilled and settings.distillation.local_count:
            sizes.append(settings.distillation.local_size)
        own = module.build(
            Factory.read(settings.factory),
            channels=taken,
            size=settings.input_size,
            arguments=settings.arguments,
            seed=settings.seed,
            weights=start,
        )
        module.check(own, channels=taken, sizes=sizes, objective=settings.kind, key="encoders.factory")
    else:
        own = encoder.build(
            settings.backbone,
            channels=taken,
            size=settings.input_size,
            options=settings.backbone_options,
            seed=settings.seed,
            drop_path=settings.distillation.drop_path if settings.distilled else 0.0,
            weights=start,
            stem=settings.stem,
            widening=not settings.inputs,
        )
    if settings.inputs:
        own = Mapped(own, matrix(settings.inputs, settings.channels))
    return own.to(memory_format=torch.channels_last)


def objective(
    backbone: nn.Module,
    settings: Settings,
    *,
    channels: int,
    precision: str,
    device: torch.device,
    compiled: bool,
    nuisances: Sequence[int] = (),
) -> Objective:
    """Build the objective around a network; its heads draw their first weights at the seed.

    Parameters
    ----------
    backbone
        As `network` returns it.
    settings
        Settings of the encoder.
    channels
        Number of input channels.
    precision
        `float32` or `bfloat16`, for the networks.
    device
        The device on which the objective will be trained; the objective is not moved there.
    compiled
        Whether backbones are compiled.
    nuisances
        Number of values of each nuisance that an adversary predicts.
    """
    torch.manual_seed(settings.seed)  # heads draw from the global state
    kind = OBJECTIVES[settings.kind]
    method = kind(backbone, settings, channels=channels, precision=precision, nuisances=nuisances)
    return hardware.fit(method, device=device, compiled=compiled)


def sampler(source: Source, settings: Settings) -> Sampler:
    """Build the sampler that draws the batches from a source."""
    drawn = Sampler(
        source.plate,
        source.well,
        source.site,
        batch=settings.batch,
        sites=settings.sites,
        one_plate=settings.one_plate,
        seed=settings.seed,
        alone=settings.view.kind == "tile",
    )
    if settings.sites > 1 and drawn.short_wells:
        logger.info(
            "%d wells have fewer than %d sites; their groups contain several places of one site",
            drawn.short_wells,
            settings.sites,
        )
    return drawn
