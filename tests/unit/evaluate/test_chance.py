"""Chance levels of activity and grit: what inactive treatments have at each level, in screens that nobody tuned."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS, screen
from options import options
from wellspring.evaluate import chance, run
from wellspring.evaluate.chance import LEAST, _spare
from wellspring.evaluate.grit import grit
from wellspring.evaluate.levels import join
from wellspring.evaluate.metrics import chosen
from wellspring.evaluate.populations import Population, populations
from wellspring.evaluate.retrieval import activity
from wellspring.evaluate.score import interval
from wellspring.io import tables
from wellspring.profile.normalise import normalise
from wellspring.simulate.features import feature_screen

DESIGN = {"batches": 2, "plates": 2, "active": 0, "inactive": 10, "features": 16}


def plates_of(seed, controls, method):
    frame, _ = feature_screen(seed=seed, controls=controls, **DESIGN)
    parts = [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]
    section = replace(options("profile"), normalise=method)
    return parts, [normalise(part, options=section)[0] for part in parts]


def matrix(frame):
    return frame[tables.features(frame)].to_numpy(dtype=float), frame


@pytest.mark.parametrize("method", ["mad_robustize", "standardize"])
def test_the_stated_chance_is_what_inactive_treatments_have(method):
    found = {"aggregated": [], "normalised": []}
    for seed in range(6):
        for level, plates in zip(found, plates_of(seed, 8, method), strict=True):
            x, meta = matrix(join(plates))
            score = activity(x, meta, null_size=1000)
            more, odd = chance.excess(x, meta, seed=seed)
            found[level].append((score.value, score.chance, score.chance + more, grit(x, meta).value, odd))
    for level, rows in found.items():
        value, formula, stated, own, grit_chance = np.transpose(rows)
        error = (value - stated).std(ddof=1) / np.sqrt(len(rows))
        assert abs((value - stated).mean()) < 3 * error + 0.01, level
        assert abs((own - grit_chance).mean()) < 3 * (own - grit_chance).std(ddof=1) / np.sqrt(len(rows)) + 0.02
        assert level == "normalised" or (formula - value).mean() > 0.1, "a random ranking is no chance level here"


def test_the_interval_covers_the_stated_chance_at_every_level():
    section = replace(OPTIONS, metrics=["activity", "grit"])
    covered = {}
    for seed in range(3):
        raw, normalised = plates_of(100 + seed, 12, "mad_robustize")
        fit = options("fit")
        aligned = join(normalised)
        for population in populations(raw, normalised, aligned, options=section, fit=fit, seed=seed):
            for score in run.scores(
                population, metrics=chosen(section.metrics), options=section, seed=seed, position=()
            ):
                if score.metric in ("activity", "grit"):
                    low, high = interval(score)
                    covered.setdefault((score.metric, population.level), []).append(low <= score.chance <= high)
    assert len(covered) == 6
    every = [one for each in covered.values() for one in each]
    assert np.mean(every) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(every))


def test_exchangeable_profiles_have_the_chance_of_a_random_ranking():
    found = [chance.excess(*screen(seed=seed, controls=10, treatments=8)) for seed in range(10)]
    activity_excess, grit_excess = np.mean(found, axis=0)
    assert abs(activity_excess) < 0.02 and abs(grit_excess) < 0.1


def test_active_treatments_do_not_move_their_chance():
    x, meta = screen(seed=1, controls=10, treatments=8)
    strong = x + 9 * (meta["Metadata_pert_type"] == "trt").to_numpy()[:, None]
    assert chance.excess(x, meta, seed=3) == chance.excess(strong, meta, seed=3)


def test_too_few_controls_leave_the_chance_of_a_random_ranking():
    x, meta = screen(seed=1, controls=4, treatments=6)
    assert np.isnan(chance.excess(x, meta)).all()
    frame = pd.concat([meta, pd.DataFrame(x, columns=[f"x_{n}" for n in range(x.shape[1])])], axis=1)
    both = replace(OPTIONS, metrics=["activity", "grit"])
    found = {
        one.metric: one
        for one in run.scores(Population.of(frame, level="aligned"), metrics=chosen(both.metrics), options=both)
    }
    assert found["activity"].chance == activity(x, meta, null_size=1000).chance and found["grit"].chance == 0


def test_a_plate_is_normalised_again_by_the_controls_that_stay():
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((9, 3)) * [1, 4, 0.5] + 7
    middle = np.median(raw, axis=0)
    whole = (raw - middle) / np.median(np.abs(raw - middle), axis=0)
    rest = raw[2:]
    spread = np.median(np.abs(rest - np.median(rest, axis=0)), axis=0)
    taken, kept = chance.anew(whole[:2], whole[2:])
    np.testing.assert_allclose(kept, (rest - np.median(rest, axis=0)) / spread)
    np.testing.assert_allclose(taken, (raw[:2] - np.median(rest, axis=0)) / spread)
    whole = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    taken, _ = chance.anew(whole[:2], whole[2:])
    np.testing.assert_allclose(taken, (raw[:2] - rest.mean(axis=0)) / rest.std(axis=0))
    same = chance.anew(raw[:2], raw[2:])
    assert (same[0] == raw[:2]).all() and (same[1] == raw[2:]).all()


def test_a_plate_spares_controls_if_enough_others_stay():
    own = np.array(["P", "P", "Q"])
    for left, enough in ((LEAST - 1, False), (LEAST, True)):
        controls = {"P": np.arange(2 + left), "Q": np.arange(100)}
        assert _spare(controls, own) == [enough, True]
    assert _spare({"Q": np.arange(100)}, own) == [False, True]
