from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from options import options
from step_screens import through
from wellspring.align.alignment import apply_alignment, fit_alignment
from wellspring.align.steps.sphering import fit_sphere, inverse_root, ledoit_wolf
from wellspring.io.notes import Note

OPTIONS = options("fit", sphering="ridge", ridge=0.0)


def controls(rng, *, count=400, size=10):
    return rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 24),
    further=st.integers(2, 60),
    scale=st.floats(-3, 3),
    shift=st.floats(-100, 100),
)
def test_sphered_controls_have_identity_covariance(seed, size, further, scale, shift):
    """Whatever the controls are, where there are more of them than features and nothing is regularised."""
    rng = np.random.default_rng(seed)
    values = controls(rng, count=size + further, size=size) * 10**scale + shift
    sphered = fit_sphere(values, options=replace(OPTIONS, min_controls=2)).apply(values)
    np.testing.assert_allclose(np.cov(sphered.T), np.eye(size) if size > 1 else 1, atol=1e-5)
    np.testing.assert_allclose(sphered.mean(axis=0), 0, atol=1e-5)


def foreign(values, method):
    from pycytominer.operations.transform import Spherize

    fitted = Spherize(method=method, center=True, epsilon=0).fit(pd.DataFrame(values))
    return np.asarray(fitted.transform(pd.DataFrame(values)))


@pytest.mark.parametrize("count", [400, 30])
def test_equals_pycytominer(count):
    """Also with fewer controls than features, where both give the directions that are lacking the least deviation."""
    values = controls(np.random.default_rng(1), count=count, size=40)
    options = OPTIONS if count > 40 else replace(OPTIONS, sphering="rank", rank_fraction=1.0)
    ours = fit_sphere(values, options=options).apply(values)
    np.testing.assert_allclose(ours, foreign(values, "ZCA"), atol=1e-6)
    rotated = foreign(values, "PCA")
    np.testing.assert_allclose(ours @ ours.T, rotated @ rotated.T, atol=1e-5)


def test_standardised_first_equals_pycytominer_on_correlations():
    values = controls(np.random.default_rng(7))
    whole = pd.DataFrame(values, columns=[f"e_{number}" for number in range(10)])
    known = {
        "Metadata_Plate": "P",
        "Metadata_Well": [f"A{number}" for number in range(400)],
        "Metadata_Verdict": "keep",
    }
    frame = whole.assign(**known, Metadata_pert_type="negcon", Metadata_Cell_Line="U2OS")
    ours, _ = through(frame, {"standardize": {"robust": False}}, {"sphere": {"sphering": "ridge", "ridge": 0}})
    np.testing.assert_allclose(ours[list(whole)], foreign(values, "ZCA-cor"), atol=1e-5)


@pytest.mark.parametrize(("count", "size"), [(400, 10), (16, 60), (60, 60)])
def test_shrinkage_equals_sklearn(count, size):
    from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

    values = controls(np.random.default_rng(2), count=count, size=size)
    assert ledoit_wolf(values - values.mean(axis=0)) == pytest.approx(ledoit_wolf_shrinkage(values))
    expected = inverse_root(LedoitWolf().fit(values).covariance_, ridge=0, power=-0.5)
    sphere = fit_sphere(values, options=replace(OPTIONS, sphering="shrinkage"))
    np.testing.assert_allclose(sphere.apply(values), (values - values.mean(axis=0)) @ expected, atol=1e-6)


@pytest.mark.parametrize("count", [400, 15])
def test_ridge_equals_its_closed_form(count):
    values = controls(np.random.default_rng(3), count=count, size=20)
    covariance = np.cov(values.T)
    ridge = 0.01 * np.linalg.eigvalsh(covariance)[-1]
    expected = (values - values.mean(axis=0)) @ inverse_root(covariance, ridge=ridge, power=-0.5)
    sphere = fit_sphere(values, options=replace(OPTIONS, ridge=0.01))
    np.testing.assert_allclose(sphere.apply(values), expected, atol=1e-6)
    assert sphere.regularisation == pytest.approx(ridge)


def test_rank_whitens_a_third_of_the_controls_and_blows_up_nothing_else():
    values = controls(np.random.default_rng(4), count=30, size=50)
    sphere = fit_sphere(values, options=replace(OPTIONS, sphering="rank"))
    sphered = sphere.apply(values)
    assert sphere.vectors.shape == (50, 10)
    np.testing.assert_allclose(np.cov((sphered @ sphere.vectors).T), np.eye(10), atol=1e-8)
    assert np.linalg.eigvalsh(np.cov(sphered.T))[-1] < 1 + 1e-8
    moved = sphere.apply(np.eye(50)) - sphere.apply(np.zeros((50, 50)))
    assert np.linalg.matrix_rank(moved) == 50


