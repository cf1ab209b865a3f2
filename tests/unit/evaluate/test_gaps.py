"""Missing values: what is left out and filled at a level, and what scores of such tables are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.evaluate import run
from wellspring.evaluate.gaps import closed
from wellspring.evaluate.populations import Population
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen import config, sections


def screen(seed=0, width=30, strength=3.0):
    rng = np.random.default_rng(seed)
    rows = []
    for plate in ("p1", "p2"):
        compounds = ["DMSO"] * 16 + [f"c{number}" for number in range(8) for _ in range(3)]
        for number, compound in enumerate(compounds):
            well = f"{'ABCDE'[number // 8]}{number % 8 + 1:02d}"
            kind = "negcon" if compound == "DMSO" else "trt"
            moa = None if compound == "DMSO" else f"m{int(compound[1:]) % 4}"
            rows.append((plate, well, kind, compound, moa, "keep", ""))
    names = ["Plate", "Well", "pert_type", "Compound", "moa", "Verdict", "Reason"]
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    shift = {f"m{number}": strength * rng.normal(size=width) / np.sqrt(3) for number in range(4)}
    values = rng.normal(size=(len(frame), width))
    values += np.array([shift.get(moa, np.zeros(width)) for moa in frame["Metadata_moa"]])
    return pd.concat([frame, pd.DataFrame(values, columns=[f"f_{number}" for number in range(width)])], axis=1)


def judged(frame, metrics=("activity", "consistency", "nsc")):
    options = config.default(sections.Evaluate, metrics=list(metrics), null_size=1000, bootstrap=100, permutations=0)
    _, summary = run.judge(Population.of(frame, level="aligned"), options=options)
    return summary.set_index("Metadata_Metric")


def test_an_empty_feature_changes_no_score():
    frame, empty = screen(), screen()
    empty["nothing"] = np.nan
    first, second = judged(frame), judged(empty)
    np.testing.assert_array_equal(first["value"], second["value"])
    assert second.loc["activity", "Metadata_Note"].endswith("features_missing(features=1, total=31)")


def test_one_gap_per_well_leaves_the_scores_about_what_they_were():
    frame = screen()
    gapped, rng = frame.copy(), np.random.default_rng(1)
    names = tables.features(frame)
    for row, place in enumerate(rng.permutation(np.arange(len(frame)) % 30)):
        gapped.loc[row, names[place]] = np.nan
    closed_frame, notes = closed(gapped, max_missing=0.2)
    assert notes == (Note("gaps_filled", {"values": 80, "features": 30, "wells": 80}),)
    first = judged(frame)["value"]
    options = config.default(sections.Evaluate, metrics=["activity"], null_size=1000, bootstrap=100)
    _, summary = run.judge(Population.of(gapped, level="aligned"), options=options, max_missing=0.2)
    assert summary["value"].iloc[0] == pytest.approx(first["activity"], abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.5), st.sampled_from([0.0, 0.05, 0.3]))
def test_rules_hold_for_any_pattern_of_gaps(seed, share, most):
    rng, frame = np.random.default_rng(seed), screen(seed, width=12)
    names = tables.features(frame)
    holes = rng.random((len(frame), 12)) < share * rng.random(12)
    values = frame[names].to_numpy(copy=True)
    values[holes] = rng.choice([np.nan, np.inf, -np.inf])
    frame[names] = values
    frame.loc[rng.random(len(frame)) < 0.1, "Metadata_Verdict"] = "undefined"
    found, _ = closed(frame, max_missing=most)
    kept = (frame["Metadata_Verdict"] == "keep").to_numpy()
    # Directly in pandas, by the three rules.
    table = frame[names].where(np.isfinite(frame[names]))
    sound = kept & (table.loc[:, table[kept].notna().any()].isna().mean(axis=1) <= 0.5)
    chosen = [name for name in names if table.loc[sound, name].isna().mean() <= most]
    assert tables.features(found) == chosen or not holes[kept].any()
    for plate in ("p1", "p2"):
        here = sound & (frame["Metadata_Plate"] == plate)
        fill = table.loc[here & (frame["Metadata_pert_type"] == "negcon"), chosen].median()
        fill = fill.fillna(table.loc[here, chosen].median()).fillna(table.loc[sound, chosen].median())
        expected = table.loc[here, chosen].fillna(fill)
        np.testing.assert_allclose(found.loc[here, chosen], expected)
    if holes[kept].any():
        assert found.loc[~sound, chosen].isna().all(axis=None)


def test_a_table_without_gaps_is_returned_as_it_is():
    frame = screen()
    assert closed(frame)[0] is frame
