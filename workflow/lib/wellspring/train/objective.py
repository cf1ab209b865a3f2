"""The interface between the training loop and an objective (`simclr.SimCLR`, `sslprofiler.SSLProfiler`)."""

import torch
from torch import Tensor, nn

from wellspring.train.adversary import Adversary
from wellspring.train.data import Batch


class Objective(nn.Module):
    """Networks and their loss by step."""

    @property
    def encoder(self) -> nn.Module:
        """The network that embeds after training."""
        raise NotImplementedError

    def forward(
        self, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the terms of the loss and the tensors that are watched for a collapse.

        The terms are scalars; `loss` is their weighted sum. Watched are `features` (B, D) and, with a teacher,
        `teacher` (views, B, prototypes), its distributions.
        """
        raise NotImplementedError

    def opposed(
        self, terms: dict[str, Tensor], features: Tensor, batch: Batch, adversary: Adversary | None
    ) -> dict[str, Tensor]:
        """Return the terms with that of the adversary, for features (views x B, D), view by view.

        Without an adversary, they are returned as they are.
        """
        if adversary is None or batch.nuisances is None:
            return terms
        known = batch.nuisances.repeat(len(features) // len(batch.nuisances), 1)
        term = adversary(features, known)
        return terms | {"adversary": term, "loss": terms["loss"] + term}

    def before_update(self, step: int) -> None:
        """Change gradients before the optimiser's update; the default changes nothing."""

    def after_update(self, step: int) -> None:
        """Change weights after the optimiser's update; the default changes nothing."""
