"""Titles, groups and meanings of metrics come from the evaluation's records."""

from evaluation_tables import OPTIONS, table
from wellspring.evaluate.metrics import METRICS
from wellspring.evaluate.populations import Population
from wellspring.evaluate.run import judge
from wellspring.report import naming


def test_every_metric_has_a_title_a_group_and_a_meaning():
    _, summary = judge(Population.of(table(), level="x"), options=OPTIONS)
    for metric in summary["Metadata_Metric"]:
        metric, _ = naming.baseline(metric)
        assert naming.record(metric) is not None, metric
        assert naming.describe(metric)[1] != naming.OTHER
    found = naming.meanings(summary["Metadata_Metric"])
    assert [title for title, _ in found][:2] == [METRICS[0].title, METRICS[1].title]
    assert all(meaning.endswith(".") for _, meaning in found)
    assert {title for title, _ in found} <= {metric.title for metric in METRICS}


def test_metrics_that_are_not_there_are_not_explained():
    nsc = next(metric for metric in METRICS if metric.name == "nsc")
    assert naming.meanings(["nsc.heldout", "own.metric"]) == [(nsc.title, nsc.meaning)]
    assert naming.meanings([]) == []


def test_a_score_that_the_evaluation_does_not_know_is_not_judged():
    assert naming.describe("own_metric.heldout") == ("own metric on held-out plates", naming.OTHER, 0)
