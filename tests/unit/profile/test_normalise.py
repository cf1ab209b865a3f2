from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from options import options
from wellspring.align.steps.sphering import fit_sphere
from wellspring.io.tables import Verdict
from wellspring.profile.normalise import Normaliser, apply_normaliser, fit_normaliser, normalise

OPTIONS = options("profile", normalise="mad_robustize")
METHODS = ["mad_robustize", "robustize", "standardize"]


def plate(rng, *, controls=24, treated=40, size=20):
    count = controls + treated
    values = rng.normal(size=(count, size)) * np.exp(rng.normal(size=size)) + rng.normal(size=size)
    values[controls:] += 0.3 * rng.normal(size=size)
    frame = pd.DataFrame(values.astype(np.float32), columns=[f"e_{number}" for number in range(size)])
    frame.insert(0, "Metadata_Plate", "P1")
    frame.insert(1, "Metadata_Well", [f"A{number:02d}" for number in range(count)])
    frame.insert(2, "Metadata_pert_type", ["negcon"] * controls + ["trt"] * treated)
    frame.insert(3, "Metadata_Verdict", "keep")
    frame.insert(4, "Metadata_Reason", "")
    return frame


def foreign(frame, method, names, on="negcon"):
    from pycytominer import normalize

    meta = [name for name in frame.columns if name.startswith("Metadata_")]
    query = "all" if on == "all" else "Metadata_pert_type == 'negcon'"
    return normalize(frame, features=names, meta_features=meta, samples=query, method=method)[names]


