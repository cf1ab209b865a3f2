"""Networks as a user would write them: a small convolutional one, and one with patch tokens."""

from pathlib import Path

SOURCE = '''
"""Networks of a screen."""

import torch
from torch import nn


def small(channels, size, *, width=8):
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, stride=4, padding=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


class Patches(nn.Module):
    def __init__(self, channels, edge, width):
        super().__init__()
        self.edge = edge
        self.project = nn.Conv2d(channels, width, edge, stride=edge)

    def dynamic_feat_size(self, img_size):
        return img_size[0] // self.edge, img_size[1] // self.edge

    def forward(self, images):
        return self.project(images).flatten(2).transpose(1, 2)


class Mixer(nn.Module):
    """One attention layer over patches and a class token."""

    num_prefix_tokens = 1

    def __init__(self, channels, edge, width):
        super().__init__()
        self.embed_dim = width
        self.patch_embed = Patches(channels, edge, width)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward_features(self, images):
        patches = self.patch_embed(images)
        return self.norm(self.block(torch.cat([self.token.expand(len(patches), -1, -1), patches], dim=1)))

    def forward_head(self, tokens):
        return tokens[:, 0]

    def forward(self, images):
        return self.forward_head(self.forward_features(images))


def tokens(channels, size, *, edge=8, width=16):
    return Mixer(channels, edge, width)


def failing(channels, size):
    raise RuntimeError("no such luck")


def a_number(channels, size):
    return channels * size


def maps(channels, size):
    return nn.Conv2d(channels, 4, 3)


def of_one_size(channels, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, 4))


def only_size(size):
    return nn.Identity()


def without_weights(channels, size):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Uneven(Mixer):
    """Its head is not what its forward pass returns."""

    def forward(self, images):
        return self.forward_features(images)[:, -1]


def uneven(channels, size):
    return Uneven(channels, 8, 16)


class WithoutGrid(Mixer):
    """It leaves the last patch out."""

    def forward_features(self, images):
        return super().forward_features(images)[:, :-1]


def without_grid(channels, size):
    return WithoutGrid(channels, 8, 16)
'''


def write(folder: Path, name: str = "networks.py") -> Path:
    """Write the file of the networks into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(SOURCE)
    return path
