"""The benchmark of the sharpness: its plain quotient is the survey's, its results separate good measures from bad."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks_of import load
from wellspring.survey import focus


@pytest.fixture(scope="module")
def benchmark():
    return load("sharpness")


def fields() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(200 + 3000 * (gaussian_filter(rng.random((200, 180)), 1) > 0.52)).astype(np.uint16) for _ in range(3)]


def test_the_plain_quotient_is_the_surveys(benchmark):
    for field in fields():
        assert benchmark.at_lags(field, focus.LAGS) == pytest.approx(focus.sharpness(field), rel=0.01)


def test_a_stack_has_one_peak_or_it_has_not(benchmark):
    stacks = [
        [np.full((2, 2), value) for value in values] for values in ([1, 3, 2], [3, 2, 1], [2, 1, 3], [1, 2, 1, 2])
    ]
    assert benchmark.peaks(np.mean, stacks) == 0.5


def test_answers_tell_a_measure_of_blur_from_one_of_brightness(benchmark):
    good = benchmark.answers(focus.sharpness, fields())
    assert good["falls"] == good["falls_in_noise"] == good["ranks"] == 1
    assert good["moved_by_noise"] < 0.1 and good["moved_by_dimming"] < 0.1
    bad = benchmark.answers(lambda pixels: float(pixels.std()), fields())
    assert bad["moved_by_dimming"] > 0.5
    assert benchmark.answers(lambda pixels: -float(pixels.std()), fields())["falls"] == 0
