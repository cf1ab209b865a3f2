"""Flat and dark fields from views: planted light paths are recovered; parts that cannot be identified are left out."""

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import median_filter

from wellspring.illumination import basic, evenness, flatfield
from wellspring.simulate import lights

LIMITS = {"dense": (0.04, 30), "sparse": (0.02, 8), "debris": (0.035, 20)}  # rms error, counts of the dark field


@cache
def _views(scene, count=64, seed=1):
    return lights.views(scene, count, seed=seed)


def _oblong(scene, count):
    """Return views without their outer rows, so that height and width differ."""
    views = _views(scene, count)
    return lights.Views(views.stack[:, 4:-4], views.flat[4:-4], views.dark[4:-4], views.light[:, 4:-4])


def _error(flat, truth):
    ratio = flat / truth
    return float((ratio / ratio.mean()).std())


@pytest.mark.parametrize("scene", LIMITS)
def test_a_planted_light_path_is_recovered(scene):
    planted = _views(scene)
    found = basic.basic(planted.stack)
    error, dark = LIMITS[scene]
    assert found.flat.mean() == pytest.approx(1)
    assert _error(found.flat, planted.flat) < error
    assert np.sqrt(((found.dark - planted.dark) ** 2).mean()) < dark
    others = [flatfield.median(planted.stack).flat, np.ones_like(planted.flat)]
    assert _error(found.flat, planted.flat) < 0.5 * min(_error(flat, planted.flat) for flat in others)


def test_the_tilt_of_a_dark_field_is_seen():
    planted = _views("sparse")
    found = basic.basic(planted.stack)
    assert np.ptp(planted.dark) > 25
    assert np.corrcoef(found.dark.ravel(), planted.dark.ravel())[0, 1] > 0.95
    even = basic.basic(planted.stack, degrees=(4, 0))
    assert _error(found.flat, planted.flat) < 0.5 * _error(even.flat, planted.flat)


def test_order_scale_and_axes_do_not_matter():
    stack = _oblong("debris", 24).stack
    found = basic.basic(stack, degrees=(4, 1))
    assert found.flat.shape == found.dark.shape == stack.shape[1:]
    mixed = basic.basic(np.random.default_rng(0).permutation(stack), degrees=(4, 1))
    np.testing.assert_allclose(mixed.flat, found.flat, atol=1e-6)
    brighter = basic.basic(stack * 3, degrees=(4, 1))
    np.testing.assert_allclose(brighter.flat, found.flat, atol=1e-5)
    np.testing.assert_allclose(brighter.dark, found.dark * 3, atol=1e-2)
    turned = basic.basic(np.swapaxes(stack, 1, 2), degrees=(4, 1))
    np.testing.assert_allclose(turned.flat.T, found.flat, atol=1e-5)


def test_a_model_without_noise_is_found_exactly():
    planted = _views("dense", 16)
    plane = basic.smooth_basis(planted.flat.shape, 4)
    flat = (plane @ np.linalg.lstsq(plane, planted.flat.ravel(), rcond=None)[0]).reshape(planted.flat.shape)
    level = np.random.default_rng(2).gamma(3, 200, 40)
    stack = (level[:, None, None] * flat + planted.dark).astype(np.float32)
    found = basic.basic(stack, degrees=(4, 1))
    np.testing.assert_allclose(found.flat, flat / flat.mean(), atol=0.003)
    assert np.abs(found.dark - planted.dark).max() < 3


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_known_offset_is_taken(offset):
    found = basic.basic(_views("dense").stack, offset=offset)
    assert (found.dark == offset).all()
    assert basic.degrees_for(_views("dense").stack, offset=offset)[1] is None


def test_few_fields_get_a_bowl():
    for scene in LIMITS:
        few = _views(scene).stack[:8]
        assert basic.degrees_for(few) in basic.BOWLS
        found = basic.basic(few)
        assert _error(found.flat, _views(scene).flat) < 0.12
        assert found.flat.min() > 0.2
    assert basic.degrees_for(few[:3]) == (2, None)
    assert basic.degrees_for(_views("sparse").stack)[0] >= 4


@pytest.mark.parametrize("stack", [np.full((20, 40, 60), 500.0), np.zeros((20, 40, 60)), np.full((1, 40, 60), 9.0)])
def test_even_fields_stay_as_they_are(stack):
    found = basic.basic(stack)
    np.testing.assert_allclose(found.flat, 1, atol=1e-6)
    assert (found.dark == 0).all()


def test_one_field_gives_something_smooth_and_positive():
    found = basic.basic(_views("dense").stack[:1])
    assert (found.dark == 0).all()
    assert found.flat.min() >= flatfield.SMALLEST / 2
    assert np.abs(np.diff(found.flat, axis=0)).max() < 0.2


def test_fields_that_differ_only_by_noise_have_no_dark_field():
    planted = _views("sparse")
    rng = np.random.default_rng(0)
    stack = (100 + 400 * planted.flat + rng.normal(0, 1, planted.stack.shape)).astype(np.float32)
    assert basic.degrees_for(stack)[1] is None


def test_the_dark_field_stays_between_nothing_and_the_darkest():
    planted = _views("sparse")
    bright = planted.stack - planted.dark.astype(np.float32) - 60
    found = basic.basic(bright, degrees=(4, 0))
    assert found.dark.min() >= 0
    assert found.dark.max() <= np.median(np.quantile(bright, basic.LEVELS[0], axis=0)) + 1e-3


def test_the_median_is_that_of_jump():
    stack = _oblong("dense", 24).stack
    smooth = median_filter(stack.mean(axis=0) - 7, size=5, mode="nearest")
    expected = np.maximum(smooth, np.quantile(smooth, 0.02))
    np.testing.assert_allclose(flatfield.median(stack, offset=7).flat, expected / expected.mean(), rtol=1e-5)
    few = flatfield.median(stack[:5]).flat
    assert np.abs(np.diff(few, n=3, axis=0)).max() < 1e-6


def test_evenness_before_and_after():
    planted = _oblong("dense", 80)
    right = flatfield.light(planted.flat, planted.dark)
    found = evenness.measured(planted.stack, right)
    assert found["residual_before"][0] > 4 * found["residual_after"][0]
    assert found["edge_before"][2] < -0.15
    assert abs(found["edge_after"][0]) < 0.03
    assert found["residual_change"][2] < 0
    wrong = evenness.measured(planted.stack, flatfield.light(1 / planted.flat, planted.dark))
    assert wrong["residual_change"][1] > 0
    idle = evenness.measured(planted.stack, flatfield.light(np.ones_like(planted.flat)))
    np.testing.assert_array_equal(idle["residual_before"], idle["residual_after"])
    assert (idle["residual_change"] == 0).all()


def test_intervals_hold_what_they_say():
    planted = _views("sparse", 120)
    even = flatfield.light(np.ones_like(planted.flat))
    truth = evenness.measured(planted.stack, even, base=100)["edge_before"][0]
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        some = planted.stack[rng.choice(120, 40)]
        _, low, high = evenness.measured(some, even, base=100)["edge_before"]
        held += low <= truth <= high
    assert held >= 50
