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


def test_doses_of_a_compound_are_in_the_order_of_their_numbers():
    doses = ["x@1e-05", "x@0.001", "x@0.003", "x@0.01", "x@0.03", "x@0.1", "x@0.3", "x@1", "x@2.5", "x@10", "x@100"]
    assert sorted(sorted(doses), key=naming.natural) == doses
    assert sorted(["compound 10", "compound 2", "a²", "B1"], key=naming.natural) == [
        "B1",
        "a²",
        "compound 2",
        "compound 10",
    ]
