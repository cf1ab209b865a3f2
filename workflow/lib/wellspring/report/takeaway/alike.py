"""Look-alikes: the nearest treatments of other compounds by the cosine of consensus profiles, and what chance gives."""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.multilabel import membership
from wellspring.evaluate.neighbours import largest
from wellspring.evaluate.wells import Array
from wellspring.io import tables

COLUMNS = [
    *("treatment", "rank", "neighbour", "neighbour_compound", "neighbour_mechanism", "similarity"),
    *("shares_mechanism", "chance"),
]
AT_ONCE = 500  # treatments that are compared with all others at a time


def nearest(
    consensus: pd.DataFrame, *, neighbours: int = 5, label: str = wells.MOA, separator: str | None = "|"
) -> pd.DataFrame:
    """Return the nearest treatments of each treatment, one row per pair (`COLUMNS`).

    Parameters
    ----------
    consensus
        Table `consensus`: one row per perturbation and group (cell line).
    neighbours
        Most neighbours per treatment.
    label, separator
        Column of the mechanisms, and what splits several.

    Returns
    -------
    pandas.DataFrame
        `similarity` is the mean cosine over the groups that both treatments have. Treatments of the same compound are
        not compared. `shares_mechanism` is yes, no, or empty where one has no mechanism; `chance` is the share of the
        treatments with a mechanism, of other compounds, that share one with the treatment: what random neighbours give.
    """
    rows = consensus[np.isin(wells.column(consensus, "Metadata_pert_type").astype(str), ["trt", "poscon"])]
    features = tables.features(consensus)
    values = rows[features].to_numpy(dtype=np.float64) if len(rows) else np.zeros((0, len(features)))
    finite = np.isfinite(values).any(axis=1)
    rows, units = rows[finite].reset_index(drop=True), wells.units(values[finite])
    if rows["Metadata_Perturbation"].nunique() < 2:
        return pd.DataFrame(columns=COLUMNS)
    names = np.array(sorted(set(rows["Metadata_Perturbation"].astype(str))), dtype=object)
    first = rows.drop_duplicates("Metadata_Perturbation").set_index("Metadata_Perturbation").loc[names].reset_index()
    compound = wells.column(first, "Metadata_Compound").astype(str)
    mechanism = wells.column(first, label)
    known = np.array([value is not None for value in mechanism])
    member, _ = membership(np.where(known, mechanism, ""), separator or "")
    owner, lists = wells.codes(compound), [np.flatnonzero(column) for column in member.T]
    place = {name: number for number, name in enumerate(names)}
    at = rows["Metadata_Perturbation"].astype(str).map(place).to_numpy()
    group = wells.column(rows, "Metadata_Group").astype(str)
    found = []
    for start in range(0, len(names), AT_ONCE):
        queries = np.arange(start, min(start + AT_ONCE, len(names)))
        closeness = similar(units, at, group, queries, len(names))
        barred = ~np.isfinite(closeness) | (owner[queries, None] == owner[None, :])
        closest, values = largest(np.where(barred, -np.inf, closeness), neighbours)
        labelled = known.sum() - np.bincount(owner[known], minlength=owner.max() + 1)[owner[queries]]
        for query, order, close, many in zip(queries, closest, values, labelled, strict=True):
            own = [lists[label] for label in np.flatnonzero(member[query])] if known[query] else []
            shares = np.unique(np.concatenate([np.zeros(0, dtype=int), *own]))
            apart = int((known[shares] & (owner[shares] != owner[query])).sum())
            chance = apart / int(many) if known[query] and many else np.nan
            for rank, (other, value) in enumerate(zip(order, close, strict=True), start=1):
                if np.isfinite(value):
                    same = ("yes" if np.isin(other, shares) else "no") if known[query] and known[other] else ""
                    about = (names[query], rank, names[other], compound[other], mechanism[other], float(value))
                    found.append((*about, same, chance))
    return pd.DataFrame(found, columns=COLUMNS)


def similar(units: Array, at: Array, group: Array, queries: Array, count: int) -> Array:
    """Return the mean cosine (queries, count) over groups that both treatments have, NaN without one.

    `units` (rows, d) are profiles of unit length, `at` (rows,) the rows' treatments, `group` (rows,) their groups,
    such as cell lines; `queries` are sorted.
    """
    total, shared = np.zeros((len(queries), count)), np.zeros((len(queries), count))
    for name in sorted(set(group)):
        mine = np.flatnonzero(group == name)
        asked = mine[np.isin(at[mine], queries)]
        cells = np.ix_(np.searchsorted(queries, at[asked]), at[mine])
        total[cells] += wells.cosine(units[asked], units[mine])
        shared[cells] += 1
    result: Array = np.divide(total, shared, out=np.full(total.shape, np.nan), where=shared > 0)
    return result


def summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per treatment: `nearest` in words, and the share of neighbours with its mechanism."""
    if pairs.empty:
        return pd.DataFrame(columns=["treatment", "nearest", "nearest_sharing", "nearest_chance"])
    rows = []
    for name, mine in pairs.groupby("treatment", sort=False):
        text = "; ".join(
            f"{other} ({value:.2f})" for other, value in zip(mine["neighbour"], mine["similarity"], strict=True)
        )
        judged = mine[mine["shares_mechanism"] != ""]
        share = float((judged["shares_mechanism"] == "yes").mean()) if len(judged) else np.nan
        rows.append((name, text, share, float(mine["chance"].iloc[0])))
    return pd.DataFrame(rows, columns=["treatment", "nearest", "nearest_sharing", "nearest_chance"])
