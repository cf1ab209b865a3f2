"""Augmentation: draw one standardised view of each image by the strengths of a recipe.

A recipe is a set of strengths, each 0 when off; `PRESETS` has the named recipes. The steps follow the path of the
light: geometry, stain, optics, camera, and finally the standardisation of the network's input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from wellspring.train import colour, geometry, noise
from wellspring.views.cutting import soft_window
from wellspring.views.scaling import standardise, standardise_views


@dataclass(frozen=True)
class Recipe:
    """Strengths of an augmentation; the defaults only crop the centre of the image."""

    crop: str = "centred"  # centred | native | resized
    scale: tuple[float, float] = (1.0, 1.0)  # share of the area, with resized
    zoom: float = 1.0  # largest magnification, with centred
    centre_shift: float = 0.0  # px, with centred
    flip: bool = False
    rotate: str = "none"  # none | right | free
    elastic: float = 0.0  # px at 224
    elastic_sigma: float = 10.0  # px at 224
    elastic_probability: float = 0.3
    shift: float = 0.0  # of [0, 1]
    gamma: tuple[float, float] = (1.0, 1.0)
    colour_probability: float = 1.0  # per channel, for shift and gamma
    contrast: float = 0.0
    contrast_probability: float = 0.8  # per image
    jitter: float = 0.0
    jitter_probability: float = 0.8  # per image
    drop: float = 0.0  # probability per channel
    shot: tuple[float, float] = (0.0, 0.0)  # photons at full scale
    read: float = 0.0  # of [0, 1]
    blur: tuple[float, float] = (0.0, 0.0)  # sigma, px
    vignette: float = 0.0
    offset: float = 0.0  # of [0, 1]
    noise_probability: float = 0.5  # per image, for the five above
    gain: float = 0.0  # log standard deviation, on standardised pixels
    bias: float = 0.0  # standardised units
    grain: float = 0.0  # largest noise, standardised units

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))


# Perakis et al. 2021 as released: resized crop 0.08 to 1, horizontal flip, elastic p 0.5, colour jitter 0.2 p 0.8, blur
# of sigma 0.1 to 2 p 0.5. Differences: crops are square (released: aspect ratio 3/4 to 4/3); brightness and contrast
# are drawn per channel, which also replaces the hue and saturation of photographs; the elastic field reaches 6 px (the
# library's defaults at that time gave a strong affine map); the blur kernel reaches 2.5 sigma (released: 4 px).
PERAKIS = Recipe(
    crop="resized",
    scale=(0.08, 1.0),
    flip=True,
    elastic=6.0,
    elastic_probability=0.5,
    jitter=0.2,
    blur=(0.1, 2.0),
)
PRESETS = {
    # Reconstruction of SSLProfiler's cell-specific views (channel-aware colour, microscope noise, elastic deformation)
    # from the closest published recipes: CellPaintSSL (shift, gamma), Cell-DINO (drop, crops). The values are inferred;
    # the elastic field's 10 px are the middle of 8-12.
    "sslprofiler": Recipe(
        crop="resized",
        scale=(0.4, 1.0),
        flip=True,
        rotate="right",
        elastic=6.0,
        shift=0.3,
        gamma=(0.5, 1.5),
        drop=0.2,
        shot=(50.0, 2000.0),
        read=0.02,
        blur=(0.1, 1.5),
        vignette=0.1,
        offset=0.03,
    ),
    "perakis": PERAKIS,
    # As perakis, with the strong jitter (0.8) that the released code defines and does not use.
    "perakis_strong": replace(PERAKIS, jitter=0.8),
    # The weakest recipe of the ablation: orientations, which carry no biology.
    "flips": Recipe(flip=True, rotate="right"),
    # Cells keep their native size, which is signal. Stain, focus, noise and orientation vary.
    "cells": Recipe(
        zoom=1.05,
        centre_shift=1.0,
        flip=True,
        rotate="free",
        blur=(0.1, 1.2),
        gain=0.4,
        bias=0.3,
        grain=0.3,
    ),
}


def recipe(preset: str, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Return a preset with some strengths replaced; a ValueError names an unknown preset or strength."""
    if preset not in PRESETS:
        raise ValueError(f"augmentation.preset: expected one of {sorted(PRESETS)}, found {preset!r}")
    known = {field.name for field in fields(Recipe)}
    unknown = sorted(set(overrides or {}) - known)
    if unknown:
        raise ValueError(f"augmentation.overrides: expected some of {sorted(known)}, found {unknown}")
    values: dict[str, Any] = dict(overrides or {})  # the schema has checked them
    return replace(PRESETS[preset], **values)


