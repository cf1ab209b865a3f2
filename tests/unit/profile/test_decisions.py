"""Decisions about a table: stated in notes, and the same whatever the order of columns."""

import logging

import numpy as np
import pandas as pd
import pytest

from wellspring.io.notes import Note
from wellspring.profile.aggregate import hand_made, operation_for
from wellspring.profile.decisions import already_normalised, decisions
from wellspring.profile.normalise import normalise
from wellspring.report.wording import words
from wellspring.screen import config, sections


def plate(values, names=None, controls=16):
    wells = [f"{'ABCDEFGH'[number // 12]}{number % 12 + 1:02d}" for number in range(len(values))]
    frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": wells})
    frame["Metadata_pert_type"] = ["negcon"] * controls + ["trt"] * (len(values) - controls)
    frame["Metadata_Verdict"], frame["Metadata_Reason"] = "keep", ""
    names = names or [f"f_{number}" for number in range(values.shape[1])]
    return pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1)


def raw(seed=0, wells=72, width=40):
    """Measurements in their own units: areas, intensities, ratios."""
    rng = np.random.default_rng(seed)
    center, spread = rng.lognormal(2, 2, width), rng.lognormal(0, 2, width)
    return center + spread * rng.normal(size=(wells, width))


@pytest.mark.parametrize("method", ["mad_robustize", "standardize", "robustize"])
@pytest.mark.parametrize("on", ["negcon", "all"])
def test_a_normalised_table_is_detected_and_a_raw_one_is_not(method, on, caplog):
    options = config.default(sections.Profile, normalise=method, normalise_on=on)
    frame = plate(raw())
    assert already_normalised(frame) is None
    once = normalise(frame, options=options)[0]
    note = already_normalised(once)
    assert note is not None and note.values["share"] > 0.9
    with caplog.at_level(logging.WARNING):
        notes = decisions(once, options=options, method=method, operation="median")
    assert note in notes and words(note) in caplog.text
    assert "set profile.normalise: none" in words(note)
    assert note not in decisions(once, options=options, method="none", operation="median")


def test_a_table_normalised_over_several_plates_is_detected():
    rng = np.random.default_rng(1)
    both = np.concatenate([raw(2), raw(2) + rng.normal(size=40) * 0.2])
    pooled = (both - both.mean(axis=0)) / both.std(axis=0)
    assert already_normalised(plate(pooled[:72])) is not None


def test_learned_embeddings_are_not_taken_for_normalised():
    rng = np.random.default_rng(3)
    center = rng.normal(size=256)
    assert already_normalised(plate(center + 0.1 * rng.normal(size=(72, 256)))) is None


@pytest.mark.parametrize(("others", "operation"), [(1, "median"), (9, "median"), (11, "mean")])
def test_auto_is_decided_by_most_features_and_told(others, operation):
    names = [f"Cells_Texture_{number}" for number in range(10)] + [f"Image_{number}" for number in range(others)]
    assert hand_made(names) == (operation == "median") and operation_for("auto", names) == operation
    options = config.default(sections.Profile)
    frame = plate(raw(width=len(names)), names)
    method = normalise(frame, options=options)[1].method
    assert method == {"median": "mad_robustize", "mean": "standardize"}[operation]
    notes = decisions(frame, options=options, method=method, operation=operation)
    values = {"classical": 10, "total": 10 + others, "operation": operation, "normalise": method}
    assert notes == (Note("decided_by_majority", values),)
    assert f"10 of {10 + others} features have names of classical features" in words(notes[0])


def test_gaps_and_the_rule_of_a_foreign_table_are_told():
    values = raw()
    values[:, [3, 4]], values[5, 7], values[6, 7] = np.nan, np.inf, np.nan
    foreign = {"rule": "families", "features": 40, "not_features": ["dose", "row"]}
    notes = decisions(
        plate(values), options=config.default(sections.Profile, normalise="none", operation="mean"), method="none",
        operation="mean", foreign=foreign,
    )  # fmt: skip
    counts = {"values": 146, "features": 3, "wells": 72, "empty": 2}
    assert notes[1:] == (Note("values_missing", counts),)
    assert words(notes[0]) == (
        "40 features of the table, chosen by the rule families; 2 numeric columns are not features: dose, row"
    )
