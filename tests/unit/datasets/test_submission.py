"""The challenge's file: every ID once, in order, finite; what is lacking is named, and filled only when asked for."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellspring.datasets import submission
from wellspring.io import tables

WELLS = ("A01", "A02", "B01", "B02")
PLATES = ("BR1", "BR2")


def profiles(features=3, **changes):
    """Return profiles of eight wells; A02 and B02 are controls; a change sets the features of `<plate>_<well>`."""
    rng = np.random.default_rng(1)
    keys = [(plate, well) for plate in PLATES for well in WELLS]
    frame = pd.DataFrame(keys, columns=["Metadata_Plate", "Metadata_Well"])
    frame["Metadata_pert_type"] = ["negcon" if well.endswith("2") else "trt" for _, well in keys]
    values = rng.normal(size=(len(keys), features)).astype(np.float32)
    for key, value in changes.items():
        values[["_".join(pair) for pair in keys].index(key)] = value
    return frame.join(pd.DataFrame(values, columns=[f"sslprofiler_{number}" for number in range(features)]))


def ids(folder, text):
    path = folder / "metadata_test.csv"
    path.write_text(text)
    return path


@given(st.permutations([(plate, well) for plate in PLATES for well in WELLS]), st.integers(1, 8))
def test_rows_are_the_wells_asked_for_in_their_order(order, count):
    frame = profiles()
    asked = pd.DataFrame(order[:count], columns=["plate", "well"])
    asked.insert(0, "ID", [f"id-{number}" for number in range(count)])
    table = submission.submission(frame, asked)
    assert table.columns.tolist() == ["ID", "feature_1", "feature_2", "feature_3"]
    assert table["ID"].tolist() == asked["ID"].tolist()
    stored = frame.set_index(["Metadata_Plate", "Metadata_Well"])[tables.features(frame)]
    expected = [stored.loc[key].tolist() for key in order[:count]]
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy(), expected)


def test_the_file_reads_back_as_the_same_float32(tmp_path):
    frame = profiles(BR1_A01=[1 / 3, 1e-30, -3e30])
    asked = submission.asked(ids(tmp_path, "ID\nBR1_A01\nBR2_a1\n"))
    submission.write(submission.submission(frame, asked), tmp_path / "out" / "submission.csv")
    back = pd.read_csv(tmp_path / "out" / "submission.csv")
    assert back["ID"].tolist() == ["BR1_A01", "BR2_a1"]
    stored = frame.set_index(["Metadata_Plate", "Metadata_Well"])[tables.features(frame)]
    for (_, row), well in zip(back.iterrows(), (("BR1", "A01"), ("BR2", "A01")), strict=True):
        np.testing.assert_array_equal(row.iloc[1:].to_numpy(np.float32), stored.loc[well].to_numpy(np.float32))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("ID,Metadata_Plate,Metadata_Well\n7,BR2,A01\n9,BR1,b1\n", {}),
        ("well,ID,plate\nA1,7,BR2\nB01,9,BR1\n", {}),
        ("ID,barcode,place\n7,BR2,A01\n9,BR1,B01\n", {"plate": "barcode", "well": "place"}),
    ],
)
def test_plates_and_wells_of_the_ids(tmp_path, text, options):
    found = submission.asked(ids(tmp_path, text), **options)
    assert found.to_numpy().tolist() == [["7", "BR2", "A01"], ["9", "BR1", "B01"]]


@pytest.mark.parametrize(
    ("form", "text"),
    [("{plate}_{well}", "BR_1_A01"), ("{well}@{plate}", "A01@BR_1"), ("p.{plate}.{well}", "p.BR_1.A01")],
)
def test_ids_by_a_format(tmp_path, form, text):
    found = submission.asked(ids(tmp_path, f"ID\n{text}\n"), form=form)
    assert found.loc[0, ["plate", "well"]].tolist() == ["BR_1", "A01"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("Id\nBR1_A01\n", {}, r"metadata_test.csv: expected the columns \['ID'\], found \['Id'\]"),
        (
            "ID\nBR1_A01\nBR1-A02\n",
            {},
            r"metadata_test.csv: line 3: expected an ID \{plate\}_\{well\}, found 'BR1-A02'",
        ),
        ("ID\nBR1_A01\nBR1_A01\n", {}, "metadata_test.csv: line 3: expected each ID once, found BR1_A01 again"),
        ("ID\nBR1_A01\nBR1_A1\n", {}, "metadata_test.csv: line 3: expected each plate and well once, found BR1 A01"),
        ("ID,plate\n1,BR1\n", {}, "metadata_test.csv: expected columns of plates and of wells or of neither"),
        ("ID,plate,well\n1,BR1,\n", {}, "metadata_test.csv: line 2: expected a value in column well, found none"),
        ("ID,plate,well\n,BR1,A01\n", {}, "metadata_test.csv: line 2: expected a value in column ID, found none"),
        ("ID\nA01\n", {"form": "{well}"}, r"--id-format: expected \{plate\} and \{well\} once each, found '\{well\}'"),
        ("ID\n1\n", {"plate": "barcode", "well": "w"}, r"expected the columns \['barcode', 'w'\], found"),
    ],
)
def test_ids_that_can_not_be_read_are_named(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message):
        submission.asked(ids(tmp_path, text), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_well_without_a_finite_profile_is_an_error_that_names_it(tmp_path, value):
    frame = profiles(BR1_A01=[0, value, 0])
    asked = submission.asked(ids(tmp_path, "ID\nBR1_A01\nBR2_A01\nBR2_C07\n"))
    with pytest.raises(ValueError, match=r"2 wells: BR1 A01, BR2 C07: 1 are not in .* and 1 have values that are not"):
        submission.submission(frame, asked)


def test_filling_takes_the_mean_of_the_plate_and_says_so(tmp_path, caplog):
    frame = profiles(BR1_A01=np.nan, BR1_A02=[1, 2, 3], BR1_B02=[3, 4, 5])
    asked = submission.asked(ids(tmp_path, "ID\nBR2_A01\nBR1_A01\n"))
    with caplog.at_level(logging.WARNING):
        table = submission.submission(frame, asked, fill="control-mean")
    assert table.iloc[1, 1:].tolist() == [2, 3, 4]
    untouched = frame.loc[frame["Metadata_Plate"] == "BR2"].iloc[0, 3:].tolist()
    np.testing.assert_array_equal(table.iloc[0, 1:].to_numpy(float), untouched)
    assert "FILLED" in caplog.text
    assert "1 well: BR1 A01" in caplog.text
    bare = profiles(BR1_A01=np.nan, BR1_A02=np.nan, BR1_B02=np.inf)
    with pytest.raises(
        ValueError, match="negative controls with a profile on each plate, found none for 1 well: BR1 A01"
    ):
        submission.submission(bare, asked, fill="control-mean")


def test_profiles_that_name_a_well_twice_or_have_no_features_are_refused(tmp_path):
    asked = submission.asked(ids(tmp_path, "ID\nBR1_A01\n"))
    with pytest.raises(ValueError, match="expected each well once, found 8 wells: BR1 A01, "):
        submission.submission(pd.concat([profiles(), profiles()]), asked)
    with pytest.raises(ValueError, match="expected feature columns, found none"):
        submission.submission(profiles().iloc[:, :3], asked)


def test_the_command(tmp_path):
    tables.write(
        profiles().assign(**dict.fromkeys(_profile_columns(), None)).assign(**_profile_columns()),
        tmp_path / "align.parquet",
        table="profile",
        provenance={},
    )
    wanted = ids(tmp_path, "ID\n" + "".join(f"{plate}_{well}\n" for plate in PLATES for well in reversed(WELLS)))
    out = tmp_path / "submission.csv"
    submission.main(["--profiles", str(tmp_path / "align.parquet"), "--ids", str(wanted), "--out", str(out)])
    table = pd.read_csv(out)
    assert table.shape == (8, 4)
    assert np.isfinite(table.iloc[:, 1:]).all(axis=None)


def _profile_columns():
    """Return a value for each column that the table `profile` asks for besides the key and the type."""
    kinds = {"string": "x", "int32": 1, "int64": 1, "float64": 1.0, "float32": 1.0, "bool": True}
    columns = tables.schema("profile")["columns"]
    present = ("Metadata_Plate", "Metadata_Well", "Metadata_pert_type")
    return {name: kinds[column["type"]] for name, column in columns.items() if name not in present}
