"""A network for any subset of its channels (stem `adaptive`): one shared network, and learned gains per channel.

Each channel goes alone through the network of one input channel, as a grey image. The features of a channel are
multiplied by its gains and shifted, and the mean over the channels is the joint embedding, whose length does not
depend on the number of channels. In training, each step shows a random subset of the channels (hierarchical channel
sampling of ChannelViT, Bao et al. 2024, arXiv 2309.16108), so that the mean of fewer channels is an embedding of the
same kind.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Adaptive(nn.Module):
    """A joint embedding of any channels of a panel; (B, C, H, W) -> (B, features).

    Parameters
    ----------
    network
        Maps (B, 1, H, W) to (B, features).
    channels
        Number of channels C of the panel.
    features
        Number of features of the network.

    Attributes
    ----------
    gain, shift
        (C, features), learned; 1 and 0 at first.
    sampled
        Whether a step of training shows a random subset of the channels.
    """

    def __init__(self, network: nn.Module, *, channels: int, features: int) -> None:
        super().__init__()
        self.network = network
        self.gain = nn.Parameter(torch.ones(channels, features))
        self.shift = nn.Parameter(torch.zeros(channels, features))
        self.sampled = True

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean over the channels; in training, over a random subset of one to all of them."""
        count = images.shape[1]
        if count != len(self.gain):
            raise ValueError(f"images: expected {len(self.gain)} channels, found {count}")
        shown = list(range(count))
        if self.training and self.sampled:
            many = int(torch.randint(1, count + 1, ()))
            shown = torch.randperm(count)[:many].sort().values.tolist()
        seen = [self.network(images[:, place : place + 1]) * self.gain[place] + self.shift[place] for place in shown]
        return torch.stack(seen).mean(dim=0)

    def of(self, places: Sequence[int]) -> "Adaptive":
        """Return the same network for the channels at these places of the panel, in this order; weights are shared."""
        chosen = list(places)
        part = Adaptive(self.network, channels=len(chosen), features=self.gain.shape[1])
        part.gain = nn.Parameter(self.gain.detach()[chosen], requires_grad=self.gain.requires_grad)
        part.shift = nn.Parameter(self.shift.detach()[chosen], requires_grad=self.shift.requires_grad)
        return part.train(self.training)