def scaled(strengths: Recipe, share: float) -> Recipe:
    """Return a recipe whose colour, noise and elastic strengths are scaled by `share`; crops, flips and turns stay.

    0 switches them off, 1 returns the recipe unchanged. Photons are divided by the square of the share, since the noise
    falls with their square root.
    """
    if share >= 1:
        return strengths
    linear = ("elastic", "shift", "contrast", "jitter", "drop", "read", "vignette", "offset", "gain", "bias", "grain")
    return replace(
        strengths,
        gamma=(1 + (strengths.gamma[0] - 1) * share, 1 + (strengths.gamma[1] - 1) * share),
        blur=(strengths.blur[0] * share, strengths.blur[1] * share),
        shot=(strengths.shot[0] / share**2, strengths.shot[1] / share**2) if share > 0 else (0.0, 0.0),
        **{name: getattr(strengths, name) * share for name in linear},
    )


def fade(images: Tensor, mean: Tensor, *, sigma: float) -> Tensor:
    """Fade scaled pixels (B, C, H, H) outwards to their plate's mean (B, C), with a Gaussian window of `sigma` px.

    Used where crops are drawn anywhere in a view. After standardisation, the result is the window times the view.
    """
    window = torch.from_numpy(soft_window(images.shape[-1], sigma)).to(images.device)
    return mean[:, :, None, None] + (images - mean[:, :, None, None]) * window


def view(
    images: Tensor,
    strengths: Recipe,
    generator: torch.Generator,
    *,
    size: int,
    mean: Tensor,
    std: Tensor,
    window: Tensor | None = None,
    region: int | None = None,
    alone: bool = False,
) -> Tensor:
    """Draw one view of each image.

    Parameters
    ----------
    images
        (B, C, H, H) float32, pixels scaled to [0, 1].
    strengths
        The recipe.
    generator
        Random state, on the device of the images; the same state gives the same views.
    size
        Edge of the views in pixels.
    mean, std
        (B, C) of the scaled pixels of each image's plate.
    window
        (size, size) weights that fade the surroundings of a cell, or None.
    region
        Edge in pixels of the central square of the images that `native` and `resized` crops are taken from; None for
        the whole image. Rotated views also show pixels outside of it.
    alone
        Whether each channel of each view is standardised by itself (`view.pixels: view`).

    Returns
    -------
    Tensor
        (B, C, size, size) float32, standardised.
    """
    frame = geometry.frames(
        len(images),
        side=images.shape[-1],
        size=size,
        crop=strengths.crop,
        scale=strengths.scale,
        zoom=strengths.zoom,
        shift=strengths.centre_shift,
        flip=strengths.flip,
        rotate=strengths.rotate,
        region=region,
        generator=generator,
    )
    bend = None
    if strengths.elastic > 0:
        bend = geometry.elastic(
            len(images),
            size=size,
            amplitude=strengths.elastic,
            sigma=strengths.elastic_sigma,
            probability=strengths.elastic_probability,
            generator=generator,
        )
    pixels = geometry.sample(images, frame, size=size, displacement=bend)
    pixels = colour.shift(pixels, strengths.shift, generator, probability=strengths.colour_probability)
    pixels = colour.gamma(pixels, strengths.gamma, generator, probability=strengths.colour_probability)
    pixels = colour.contrast(pixels, strengths.contrast, generator, probability=strengths.contrast_probability)
    pixels = colour.jitter(pixels, strengths.jitter, generator, probability=strengths.jitter_probability)
    pixels = colour.drop(pixels, strengths.drop, generator)
    often = strengths.noise_probability
    pixels = noise.defocus(pixels, strengths.blur, generator, probability=often)
    pixels = noise.vignette(pixels, strengths.vignette, generator, probability=often)
    pixels = noise.offset(pixels, strengths.offset, generator, probability=often)
    pixels = noise.shot(pixels, strengths.shot, generator, probability=often)
    pixels = noise.read(pixels, strengths.read, generator, probability=often)
    pixels = standardise(pixels, mean, std)
    pixels = colour.gain(pixels, strengths.gain, generator)
    pixels = colour.bias(pixels, strengths.bias, generator)
    pixels = noise.read(pixels, strengths.grain, generator)
    pixels = standardise_views(pixels) if alone else pixels
    return pixels if window is None else pixels * window
