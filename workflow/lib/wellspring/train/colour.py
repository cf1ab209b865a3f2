"""Channel-aware colour augmentation: change the strength of each channel of a batch of images.

Each stain varies independently between plates, so each channel is changed independently; no function mixes channels (no
hue, no greyscale). All functions take (B, C, H, W) float32, a strength and a generator on the device of the images;
strength 0 changes nothing.
"""

import torch
from torch import Tensor


def shift(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Add U(-strength, strength) to each channel of scaled pixels, clipped to [0, 1] (Bayer's recipe: 0.3)."""
    if strength == 0:
        return images
    amount = (2 * _uniform(images, generator) - 1) * strength
    return (images + amount * _chosen(images, probability, generator)).clamp(0, 1)


def gamma(
    images: Tensor, strength: tuple[float, float], generator: torch.Generator, *, probability: float = 1.0
) -> Tensor:
    """Raise each channel of scaled pixels to a power U(low, high) (Bayer: 0.5 to 1.5); (1, 1) changes nothing."""
    low, high = strength
    if low == high == 1:
        return images
    power = low + (high - low) * _uniform(images, generator)
    chosen = _chosen(images, probability, generator)
    # The lower limit avoids slow powers of 0; the result is within 1e-3 of 0 for every power of the recipe.
    return images.clamp_min(1e-6).pow_(torch.where(chosen, power, 1.0))


def contrast(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Multiply each channel (brightness) and its distance to its mean (contrast) by factors max(N(1, strength), 0.5).

    Cell-DINO and Dino4Cells: strength 0.2, probability 0.8 per image.
    """
    if strength == 0:
        return images
    brightness = (1 + strength * _normal(images, generator)).clamp_min(0.5)
    factor = (1 + strength * _normal(images, generator)).clamp_min(0.5)
    chosen = _image_chosen(images, probability, generator)
    brightness, factor = (torch.where(chosen, value, torch.ones_like(value)) for value in (brightness, factor))
    mean = images.mean(dim=(2, 3), keepdim=True)
    return ((images - mean) * factor + mean) * brightness


def jitter(images: Tensor, strength: float, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Multiply each channel's distance to its mean (contrast), then the channel (brightness), by U(1 - s, 1 + s).

    The colour jitter of photographs, applied per channel and clipped to [0, 1] as for photographs; factors are >= 0.
    SimCLR: 0.8 with probability 0.8 per image; Perakis et al. as released: 0.2.
    """
    if strength == 0:
        return images
    low, high = max(1 - strength, 0.0), 1 + strength
    factor, brightness = (low + (high - low) * _uniform(images, generator) for _ in range(2))
    chosen = _image_chosen(images, probability, generator)
    mean = images.mean(dim=(2, 3), keepdim=True)
    return torch.where(chosen, (((images - mean) * factor + mean).clamp(0, 1) * brightness).clamp(0, 1), images)


def drop(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set channels to 0 with `probability` each, but never all channels of an image."""
    if probability == 0:
        return images
    draw = _uniform(images, generator)
    kept = draw >= probability
    kept |= draw == draw.amax(dim=1, keepdim=True)  # the channel with the largest draw is always kept
    return images * kept


def gain(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Multiply each channel of standardised pixels by exp(N(0, strength))."""
    return images if strength == 0 else images * torch.exp(strength * _normal(images, generator))


def bias(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Add N(0, strength) to each channel of standardised pixels."""
    return images if strength == 0 else images + strength * _normal(images, generator)


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(*images.shape[:2], 1, 1, generator=generator, device=images.device)


def _normal(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(*images.shape[:2], 1, 1, generator=generator, device=images.device)


def _chosen(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Draw the channels that are changed, (B, C, 1, 1) bool."""
    return _uniform(images, generator) < probability


def _image_chosen(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Draw the images that are changed, (B, 1, 1, 1) bool."""
    return torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < probability
