"""Paired differences between the scores of two encoders that were evaluated on the same wells.

A group (mechanism, set of control wells, plate) that is difficult for one encoder is often difficult for the other, so
that the difference is known better than either score. Its interval is a jackknife, too: the difference of both scores
without each group (`Metadata_Left_Out` of the table `summary`). The variance that pairs of groups share is not
subtracted, because it is not known for a difference; the interval is therefore rather too wide than too narrow. Where
no group changes the difference, the jackknife has no spread, and the interval is that of a share in as many groups; a
score without bounds (`Metric.bounds`) has none then.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate.jackknife import LEAST, SMALLEST, Jackknife, plain, share_interval, spread
from wellspring.evaluate.metric import PERMUTED, POSITION_ONLY
from wellspring.evaluate.metrics import METRICS, metric_of
from wellspring.evaluate.populations import HELD_OUT

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
COLUMNS = ["Encoder", "Base", "Metadata_Metric", "Metadata_Level", "value", "low", "high", "Metadata_Verdict"]


@dataclass(frozen=True)
class Difference:
    """Score of one encoder less that of another, with its 95 % interval (NaN with too few groups)."""

    value: float
    low: float
    high: float

    def verdict(self, direction: int) -> str:
        """Return `better`, `worse` or `undecided`; direction is 1 where higher is better, -1 where lower is."""
        if self.low > 0 or self.high < 0:
            return BETTER if (self.low > 0) == (direction > 0) else WORSE
        return UNDECIDED


def difference(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> Difference:
    """Return the difference of two rows of the table `summary`: the same score of two encoders.

    A group that one encoder lacks leaves its score as it is. Without the same kinds of groups in both rows, with fewer
    than four groups of a kind, or where no group changes the difference of scores without bounds, there is no interval.
    """
    values = float(first["value"]), float(second["value"])
    unknown = Difference(values[0] - values[1], float("nan"), float("nan"))
    left = [json.loads(row["Metadata_Left_Out"] or "{}") for row in (first, second)]
    if not left[0] or left[0].keys() != left[1].keys() or not np.isfinite(unknown.value):
        return unknown
    parts = []
    for population in sorted(left[0]):
        groups = [pd.Series(one[population]["groups"], dtype=float) for one in left]
        index = groups[0].index.union(groups[1].index)
        each = [one.reindex(index).fillna(value) for one, value in zip(groups, values, strict=True)]
        parts.append(Jackknife(population, each[0] - each[1]))
    error, freedom, fewest = spread(parts)
    if fewest < LEAST or not np.isfinite(error):
        return unknown
    if error > SMALLEST:
        return Difference(unknown.value, *plain(unknown.value, error, freedom))
    limits = bounds(str(first["Metadata_Metric"]))
    if limits is None:
        return unknown
    width = limits[1] - limits[0]
    share = share_interval((unknown.value / width + 1) / 2, 0.0, freedom, groups=fewest, items=fewest)
    return Difference(unknown.value, *(width * (2 * end - 1) for end in share))


def bounds(score: str) -> tuple[float, float] | None:
    """Return the least and the largest possible value of a score, by its metric; None without, or of an unknown score.

    Examples
    --------
    >>> bounds("nsc.heldout"), bounds("transfer.batch.compound.k1.gap"), bounds("grit")
    ((0.0, 1.0), (-1.0, 1.0), None)
    """
    stem = score.removesuffix(HELD_OUT)
    if not any(metric.owns(stem) for metric in METRICS):
        return None
    return (-1.0, 1.0) if stem.endswith(".gap") else metric_of(stem).bounds


def direction(score: str) -> int:
    """Return 1 where a higher score is better, -1 where a lower one is, 0 for a baseline or an unknown score.

    Examples
    --------
    >>> direction("nsc.heldout"), direction("nuisance.plate"), direction("nsc.position_only")
    (1, -1, 0)
    """
    stem = score.removesuffix(HELD_OUT)
    if stem.endswith((PERMUTED, POSITION_ONLY)):
        return 0
    owners = [metric for metric in METRICS if metric.owns(stem)]
    if not owners:
        return 0
    # The gap of transfer is what is lost between groups.
    return -1 if stem.endswith(".gap") else metric_of(stem).direction


def differences(summary: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Return one row per pair, score and level: the score of the first encoder less that of the second, and a verdict.

    Parameters
    ----------
    summary
        The tables `summary` of all encoders, with the column Encoder.
    pairs
        Names of encoders: (encoder, the one that it is compared with).

    Returns
    -------
    pandas.DataFrame
        Encoder, Base, Metadata_Metric, Metadata_Level, value, low, high, Metadata_Verdict (better, worse, undecided).
        Scores that either encoder lacks, baselines and scores without groups (dose) are left out.
    """
    rows, key = [], ["Metadata_Metric", "Metadata_Level"]
    wanted = summary[np.isfinite(summary["value"].astype(float))] if len(summary) else summary
    for encoder, base in pairs:
        theirs = {tuple(row[name] for name in key): row for row in wanted[wanted["Encoder"] == base].to_dict("records")}
        for row in wanted[wanted["Encoder"] == encoder].to_dict("records"):
            metric, level = (row[name] for name in key)
            other, sign = theirs.get((metric, level)), direction(metric)
            if other is None or not sign or not row["Metadata_Left_Out"] or not other["Metadata_Left_Out"]:
                continue
            found = difference(row, other)
            rows.append((encoder, base, metric, level, found.value, found.low, found.high, found.verdict(sign)))
    return pd.DataFrame(rows, columns=COLUMNS)
