import numpy as np
import pandas as pd
import pytest

from wellspring.io import tables
from wellspring.io.tables import Verdict
from wellspring.profile.consensus import consensus, join_plates


def plate(name, *, rng, batch="b1", line="U2OS", role="fit"):
    compounds = ["DMSO", "DMSO", "x", "x", "y", None]
    frame = pd.DataFrame({"Metadata_Plate": name, "Metadata_Well": [f"A{number:02d}" for number in range(1, 7)]})
    frame["Metadata_Batch"], frame["Metadata_Cell_Line"], frame["Metadata_Optics"] = batch, line, name
    frame["Metadata_Role"], frame["Metadata_Compound"] = role, compounds
    frame["Metadata_Concentration"] = [np.nan, np.nan, 1.0, 1.0, 2.0, np.nan]
    frame["Metadata_Perturbation"] = ["DMSO", "DMSO", "x@1", "x@1", "y@2", None]
    frame["Metadata_pert_type"] = ["negcon", "negcon", "trt", "trt", "trt", "empty"]
    frame["Metadata_moa"], frame["Metadata_target"] = [None, None, "m", "m", None, None], None
    for count in ("Site_Count", "View_Count", "Count_Cells"):
        frame[f"Metadata_{count}"] = 1
    frame["Metadata_Verdict"], frame["Metadata_Reason"] = "keep", ""
    return frame.join(pd.DataFrame(rng.normal(size=(6, 3)).astype(np.float32), columns=["e_0", "e_1", "e_2"]))


def screen(seed=0, **changes):
    rng = np.random.default_rng(seed)
    plates = [plate("P1", rng=rng), plate("P2", rng=rng, batch="b2"), plate("P3", rng=rng, line="A549")]
    return pd.concat(plates, ignore_index=True)


@pytest.mark.parametrize("operation", ["median", "mean", "modz"])
def test_equals_pycytominer(operation):
    from pycytominer import consensus as foreign

    frame = screen()
    names = tables.features(frame)
    chosen = frame[frame["Metadata_pert_type"] != "empty"]
    key = ["Metadata_Perturbation", "Metadata_Cell_Line"]
    expected = foreign(chosen, replicate_columns=key, features=names, operation=operation).set_index(key).sort_index()
    ours = consensus(frame, operation=operation).set_index(key).sort_index()
    assert ours.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(ours[names], expected[names].astype(float), rtol=1e-5, atol=1e-6)


def test_says_what_a_row_was_made_of(tmp_path):
    frame = screen()
    frame.loc[frame["Metadata_Perturbation"] == "y@2", "Metadata_Verdict"] = "undefined"
    frame.loc[frame["Metadata_Perturbation"] == "y@2", ["e_0", "e_1", "e_2"]] = np.nan
    frame.loc[2, "Metadata_Verdict"] = "undefined"
    result = consensus(frame, group_by=[])
    tables.write(result, tmp_path / "c.parquet", table="consensus", provenance={})
    rows = tables.read(tmp_path / "c.parquet").set_index("Metadata_Perturbation")
    assert rows.index.tolist() == ["DMSO", "x@1", "y@2"]
    assert rows.loc["x@1", "Metadata_Replicate_Count"] == 5
    assert rows.loc["x@1", "Metadata_Undefined_Count"] == 1
    assert rows.loc["x@1", "Metadata_Plates"] == "P1;P2;P3"
    assert rows.loc["x@1", "Metadata_Batches"] == "b1;b2"
    assert rows.loc["x@1", "Metadata_Concentration"] == 1.0
    assert rows.loc["x@1", "Metadata_moa"] == "m"
    assert rows.loc["y@2", "Metadata_Replicate_Count"] == 0
    assert rows.loc["y@2", "Metadata_Undefined_Count"] == 3
    assert np.isnan(rows.loc["y@2", "e_0"])


def test_groups_keep_profiles_apart(tmp_path):
    result = consensus(screen(), group_by=["Metadata_Cell_Line", "Metadata_Batch"])
    tables.write(result, tmp_path / "c.parquet", table="consensus", provenance={})
    assert set(result["Metadata_Group"]) == {"U2OS;b1", "U2OS;b2", "A549;b1"}
    assert result["Metadata_Cell_Line"].isin(["U2OS", "A549"]).all()


def test_order_of_rows_does_not_count():
    frame = screen()
    pd.testing.assert_frame_equal(consensus(frame), consensus(frame.sample(frac=1, random_state=0)))


def test_held_out_plates_lend_nothing():
    rng = np.random.default_rng(1)
    frame, held = screen(), plate("P4", rng=rng, role="heldout")
    pd.testing.assert_frame_equal(consensus(frame), consensus(pd.concat([frame, held], ignore_index=True)))


