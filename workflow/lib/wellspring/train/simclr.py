"""SimCLR: the contrastive loss of two views of each image.

Method: Chen et al. 2020 (arXiv 2002.05709), as Perakis et al. 2021 (arXiv 2103.16670) use it on single cells. An
optional local aggregation takes cells of other sites of the well as positives.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wellspring.encoders.encoder import precise
from wellspring.train import distributed, losses
from wellspring.train.adversary import Adversary
from wellspring.train.augment import view
from wellspring.train.data import Batch
from wellspring.train.networks import Projector, width
from wellspring.train.objective import Objective
from wellspring.train.settings import Settings
from wellspring.views.cutting import soft_window


class SimCLR(Objective):
    """A backbone with a projector, and the loss of a step.

    Parameters
    ----------
    backbone
        Maps (B, C, size, size) to (B, features); it embeds after training.
    settings
        Settings of the encoder.
    channels
        Number of input channels.
    precision
        `float32` or `bfloat16` for the network; the loss is float32.
    nuisances
        Number of values of each nuisance that the adversary predicts; without any there is no adversary.
    """

    def __init__(
        self,
        backbone: nn.Module,
        settings: Settings,
        *,
        channels: int,
        precision: str,
        nuisances: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.window: Tensor | None
        self.settings, self.precision = settings, precision
        self.backbone = backbone
        features = width(backbone, channels=channels, size=settings.input_size)
        weight = settings.adversary.weight
        self.adversary = Adversary(features, classes=nuisances, weight=weight) if nuisances else None
        head = settings.projector
        self.projector = Projector(features, hidden=head.hidden, out=head.out, batch_norm=head.batch_norm)
        look = settings.view
        window = None if look.window is None else torch.from_numpy(soft_window(look.size, look.window))
        self.register_buffer("window", window, persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The network that embeds."""
        return self.backbone

    def forward(
        self, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the terms of the loss, and the `features` (B, D) of the first views; see `Objective.forward`."""
        strengths = self.settings.strengths(step)
        views = [
            view(
                batch.images,
                strengths,
                generator,
                size=self.settings.view.size,
                mean=batch.mean,
                std=batch.std,
                window=self.window,
                region=self.settings.view.size,
                alone=self.settings.view.pixels == "view",
            )
            for _ in range(2)
        ]
        with precise(batch.images.device, self.precision):
            features = self.backbone(torch.cat(views))
            first, second = (distributed.gather(part.float()) for part in self.projector(features).chunk(2))
        temperature = self.settings.temperature
        terms = {"nt_xent": losses.nt_xent(first, second, temperature=temperature)}
        terms["loss"] = terms["nt_xent"]
        if batch.sites > 1:
            terms["local_aggregation"] = losses.pair_nt_xent(
                first, second, sites=batch.sites, well=distributed.gather(batch.well), temperature=temperature
            )
            terms["loss"] = terms["nt_xent"] + self.settings.aggregation.weight * terms["local_aggregation"]
        terms = self.opposed(terms, features, batch, self.adversary)
        return terms, {"features": features.chunk(2)[0].detach()}
