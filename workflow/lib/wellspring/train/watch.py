"""Figures that show a collapse while training: features or distributions flow in, single numbers flow out."""

import torch
from torch import Tensor


def feature_std(features: Tensor) -> float:
    """Mean over dimensions of the standard deviation of L2-normalised features, times the root of their number.

    1 for features spread evenly over the sphere, 0 when all are one point.

    Parameters
    ----------
    features
        (B, D) float.
    """
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """RankMe: exponential of the entropy of the singular values (Garrido et al. 2023, arXiv 2210.02885).

    Parameters
    ----------
    features
        (B, D) float; they are centred first, since a common offset is no dimension of variation.

    Returns
    -------
    float
        Between 1 and min(B, D); 0 when all features are equal.
    """
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    if total <= 1e-12:
        return 0.0
    share = values / total
    return float(torch.exp(-(share * torch.log(share + 1e-12)).sum()))


def entropy(probabilities: Tensor) -> float:
    """Mean entropy of distributions (..., K), in nats: log K when flat, 0 when each is one prototype."""
    return float(-(probabilities * torch.log(probabilities + 1e-12)).sum(dim=-1).mean())
