"""Tests of the public face: it is light, documented, and takes tables of other software."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import wellspring as ws


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
