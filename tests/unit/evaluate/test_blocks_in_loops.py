"""Parts of scores that are computed for many wells at once are those of loops over single wells, and of samples."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, silhouette_samples

from evaluation_tables import screen
from options import options as section
from wellspring.align.alignment import fit_alignment
from wellspring.evaluate import crossfit, left_out, wells
from wellspring.evaluate.crossfit import crossfitted, deal
from wellspring.evaluate.jackknife import Groups
from wellspring.evaluate.left_out import Controls, apart_from, mean_precision, remaining
from wellspring.evaluate.levels import fitting
from wellspring.evaluate.neighbourhood_formulas import dealt_silhouettes, silhouettes
from wellspring.evaluate.neighbours import Nearest, largest
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.precision import average_precision, ranked_precisions, ranks
from wellspring.simulate.features import feature_screen


@pytest.mark.parametrize("seed", range(6))
def test_precisions_of_a_block_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    queries, count, labels = 7, 61, 5
    similar = rng.integers(0, 9, (queries, count)) / 8 if seed % 2 else rng.random((queries, count))
    allowed = rng.random((queries, count)) < 0.8
    code = np.minimum(rng.geometric(0.4, count) - 1, labels - 1)  # unequal: one label has nearly half of the wells
    members = [np.flatnonzero(code == label) for label in range(labels + 1)]
    mine = rng.integers(0, labels + 1, queries)
    found = ranked_precisions(ranks(similar, allowed), members, mine)
    for row in range(queries):
        truth = (code == mine[row])[allowed[row]]
        if truth.any():
            assert found[row] == pytest.approx(average_precision_score(truth, similar[row, allowed[row]]), abs=1e-12)
        else:
            assert np.isnan(found[row])


@pytest.mark.parametrize("seed", range(4))
def test_silhouettes_of_small_sets_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    rows = wells.units(rng.standard_normal((23, 40)) + 0.5)
    code = np.concatenate([[0, 1, 2], rng.integers(0, 3, 20)])
    dealt = np.array([code, *(rng.permutation(code) for _ in range(3))])
    for found, labels in zip(dealt_silhouettes(rows, dealt), dealt, strict=True):
        np.testing.assert_allclose(found, silhouette_samples(rows, labels, metric="cosine"), atol=1e-12)
        np.testing.assert_allclose(silhouettes(rows, labels), found, atol=1e-12)


@pytest.mark.parametrize("cells", [1, 10_000])
def test_activity_of_many_replicates_is_that_of_single_wells(cells, monkeypatch):
    monkeypatch.setattr(left_out, "CELLS_AT_ONCE", cells)
    rng = np.random.default_rng(3)
    plate = np.repeat(["P0", "P1", "P2"], (9, 12, 11))
    meta = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": [f"A{n:02d}" for n in range(len(plate))]})
    rows = wells.units(rng.standard_normal((len(plate), 6)))
    controls = {name: np.flatnonzero(plate == name)[:size] for name, size in (("P0", 5), ("P1", 5), ("P2", 4))}
    without = Controls.of(controls, meta)
    for members in (np.array([6, 7, 10, 19]), np.array([6, 20, 30, 31])):
        mates = ~np.eye(len(members), dtype=bool)
        against = [controls[plate[well]] for well in members]
        apart = apart_from(controls, rows, np.arange(len(plate)), plate)
        value, fewest, left = mean_precision(rows, members, mates, against, apart, without)
        loops, less = [], []
        for place, (well, own) in enumerate(zip(members, against, strict=True)):
            positive, negative = np.delete(rows[members] @ rows[well], place), rows[own] @ rows[well]
            loops.append(average_precision(positive, negative))
            sets = [[average_precision(positive, negative[own != gone])] for gone in np.flatnonzero(plate != "")]
            less.append(np.ravel(sets))
        assert value == pytest.approx(np.mean(loops), abs=1e-12) and fewest == min(map(len, against))
        for name, own in controls.items():
            for well in own:
                group = without.groups.names.index(f"{name} {meta['Metadata_Well'][well]}")
                assert left[group] == pytest.approx(np.mean(less, axis=0)[well], abs=1e-12)


def test_moments_by_sums_are_those_of_all_products():
    rng = np.random.default_rng(5)
    meta = pd.DataFrame({"Metadata_Plate": np.repeat(["P0", "P1"], 150)})
    meta["Metadata_Well"] = [f"A{n:03d}" for n in range(300)]
    every = np.arange(300)
    found = Controls.of({"P0": every[:150], "P1": every[150:]}, meta)
    rows, controls = (wells.correlated(rng.standard_normal((count, 4))) for count in (13, 300))
    assert len(controls) > len(found.groups) * rows.shape[1], "the sums are used"
    means, spreads = found.moments(rows, controls, every)
    for group in range(len(found.groups)):
        products = rows @ controls[found.groups.code != group].T
        np.testing.assert_allclose(means[:, group], products.mean(axis=1), atol=1e-12)
        np.testing.assert_allclose(spreads[:, group], products.std(axis=1), atol=1e-9)


@pytest.mark.parametrize("steps", [["sphere"], ["standardize", "coral"], ["select", "well_position", "sphere"]])
def test_a_fold_fitted_on_its_controls_alone_aligns_as_one_fitted_on_all_wells(steps, monkeypatch):
    frame, _ = feature_screen(seed=4, plates=3, controls=16, active=5, inactive=4, mechanisms=2, features=11)
    odd = frame.index[frame["Metadata_pert_type"] == "trt"][7]
    frame.loc[odd, "x_3"] = 1e7  # a treated well beyond max_deviation
    fit = section("fit", steps=steps)
    dealt = deal(frame, options=fit, folds=3)
    alone = crossfitted(frame, dealt, options=fit, seed=0)
    monkeypatch.setattr(crossfit, "of_controls", lambda options: False)
    monkeypatch.setattr(crossfit, "ROWS_AT_ONCE", 10)
    whole = crossfitted(frame, dealt, options=fit, seed=0, fit=fit_alignment)
    assert fitting(frame).all() and len(alone) == len(whole) == 1
    pd.testing.assert_frame_equal(alone[0], whole[0], rtol=1e-6, atol=1e-6)


def test_sampled_controls_estimate_the_scores_of_all():
    x, meta = screen(seed=2, plates=6, controls=40, treatments=2)
    every = {score.metric: score for score in nuisance(x, meta)}
    same = {score.metric: score for score in nuisance(x, meta, queries=10_000)}
    for name, score in every.items():
        pd.testing.assert_frame_equal(score.items, same[name].items)
        assert score.value == same[name].value or (np.isnan(score.value) and np.isnan(same[name].value))
    found = [{one.metric: one for one in nuisance(x, meta, queries=60, seed=seed)} for seed in range(20)]
    values = [one["nuisance.plate"].value for one in found]
    share = every["nuisance.plate"].value
    # 60 of 240 without replacement, 10 of each plate.
    error = np.sqrt(share * (1 - share) / 60 * 0.75)
    assert abs(np.mean(values) - share) < 4 * error / np.sqrt(20) and np.std(values) < 2 * error
    assert all(one["nuisance.plate"].n == 60 for one in found)
    assert "sampled" in {note.code for note in found[0]["nuisance.plate"].notes}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 13, 20])
def test_the_largest_of_many_columns_are_those_of_a_full_sort(seed, k):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 300, (9, 1501)) / 7 if seed % 2 else rng.standard_normal((9, 1501))
    values[rng.random(values.shape) < 0.2] = -np.inf
    values[0, 5:] = -np.inf  # fewer than k are left
    places, found = largest(values, k)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, np.take_along_axis(values, order, axis=1))
    finite = np.isfinite(found)
    np.testing.assert_array_equal(places[finite], order[finite])


@pytest.mark.parametrize("k", [1, 4])
def test_lists_without_a_group_are_those_of_single_queries(k):
    rng = np.random.default_rng(6)
    index = np.array([rng.permutation(30)[:9] for _ in range(12)])
    similarity = -np.sort(-rng.random((12, 9)), axis=1)
    similarity[0, 3:] = -np.inf
    near = Nearest(index, similarity, np.full(12, 9), np.full(12, 3))
    code = rng.integers(0, 3, 30)
    for group in range(3):
        order = remaining(near, code, group, k)
        for row in range(12):
            kept = [
                place for place in range(9) if np.isfinite(similarity[row, place]) and code[index[row, place]] != group
            ]
            assert order[row, : len(kept)].tolist() == kept[:k]


def test_places_are_those_of_each_value():
    values = np.array(["b", "a", "b", "c", "a"], dtype=object)
    assert {name: own.tolist() for name, own in wells.places(values).items()} == {"a": [1, 4], "b": [0, 2], "c": [3]}
    assert wells.places(values[:0]) == {} and len(Groups.of(values)) == 3
