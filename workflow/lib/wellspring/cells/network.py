"""Nuclei that touch, divided by a small network that comes with the workflow.

`segment.find_nuclei` gives the mask of nuclei, with its rules for haze, bright bodies and empty fields. A U-net
(Ronneberger et al., 2015, doi:10.1007/978-3-319-24574-4_28) of 0.2 million weights predicts whether a pixel is of a
nucleus, and how deep it lies in its nucleus: from 0 at the outline, also where nuclei touch, to 1 in the middle. A
watershed from the deepest pixels divides the nuclei. The weights were trained by `resources/nuclei/train.py` on
outlined images of the 2018 Data Science Bowl (BBBC038, CC0); `benchmarks/segmentation.py` scores them on others.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional as F

from wellspring.cells import segment
from wellspring.cells.background import flattened, levels, smoothed
from wellspring.cells.labels import drop_small, relabel, small
from wellspring.cells.segment import Options
from wellspring.views.noise import noise_of

WEIGHTS = Path(__file__).with_name("nuclei.npz")
DIAMETER = 16.0  # px of a nucleus to which a field is scaled, as in training
SMALLEST = DIAMETER / 2  # px of a nucleus from which it is divided: smaller ones show too little, in very large fields
CHANNELS = (16, 24, 48, 64)  # of each level, from the finest
STEP = 2 ** (len(CHANNELS) - 1)  # px of the finest level per pixel of the coarsest
SMOOTHING = 0.04  # diameters
RESIZED = 0.15  # log of the ratio of two diameters: the best of 0.05 to 0.3 on images for choosing settings
CORE, HALO = 512, 56  # px of the square that is computed at a time, and of its surroundings that reach into it
# Chosen on 60 images of the tuning half that training did not see: the least probability of a nucleus; sigma of the
# smoothed depth, in diameters; the least depth of a middle, and how much deeper it is than the pass to the next one.
INSIDE, SMOOTH, MIDDLE, APART = 0.3, 0.05, 0.3, 0.25


class Block(nn.Sequential):
    """Two convolutions of 3 x 3, each with batch normalisation and ReLU."""

    def __init__(self, inner: int, outer: int) -> None:
        layers: list[nn.Module] = []
        for first in (inner, outer):
            layers += [nn.Conv2d(first, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class Network(nn.Module):
    """(n, 3, H, W) of `seen` -> logits (n, 2, H, W): of a nucleus, of the depth in it; H, W are multiples of `STEP`."""

    def __init__(self) -> None:
        super().__init__()
        finer, coarser = CHANNELS[:-1], CHANNELS[1:]
        self.down = nn.ModuleList(Block(*pair) for pair in zip((3, *finer), CHANNELS, strict=True))
        self.up = nn.ModuleList(Block(fine + coarse, fine) for fine, coarse in zip(finer, coarser, strict=True))
        self.out = nn.Conv2d(CHANNELS[0], 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        kept: list[Tensor] = []
        for number, block in enumerate(self.down):
            images = block(F.max_pool2d(images, 2) if number else images)
            kept.append(images)
        images = kept.pop()
        for block in reversed(self.up):
            images = block(torch.cat([kept.pop(), F.interpolate(images, scale_factor=2.0, mode="nearest")], 1))
        found: Tensor = self.out(images)
        return found


def seen(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network sees (3, H, W) of a DNA image (H, W) whose nuclei have `DIAMETER`.

    Three views of the height above the background: relative to the threshold, relative to the mean around, and relative
    to the noise. The first two differ where bright bodies raise the threshold.
    """
    noise = noise_of(image, SMOOTHING * DIAMETER)
    flat = flattened(smoothed(image, SMOOTHING * DIAMETER), DIAMETER)
    noise = max(noise, 1e-3 * float(flat.std()) + 1e-6)
    flat = np.maximum(flat - np.median(flat[flat <= np.median(flat)]), 0)
    background, cut = levels(flat)
    height = max(cut - background, 3 * noise)
    around = ndimage.gaussian_filter(flat, 1.5 * DIAMETER)
    views = np.arcsinh(flat / height), np.minimum(flat / (around + 3 * noise), 6) / 2, np.log1p(flat / noise) / 4
    return np.stack(views).astype(np.float32)


@cache
def network() -> Network:
    """Return the network with the weights that come with the workflow, ready to predict."""
    return load(WEIGHTS).eval()


def load(path: Path) -> Network:
    """Return a network with the weights of a file that `save` wrote."""
    found = Network()
    with np.load(path, allow_pickle=False) as weights:
        found.load_state_dict({name: torch.from_numpy(weights[name].astype(np.float32)) for name in weights.files})
    return found


