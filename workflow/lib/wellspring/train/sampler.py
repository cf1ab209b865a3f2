"""Which items a step sees: the plate, well and site of every item flow in, a batch of item numbers flows out.

An item is a cell (view: cell) or a field (view: tile). A draw is a function of (seed, step) alone.
"""

from functools import lru_cache

import numpy as np

ORDER, DRAW = 1, 2  # streams of random numbers, so that an epoch's order and a step's draw never share a seed


def generator(seed: int, step: int, *, stream: int = 0) -> np.random.Generator:
    """Return the random state of one step and purpose."""
    return np.random.default_rng([seed, step, stream])


class Sampler:
    """Draws batches of items.

    Parameters
    ----------
    plate, well, site
        (N,) int64 codes of each item; wells and sites are unique over the screen (B02 of two plates has two codes).
    batch
        Items a step; even with `pairs`.
    pairs
        Items 2i and 2i + 1 of a batch lie at two sites of one well; a well with one site gives two items of it (a cell
        and another; for fields the same one twice, of which the reader takes disjoint blocks).
    one_plate
        All items of a batch come from one plate, so that the plate can not tell negatives apart.
    seed
        Of the run.
    alone
        With `pairs`: whether one item may pair with itself (fields), else wells with a single item are left out.
    """

    def __init__(
        self,
        plate: np.ndarray,
        well: np.ndarray,
        site: np.ndarray,
        *,
        batch: int,
        pairs: bool,
        one_plate: bool,
        seed: int,
        alone: bool = False,
    ) -> None:
        if len(plate) == 0:
            raise ValueError("training set: expected at least one item, found none")
        if pairs and batch % 2:
            raise ValueError(f"batch: expected an even number for pairs of sites, found {batch}")
        self.batch, self.pairs, self.one_plate, self.seed, self.alone = batch, pairs, one_plate, seed, alone
        self.count = len(plate)
        self.by_plate = [np.flatnonzero(plate == code) for code in np.unique(plate)]
        self.wells, self.wells_by_plate = _group(plate, well, site, alone=alone) if pairs else ([], [])
        if pairs and not self.wells:
            raise ValueError("training set: expected wells with two items for pairs of sites, found none")
        self._order = lru_cache(maxsize=2)(self._epoch)

    @property
    def single_site_wells(self) -> int:
        """Wells whose pairs lie in one site."""
        return sum(len(sites) == 1 for sites in self.wells)

    def draw(self, step: int) -> np.ndarray:
        """Items of a step, (batch,) int64."""
        rng = generator(self.seed, step, stream=DRAW)
        if self.pairs:
            return self._pairs(rng)
        if self.one_plate:
            share = np.array([len(items) for items in self.by_plate]) / self.count
            items = self.by_plate[rng.choice(len(self.by_plate), p=share)]
            return _cycle(items, self.batch, rng)
        epoch, place = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), self.count)
        return np.array([self._order(int(e))[p] for e, p in zip(epoch, place, strict=True)], dtype=np.int64)

    def _epoch(self, epoch: int) -> np.ndarray:
        return generator(self.seed, epoch, stream=ORDER).permutation(self.count)

    def _pairs(self, rng: np.random.Generator) -> np.ndarray:
        wells = np.arange(len(self.wells))
        if self.one_plate:
            share = np.array([len(group) for group in self.wells_by_plate]) / len(self.wells)
            wells = self.wells_by_plate[rng.choice(len(self.wells_by_plate), p=share)]
        items = [self._two(self.wells[well], rng) for well in _cycle(wells, self.batch // 2, rng)]
        return np.concatenate(items)

    def _two(self, sites: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        if len(sites) > 1:
            first, second = rng.choice(len(sites), size=2, replace=False)
            return np.array([rng.choice(sites[first]), rng.choice(sites[second])], dtype=np.int64)
        if len(sites[0]) > 1:
            return rng.choice(sites[0], size=2, replace=False)
        return np.repeat(sites[0], 2)


def _group(
    plate: np.ndarray, well: np.ndarray, site: np.ndarray, *, alone: bool
) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """Items by site of each usable well, and the numbers of the wells of each plate."""
    order = np.lexsort((site, well))
    wells, codes = [], []
    for items in np.split(order, np.flatnonzero(np.diff(well[order])) + 1):
        if len(items) > 1 or alone:
            wells.append(np.split(items, np.flatnonzero(np.diff(site[items])) + 1))
            codes.append(plate[items[0]])
    return wells, [np.flatnonzero(np.array(codes) == code) for code in np.unique(codes)]


def _cycle(items: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` of the items, each again only when all have been drawn."""
    rounds = -(-count // len(items))
    return np.concatenate([rng.permutation(items) for _ in range(rounds)])[:count]
