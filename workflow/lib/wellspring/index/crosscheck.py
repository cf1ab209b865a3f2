"""Cross-check the planes of a plate, from whatever reader: each is one plane of one well, taken once.

Every reader's listing passes here. A plane is never chosen by the name of its file: where there is a choice, a person
makes it in the config, or the plate stops with the list.
"""

import logging
from collections.abc import Mapping

import pandas as pd

from wellspring.index.readers.folders import HERE
from wellspring.index.readers.listing import DEFAULTS

logger = logging.getLogger(__name__)

KEY = ["well", "site", "channel", "plane"]
SHOWN = 6  # planes that an error lists
ALL = "all"  # of `index.acquisition`: sub-folders are parts of one measurement


def cycles(planes: pd.DataFrame, aliases: Mapping[str, str]) -> pd.DataFrame:
    """Return the planes with a channel ``NAME@ACQUISITION`` for those that ``index.channels`` names so."""
    full = planes["channel"] + "@" + planes["acquisition"]
    return planes.assign(channel=planes["channel"].where(~full.isin(list(aliases.values())), full))


def at_acquisition(
    planes: pd.DataFrame, acquisition: object, *, plate: str, aliases: Mapping[str, str]
) -> pd.DataFrame:
    """Return the planes of one acquisition (measurement), or of several that are cycles of one.

    Parameters
    ----------
    planes
        The planes of the config's channels, as ``readers.listing.complete``.
    acquisition
        ``index.acquisition``: the acquisition's name in the metadata, or a folder in the paths of its images, or
        ``all`` for the planes of all, where these are folders or files.
    aliases
        ``index.channels``: those of the form ``NAME@ACQUISITION`` state that acquisitions are cycles.

    Raises
    ------
    ValueError
        There are several acquisitions and none is chosen, unless they are the cycles of one measurement: they have
        different channels, and the metadata or the config states it (folders of one channel each may be plates). The
        chosen one is not there; the cycles of a well have different numbers of sites.
    """
    found = sorted(planes["acquisition"].unique(), key=_natural)
    if str(acquisition) == ALL and ALL not in found:
        if len(found) == 1 or planes["separate"].any():
            return planes
        acquisition = None  # acquisitions that metadata name are no parts of one
    if acquisition is not None:
        planes = _chosen(planes, str(acquisition), found, plate)
        found = sorted(planes["acquisition"].unique(), key=_natural)
    if len(found) == 1:
        return planes
    channels = planes.groupby("acquisition")["channel"].unique()
    apart = sum(map(len, channels)) == planes["channel"].nunique()
    named = any(channel.endswith(f"@{name}") for name in found for channel in aliases.values())
    if apart and (named or not planes["separate"].any()):
        return _cycles(planes, plate)
    shared = {name: sorted(channels[name]) for name in found}
    parts = f"{'channels or other parts' if apart else 'parts'} of one measurement: `index.acquisition: {ALL}`; "
    parts = parts if planes["separate"].any() else ""
    raise ValueError(
        f"{plate}: expected one acquisition, found {shared} (two plates: give each folder a row of its own in the "
        "sheet, or name the plate in file names by a group plate in index.pattern; two measurements of one plate: "
        "choose one in index.acquisition; time points: name them by a group timepoint in index.pattern; "
        f"{parts}cycles of one measurement are read if index.channels names a channel of each as NAME@ACQUISITION)"
    )


def once(planes: pd.DataFrame, *, plate: str) -> pd.DataFrame:
    """Return the planes without repeated rows; no page of a file may be named for two of them.

    Raises
    ------
    ValueError
        Lists the pages that are named for two wells, sites, channels or planes.
    """
    planes = planes.drop_duplicates([*KEY, "path", "page"], ignore_index=True)
    there = planes[planes["path"].notna()]
    twice = there[there.duplicated(["path", "page"], keep=False)].sort_values(["path", "page"], kind="stable")
    if twice.empty:
        return planes
    listed = [
        f"{path} page {page}: " + " and ".join(" ".join(key) for key in part[KEY].itertuples(index=False, name=None))
        for (path, page), part in twice.groupby(["path", "page"])
    ]
    raise ValueError(
        f"{plate}: expected each image for one well, site, channel and plane, found {len(listed)} named for several: "
        f"{'; '.join(listed[:SHOWN])} (correct the table, or leave one of the channels out of `channels`)"
    )


