"""Build the network of an encoder, and the objective around it, without memory for weights: before any job runs."""

from dataclasses import replace

import torch

from wellspring.screen.sections import Encoder
from wellspring.train import build
from wellspring.train.settings import resolve


def rehearse(entry: Encoder, *, name: str, channels: int, seed: int) -> None:
    """Build what the rule `train` will build for an encoder that is a network of timm.

    Files of weights are not read, except for a model of fixed inputs: the file decides the number of inputs.

    Parameters
    ----------
    entry
        The entry of `encoders`, complete.
    name
        Its name.
    channels
        Number of channels of the screen; an entry with `channels` of its own has the number of these.
    seed
        Of the run.

    Raises
    ------
    ValueError
        The settings exclude each other, or the network or its objective cannot be built; names the encoder.
    """
    count = len(entry.channels) or channels
    try:
        settings = resolve(entry, seed=seed)
        if settings.inputs:
            build.network(settings, channels=count)
        settings = replace(settings, weights=None)
        with torch.device("meta"):
            backbone = build.network(settings, channels=count)
            if settings.steps:
                build.OBJECTIVES[settings.kind](backbone, settings, channels=count, precision="float32")
    except Exception as error:  # timm raises exceptions of many kinds for options that a model does not take
        raise ValueError(f"encoders.{name}: {error}") from error
