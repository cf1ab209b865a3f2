"""Chance levels of batch and plate effects of controls that their plates were centred on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS
from wellspring.evaluate import centring, run
from wellspring.evaluate.metrics import chosen
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.populations import Population


def controls(seed, *, centre=None, plates=2, count=9, features=20, shift=0.0):
    """Return controls (plates x count) without any effect, less `centre` of their plate where it is given."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((plates, count, features)) @ rng.standard_normal((features, features))
    values += shift * rng.standard_normal((plates, 1, features))
    if centre is not None:
        values = values - centre(values, axis=1, keepdims=True)
    frame = pd.DataFrame(
        {
            "Metadata_Plate": np.repeat([f"P{number}" for number in range(plates)], count),
            "Metadata_Well": [f"{'ABCDEFGH'[well // 12]}{well % 12 + 1:02d}" for well in range(count)] * plates,
            "Metadata_pert_type": "negcon",
            "Metadata_Compound": "DMSO",
        }
    )
    return values.reshape(-1, features), frame


@pytest.mark.parametrize("centre", [np.mean, np.median])
def test_the_stated_chance_is_what_plates_without_effects_have(centre):
    rows = []
    for seed in range(40):
        x, frame = controls(seed, centre=centre)
        table = pd.concat([frame, pd.DataFrame(x).add_prefix("x_")], axis=1)
        more = centring.excess(x, frame, centring.centred(table), seed=seed)
        score = next(score for score in nuisance(x, frame) if score.metric == "nuisance.plate")
        rows.append((score.value, score.chance, score.chance + more["nuisance.plate"]))
    value, formula, stated = np.array(rows).T
    assert abs((value - stated).mean()) < 3 * value.std(ddof=1) / np.sqrt(len(rows)) + 0.02
    assert np.allclose(formula, 8 / 17) and (formula - value).mean() > 0.1, "the frequency is no chance level here"


def test_judging_half_of_the_controls_has_its_own_chance():
    rows = []
    for seed in range(40):
        x, frame = controls(seed, centre=np.mean, count=12)
        table = pd.concat([frame, pd.DataFrame(x).add_prefix("x_")], axis=1)
        half = np.arange(len(frame)) % 2 == 0
        mine = frame[half].reset_index(drop=True)
        more = centring.excess(x[half], mine, centring.centred(table), seed=seed)
        score = next(score for score in nuisance(x[half], mine) if score.metric == "nuisance.plate")
        rows.append((score.value, score.chance + more["nuisance.plate"]))
    value, stated = np.array(rows).T
    assert abs((value - stated).mean()) < 3 * value.std(ddof=1) / np.sqrt(len(rows)) + 0.02


def test_only_plates_that_were_centred_on_controls_have_another_chance():
    for centre, mean in ((np.mean, True), (np.median, False)):
        x, frame = controls(3, centre=centre)
        table = pd.concat([frame, pd.DataFrame(x).add_prefix("x_")], axis=1)
        assert centring.centred(table) == {"P0": centring.Centre(9, mean), "P1": centring.Centre(9, mean)}
        table.loc[table["Metadata_Plate"] == "P1", "x_4"] += 1
        assert set(centring.centred(table)) == {"P0"}
    x, frame = controls(3)
    assert centring.centred(pd.concat([frame, pd.DataFrame(x).add_prefix("x_")], axis=1)) == {}
    assert centring.excess(x, frame, {}) == {}


def test_scores_state_the_chance_of_centred_plates_and_a_plate_effect_is_still_seen():
    section = replace(OPTIONS, metrics=["nuisance.plate", "nuisance.edge"])
    x, frame = controls(5, centre=np.mean, plates=4)
    order = np.argsort(frame["Metadata_Plate"].to_numpy(), kind="stable")
    x[frame["Metadata_Plate"] == "P2"] *= np.linspace(0.1, 9, x.shape[1])
    table = pd.concat([frame, pd.DataFrame(x).add_prefix("x_")], axis=1).iloc[order].reset_index(drop=True)
    population = Population.of(table, level="normalised")
    found = {score.metric: score for score in run.scores(population, metrics=chosen(section.metrics), options=section)}
    plate = found["nuisance.plate"]
    more = centring.excess(x[order], frame.iloc[order], population.centred)
    assert plate.chance == pytest.approx(8 / 35 + more["nuisance.plate"]) and plate.chance < 8 / 35
    assert plate.value > plate.chance