@pytest.mark.parametrize("on", ["negcon", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_equals_pycytominer(method, on):
    frame = plate(np.random.default_rng(0))
    names = [name for name in frame if name.startswith("e_")]
    frame[names] = frame[names].astype(np.float64)
    normaliser = fit_normaliser(frame, method=method, on=on)
    assert not normaliser.floored.any()
    assert normaliser.count == (24 if on == "negcon" else 64)
    ours = apply_normaliser(frame, normaliser)[names]
    np.testing.assert_allclose(ours, foreign(frame, method, names, on), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("on", ["negcon", "all"])
def test_ranks_become_blom_scores(on):
    """The slow reference: scipy's mean ranks; beyond the fitted wells the outermost score, between them in order."""
    rng = np.random.default_rng(1)
    frame = plate(rng)
    frame["e_3"] = np.round(frame["e_3"])
    frame.loc[3, "e_5"] = np.nan
    frame.loc[40, "e_6"] = np.inf
    normaliser = fit_normaliser(frame, method="rank_normal", on=on)
    result = apply_normaliser(frame, normaliser)
    fitted = np.arange(len(frame)) < (24 if on == "negcon" else 64)
    for name in normaliser.features:
        values, scores = frame[name].to_numpy(), result[name].to_numpy()
        some = np.isfinite(values) & fitted
        level = (rankdata(values[some]) - 3 / 8) / (some.sum() + 1 / 4)
        np.testing.assert_allclose(scores[some], norm.ppf(level), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(np.isnan(scores), ~np.isfinite(values))
        order = np.argsort(values)[: np.isfinite(values).sum()]
        assert (np.diff(scores[order]) >= 0).all()
        end = norm.ppf((some.sum() - 3 / 8) / (some.sum() + 1 / 4))
        assert np.nanmax(np.abs(scores)) <= end + 1e-6
    far = apply_normaliser(frame.assign(e_0=np.float32(1e6)), normaliser)["e_0"]
    np.testing.assert_allclose(far, norm.ppf((fitted.sum() - 3 / 8) / (fitted.sum() + 1 / 4)), rtol=1e-5)


def test_ranks_of_what_does_not_vary():
    """All constant: 0. Constant in the controls only: below, at and above them."""
    frame = plate(np.random.default_rng(2))
    frame["e_1"] = np.float32(0.25)
    frame.loc[:23, "e_2"] = 1.0
    frame["e_4"] = np.nan
    result, normaliser, verdict = normalise(frame, options=replace(OPTIONS, normalise="rank_normal"))
    assert verdict.keep
    assert (result["e_1"] == 0).all()
    assert (result.loc[:23, "e_2"] == 0).all()
    np.testing.assert_array_equal(np.sign(result["e_2"]), np.sign(frame["e_2"] - 1))
    assert result["e_4"].isna().all()
    assert "e_1" in np.asarray(normaliser.features)[normaliser.dead]
    assert not normaliser.floored.any()


def test_on_all_wells_a_plate_needs_no_controls():
    frame = plate(np.random.default_rng(3), controls=0)
    options = replace(OPTIONS, normalise_on="all")
    result, normaliser, verdict = normalise(frame, options=options)
    assert verdict.keep
    assert normaliser.count == 40
    assert result.filter(regex="^e_").notna().all(axis=None)
    _, _, few = normalise(frame.iloc[:3], options=options)
    assert few == Verdict(False, ('too_few_to_normalise(found=3, needed=4, on="all")',))


def test_refuses_other_wells_to_fit_on():
    with pytest.raises(ValueError, match="expected negcon or all, found 'poscon'"):
        fit_normaliser(plate(np.random.default_rng(4)), on="poscon")


@pytest.mark.parametrize("method", METHODS)
def test_a_spread_near_zero_is_floored_and_named(method, caplog):
    rng = np.random.default_rng(1)
    frame = plate(rng)
    frame.loc[:23, "e_3"] = 0.5
    frame["e_4"] = np.float32(0.25)
    frame.loc[:23, "e_5"] = (0.5 + 1e-4 * rng.normal(size=24)).astype(np.float32)
    result, normaliser, verdict = normalise(frame, options=replace(OPTIONS, normalise=method))
    assert verdict.keep
    names = np.asarray(normaliser.features)
    assert set(names[normaliser.floored]) >= {"e_3", "e_5"}
    assert names[normaliser.dead].tolist() == ["e_4"]
    values = result[list(names)].to_numpy()
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 50
    assert (result["e_4"] == 0).all()
    assert "e_3" in caplog.text
    assert "e_4" in caplog.text


def test_floor_does_not_depend_on_units():
    frame = plate(np.random.default_rng(2), controls=6, size=40)
    scaled = frame.copy()
    names = [name for name in frame if name.startswith("e_")]
    scaled[names] = frame[names].to_numpy(dtype=np.float64) * np.exp(np.linspace(-9, 9, 40))
    one, two = (apply_normaliser(each, fit_normaliser(each))[names] for each in (frame, scaled))
    assert fit_normaliser(frame).floored.any()
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("controls", [0, 3])
def test_too_few_controls(controls):
    frame = plate(np.random.default_rng(3), controls=controls)
    frame.loc[5, "Metadata_Verdict"], frame.loc[5, "Metadata_Reason"] = "undefined", "no cells"
    result, normaliser, verdict = normalise(frame, options=OPTIONS, verdict=Verdict())
    assert verdict == Verdict(False, (f'too_few_to_normalise(found={controls}, needed=4, on="negcon")',))
    assert result.filter(regex="^e_").isna().all(axis=None)
    assert set(result["Metadata_Verdict"]) == {"exclude", "undefined"}
    assert result.loc[5, "Metadata_Reason"] == "no cells"
    assert normaliser.count == controls


def test_undefined_controls_do_not_count():
    frame = plate(np.random.default_rng(4), controls=6)
    frame.loc[:2, "Metadata_Verdict"] = "undefined"
    frame.loc[:2, [name for name in frame if name.startswith("e_")]] = np.nan
    result, normaliser, verdict = normalise(frame, options=replace(OPTIONS, min_controls=3))
    assert verdict.keep
    assert normaliser.count == 3
    assert result.filter(regex="^e_").iloc[:3].isna().all(axis=None)
    assert result.filter(regex="^e_").iloc[3:].notna().all(axis=None)


def test_infinite_values_are_missing_ones():
    frame = plate(np.random.default_rng(5))
    frame.loc[30, "e_1"] = np.inf
    result, _, _ = normalise(frame, options=OPTIONS)
    assert np.isnan(result.loc[30, "e_1"])
    assert result.filter(regex="^e_").isna().sum().sum() == 1


@pytest.mark.parametrize("method", [*METHODS, "rank_normal"])
def test_order_of_rows_does_not_count(method):
    frame = plate(np.random.default_rng(6))
    one = apply_normaliser(frame, fit_normaliser(frame, method=method))
    mixed = frame.sample(frac=1, random_state=0)
    two = apply_normaliser(mixed, fit_normaliser(mixed, method=method)).sort_index()
    pd.testing.assert_frame_equal(one, two)


def test_none_changes_nothing():
    frame = plate(np.random.default_rng(7), controls=0)
    result, _, verdict = normalise(frame, options=replace(OPTIONS, normalise="none"))
    assert verdict.keep
    pd.testing.assert_frame_equal(result, frame)


@pytest.mark.parametrize("method", [*METHODS, "rank_normal", "none"])
def test_round_trip(tmp_path, method):
    frame = plate(np.random.default_rng(8))
    normaliser = fit_normaliser(frame, method=method)
    normaliser.save(tmp_path / "a.npz")
    normaliser.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = Normaliser.load(tmp_path / "a.npz")
    assert again.features == normaliser.features
    assert (again.method, again.count, again.reason) == (normaliser.method, normaliser.count, "")
    pd.testing.assert_frame_equal(apply_normaliser(frame, again), apply_normaliser(frame, normaliser))


def test_auto_takes_medians_of_hand_made_features_and_means_of_learned_ones():
    frame = plate(np.random.default_rng(3))
    learned = [name for name in frame if name.startswith("e_")]
    made = frame.rename(columns={name: f"Cells_{name}" for name in learned})
    options = replace(OPTIONS, normalise="auto")
    assert normalise(frame, options=options)[1].method == "standardize"
    assert normalise(made, options=options)[1].method == "mad_robustize"


def test_means_keep_plates_together_where_controls_vary_in_few_directions():
    """Sphered, two plates without any effect of their own lie apart after medians and together after means."""
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(6, 60))
    frames = []
    for name in ("P1", "P2"):
        frame = plate(rng, controls=16, treated=32, size=60)
        values = rng.normal(size=(48, 6)) @ mixing + 0.02 * rng.normal(size=(48, 60))
        frame.loc[:, [f"e_{number}" for number in range(60)]] = values.astype(np.float32)
        frames.append(frame.assign(Metadata_Plate=name))

    def apart(method):
        sides = [normalise(frame, options=replace(OPTIONS, normalise=method))[0] for frame in frames]
        controls = [side.loc[side["Metadata_pert_type"] == "negcon"].filter(like="e_").to_numpy() for side in sides]
        sphere = fit_sphere(np.vstack(controls), options=options("fit", sphering="shrinkage"))
        first, second = (sphere.apply(values) for values in controls)
        spread = (first.var(axis=0) + second.var(axis=0)).sum()
        return ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum() / spread

    assert apart("standardize") < 1e-6
    assert apart("mad_robustize") > 0.1


def exact(*, controls=8, treated=16, size=5):
    """Return a plate whose controls are -1 or 1 and whose other wells are -3 or 3 in every feature."""
    values = np.vstack([np.ones((controls, size)), 3 * np.ones((treated, size))])
    values[::2] *= -1
    frame = plate(np.random.default_rng(0), controls=controls, treated=treated, size=size)
    frame[[f"e_{number}" for number in range(size)]] = values
    return frame


def test_epsilon_widens_the_mad_alone():
    from pycytominer import normalize

    frame = plate(np.random.default_rng(9))
    names = [name for name in frame if name.startswith("e_")]
    frame[names] = frame[names].astype(np.float64)
    meta = [name for name in frame if name.startswith("Metadata_")]
    wide = {
        "features": names,
        "meta_features": meta,
        "samples": "Metadata_pert_type == 'negcon'",
        "mad_robustize_epsilon": 0.5,
    }
    for method in METHODS:
        ours = apply_normaliser(frame, fit_normaliser(frame, method=method, epsilon=0.5))[names]
        np.testing.assert_allclose(ours, normalize(frame, method=method, **wide)[names], rtol=1e-6, atol=1e-8)


def test_the_floor_is_a_share_of_the_usual_ratio_times_the_spread_of_the_plate():
    """Controls spread by 1, all wells by sqrt(152 / 24); with constant controls only the others spread."""
    frame = exact()
    frame.loc[:7, "e_2"] = 0.0
    normaliser = fit_normaliser(frame, method="standardize", spread_floor=0.3)
    assert normaliser.floored.tolist() == [False, False, True, False, False]
    assert not normaliser.dead.any()
    expected = 0.3 * np.sqrt(24 / 152) * np.sqrt(144 / 24)
    np.testing.assert_allclose(normaliser.scale, [1, 1, expected, 1, 1], rtol=1e-12)
    result = apply_normaliser(frame, normaliser)
    np.testing.assert_allclose(result["e_2"].abs(), [0] * 8 + [3 / expected] * 16, rtol=1e-6)


def test_without_a_floor_a_feature_without_spread_in_the_controls_is_only_centred():
    frame = exact()
    frame.loc[:7, "e_2"] = 2.0
    for method in METHODS:
        result = apply_normaliser(frame, fit_normaliser(frame, method=method, spread_floor=0.0, epsilon=0.25))
        np.testing.assert_allclose(result["e_2"], frame["e_2"] - 2, rtol=1e-6)


def test_a_feature_that_most_wells_share_one_value_of_has_the_floor_of_its_deviation():
    """The MAD of 20 zeros in 24 wells is 0: the deviation of all wells stands in, so that the feature is not dead."""
    frame = exact()
    frame["e_4"] = [0.0] * 20 + [6.0] * 4
    normaliser = fit_normaliser(frame, method="mad_robustize", spread_floor=0.3)
    deviation = np.sqrt(4 / 24 * 20 / 24) * 6
    usual = 1 / 3  # the MAD of the controls over that of all wells
    assert normaliser.floored[4] and not normaliser.dead[4]
    np.testing.assert_allclose(normaliser.scale[4], 0.3 * usual * deviation, rtol=1e-12)


def test_a_spread_that_is_only_rounding_counts_as_none():
    frame = exact()
    frame["e_0"] = 1e4 + 1e-4 * frame["e_0"]  # 3e-8 of the centre
    frame["e_1"] = 1e4 + frame["e_1"]  # 3e-4 of the centre
    normaliser = fit_normaliser(frame, method="standardize")
    assert normaliser.dead.tolist() == [True, False, False, False, False]
    assert normaliser.spread[0] == 0 and normaliser.spread[1] == pytest.approx(1)


def test_as_many_controls_as_are_needed_are_enough():
    for controls, keep in ((3, False), (4, True)):
        _, _, verdict = normalise(exact(controls=controls), options=replace(OPTIONS, min_controls=4))
        assert verdict.keep is keep


def test_a_plate_without_features_is_left_out_and_none_is_dead_unscaled():
    frame = exact()
    bare = frame.drop(columns=[name for name in frame if name.startswith("e_")])
    _, normaliser, verdict = normalise(bare, options=OPTIONS)
    assert verdict == Verdict(False, ("no_embedding",)) and normaliser.count == 8
    unscaled = fit_normaliser(frame.assign(e_1=0.0), method="none")
    assert not unscaled.dead.any() and not unscaled.floored.any()


def test_a_feature_without_a_value_in_the_controls_has_none_anywhere():
    frame = exact()
    frame.loc[:7, "e_3"] = np.nan
    for method in [*METHODS, "rank_normal"]:
        result = apply_normaliser(frame, fit_normaliser(frame, method=method))
        assert result["e_3"].isna().all()
        assert result[["e_0", "e_1", "e_2", "e_4"]].notna().all(axis=None)


def test_other_features_than_those_of_the_fit_and_unknown_methods_are_refused():
    frame = exact()
    normaliser = fit_normaliser(frame)
    with pytest.raises(ValueError, match="expected the 5 features of the fit, found 4"):
        apply_normaliser(frame.drop(columns="e_1"), normaliser)
    with pytest.raises(ValueError, match="expected one of .*'none'.*, found 'zscore'"):
        fit_normaliser(frame, method="zscore")


def test_what_is_floored_or_dead_is_logged_only_for_plates_that_are_kept(caplog):
    frame = exact()
    frame["e_4"] = 0.5
    normalise(frame, options=OPTIONS)
    assert "1 of 5 features without spread in any well: e_4" in caplog.text and "floored" not in caplog.text
    caplog.clear()
    normalise(frame.iloc[5:], options=OPTIONS)
    assert "left out: 3 negative controls" in caplog.text and "without spread" not in caplog.text


@pytest.mark.parametrize("method", ["mad_robustize", "standardize", "robustize"])
@pytest.mark.parametrize("seed", range(3))
def test_controls_that_differ_by_rounding_alone_have_no_spread(method, seed):
    """Images of two grey values: controls are equal up to rounding in every feature, other wells are not."""
    rng = np.random.default_rng(seed)
    treated = rng.normal(size=(40, 5))
    controls = 1e-16 * rng.normal(size=(16, 5))
    frame = pd.DataFrame(np.vstack([controls, treated]), columns=[f"e_{number}" for number in range(5)])
    frame.insert(0, "Metadata_pert_type", ["negcon"] * 16 + ["trt"] * 40)
    frame.insert(1, "Metadata_Verdict", "keep")
    frame.insert(2, "Metadata_Reason", "")
    fit = fit_normaliser(frame, method=method)
    assert (fit.spread == 0).all()
    assert fit.floored.all()
    found = apply_normaliser(frame, fit)[list(fit.features)].to_numpy()
    assert np.abs(found).max() < 50


def test_four_controls_are_enough_and_three_are_not():
    fits = [fit_normaliser(plate(np.random.default_rng(9), controls=count)) for count in (3, 4)]
    assert [bool(fit.reason) for fit in fits] == [True, False]
    assert options("profile").min_controls == 4


def test_features_without_spread_in_the_controls_do_not_lower_the_floor_of_the_others():
    """Most features are constant in the controls: the usual ratio is the median of the other features' ratios."""
    frame = plate(np.random.default_rng(10), size=7)
    constant = [f"e_{number}" for number in range(1, 6)]
    frame.loc[:23, constant] = np.float32(0.5)
    fit = fit_normaliser(frame, method="standardize", spread_floor=0.5)
    values = frame[[f"e_{number}" for number in range(7)]].to_numpy(np.float64)
    everywhere = values.std(axis=0)
    ratios = values[:24, [0, 6]].std(axis=0) / everywhere[[0, 6]]
    np.testing.assert_allclose(fit.floor, 0.5 * ratios.mean() * everywhere, rtol=1e-6)
    np.testing.assert_array_equal(fit.floored, [name in constant for name in fit.features])
