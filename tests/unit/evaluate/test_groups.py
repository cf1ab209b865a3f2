"""Percent replicating and matching, grit, hit@k: against slow loops and foreign code; chance on noise; guards."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_nearest import several_batches

from evaluation_tables import screen
from wellspring.evaluate import wells
from wellspring.evaluate.grit import grit
from wellspring.evaluate.hits import any_hit, hits
from wellspring.evaluate.nearest import nsc
from wellspring.evaluate.replicates import MEMBERS, matching, null_medians, replicating
from wellspring.evaluate.score import interval
from wellspring.io.notes import Note


def test_median_correlations_are_those_of_copairs():
    from copairs.replicating import corr_between_replicates

    x, meta = screen(seed=1, effect=0.7)
    treated = (meta["Metadata_pert_type"] == "trt").to_numpy()
    theirs, _ = corr_between_replicates(
        x[treated], meta[treated].reset_index(drop=True), ["Metadata_Perturbation"], ["Metadata_Well"], False
    )
    # Two replicates in one well do not form a pair in copairs, so that such treatments cannot be compared.
    whole = theirs[theirs["count"] == 6].index
    ours = replicating(x, meta).items.set_index("Metadata_Item")["value"]
    assert len(whole) >= 3
    np.testing.assert_allclose(ours[whole], theirs.loc[whole, "median"], atol=1e-6)
    profiles = {name: np.median(x[meta["Metadata_Compound"] == name], axis=0) for name in ("c1", "c4")}
    ours = matching(x, meta).items.set_index("Metadata_Item").loc["m1"]
    assert ours["value"] == pytest.approx(np.corrcoef(profiles["c1"], profiles["c4"])[0, 1]) and ours["n"] == 2


def test_the_null_of_groups_never_takes_two_of_one_owner():
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 6, 60)
    rows = np.eye(6)[owner]  # the product of two rows is 1 for one owner and 0 for two
    for size in (2, 5, 9):
        assert (null_medians(rows, owner, size, draws=300, seed=0) == 0).all()
    # Owners count alike: an owner with most of the rows is half of the pairs of three owners, not nearly all.
    code = np.array([0] * 90 + [1, 2])
    rows = np.array([[1.0, 0.0]] * 90 + [[1.0, 0.0], [0.0, 1.0]])
    assert null_medians(rows, code, 2, draws=4000, seed=0).mean() == pytest.approx(1 / 3, abs=0.03)


def test_replicating_and_matching_of_noise_are_at_chance_with_honest_p():
    for metric, count in ((replicating, 44), (matching, 22)):
        values, p, covered = [], [], 0
        for seed in range(30):
            score = metric(*screen(seed=seed, controls=2, plates=3, treatments=44), null_size=300)
            low, high = interval(score)
            covered += low <= score.chance <= high
            values.append(score.value)
            p.append(score.items["p"].to_numpy())
        p = np.concatenate(p)
        assert score.n == count and score.chance == pytest.approx(0.05)
        assert np.mean(values) == pytest.approx(0.05, abs=0.02) and covered >= 20
        for level in (0.05, 0.1, 0.5):
            assert (p <= level).mean() == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / len(p)) + 0.005)


def test_planted_effects_replicate_and_match():
    x, meta = screen(seed=3, effect=20.0, treatments=12)
    assert replicating(x, meta).value == 1.0 and matching(x, meta).value == 1.0
    assert (replicating(x, meta).items["q"] < 0.05).all()
    x, meta = screen(seed=3, plates=14, treatments=4, per_plate=4, controls=2)
    score = replicating(x, meta)
    assert score.items["n"].eq(56).all() and score.items["n"].max() > MEMBERS and 0 <= score.value <= 1


def slow_grit(x, meta):
    """After cytominer-eval: scikit-learn's scaler fitted on a well's correlations with the controls."""
    from sklearn.preprocessing import StandardScaler

    r, name = np.corrcoef(x), meta["Metadata_Perturbation"].to_numpy()
    control = np.flatnonzero(meta["Metadata_pert_type"] == "negcon")
    found = {}
    for i in np.flatnonzero(meta["Metadata_pert_type"] == "trt"):
        scaler = StandardScaler().fit(r[i, control][:, None])
        others = [j for j in np.flatnonzero(name == name[i]) if j != i]
        found.setdefault(name[i], []).append(scaler.transform(r[i, others][:, None]).mean())
    return {name: np.mean(values) for name, values in found.items()}


@pytest.mark.parametrize("shape", [{"features": 8}, {"controls": 3, "features": 64}])
def test_grit_is_that_of_a_loop(shape):
    x, meta = screen(seed=4, effect=0.5, **shape)
    assert grit(x, meta).items.set_index("Metadata_Item")["value"].to_dict() == pytest.approx(slow_grit(x, meta))


def test_grit_of_noise_is_zero_and_controls_without_spread_are_said():
    covered = 0
    for seed in range(12):
        score = grit(*screen(seed=seed, treatments=24, controls=12))
        low, high = interval(score)
        covered += low <= score.chance <= high
    assert covered >= 8
    assert grit(*screen(seed=0, treatments=24, effect=2.0)).value > 2
    x, meta = screen(seed=0)
    x[(meta["Metadata_pert_type"] == "negcon").to_numpy()] = 1.0 + np.arange(x.shape[1])
    score = grit(x, meta)
    assert np.isnan(score.value) and score.notes == (Note("controls_without_spread"),) and score.n_undefined == 6


def slow_hits(x, meta, k):
    names = sorted(meta.loc[meta["Metadata_pert_type"] == "trt", "Metadata_Perturbation"].unique())
    about = {}
    for name in names:
        mine = (meta["Metadata_Perturbation"] == name).to_numpy()
        first = meta[mine].iloc[0]
        about[name] = np.median(x[mine], axis=0), first["Metadata_Compound"], first["Metadata_moa"]
    found = {}
    for name, (own, compound, label) in about.items():
        others = [other for other in names if about[other][1] != compound]
        order = sorted(others, key=lambda o: -(own @ about[o][0]) / np.linalg.norm(own) / np.linalg.norm(about[o][0]))
        right = [about[other][2] == label for other in order]
        found[name] = float(any(right[:k])), np.mean(right[:k]), np.mean(right[:k]) / np.mean(right)
    return found


@pytest.mark.parametrize("k", [1, 3, 50])
def test_hits_are_those_of_a_loop(k):
    x, meta = several_batches(2)
    reference = slow_hits(x, meta, k)
    for place, score in enumerate(hits(x, meta, neighbours=(k,))):
        ours = score.items.set_index("Metadata_Item")["value"]
        assert ours.to_dict() == pytest.approx({name: values[place] for name, values in reference.items()})
        assert score.value == pytest.approx(np.mean([values[place] for values in reference.values()]))
    if k == 1:
        first = hits(x, meta, neighbours=(1,))[0]
        assert first.value == nsc(x, meta).value and first.chance == pytest.approx(nsc(x, meta).chance)


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_the_chance_of_a_hit_is_hypergeometric(allowed, matches, k):
    from scipy.stats import hypergeom

    matches, k = min(matches, allowed), min(k, allowed)
    ours = any_hit(np.array([matches]), np.array([allowed]), np.array([k]))[0]
    assert ours == pytest.approx(1 - hypergeom(allowed, matches, k).pmf(0), abs=1e-9)


def test_hits_of_noise_are_at_chance():
    gaps, covered = [], np.zeros(3)
    for seed in range(20):
        scores = hits(*screen(seed=seed, treatments=24), neighbours=(5,))
        gaps.append([score.value - score.chance for score in scores])
        for place, score in enumerate(scores):
            low, high = interval(score)
            covered[place] += low <= score.chance <= high
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.25 and np.abs(np.mean(gaps, axis=0)[:2]).max() < 0.05
    assert (covered >= 13).all()


@pytest.mark.parametrize(
    "loss", ["controls", "one replicate", "one mechanism", "one plate", "nan", "two wells", "nothing"]
)
def test_what_can_not_be_told_is_there_with_a_note(loss):
    x, meta = screen(seed=0, effect=1.0)
    keep = {
        "controls": (meta["Metadata_pert_type"] != "negcon").to_numpy(),
        "one replicate": (meta["Metadata_Plate"] == "P0").to_numpy() | (meta["Metadata_pert_type"] == "negcon"),
        "one plate": (meta["Metadata_Plate"] == "P0").to_numpy(),
        "two wells": np.flatnonzero(meta["Metadata_pert_type"] == "trt")[:2],
        "nothing": np.zeros(len(meta), dtype=bool),
    }.get(loss, np.ones(len(meta), dtype=bool))
    if loss == "nan":
        x = np.full_like(x, np.nan)
    if loss == "one mechanism":
        meta["Metadata_moa"] = meta["Metadata_moa"].where(meta["Metadata_moa"].isna(), "m")
    x, meta = x[np.asarray(keep)], meta[np.asarray(keep)] if loss != "two wells" else meta.iloc[keep]
    meta = meta.reset_index(drop=True)
    scores = {score.metric: score for score in (replicating(x, meta), matching(x, meta), grit(x, meta), *hits(x, meta))}
    assert len(scores) == 9
    assert all(score.notes for score in scores.values() if np.isnan(score.value))
    undefined = {name for name, score in scores.items() if np.isnan(score.value)}
    wanted = {
        "controls": {"grit"},
        "one replicate": {"replicating", "grit"},
        "one plate": {"replicating", "grit"},
        "one mechanism": {"matching"},
    }
    assert undefined == wanted.get(loss, set(scores)) or (loss == "two wells" and "replicating" in undefined)


def test_wells_that_are_lost_are_counted():
    x, meta = screen(seed=5)
    x[(meta["Metadata_Compound"] == "c0").to_numpy()] = np.nan
    x[np.flatnonzero(meta["Metadata_Compound"] == "c1")[:2]] = np.nan
    for score in (replicating(x, meta), grit(x, meta)):
        items = score.items.set_index("Metadata_Item")
        assert score.n == 5 and score.n_undefined == 1 and np.isnan(items.loc["c0@1.0", "value"])
        assert items.loc["c0@1.0", "n_undefined"] == 4 and items.loc["c1@1.0", "n_undefined"] == 2
    assert matching(x, meta).n_undefined == 1


def test_a_draw_is_even_over_groups_and_the_same_again():
    groups = pd.Series(["a"] * 50 + ["b"] * 3 + ["c"] * 20).to_numpy()
    taken = wells.drawn(groups, at_most=12, seed=1)
    assert pd.Series(groups[taken]).value_counts().to_dict() in ({"a": 5, "b": 3, "c": 4}, {"a": 4, "b": 3, "c": 5})
    assert (taken == wells.drawn(groups, at_most=12, seed=1)).all()
