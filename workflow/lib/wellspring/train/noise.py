"""Noise augmentation: change a batch of images to what a worse microscope would have taken.

All functions take (B, C, H, W) float32, a strength and a generator on the device of the images; strength 0 changes
nothing, and `probability` is the share of images that are changed. What is made on the way is changed in place: memory
that is touched for the first time costs a CPU more than the arithmetic.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


def shot(
    images: Tensor, photons: tuple[float, float], generator: torch.Generator, *, probability: float = 1.0
) -> Tensor:
    """Photon noise of scaled pixels at a gain log-uniform in `photons` (photons at full scale).

    A Poisson variable of mean gain * x over the gain, by its Gaussian approximation: mean x, variance x / gain. At the
    dimmest gain of the recipe (50) and x = 0.1 the two differ by a skewness of 0.45, at a small part of the cost.
    """
    if photons[0] <= 0:
        return images
    low, high = (math.log(value) for value in photons)
    level = torch.exp(low + (high - low) * _by_image(images, generator))
    level = torch.where(_chosen(images, probability, generator), level, torch.inf)
    return _noise(images, generator).mul_(images.clamp_min(0).div_(level).sqrt_()).add_(images)


def read(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Add Gaussian noise of a standard deviation U(0, strength) an image."""
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
    # Sums of shifted copies are faster on a CPU than a grouped convolution with a kernel an image.
    for axis, border in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        padded = pad(images, border, mode="reflect")
        total = torch.zeros_like(images)
        for place in range(2 * radius + 1):
            total.addcmul_(padded.narrow(axis, place, images.shape[axis]), kernel[:, place, None, None, None])
        images = total
    return images


def vignette(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Multiply by a paraboloid about an off-centre point, 1 on average and within 1 ± strength."""
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
