"""Replicate retrieval during training: the share of a few wells whose two halves of views find each other.

Each well gives two halves of views, from two sites if it has two. A half counts as retrieved if the nearest of the
other halves of the sampled wells on its plate is of the same well. Treatments are not read. Control wells resemble each
other, so the share does not reach 1; collapsed features give the chance level.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from wellspring.encoders.encoder import precise
from wellspring.train.augment import Recipe, view
from wellspring.train.settings import Settings
from wellspring.train.sources import Source
from wellspring.views.cutting import soft_window

HELD, DRAW, READ = 6, 7, 8  # streams of random numbers beside the sampler's and the loop's
PLATES, WELLS, VIEWS = 2, 16, 4  # 256 views: the work of one or two steps, and 130 MB where views are 5 x 224 x 224
BATCH = 64


class Retrieval:
    """A fixed sample of wells, drawn and read once.

    Parameters
    ----------
    source
        Images from which the wells are drawn; see `split`.
    settings
        Settings of the encoder.
    precision
        `float32` or `bfloat16`, for the network.
    """

    def __init__(self, source: Source, settings: Settings, *, precision: str) -> None:
        self.source, self.settings, self.precision = source, settings, precision
        rng = np.random.default_rng([settings.seed, 0, DRAW])
        again = settings.view.kind == "tile"
        self.plates: list[int] = []  # the plate of each well, (W,)
        pairs: list[NDArray[np.int64]] = []  # the views of each well, W of (VIEWS, 2)
        for plate in rng.permutation(np.unique(source.plate)):
            wells = rng.permutation(np.unique(source.well[source.plate == plate]))[:WELLS]
            halves = [_halves(source, well, rng, again=again) for well in wells]
            found = [pair for pair in halves if pair is not None]
            if len(found) > 1:
                self.plates += [int(plate)] * len(found)
                pairs += found
            if len(set(self.plates)) == PLATES:
                break
        self.items = np.array(pairs).reshape(-1, VIEWS, 2)
        self._images: list[Tensor] = []

    def measure(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return `retrieval` and its chance level; nothing if no plate has two wells with two halves.

        The mode of the network and all random states are restored.
        """
        if not len(self.items):
            return {}
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        with torch.inference_mode(), precise(device, self.precision):
            features = torch.cat([network(part.to(device)).float() for part in self._views(device)])
        for module, mode in modes:
            module.training = mode
        halves = normalize(features, dim=1).unflatten(0, self.items.shape).mean(dim=1)  # W x 2 x D
        found, chance = score(halves.cpu(), torch.from_numpy(np.array(self.plates)))
        return {"retrieval": found, "retrieval_chance": chance}

    def _views(self, device: torch.device) -> Iterator[Tensor]:
        """Yield the views as the encoder embeds them, in batches; they are read once and kept as float16."""
        if not self._images:
            rng = np.random.default_rng([self.settings.seed, 0, READ])
            for start in range(0, self.items.size, BATCH):
                self._images.append(self._read(self.items.ravel()[start : start + BATCH], rng))
        for images in self._images:
            yield images.to(device).float()

    def _read(self, items: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        look = self.settings.view
        scales = [self.source.pixels[code] for code in self.source.plate[items]]
        edge = self.settings.embedded
        window = None if look.window is None else torch.from_numpy(soft_window(edge, look.window))
        seen = view(
            torch.from_numpy(self.source.read(items, rng, sites=2)),
            Recipe(),
            torch.Generator(),
            size=edge,
            mean=torch.from_numpy(np.stack([each.mean for each in scales])),
            std=torch.from_numpy(np.stack([each.std for each in scales])),
            window=window,
            alone=look.pixels == "view",
        )
        size = self.settings.input_size
        if size != edge:
            seen = interpolate(seen, size=(size, size), mode="bilinear", antialias=True)
        return seen.half()


def score(halves: Tensor, plates: Tensor) -> tuple[float, float]:
    """Return the share of halves whose nearest neighbour among the other halves is of their well, and the chance level.

    Parameters
    ----------
    halves
        (W, 2, D) float features. They are centred by plate, as profiles are, since an offset that all wells share would
        bring every cosine close to 1.
    plates
        (W,) int, at least two wells per plate; only wells of one plate are compared.
    """
    found, chance = [], []
    for plate in plates.unique():
        here = halves[plates == plate]
        unit = normalize(here - here.mean(dim=(0, 1)), dim=2)
        nearness = unit[:, 0] @ unit[:, 1].T
        own = torch.arange(len(here))
        found += [nearness.argmax(dim=1) == own, nearness.argmax(dim=0) == own]
        chance += [torch.full((2 * len(here),), 1 / len(here))]
    return float(torch.cat(found).float().mean()), float(torch.cat(chance).mean())


def split(source: Source, share: float, *, seed: int) -> tuple[Source, Source]:
    """Return the items to train on, and those from which wells for retrieval are drawn.

    With a share of 0 both are the source itself. Otherwise `share` of the wells of each plate, at least two, are held
    out; the seed decides which.

    Raises
    ------
    ValueError
        A plate would keep no well to train on.
    """
    if share == 0:
        return source, source
    held = np.zeros(len(source.plate), dtype=bool)
    for plate in np.unique(source.plate):
        wells = np.unique(source.well[source.plate == plate])
        count = max(round(share * len(wells)), 2)
        if count >= len(wells):
            raise ValueError(
                f"train.holdout: expected wells that are left to train on, found {count} of {len(wells)} held out on a "
                f"plate; lower train.holdout from {share}"
            )
        chosen = np.random.default_rng([seed, int(plate), HELD]).permutation(wells)[:count]
        held |= np.isin(source.well, chosen)
    return Part(source, np.flatnonzero(~held)), Part(source, np.flatnonzero(held))


class Part:
    """A source of some items of another source."""

    def __init__(self, source: Source, items: NDArray[np.intp]) -> None:
        self.source, self.items, self.pixels = source, items, source.pixels
        self.frame: pd.DataFrame = source.frame.iloc[items].reset_index(drop=True)
        self.plate, self.site = source.plate[items], source.site[items]
        self.well = np.unique(source.well[items], return_inverse=True)[1]

    def read(self, items: NDArray[np.int64], rng: np.random.Generator, *, sites: int = 1) -> NDArray[np.float32]:
        """Return the scaled pixels of items, in groups of `sites` items of one well."""
        return self.source.read(self.items[items], rng, sites=sites)


def _halves(source: Source, well: int, rng: np.random.Generator, *, again: bool) -> NDArray[np.int64] | None:
    """Return the items of two halves of a well, (VIEWS, 2), from two sites if it has two; None if it has too few.

    With `again`, an item may be in both halves (fields, from which the reader takes disjoint blocks).
    """
    items = np.flatnonzero(source.well == well)
    sites = np.unique(source.site[items])
    if len(sites) > 1:
        sides = [items[source.site[items] == site] for site in rng.permutation(sites)[:2]]
    elif again:
        sides = [items, items]
    elif len(items) > 1:
        sides = np.array_split(rng.permutation(items), 2)
    else:
        return None
    return np.stack([np.resize(rng.permutation(side), VIEWS) for side in sides], axis=1)
