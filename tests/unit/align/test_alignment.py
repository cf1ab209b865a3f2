from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from step_screens import OPTIONS
from wellspring.align.alignment import Alignment, apply_alignment, fit_alignment
from wellspring.io import tables
from wellspring.io.notes import Note

SIZE = 8
TVN = ["select", "sphere", "coral"]


def spheres_of(alignment):
    return dict(alignment.steps)["sphere"]


def screen(rng, *, plates=4, controls=16, treated=24, size=SIZE):
    count = plates * (controls + treated)
    mixing = {line: rng.normal(size=(size, size)) for line in ("U2OS", "A549")}
    plate = np.repeat(np.arange(plates), controls + treated)
    line = np.where(plate % 2, "A549", "U2OS")
    values = np.stack([rng.normal(size=size) @ mixing[each] for each in line])
    frame = pd.DataFrame(values.astype(np.float32), columns=[f"e_{number}" for number in range(size)])
    frame.insert(0, "Metadata_Plate", [f"P{number}" for number in plate])
    frame.insert(1, "Metadata_Well", [f"A{number:02d}" for number in range(controls + treated)] * plates)
    frame.insert(2, "Metadata_Cell_Line", line)
    frame.insert(3, "Metadata_Batch", np.where(plate < plates / 2, "b1", "b2"))
    frame.insert(4, "Metadata_pert_type", (["negcon"] * controls + ["trt"] * treated) * plates)
    frame.insert(5, "Metadata_Verdict", "keep")
    frame.insert(6, "Metadata_Reason", "")
    assert len(frame) == count
    return frame


def values_of(frame, rows=slice(None)):
    return frame.loc[rows, tables.features(frame)].to_numpy(dtype=np.float64)


def test_controls_of_each_line_are_white():
    frame = screen(np.random.default_rng(0), controls=60)
    alignment = fit_alignment(frame, options=replace(OPTIONS, sphering="ridge", ridge=0.0))
    aligned = apply_alignment(frame, alignment)
    assert spheres_of(alignment).groups == ("*", "A549", "U2OS")
    for line in ("A549", "U2OS"):
        rows = (frame["Metadata_Cell_Line"] == line) & (frame["Metadata_pert_type"] == "negcon")
        np.testing.assert_allclose(np.cov(values_of(aligned, rows).T), np.eye(SIZE), atol=1e-5)
    assert list(aligned.columns) == list(frame.columns)


def test_a_new_plate_does_not_change_the_fit_or_the_others():
    rng = np.random.default_rng(1)
    frame, new = screen(rng), screen(rng, plates=1)
    alignment = fit_alignment(frame, options=OPTIONS)
    together = apply_alignment(pd.concat([frame, new], ignore_index=True), alignment)
    alone = apply_alignment(frame, alignment)
    pd.testing.assert_frame_equal(together.iloc[: len(frame)], alone)
    one_by_one = [apply_alignment(plate, alignment) for _, plate in frame.groupby("Metadata_Plate")]
    np.testing.assert_allclose(values_of(pd.concat(one_by_one)), values_of(alone), rtol=1e-5, atol=1e-6)


def test_only_the_chosen_controls_count():
    rng = np.random.default_rng(2)
    frame = screen(rng)
    half = rng.random(len(frame)) < 0.5
    one = fit_alignment(frame, options=OPTIONS, controls=half)
    other = frame.copy()
    unused = ~(half & (frame["Metadata_pert_type"] == "negcon").to_numpy())
    other.loc[unused, tables.features(frame)] *= 3
    two = fit_alignment(other, options=OPTIONS, controls=half)
    pd.testing.assert_frame_equal(apply_alignment(frame, one), apply_alignment(frame, two))
    assert spheres_of(one).spheres[0].controls == int((~unused).sum())


def test_order_of_rows_does_not_count():
    frame = screen(np.random.default_rng(3))
    one = apply_alignment(frame, fit_alignment(frame, options=OPTIONS))
    mixed = frame.sample(frac=1, random_state=0)
    two = apply_alignment(mixed, fit_alignment(mixed, options=OPTIONS)).sort_index()
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changed", [{}, {"steps": TVN}, {"by": None, "sphering": "rank"}, {"min_controls": 40}])
def test_round_trip(tmp_path, changed):
    frame = screen(np.random.default_rng(4))
    frame["e_2"] = 0.0
    alignment = fit_alignment(frame, options=replace(OPTIONS, **changed))
    alignment.save(tmp_path / "a.npz")
    again = Alignment.load(tmp_path / "a.npz")
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    pd.testing.assert_frame_equal(apply_alignment(frame, again), apply_alignment(frame, alignment))
    assert again.notes == alignment.notes
    tables.write(again.selection, tmp_path / "f.parquet", table="features", provenance={})


def test_every_feature_is_kept_or_has_a_reason(tmp_path):
    frame = screen(np.random.default_rng(5))
    frame.loc[:80, "e_1"] = np.nan
    frame.loc[frame["Metadata_pert_type"] == "negcon", "e_3"] = 0.0
    frame["e_5"] = frame["e_4"] + 1e-3 * frame["e_0"]
    alignment = fit_alignment(frame, options=replace(OPTIONS, max_correlation=0.9))
    table = alignment.selection.set_index("Metadata_Feature")
    assert sorted(table.index) == sorted(tables.features(frame))
    assert (table["Metadata_Kept"] == (table["Metadata_Reason"] == "")).all()
    assert table.loc["e_1", "Metadata_Reason"] == "not_finite(wells=81, total=160)"
    assert table.loc["e_3", "Metadata_Reason"] == "no_spread_in_controls"
    assert sum("correlated(" in reason for reason in table.loc[["e_4", "e_5"], "Metadata_Reason"]) == 1
    assert tables.features(apply_alignment(frame, alignment)) == alignment.features


