"""The list of all metrics.

A new metric takes a module with its function and record, one line here, and its name in the schema of the config
(`workflow/schemas/config/evaluate.yaml`).

Examples
--------
>>> [metric.name for metric in chosen(["dose", "nsc.drop"])]
['nsc', 'nscb', 'nsc.drop', 'dose.spearman', 'dose.z_prime']
>>> metric_of("hit.k5.position_only").title
'Mechanism among the nearest treatments (hit)'
"""

from collections.abc import Sequence

from wellspring.evaluate import (
    consistency,
    dose,
    grit,
    grit_mechanism,
    hits,
    lines,
    mechanism_retrieval,
    mixing,
    multilabel,
    nearest,
    nuisance,
    position,
    purity,
    replicates,
    retrieval,
    transfer,
)
from wellspring.evaluate.metric import Metric

METRICS: tuple[Metric, ...] = (
    retrieval.ACTIVITY,
    retrieval.RETRIEVED,
    position.METRIC,
    grit.METRIC,
    grit_mechanism.METRIC,
    nuisance.BATCH,
    nuisance.PLATE,
    nuisance.ROW,
    nuisance.COLUMN,
    nuisance.EDGE,
    mixing.KBET,
    mixing.ILISI,
    mixing.SILHOUETTE,
    replicates.REPLICATING,
    consistency.CONSISTENCY,
    consistency.RETRIEVED,
    mechanism_retrieval.METRIC,
    replicates.MATCHING,
    nearest.NSC,
    nearest.NSCB,
    hits.HIT,
    hits.PRECISION,
    hits.ENRICHMENT,
    transfer.METRIC,
    purity.CLISI,
    purity.CONNECTIVITY,
    nearest.DROP,
    dose.SPEARMAN,
    dose.Z_PRIME,
)
METRICS = tuple(lines.by_line(multilabel.aware(metric)) for metric in METRICS)
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(metric.family for metric in METRICS))


def chosen(names: str | Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics that the config key `evaluate.metrics` chooses, in the order of `METRICS`.

    Parameters
    ----------
    names
        `all`, or names and families of metrics. A metric that another one needs comes with it.

    Raises
    ------
    ValueError
        Lists the names that are neither a metric nor a family.
    """
    if names == "all":
        return METRICS
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in FAMILIES and all(name != metric.name for metric in METRICS)]
    if unknown:
        known = [*FAMILIES, *(metric.name for metric in METRICS)]
        raise ValueError(f"evaluate.metrics: unknown names {unknown}; expected all, or names out of {known}")
    found = {metric.name for metric in METRICS if metric.name in wanted or metric.family in wanted}
    for metric in METRICS:
        if metric.name in found:
            found.update(metric.needs)
    return tuple(metric for metric in METRICS if metric.name in found)


def metric_of(score: str) -> Metric:
    """Return the metric of a score by its name: the one with the longest name that the score's name begins with.

    Raises
    ------
    KeyError
        No metric has such a score.
    """
    owners = [metric for metric in METRICS if metric.owns(score)]
    if not owners:
        raise KeyError(f"{score}: not the score of a metric")
    return max(owners, key=lambda metric: len(metric.name))
