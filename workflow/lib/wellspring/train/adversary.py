"""An adversary that reads plate and well position from the features, and whose gradient is reversed.

Domain-adversarial training (Ganin et al. 2016, arXiv 1505.07818): small heads learn to predict the plate, row and
column of an image from its features, while the backbone gets the reversed gradient, so that it removes what they read.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wellspring.screen.well_names import position
from wellspring.train.sources import Source

HIDDEN = 64


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by minus a weight."""

    @staticmethod
    def forward(context: Any, features: Tensor, weight: float) -> Tensor:  # noqa: ANN401  of torch's protocol
        context.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return -context.weight * gradients[0], None


class Adversary(nn.Module):
    """Heads that predict nuisances from features; (B, D) and (B, K) codes to a scalar loss.

    Parameters
    ----------
    features
        D.
    classes
        Number of values of each of the K nuisances.
    weight
        Weight of the reversed gradient for the backbone; the heads learn at full rate.
    """

    def __init__(self, features: int, *, classes: Sequence[int], weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, count)) for count in classes
        )

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        """Return the mean cross-entropy of the heads, float32; its gradient for the features is reversed."""
        seen = _Reversed.apply(features.float(), self.weight)
        losses = [cross_entropy(head(seen).float(), codes[:, place]) for place, head in enumerate(self.heads)]
        return torch.stack(losses).mean()


def codes(source: Source, against: Sequence[str]) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return the nuisances of each item, (N, K) int64, and the number of values of each.

    Parameters
    ----------
    source
        Training images.
    against
        Of `plate`, `row` and `column`; those with a single value are left out.
    """
    wells = source.frame["Metadata_Well"].astype(str)
    places = {name: position(name) for name in wells.unique()}
    known = {
        "plate": np.asarray(source.plate),
        "row": wells.map(lambda name: places[name][0]).to_numpy(),
        "column": wells.map(lambda name: places[name][1]).to_numpy(),
    }
    numbered = [np.unique(known[name], return_inverse=True) for name in against]
    kept = [(len(values), inverse) for values, inverse in numbered if len(values) > 1]
    matrix = np.stack([inverse for _, inverse in kept], axis=1) if kept else np.zeros((len(wells), 0))
    return matrix.astype(np.int64), tuple(count for count, _ in kept)
