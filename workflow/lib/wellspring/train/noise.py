"""Noise augmentation: photon and read noise, defocus, vignetting and background of a batch of images.

All functions take (B, C, H, W) float32, a strength and a generator on the device of the images; strength 0 changes
nothing, and `probability` is the share of images that are changed. Temporary arrays are changed in place, because on a
CPU allocating memory takes longer than the arithmetic.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


def shot(
    images: Tensor, photons: tuple[float, float], generator: torch.Generator, *, probability: float = 1.0
) -> Tensor:
    """Add photon noise to scaled pixels at a gain log-uniform in `photons` (photons at full scale).

    The Gaussian approximation of Poisson(gain * x) / gain: mean x, variance x / gain, at a fraction of the cost. At the
    lowest gain of the recipe (50) and x = 0.1, it lacks a skewness of 0.45.
    """
    if photons[0] <= 0:
        return images
    low, high = (math.log(value) for value in photons)
    level = torch.exp(low + (high - low) * _by_image(images, generator))
    level = torch.where(_chosen(images, probability, generator), level, torch.inf)
    return _noise(images, generator).mul_(images.clamp_min(0).div_(level).sqrt_()).add_(images)


def read(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Add Gaussian noise; the standard deviation of each image is drawn from U(0, strength)."""
    if strength == 0:
        return images
    deviation = strength * _by_image(images, generator) * _chosen(images, probability, generator)
    return _noise(images, generator).mul_(deviation).add_(images)


def defocus(
    images: Tensor, sigma: tuple[float, float], generator: torch.Generator, *, probability: float = 1.0
) -> Tensor:
    """Blur each image by a Gaussian of sigma U(low, high) px, the same for all channels, reflected at the border."""
    low, high = sigma
    if high <= 0:
        return images
    width = low + (high - low) * _by_image(images, generator)[:, 0, 0]
    width = torch.where(_chosen(images, probability, generator)[:, 0, 0], width, 1e-3)
    radius = min(math.ceil(2.5 * high), images.shape[-1] - 1, images.shape[-2] - 1)
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offset / width) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)  # B x (2 radius + 1)
    # Sums of shifted copies are faster on a CPU than a grouped convolution with one kernel per image.
    for axis, border in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        padded = pad(images, border, mode="reflect")
        total = torch.zeros_like(images)
        for place in range(2 * radius + 1):
            total.addcmul_(padded.narrow(axis, place, images.shape[axis]), kernel[:, place, None, None, None])
        images = total
    return images


def vignette(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Multiply by a paraboloid centred on a random point; its mean is 1 and its range within 1 ± strength."""
    if strength == 0:
        return images
    rows = torch.linspace(-1, 1, images.shape[2], device=images.device)[None, None, :, None]
    columns = torch.linspace(-1, 1, images.shape[3], device=images.device)[None, None, None, :]
    y, x = (2 * _by_image(images, generator) - 1 for _ in range(2))
    bowl = (rows - y) ** 2 + (columns - x) ** 2
    bowl = bowl - bowl.mean(dim=(2, 3), keepdim=True)
    bowl = bowl / bowl.abs().amax(dim=(2, 3), keepdim=True)
    amount = strength * (2 * _by_image(images, generator) - 1) * _chosen(images, probability, generator)
    return images * (1 + amount * bowl)


def offset(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Add a background U(0, strength) to each channel."""
    if strength == 0:
        return images
    amount = torch.rand(*images.shape[:2], 1, 1, generator=generator, device=images.device)
    return images + strength * amount * _chosen(images, probability, generator)


def _by_image(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)


def _chosen(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    return _by_image(images, generator) < probability


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(images.shape, generator=generator, device=images.device)