def test_learned_features_are_not_asked_for_correlation_by_default():
    frame = screen(np.random.default_rng(8))
    frame["e_5"] = frame["e_4"]
    assert fit_alignment(frame, options=replace(OPTIONS, max_correlation="auto")).selection["Metadata_Kept"].all()


def test_near_constant_features_are_dropped():
    frame = screen(np.random.default_rng(9))
    frame["e_2"] = np.where(np.arange(len(frame)) % 20 < 1, frame["e_2"], 1.0)
    frame["e_3"] = np.where(np.arange(len(frame)) % 20 < 2, frame["e_3"], 1.0)
    frame.loc[3, "e_2"] = np.nan
    table = fit_alignment(frame, options=replace(OPTIONS, max_equal=0.94)).selection.set_index("Metadata_Feature")
    assert table.loc["e_2", "Metadata_Reason"] == "near_constant(wells=151, total=160)"
    assert table["Metadata_Kept"].sum() == SIZE - 1


def test_undefined_wells_stay_and_gaps_are_filled():
    frame = screen(np.random.default_rng(6))
    names = tables.features(frame)
    frame.loc[20, "Metadata_Verdict"] = "undefined"
    frame.loc[20, names] = np.nan
    frame.loc[21, "e_0"] = np.nan
    frame.loc[2, "e_1"] = np.inf
    aligned = apply_alignment(frame, fit_alignment(frame, options=OPTIONS))
    assert len(aligned) == len(frame)
    assert aligned.loc[20, names].isna().all()
    assert aligned.drop(index=20)[names].notna().all(axis=None)


def test_fallback_is_named():
    frame = screen(np.random.default_rng(7), controls=5)
    alignment = fit_alignment(frame, options=OPTIONS)
    few = {"found": 10, "needed": 12, "unit": "controls", "method": "shrinkage", "instead": "standardised"}
    assert Note("too_few_for_step", {"step": "sphere", "group": "U2OS", **few}) in alignment.notes
    pooled = alignment.notes[1]
    assert (pooled.code, pooled.values["group"], pooled.values["method"]) == ("sphere_fitted", "*", "shrinkage")
    assert pooled.values["controls"] == 20


def test_without_controls_nothing_changes():
    frame = screen(np.random.default_rng(8))
    none = np.zeros(len(frame), dtype=bool)
    alignment = fit_alignment(frame, options=replace(OPTIONS, steps=TVN), controls=none)
    pd.testing.assert_frame_equal(apply_alignment(frame, alignment), frame)
    few = {"needed": 12, "unit": "controls", "method": "shrinkage", "instead": "standardised"}
    assert alignment.notes == (
        Note("features_kept", {"step": "select", "kept": 8, "total": 8}),
        Note("too_few_for_step", {"step": "sphere", "group": "*", "found": 0, **few}),
        Note("batches_matched", {"step": "coral", "matched": 0, "total": 0}),
    )


def test_without_rows_the_fit_is_valid(tmp_path):
    frame = screen(np.random.default_rng(9))
    fit_alignment(frame.iloc[:0], options=OPTIONS).save(tmp_path / "a.npz")
    pd.testing.assert_frame_equal(apply_alignment(frame, Alignment.load(tmp_path / "a.npz")), frame)


def test_an_unknown_line_goes_through_all_controls(caplog):
    frame = screen(np.random.default_rng(10))
    alignment = fit_alignment(frame, options=OPTIONS)
    new = frame.assign(Metadata_Cell_Line="HepG2")
    assert np.isfinite(values_of(apply_alignment(new, alignment))).all()
    assert "HepG2" in caplog.text


def test_coral_brings_batches_together():
    rng = np.random.default_rng(11)
    frame = screen(rng, controls=100, treated=1).assign(Metadata_Cell_Line="U2OS")
    names = tables.features(frame)
    frame[names] = rng.normal(size=(len(frame), SIZE))
    frame.loc[frame["Metadata_Batch"] == "b2", names] *= np.linspace(0.5, 4, SIZE)

    def gap(coral):
        steps = ["select", "sphere", *(["coral"] if coral else [])]
        aligned = apply_alignment(frame, fit_alignment(frame, options=replace(OPTIONS, steps=steps)))
        covariances = [np.cov(values_of(aligned, aligned["Metadata_Batch"] == each).T) for each in ("b1", "b2")]
        return np.linalg.norm(covariances[0] - covariances[1])

    assert gap(True) < 0.7 * gap(False)


def test_refuses_other_features():
    frame = screen(np.random.default_rng(12))
    with pytest.raises(ValueError, match="e_7"):
        apply_alignment(frame.drop(columns="e_7"), fit_alignment(frame, options=OPTIONS))


@pytest.mark.parametrize("method", ["shrinkage", "rank"])
def test_noise_is_not_farther_from_unseen_controls_than_controls_are(method):
    """Fitted on half of the controls, null treatments lie as far from the origin as the other half does."""
    rng = np.random.default_rng(13)
    frame = screen(rng, controls=16, size=64).assign(Metadata_Cell_Line="U2OS")
    frame[tables.features(frame)] = rng.normal(size=(len(frame), 64))
    control = (frame["Metadata_pert_type"] == "negcon").to_numpy()
    half = control & (rng.random(len(frame)) < 0.5)
    alignment = fit_alignment(frame, options=replace(OPTIONS, sphering=method), controls=half)
    length = np.linalg.norm(values_of(apply_alignment(frame, alignment)), axis=1)
    assert length[~control].mean() / length[control & ~half].mean() == pytest.approx(1, abs=0.1)
