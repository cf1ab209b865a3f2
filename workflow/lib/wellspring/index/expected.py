"""Work out which planes each well should have: those of ``index.sites``, else those that the well itself shows.

Wells may have different numbers of fields (a scan that stops at enough cells, fields at random places) and of focal
planes. A site that one channel has is expected in every channel of its well. A focal plane that one channel has is
expected at every site of its well, in all channels that have the same focal planes on the plate.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

logger = logging.getLogger(__name__)

DEEPEST = 1000  # focal planes per site: twice as many as an organoid of 0.5 mm needs at one plane per micrometre
# Limit of expected planes per plane found. A half-failed plate expects twice as many; one file with a damaged count, a
# hundred times as many. Plates of fewer expected planes are not checked.
SPARSEST, FEWEST = 20, 100_000

Depths = dict[str, tuple[str, ...]]


def sites(planes: pd.DataFrame, wells: Iterable[str], given: Sequence[str], *, plate: str) -> Depths:
    """Return the sites that each well should have.

    Parameters
    ----------
    planes
        With ``well`` and ``site``; rows without a path count, since the export lists them.
    wells
        All wells. One without images should have the sites that most wells have.
    given
        ``index.sites``, which has precedence.

    Raises
    ------
    ValueError
        No well has any of the given sites.
    """
    own = _sets(planes, ["well"], "site")
    there = sorted(set(planes["site"]), key=lambda site: (len(site), site))
    if given and not set(given) & set(there):
        raise ValueError(
            f"{plate}: expected the sites {list(given)} of index.sites, found {there[:20]}: name them as the files do"
        )
    usual = _most(own.values())
    counts = {well: len(found) for well, found in own.items()}
    if not given and len(set(counts.values())) > 1:
        fewest = sorted(well for well, count in counts.items() if count == min(counts.values()))
        logger.warning(
            "%s: wells have %d to %d sites (fewest: %s); each should have its own, unless index.sites states which",
            plate, min(counts.values()), max(counts.values()), ", ".join(fewest[:8]),
        )  # fmt: skip
    return {well: tuple(sorted(given)) or own.get(well, usual) for well in wells}


def table(
    planes: pd.DataFrame,
    wells: Sequence[str],
    expected: Mapping[str, Sequence[str]],
    channels: Sequence[str],
    *,
    plate: str,
) -> pd.DataFrame:
    """Return ``well``, ``site``, ``channel`` and ``plane`` of every expected plane.

    Parameters
    ----------
    planes
        As ``readers.listing.complete``, of the config's channels.
    wells
        Wells of the result.
    expected
        As of :func:`sites`.

    Raises
    ------
    ValueError
        A channel has more than ``DEEPEST`` focal planes, or ``SPARSEST`` times as many planes are expected as were
        found: a wrong number in one file could fill the memory.
    """
    whole = {channel: found or ("1",) for channel, found in _sets(planes, ["channel"], "plane").items()}
    group = {channel: whole.get(channel, ("1",)) for channel in channels}
    deepest = max(whole, key=lambda channel: len(whole[channel]), default="")
    if deepest and len(whole[deepest]) > DEEPEST:
        raise ValueError(
            f"{plate}: expected at most {DEEPEST} focal planes, found {len(whole[deepest])} in channel {deepest}"
        )
    grouped = planes.assign(group=planes["channel"].map(group))
    own = _sets(grouped, ["well", "group"], "plane")
    usual = {depth: _most(found for (_, of), found in own.items() if of == depth) or depth for depth in group.values()}
    stacks = {well: [(name, own.get((well, group[name]), usual[group[name]])) for name in channels] for well in wells}
    count = sum(len(expected[well]) * sum(len(depth) for _, depth in stacks[well]) for well in wells)
    if count > max(SPARSEST * len(planes), FEWEST):
        depths = {channel: len(depth) for channel, depth in group.items()}
        most = max(map(len, expected.values()))
        raise ValueError(
            f"{plate}: expected the same sites and planes in most wells, found {len(planes)} planes, where "
            f"{len(wells)} wells of up to {most} sites with the planes {depths} would have {count}"
        )
    rows = [
        (well, site, channel, plane)
        for well in wells
        for site, (channel, depth) in itertools.product(expected[well], stacks[well])
        for plane in depth
    ]
    return pd.DataFrame(rows, columns=["well", "site", "channel", "plane"], dtype=object)


def _sets(planes: pd.DataFrame, keys: list[str], column: str) -> dict[Any, tuple[str, ...]]:
    """Return the sorted distinct values of a column by the keys."""
    distinct = planes[[*keys, column]].drop_duplicates()
    by = keys[0] if len(keys) == 1 else keys
    return {key: tuple(sorted(found)) for key, found in distinct.groupby(by, sort=False)[column]}


def _most(sets: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the commonest set; of equally common ones the largest, and of these the first."""
    counts = Counter(sets)
    return min(counts, key=lambda found: (-counts[found], -len(found), found), default=())
