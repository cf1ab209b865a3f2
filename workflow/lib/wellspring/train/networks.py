"""Heads, pooling and mask token that training adds to a backbone."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear, normalize

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

    Of a transformer, a hook on its patch embedding inserts it, before positions are added. Of a convolutional network,
    a learned value per channel replaces the pixels of masked places, as in SimMIM (Xie et al. 2022, arXiv 2111.09886).
    Neither changes the names of the backbone's weights, nor its forward pass without a mask.

    Parameters
    ----------
    backbone
        A vision transformer, or a convolutional network of timm (see `demand_tokens`).
    channels
        Number of input channels.
    """

    def __init__(self, backbone: nn.Module, *, channels: int) -> None:
        super().__init__()
        self.pixels = not _transformer(backbone)
        self.mask: Tensor | None = None
        if self.pixels:
            self.token = nn.Parameter(torch.zeros(channels))
            return
        tokens = cast("PatchTokens", backbone)
        self.token = nn.Parameter(torch.zeros(tokens.embed_dim))
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
        if self.pixels:
            there = interpolate(mask[:, None].float(), size=images.shape[2:], mode="nearest") > 0
            return encode(backbone, torch.where(there, self.token[:, None, None].to(images.dtype), images))
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


def demand_tokens(backbone: nn.Module, *, channels: int, size: int) -> int:
    """Return the width of the patch tokens of a backbone: of a transformer, or the places of a convolutional map.

    Parameters
    ----------
    channels, size
        Number of input channels and edge in pixels of the image with which the map is measured.

    Raises
    ------
    ValueError
        The backbone has no tokens that can be masked, or drops some in training.
    """
    if not isinstance(getattr(backbone, "patch_drop", None), nn.Identity | None):
        raise ValueError("backbone_options.patch_drop_rate: expected 0 with masked patches, found a larger rate")
    if _transformer(backbone):
        return cast("PatchTokens", backbone).embed_dim
    found = _map_width(backbone, channels=channels, size=size) if _of_timm(backbone) else None
    if found is None:
        raise ValueError(
            "distillation.ibot.weight: expected 0 for a backbone without patch tokens (masked patches need a vision "
            "transformer, or a convolutional network with a map of features), found a weight for "
            f"{type(backbone).__name__}"
        )
    return found


def grid(backbone: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the patches of images (H, W)."""
    if _transformer(backbone):
        return cast("PatchTokens", backbone).patch_embed.dynamic_feat_size(size)
    step = _step(backbone)
    return -(-size[0] // step), -(-size[1] // step)


def encode(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (B, F) and the patch tokens (B, patches, D): of a convolutional network, its last map."""
    tokens = cast("PatchTokens", backbone)
    states = tokens.forward_features(images)
    if states.ndim == 4:
        return tokens.forward_head(states), states.flatten(2).transpose(1, 2)
    return tokens.forward_head(states), states[:, tokens.num_prefix_tokens :]


def _of_timm(backbone: nn.Module) -> bool:
    return type(backbone).__module__.startswith("timm.")


def _transformer(backbone: nn.Module) -> bool:
    """Return whether a backbone has patch tokens as the protocol `PatchTokens` describes them."""
    return isinstance(backbone, VisionTransformer | Eva) or not (_of_timm(backbone) or lacking(backbone))


def _step(backbone: nn.Module) -> int:
    """Return the pixels per place of the last map of a convolutional network of timm."""
    stages = cast("Sequence[Mapping[str, int]]", backbone.feature_info)
    return int(stages[-1]["reduction"])


def _map_width(backbone: nn.Module, *, channels: int, size: int) -> int | None:
    """Return the features of a place of the last map (B, D, rows, columns); None for a network without one."""
    if not getattr(backbone, "feature_info", None) or not hasattr(backbone, "forward_head"):
        return None
    found = _probed(backbone, cast("PatchTokens", backbone).forward_features, channels=channels, size=size)
    shown = found.ndim == 4 and tuple(found.shape[2:]) == grid(backbone, (size, size))
    return int(found.shape[1]) if shown else None


def width(backbone: nn.Module, *, channels: int, size: int) -> int:
    """Return the number of features of a backbone, from its output (timm's own figure leaves out pre-logits layers)."""
    return int(_probed(backbone, backbone, channels=channels, size=size).shape[1])


def _probed(backbone: nn.Module, forward: Callable[[Tensor], Tensor], *, channels: int, size: int) -> Tensor:
    """Return the output of a forward pass for one image of zeros; the mode of each module of the backbone is kept."""
    was = [(each, each.training) for each in backbone.modules()]
    backbone.eval()
    with torch.no_grad():
        found = forward(torch.zeros(1, channels, size, size))
    for each, mode in was:
        each.training = mode
    return found


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
