"""The pure parts of the benchmark on one number per well: the crude ratio, both scores and the paired interval."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import stats

import benchmarks_of
from wellspring.evaluate.dose import z_prime


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("translocation")


def test_the_crude_ratio_is_of_nuclei_and_their_rings(benchmark, tmp_path):
    rows, columns = np.mgrid[:60, :60]
    dna = np.zeros((60, 60), np.uint8)
    stain = np.full((60, 60), 10, np.uint8)
    for y, x, inside in ((15, 15, 40), (15, 45, 80), (45, 15, 60)):
        away = np.hypot(rows - y, columns - x)
        stain[away <= 14], stain[away <= 6] = 20, inside
        dna[away <= 6] = 200
    for channel, image in (("1", stain), ("2", dna)):
        tifffile.imwrite(tmp_path / f"Channel{channel}-01-B-07.tif", image)
    found = benchmark.crude(tmp_path)
    assert found.to_dict() == {"B07": pytest.approx(3.0, rel=0.05)}


def test_scores_are_of_the_layouts_wells_and_the_difference_is_paired(benchmark):
    rng = np.random.default_rng(0)
    names = [f"A{n:02d}" for n in range(48)]
    kinds = ["trt"] * 36 + ["poscon"] * 4 + ["negcon"] * 8
    doses = np.r_[2.0 ** (np.arange(36) % 9), [np.nan] * 12]
    layout = pd.DataFrame({"pert_type": kinds, "concentration": doses}, index=names).sample(frac=1, random_state=1)
    level = np.r_[np.arange(36) % 9, [20.0] * 4, [0.0] * 8]
    good, poor = (pd.Series(level + rng.normal(0, noise, 48), index=names) for noise in (0.2, 3.0))
    found = benchmark.figures({"good": good, "poor": poor}, layout, draws=500)
    value, low, high, count = found["dose.spearman.good"]
    assert value == pytest.approx(stats.spearmanr(level[:36], good.to_numpy()[:36]).statistic) and count == 36
    assert low <= value <= high
    assert found["dose.z_prime.good"][0] == pytest.approx(z_prime(good.to_numpy()[36:40], good.to_numpy()[40:]))
    assert found["dose.z_prime.good"][3] == 12
    gap, low, high, _ = found["dose.spearman.good_minus_poor"]
    assert 0 < low < gap < high
    same = benchmark.figures({"good": good, "again": good}, layout, draws=50)
    assert same["dose.spearman.good_minus_again"][:3] == [0.0, 0.0, 0.0]
