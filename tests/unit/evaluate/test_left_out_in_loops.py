"""Scores without a group, updated from the full result, against the same computed anew from what is left."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate import left_out, wells
from wellspring.evaluate.jackknife import Groups
from wellspring.evaluate.left_out import Controls, Ranked
from wellspring.evaluate.mixing_plates import without_plates
from wellspring.evaluate.neighbours import nearest
from wellspring.evaluate.precision import average_precision, expected, ranks
from wellspring.evaluate.score import Score


def controls(seed, plates=3, each=5, wells_=40):
    rng = np.random.default_rng(seed)
    meta = pd.DataFrame({"Metadata_Plate": rng.choice([f"P{n}" for n in range(plates)], wells_)})
    meta["Metadata_Well"] = [f"A{n + 1:02d}" for n in range(wells_)]
    places = {}
    for name in sorted(set(meta["Metadata_Plate"])):
        places[name] = np.flatnonzero(meta["Metadata_Plate"] == name)[:each]
    return Controls.of(places, meta), places, rng


@pytest.mark.parametrize("seed", range(3))
def test_precision_and_moments_without_a_control(seed):
    found, places, rng = controls(seed)
    every = np.concatenate(list(places.values()))
    assert len(found.groups) == len(every)
    positive, negative = rng.integers(0, 6, 4).astype(float), rng.integers(0, 6, len(every)).astype(float)
    second = rng.integers(0, 6, 4).astype(float)
    whole, both = found.average_precisions(
        np.stack([second, positive]), np.stack([negative] * 2), np.stack([every] * 2)
    )
    values = both[1]
    assert whole == pytest.approx([average_precision(second, negative), average_precision(positive, negative)])
    rows = wells.correlated(rng.normal(size=(6, 5)))
    others = wells.correlated(rng.normal(size=(len(every), 5)))
    means, spreads = found.moments(rows, others, every)
    for number, place in enumerate(every):
        group = found.groups.code[number]
        kept = np.arange(len(every)) != number
        assert values[group] == pytest.approx(average_precision(positive, negative[kept]))
        products = rows @ others[kept].T
        np.testing.assert_allclose(means[:, group], products.mean(axis=1), atol=1e-12)
        np.testing.assert_allclose(spreads[:, group], products.std(axis=1), atol=1e-9)
        sizes = found.sizes(list(places.values()))[:, group]
        assert sizes.tolist() == [len(own) - (place in own) for own in places.values()]
    assert found.jackknives(pd.DataFrame({"cluster": [], "value": []}), np.zeros(0)) == ()


@pytest.mark.parametrize("seed", range(4))
def test_the_precision_of_a_query_without_a_group_of_references(seed):
    rng = np.random.default_rng(seed)
    count = 24
    similar = rng.integers(0, 9, (count, count)).astype(float)
    label, groups = rng.integers(0, 3, count), Groups.of(rng.integers(0, 5, count))
    owner = rng.integers(0, 8, count)
    reader = Ranked(groups, np.arange(0, count, 2))
    allowed = owner[:, None] != owner[None, :]
    found = ranks(similar, allowed)
    for well in range(count):
        same = allowed[well] & (label == label[well])
        reader.read(well, found[well], found[well][same], allowed[well])
    assert reader.places == list(range(0, count, 2)) and len(reader.values) == len(reader.chances) == 12
    for place, values, chances in zip(reader.places, reader.values, reader.chances, strict=True):
        for group in range(len(groups)):
            same = allowed[place] & (label == label[place])
            if not same.any():
                assert np.isnan(values).all() and np.isnan(chances).all()
                continue
            kept = allowed[place] & (groups.code != group)
            if (same & kept).sum() != same.sum():
                continue  # groups hold whole labels where this is used
            assert values[group] == pytest.approx(average_precision(similar[place, same], similar[place, kept & ~same]))
            assert chances[group] == pytest.approx(float(expected(int(same.sum()), int(kept.sum()))))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_neighbour_lists_without_a_group(k):
    rng = np.random.default_rng(k)
    rows, codes = wells.units(rng.normal(size=(20, 4))), rng.integers(0, 4, 20)
    near = nearest(
        rows,
        queries=np.arange(20),
        references=np.arange(20),
        k=14,
        barred=lambda query: query[:, None] == np.arange(20)[None, :],
    )
    for group in range(4):
        index, valid = left_out.shortened(near, codes, group, k)
        for query in range(20):
            order = [j for j in near.index[query] if codes[j] != group][:k]
            assert index[query][valid[query]].tolist() == order
    assert left_out.remaining(near, codes, 0, k).shape == (20, k)


def test_lists_are_long_enough_to_lose_the_largest_group():
    groups = Groups.of(np.repeat(list("abc"), [7, 3, 2]))
    assert [left_out.listed(groups, 5, count) for count in (8, 12, 100)] == [8, 12, 12]
    assert left_out.listed(Groups.of(np.repeat(["a", "b"], [900, 3])), 5, 10**6) == 400
    assert left_out.listed(Groups.of(np.repeat(["a", "b"], [900, 3])), 500, 10**6) == 500


@pytest.mark.parametrize(("plates", "sets"), [(3, 3), (4, 4), (10, 10), (11, 10)])
def test_mixing_is_read_again_without_each_set_of_plates(plates, sets):
    names, asked = np.repeat([f"P{n:02d}" for n in range(plates)], 4), []
    units = pd.DataFrame({"stratum": "s", "cluster": list("ab"), "value": [0.4, 0.6]})

    def again(places, queries):
        asked.append((set(names[places]), queries))
        part = units.assign(value=len(places) / 100)
        return [Score("x", units=part), Score("y")]

    first, second = without_plates([Score("x", units=units), Score("y")], names, again)
    (found,) = first.jackknives
    assert found.population == "plates" and len(found.left_out) == sets
    if plates < 4:
        assert not asked and found.left_out.tolist() == [first.value] * 3
        return
    assert len(asked) == sets and {queries for _, queries in asked} == {len(names)}
    gone = [set(names) - kept for kept, _ in asked]
    assert sorted(name for one in gone for name in one) == sorted(set(names))
    sizes = np.array([(len(names) - 4 * len(one)) / 100 for one in gone])
    np.testing.assert_allclose(found.left_out, sizes - sizes.mean() + 0.5)
    assert len(second.jackknives[0].left_out) == 0
    none = without_plates([Score("y")], names, again)
    assert len(none[0].jackknives) == 1 and len(asked) == sets
    many = np.repeat([f"P{n:02d}" for n in range(plates)], 100)
    names, asked = many, []
    without_plates([Score("x", units=units), Score("y")], many, again)
    assert {queries for _, queries in asked} == {min(300, len(many))}
