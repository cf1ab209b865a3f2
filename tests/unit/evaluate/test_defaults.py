"""Without options, a function of the evaluation computes what the config's defaults ask for."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from options import options
from wellspring import evaluate
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.dose import dose
from wellspring.evaluate.gaps import closed
from wellspring.evaluate.grit_mechanism import grit_mechanism
from wellspring.evaluate.hits import hits
from wellspring.evaluate.lines import joined
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.metrics import METRICS
from wellspring.evaluate.mixing import mixing
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.purity import clisi, replicate_connectivity
from wellspring.evaluate.replicates import matching, replicating
from wellspring.evaluate.retrieval import activity, retrieved
from wellspring.evaluate.run import judge
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.transfer import transfers

EVALUATE = options("evaluate")
SAME = {
    activity: {"null_size": "null_size", "threshold": "threshold", "replicates_share": "replicates_share"},
    retrieved: {"threshold": "threshold", "replicates_share": "replicates_share"},
    replicating: {"null_size": "replicating_null", "replicates_share": "replicates_share"},
    matching: {"null_size": "replicating_null"},
    consistency: {"null_size": "replicating_null"},
    grit_mechanism: {"separator": "separator"},
    mixing: {"neighbours": "lisi_neighbours", "tested": "kbet_neighbours"},
    clisi: {"neighbours": "lisi_neighbours"},
    replicate_connectivity: {"neighbours": "graph_neighbours"},
    nuisance: {"neighbours": "nuisance_neighbours"},
    hits: {"neighbours": "hit_neighbours"},
    dose: {"minimum": "dose_levels", "bootstrap": "bootstrap"},
    transfers: {"neighbours": "neighbours", "between": "transfer_between", "label": "transfer_labels"},
}


def functions():
    """Yield each function and method of the package's modules."""
    for module in pkgutil.iter_modules(evaluate.__path__):
        loaded = importlib.import_module(f"{evaluate.__name__}.{module.name}")
        for owner in (loaded, *(part for _, part in inspect.getmembers(loaded, inspect.isclass))):
            for name, found in inspect.getmembers(owner, inspect.isfunction):
                if found.__module__ == loaded.__name__:
                    yield f"{module.name}.{name}", found


def default(function, name):
    return inspect.signature(function).parameters[name].default


@pytest.mark.parametrize("function", SAME, ids=lambda function: function.__name__)
def test_defaults_are_those_of_the_config(function):
    for name, key in SAME[function].items():
        assert default(function, name) == getattr(EVALUATE, key), name


def test_each_metric_has_a_direction_and_the_options_that_it_states():
    of = {metric.name: metric for metric in METRICS}
    lower = {name for name, metric in of.items() if metric.direction == -1}
    assert lower == {f"nuisance.{name}" for name in ("batch", "plate", "row", "column", "edge")} | {"nsc.drop"}
    assert all(of[name].direction == 1 for name in of.keys() - lower)
    assert {name for name, metric in of.items() if metric.permuted} == {"consistency", "nsc", "transfer"}
    assert {name for name, metric in of.items() if metric.best_at_chance} == {
        f"mixing.{name}" for name in ("kbet", "ilisi", "silhouette")
    }


def test_what_is_not_in_the_config_is_off_by_default():
    """Seeds are 0, all wells are queried, nothing is permuted: two callers without options get the same numbers."""
    wanted = {"seed": 0, "queries": None, "permutations": 0, "label": "Metadata_moa"}
    wanted |= {"recentre": True, "aligned": False, "unit": "wells", "n_undefined": 0}
    names = dict.fromkeys(wanted, 0)
    for place, function in functions():
        for name, parameter in inspect.signature(function).parameters.items():
            if name in wanted and parameter.default is not inspect.Parameter.empty and place != "transfer.transfers":
                assert parameter.default == wanted[name], f"{place}: {name}"
                names[name] += 1
    assert all(names.values()), names
    most = options("fit").max_missing
    assert default(closed, "max_missing") == default(judge, "max_missing") == most


def test_a_record_and_a_score_claim_nothing_by_default():
    given = {"name": "x", "family": "y", "reads": "treated", "direction": 1, "chance": "", "title": "", "meaning": ""}
    metric = Metric(**given)
    flags = ("permuted", "position_only", "layout", "best_at_chance", "main")
    assert [getattr(metric, name) for name in flags] == [False] * 5
    assert (metric.compute, metric.derive, metric.needs, metric.splits) == (None, None, (), 0)
    score = Score("x")
    assert not score.spreads
    assert (score.unbounded, score.ceiling, score.trials, score.left_p, score.jackknives) == (False, 1, 1, None, ())
    none = absent("x")
    assert none.n == none.n_undefined == 0 and none.notes == () and np.isnan(none.value)


def by_line(function, x, meta):
    """The scores of each cell line on its own, joined."""
    masks = [(meta["Metadata_Cell_Line"] == line).to_numpy() for line in sorted(set(meta["Metadata_Cell_Line"]))]
    return joined([function(x[mine], meta[mine].reset_index(drop=True)) for mine in masks], ["L0", "L1"])


def test_options_reach_the_function_that_computes():
    """Each metric's function, called by its record, gives what the function gives with the same options."""
    from evaluation_tables import uneven
    from wellspring.evaluate.metrics import METRICS

    x, meta = uneven(1, controls=23)
    own = options(
        "evaluate", label="Metadata_Compound", null_size=1100, replicating_null=90, hit_neighbours=[3], neighbours=[2],
        transfer_between=["Metadata_Batch"], transfer_labels=["compound"], nuisance_neighbours=3, lisi_neighbours=11,
        kbet_neighbours=12, graph_neighbours=3, permutations=0, replicates_share=["Metadata_Cell_Line"],
    )  # fmt: skip
    by_name, share, seed = {metric.name: metric for metric in METRICS}, ("Metadata_Cell_Line",), 4
    label = {"label": "Metadata_Compound"}
    wanted = {
        "activity": [activity(x, meta, **label, null_size=1100, replicates_share=share, seed=seed)],
        "consistency": consistency(x, meta, **label, seed=seed),
        "replicating": [replicating(x, meta, **label, null_size=90, replicates_share=share, seed=seed)],
        "matching": by_line(lambda a, b: [matching(a, b, **label, null_size=90, seed=seed)], x, meta),
        "grit.mechanism": [grit_mechanism(x, meta, **label)],
        "hit": by_line(lambda a, b: hits(a, b, **label, neighbours=(3,), seed=seed), x, meta),
        "nuisance.batch": nuisance(x, meta, neighbours=3),
        "mixing.kbet": mixing(x, meta, neighbours=11, tested=12, seed=seed),
        "clisi": [clisi(x, meta, **label, neighbours=11, seed=seed)],
        "connectivity": [replicate_connectivity(x, meta, **label, neighbours=3, seed=seed)],
        "transfer": transfers(
            x, meta, between=["Metadata_Batch"], label=["compound"], neighbours=(2,), seed=seed,
            labels={"mechanism": "Metadata_Compound", "compound": "Metadata_Compound"},
        ),
    }  # fmt: skip
    for name, scores in wanted.items():
        for ours, theirs in zip(by_name[name].compute(x, meta, own, seed), scores, strict=True):
            assert ours.metric == theirs.metric
            assert (ours.n, ours.n_undefined, ours.notes) == (theirs.n, theirs.n_undefined, theirs.notes), name
            np.testing.assert_array_equal([ours.value, ours.chance], [theirs.value, theirs.chance], name)
            for mine, its in zip(ours.jackknives, theirs.jackknives, strict=True):
                assert mine.left_out.equals(its.left_out), name
