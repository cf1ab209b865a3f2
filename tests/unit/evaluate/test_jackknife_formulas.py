"""The jackknife's parts by their formulas: sets, variances, freedom, sums of scores, and the three intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from evaluation_tables import uneven
from wellspring.evaluate import jackknife
from wellspring.evaluate.hits import hits
from wellspring.evaluate.jackknife import Groups, Jackknife
from wellspring.evaluate.nearest import nsc
from wellspring.evaluate.score import Score, interval, jackknives


@pytest.mark.parametrize("count", [1, 4, 29, 30, 31, 60, 61, 75])
def test_groups_are_dealt_forth_and_back_by_size(count):
    rng = np.random.default_rng(count)
    values = rng.permutation(np.repeat([f"g{n:02d}" for n in range(count)], rng.integers(1, 6, count)))
    groups = Groups.of(values)
    names, sizes = np.unique(values, return_counts=True)
    order = sorted(range(count), key=lambda n: (-sizes[n], names[n]))
    wanted = {names[n]: turn if (turn := place % 60) < 30 else 59 - turn for place, n in enumerate(order)}
    assert len(groups) == min(count, 30)
    if count <= 30:
        assert groups.names == tuple(names) and [groups.names[code] for code in groups.code] == values.tolist()
    else:
        assert [wanted[value] for value in values] == groups.code.tolist()
        assert groups.names == tuple(names[n] for n in order[:30])
    own = np.bincount(groups.code).astype(float)
    assert groups.worth() == pytest.approx((len(own) + (own**2).sum() ** 2 / (own**4).sum()) / 2)
    np.testing.assert_array_equal(groups.onehot().argmax(axis=1), groups.code)
    np.testing.assert_array_equal(groups.onehot(np.array([0])).sum(axis=1), [1])


def test_variance_and_freedom_of_groups():
    values = np.array([0.2, 0.5, 0.4, 0.9])
    total = 3 / 4 * ((values - 0.5) ** 2).sum()
    for shared, wanted in ((0.0, total), (0.1 * total, 0.95 * total), (total, 0.75 * total)):
        found = Jackknife("x", pd.Series(values), shared=shared)
        assert found.variance == pytest.approx(wanted) and found.freedom == 3
    assert Jackknife("x", pd.Series(values), sets=2.5).freedom == 1.5
    assert Jackknife("x", pd.Series(values), sets=1.2).freedom == 1.0
    assert np.isnan(Jackknife("x", pd.Series([0.5])).variance) and Jackknife(
        "x", pd.Series([0.1, 0.3])
    ).variance == pytest.approx(0.01)
    moved = found.shifted(2.0)
    assert moved.left_out.tolist() == (values + 2).tolist() and moved.variance == pytest.approx(found.variance)


def test_a_sum_of_scores_has_the_weighted_changes_of_their_groups():
    first = Jackknife("a", pd.Series({"x": 0.4, "y": 0.7}), shared=0.1, sets=5.0)
    second = Jackknife("a", pd.Series({"y": 0.1, "z": 0.3}), shared=0.2, sets=3.0)
    other = Jackknife("b", pd.Series({"p": 1.0}), shared=0.4)
    found = jackknife.merged([[first], [second, other]], [0.5, 0.2], [2.0, -1.0])
    assert [one.population for one in found] == ["a", "b"]
    overall = 2 * 0.5 - 0.2
    wanted = {"x": overall + 2 * (0.4 - 0.5), "y": overall + 2 * (0.7 - 0.5) - (0.1 - 0.2), "z": overall - (0.3 - 0.2)}
    assert found[0].left_out.to_dict() == pytest.approx(wanted)
    assert found[0].shared == pytest.approx(4 * 0.1 + 0.2) and found[0].sets == 3.0
    assert found[1].left_out.to_dict() == pytest.approx({"p": overall - (1.0 - 0.2)})
    assert found[1].shared == pytest.approx(0.4) and found[1].sets == float("inf")


def test_errors_of_populations_add_and_freedom_is_satterthwaite_s():
    parts = [Jackknife("a", pd.Series([0.1, 0.4, 0.6, 0.9, 0.2])), Jackknife("b", pd.Series([0.3, 0.5, 0.8]))]
    error, freedom, fewest = jackknife.spread(parts)
    a, b = (one.variance for one in parts)
    assert error == pytest.approx(np.sqrt(a + b)) and fewest == 3
    assert freedom == pytest.approx((a + b) ** 2 / (a**2 / 4 + b**2 / 2))
    flat = [Jackknife("a", pd.Series([0.5] * 4)), Jackknife("b", pd.Series([0.5] * 6))]
    assert jackknife.spread(flat) == (0.0, 3.0, 4)


@pytest.mark.parametrize("value", [0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("error", [0.0, 0.05, 0.4])
def test_intervals_by_hand(value, error):
    groups, items, freedom = 8, 40, 5.0
    quantile = student.ppf(0.975, freedom)
    low, high = jackknife.plain(value, error, freedom)
    assert (low, high) == pytest.approx((value - quantile * error, value + quantile * error))
    drawn = (value * items + 0.5) / (items + 1)
    count = groups if error == 0 else min(max(drawn * (1 - drawn) / error**2, groups / 2), items)
    z2 = quantile**2
    middle = (value + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * value * (1 - value) / count + z2 * z2 / (4 * count**2)) / (1 + z2 / count)
    low, high = jackknife.share_interval(value, error, freedom, groups=groups, items=items)
    assert low == pytest.approx(middle - half if value > 0 else 0, abs=1e-12)
    assert high == pytest.approx(middle + half if value < 1 else 1, abs=1e-12)
    found = jackknife.bounded(value, error, freedom, groups=groups, items=items)
    if error and 0 < value < 1:
        logit, width = np.log(value / (1 - value)), quantile * error / value / (1 - value)
        assert found == pytest.approx((1 / (1 + np.exp(width - logit)), 1 / (1 + np.exp(-width - logit))))
    else:
        assert found == pytest.approx((low, high))


@pytest.mark.parametrize("value", [-3.0, 0.0, 0.4, 2.5])
def test_the_interval_of_standard_deviations_is_the_one_of_asinh_by_hand(value):
    error, freedom = 0.3, 5.0
    low, high = jackknife.plain(value, error, freedom, spreads=True)
    half = student.ppf(0.975, freedom) * error / np.hypot(1, value)
    assert (np.arcsinh(low), np.arcsinh(high)) == pytest.approx((np.arcsinh(value) - half, np.arcsinh(value) + half))
    longer = (high - value) - (value - low)  # the end away from 0 is the farther one
    assert np.sign(round(longer, 9)) == np.sign(value)
    units = pd.DataFrame({"stratum": "t", "cluster": list("abcdef"), "value": value + 0.3 * np.arange(6)})
    score = Score("grit", units=units, unbounded=True, spreads=True)
    found, freedom, _ = jackknife.spread(jackknives(score))
    assert interval(score) == pytest.approx(jackknife.plain(score.value, found, freedom, spreads=True))


def test_a_score_beyond_its_bounds_is_taken_at_them():
    given = {"groups": 8, "items": 40}
    for beyond, at in ((1.3, 1.0), (-0.2, 0.0)):
        found = jackknife.bounded(beyond, 0.1, 5.0, **given)
        assert found == pytest.approx(jackknife.share_interval(at, 0.1, 5.0, **given))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("median", [False, True])
@pytest.mark.parametrize("shares", [None, {"s": 0.5, "t": -1.0}])
def test_each_group_raises_a_score_by_what_it_has_more_with_it(seed, median, shares):
    rng = np.random.default_rng(seed)
    queries, groups = 17, 4
    value, left = rng.random(queries), rng.random((queries, groups))
    value[3], left[5, 2], left[6] = np.nan, np.nan, np.nan
    chance, chance_left = rng.random(queries) / 3, rng.random((queries, groups)) / 3
    group, weight = rng.integers(-1, groups, queries), rng.integers(1, 4, queries).astype(float)
    stratum = np.array(list("sst"))[rng.integers(0, 3, queries)]
    share = {"s": 0.5, "t": 0.5} if shares is None else shares

    def score(values, fallback=None):
        if median:
            return np.nanmedian(values)
        means = {}
        for name in "st":
            own = (stratum == name) & np.isfinite(values)
            means[name] = np.average(values[own], weights=weight[own])
        return sum(share[name] * means[name] for name in "st")

    whole, level = score(value), score(chance)
    above, wanted = (1 - whole) / (1 - level), []
    for place in range(groups):
        other = (
            np.where(group == place, np.nan, left[:, place]),
            np.where(group == place, np.nan, chance_left[:, place]),
        )
        wanted.append(whole - score(other[0]) - above * (level - score(other[1])))
    rise, shared = jackknife.of_queries(
        value, left, chance, chance_left, group, weight=weight, stratum=stratum, shares=shares, median=median
    )
    np.testing.assert_allclose(rise, wanted)
    block = np.zeros((groups, groups))
    for query in range(queries):
        own = (stratum == stratum[query]) & np.isfinite(value)
        unit = share[stratum[query]] * weight[query] / weight[own].sum() if np.isfinite(value[query]) else 0.0
        for place in range(groups):
            if group[query] >= 0 and group[query] != place and unit and np.isfinite(left[query, place]):
                change = value[query] - left[query, place] - above * (chance[query] - chance_left[query, place])
                block[group[query], place] += unit * change
    pairs = np.array([block[a, b] + block[b, a] for a in range(groups) for b in range(a + 1, groups)])
    assert shared == pytest.approx(((pairs - pairs.mean()) ** 2).sum())


def test_units_of_clusters_are_left_out_by_cluster():
    rng = np.random.default_rng(2)
    units = pd.DataFrame({"stratum": rng.choice(list("st"), 40), "cluster": rng.choice(list("abcdef"), 40)})
    units["value"] = rng.random(40)
    for shares, median in ((None, False), ({"s": 1.0, "t": -1.0}, False), (None, True)):
        found = jackknife.of_units(units, shares, median=median)
        weights = {"s": 0.5, "t": 0.5} if shares is None else shares

        def score(rows, weights=weights, median=median):
            means = rows.groupby("stratum")["value"].mean()
            return rows["value"].median() if median else sum(weights[name] * means[name] for name in "st")

        wanted = {name: score(units[units["cluster"] != name]) - score(units) for name in "abcdef"}
        assert found.left_out.to_dict() == pytest.approx(wanted) and found.shared == 0 and found.population == "items"
        assert found.sets == pytest.approx(Groups.of(units["cluster"].to_numpy()).worth())


def test_an_interval_needs_four_groups():
    for count in (3, 4):
        units = pd.DataFrame(
            {"stratum": "s", "cluster": [f"c{n}" for n in range(count)], "value": np.arange(count) / 4}
        )
        assert np.isfinite(interval(Score("m", units=units))).all() == (count == 4)
    assert interval(Score("m", interval=(0.1, 0.2))) == (0.1, 0.2)
    assert np.isnan(interval(Score("m"))).all()
    low, high = interval(Score("m", units=units, unbounded=True))
    part = jackknife.of_units(units, None)
    wanted = jackknife.plain(0.375, np.sqrt(part.variance), part.freedom)
    assert (low, high) == pytest.approx(wanted)
    given = {"groups": 4, "items": 4}
    scaled = interval(Score("m", units=units, ceiling=2.0, n=4))
    wanted = jackknife.bounded(0.1875, np.sqrt(part.variance) / 2, part.freedom, **given)
    assert scaled == pytest.approx([2 * end for end in wanted])
    shares = interval(Score("m", units=units, proportion=True, n=4, trials=3))
    wanted = jackknife.share_interval(0.375, np.sqrt(part.variance), part.freedom, groups=4, items=12)
    assert shares == pytest.approx(wanted)


METRICS = {
    "nsc": nsc,
    "hit": lambda x, m: hits(x, m, neighbours=(2,))[0],
    "enrichment": lambda x, m: hits(x, m, neighbours=(3,))[2],
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("seed", range(2))
def test_uneven_scores_without_a_mechanism_are_those_of_the_table_without_it(name, seed):
    x, meta = uneven(seed)
    score = METRICS[name](x, meta)
    (found,) = score.jackknives
    above = (1 - score.value) / (1 - score.chance) if score.chance < 1 else 0.0
    for group, value in found.left_out.items():
        kept = (meta["Metadata_moa"] != group.split()[-1]).to_numpy()
        rest = METRICS[name](x[kept], meta[kept].reset_index(drop=True))
        assert value == pytest.approx(rest.value + above * (score.chance - rest.chance), abs=1e-9), group
