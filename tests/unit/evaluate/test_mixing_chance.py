"""Chance levels of mixing on plates that were centred on few controls."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS
from wellspring.evaluate import mixing_chance, run
from wellspring.evaluate.centring import centred
from wellspring.evaluate.metrics import chosen
from wellspring.evaluate.mixing import mixing
from wellspring.evaluate.populations import Population
from wellspring.evaluate.score import row

PLATES, COMPOUNDS, FEATURES = 4, 15, 18
SIZES = {"neighbours": 20, "tested": 15}


def screen(seed, *, controls=8, centre=True, shift=0.0, spread=True):
    """Return profiles (n, 18) without effects of treatments and their table, each plate less the mean of its controls.

    With `spread`, every compound is once on each plate; else each plate has compounds of its own, four times.
    """
    rng, rows = np.random.default_rng([seed, 5]), []
    for plate in range(PLATES):
        names = ["DMSO"] * controls + [f"c{number:02d}" for number in range(COMPOUNDS)]
        if not spread:
            names[controls:] = [f"p{plate}c{number % 4}" for number in range(COMPOUNDS)]
        rows += [(f"P{plate}", f"{'ABCDE'[at // 5]}{at % 5 + 1:02d}", name) for at, name in enumerate(names)]
    frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Compound"])
    control = (frame["Metadata_Compound"] == "DMSO").to_numpy()
    frame["Metadata_pert_type"] = np.where(control, "negcon", "trt")
    moa = frame["Metadata_Compound"].map(lambda name: None if name == "DMSO" else f"m{int(name[-2:].strip('c')) % 5}")
    frame["Metadata_moa"] = moa
    plate = frame["Metadata_Plate"].to_numpy()
    values = rng.standard_normal((len(frame), FEATURES))
    for name in np.unique(plate):
        values[plate == name] += shift * rng.standard_normal(FEATURES)
        if centre:
            values[plate == name] -= values[control & (plate == name)].mean(axis=0)
    return values, frame


def joined(values, frame):
    return pd.concat([frame, pd.DataFrame(values).add_prefix("x_")], axis=1)


def test_the_stated_level_of_mixing_is_nearer_to_what_centred_plates_have_than_full_mixing():
    names = [f"mixing.{kind}.plate.wells" for kind in ("kbet", "ilisi", "silhouette")]
    rows = {name: [] for name in names}
    for seed in range(12):
        x, frame = screen(seed, controls=5)
        more = mixing_chance.excess(x, frame, centred(joined(x, frame)), seed=seed, **SIZES)
        for score in mixing(x, frame, **SIZES):
            if score.metric in rows and np.isfinite(score.value):
                rows[score.metric].append((score.value, score.chance, score.chance + more[score.metric]))
    for name in names:
        value, full, stated = np.transpose(rows[name])
        error = (value - stated).std(ddof=1) / np.sqrt(len(value))
        assert (full - value).mean() > 3 * error, f"{name}: full mixing is out of reach"
        assert abs((value - stated).mean()) < 0.6 * (full - value).mean() + 2 * error, name


def test_only_centred_plates_move_the_level_and_a_plate_effect_is_seen():
    x, frame = screen(3, centre=False)
    assert mixing_chance.excess(x, frame, centred(joined(x, frame)), **SIZES) == {}
    section = replace(OPTIONS, metrics=["mixing"], lisi_neighbours=20, kbet_neighbours=15)
    x, frame = screen(4)
    shifted = (
        x
        + 2
        * np.random.default_rng(0).standard_normal((PLATES, FEATURES))[np.repeat(range(PLATES), 23)]
        * (frame["Metadata_pert_type"] == "trt").to_numpy()[:, None]
    )
    population = Population.of(joined(shifted, frame), level="normalised")
    found = {one.metric: one for one in run.scores(population, metrics=chosen(section.metrics), options=section)}
    score = found["mixing.ilisi.plate.wells"]
    more = mixing_chance.excess(shifted, frame, population.centred, **SIZES)
    plain = {one.metric: one for one in mixing(shifted, frame, **SIZES)}[score.metric]
    assert score.chance == pytest.approx(max(0.0, plain.chance + more[score.metric]))
    assert score.value < score.chance - 0.1, "wells of the plates differ by more than their centres do"


def test_compounds_of_one_plate_keep_the_level_of_full_mixing():
    """Their replicates cannot change plates, so that a real effect of the plate would be taken for chance."""
    x, frame = screen(5, spread=False)
    found = mixing_chance.excess(x, frame, centred(joined(x, frame)), **SIZES)
    assert found and all(name.endswith("controls") for name in found)


def test_silhouettes_of_centred_plates_have_no_interval_but_a_reason():
    """Their chance level is not known well enough; those of batches, and of plates that were not centred, have one."""
    section = replace(OPTIONS, metrics=["mixing"], lisi_neighbours=20, kbet_neighbours=15)
    seen = set()
    for centre in (True, False):
        population = Population.of(joined(*screen(2, centre=centre)), level="normalised")
        for score in run.scores(population, metrics=chosen(section.metrics), options=section, position=()):
            without = centre and score.metric.startswith("mixing.silhouette.plate.")
            if not np.isfinite(score.value):
                continue  # of batches: there is one
            seen.add(score.metric)
            assert np.isfinite(score.chance), score.metric
            codes = {note.code for note in score.notes}
            assert ("chance_known_roughly" in codes) == without, score.metric
            bounds = row(score, level="normalised")
            assert np.isfinite([bounds["low"], bounds["high"]]).all() != without, score.metric
    assert seen >= {f"mixing.{kind}.plate.wells" for kind in ("silhouette", "kbet", "ilisi")}
