"""How channels enter a network: each alone (`Channelwise`), or by a map to the inputs of a model (`Mapped`)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Channelwise(nn.Module):
    """A network of one input channel, applied to each channel; features are concatenated channel by channel.

    The stem's weights for three colours are summed, so that a channel is processed like a grey image
    (`pretrained.widen`). (B, C, H, W) -> (B, C * features).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Encode one channel after the other, in the memory of one."""
        return torch.cat([self.network(channel) for channel in images.split(1, dim=1)], dim=1)


class Mapped(nn.Module):
    """A network of fixed inputs, fed by the channels of a screen; (B, C, H, W) -> (B, features).

    Parameters
    ----------
    network
        Maps (B, inputs, H, W) to (B, features).
    weights
        (inputs, C) float32, the share of each channel in each input; see `matrix`.
    """

    def __init__(self, network: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.network = network
        self.weights: Tensor
        self.register_buffer("weights", weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of the network's inputs."""
        found: Tensor = self.network(self.mapped(images))
        return found

    def mapped(self, images: Tensor) -> Tensor:
        """Return the inputs (B, inputs, H, W) of images (B, C, H, W)."""
        inputs = self.weights @ images.flatten(2)
        return inputs.reshape(images.shape[0], -1, *images.shape[2:])


def matrix(inputs: Sequence[tuple[str, Sequence[str]]], channels: Sequence[str]) -> Tensor:
    """Return the share of each channel in each input, (inputs, channels) float32.

    Parameters
    ----------
    inputs
        Name and channels of each input: their mean; none for an input of zeros.
    channels
        Names, in the order of the images.

    Examples
    --------
    >>> matrix([("red", ["AGP"]), ("green", ["ER", "RNA"]), ("blue", [])], ["ER", "RNA", "AGP"]).tolist()
    [[0.0, 0.0, 1.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    rows = [[(name in mine) / max(len(mine), 1) for name in channels] for _, mine in inputs]
    return torch.tensor(rows, dtype=torch.float32)
