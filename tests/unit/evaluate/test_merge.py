"""Two folds merged with their jackknives, and the ends of intervals: by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate import jackknife
from wellspring.evaluate.jackknife import Jackknife
from wellspring.evaluate.score import (
    Score,
    absent,
    interval,
    jackknives,
    left_out,
    merge,
    row,
    too_few_groups,
    wilson,
)
from wellspring.io.notes import Note


def scored(values, clusters=None, **given):
    clusters = clusters or [f"c{number}" for number in range(len(values))]
    return Score("m", units=pd.DataFrame({"stratum": "s", "cluster": clusters, "value": values}), **given)


def left(**values):
    return pd.Series(values, dtype=float)


def test_a_fold_with_more_units_weighs_more_and_the_groups_move_with_the_value():
    """Units are pooled, jackknives are means of both: each is shifted to the pooled value."""
    first = scored([0.2, 0.4], jackknives=(Jackknife("mechanisms", left(a=0.1, b=0.5), 0.2),), n_undefined=4)
    second = scored([0.8, 0.9, 1.0], jackknives=(Jackknife("mechanisms", left(b=0.7, c=1.0), 0.6),), n_undefined=3)
    both = merge(first, second)
    assert both.value == pytest.approx((0.2 + 0.4 + 0.8 + 0.9 + 1.0) / 5) and both.n_undefined == 4
    (found,) = both.jackknives
    middle = both.value
    wanted = {"a": middle + 0.5 * (0.1 - 0.3), "b": middle + 0.5 * (0.5 - 0.3) + 0.5 * (0.7 - 0.9)}
    assert found.left_out.to_dict() == pytest.approx(wanted | {"c": middle + 0.5 * (1.0 - 0.9)})
    assert found.shared == pytest.approx(0.25 * 0.2 + 0.25 * 0.6) and found.population == "mechanisms"


def test_a_fold_without_jackknives_or_value_leaves_none():
    whole = scored([0.2, 0.4], jackknives=(Jackknife("mechanisms", left(a=0.1, b=0.5)),), n_undefined=2)
    plain = scored([0.3, 0.5])
    assert merge(whole, plain).jackknives == () == merge(plain, whole).jackknives
    none = merge(whole, absent("m", Note("axis"), n_undefined=7))
    assert none.jackknives == () and none.n_undefined == 7 and none.value == pytest.approx(0.3)
    (own,) = jackknives(merge(plain, plain))
    assert own.population == "items" and set(own.left_out.index) == {"c0", "c1"}


def test_one_interval_of_two_is_kept():
    one = merge(scored([0.5], interval=(0.25, 0.75)), scored([0.5]))
    other = merge(scored([0.5]), scored([0.5], interval=(0.125, 0.75)))
    assert one.interval == (0.25, 0.75) and other.interval == (0.125, 0.75)


def test_the_larger_p_without_each_set_of_controls_is_kept():
    items = pd.DataFrame({"Metadata_Item": ["a", "b"], "value": 0.5, "p": [0.2, 0.04]})
    others = items.assign(p=[0.1, 0.3])
    first = Score("m", items=items, left_p=pd.DataFrame({"x": [0.5, 0.01], "y": [0.1, 0.02]}, index=["a", "b"]))
    second = Score("m", items=others, left_p=pd.DataFrame({"y": [0.3, 0.01], "z": [0.15, 0.9]}, index=["a", "b"]))
    found = merge(first, second).left_p
    assert found["x"].to_dict() == {"a": 0.5, "b": 0.3}, "without a set that it lacks, a fold's p is its own"
    assert found["y"].to_dict() == {"a": 0.3, "b": 0.02} and found["z"].to_dict() == {"a": 0.2, "b": 0.9}
    for pair in ((first, Score("m", items=others)), (Score("m", items=items), second)):
        kept = merge(*pair).left_p
        assert kept is pair[0].left_p


def test_no_hits_and_all_hits_have_ends_of_exactly_0_and_1():
    for n in range(1, 200):
        assert wilson(0, n)[0] == 0.0 and wilson(n, n)[1] == 1.0
        assert 0 < wilson(0, n)[1] < 1 and 0 < wilson(n, n)[0] < 1
        given = {"groups": n, "items": n}
        for freedom in (3.0, 9.5):
            assert jackknife.share_interval(0.0, 0.0, freedom, **given)[0] == 0.0
            assert jackknife.share_interval(1.0, 0.0, freedom, **given)[1] == 1.0


def test_a_row_has_no_left_out_groups_beside_a_given_interval_or_without_a_value():
    units = scored([0.1, 0.5, 0.6, 0.9])
    kept = json.loads(left_out(units))
    assert kept["items"]["groups"]["c0"] == pytest.approx(2.0 / 3) and kept["items"]["shared"] == 0
    assert left_out(scored([0.1, 0.5, 0.6, 0.9], interval=(0.0, 1.0))) == "" == left_out(absent("m"))
    empty = row(absent("m", Note("axis")), level="x", chance="c")
    assert empty["Metadata_Left_Out"] == "" and empty["Metadata_Note"] == "axis" and empty["Metadata_Guard"] == ""
    given = row(scored([0.1, 0.2], interval=(0.05, 0.3)), level="x")
    assert (given["low"], given["high"], given["Metadata_Note"]) == (0.05, 0.3, "")


def test_the_reason_of_no_interval_is_the_smallest_population():
    parts = (Jackknife("mechanisms", left(a=0.1, b=0.2, c=0.3, d=0.4)), Jackknife("controls", left(p=0.1, q=0.3)))
    for order in (parts, parts[::-1]):
        score = scored([0.5, 0.6], jackknives=order)
        wanted = Note("too_few_groups_for_interval", {"population": "controls", "found": 2, "needed": 4})
        assert too_few_groups(score) == wanted and np.isnan(interval(score)).all()


def test_a_stratum_without_a_weight_does_not_count():
    units = pd.DataFrame({"stratum": list("aabc"), "cluster": list("wxyz"), "value": [0.2, 0.4, 0.9, 5.0]})
    assert Score("m", units=units, weights={"a": 1.0, "b": -1.0}).value == pytest.approx(0.3 - 0.9)
    assert Score("m", units=units).value == pytest.approx((0.3 + 0.9 + 5.0) / 3)
    assert Score("m", units=units, median=True).value == pytest.approx(0.65)


def test_a_weighted_score_has_student_s_interval_though_its_value_is_a_share():
    part = Jackknife("mechanisms", left(a=0.1, b=0.3, c=0.2, d=0.6, e=0.4))
    score = scored([0.2, 0.3], jackknives=(part,), weights={"s": 1.0})
    assert interval(score) == pytest.approx(jackknife.plain(0.25, np.sqrt(part.variance), 4.0))
    bounded = scored([0.2, 0.3], jackknives=(part,), n=50)
    wanted = jackknife.bounded(0.25, np.sqrt(part.variance), 4.0, groups=5, items=50)
    assert interval(bounded) == pytest.approx(wanted)


def test_items_count_at_least_as_many_as_groups_and_a_value_at_most_its_ceiling():
    part = Jackknife("mechanisms", left(a=0.9, b=0.7, c=0.8, d=0.6, e=0.85))
    few = scored([0.7, 0.8], jackknives=(part,), proportion=True, n=2)
    wanted = jackknife.share_interval(0.75, np.sqrt(part.variance), 4.0, groups=5, items=5)
    assert interval(few) == pytest.approx(wanted)
    above = scored([0.7, 0.8], jackknives=(part,), proportion=True, n=9, trials=2, ceiling=0.75)
    low, high = jackknife.share_interval(1.0, np.sqrt(part.variance) / 0.75, 4.0, groups=5, items=18)
    assert interval(above) == pytest.approx((0.75 * low, 0.75 * high)) and interval(above)[1] == 0.75


def test_errors_that_are_not_known_give_no_interval():
    one = Jackknife("controls", left(a=0.5))
    error, freedom, fewest = jackknife.spread((one, Jackknife("mechanisms", left(a=0.1, b=0.2, c=0.3))))
    assert np.isnan(error) and (freedom, fewest) == (1.0, 1)
