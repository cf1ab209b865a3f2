"""Average precision, its null, activity and consistency against foreign references and planted truths."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_tables import screen
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.precision import average_precision, expected, p_value, ranked_precisions, ranks, shared_null
from wellspring.evaluate.retrieval import activity, retrieved
from wellspring.evaluate.score import interval


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_average_precision_is_that_of_scikit_learn_with_ties_too(seed, positives, negatives, tied):
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, positives + negatives).astype(float) if tied else rng.random(positives + negatives)
    truth = np.arange(positives + negatives) < positives
    assert average_precision(values[truth], values[~truth]) == pytest.approx(average_precision_score(truth, values))
    found = ranks(values[None], np.ones((1, len(values)), dtype=bool))
    value = ranked_precisions(found, [np.flatnonzero(truth)], np.zeros(1, dtype=int))
    assert value == pytest.approx(average_precision_score(truth, values))


def test_activity_and_consistency_are_those_of_copairs():
    from copairs.map import average_precision as foreign

    x, meta = screen(seed=1, effect=0.7)
    meta["control"] = meta["Metadata_pert_type"] == "negcon"
    unique = meta["Metadata_Perturbation"].where(~meta["control"], [f"control {n}" for n in range(len(meta))])
    table = meta.assign(unique=unique)
    wells = foreign(table, x, ["unique"], [], ["Metadata_Plate"], ["control"], progress_bar=False)
    theirs = wells[~wells["control"]].groupby("unique")["average_precision"].mean()
    ours = activity(x, meta, null_size=1000).items.set_index("Metadata_Item")["value"]
    np.testing.assert_allclose(ours[theirs.index], theirs, atol=1e-6)
    treated = (~meta["control"]).to_numpy()
    labelled = meta[treated][["Metadata_moa", "Metadata_Compound"]].reset_index(drop=True)
    wells = foreign(
        labelled, x[treated], ["Metadata_moa"], ["Metadata_Compound"], [], ["Metadata_moa"], progress_bar=False
    )
    theirs = wells.groupby("Metadata_Compound")["average_precision"].mean()
    ours = consistency(x, meta)[0].items.set_index("Metadata_Item")["value"]
    np.testing.assert_allclose(ours[theirs.index], theirs, atol=1e-6)


def test_expected_average_precision_is_the_mean_over_random_orders():
    rng = np.random.default_rng(0)
    for positives, total in ((1, 13), (3, 15), (5, 7)):
        draws = [average_precision(v[:positives], v[positives:]) for v in rng.random((4000, total))]
        assert expected(positives, total) == pytest.approx(np.mean(draws), abs=0.02)


def test_the_null_is_right_where_replicates_share_their_similarity():
    # Two replicates with one control each: lists (pair, a) and (pair, b); perfect where the pair beats both: 1/3.
    null = shared_null(2, 1, size=20_000, seed=0)
    assert (null >= 1 - 1e-9).mean() == pytest.approx(1 / 3, abs=0.015)
    assert p_value(1.0, null) == pytest.approx(1 / 3, abs=0.015)
    assert p_value(2.0, null) == pytest.approx(1 / 20_001)


def test_p_of_noise_is_no_smaller_than_it_says_and_never_zero():
    p = np.concatenate([activity(*screen(seed=s, treatments=40), null_size=2000).items["p"] for s in range(6)])
    assert p.min() >= 1 / 2001
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(p))


def test_noise_is_at_chance_and_planted_effects_are_perfect():
    x, meta = screen(seed=3, treatments=40)
    score = activity(x, meta, null_size=1000)
    low, high = interval(score)
    assert low <= score.chance <= high and score.n == 40
    score = consistency(x, meta)[0]
    low, high = interval(score)
    assert low - 0.02 <= score.chance <= high + 0.02
    x, meta = screen(seed=3, effect=30.0)
    score = activity(x, meta, null_size=1000)
    assert score.value == 1.0 and retrieved(score, meta).value == 1.0
    main, permuted = consistency(x, meta, permutations=50)
    assert main.value == 1.0 and permuted.value < 0.7


def test_profiles_that_are_all_alike_are_not_retrieved():
    x, meta = screen(seed=4)
    score = activity(np.ones_like(x), meta, null_size=1000)
    assert score.items["value"].max() == pytest.approx(3 / 9)
    assert retrieved(score, meta).value == 0.0


def test_the_same_compound_is_barred_from_consistency():
    x, meta = screen(seed=5, effect=0.0)
    for n in range(6):
        x[(meta["Metadata_Compound"] == f"c{n}").to_numpy()] = np.eye(32)[n] * 9  # alike within compounds alone
    score = consistency(x, meta)[0]
    assert score.value == pytest.approx(4 / 20), "mechanisms are not shared, so all others tie"
    meta["Metadata_moa"] = meta["Metadata_Compound"].where(meta["Metadata_pert_type"] == "trt")
    assert np.isnan(consistency(x, meta)[0].value), "no mechanism has two compounds"


def test_what_cannot_pass_is_undefined_not_negative():
    x, meta = screen(seed=6, plates=2, controls=2, effect=30.0)
    score = activity(x, meta, null_size=2000)
    assert score.value == 1.0 and score.items["p"].isna().all()
    share = retrieved(score, meta)
    assert np.isnan(share.value) and share.n_undefined == 6 and share.notes


def test_order_of_rows_and_lost_wells_do_not_matter_or_crash():
    x, meta = screen(seed=7, effect=0.5)
    order = np.random.default_rng(0).permutation(len(meta))
    ours = [
        activity(x, meta, null_size=1000),
        activity(x[order], meta.iloc[order].reset_index(drop=True), null_size=1000),
    ]
    pd.testing.assert_frame_equal(ours[0].items, ours[1].items)
    x[meta["Metadata_Compound"] == "c0"] = np.nan
    score = activity(x, meta, null_size=1000)
    lost = score.items.set_index("Metadata_Item").loc["c0@1.0"]
    assert np.isnan(lost["value"]) and lost["n_undefined"] == 4 and score.n_undefined == 1 and score.n == 5
