"""Normal scores: distributions that are thinned stay within a small distance of the exact ones."""

import numpy as np
from scipy.stats import norm, rankdata

from wellspring.profile.normal_scores import distributions, scores


def blom(values):
    """Return the scores by the definition, on mean ranks."""
    return norm.ppf((rankdata(values) - 3 / 8) / (len(values) + 1 / 4))


def test_a_long_column_is_thinned_evenly_in_its_score_and_keeps_both_ends():
    values = np.random.default_rng(0).gamma(2, size=(7000, 2))
    values[6000:, 1] = np.nan
    knots, levels, counts = distributions(values)
    assert counts.tolist() == [7000, 6000]
    for place, count in enumerate(counts):
        column = values[:count, place]
        kept = knots[np.isfinite(knots[:, place]), place]
        assert 600 < len(kept) <= 1000
        assert (kept[0], kept[-1]) == (column.min(), column.max())
        assert set(kept) <= set(column) and (np.diff(kept) > 0).all()
        exact = norm.ppf(levels[: len(kept), place])
        place_of = dict(zip(column.tolist(), blom(column).tolist(), strict=True))
        np.testing.assert_allclose(exact, [place_of[knot] for knot in kept.tolist()])
        inner = exact[np.abs(exact) < 1]
        assert np.diff(inner).max() < 2 * (exact[-1] - exact[0]) / 1000
    found = scores(values, knots, levels, counts)
    np.testing.assert_allclose(found[:, 0], blom(values[:, 0]), atol=0.01)
    assert np.isnan(found[6000:, 1]).all()


def test_a_column_of_a_thousand_values_is_kept_whole_and_a_longer_one_is_not():
    values = np.random.default_rng(1).normal(size=(1001, 1))
    knots, levels, _ = distributions(values[:1000])
    np.testing.assert_array_equal(knots[:, 0], np.sort(values[:1000, 0]))
    np.testing.assert_allclose(norm.ppf(levels[:, 0]), np.sort(blom(values[:1000, 0])))
    assert len(distributions(values)[0]) < 1000


def test_columns_of_unlike_numbers_of_distinct_values_stand_side_by_side():
    values = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [2.0, np.nan, np.nan], [4.0, 7.0, np.inf]])
    knots, levels, counts = distributions(values)
    assert counts.tolist() == [4, 3, 0]
    np.testing.assert_array_equal(knots, [[1, 5, np.nan], [2, 7, np.nan], [4, np.nan, np.nan]])
    expected = (np.array([[1, 1.5], [2.5, 3], [4, np.nan]]) - 3 / 8) / [4.25, 3.25]
    np.testing.assert_allclose(levels, np.column_stack([expected, np.full(3, np.nan)]))
    found = scores(np.array([[3.0, 6.0, 1.0], [0.5, 4.0, 2.0], [9.0, 9.0, 3.0]]), knots, levels, counts)
    between = norm.ppf([(levels[1, 0] + levels[2, 0]) / 2, (levels[0, 1] + levels[1, 1]) / 2])
    np.testing.assert_allclose(found[0, :2], between)
    ends = norm.ppf([5 / 8 / 4.25, 5 / 8 / 3.25])
    np.testing.assert_allclose(found[1:, :2], [ends, -ends])
    assert np.isnan(found[:, 2]).all()
