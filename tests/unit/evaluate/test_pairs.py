"""How many pairs of wells the scores compare, and that intervals from a part of the wells are those of the whole."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation_tables import OPTIONS, table
from wellspring.evaluate import purity, run
from wellspring.evaluate.metrics import METRICS
from wellspring.evaluate.populations import Population
from wellspring.evaluate.purity import clisi, replicate_connectivity
from wellspring.evaluate.score import jackknives
from wellspring.io import tables


@pytest.mark.parametrize(("reads", "halved", "wanted"), [("across", 1, 1.0), ("across", 2, 0.5), ("treated", 2, 1.0)])
def test_two_halves_compare_as_many_pairs_as_one_table(monkeypatch, reads, halved, wanted):
    frame, seen = table(1), []
    metric = replace(
        next(metric for metric in METRICS if metric.name == "clisi"),
        reads=reads,
        compute=lambda features, metadata, options, seed: seen.append(options.pairs) or [],
    )
    population = replace(Population.of(frame, level="x"), across=(frame,) * halved)
    run.scores(population, metrics=[metric], options=OPTIONS, position=())
    assert seen == [OPTIONS.pairs * wanted] * (halved if reads == "across" else 1)
    seen.clear()
    run.of_position(frame, metrics=[metric], options=OPTIONS)
    assert seen == [OPTIONS.pairs // 4]


@pytest.mark.parametrize("score", [clisi, replicate_connectivity])
def test_the_spread_of_a_part_of_the_compounds_is_about_that_of_all(monkeypatch, score):
    """The value is that of all wells; groups are left out of fewer."""
    frame = table(2, treatments=32, plates=5, controls=2, effect=0.7)
    features, metadata = frame[tables.features(frame)].to_numpy(float), frame[list(frame.columns[:10])]
    given = {"neighbours": 15} if score is clisi else {"neighbours": 3}
    whole = score(features, metadata, **given)
    monkeypatch.setattr(purity, "QUERIES", 100)
    part = score(features, metadata, **given)
    assert part.value == whole.value and part.n == whole.n
    first, second = (jackknives(one)[0] for one in (whole, part))
    assert list(first.left_out.index) == list(second.left_out.index)
    assert second.left_out.mean() == pytest.approx(whole.value)
    assert 0.3 < np.sqrt(second.variance / first.variance) < 3
