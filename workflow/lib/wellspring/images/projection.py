"""Choose the focal planes of each site and project them to one image."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from wellspring.io.keys import PLANE_KEY
from wellspring.screen.sections import Images

STACK = PLANE_KEY[:-1]  # key columns that the planes of a stack share


def choose(index: pd.DataFrame, surveyed: pd.DataFrame, *, options: Images) -> pd.DataFrame:
    """Return the rows of the index, sorted, that are read: all of a stack for ``max`` and ``mean``, else one of each.

    Parameters
    ----------
    index, surveyed
        Tables of a plate, or of some of its sites.
    options
        Section ``images`` of the config: ``sharpest`` takes the plane of greatest ``sharpness`` in the survey, by site
        and channel (of equals the first); ``plane`` that of the name ``plane``, or the only one of a channel.

    Raises
    ------
    ValueError
        A stack has no such plane, naming those it has, or the survey no sharpness.
    """
    index = index.sort_values(PLANE_KEY, kind="stable", ignore_index=True)
    if options.projection == "sharpest":
        if "sharpness" not in surveyed:
            raise ValueError("images.projection sharpest: expected the column sharpness in the survey, found none")
        sharp = index[PLANE_KEY].merge(
            surveyed[[*PLANE_KEY, "sharpness"]], on=PLANE_KEY, how="left", validate="one_to_one"
        )
        best = sharp["sharpness"].fillna(-np.inf).groupby([sharp[column] for column in STACK]).idxmax()
        return index.loc[best.sort_values()].reset_index(drop=True)
    if options.projection == "plane":
        return _named(index, str(options.plane))
    return index


def project(stack: Iterable[np.ndarray], method: str) -> np.ndarray:
    """Project planes (H, W) that come one by one, of which never more than two are held; of one plane it is the plane.

    Returns
    -------
    numpy.ndarray
        (H, W): ``max`` in the planes' dtype, ``mean`` in float32, rounded later, with the correction.
    """
    planes = iter(stack)
    first, count, total = next(planes), 1, None
    for plane in planes:
        count += 1
        if total is None:
            total = first.astype(np.uint32 if method == "mean" else first.dtype)
        if method == "mean":
            total += plane
        elif method == "max":
            np.maximum(total, plane, out=total)
        else:
            raise ValueError(f"projection {method}: expected one plane, found several")
    if total is None:
        return first
    return np.divide(total, count, dtype=np.float32) if method == "mean" else total


def _named(index: pd.DataFrame, plane: str) -> pd.DataFrame:
    """Return the rows of one plane; a channel of one plane, beside stacks of others, has that one."""
    mine, stacks = index["Metadata_Plane"] == plane, [index[column] for column in STACK]
    has, depth = mine.groupby(stacks).transform("any"), mine.groupby(stacks).transform("size")
    without = ~has & ((depth > 1) | ~mine.any())
    if without.any():
        name, well, site, channel = index.loc[without, STACK].iloc[0]
        here = index.loc[(index[STACK] == [name, well, site, channel]).all(axis=1), "Metadata_Plane"].tolist()
        raise ValueError(f"images.plane: expected plane {plane!r} of {name} {well} site {site} {channel}, found {here}")
    return index[mine | ~has].reset_index(drop=True)
