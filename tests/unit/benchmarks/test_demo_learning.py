"""The pure parts of the benchmark: configs are valid, treatments are paired, intervals are of what is finite."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wellspring.screen import config as configuration

PATH = Path(__file__).resolve().parents[3] / "benchmarks" / "demo_learning.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("demo_learning", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("quick", "curve"), [(True, False), (False, False), (False, True)])
def test_configs_are_valid_and_twins_differ_in_steps_alone(benchmark, quick, curve):
    config = configuration.resolve(benchmark.settings(11, quick=quick, curve=curve))
    assert config["seed"] == 11
    entries = config["encoders"]
    assert set(benchmark.ENCODERS) - {"intensity"} <= set(entries)
    for trained, untrained in (("simclr", "random"), ("sslprofiler", "random_ssl")):
        assert entries[trained]["steps"] > entries[untrained]["steps"] == 0
        differing = {key for key in entries[trained] if entries[trained][key] != entries[untrained].get(key)}
        assert differing == {"steps"}
    assert len([name for name in entries if name.startswith("sslprofiler_")]) == (2 if curve else 0)


def test_differences_are_paired_by_treatment_and_seed(benchmark):
    rng = np.random.default_rng(0)
    rows = []
    for seed in (1, 2):
        for number in rng.permutation(6):
            base = rng.normal(0, 10)
            for encoder in benchmark.ENCODERS:
                value = base + (0.25 if encoder == "simclr" else 0.0)
                for level in benchmark.LEVELS:
                    for score in benchmark.SCORES:
                        rows.append(
                            (seed, f"M{number // 2}", f"C{number}", encoder, level, score, number < 4, value, 0.1)
                        )
    columns = ["seed", "mechanism", "treatment", "encoder", "level", "score", "active", "value", "chance"]
    frame = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)
    found = benchmark.figures(frame)
    assert found["aligned.consistency.simclr_minus_random"] == pytest.approx([0.25, 0.25, 0.25, 8])
    assert found["normalised.activity.random_minus_intensity"] == pytest.approx([0, 0, 0, 8])
    assert found["aligned.retrieved_inactive.random"][3] == 4
    assert found["aligned.transfer.chance"] == pytest.approx(0.1)


def test_the_interval_has_the_known_width_and_leaves_out_what_is_undefined(benchmark):
    index = pd.MultiIndex.from_product([range(5), [f"M{n}" for n in range(5)], range(16)])
    index.names = ["seed", "mechanism", "treatment"]
    values = pd.Series(np.random.default_rng(1).normal(3, 2, 400), index=index)
    gaps = pd.concat([values, pd.Series([np.nan, np.nan], index=index[:2])])
    mean, low, high, count = benchmark.interval(gaps)
    assert (mean, count) == (pytest.approx(values.mean()), 400)
    spread = values.groupby(["seed", "mechanism"]).mean().std(ddof=1) / 5
    assert (low, high) == pytest.approx((mean - 2.0639 * spread, mean + 2.0639 * spread), rel=1e-4)
    assert np.isnan(benchmark.interval(gaps[400:])[0])
