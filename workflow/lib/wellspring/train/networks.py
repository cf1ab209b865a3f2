"""Heads that are used while training only: a backbone's features flow in, what a loss compares flows out."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize


class Projector(nn.Sequential):
    """SimCLR's projection: linear, batch normalisation or none, ReLU, linear; (B, features) -> (B, out)."""

    def __init__(self, features: int, *, hidden: int, out: int, batch_norm: bool) -> None:
        layers = [nn.Linear(features, hidden, bias=not batch_norm)]
        if batch_norm:
            layers.append(nn.BatchNorm1d(hidden))
        super().__init__(*layers, nn.ReLU(), nn.Linear(hidden, out))


class PrototypeHead(nn.Module):
    """DINO's head: an MLP to a bottleneck, normalised, then cosines to prototypes; (B, features) -> (B, prototypes).

    The prototypes are the weight-normalised last layer of the paper with its lengths fixed at 1.
    """

    def __init__(
        self, features: int, *, prototypes: int, hidden: int, bottleneck: int, batch_norm: bool = False
    ) -> None:
        super().__init__()
        widths = [features, hidden, hidden]
        layers: list[nn.Module] = []
        for wide, narrow in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(wide, narrow), *([nn.BatchNorm1d(narrow)] if batch_norm else []), nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.prototypes, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """Return the cosines of the bottleneck to each prototype."""
        return linear(normalize(self.mlp(features), dim=-1), normalize(self.prototypes, dim=-1))


def width(backbone: nn.Module, *, channels: int, size: int) -> int:
    """Return the number of features of a backbone, by asking it (timm's own figure leaves out pre-logits layers)."""
    was = backbone.training
    backbone.eval()
    with torch.no_grad():
        found = backbone(torch.zeros(1, channels, size, size)).shape[1]
    backbone.train(was)
    return found


def groups(module: nn.Module) -> list[dict[str, object]]:
    """Split the trained parameters in two optimiser groups: weights decay, biases and normalisations do not."""
    trained = [each for each in module.parameters() if each.requires_grad]
    return [
        {"params": [each for each in trained if each.ndim > 1], "decays": True},
        {"params": [each for each in trained if each.ndim <= 1], "decays": False},
    ]


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, *, momentum: float) -> None:
    """Move the teacher's weights towards the student's: m * teacher + (1 - m) * student; buffers are copied."""
    for target, source in zip(teacher.parameters(), student.parameters(), strict=True):
        target.lerp_(source.detach(), 1 - momentum)
    for target, source in zip(teacher.buffers(), student.buffers(), strict=True):
        target.copy_(source)
