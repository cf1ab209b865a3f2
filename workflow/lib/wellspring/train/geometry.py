"""Geometric augmentation: cut crops of one size from a batch of images.

Crop, zoom, rotation, flip and elastic deformation are one map of coordinates, so pixels are interpolated once. The map
is the same for all channels. Beyond the border an image is reflected.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate


def frames(
    count: int,
    *,
    side: int,
    size: int,
    crop: str = "centred",
    scale: tuple[float, float] = (1.0, 1.0),
    zoom: float = 1.0,
    shift: float = 0.0,
    flip: bool = False,
    rotate: str = "none",
    region: int | None = None,
    generator: torch.Generator,
) -> Tensor:
    """Draw the affine map of each crop.

    Parameters
    ----------
    count
        Number of images B.
    side, size
        Edge of the source and of the crop, in pixels.
    crop
        `centred`: at native resolution around the middle; `native`: at native resolution anywhere in the region (at its
        centre if the region is not larger); `resized`: a square with a share of the region's area, anywhere in it,
        resized to `size`.
    scale
        Range of that share (with `resized`).
    zoom
        With `centred`, magnification log-uniform in [1/zoom, zoom].
    shift
        With `centred`, displacement of the centre, uniform up to this many pixels along each axis.
    flip
        Mirror half of the images.
    rotate
        `none`, `right` (multiples of 90 degrees) or `free`.
    region
        With `native` and `resized`, edge in pixels of the square in the middle that crops are taken from; None for the
        whole source.
    generator
        Random state, on the device of the images.

    Returns
    -------
    Tensor
        (B, 2, 3) float32: crop coordinates to source coordinates, both in [-1, 1] (grid_sample's convention, x first).
    """
    draw = torch.rand(count, 6, generator=generator, device=generator.device)
    share = 1.0 if region is None else region / side
    if crop == "resized":
        extent = share * torch.sqrt(scale[0] + (scale[1] - scale[0]) * draw[:, 0])
        centre = (2 * draw[:, 1:3] - 1) * (share - extent)[:, None]
    elif crop == "native":
        extent = torch.full_like(draw[:, 0], size / side)
        centre = (2 * draw[:, 1:3] - 1) * max(share - size / side, 0.0)
    elif crop == "centred":
        extent = size / side * torch.exp((2 * draw[:, 0] - 1) * math.log(zoom))
        centre = (2 * draw[:, 1:3] - 1) * (2 * shift / side)
    else:
        raise ValueError(f"crop: expected 'centred', 'native' or 'resized', found {crop!r}")
    turns = {"none": torch.zeros_like(draw[:, 3]), "right": torch.floor(4 * draw[:, 3]) / 4, "free": draw[:, 3]}
    if rotate not in turns:
        raise ValueError(f"rotate: expected one of {sorted(turns)}, found {rotate!r}")
    angle = 2 * math.pi * turns[rotate]
    mirror = torch.where(draw[:, 4] < 0.5, -1.0, 1.0) if flip else torch.ones_like(extent)
    cosine, sine = extent * torch.cos(angle), extent * torch.sin(angle)
    linear = torch.stack([torch.stack([cosine * mirror, -sine], 1), torch.stack([sine * mirror, cosine], 1)], 1)
    return torch.cat([linear, centre[:, :, None]], dim=2)


def elastic(
    count: int, *, size: int, amplitude: float, sigma: float, probability: float, generator: torch.Generator
) -> Tensor:
    """Draw smooth displacement fields.

    Noise in [-1, 1] on a grid of spacing 2 `sigma` is interpolated bicubically, which costs a fraction of filtering
    noise at full size and is as smooth. Amplitude and sigma are given at 224 pixels (the size they are published for)
    and shrink with the view.

    Parameters
    ----------
    count, size
        Number of fields and their edge in pixels.
    amplitude
        Largest displacement is uniform in [0, amplitude] pixels at 224.
    sigma
        Length over which the field varies, pixels at 224.
    probability
        Share of images that are deformed.
    generator
        Random state.

    Returns
    -------
    Tensor
        (B, size, size, 2) float32, in units of the crop's half edge; 0 where an image is not deformed.
    """
    device = generator.device
    nodes = max(round(224 / sigma / 2), 4)
    noise = 2 * torch.rand(count, 2, nodes, nodes, generator=generator, device=device) - 1
    strength = torch.rand(count, 2, generator=generator, device=device)
    field = interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)
    pixels = amplitude * strength[:, 0] * (strength[:, 1] < probability)
    return (field * (pixels * 2 / 224)[:, None, None, None]).permute(0, 2, 3, 1)


def sample(images: Tensor, frame: Tensor, *, size: int, displacement: Tensor | None = None) -> Tensor:
    """Cut the crops that `frame` (and a `displacement` within the crop) describe.

    Parameters
    ----------
    images
        (B, C, H, W) float32, square.
    frame
        (B, 2, 3), from `frames`.
    size
        Edge of the crops in pixels.
    displacement
        (B, size, size, 2), from `elastic`.

    Returns
    -------
    Tensor
        (B, C, size, size) float32, bilinear, reflected at the border.
    """
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images: expected squares, found {tuple(images.shape)}")
    axis = (torch.arange(size, device=images.device, dtype=torch.float32) * 2 + 1) / size - 1
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1).expand(len(images), size, size, 2)
    if displacement is not None:
        grid = grid + displacement
    grid = torch.einsum("bij,bhwj->bhwi", frame[:, :, :2], grid) + frame[:, None, None, :, 2]
    return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
