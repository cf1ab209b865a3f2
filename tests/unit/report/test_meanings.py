"""Every metric that the evaluation gives has a name, a group and a sentence in the report."""

from evaluation_tables import OPTIONS, table
from wellspring.evaluate.populations import Population
from wellspring.evaluate.run import judge
from wellspring.report import naming
from wellspring.report.meanings import MEANS, meanings


def test_every_metric_that_there_is_has_a_name_a_group_and_a_sentence():
    _, summary = judge(Population.of(table(), level="x"), options=OPTIONS)
    for metric in summary["Metadata_Metric"]:
        metric, _ = naming.baseline(metric)
        assert naming.known(metric), metric
        assert naming.known(metric) in MEANS and naming.describe(metric)[1] != naming.OTHER
    found = meanings(summary["Metadata_Metric"])
    assert [name for name, _ in found][:2] == [naming.KNOWN["activity"][0], naming.KNOWN["activity.retrieved"][0]]
    assert all(words.endswith(".") for _, words in found)
    assert set(MEANS) <= set(naming.KNOWN)


def test_metrics_that_are_not_there_are_not_explained():
    assert meanings(["nsc.heldout", "own.metric"]) == [(naming.KNOWN["nsc"][0], MEANS["nsc"])]
    assert meanings([]) == []
