"""Intensity statistics as an encoder (kind `intensity`): the simplest baseline that a trained encoder must exceed.

A few numbers per view: mean and standard deviation of each channel, and the correlation of each pair of channels.
"""

import torch
from torch import Tensor, nn

LEAST_STD = 1e-3  # of standardised pixels; correlations of a channel without signal are 0


class Intensity(nn.Module):
    """Mean, standard deviation and pairwise correlation of the channels of a view, without weights.

    (B, C, H, W) float32 -> (B, 2 C + C (C - 1) / 2) float32: means, standard deviations, correlations in the order
    (0, 1), (0, 2), ..., (1, 2), ....

    Examples
    --------
    >>> network = Intensity(channels=2)
    >>> view = torch.tensor([[[[0.0, 2.0]], [[4.0, 0.0]]]])
    >>> network(view).tolist()
    [[1.0, 2.0, 1.0, 2.0, -1.0]]
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.pairs: Tensor
        self.register_buffer("pairs", torch.triu_indices(channels, channels, offset=1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the statistics of each view."""
        pixels = images.flatten(2).float()
        mean = pixels.mean(dim=2)
        centred = pixels - mean[:, :, None]
        covariance = centred @ centred.transpose(1, 2) / pixels.shape[2]
        std = covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
        unit = torch.where(std > LEAST_STD, 1 / std.clamp_min(LEAST_STD), 0)
        correlation = covariance * unit[:, :, None] * unit[:, None, :]
        first, second = self.pairs
        return torch.cat([mean, std, correlation[:, first, second]], dim=1)
