import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellspring.screen import well_names


@pytest.mark.parametrize("given", ["a1", "A1", "A01", "A001", "A-1", " a_01 ", "A 1", "A - 01", "a -1"])
def test_one_well_has_one_name(given):
    assert well_names.normalise(given) == "A01"


@pytest.mark.parametrize(("given", "name"), [("AF48", "AF48"), ("aa1", "AA01"), ("P24", "P24"), ("z9", "Z09")])
def test_rows_of_1536_well_plates(given, name):
    assert well_names.normalise(given) == name


@pytest.mark.parametrize("value", ["", "A", "1", "A0", "A49", "AG01", "ZZ1", "1A", "A01B", "nan"])
def test_what_is_no_well_is_named(value):
    with pytest.raises(ValueError, match=f"well {value!r}" if value else "well ''"):
        well_names.normalise(value)


@given(st.integers(0, well_names.ROWS - 1), st.integers(0, well_names.COLUMNS - 1))
def test_position_inverts_name(row, column):
    name = well_names.name(row, column)
    assert well_names.position(name) == (row, column)
    assert well_names.normalise(name) == name
    assert well_names.join(str(row + 1), str(column + 1)) == name
