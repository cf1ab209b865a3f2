"""Tests of the public face: it is light, documented, and takes tables of other software."""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import wellspring as ws
from wellspring.io import tables


def test_the_import_loads_neither_torch_nor_pandas():
    code = "import sys, wellspring; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ws.__all__)
def test_every_name_has_an_example_and_is_not_hidden_by_a_package(name):
    thing = getattr(ws, name)
    assert callable(thing)
    assert "Examples" in thing.__doc__
    assert ">>>" in thing.__doc__


def test_a_missing_column_is_named():
    frame = pd.DataFrame({"Metadata_Plate": ["p"], "Metadata_Well": ["A01"], "x": [1.0]})
    with pytest.raises(ValueError, match="no column Metadata_pert_type"):
        ws.normalise(frame)


def test_text_among_the_features_is_refused():
    frame = pd.DataFrame({"Metadata_Plate": ["p"], "Metadata_Well": ["A01"], "x": ["a"]})
    with pytest.raises(ValueError, match="must be numeric"):
        ws.normalise(frame, controls="all")


def test_plates_are_normalised_one_by_one_and_the_table_given_is_not_changed():
    frame = pd.DataFrame(
        {
            "Metadata_Plate": np.repeat(["p", "q"], 6),
            "Metadata_Well": [f"A{number:02d}" for number in range(1, 7)] * 2,
            "x": [*range(6), *range(100, 106)],
        }
    )
    before = frame.copy()
    found = ws.normalise(frame, method="standardize", controls="all")
    np.testing.assert_allclose(found["x"][:6], found["x"][6:], atol=1e-6)
    pd.testing.assert_frame_equal(frame, before)


def wells(rng, count=7):
    """Return a table of profiles whose texts a reader of numbers would change, and gaps in every kind of column."""
    names = ["007", "NA", "#3 (new)", "null", "-2", "1e5", "a, b; c", "=1+1", "None", "5.0", "TRUE", "µM"]
    frame = pd.DataFrame(
        {
            "Metadata_Plate": "0012",
            "Metadata_Well": [f"A{number:02d}" for number in range(1, count + 1)],
            "Metadata_Compound": [*rng.choice(names, count - 1), None],
            "Metadata_barcode": [str(number) for number in rng.integers(10**17, 10**18, count)],
            "Metadata_Concentration": [*rng.uniform(0, 9, count - 1).round(3), np.nan],
            "Metadata_View_Count": rng.integers(0, 99, count),
        }
    )
    values = rng.normal(size=(count, 3)) * [1, 1e-7, 1e9]
    values[rng.integers(count), 1] = np.nan
    return frame.assign(**{f"x_{number}": values[:, number] for number in range(3)})


@pytest.mark.parametrize("seed", range(8))
def test_text_in_csv_is_text_and_numbers_are_numbers_in_every_form_of_csv(tmp_path, seed):
    rng = np.random.default_rng(seed)
    frame, path = wells(rng), tmp_path / rng.choice(["a.csv", "a.tsv", "a.csv.gz", "a"])
    separator, encoding = rng.choice([",", ";", "\t"]), rng.choice(["utf-8", "utf-8-sig", "utf-16"])
    text = frame.to_csv(sep=str(separator), index=False, na_rep=str(rng.choice(["", "NA", "nan"])) if seed % 2 else "")
    if seed % 2:  # a missing compound is an empty cell, since any word is a name
        text = text.replace(
            f"{frame['Metadata_Well'].iloc[-1]}{separator}NA", f"{frame['Metadata_Well'].iloc[-1]}{separator}"
        )
        text = text.replace(
            f"{frame['Metadata_Well'].iloc[-1]}{separator}nan", f"{frame['Metadata_Well'].iloc[-1]}{separator}"
        )
    data = text.encode(str(encoding))
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    pd.testing.assert_frame_equal(ws.read_profiles(path), frame, check_dtype=False, rtol=1e-15)


def test_a_table_of_the_workflow_reads_alike_as_parquet_and_as_csv(tmp_path):
    frame = wells(np.random.default_rng(1)).rename(columns={"Metadata_barcode": "Metadata_Batch"})
    empty = ["Cell_Line", "Optics", "Perturbation", "pert_type", "moa", "target"]
    frame = frame.assign(**{f"Metadata_{name}": None for name in empty}, Metadata_Role="fit", Metadata_Verdict="keep")
    frame = frame.assign(Metadata_Reason="one; two", Metadata_Site_Count=1, Metadata_Count_Cells=np.nan)
    tables.write(frame, tmp_path / "a.parquet", table="profile", provenance={})
    stored = ws.read_profiles(tmp_path / "a.parquet")
    stored.to_csv(tmp_path / "a.csv", index=False)
    found = ws.read_profiles(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(found, stored, check_dtype=False, rtol=1e-6)
    (tmp_path / "a.parquet").rename(tmp_path / "renamed.csv")
    pd.testing.assert_frame_equal(ws.read_profiles(tmp_path / "renamed.csv"), stored)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Metadata_Plate,Metadata_Concentration,x\np,high,1\n",
            r"a.csv: expected numbers in .*Concentration', found \['hi",
        ),
        ("Metadata_Plate,x,x\np,1,2\n", r"a.csv: expected unique column names, found duplicates of \['x'\]"),
        (b"Metadata_Plate,x\n\xb5,1\n", "a.csv: expected a table of text in UTF-8 or UTF-16, found byte 0xb5"),
        ("", "a.csv: expected a header in the first line, found none"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_the_reason(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        ws.read_profiles(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="lost.csv: expected a table, found: No such file"):
        ws.read_profiles(tmp_path / "lost.csv")


def test_vectors_of_other_tools_become_features(tmp_path):
    frame = pd.DataFrame({"Metadata_Plate": ["p", "p"], "Metadata_Well": ["A01", "A02"], "v": [[1.0, 2.0], [3.0, 4.5]]})
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    assert ws.read_profiles(tmp_path / "a.parquet")[["v_0", "v_1"]].to_numpy().tolist() == [[1.0, 2.0], [3.0, 4.5]]
