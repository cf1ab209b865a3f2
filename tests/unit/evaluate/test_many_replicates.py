"""Screens so large that controls and treatments are drawn: many wells of one control, many treatments."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate import grit as grit_module
from wellspring.evaluate import retrieval
from wellspring.evaluate.grit import grit


def screen(plates=30, treatments=20, features=12):
    """Return plates with four controls, four positive controls and one well per treatment each."""
    rng, rows = np.random.default_rng(3), []
    for plate in range(plates):
        wells = ["DMSO"] * 4 + ["positive"] * 4 + [f"c{number:02d}" for number in range(treatments)]
        rows += [(f"P{plate:02d}", f"A{number:02d}", name) for number, name in enumerate(wells)]
    frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Compound"])
    kinds = {"DMSO": "negcon", "positive": "poscon"}
    frame["Metadata_pert_type"] = frame["Metadata_Compound"].map(kinds).fillna("trt")
    shift = {name: rng.normal(size=features) for name in frame["Metadata_Compound"].unique()}
    shift["DMSO"] = np.zeros(features)
    values = rng.normal(size=(len(frame), features)) + [0.7 * shift[name] for name in frame["Metadata_Compound"]]
    return np.array(values), frame.assign(Metadata_Perturbation=frame["Metadata_Compound"], Metadata_moa=None)


def test_a_control_on_each_plate_is_compared_by_wells_that_are_drawn(monkeypatch):
    x, frame = screen()
    whole = retrieval.activity(x, frame, null_size=500)
    monkeypatch.setattr(retrieval, "REPLICATES", 40)
    found = retrieval.activity(x, frame, null_size=500)
    (all_wells, drawn), (others, same) = (
        [
            score.items[(score.items["Metadata_Item"] == "positive") == of].set_index("Metadata_Item")
            for score in (whole, found)
        ]
        for of in (True, False)
    )
    assert all_wells.loc["positive", "n"] == 120 and drawn.loc["positive", "n"] == 40
    assert drawn.loc["positive", "n_undefined"] == 0
    # Fewer positives lower average precision towards the same level above chance.
    assert drawn.loc["positive", "value"] == pytest.approx(all_wells.loc["positive", "value"], abs=0.05)
    pd.testing.assert_frame_equal(others.drop(columns="q"), same.drop(columns="q"))
    assert whole.notes == () and [str(note) for note in found.notes] == [
        'sampled(taken=40, total=120, unit="wells of treatments with more than 40")'
    ]


def test_the_interval_over_controls_is_that_of_all_treatments(monkeypatch):
    x, frame = screen(plates=6, treatments=200)
    spread = {}
    for most in (2000, 150):
        monkeypatch.setattr(grit_module, "TREATMENTS", most)
        score = grit(x, frame)
        controls = next(part for part in score.jackknives if part.population == "controls")
        spread[most] = float(np.sqrt(controls.variance))
        assert float(controls.left_out.mean()) == pytest.approx(score.value, abs=0.1 * score.value)
    # Treatments that are drawn add the noise of their own values.
    assert spread[150] == pytest.approx(spread[2000], rel=0.25)
