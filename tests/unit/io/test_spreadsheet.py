"""Tables for people: no text is a formula, numbers stay numbers, and to escape twice changes nothing more."""

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellspring.io.spreadsheet import as_text


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "  =1", "\t=1", "=", "-a"])
def test_a_formula_is_shown_as_text(text):
    frame = pd.DataFrame({"batch": [text, "B1"], "n": [1, -2]})
    assert as_text(frame)["batch"].tolist() == ["'" + text, "B1"]
    assert as_text(frame)["n"].tolist() == [1, -2]
    pd.testing.assert_frame_equal(as_text(as_text(frame)), as_text(frame))


@pytest.mark.parametrize("text", ["-1.5", "+3", "-.5e-3", "", "a=b", "(-)-nicotine", None])
def test_numbers_and_other_text_stay(text):
    assert as_text(pd.DataFrame({"x": [text]}))["x"].tolist() == [text]


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_no_cell_begins_like_a_formula(cells):
    for shown in as_text(pd.DataFrame({"x": cells}))["x"]:
        assert not re.match(r"\s*[=@]", shown)
