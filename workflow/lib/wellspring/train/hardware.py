"""What the machine asks of an objective: the objective flows in, the same fit for several GPUs or compiled flows out.

And what to change when a GPU has too little memory. Nothing is changed unasked, since a result would change with it.
"""

from collections.abc import Iterator

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from wellspring.train import distributed
from wellspring.train.settings import Settings


class TooLarge(RuntimeError):
    """A step does not fit in the memory of the GPU."""


def fit(method: nn.Module, *, device: torch.device, compile: bool) -> nn.Module:
    """Return an objective whose batch normalisation spans all GPUs, with its backbones compiled where asked for.

    Names and values of its weights stay as they are. On CPUs each process normalises by its own images.
    """
    if device.type == "cuda" and distributed.world() > 1:
        method = convert_sync_batchnorm(method)
    if compile:
        for backbone in _backbones(method):
            # Crops of two sizes are two graphs: one graph for any size would be a slower one.
            name = "forward_features" if hasattr(backbone, "forward_features") else "forward"
            setattr(backbone, name, torch.compile(getattr(backbone, name), dynamic=False))
    return method


def plain(network: nn.Module) -> nn.Module:
    """Return a backbone without what `fit` compiled of it."""
    for name in ("forward_features", "forward"):
        network.__dict__.pop(name, None)
    return network


def explain(
    settings: Settings, *, name: str, precision: str, accumulate: int, device: torch.device, error: Exception
) -> TooLarge:
    """Return the error that says what did not fit and what to change, in the order of what costs least.

    Parameters
    ----------
    settings
        Of the encoder.
    name
        Of the encoder.
    precision, accumulate
        As in the config.
    device
        The GPU.
    error
        What torch raised.
    """
    world = distributed.world()
    part = settings.batch // (world * accumulate)
    options = settings.distillation
    views, shrink = f"2 views of {settings.view['size']} px", "a smaller view.size"
    if settings.distilled:
        views = f"{options['global_count']} crops of {options['global_size']} px"
        shrink = "smaller crops (distillation.global_size)"
        if options["local_count"]:
            views += f" and {options['local_count']} of {options['local_size']} px"
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
            note += ", whose images are told from those of their part alone"
        elif options["koleo"] > 0 or options["targets"] == "sinkhorn":
            note += ", each of which KoLeo and Sinkhorn see alone"
        advice.append(f"train.accumulate: {more[0]} ({note})")
    advice += ["more GPUs (train.gpus)", shrink, "a smaller batch"]
    return TooLarge(
        f"encoders.{name}: a step does not fit in the GPU's memory ({_memory(device)}): {part} images "
        f"({settings.batch} a step, {world} processes, {accumulate} parts), {views} each, {settings.backbone}, "
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
