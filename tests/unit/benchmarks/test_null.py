"""The benchmark of null honesty: its intervals, the p of permutations, and its levels on one screen."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from benchmarks_of import load
from wellspring.evaluate.score import Score

null = load("null")


def test_interval_is_students_and_shares_without_hits_have_an_upper_end():
    values = [0.1, 0.2, 0.4, 0.3]
    mean, low, high = null.interval(values)
    half = 3.182446 * np.std(values, ddof=1) / 2
    assert (mean, low, high) == pytest.approx((0.25, 0.25 - half, 0.25 + half))
    assert null.share_interval([0.0, 0.0], 100) == pytest.approx([0.0, 0.0, 1 - 0.025 ** (1 / 100)])
    assert null.share_interval([1.0, 1.0], 100) == pytest.approx([1.0, 0.025 ** (1 / 100), 1.0])
    assert null.share_interval([0.0, 0.1], 100)[1] == 0.0


def test_p_of_permutations_is_uniform_with_ties_too():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        draws = rng.integers(0, 4, 20).astype(float)
        units = pd.DataFrame({"stratum": "permuted", "cluster": "", "value": draws[1:]})
        main = Score("x", units=pd.DataFrame({"stratum": "x", "cluster": ["a"], "value": draws[:1]}))
        found.append(null.permutation_p(main, Score("x.permuted", units=units), rng))
    assert kstest(found, "uniform").pvalue > 0.01


def test_a_screen_is_judged_at_every_level_beside_the_artefacts():
    fits = {"ridge 0.000001": null.FITS["ridge 0.000001"]}
    given = {"controls": 12, "features": 96}
    found = {
        name: null.chain_screen(1, options | given, fits, null_size=1000) for name, options in null.DESIGNS.items()
    }
    expected = ["aggregated", "normalised", "aligned, ridge 0.000001", "not cross-fitted, ridge 0.000001"]
    assert list(found["plates"]) == expected
    assert list(found["one plate"]) == [*expected[:2], "centred on all", *expected[2:]]
    shares = found["plates"]
    assert shares["aligned, ridge 0.000001"][1] <= 0.05 < 0.4 < shares["not cross-fitted, ridge 0.000001"][1]
