"""The heat map of similarities: treatments by the cosine of their consensus profiles, in the order of a clustering."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from wellspring.evaluate import wells
from wellspring.io import tables
from wellspring.io.phrases import count
from wellspring.profile.consensus import consensus
from wellspring.report.active import Population, Treatment
from wellspring.report.gather import Record, Screen
from wellspring.report.svg import fixed
from wellspring.report.takeaway.alike import similar

LIMIT = 150  # treatments: the strongest first; 60 kB of the page


def matrix(profiles: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    """Return the mean cosine (n, n) of the treatments `names` over the groups that two have; NaN where they share none.

    `profiles` is a table `consensus`: one row per perturbation and group (cell line).
    """
    rows = profiles[profiles["Metadata_Perturbation"].astype(str).isin(names)]
    values = rows[tables.features(profiles)].to_numpy(dtype=np.float64)
    finite = np.isfinite(values).any(axis=1)
    place = {name: number for number, name in enumerate(names)}
    at = rows["Metadata_Perturbation"].astype(str).map(place).to_numpy(dtype=int)[finite]
    group = wells.column(rows, "Metadata_Group").astype(str)[finite]
    found: NDArray[np.float64] = similar(wells.units(values[finite]), at, group, np.arange(len(names)), len(names))
    return found


def order(values: NDArray[Any]) -> list[int]:
    """Return the places of treatments after clustering by average linkage, neighbours alike."""
    if len(values) < 3:
        return list(range(len(values)))
    apart = 1 - np.nan_to_num((values + values.T) / 2, nan=0.0)
    np.fill_diagonal(apart, 0)
    near = squareform(np.maximum(apart, 0), checks=False)
    return [int(place) for place in leaves_list(optimal_leaf_ordering(linkage(near, method="average"), near))]


def block(screen: Screen, found: Population) -> Record:
    """Return the data of the heat map, empty with fewer than two treatments.

    `names`, `mechanisms` (codes of `levels`, null where none is stated), `values` (hundredths, null without), `words`
    (what pairs of one mechanism and of two have), `shown` and `all` (numbers of treatments).
    """
    frame = screen.aligned.get(found.encoder, pd.DataFrame())
    if frame.empty or not tables.features(frame):
        return {}
    given = screen.consensus.get(found.encoder)
    profiles = consensus(frame) if given is None else given
    known = set(profiles["Metadata_Perturbation"].astype(str)) if len(profiles) else set()
    rest = [one for one in found.treatments if not one.tested]
    strong = [one for one in (*found.controls, *found.strongest(), *rest) if one.perturbation in known]
    strong = list({one.perturbation: one for one in reversed(strong)}.values())[::-1]
    chosen = strong[:LIMIT]
    values = matrix(profiles, [one.perturbation for one in chosen]) if len(chosen) > 1 else np.zeros((0, 0))
    there = np.flatnonzero(np.isfinite(values).any(axis=1)) if len(values) else np.zeros(0, dtype=int)
    if len(there) < 2:
        return {}
    values, chosen = values[np.ix_(there, there)], [chosen[place] for place in there]
    line = order(values)
    values, chosen = values[np.ix_(line, line)], [chosen[place] for place in line]
    levels = sorted({one.mechanism for one in chosen if one.mechanism})
    return {
        "names": [one.item for one in chosen],
        "mechanisms": [levels.index(one.mechanism) if one.mechanism else None for one in chosen],
        "levels": levels,
        "values": [[round(100 * one) if np.isfinite(one) else None for one in row] for row in values.tolist()],
        "words": _pairs(values, chosen),
        "shown": len(chosen),
        "all": len(strong),
    }


def _pairs(values: NDArray[Any], chosen: list[Treatment]) -> str:
    """Return the medians of pairs of one mechanism and of two, of different compounds, in words."""
    compound, mechanism = (np.array([getattr(one, name) for one in chosen]) for name in ("compound", "mechanism"))
    pairs = np.triu((mechanism != "") & (mechanism[:, None] != "") & (compound != compound[:, None]), 1)
    same = mechanism == mechanism[:, None]
    told = []
    for which, name in ((same, "one mechanism"), (~same, "two mechanisms")):
        some = values[pairs & which]
        some = some[np.isfinite(some)]
        if len(some):
            told.append(f"{count(len(some), 'pair')} of compounds of {name}: median {fixed(float(np.median(some)), 2)}")
    return "; ".join(told)