def test_joins_the_plates_that_are_kept_and_lists_the_others(caplog):
    rng = np.random.default_rng(2)
    plates = [plate(name, rng=rng) for name in ("P1", "P2")]
    plates[1] = plates[1].drop(columns="e_2")
    frame, verdict = join_plates(plates, names=["P1", "P2"], verdicts=[Verdict(), Verdict().because("no controls")])
    assert set(frame["Metadata_Plate"]) == {"P1"}
    assert verdict == Verdict(True, ('plate_left_out(plate="P2", notes="no controls")',))
    assert caplog.messages == ["plate P2 left out: no controls"]
    with pytest.raises(ValueError, match="P2"):
        join_plates(plates, names=["P1", "P2"], verdicts=[Verdict(), Verdict()])


def test_no_plate_to_join_is_valid(tmp_path):
    one = plate("P1", rng=np.random.default_rng(3))
    frame, verdict = join_plates([one], names=["P1"], verdicts=[Verdict().because("bad")])
    assert len(frame) == 0
    assert not verdict.keep
    tables.write(frame, tmp_path / "j.parquet", table="profile", provenance={}, verdict=verdict)
    tables.write(consensus(frame), tmp_path / "c.parquet", table="consensus", provenance={}, verdict=verdict)
    assert len(tables.read(tmp_path / "c.parquet")) == 0


def test_rows_come_in_the_order_of_their_keys_and_features_follow_them():
    """Wells in falling order of their names: rows rise, and each has the values of its own wells."""
    frame = screen().iloc[::-1].reset_index(drop=True)
    result = consensus(frame, operation="mean", group_by=["Metadata_Batch", "Metadata_Cell_Line"])
    keys = list(
        zip(result["Metadata_Perturbation"], result["Metadata_Batch"], result["Metadata_Cell_Line"], strict=True)
    )
    assert keys == sorted(keys) and len(keys) == 9
    for row, (name, batch, line) in enumerate(keys):
        mine = frame["Metadata_Perturbation"].eq(name) & frame["Metadata_Batch"].eq(batch)
        mine &= frame["Metadata_Cell_Line"].eq(line)
        np.testing.assert_allclose(result.loc[row, "e_1"], frame.loc[mine, "e_1"].sum() / mine.sum(), rtol=1e-5)
        assert result.loc[row, "Metadata_Replicate_Count"] == mine.sum()


def test_one_concentration_is_given_and_several_are_not():
    frame = screen()
    frame["Metadata_Perturbation"] = frame["Metadata_Compound"].where(frame["Metadata_pert_type"] != "empty")
    frame.loc[2, "Metadata_Concentration"] = 3.0
    rows = consensus(frame, group_by=[]).set_index("Metadata_Perturbation")
    assert rows.loc["y", "Metadata_Concentration"] == 2.0
    assert rows.loc[["x", "DMSO"], "Metadata_Concentration"].isna().all()
    assert rows.loc["DMSO", "Metadata_moa"] is None and rows.loc["x", "Metadata_moa"] == "m"
    assert (rows["Metadata_Group"] == "").all()


def test_one_replicate_is_its_own_consensus():
    frame = screen()
    single = frame[frame["Metadata_Well"] == "A05"]
    for operation in ("median", "mean", "modz"):
        found = consensus(single, operation=operation, group_by=["Metadata_Plate"])
        np.testing.assert_array_equal(found[["e_0", "e_1", "e_2"]], single[["e_0", "e_1", "e_2"]])
        assert found["Metadata_Plate"].tolist() == ["P1", "P2", "P3"]


def test_empty_wells_and_wells_without_a_perturbation_are_left_out_each():
    frame = screen()
    frame.loc[frame["Metadata_Perturbation"] == "y@2", "Metadata_pert_type"] = "empty"
    frame.loc[frame["Metadata_Well"] == "A06", "Metadata_pert_type"] = "trt"
    assert consensus(frame, group_by=[])["Metadata_Perturbation"].tolist() == ["DMSO", "x@1"]


def test_unknown_operations_and_groups_are_refused():
    with pytest.raises(ValueError, match="expected one of .*, found 'sum'"):
        consensus(screen(), operation="sum")
    with pytest.raises(ValueError, match=r"found none called \['Metadata_Donor'\]"):
        consensus(screen(), group_by=["Metadata_Cell_Line", "Metadata_Donor"])
    with pytest.raises(ValueError, match=r"features that plates lack: \{'P1': \['f_2'\], 'P2': \['e_2'\]\}"):
        rng = np.random.default_rng(0)
        other = plate("P2", rng=rng).rename(columns={"e_2": "f_2"})
        join_plates([plate("P1", rng=rng), other], names=["P1", "P2"], verdicts=[Verdict()] * 2)


