"""How much disk space the checkpoints of a training take, from its settings, before it begins."""

from dataclasses import replace

import torch

from wellspring.train import build
from wellspring.train.settings import Settings

FILES = 3  # the newest checkpoint, the one before it, and the one that is being written
MOMENTS = 2  # of AdamW, for each weight that is trained


def checkpoint_size(settings: Settings, *, channels: int) -> int:
    """Return the largest number of bytes that the checkpoints of a training take together.

    A network of timm is built without memory for its weights, so that the size of a large one is known at once.

    Parameters
    ----------
    settings
        Settings of the encoder.
    channels
        Number of input channels.

    Raises
    ------
    ValueError
        The network cannot be built; names the key of the config.
    """
    fresh = replace(settings, weights=None)
    with torch.device("meta" if settings.factory is None else "cpu"):
        backbone = build.network(fresh, channels=channels)
        method = build.OBJECTIVES[settings.kind](backbone, fresh, channels=channels, precision="float32")
    stored: int = sum(each.nbytes for each in method.state_dict().values())
    trained: int = sum(each.nbytes for each in method.parameters() if each.requires_grad)
    return FILES * (stored + MOMENTS * trained)
