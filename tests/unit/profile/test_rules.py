"""Rules of the profiles at their boundaries: floors, rounding, majorities, gaps, names and the text of notes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from test_aggregate import survey, views
from test_aggregate import wells as wells_named
from test_decisions import plate as decided
from test_normalise import plate

from options import options
from wellspring.io.notes import Note
from wellspring.io.tables import Verdict, features
from wellspring.profile import aggregate, consensus, decisions, normal_scores, normalise


def spreads(values, method):
    """Return centre and spread of the columns, by the formulas."""
    if method == "standardize":
        return np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    middle = np.nanmedian(values, axis=0)
    if method == "robustize":
        return middle, np.nanquantile(values, 0.75, axis=0) - np.nanquantile(values, 0.25, axis=0)
    return middle, 1.4826 * np.nanmedian(np.abs(values - middle), axis=0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["mad_robustize", "robustize", "standardize"]),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.sampled_from(["negcon", "all"]),
)
def test_the_divisor_is_the_spread_or_the_floor(seed, method, floor, on):
    rng = np.random.default_rng(seed)
    frame = plate(rng, controls=6 + seed % 7, treated=20, size=9)
    names = features(frame)
    frame.loc[:5, "e_1"], frame["e_2"] = 3.0, 2.0
    frame.loc[rng.integers(0, 26, 4), "e_3"] = rng.choice([np.nan, np.inf])
    frame.loc[frame.index[rng.integers(0, 26)], "Metadata_Verdict"] = "undefined"
    kept = (frame["Metadata_Verdict"] == "keep").to_numpy()
    chosen = kept & ((frame["Metadata_pert_type"] == "negcon").to_numpy() | (on == "all"))
    values = frame[names].to_numpy(float)
    values[~np.isfinite(values)] = np.nan
    center, spread = spreads(values[chosen], method)
    _, everywhere = spreads(values[kept], method)
    everywhere = np.where(everywhere > 1e-6 * np.abs(center), everywhere, np.nanstd(values[kept], axis=0))
    spread = np.where(spread <= 1e-6 * np.maximum(everywhere, np.abs(center)), 0, spread)
    alive = (everywhere > 1e-9) & (spread > 0)
    usual = np.median(spread[alive] / everywhere[alive])
    least = floor * usual * np.where(everywhere > 1e-9, everywhere, 0)
    scale = np.maximum(spread, least)
    found = normalise.fit_normaliser(frame, method=method, on=on, spread_floor=floor, epsilon=0.25)
    assert found.count == chosen.sum() and found.reason == ""
    np.testing.assert_allclose(found.center, center, rtol=1e-9)
    np.testing.assert_allclose(found.floor, least, rtol=1e-9)
    extra = 0.25 if method == "mad_robustize" else 0
    np.testing.assert_allclose(found.scale, np.where(scale > 0, scale + extra, 1.0), rtol=1e-9)
    np.testing.assert_array_equal(found.floored, spread < least)
    assert found.dead.tolist() == [name == "e_2" or (floor == 0 and scale[n] == 0) for n, name in enumerate(names)]
    result = normalise.apply_normaliser(frame, found)
    np.testing.assert_allclose(result[names], ((values - center) / found.scale).astype(np.float32), rtol=1e-5)


def test_the_number_of_controls_at_the_limit():
    frame = plate(np.random.default_rng(0), controls=5, treated=6, size=3)
    for least, reason in ((5, ""), (6, 'too_few_to_normalise(found=5, needed=6, on="negcon")')):
        assert normalise.fit_normaliser(frame, min_controls=least).reason == reason
    assert normalise.fit_normaliser(frame.iloc[:4]).reason == "" != normalise.fit_normaliser(frame.iloc[:3]).reason
    none = frame[[name for name in frame if name.startswith("Metadata_")]]
    assert normalise.fit_normaliser(none).reason == "no_embedding"
    plain = normalise.fit_normaliser(frame, method="none")
    assert plain.scale.tolist() == plain.spread.tolist() == [1] * 3 and plain.center.tolist() == [0] * 3
    assert not plain.dead.any() and not plain.floored.any() and plain.count == 5
    assert normalise.fit_normaliser.__kwdefaults__ == {
        "method": "mad_robustize", "on": "negcon", "min_controls": 4, "spread_floor": 0.3, "epsilon": 1e-18,
    }  # fmt: skip


def test_a_fit_without_ranks_has_empty_distributions():
    fit = normalise.fit_normaliser(plate(np.random.default_rng(0), controls=5, treated=6, size=3))
    assert fit.knots.shape == fit.levels.shape == (0, 0) and fit.counts.shape == (0,)
    assert fit.counts.dtype == np.int64 and fit.reason == ""


def test_a_fit_of_objects_is_not_stored_as_a_pickle(tmp_path):
    fit = normalise.fit_normaliser(plate(np.random.default_rng(0), controls=5, treated=6, size=3))
    broken = normalise.Normaliser(**(vars(fit) | {"center": np.array([object()] * 3)}))
    with pytest.raises(ValueError, match="allow_pickle"):
        broken.save(tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_every_row_with_a_gap_is_counted():
    block = np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, 4.0], [np.nan, np.nan]], np.float32)
    values, gaps = aggregate._combined(block, operation="mean")
    assert gaps == 3 and values.tolist() == [2.0, 3.0]


def test_rounding_is_a_millionth():
    assert pytest.approx(1e-6) == normalise.ROUNDING
    values = np.array([[1.0, 1.0, 0.0], [1.0 + 1e-7, 1.0 + 1e-4, 0.0]])
    for method in ("standardize", "robustize", "mad_robustize"):
        _, spread = normalise.center_and_spread(values, method)
        assert spread[0] == 0 and spread[1] > 0 and spread[2] == 0
    _, spread = normalise.center_and_spread(np.array([[np.nan, 1], [np.nan, 3]]), "standardize")
    assert np.isnan(spread[0]) and spread[1] == 1


def test_a_plate_without_a_fit_is_left_out_with_its_reason(caplog):
    frame = plate(np.random.default_rng(1), controls=2, treated=5, size=3)
    frame.loc[4, ["Metadata_Verdict", "Metadata_Reason"]] = ["undefined", "no_cells"]
    found, _, verdict = normalise.normalise(frame, options=options("profile", normalise="standardize"))
    reason = 'too_few_to_normalise(found=2, needed=4, on="negcon")'
    assert verdict == Verdict(False, (reason,))
    assert "left out: 2 negative controls with a profile, 4 needed" in caplog.text
    assert "without spread" not in caplog.text and "floored" not in caplog.text
    assert found["Metadata_Verdict"].tolist() == ["exclude"] * 4 + ["undefined"] + ["exclude"] * 2
    assert found.loc[4, "Metadata_Reason"] == "no_cells"
    assert found.loc[0, "Metadata_Reason"] == str(Note("plate_excluded", {"notes": reason}))
    assert found[features(found)].isna().all(axis=None)


def test_floored_and_dead_features_are_counted_in_the_log(caplog):
    frame = plate(np.random.default_rng(2), controls=12, treated=20, size=6)
    frame["e_1"], frame.loc[:11, "e_2"] = 7.0, 0.5
    normalise.normalise(frame, options=options("profile", normalise="standardize"))
    assert "1 of 6 features without spread in any well: e_1" in caplog.text
    assert "1 of 6 features floored: e_2" in caplog.text
    caplog.clear()
    wide = plate(np.random.default_rng(2), controls=12, treated=20, size=30)
    wide.loc[:11, [f"e_{number}" for number in range(20)]] = 0.5
    normalise.normalise(wide, options=options("profile", normalise="standardize"))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{wide['Metadata_Plate'][0]}: 20 of 30 features floored: e_0, e_1")
    assert record.getMessage().endswith("e_11 and 8 more")


def test_a_fit_comes_back_from_its_file(tmp_path):
    frame = plate(np.random.default_rng(3), controls=9, treated=9, size=4)
    for method in normalise.METHODS:
        fit = normalise.fit_normaliser(frame, method=method)
        fit.save(tmp_path / "a.npz")
        again = normalise.Normaliser.load(tmp_path / "a.npz")
        for name, value in vars(fit).items():
            np.testing.assert_array_equal(getattr(again, name), value)
        assert isinstance(again.count, int) and isinstance(again.method, str) and isinstance(again.features, tuple)
    with pytest.raises(ValueError, match="expected the 4 features of the fit, found 3"):
        normalise.apply_normaliser(frame.drop(columns="e_3"), fit)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=20), st.lists(st.floats(-6, 6), max_size=8))
def test_normal_scores_are_blom_s_of_mean_ranks(fitted, others):
    values = np.array(fitted, float)[:, None]
    knots, levels, counts = normal_scores.distributions(np.vstack([values, [[np.nan]]]))
    assert counts.tolist() == [len(fitted)] and knots[:, 0].tolist() == sorted(set(fitted))
    known = {
        value: (rank - 3 / 8) / (len(fitted) + 1 / 4) for value, rank in zip(fitted, rankdata(fitted), strict=True)
    }
    np.testing.assert_allclose(levels[:, 0], [known[value] for value in sorted(known)])
    found = normal_scores.scores(values, knots, levels, counts)
    np.testing.assert_allclose(found[:, 0], norm.ppf([known[value] for value in fitted]), atol=1e-12)
    end = (5 / 8) / (len(fitted) + 1 / 4)
    for value in others:
        (score,) = normal_scores.scores(np.array([[value]]), knots, levels, counts)[0]
        if value < min(fitted) or value > max(fitted):
            assert score == pytest.approx(norm.ppf(end if value < min(fitted) else 1 - end))
        else:
            below, above = max(one for one in known if one <= value), min(one for one in known if one >= value)
            share = 0 if below == above else (value - below) / (above - below)
            assert score == pytest.approx(norm.ppf(known[below] + share * (known[above] - known[below])), abs=1e-9)


@pytest.mark.parametrize("count", [1000, 1001, 3000])
def test_a_distribution_keeps_a_thousand_values_with_the_outermost(count):
    values = np.random.default_rng(count).permutation(np.arange(float(count)))[:, None]
    knots, levels, _ = normal_scores.distributions(values)
    assert len(knots) == count if count == 1000 else len(knots) <= 1000
    assert knots[0, 0] == 0 and knots[-1, 0] == count - 1 and (np.diff(knots[:, 0]) > 0).all()
    np.testing.assert_allclose(levels[:, 0], (knots[:, 0] + 1 - 3 / 8) / (count + 1 / 4))
    assert np.diff(norm.ppf(levels[:, 0])).max() < 0.3 and len(knots) > 500


@pytest.mark.parametrize(
    ("hand", "others", "most"), [(1, 1, False), (2, 1, True), (1, 0, True), (0, 0, False), (2, 2, False)]
)
def test_a_majority_is_more_than_half(hand, others, most):
    names = [f"Nuclei_{n}" for n in range(hand)] + [f"e_{n}" for n in range(others)]
    assert aggregate.hand_made(names) == most
    assert aggregate.operation_for("auto", names) == ("median" if most else "mean")
    assert aggregate.operation_for("mean", names) == "mean" and aggregate.classical(names) == hand


def test_already_normalised_at_its_limits():
    """Four wells, eight of ten features, a centre of 0.5 and a spread of 2: at the limit and beside it."""
    column = np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    raw = 50 + 9 * column

    def found(values, controls=6):
        return decisions.already_normalised(decided(np.array(values).T, controls=controls))

    for near, noted in ((8, True), (7, False)):
        note = found([column] * near + [raw] * (10 - near))
        assert (note is not None) == noted
    assert found([column] * 8 + [raw] * 2) == Note("already_normalised", {"share": 0.8, "on": "negcon"})
    for shift, noted in ((0.49, True), (0.5, False), (-0.49, True), (-0.5, False)):
        assert (found([column + shift] * 3) is not None) == noted
    for factor, noted in ((1.99, True), (2.01, False), (0.34, True), (0.33, False)):
        # Mean and median 0, a standard deviation of `factor`, and a scaled MAD of 1.4826 times that.
        assert (found([np.where(np.arange(6) < 3, -factor, factor)] * 3) is not None) == noted
    assert found([column[:4]] * 3, controls=4) is not None and found([column[:3]] * 3, controls=3) is None
    note = found([column] * 3, controls=3)
    assert note == Note("already_normalised", {"share": 1.0, "on": "all"})
    assert found([np.zeros(6)] * 3) is None, "features without spread are not judged"
    assert found([column] * 3 + [np.zeros(6)] * 5).values["share"] == 1.0
    assert found([column] * 3 + [np.full(6, np.nan)] * 5).values["share"] == 1.0


def test_decisions_are_told_in_order_and_only_where_they_were_made(caplog):
    frame = decided(np.random.default_rng(0).lognormal(2, 1, (12, 5)), controls=6)
    auto, fixed = options("profile"), options("profile", normalise="standardize", operation="mean")
    given_to = {"method": "standardize", "operation": "mean"}
    assert [note.code for note in decisions.decisions(frame, options=auto, **given_to)] == ["decided_by_majority"]
    half = options("profile", normalise="standardize")
    assert len(decisions.decisions(frame, options=half, **given_to)) == (half.operation == "auto")
    assert decisions.decisions(frame, options=fixed, **given_to) == ()
    assert decisions.decisions(frame, options=fixed, foreign={"x": 1}, **given_to) == ()
    bare = frame[[name for name in frame if name.startswith("Metadata_")]]
    assert decisions.decisions(bare, options=auto, **given_to) == ()
    frame.loc[3, "f_1"], frame.loc[4, ["f_1", "f_2"]] = np.nan, np.inf
    frame.loc[5, ["f_0", "Metadata_Verdict"]] = [np.nan, "undefined"]
    assert decisions.missing(frame) == Note("values_missing", {"values": 3, "features": 2, "wells": 2, "empty": 0})
    for count in (9, 10, 11, 12):
        note = decisions.of_rule({"rule": "r", "features": "5", "not_features": [f"n{n}" for n in range(count)]})
        names = ", ".join(f"n{n}" for n in range(min(count, 10))) + (", ..." if count > 10 else "")
        assert note.values == {"rule": "r", "features": 5, "left": count, "names": names}
    assert decisions.of_rule({"rule": "r", "features": 5}).values["left"] == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9])
def test_medians_of_blocks(dtype, count):
    block = np.random.default_rng(count).normal(size=(count, 5)).astype(dtype) + dtype(1e3)
    np.testing.assert_array_equal(aggregate._median(block), np.median(block.astype(np.float64), axis=0))


def test_a_precise_block_keeps_its_digits():
    block = np.array([[1.0], [1.0 + 1e-12], [1.0 + 3e-12]])
    assert aggregate._median(block)[0] == 1.0 + 1e-12 and aggregate._median(block[:2])[0] == (2.0 + 1e-12) / 2


def test_views_are_put_in_order_of_site_and_number():
    rng = np.random.default_rng(4)
    frame, matrix = views(rng, sizes=(4, 3, 5))
    for order in (np.arange(12), np.arange(12)[::-1], rng.permutation(12), np.r_[1, 0, 2:12], np.r_[4:12, 0:4]):
        mixed = frame.iloc[order].reset_index(drop=True)
        place, sites, starts = aggregate._order(mixed)
        np.testing.assert_array_equal(order[place], np.arange(12))
        assert starts.tolist() == [0, 4, 7] and sites["Metadata_Site"].tolist() == ["1", "2", "1"]
    assert matrix.shape == (12, 4)


def test_a_site_is_excluded_by_one_of_its_planes_and_reasons_are_counted():
    table = survey(A01={"1": "blank", "2": "blank"}, A02={"1": "blank", "2": "keep"}, A03={"1": "truncated"})
    table = pd.concat([table, table.assign(Metadata_Verdict="keep", Metadata_Reason="")], ignore_index=True)
    found = aggregate._excluded(table)
    assert found == {
        ("P1", "A01"): (Note("all_sites_excluded", {"planes": 2, "notes": "blank"}),),
        ("P1", "A03"): (Note("all_sites_excluded", {"planes": 1, "notes": "truncated"}),),
    }


def test_strange_wells_and_several_versions_are_named():
    frame, matrix = views(np.random.default_rng(5))
    with pytest.raises(ValueError, match=r"expected wells of the index, found \[\('P1', 'A01'\), \('P1', 'A02'\)\]"):
        aggregate.aggregate(frame, matrix, wells_named("B01"), prefix="e")
    result = aggregate.aggregate(frame, matrix, wells_named("A01", "A02", "B01"), prefix="e")
    assert result["Metadata_Verdict"].tolist() == ["keep", "keep", "undefined"]
    assert result.columns[-4:].tolist() == ["e_0", "e_1", "e_2", "e_3"]


def joined_plates(rng, *names, extra=()):
    found = []
    for name in names:
        frame = plate(rng, controls=3, treated=3, size=3).assign(Metadata_Plate=name, Metadata_Batch=f"b{name}")
        frame["Metadata_Compound"] = frame["Metadata_Perturbation"] = ["DMSO"] * 3 + ["x", "x", "y"]
        frame["Metadata_Cell_Line"], frame["Metadata_Role"], frame["Metadata_Concentration"] = "U2OS", "fit", 1.0
        frame["Metadata_moa"], frame["Metadata_target"] = None, None
        found.append(frame)
    return found


def test_consensus_counts_joins_and_leaves_out():
    rng = np.random.default_rng(6)
    frame = pd.concat(joined_plates(rng, "P2", "P1"), ignore_index=True)
    frame.loc[3, "Metadata_Verdict"] = "undefined"
    frame.loc[(frame["Metadata_Compound"] == "x") & (frame["Metadata_Plate"] == "P1"), "Metadata_Concentration"] = 2.0
    frame.loc[frame["Metadata_Compound"] == "y", "Metadata_Verdict"] = "exclude"
    found = consensus.consensus(frame, operation="mean").set_index("Metadata_Perturbation")
    assert found["Metadata_Replicate_Count"].to_dict() == {"DMSO": 6, "x": 3, "y": 0}
    assert found["Metadata_Undefined_Count"].to_dict() == {"DMSO": 0, "x": 1, "y": 2}
    assert found["Metadata_Plates"].to_dict() == {"DMSO": "P1;P2", "x": "P1;P2", "y": ""}
    assert found["Metadata_Batches"].to_dict() == {"DMSO": "bP1;bP2", "x": "bP1;bP2", "y": ""}
    assert np.isnan(found.loc["x", "Metadata_Concentration"]) and found.loc["y", "Metadata_Concentration"] == 1.0
    assert found["Metadata_Group"].unique().tolist() == ["U2OS"] and found.loc["y", ["e_0", "e_1", "e_2"]].isna().all()
    mine = frame[(frame["Metadata_Compound"] == "x") & (frame["Metadata_Verdict"] == "keep")]
    np.testing.assert_allclose(found.loc["x", features(frame)].astype(float), mine[features(frame)].mean(), rtol=1e-5)
    apart = consensus.consensus(frame.assign(Metadata_Role=np.where(frame["Metadata_Plate"] == "P2", "heldout", "fit")))
    assert set(apart["Metadata_Plates"]) == {"P1", ""} and apart["Metadata_Replicate_Count"].tolist() == [3, 2, 0]
    two = consensus.consensus(frame, group_by=("Metadata_Cell_Line", "Metadata_Plate"))
    assert set(two["Metadata_Group"]) == {"U2OS;P1", "U2OS;P2"} and len(two) == 6


def test_plates_that_are_left_out_are_named_and_none_is_an_empty_table():
    rng = np.random.default_rng(7)
    plates = joined_plates(rng, "P1", "P2", "P3")
    out = Verdict(False, ("a", "b"))
    frame, verdict = consensus.join_plates(plates, names=["P1", "P2", "P3"], verdicts=[Verdict(), out, Verdict()])
    note = Note("plate_left_out", {"plate": "P2", "notes": "a; b"})
    assert verdict == Verdict(True, (str(note),)) and set(frame["Metadata_Plate"]) == {"P1", "P3"}
    empty, verdict = consensus.join_plates(plates, names=["P1", "P2", "P3"], verdicts=[out] * 3)
    assert len(empty) == 0 and list(empty.columns) == list(plates[0].columns)
    assert not verdict.keep and verdict.reasons[-1] == "no_plate_to_join" and len(verdict.reasons) == 4
    plates[1] = plates[1].rename(columns={"e_2": "z_2"})
    given_to = {"names": ["P1", "P2", "P3"], "verdicts": [Verdict()] * 3, "features": "intersection"}
    frame, verdict = consensus.join_plates(plates, **given_to)
    assert features(frame) == ["e_0", "e_1"] and verdict.notes[0] == Note(
        "features_of_some_plates", {"features": 2, "plates": 3, "kept": 2, "names": "z_2, e_2"}
    )
