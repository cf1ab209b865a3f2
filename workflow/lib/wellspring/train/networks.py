"""Heads, pooling and mask token that training adds to a backbone."""

from typing import cast

import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from wellspring.encoders.module import PatchTokens, lacking


class Projector(nn.Sequential):
    """SimCLR's projection: linear, optional batch normalisation, ReLU, linear; (B, features) to (B, out)."""

    def __init__(self, features: int, *, hidden: int, out: int, batch_norm: bool) -> None:
        layers: list[nn.Module] = [nn.Linear(features, hidden, bias=not batch_norm)]
        if batch_norm:
            layers.append(nn.BatchNorm1d(hidden))
        super().__init__(*layers, nn.ReLU(), nn.Linear(hidden, out))


class PrototypeHead(nn.Module):
    """DINO's head: an MLP to a bottleneck, normalised, then cosines to prototypes; (B, features) to (B, prototypes).

    The prototypes are the weight-normalised last layer of the paper with the lengths fixed at 1.
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
        """Return the cosine between the bottleneck and each prototype, (B, prototypes)."""
        return linear(normalize(self.mlp(features), dim=-1), normalize(self.prototypes, dim=-1))


class Pool(nn.Module):
    """Pool the features of several views to one vector: (B, views, D) to (B, D).

    Parameters
    ----------
    features
        D.
    kind
        `mean`, or `attention`: a mean weighted by the softmax of the features' products with one learned query. The
        query starts at 0, so that `attention` starts as the mean.
    """

    def __init__(self, features: int, *, kind: str) -> None:
        super().__init__()
        if kind not in ("mean", "attention"):
            raise ValueError(f"local_aggregation.pool: expected 'mean' or 'attention', found {kind!r}")
        self.query = nn.Parameter(torch.zeros(features)) if kind == "attention" else None

    def forward(self, views: Tensor) -> Tensor:
        """Return the pooled features."""
        if self.query is None:
            return views.mean(dim=1)
        score = (views.float() @ self.query) / self.query.shape[0] ** 0.5
        return (torch.softmax(score, dim=1)[:, :, None] * views).sum(dim=1)


class MaskToken(nn.Module):
    """A learned token that replaces the masked patches of a backbone.

    A hook on the backbone's patch embedding inserts it, before positions are added. It changes neither the names of the
    backbone's weights nor its forward pass without a mask.

    Parameters
    ----------
    backbone
        A vision transformer of timm (see `demand_tokens`).
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        tokens = cast("PatchTokens", backbone)
        self.token = nn.Parameter(torch.zeros(tokens.embed_dim))
        self.mask: Tensor | None = None
        cast("nn.Module", tokens.patch_embed).register_forward_hook(self._put_in)

    def encode(self, backbone: nn.Module, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `encode` returns, for images of which some patches are masked.

        Parameters
        ----------
        backbone
            The backbone for which the token was made.
        images
            (B, C, H, W).
        mask
            (B, rows, columns) bool, true where a patch is masked.
        """
        self.mask = mask
        try:
            return encode(backbone, images)
        finally:
            self.mask = None

    def _put_in(self, module: nn.Module, inputs: tuple[Tensor, ...], patches: Tensor) -> Tensor:
        if self.mask is None:
            return patches
        mask = self.mask.reshape(*patches.shape[:-1], 1)  # (B, rows, columns, D), or (B, patches, D)
        return torch.where(mask, self.token.to(patches.dtype), patches)


def demand_tokens(backbone: nn.Module) -> PatchTokens:
    """Return a backbone with patch tokens that can be masked; a ValueError if it has none or drops some in training."""
    of_timm = type(backbone).__module__.startswith("timm.")
    if not isinstance(backbone, VisionTransformer | Eva) and (of_timm or lacking(backbone)):
        raise ValueError(
            "distillation.ibot.weight: expected 0 for a backbone without patch tokens (masked patches need a vision "
            f"transformer), found a weight for {type(backbone).__name__}"
        )
    if not isinstance(getattr(backbone, "patch_drop", None), nn.Identity | None):
        raise ValueError("backbone_options.patch_drop_rate: expected 0 with masked patches, found a larger rate")
    return cast("PatchTokens", backbone)


def encode(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (B, D) and the patch tokens (B, patches, D) of a transformer."""
    tokens = cast("PatchTokens", backbone)
    states = tokens.forward_features(images)
    return tokens.forward_head(states), states[:, tokens.num_prefix_tokens :]


def width(backbone: nn.Module, *, channels: int, size: int) -> int:
    """Return the number of features of a backbone, from its output (timm's own figure leaves out pre-logits layers)."""
    was = backbone.training
    backbone.eval()
    with torch.no_grad():
        found = backbone(torch.zeros(1, channels, size, size))
    backbone.train(was)
    return int(found.shape[1])


def groups(module: nn.Module) -> list[dict[str, object]]:
    """Return the trained parameters in two optimiser groups: weights decay, biases and normalisations do not."""
    trained = [each for each in module.parameters() if each.requires_grad]
    return [
        {"params": [each for each in trained if each.ndim > 1], "decays": True},
        {"params": [each for each in trained if each.ndim <= 1], "decays": False},
    ]


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, *, momentum: float) -> None:
    """Set the teacher's weights to m * teacher + (1 - m) * student, in place.

    Buffers stay as they are: running statistics of batch normalisation are those of the teacher's own images (DINO).
    The student's include local crops, whose variance differs.
    """
    for target, source in zip(teacher.parameters(), student.parameters(), strict=True):
        target.lerp_(source.detach(), 1 - momentum)
