"""Guess what the channels of a plate show, by their names, and by how their images look; save a picture of each."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage import filters, measure

from wellspring.screen.stain_names import of_name

CYTOPLASM = ("RNA", "AGP", "ER", "GFP", "Actin", "Tubulin", "RFP")  # stains that fill a cell, the best first
EDGE = 512  # px of a picture, and of an image that is judged


def guess(channels: Sequence[str], images: Mapping[str, Sequence[npt.NDArray[np.uint16]]]) -> dict[str, str]:
    """Return a name for the config for each channel of the files.

    A channel whose name states a stain has that name. If none is of DNA, the channel of the roundest, most even objects
    becomes DNA. Others keep their name, or become `Ch1`.

    Parameters
    ----------
    channels
        As the files name them.
    images
        A few images of each, (H, W), grey values.
    """
    named = {channel: of_name(channel) for channel in channels}
    if "DNA" not in named.values():
        scores = {channel: nuclear(images.get(channel, ())) for channel in channels if named[channel] is None}
        if scores and max(scores.values()) > 0:
            named[max(scores, key=lambda channel: scores[channel])] = "DNA"
    found: dict[str, str] = {}
    for channel in channels:
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", channel).strip("_")
        name = named[channel] or (plain if re.match(r"[A-Za-z]", plain) else f"Ch{plain}")
        while name in found.values():
            name = f"{name}_{plain}"
        found[channel] = name
    return found


def nuclear(images: Sequence[npt.NDArray[np.uint16]]) -> float:
    """Return how much images look like nuclei: the share of the foreground in solid, round objects of one size."""
    scores = []
    for image in images:
        small = image[:: max(1, image.shape[0] // EDGE), :: max(1, image.shape[1] // EDGE)].astype(np.float64)
        if small.max() <= small.min():
            continue
        smooth = filters.gaussian(small, 1)
        mask = smooth > filters.threshold_otsu(smooth)
        objects = [one for one in measure.regionprops(measure.label(mask)) if one.area >= 12]
        area = sum(one.area for one in objects)
        if len(objects) < 3 or mask.mean() > 0.5:
            scores.append(0.0)
            continue
        usual = np.median([one.area for one in objects])
        good = sum(
            one.area * one.solidity
            for one in objects
            if one.solidity > 0.85 and one.eccentricity < 0.9 and usual / 4 < one.area < 4 * usual
        )
        scores.append(float(good / area))
    return float(np.median(scores)) if scores else 0.0


def nuclei(names: Mapping[str, str], looks: Mapping[str, float]) -> str:
    """Return the channel of the nuclei: the one called DNA or as a nuclear stain, else the one that looks most like it.

    Parameters
    ----------
    names
        Name in the config to name in the files.
    looks
        Name in the files to the score of :func:`nuclear`.

    Examples
    --------
    >>> nuclei({"GFP": "1", "Hoechst": "2"}, {"1": 0.9, "2": 0.8}), nuclei({"a": "1", "b": "2"}, {"1": 0.2, "2": 0.8})
    ('Hoechst', 'b')
    """
    by_name = [name for name in names if of_name(name) == "DNA"]
    return "DNA" if "DNA" in names else by_name[0] if by_name else max(names, key=lambda name: looks[names[name]])


def cytoplasm(names: Sequence[str]) -> list[str]:
    """Return the channels that show the whole cell: two known stains at most, or the only other channel."""
    stain = {name: name if name in CYTOPLASM else of_name(name) for name in names}
    known = [name for each in CYTOPLASM for name in names if stain[name] == each][:2]
    others = [name for name in names if stain[name] not in ("DNA", "Brightfield")]
    return known or (others if len(others) == 1 else [])


def picture(image: npt.NDArray[np.uint16], path: Path) -> None:
    """Write an image as an 8-bit PNG of at most `EDGE` px, stretched from the 1st to the 99.8th percentile."""
    step = max(1, -(-max(image.shape) // EDGE))
    small = image[::step, ::step].astype(np.float64)
    low, high = np.percentile(small, [1, 99.8])
    scaled = np.clip((small - low) / max(high - low, 1), 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((scaled * 255).astype(np.uint8)).save(path)
