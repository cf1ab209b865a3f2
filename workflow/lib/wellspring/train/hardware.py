"""Fit an objective to the machine: batch normalisation over several GPUs, compiled backbones.

When a GPU has too little memory, the error lists what to change. Nothing is changed without being asked for, since
the result would change with it.
"""

from collections.abc import Iterator
from typing import TypeVar

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from wellspring.screen.sections import Train
from wellspring.train import distributed
from wellspring.train.settings import Settings

Module = TypeVar("Module", bound=nn.Module)


class TooLarge(RuntimeError):
    """A step does not fit in the memory of the GPU."""


def fit(method: Module, *, device: torch.device, compiled: bool) -> Module:
    """Make batch normalisation span all GPUs, and compile the backbones if asked for; return the objective.

    Names and values of the weights do not change. On CPUs, each process normalises by its own images.
    """
    if device.type == "cuda" and distributed.world() > 1:
        convert_sync_batchnorm(method)  # in place, since the objective itself is not a normalisation layer
    if compiled:
        for backbone in _backbones(method):
            if getattr(backbone, "mixed", False):
                continue  # which images have a channel differs by batch, and each number would be compiled anew
            # Crops of two sizes make two graphs; one graph for any size would be slower.
            name = "forward_features" if hasattr(backbone, "forward_features") else "forward"
            setattr(backbone, name, torch.compile(getattr(backbone, name), dynamic=False))
    return method


def plain(network: nn.Module) -> nn.Module:
    """Return a backbone with the methods that `fit` compiled restored."""
    for name in ("forward_features", "forward"):
        network.__dict__.pop(name, None)
    return network


def explain(settings: Settings, options: Train, *, name: str, device: torch.device, error: Exception) -> TooLarge:
    """Return the error for a step that did not fit, with what to change, the cheapest change first.

    Parameters
    ----------
    settings, name
        Settings and name of the encoder.
    options
        The config section `train`.
    device
        The GPU.
    error
        The error that torch raised.
    """
    world, accumulate, precision = distributed.world(), options.accumulate, options.precision
    part, crops = settings.batch // (world * accumulate), settings.distillation
    views, shrink = f"2 views of {settings.view.size} px", "a smaller view.size"
    if settings.distilled:
        views = f"{crops.global_count} crops of {crops.global_size} px"
        shrink = "smaller crops (distillation.global_size)"
        if crops.local_count:
            views += f" and {crops.local_count} of {crops.local_size} px"
            shrink = "fewer or smaller crops (distillation.local_count, global_size)"
    advice = [] if precision == "bfloat16" else ["train.precision: bfloat16"]
    more = [
        count
        for count in range(accumulate + 1, settings.batch + 1)
        if settings.batch % (count * world * settings.sites) == 0
    ]
    if more:
        note = "the same batch in parts"
        if not settings.distilled:
            note += "; the contrast then compares images of one part alone"
        elif settings.koleo > 0 or crops.targets == "sinkhorn":
            note += "; KoLeo and Sinkhorn then compare images of one part alone"
        advice.append(f"train.accumulate: {more[0]} ({note})")
    advice += ["more GPUs (train.gpus)", shrink, "a smaller batch"]
    return TooLarge(
        f"encoders.{name}: a step does not fit in the GPU's memory ({_memory(device)}): {part} images "
        f"({settings.batch} per step, {world} processes, {accumulate} parts), {views} each, {settings.backbone}, "
        f"{precision}. What to change: {'; or '.join(advice)}. ({str(error).splitlines()[0]})"
    )


def _backbones(method: nn.Module) -> Iterator[nn.Module]:
    for name, module in method.named_modules():
        if name.split(".")[-1] == "backbone":
            yield module


def _memory(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    total, held = torch.cuda.get_device_properties(device).total_memory, torch.cuda.max_memory_allocated(device)
    return f"{torch.cuda.get_device_name(device)}, {total / 2**30:.1f} GiB, of which {held / 2**30:.1f} were used"
