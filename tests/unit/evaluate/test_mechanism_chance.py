"""The chance of grit by mechanism is what compounds without effect have after centring and after whitening."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate import mechanism_chance
from wellspring.evaluate.centring import Centre, centred
from wellspring.evaluate.grit_mechanism import grit_mechanism
from wellspring.evaluate.levels import judged

FEATURES, CONTROLS, PLATES, COMPOUNDS = 24, 12, 4, 24
NAMES = [f"x_{n}" for n in range(FEATURES)]


def screen(seed, *, white=False, effect=0.0, shift=0.0, centre=True, own=False):
    """Four plates of twelve controls and eight mechanisms of three compounds, of noise in few directions.

    With `own`, each plate has mechanisms of its own.
    """
    rng = np.random.default_rng(seed)
    loadings = 1.5 * rng.standard_normal((4, FEATURES))
    parts = []
    for plate in range(PLATES):
        rows = [("DMSO", None, "negcon")] * CONTROLS
        end = f" of {plate}" if own else ""
        rows += [(f"c{number}{end}", f"m{number // 3}{end}", "trt") for number in range(COMPOUNDS)]
        frame = pd.DataFrame(rows, columns=["Metadata_Compound", "Metadata_moa", "Metadata_pert_type"])
        frame.insert(0, "Metadata_Plate", f"P{plate}")
        frame["Metadata_Well"] = [f"{'ABCDE'[n // 8]}{n % 8 + 1:02d}" for n in range(len(frame))]
        x = rng.standard_normal((len(frame), 4)) @ loadings + rng.standard_normal((len(frame), FEATURES))
        x += shift * rng.standard_normal(FEATURES)
        x[CONTROLS:] += effect * rng.standard_normal(FEATURES)
        x -= np.median(x[:CONTROLS], axis=0) if centre else 0.0
        parts.append(pd.concat([frame, pd.DataFrame(x, columns=NAMES)], axis=1))
    whole = pd.concat(parts, ignore_index=True)
    centres = centred(whole)
    if white:  # by the true covariance, without the error of a fit
        values, vectors = np.linalg.eigh(loadings.T @ loadings + np.eye(FEATURES))
        whole[NAMES] = whole[NAMES].to_numpy() @ (vectors / np.sqrt(values)) @ vectors.T
    return whole, centres


def stated(frame, centres):
    return mechanism_chance.excess(frame[NAMES].to_numpy(), frame, centres)["grit.mechanism"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"white": True},
        {"own": True},
        {"white": True, "own": True},
        {"centre": False, "shift": 2.0},
        {"centre": False, "shift": 2.0, "own": True},
    ],
)
def test_compounds_without_effect_have_the_stated_chance(given):
    rows = []
    for seed in range(16):
        frame, centres = screen(seed, **given)
        rows.append((grit_mechanism(frame[NAMES].to_numpy(), frame).value, stated(frame, centres)))
    value, level = np.transpose(rows)
    error = (value - level).std(ddof=1) / np.sqrt(len(value))
    assert abs((value - level).mean()) < 3 * error + 0.02
    if given.get("own"):
        assert level.mean() > 0.2, "mechanisms of one plate share its centre, or its shift"


def test_the_level_scatters_less_than_the_score_and_is_higher_where_controls_are_less_alike():
    drawn = [[screen(seed, white=white) for seed in range(12)] for white in (False, True)]
    whole, white = ([stated(*each) for each in some] for some in drawn)
    values = [grit_mechanism(frame[NAMES].to_numpy(), frame).value for frame, _ in drawn[0]]
    assert np.std(whole) < 0.3 * np.std(values)
    assert np.mean(white) > 1.2 * np.mean(whole) > 0.03


def test_the_three_correlations_are_those_of_wells_less_the_mean_of_the_controls():
    """By the covariances of y - m, z - m and controls less their mean, in 100,000 independent features."""
    rng = np.random.default_rng(0)
    for count, shift in ((4, 0.0), (10, 0.0), (10, 0.5)):
        controls, treated = (rng.standard_normal((many, 100_000)) for many in (count, 2))
        moved = shift * rng.standard_normal(100_000)
        middle = controls.mean(axis=0) - moved  # an error of the centre beyond that of its controls
        x, y = controls - middle, treated - middle
        found = np.corrcoef(np.concatenate([y, x]))
        same = found[2:, 2:][~np.eye(count, dtype=bool)].mean()
        mates, negative = mechanism_chance.correlations(same, count)
        assert mates == pytest.approx(found[0, 1], abs=0.01)
        assert negative == pytest.approx(found[:2, 2:].mean(), abs=0.01)
    assert mechanism_chance.correlations(0.3, None) == (0.3, 0.3)


def test_effects_do_not_move_the_level_and_mechanisms_of_one_compound_have_none():
    frame, centres = screen(1)
    strong, others = screen(1, effect=5.0)
    assert centres == others == dict.fromkeys(["P0", "P1", "P2", "P3"], Centre(CONTROLS, mean=False))
    assert stated(frame, centres) == stated(strong, others)
    alone = frame.assign(Metadata_moa=frame["Metadata_Compound"])
    assert mechanism_chance.excess(frame[NAMES].to_numpy(), alone, centres) == {}
    two = frame[(frame["Metadata_pert_type"] == "trt") | (frame.index < 2)].reset_index(drop=True)
    assert mechanism_chance.excess(two[NAMES].to_numpy(), two, centres) == {}


def test_controls_of_halves_share_the_error_of_the_centre_with_the_compounds():
    frame, _ = screen(2)
    one = frame[frame["Metadata_Plate"] == "P0"].reset_index(drop=True)
    half = judged(one, halved={"P0"}, seed=0)[0]
    assert stated(one, centred(one)) > 0.1 and stated(half, centred(one)) == pytest.approx(0, abs=1e-12)
