"""What a network is fed: a plate's intensity table and store flow in, its pixels' scale and foreground level flow out.

Training and embedding prepare pixels alike: scaled to [0, 1] by plate and channel, then brought to mean 0 and deviation
1 of that plate and channel. Never by field or view, since absolute intensity within a plate is signal.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wellspring.io.ngff import PlateImages
from wellspring.views import cutting

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE = 16  # fields that decide a plate's foreground level
LEAST_STD = 1e-3  # of scaled pixels; a channel without signal is not blown up
EVERY = 4  # pixel of these along each axis, which is enough for a histogram


@dataclass(frozen=True)
class Pixels:
    """How a plate's pixels become a network's input, each (C,) float32 in the order of the encoder's channels.

    `low` and `high` are the counts that become 0 and 1; `mean` and `std` are of the scaled pixels.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def pixels(intensity: pd.DataFrame, channels: list[str]) -> Pixels:
    """Pick the scale of a plate in the order of `channels`.

    Parameters
    ----------
    intensity
        The plate's table `intensity`, one row a channel.
    channels
        Those of the encoder.

    Raises
    ------
    ValueError
        Names the plate, the channels expected and those found.
    """
    by_channel = intensity.set_index("Metadata_Channel")
    absent = [name for name in channels if name not in by_channel.index]
    if absent:
        plate = intensity["Metadata_Plate"].iloc[0] if len(intensity) else "plate"
        raise ValueError(f"{plate}: expected the channels {channels}, found {list(by_channel.index)}")
    ordered = by_channel.loc[channels]
    return Pixels(*(ordered[name].to_numpy(np.float32) for name in ("low", "high", "mean", "std")))


def standardise(scaled: "Tensor", mean: "Tensor", std: "Tensor") -> "Tensor":
    """Bring scaled pixels (B, C, H, W) to mean 0 and deviation 1 by the mean and std (B, C) of their plates.

    A deviation below 1e-3 (a channel without signal) counts as 1e-3.
    """
    return (scaled - mean[:, :, None, None]) / std.clamp_min(LEAST_STD)[:, :, None, None]


def prepare(counts: "Tensor", scales: Pixels) -> "Tensor":
    """Turn corrected pixels into a network's input, in place and on their device.

    Parameters
    ----------
    counts
        (N, C, H, W) float32, all of one plate; changed.
    scales
        Of that plate, in the order of the channels.

    Returns
    -------
    Tensor
        `counts`, as `intensity.scale` and `standardise` would make it: new memory would cost more than the arithmetic.
    """
    import torch

    span = scales.high - scales.low
    factor = np.where(span > 0, 1 / np.where(span > 0, span, 1), 0)
    terms = (scales.low, factor, scales.mean, 1 / np.maximum(scales.std, LEAST_STD))
    low, factor, mean, narrow = (
        torch.from_numpy(term.astype(np.float32)).to(counts.device)[None, :, None, None] for term in terms
    )
    return counts.sub_(low).mul_(factor).clamp_(0, 1).sub_(mean).mul_(narrow)


def foreground_level(plate: PlateImages, *, stain: str) -> float:
    """Foreground threshold of a plate, counts of the channel `stain`, from 16 fields at most, spread over the plate.

    One threshold a plate: on an empty well Otsu's separates noise from noise. Infinity for a plate without fields.
    """
    if not plate.fields:
        return float("inf")
    chosen = np.unique(np.linspace(0, len(plate.fields) - 1, SAMPLE).astype(int))
    seen = np.stack([plate.read(*plate.fields[number], [stain])[0, ::EVERY, ::EVERY] for number in chosen])
    return cutting.foreground_threshold(seen.astype(np.float32))
