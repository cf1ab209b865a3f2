"""The sampler: draws the items of a step by their plate, well and site.

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
        Items per step; a multiple of `sites`.
    sites
        Items per group: items s * i ... s * i + s - 1 of a batch are of one well, from `sites` different sites if it
        has as many. A well with fewer sites gives several items of a site: other cells, or the same field, from which
        the reader takes disjoint blocks. 1 draws single items, without groups.
    one_plate
        All items of a batch come from one plate, so that the plate cannot separate negatives.
    seed
        Seed of the run.
    alone
        With groups: whether a group may contain an item several times (fields). If not, wells with fewer items than
        `sites` are left out.
    """

    def __init__(
        self,
        plate: np.ndarray,
        well: np.ndarray,
        site: np.ndarray,
        *,
        batch: int,
        sites: int,
        one_plate: bool,
        seed: int,
        alone: bool = False,
    ) -> None:
        if len(plate) == 0:
            raise ValueError("training set: expected at least one item, found none")
        if batch % sites:
            raise ValueError(f"batch: expected a multiple of {sites} (local_aggregation.sites_per_well), found {batch}")
        self.batch, self.sites, self.one_plate, self.seed = batch, sites, one_plate, seed
        self.count = len(plate)
        self.by_plate = [np.flatnonzero(plate == code) for code in np.unique(plate)]
        least = 1 if alone else sites
        self.wells, self.wells_by_plate = _group(plate, well, site, least=least) if sites > 1 else ([], [])
        if sites > 1 and not self.wells:
            raise ValueError(f"training set: expected wells with {sites} items for groups of sites, found none")
        self._order = lru_cache(maxsize=2)(self._epoch)

    @property
    def short_wells(self) -> int:
        """Number of wells with fewer sites than a group has items; they give several items of a site."""
        return sum(len(sites) < self.sites for sites in self.wells)

    def draw(self, step: int) -> np.ndarray:
        """Return the items of a step, (batch,) int64."""
        rng = generator(self.seed, step, stream=DRAW)
        if self.sites > 1:
            return self._groups(rng)
        if self.one_plate:
            share = np.array([len(items) for items in self.by_plate]) / self.count
            items = self.by_plate[rng.choice(len(self.by_plate), p=share)]
            return _cycle(items, self.batch, rng)
        epoch, place = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), self.count)
        return np.array([self._order(int(e))[p] for e, p in zip(epoch, place, strict=True)], dtype=np.int64)

    def _epoch(self, epoch: int) -> np.ndarray:
        return generator(self.seed, epoch, stream=ORDER).permutation(self.count)

    def _groups(self, rng: np.random.Generator) -> np.ndarray:
        wells = np.arange(len(self.wells))
        if self.one_plate:
            share = np.array([len(group) for group in self.wells_by_plate]) / len(self.wells)
            wells = self.wells_by_plate[rng.choice(len(self.wells_by_plate), p=share)]
        chosen = _cycle(wells, self.batch // self.sites, rng)
        return np.concatenate([self._of_well(self.wells[well], rng) for well in chosen])

    def _of_well(self, sites: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Draw one group: a site is repeated only after all sites, and an item of a site only after all its items."""
        counts = np.bincount(_cycle(np.arange(len(sites)), self.sites, rng), minlength=len(sites))
        drawn = [_cycle(items, count, rng) for items, count in zip(sites, counts, strict=True) if count]
        return rng.permutation(np.concatenate(drawn))


def _group(
    plate: np.ndarray, well: np.ndarray, site: np.ndarray, *, least: int
) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """Return the items by site of each well with `least` items, and the indices of the wells of each plate."""
    order = np.lexsort((site, well))
    wells, codes = [], []
    for items in np.split(order, np.flatnonzero(np.diff(well[order])) + 1):
        if len(items) >= least:
            wells.append(np.split(items, np.flatnonzero(np.diff(site[items])) + 1))
            codes.append(plate[items[0]])
    return wells, [np.flatnonzero(np.array(codes) == code) for code in np.unique(codes)]


def _cycle(items: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` items; an item is repeated only after all have been drawn."""
    rounds = -(-count // len(items))
    return np.concatenate([rng.permutation(items) for _ in range(rounds)])[:count]
