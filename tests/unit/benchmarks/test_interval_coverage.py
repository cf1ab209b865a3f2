"""The benchmark of coverage: its true values, shares and screens, by hand."""

import json

import numpy as np
import pytest

from benchmarks_of import load

coverage = load("interval_coverage")


def test_the_true_value_is_the_mean_of_the_other_half():
    """Even screens have the mean of the odd ones, 0.5, and odd screens that of the even ones, 0.3."""
    rows = {
        0: {"nsc": [0.2, 0.1, 0.5, 0.2, 0.3]},
        1: {"nsc": [0.4, 0.31, 0.6, 0.25, 0.35]},
        2: {"nsc": [0.4, 0.0, 0.49, np.nan, np.nan]},
        3: {"nsc": [0.6, np.nan, np.nan, 0.3, 0.4]},
    }
    mean, share, low, high, count, before = coverage.figures(rows)["nsc"]
    assert (mean, count) == (pytest.approx(0.4), 3)
    assert share == pytest.approx(1 / 3), "0.5 is an end of the first; 0.3 is below the second, 0.5 above the third"
    assert low < share < high and before == pytest.approx(2 / 3), "of old intervals, the first misses 0.5"


def test_a_screen_has_its_design_and_saved_screens_come_back(tmp_path):
    sizes = coverage.DESIGNS["unequal"]
    features, table = coverage.screen(sizes, signal=True, rng=np.random.default_rng(0))
    treated = table[table["Metadata_pert_type"] == "trt"]
    assert features.shape == (4 * (16 + sum(sizes)), coverage.FEATURES)
    assert sorted(treated.groupby("Metadata_moa")["Metadata_Compound"].nunique()) == sorted(sizes)
    assert (treated.groupby(["Metadata_Compound", "Metadata_Plate"]).size() == 1).all()
    path = tmp_path / "screens.jsonl"
    path.write_text(json.dumps(["scores.4x2.null", 7, {"nsc": [0.1, 0.0, 0.4, 0.0, 0.3]}]) + "\n")
    assert coverage.saved(path) == {"scores.4x2.null": {7: {"nsc": [0.1, 0.0, 0.4, 0.0, 0.3]}}}