@pytest.mark.parametrize("method", ["shrinkage", "rank", "ridge"])
def test_too_few_controls_are_standardised_and_said(method):
    values = controls(np.random.default_rng(5), count=11)
    sphere = fit_sphere(values, options=replace(OPTIONS, sphering=method))
    assert sphere.method == "standardize"
    few = {"found": 11, "needed": 12, "unit": "controls", "method": method, "instead": "standardised"}
    assert sphere.reason == str(Note("too_few_for_step", few))
    np.testing.assert_allclose(sphere.apply(values).std(axis=0), 1)


@pytest.mark.parametrize("count", [0, 1])
def test_without_spread_nothing_is_scaled(count):
    values = np.ones((count, 4))
    sphered = fit_sphere(values, options=OPTIONS).apply(np.full((3, 4), 2.0))
    np.testing.assert_array_equal(sphered, np.full((3, 4), 2.0 - count))


def test_constant_controls_fall_back():
    sphere = fit_sphere(np.ones((20, 4)), options=OPTIONS)
    assert sphere.reason == "no_spread_among_controls(found=20)"


@pytest.mark.parametrize("method", ["shrinkage", "rank", "ridge"])
def test_order_of_controls_does_not_count(method):
    rng = np.random.default_rng(6)
    values = controls(rng, count=40, size=25)
    options = replace(OPTIONS, sphering=method, ridge=0.01)
    probe = rng.normal(size=(7, 25))
    one = fit_sphere(values, options=options).apply(probe)
    two = fit_sphere(rng.permutation(values), options=options).apply(probe)
    np.testing.assert_allclose(one, two, atol=1e-8)


def test_standardising_on_a_few_controls_lets_no_feature_outweigh_the_others():
    rng = np.random.default_rng(5)
    controls = rng.normal(size=(4, 30))
    controls[:, 7] = 1e-5 * rng.normal(size=4)
    sphere = fit_sphere(controls, options=options("fit", sphering="shrinkage"))
    assert sphere.method == "standardize" and "found=4, needed=12" in sphere.reason
    later = np.abs(sphere.apply(rng.normal(size=(200, 30)))).mean(axis=0)
    assert later[7] < 10 * np.median(later)


def published_tvn(values: np.ndarray, control: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """TVN as the code released with Perakis et al. 2021 computes it: 1 is added to each variance, nothing is scaled."""
    known = values[control]
    mean = known.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov(known.T, ddof=0))
    whitened = (values - mean) @ axes / np.sqrt(np.maximum(spread, 0) + 1)
    every = np.cov(whitened[control].T, ddof=0) + np.eye(values.shape[1])
    result = whitened.copy()
    for name in np.unique(batch):
        mine = np.cov(whitened[control & (batch == name)].T, ddof=0) + np.eye(values.shape[1])
        values_of, vectors = np.linalg.eigh(mine)
        least = (vectors / np.sqrt(values_of)) @ vectors.T
        values_of, vectors = np.linalg.eigh(every)
        result[batch == name] = whitened[batch == name] @ least @ (vectors * np.sqrt(values_of)) @ vectors.T
    return result


def test_the_tvn_of_perakis_can_be_written_in_the_config():
    """Its whitening is not rotated back, so that the products of wells are compared, which is all that cosines read."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(90, 7)) @ rng.normal(size=(7, 7)) * 3 + 20
    control, batch = np.arange(90) % 3 == 0, np.where(np.arange(90) < 42, "a", "b")
    frame = pd.DataFrame(values, columns=[f"e_{place}" for place in range(7)])
    frame.insert(0, "Metadata_Plate", batch)
    frame.insert(1, "Metadata_Well", [f"{row}{column:02d}" for row in "ABCDEFGHIJ" for column in range(1, 10)])
    frame["Metadata_pert_type"] = np.where(control, "negcon", "trt")
    frame["Metadata_Batch"], frame["Metadata_Verdict"], frame["Metadata_Cell_Line"] = batch, "keep", "U2OS"
    whitened = {"sphering": "ridge", "ridge": 1.0, "ridge_unit": "absolute", "by": None}
    chosen = options("fit", steps=[{"sphere": whitened}, "coral"], max_deviation=None, max_influence=None)
    fitted = fit_alignment(frame, options=chosen)
    found = apply_alignment(frame, fitted)[[f"e_{place}" for place in range(7)]].to_numpy()
    wanted = published_tvn(values, control, batch)
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, rtol=1e-4, atol=1e-3)
    relative = options("fit", steps=[{"sphere": whitened | {"ridge_unit": "relative"}}, "coral"])
    other = apply_alignment(frame, fit_alignment(frame, options=relative))[[f"e_{n}" for n in range(7)]].to_numpy()
    assert not np.allclose(other @ other.T, wanted @ wanted.T, rtol=0.1)