def one_kind(planes: pd.DataFrame, *, plate: str) -> pd.DataFrame:
    """Return the planes; focal planes by number and others, as projections called `MIP`, are never mixed.

    Raises
    ------
    ValueError
        A channel has focal planes with and without a number.
    """
    number = planes["plane"].str.isdecimal()
    mixed = sorted(set(planes.loc[number, "channel"]) & set(planes.loc[~number, "channel"]))
    if mixed:
        here = planes["channel"].isin(mixed)
        others, counted = (
            sorted(planes.loc[here & kind, "plane"].unique(), key=_natural) for kind in (~number, number)
        )
        raise ValueError(
            f"{plate}: expected focal planes by number, found {others} beside {counted} in channel {', '.join(mixed)} "
            "(are these projections? let the group plane of index.pattern match the focal planes alone, or them alone)"
        )
    return planes


def doubled(planes: pd.DataFrame) -> pd.Series:
    """Return which planes were found more than once, in different files or pages."""
    return planes.duplicated(KEY, keep=False)


def without(planes: pd.DataFrame, twice: pd.Series) -> pd.DataFrame:
    """Return a row per plane, without a file for those that were found more than once."""
    lost = planes.assign(path=planes["path"].where(~twice, None), bytes=planes["bytes"].where(~twice, 0))
    return lost.drop_duplicates(KEY, ignore_index=True)


def told(twice: pd.DataFrame) -> str:
    """Return where planes lie that were found more than once, for a message."""
    paths = twice["path"].dropna()
    folders = sorted({path.rpartition("/")[0] or "." for path in paths})
    remedy = "index.acquisition chooses a folder" if len(folders) > 1 else "index.pattern must name what differs"
    return f"have planes twice ({sorted(paths)[:4]}, in the folders {folders[:SHOWN]}: {remedy})"


def _chosen(planes: pd.DataFrame, acquisition: str, found: list[str], plate: str) -> pd.DataFrame:
    if acquisition == HERE and found == [DEFAULTS["acquisition"]]:
        return planes  # this plate has no other sub-folders
    if acquisition in found:
        return planes[planes["acquisition"] == acquisition].reset_index(drop=True)
    inside = planes["path"].fillna("").map(lambda path: acquisition in path.split("/")[:-1])
    if inside.any():
        known = pd.MultiIndex.from_frame(planes.loc[inside, KEY])
        inside |= planes["path"].isna() & ~pd.MultiIndex.from_frame(planes[KEY]).isin(known)
        logger.info("%s: %d planes of other folders than %s are left", plate, (~inside).sum(), acquisition)
        return planes[inside].reset_index(drop=True)
    folders = sorted({part for path in planes["path"].dropna().unique() for part in path.split("/")[:-1]})
    raise ValueError(
        f"{plate}: expected the acquisition {acquisition} (index.acquisition), found {found} in the folders "
        f"{folders[:20]}"
    )


def _cycles(planes: pd.DataFrame, plate: str) -> pd.DataFrame:
    """Give the sites of each cycle the names of the first cycle's, in their order within each well."""
    names: dict[tuple[str, str], list[str]] = {
        key: sorted(sites.unique(), key=_natural) for key, sites in planes.groupby(["well", "acquisition"])["site"]
    }
    first: dict[str, list[str]] = {}
    renamed: dict[tuple[str, str, str], str] = {}
    for (well, acquisition), sites in sorted(names.items(), key=lambda item: (item[0][0], _natural(item[0][1]))):
        usual = first.setdefault(well, sites)
        if len(usual) != len(sites):
            raise ValueError(
                f"{plate}: expected as many sites in each cycle of well {well}, found {usual} and {sites} in "
                f"acquisition {acquisition} (index.acquisition reads one cycle)"
            )
        renamed |= {(well, acquisition, site): name for site, name in zip(sites, usual, strict=True)}
    logger.info("%s: acquisitions of different channels are joined as cycles", plate)
    keys = zip(planes["well"], planes["acquisition"], planes["site"], strict=True)
    return planes.assign(site=[renamed[key] for key in keys])


def _natural(name: str) -> tuple[int, str]:
    return len(name), name
