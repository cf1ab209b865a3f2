"""Scaling pixels to the input of a network, and the foreground threshold of a plate.

Training and embedding use the same scaling: to [0, 1] by the limits of plate and channel, then to mean 0 and standard
deviation 1 of that plate and channel. Not per field or view, since absolute intensity within a plate is signal, unless
`view.pixels` of an encoder asks for it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wellspring.io.ngff import PlateImages
from wellspring.views import cutting

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SAMPLE = 16  # fields from which the foreground threshold of a plate is estimated
LEAST_STD = 1e-3  # of scaled pixels; a channel without signal is not amplified
EVERY = 4  # every 4th pixel along each axis is enough for a histogram


@dataclass(frozen=True)
class IntensityScale:
    """The intensity scale of a plate, each (C,) float32 in the order of the encoder's channels.

    Attributes
    ----------
    low, high
        Counts that are scaled to 0 and 1.
    mean, std
        Of the scaled pixels.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def intensity_scale(intensity: pd.DataFrame, channels: list[str], *, lacking: bool = False) -> IntensityScale:
    """Return the intensity scale of a plate in the order of `channels`.

    Parameters
    ----------
    intensity
        Table `intensity` of the plate, one row per channel.
    channels
        Those of the encoder.
    lacking
        Whether the plate may lack some of the channels, though not all; their scale is NaN.

    Raises
    ------
    ValueError
        A channel is missing; names the plate, the channels expected and the channels found.
    """
    by_channel = intensity.set_index("Metadata_Channel")
    absent = [name for name in channels if name not in by_channel.index]
    if absent and (not lacking or len(absent) == len(channels)):
        plate = intensity["Metadata_Plate"].iloc[0] if len(intensity) else "plate"
        raise ValueError(f"{plate}: expected the channels {channels}, found {list(by_channel.index)}")
    ordered = by_channel.reindex(channels)
    return IntensityScale(*(ordered[name].to_numpy(np.float32) for name in ("low", "high", "mean", "std")))


def standardise(scaled: "Tensor", mean: "Tensor", std: "Tensor") -> "Tensor":
    """Standardise scaled pixels (B, C, H, W) by mean and standard deviation (B, C) of their plates.

    A standard deviation below 1e-3 (a channel without signal) is raised to 1e-3.
    """
    return (scaled - mean[:, :, None, None]) / std.clamp_min(LEAST_STD)[:, :, None, None]


def standardise_views(images: "Tensor") -> "Tensor":
    """Give each channel of each view (B, C, H, W) mean 0 and standard deviation 1, as frozen models of cells need it.

    Images are standardised by plate before; a standard deviation below 1e-3 (a view without signal) is raised to 1e-3.
    """
    # Pixels of one value become zeros in every runtime; the rounding of their mean would be divided by 1e-3.
    images = images - images[..., :1, :1]
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    return centred / centred.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp_min(LEAST_STD)


def spread_views(images: "Tensor") -> "Tensor":
    """Give each view (B, C, H, W), over all of its channels, the range 0 to 1; a view of one value becomes 0."""
    low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(LEAST_STD)


# What `view.pixels` does with the pixels of a view that are standardised by plate.
BY_VIEW: dict[str, "Callable[[Tensor], Tensor]"] = {
    "plate": lambda images: images,
    "view": standardise_views,
    "range": spread_views,
}


def prepare(counts: "Tensor", scale: IntensityScale) -> "Tensor":
    """Turn corrected pixels into the input of a network, in place and on their device.

    Parameters
    ----------
    counts
        (N, C, H, W) float32, all of one plate; changed in place.
    scale
        Of that plate, in the order of the channels.

    Returns
    -------
    Tensor
        `counts`, as `intensity.scale` and `standardise` would give; in place, since new memory takes longer than the
        arithmetic.
    """
    import torch

    span = scale.high - scale.low
    factors = np.where(span > 0, 1 / np.where(span > 0, span, 1), 0)
    terms = (scale.low, factors, scale.mean, 1 / np.maximum(scale.std, LEAST_STD))
    low, factor, mean, narrow = (
        torch.from_numpy(term.astype(np.float32)).to(counts.device)[None, :, None, None] for term in terms
    )
    return counts.sub_(low).mul_(factor).clamp_(0, 1).sub_(mean).mul_(narrow)


def foreground_level(plate: PlateImages, *, stain: str) -> float:
    """Return the foreground threshold of a plate, counts of the channel `stain`.

    It is estimated from at most 16 fields, spread over the plate. One threshold per plate, since on an empty well
    Otsu's threshold separates noise from noise. Infinity for a plate without fields.
    """
    if not plate.fields:
        return float("inf")
    chosen = np.unique(np.linspace(0, len(plate.fields) - 1, SAMPLE).astype(int))
    fields = [plate.fields[number] for number in chosen]
    seen = np.stack([plate.read(well, site, [stain])[0, ::EVERY, ::EVERY] for well, site in fields])
    return cutting.foreground_threshold(seen.astype(np.float32))