def save(trained: Network, path: Path) -> None:
    """Write the weights as float16 (``npz``), which is how `load` reads them."""
    weights = {
        name: value.detach().numpy() for name, value in trained.state_dict().items() if value.is_floating_point()
    }
    np.savez_compressed(path, **{name: value.astype(np.float16) for name, value in weights.items()})


def find_nuclei(dna: NDArray[np.generic], *, options: Options) -> NDArray[np.uint32]:
    """Return the nuclei of a field (H, W) as labels uint32, numbered from the top.

    Parameters
    ----------
    dna
        (H, W) counts of any real dtype.
    options
        As for `segment.find_nuclei`; `split` only shapes the mask.

    Examples
    --------
    >>> rows, columns = np.mgrid[:64, :96]
    >>> dna = 100 + 900.0 * (np.hypot(rows - 30, columns - 40) < 10) + np.random.default_rng(0).normal(0, 5, (64, 96))
    >>> int(find_nuclei(dna, options=Options(diameter=20)).max())
    1
    """
    diameter = options.diameter
    whole = segment.find_nuclei(dna, options=options)
    mask = whole > 0
    if not mask.any() or diameter < SMALLEST:
        return whole
    inside, depth = maps(dna, diameter=diameter)
    depth = ndimage.gaussian_filter(depth, SMOOTH * diameter)
    return relabel(divided(mask & (inside > INSIDE), depth, least=options.smallest * np.pi / 4 * diameter**2))


def settled_diameter(fields: Sequence[NDArray[np.generic]], *, options: Options) -> float:
    """Return the nucleus diameter (px) of DNA images (H, W) by the nuclei that are found at that of `options`.

    It is that of a circle with the median area of the nuclei. The diameter of `options` stays if the two differ by
    less than `RESIZED`, or if there are no nuclei.
    """
    areas = [np.bincount(find_nuclei(field, options=options).ravel())[1:] for field in fields]
    found = np.concatenate([each[each > 0] for each in areas]) if areas else np.empty(0)
    if not len(found):
        return options.diameter
    diameter = float(2 * np.sqrt(np.median(found) / np.pi))
    return diameter if abs(np.log(diameter / options.diameter)) > RESIZED else options.diameter


def maps(dna: NDArray[np.generic], *, diameter: float) -> NDArray[np.float32]:
    """Return (2, H, W): the probability that a pixel of the field is of a nucleus, and its depth in it, 0 to 1."""
    scale = DIAMETER / diameter
    shape = [max(STEP, round(edge * scale)) for edge in dna.shape]
    image = resize(dna.astype(np.float32), shape, order=1, anti_aliasing=scale < 1, preserve_range=True)
    views = seen(image.astype(np.float32))
    found = np.zeros((2, *shape), dtype=np.float32)
    for place, square in _squares(views):
        with torch.inference_mode():
            part = torch.sigmoid(network()(torch.from_numpy(square)[None]))[0].numpy()
        found[:, *place] = part[:, HALO:, HALO:][:, : place[0].stop - place[0].start, : place[1].stop - place[1].start]
    return np.stack([resize(each, dna.shape, order=1, preserve_range=True) for each in found]).astype(np.float32)


def _squares(views: NDArray[np.float32]) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float32]]]:
    """Yield rows and columns of a square of the views (3, H, W), and its pixels with `HALO` around it."""
    height, width = views.shape[1:]
    around = ((0, 0), (HALO, HALO + -height % STEP), (HALO, HALO + -width % STEP))
    padded = np.pad(views, around, mode="reflect" if min(height, width) > 1 else "edge")
    for top in range(0, height, CORE):
        for left in range(0, width, CORE):
            place = slice(top, min(top + CORE, height)), slice(left, min(left + CORE, width))
            yield place, np.ascontiguousarray(padded[:, top : top + CORE + 2 * HALO, left : left + CORE + 2 * HALO])


def divided(mask: NDArray[np.bool_], depth: NDArray[np.float32], *, least: float) -> NDArray[np.int32]:
    """Return nuclei (H, W) of at least so many pixels, from a mask of nuclei and the depth in them.

    What is joined in the mask and has no middle is one nucleus.
    """
    mask = drop_small(ndimage.binary_fill_holes(mask), least)
    labels = np.zeros(mask.shape, dtype=np.int32)
    if not mask.any():
        return labels
    middles = h_maxima(np.round(depth, 3), APART).astype(bool) & mask & (depth > MIDDLE)
    seeds, count = ndimage.label(middles, np.ones((3, 3)))
    parts, number = ndimage.label(mask)
    seeded = np.zeros(number + 1, dtype=bool)
    seeded[parts[seeds > 0]] = True
    seeds = np.where(mask & ~seeded[parts], parts + count, seeds)
    labels[:] = watershed(-depth, seeds, mask=mask)
    labels[small(labels, least)[labels]] = 0
    return labels
