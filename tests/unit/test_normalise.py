from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wellspring.normalise import Normaliser, apply_normaliser, fit_normaliser, normalise
from wellspring.tables import Verdict

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "pccma_bulk_profiles"
OPTIONS = {
    "normalise": "mad_robustize",
    "normalise_on": "negcon",
    "min_controls": 4,
    "spread_floor": 0.3,
    "epsilon": 1e-18,
}
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


def foreign(frame, method, names):
    from pycytominer import normalize

    meta = [name for name in frame.columns if name.startswith("Metadata_")]
    query = "Metadata_pert_type == 'negcon'"
    return normalize(frame, features=names, meta_features=meta, samples=query, method=method)[names]


@pytest.mark.parametrize("method", METHODS)
def test_equals_pycytominer(method):
    frame = plate(np.random.default_rng(0))
    names = [name for name in frame if name.startswith("e_")]
    normaliser = fit_normaliser(frame, method=method)
    assert not normaliser.floored.any()
    ours = apply_normaliser(frame, normaliser)[names]
    np.testing.assert_allclose(ours, foreign(frame, method, names), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["mad_robustize", "standardize"])
def test_equals_pycytominer_on_a_real_plate(method):
    path = REAL / "R3_BR00147001_bulk_annotated.parquet"
    if not path.exists():
        pytest.skip("no real profiles here")
    frame = pd.read_parquet(path)
    names = [name for name in frame.columns if not name.startswith("Metadata_")]
    frame[names] = frame[names].astype(np.float64)
    kind = np.where(frame["Metadata_cell_line"] == "U2-OS", "negcon", "trt")
    frame = frame.assign(Metadata_pert_type=kind, Metadata_Verdict="keep", Metadata_Reason="").copy()
    normaliser = fit_normaliser(frame, method=method)
    free = ~normaliser.floored & ~normaliser.dead & np.isfinite(normaliser.center) & (normaliser.spread > 0)
    # The other two cell lines differ from the controls' in most features, so more than usual are floored.
    assert free.mean() > 0.7
    kept = list(np.asarray(names)[free])
    ours = apply_normaliser(frame, normaliser)[kept].to_numpy(dtype=np.float64)
    theirs = foreign(frame, method, kept).to_numpy(dtype=np.float64)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_equals_the_published_normalised_plate():
    path = REAL / "R3_BR00147001_bulk_annotated.parquet"
    if not path.exists():
        pytest.skip("no real profiles here")
    frame, published = pd.read_parquet(path), pd.read_parquet(REAL / "R3_BR00147001_bulk_normalized.parquet")
    # They standardise on all wells, so here every well stands as a control.
    frame["Metadata_pert_type"], frame["Metadata_Verdict"], frame["Metadata_Reason"] = "negcon", "keep", ""
    normaliser = fit_normaliser(frame, method="standardize")
    named = np.asarray(normaliser.features)[(normaliser.spread > 0) & ~normaliser.floored]
    shared = [name for name in named if name in published]
    assert len(shared) > 2000
    ours = apply_normaliser(frame, normaliser).set_index("Metadata_Well")[shared]
    theirs = published.set_index("Metadata_Well").loc[ours.index, shared]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_spread_near_zero_is_floored_and_named(method, caplog):
    rng = np.random.default_rng(1)
    frame = plate(rng)
    frame.loc[:23, "e_3"] = 0.5
    frame["e_4"] = np.float32(0.25)
    frame.loc[:23, "e_5"] = (0.5 + 1e-4 * rng.normal(size=24)).astype(np.float32)
    result, normaliser, verdict = normalise(frame, options=OPTIONS | {"normalise": method})
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
    assert verdict == Verdict(False, (f"{controls} negative controls with a profile, 4 needed to normalise",))
    assert result.filter(regex="^e_").isna().all(axis=None)
    assert set(result["Metadata_Verdict"]) == {"exclude", "undefined"}
    assert result.loc[5, "Metadata_Reason"] == "no cells"
    assert normaliser.count == controls


def test_undefined_controls_do_not_count():
    frame = plate(np.random.default_rng(4), controls=6)
    frame.loc[:2, "Metadata_Verdict"] = "undefined"
    frame.loc[:2, [name for name in frame if name.startswith("e_")]] = np.nan
    result, normaliser, verdict = normalise(frame, options=OPTIONS | {"min_controls": 3})
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


def test_order_of_rows_does_not_count():
    frame = plate(np.random.default_rng(6))
    one = apply_normaliser(frame, fit_normaliser(frame))
    mixed = frame.sample(frac=1, random_state=0)
    two = apply_normaliser(mixed, fit_normaliser(mixed)).sort_index()
    pd.testing.assert_frame_equal(one, two)


def test_none_changes_nothing():
    frame = plate(np.random.default_rng(7), controls=0)
    result, _, verdict = normalise(frame, options=OPTIONS | {"normalise": "none"})
    assert verdict.keep
    pd.testing.assert_frame_equal(result, frame)


def test_round_trip(tmp_path):
    frame = plate(np.random.default_rng(8))
    normaliser = fit_normaliser(frame)
    normaliser.save(tmp_path / "a.npz")
    normaliser.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = Normaliser.load(tmp_path / "a.npz")
    assert again.features == normaliser.features
    assert (again.method, again.count, again.reason) == (normaliser.method, normaliser.count, "")
    pd.testing.assert_frame_equal(apply_normaliser(frame, again), apply_normaliser(frame, normaliser))
