"""What is added to a backbone while training: its features and tokens flow in, what a loss compares flows out."""

import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from wellspring.encoders.module import lacking


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


class Pool(nn.Module):
    """Bring the features of several views to one vector; (B, views, D) -> (B, D).

    Parameters
    ----------
    features
        D.
    kind
        `mean`, or `attention`: a mean weighted by the softmax of the features' products with one learned query, which
        starts at 0 and so as the mean.
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
    """A learned token in the place of masked patches of a backbone.

    It is put in by a hook on the backbone's patch embedding, before positions are added, so that the backbone itself
    stays as it is: neither its weights' names nor its forward pass without a mask change.

    Parameters
    ----------
    backbone
        A vision transformer of timm (see `demand_tokens`).
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(backbone.embed_dim))
        self.mask: Tensor | None = None
        backbone.patch_embed.register_forward_hook(self._put_in)

    def encode(self, backbone: nn.Module, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `encode` does for the student's backbone, of images whose patches are masked.

        Parameters
        ----------
        backbone
            The one that the token was made for.
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


def demand_tokens(backbone: nn.Module) -> None:
    """Raise a ValueError unless a backbone has patch tokens, all of them while training, that can be masked."""
    of_timm = type(backbone).__module__.startswith("timm.")
    if not isinstance(backbone, VisionTransformer | Eva) and (of_timm or lacking(backbone)):
        raise ValueError(
            "distillation.ibot.weight: expected 0 for a backbone without patch tokens (masked patches need a vision "
            f"transformer), found a {type(backbone).__name__}"
        )
    if not isinstance(getattr(backbone, "patch_drop", None), nn.Identity | None):
        raise ValueError("backbone_options.patch_drop_rate: expected 0 with masked patches, found more")


def encode(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (B, D) as the backbone itself gives them, and patch tokens (B, patches, D) of a transformer."""
    states = backbone.forward_features(images)
    return backbone.forward_head(states), states[:, backbone.num_prefix_tokens :]


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
