import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellspring import wells


@pytest.mark.parametrize("given", ["a1", "A1", "A01", "A001", "A-1", " a_01 ", "A 1"])
def test_one_well_has_one_name(given):
    assert wells.normalise(given) == "A01"


@pytest.mark.parametrize(("given", "name"), [("AF48", "AF48"), ("aa1", "AA01"), ("P24", "P24"), ("z9", "Z09")])
def test_rows_of_1536_well_plates(given, name):
    assert wells.normalise(given) == name


@pytest.mark.parametrize("value", ["", "A", "1", "A0", "A49", "AG01", "ZZ1", "1A", "A01B", "nan"])
def test_what_is_no_well_is_named(value):
    with pytest.raises(ValueError, match=f"well {value!r}" if value else "well ''"):
        wells.normalise(value)


@given(st.integers(0, wells.ROWS - 1), st.integers(0, wells.COLUMNS - 1))
def test_position_inverts_name(row, column):
    name = wells.name(row, column)
    assert wells.position(name) == (row, column)
    assert wells.normalise(name) == name
    assert wells.join(str(row + 1), str(column + 1)) == name
