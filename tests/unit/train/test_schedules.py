"""Ends and shape of schedules."""

import numpy as np
import pytest

from wellspring.train import schedules


@pytest.mark.parametrize("warmup", [0, 1, 10])
def test_cosine_meets_its_ends(warmup):
    values = schedules.cosine(2.0, 0.5, steps=100, warmup=warmup)
    assert len(values) == 100
    assert values[warmup] == pytest.approx(2.0)
    assert values[-1] == pytest.approx(0.5)
    assert (np.diff(values[warmup:]) <= 1e-12).all()
    if warmup:
        assert values[0] == 0
        assert np.allclose(np.diff(values[: warmup + 1]), 2.0 / warmup)


def test_ramp_meets_its_ends():
    values = schedules.ramp(0.04, 0.07, steps=20, warmup=5)
    assert values[0] == 0.04
    assert np.allclose(values[5:], 0.07)


@pytest.mark.parametrize("steps", [1, 2])
def test_short_runs_have_schedules(steps):
    assert np.isfinite(schedules.cosine(1.0, 0.0, steps=steps)).all()


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="0 to 3 steps, found 4"):
        schedules.cosine(1.0, 0.0, steps=3, warmup=4)
    with pytest.raises(ValueError, match="0 to 3 steps, found 4"):
        schedules.ramp(1.0, 0.0, steps=3, warmup=4)
