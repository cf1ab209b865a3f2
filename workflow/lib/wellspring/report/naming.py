"""Names of metrics in the report: titles, groups, directions and meanings, taken from the evaluation's records.

The parts of a score's name that follow its metric's name are added to the title in words. A score without a record is
shown under its own name and is not judged.
"""

import re
from collections.abc import Iterable

from wellspring.evaluate.metric import PERMUTED, POSITION_ONLY, Metric
from wellspring.evaluate.metrics import METRICS, metric_of

BIOLOGY, NUISANCE = "Biology (higher is better)", "Batch effects (lower is better)"
MIXING, OTHER = "Mixing of batches and plates (higher is better, full mixing is best)", "Other"
GROUPS = (BIOLOGY, NUISANCE, MIXING, OTHER)
BASELINES = {PERMUTED: "permuted labels", POSITION_ONLY: "well position alone"}
HELD_OUT = ".heldout"
GAP = "gap"  # last part of the name of a score that is lower where groups differ less
WORDS = {
    "k1": "1 neighbour",
    "k5": "5 neighbours",
    "k10": "10 neighbours",
    "controls": "among the controls",
    "wells": "among all wells",
    GAP: "gap to the diagonal",
    "cell line": "cell lines",
    "batch": "batches",
    "plate": "plates",
}


def baseline(metric: str) -> tuple[str, str]:
    """Return (metric it belongs to, its ending) of a baseline's name; the ending is empty for any other metric."""
    stem = metric.removesuffix(HELD_OUT)
    for ending in BASELINES:
        if stem.endswith(ending):
            return stem.removesuffix(ending) + metric[len(stem) :], ending
    return metric, ""


def record(metric: str) -> Metric | None:
    """Return the evaluation's record of a score, None for an unknown score."""
    try:
        return metric_of(metric.removesuffix(HELD_OUT))
    except KeyError:
        return None


def group_of(known: Metric) -> str:
    """Return the group of a metric in the table."""
    if known.best_at_chance:
        return MIXING
    return BIOLOGY if known.direction > 0 else NUISANCE


def describe(metric: str) -> tuple[str, str, int]:
    """Return (title, group, direction) of a score.

    Direction is 1 where higher is better, -1 where lower is better, 0 where the score is not compared with chance in
    one direction (mixing, unknown scores).
    """
    stem, known = metric.removesuffix(HELD_OUT), record(metric)
    held = " on held-out plates" if stem != metric else ""
    if known is None:
        return f"{stem.replace('_', ' ')}{held}", OTHER, 0
    title, group = known.title, group_of(known)
    parts = [part.replace("_", " ") for part in stem[len(known.name) :].split(".") if part]
    if known.family == "transfer" and parts:
        title = f"{title} between {WORDS.get(parts[0], parts[0])}"
        group = NUISANCE if parts[-1] == GAP else group
        parts = parts[1:]
    rest = "".join(f", {WORDS.get(part, part)}" for part in parts)
    return f"{title}{rest}{held}", group, {BIOLOGY: 1, NUISANCE: -1}.get(group, 0)


def main(metric: str) -> bool:
    """Return whether the table shows a score at first: main metrics, transfer from one neighbour, unknown scores."""
    stem, known = metric.removesuffix(HELD_OUT), record(metric)
    if known is None:
        return True
    return (known.main and stem == known.name) or (known.family == "transfer" and stem.endswith(".k1"))


def meanings(metrics: Iterable[str]) -> list[tuple[str, str]]:
    """Return (title, meaning) of each metric that has one of the scores, in the order of the table's groups."""
    there = {known.name for known in map(record, metrics) if known is not None}
    found = sorted((one for one in METRICS if one.name in there), key=lambda one: GROUPS.index(group_of(one)))
    return [(one.title, one.meaning) for one in found]


def natural(name: str) -> list[tuple[bool, float, str]]:
    """Return a sort key that puts `compound 2` before `compound 10`, and the dose `@0.03` before `@0.1`."""
    parts = re.split(r"([0-9]+(?:\.[0-9]+)?(?:e-[0-9]+)?)", name)
    return [(place % 2 == 1, float(part) if place % 2 else 0.0, part) for place, part in enumerate(parts)]


def order(metric: str) -> tuple[bool, int, bool, int, list[tuple[bool, float, str]]]:
    """Return a score's sort key: held-out plates last, then by group, main ones first, in the order of `METRICS`."""
    title, group, _ = describe(metric)
    known = record(metric)
    place = METRICS.index(known) if known is not None else len(METRICS)
    return metric.endswith(HELD_OUT), GROUPS.index(group), not main(metric), place, natural(title)
