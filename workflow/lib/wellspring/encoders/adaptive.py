"""A network for any subset of its channels (stem `adaptive`): one shared network, and learned gains per channel.

Each channel goes alone through the network of one input channel, as a grey image. The features of a channel are
multiplied by its gains and shifted, and the mean over the channels is the joint embedding, whose length does not
depend on the number of channels. In training, each step shows a random subset of the channels (hierarchical channel
sampling of ChannelViT, Bao et al. 2024, arXiv 2309.16108), so that the mean of fewer channels is an embedding of the
same kind.

Plates of different panels train one network: channels that an image's plate lacks are NaN, and no part of its mean.
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
    mixed
        Whether images may lack channels, which are NaN in every pixel; if not, no image is searched for NaN.
    """

    def __init__(self, network: nn.Module, *, channels: int, features: int) -> None:
        super().__init__()
        self.network = network
        self.gain = nn.Parameter(torch.ones(channels, features))
        self.shift = nn.Parameter(torch.zeros(channels, features))
        self.sampled, self.mixed = True, False

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean over the channels; in training, over a random subset of one to all of them."""
        count = images.shape[1]
        if count != len(self.gain):
            raise ValueError(f"images: expected {len(self.gain)} channels, found {count}")
        if self.mixed:
            return self._of_present(images)
        shown = list(range(count))
        if self.training and self.sampled:
            many = int(torch.randint(1, count + 1, ()))
            shown = torch.randperm(count)[:many].sort().values.tolist()
        return torch.stack([self._alone(images, place) for place in shown]).mean(dim=0)

    def each(self, images: Tensor) -> Tensor:
        """Return the embeddings of all channels, joined channel by channel, (B, C * features)."""
        if images.shape[1] != len(self.gain):
            raise ValueError(f"images: expected {len(self.gain)} channels, found {images.shape[1]}")
        return torch.cat([self._alone(images, place) for place in range(len(self.gain))], dim=1)

    def _alone(self, images: Tensor, place: int) -> Tensor:
        """Return the embedding of one channel, (B, features)."""
        found: Tensor = self.network(images[:, place : place + 1]) * self.gain[place] + self.shift[place]
        return found

    def _of_present(self, images: Tensor) -> Tensor:
        """Return the mean over the channels that an image has; in training, over a random subset of them."""
        shown = ~images.isnan().flatten(2).any(dim=2)
        if self.training and self.sampled:
            shown = subset(shown)
        total, parts = None, []
        for place in range(images.shape[1]):
            rows = shown[:, place].nonzero()[:, 0]
            if len(rows):
                parts.append((rows, self._alone(images[rows], place)))
        for rows, part in parts:
            total = part.new_zeros(len(images), part.shape[1]) if total is None else total
            total = total.index_add(0, rows, part)
        if total is None:
            raise ValueError("images: expected one channel or more without NaN, found none")
        return total / shown.sum(dim=1, keepdim=True)

    def of(self, places: Sequence[int]) -> "Adaptive":
        """Return the same network for the channels at these places of the panel, in this order; weights are shared."""
        chosen = list(places)
        part = Adaptive(self.network, channels=len(chosen), features=self.gain.shape[1])
        part.gain = nn.Parameter(self.gain.detach()[chosen], requires_grad=self.gain.requires_grad)
        part.shift = nn.Parameter(self.shift.detach()[chosen], requires_grad=self.shift.requires_grad)
        return part.train(self.training)


def subset(present: Tensor) -> Tensor:
    """Return a random subset of the channels of each image, by one draw for the batch: its share, and their order.

    Parameters
    ----------
    present
        (B, C) bool; each image has one channel or more.

    Returns
    -------
    Tensor
        (B, C) bool: of an image with n channels m, which is uniform in 1 to n.
    """
    order = torch.randperm(present.shape[1]).to(present.device)
    share = float(torch.rand(()))
    many = 1 + (share * present.sum(dim=1, keepdim=True)).floor()
    rank = torch.empty_like(present, dtype=torch.int64)
    rank[:, order] = present[:, order].cumsum(dim=1)
    return present & (rank <= many)