def test_the_rows_of_joined_plates_are_numbered_through():
    """Rows are found by their number later: two rows of one number would be two wells for one."""
    rng = np.random.default_rng(4)
    plates = [plate("P1", rng=rng), plate("P2", rng=rng)]
    frame, _ = join_plates(plates, names=["P1", "P2"], verdicts=[Verdict()] * 2)
    assert frame.index.tolist() == list(range(12))
    assert frame["Metadata_Plate"].tolist() == ["P1"] * 6 + ["P2"] * 6
    np.testing.assert_array_equal(frame.loc[7, ["e_0", "e_1", "e_2"]], plates[1].loc[1, ["e_0", "e_1", "e_2"]])


@pytest.mark.parametrize("operation", ["median", "mean", "modz"])
def test_a_gap_is_left_out_of_its_feature_alone(operation):
    rng = np.random.default_rng(2)
    frame = pd.concat([plate(f"P{number}", rng=rng) for number in range(4)], ignore_index=True)
    whole = consensus(frame, operation=operation, group_by=[]).set_index("Metadata_Perturbation")
    frame.loc[2, "e_1"], frame.loc[:, "e_2"] = np.nan, np.nan
    found = consensus(frame, operation=operation, group_by=[]).set_index("Metadata_Perturbation")
    others = frame.loc[(frame["Metadata_Perturbation"] == "x@1") & frame["e_1"].notna(), "e_1"].astype(float)
    assert len(others) == 7
    expected = {"median": others.median(), "mean": others.mean()}
    if operation in expected:
        assert found.loc["x@1", "e_1"] == pytest.approx(expected[operation], rel=1e-6)
        assert found.loc["x@1", "e_0"] == whole.loc["x@1", "e_0"]
    assert np.isfinite(found[["e_0", "e_1"]].to_numpy()).all() and found["e_2"].isna().all()


@pytest.mark.parametrize("operation", ["median", "mean", "modz"])
def test_mechanisms_are_combined_as_pycytominer_does(operation):
    from pycytominer import consensus as foreign

    frame = screen()
    frame["Metadata_moa"] = frame["Metadata_Compound"].map({"x": "m", "y": "n"})
    names, key = tables.features(frame), ["Metadata_moa", "Metadata_Cell_Line"]
    chosen = frame[frame["Metadata_moa"].notna()]
    expected = foreign(chosen, replicate_columns=key, features=names, operation=operation).set_index(key).sort_index()
    ours = consensus(frame, operation=operation, of="Metadata_moa").rename(columns={"Metadata_moa": "moa"})
    ours = ours.rename(columns={"Metadata_Perturbation": "Metadata_moa"}).set_index(key).sort_index()
    assert ours.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(ours[names], expected[names].astype(float), rtol=1e-5, atol=1e-6)


def test_plates_of_other_features_are_named_or_joined_by_what_they_share(caplog):
    rng = np.random.default_rng(0)
    first, second = plate("P1", rng=rng), plate("P2", rng=rng).rename(columns={"e_2": "other"})
    second = second[[*reversed(second.columns)]]  # order never matters
    given = {"names": ["P1", "P2"], "verdicts": [Verdict(), Verdict()]}
    with pytest.raises(ValueError, match=r"\{'P1': \['other'\], 'P2': \['e_2'\]\} \(profile.features: intersection"):
        join_plates([first, second], **given)
    joined, verdict = join_plates([first, second], features="intersection", **given)
    assert tables.features(joined) == ["e_0", "e_1"]
    expected = np.concatenate([first[["e_0", "e_1"]], second[["e_0", "e_1"]]])
    np.testing.assert_array_equal(joined[["e_0", "e_1"]], expected)
    assert verdict.keep and verdict.notes[0].values["names"] == "other, e_2"
    assert caplog.messages == ["2 features left out, which 2 plates lack: other, e_2; 2 kept"]
    shuffled, _ = join_plates([first, first[[*reversed(first.columns)]].assign(Metadata_Plate="P3")], **given)
    np.testing.assert_array_equal(shuffled.loc[6:, ["e_0", "e_1", "e_2"]], first[["e_0", "e_1", "e_2"]])


def test_a_log_line_counts_the_values_that_are_left_out(caplog):
    frame = screen()
    place = frame.index[frame["Metadata_Perturbation"] == "x@1"][0]
    frame.loc[place, "e_1"] = np.inf
    with caplog.at_level("INFO"):
        result = consensus(frame, group_by=[])
    assert [record.getMessage()[:2] for record in caplog.records if "not finite" in record.getMessage()] == ["1 "]
    own = frame[(frame["Metadata_Perturbation"] == "x@1") & np.isfinite(frame["e_1"])]
    found = result.set_index("Metadata_Perturbation").loc["x@1", "e_1"]
    assert found == pytest.approx(float(own["e_1"].median()))


def test_the_unit_of_doses_is_kept_and_otherwise_no_column():
    frame = screen()
    assert "Metadata_Concentration_Unit" not in consensus(frame)
    named = consensus(frame.assign(Metadata_Concentration_Unit="uM"))
    assert set(named["Metadata_Concentration_Unit"]) == {"uM"}
