"""What a treatment changes: classical features in words, by their effect or by correlation with a learned profile.

For a classical encoder the strongest effects against the controls of the same plates are listed. For a learned one,
classical features of the same wells are listed by their correlation with the position of these wells on the treatment's
own axis (`wellspring.evaluate.own_axis`), which no well helped to fit that is read on it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from wellspring.evaluate import wells
from wellspring.evaluate.own_axis import project
from wellspring.evaluate.score import benjamini_hochberg
from wellspring.evaluate.wells import Array
from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.report.takeaway.feature_words import Words, words

COLUMNS = [
    *("treatment", "rank", "encoder", "basis", "compartment", "channel", "kind", "change", "direction", "effect_sd"),
    *("correlation", "q", "features", "feature"),
]
PRIOR = 4.0  # degrees of freedom with which the spread of a treatment's few replicates is drawn to that of controls
ALPHA = 0.05
LISTED = 8  # most changes per treatment


class Classical:
    """Classical features of a screen's wells, in standard deviations of their plate's negative controls."""

    def __init__(
        self, frame: pd.DataFrame, *, channels: Sequence[str] = (), meant: Mapping[str, Words] | None = None
    ) -> None:
        """Read normalised profiles with one row per well; features that have no words are left out.

        Words are those of classical features, or `meant` for other features with a meaning.
        """
        each = {name: meant.get(name) if meant else words(name, channels=channels) for name in tables.features(frame)}
        self.words: dict[str, Words] = {name: found for name, found in each.items() if found is not None}
        self.names = list(self.words)
        self.metadata = frame[[name for name in frame.columns if name.startswith("Metadata_")]].reset_index(drop=True)
        values = frame[self.names].to_numpy(dtype=np.float64, copy=True)
        values[~np.isfinite(values)] = np.nan
        plate, control = wells.column(frame, wells.PLATE), wells.kind(frame, "negcon") & _kept(frame)
        self.controls = pd.Series(plate[control]).value_counts()
        squares, degrees = np.zeros(len(self.names)), np.zeros(len(self.names))
        for name in sorted(set(plate)):
            mine = plate == name
            own = values[mine & control]
            middle = _mean(own)
            values[mine] -= middle
            squares += np.nansum((own - middle) ** 2, axis=0)
            degrees += np.maximum(np.isfinite(own).sum(axis=0) - 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(squares / degrees)
            self.values = np.where(spread > 0, values / spread, np.nan)
        keys = zip(*(wells.column(frame, name).astype(str) for name in WELL_KEY), strict=True)
        self.place = {key: row for row, key in enumerate(keys)}

    def effects(self, rows: Array) -> tuple[Array, Array]:
        """Return effect and p of every feature (d,) in the wells `rows`: moderated t tests against the controls."""
        own = self.values[rows]
        count = np.isfinite(own).sum(axis=0)
        mean = _mean(own)
        plates, times = np.unique(wells.column(self.metadata, wells.PLATE)[rows].astype(str), return_counts=True)
        controls = np.array([self.controls.get(name, 0) for name in plates], dtype=float)
        if not (controls > 0).all() or len(rows) < 2:
            return mean, np.full(len(mean), np.nan)
        # Wells of one plate share the error of its controls' mean.
        shared = float(((times / times.sum()) ** 2 / controls).sum())
        squares = np.nansum((own - mean) ** 2, axis=0)
        degrees = np.maximum(count - 1, 0) + PRIOR
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt((squares + PRIOR) / degrees / count + shared)
            p = 2 * stats.t.sf(np.abs(mean) / error, degrees)
        return mean, np.where(count > 1, p, np.nan)


def of_classical(classical: Classical, treatments: Mapping[str, Array], *, encoder: str) -> pd.DataFrame:
    """Return the changes (`COLUMNS`) of treatments: name -> rows of their wells in the classical table."""
    found = []
    for name, rows in treatments.items():
        effect, p = classical.effects(rows)
        found += _ranked(classical, name, encoder, "effect", effect, p, by=np.abs(effect))
    return pd.DataFrame(found, columns=COLUMNS)


def of_learned(
    classical: Classical, frame: pd.DataFrame, treatments: Mapping[str, Array], *, encoder: str
) -> pd.DataFrame:
    """Return the changes of treatments of a learned encoder: name -> rows of their wells in its aligned `frame`."""
    features = frame[tables.features(frame)].to_numpy(dtype=np.float64)
    keys = list(zip(*(wells.column(frame, name).astype(str) for name in WELL_KEY), strict=True))
    plate, found = wells.column(frame, wells.PLATE), []
    for name, rows in treatments.items():
        near = np.flatnonzero(np.isin(plate, plate[rows]))
        member = np.isin(near, rows)
        axis = project(features[near], frame.iloc[near], member=member, top=member)
        if axis is None:
            continue
        both = [(classical.place.get(keys[near[row]], -1), place) for place, row in enumerate(axis.rows)]
        there = np.array([(row, place) for row, place in both if row >= 0], dtype=int).reshape(-1, 2)
        treated = ~axis.control[there[:, 1]]
        if len(there) < 6 or treated.sum() < 2:
            continue
        values, score = classical.values[there[:, 0]], axis.score[there[:, 1]]
        correlation = _correlations(values, score)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(correlation) * np.sqrt((len(there) - 2) / (1 - correlation**2))
        effect, moved = classical.effects(there[treated, 0])
        # The axis of an inactive treatment is a random one, with which features correlate too: both must hold.
        p = np.maximum(2 * stats.t.sf(t, len(there) - 2), moved)
        p = np.where(np.sign(effect) == np.sign(correlation), p, np.where(np.isfinite(correlation), 1.0, np.nan))
        found += _ranked(
            classical, name, encoder, "correlation", effect, p, by=np.abs(correlation), correlation=correlation
        )
    return pd.DataFrame(found, columns=COLUMNS)


def _ranked(
    classical: Classical,
    name: str,
    encoder: str,
    basis: str,
    effect: Array,
    p: Array,
    *,
    by: Array,
    correlation: Array | None = None,
) -> list[tuple[object, ...]]:
    """Return the rows of a treatment: the strongest feature of each compartment, channel and kind with q < `ALPHA`."""
    q = benjamini_hochberg(p)
    passed = np.flatnonzero(q < ALPHA)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for number in passed[np.argsort(-by[passed], kind="stable")]:
        one = classical.words[classical.names[number]]
        groups.setdefault((one.compartment, one.channel, one.kind), []).append(int(number))
    rows: list[tuple[object, ...]] = []
    for rank, ((compartment, channel, kind), mine) in enumerate(list(groups.items())[:LISTED], start=1):
        first = mine[0]
        sign = correlation[first] if correlation is not None else effect[first]
        rows.append(
            (name, rank, encoder, basis, compartment, channel, kind, classical.words[classical.names[first]].text)
            + ("higher" if sign > 0 else "lower", float(effect[first]))
            + (float(correlation[first]) if correlation is not None else np.nan, float(q[first]))
            + (len(mine), classical.names[first])
        )
    return rows


def _correlations(values: Array, score: Array) -> Array:
    """Return Pearson's correlation (d,) of each column with the score, over the rows where it is finite."""
    read = np.isfinite(values)
    count = np.maximum(read.sum(axis=0), 1)
    a = np.where(read, values - np.where(read, values, 0).sum(axis=0) / count, 0)
    b = np.where(read, score[:, None], 0)
    b = np.where(read, b - b.sum(axis=0) / count, 0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    result: Array = np.divide((a * b).sum(axis=0), scale, out=np.full(len(scale), np.nan), where=scale > 0)
    return result


def _mean(values: Array) -> Array:
    """Return the means (d,) of the finite values; NaN in columns without any."""
    count = np.isfinite(values).sum(axis=0)
    total = np.nansum(values, axis=0)
    result: Array = np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)
    return result


def _kept(frame: pd.DataFrame) -> Array:
    if "Metadata_Verdict" not in frame:
        return np.ones(len(frame), dtype=bool)
    result: Array = (frame["Metadata_Verdict"] == "keep").to_numpy()
    return result
