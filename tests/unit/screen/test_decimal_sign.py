"""`1.000` is one or a thousand by the other numbers of the file, else it is refused with line and remedy."""

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.screen import platemap


def read(tmp_path, cells, *, between=";", head="conc_uM", more=("passage", ("1", "2", "3"))):
    """Read the concentrations of a platemap of three wells and a control."""
    extra = dict(zip((0, 1, 2), more[1], strict=True))
    rows = [f"well;compound;{head};{more[0]}", "A01;DMSO;;"]
    rows += [f"B0{place + 1};c{place};{cell};{extra[place]}" for place, cell in enumerate(cells)]
    path = tmp_path / "map.csv"
    path.write_text("\n".join(rows).replace(";", between) + "\n")
    return platemap.read(path, plate="P1").set_index("Metadata_Well")["Metadata_Concentration"].dropna().tolist()


def batch(*cells):
    return ("passage", cells)


@pytest.mark.parametrize("between", [";", "\t"])
@pytest.mark.parametrize(
    ("cells", "more"),
    [
        (("1.000", "3.000", "10.000"), batch("1", "2", "3")),
        (("1.000", "30", "100"), batch("1", "2", "3")),
        (("1.000 nM", "3.500 nM", "10 nM"), batch("a", "b", "c")),
        (("1.000", "3", "10"), batch("0,5", "0,7", "1")),  # other numbers of the file have decimal commas
        (("1.000", "2.5", "10"), batch("0,5", "0,7", "1")),  # and contradict each other
        (("1.000", "2.5", "1.000.000"), batch("1", "2", "3")),
        (("12.500", "999.999", "1"), batch("1", "2", "3")),
    ],
)
def test_a_point_that_may_separate_thousands_is_refused_with_its_line(tmp_path, between, cells, more):
    head = "conc" if "nM" in cells[0] else "conc_uM"
    words = r"map\.csv: line 3: expected a number .* in column 'conc.*', found '.*may be .* or 1.*write the numbers"
    with pytest.raises(ValueError, match=words):
        read(tmp_path, cells, between=between, more=more, head=head)


@pytest.mark.parametrize(
    ("between", "cells", "more", "values"),
    [
        (";", ("1.000", "0.500", "10.000"), batch("1", "2", "3"), [1, 0.5, 10]),
        ("\t", ("1.000", "2.5", "10.000"), batch("1", "2", "3"), [1, 2.5, 10]),
        (";", ("1.000", "3.000", "10.000"), batch("0.98", "1", "2"), [1, 3, 10]),  # another column has decimals
        (",", ("1.000", "3.000", "10.000"), batch("1", "2", "3"), [1, 3, 10]),  # a comma separates no decimals here
        (";", ("1.0", "3.00", "10.0000"), batch("1", "2", "3"), [1, 3, 10]),
        (";", ("1000", "3000", "10000"), batch("1", "2", "3"), [1000, 3000, 10000]),
        (";", ("1.000e3", "2.500e3", "1e4"), batch("1", "2", "3"), [1000, 2500, 10000]),
    ],
)
def test_other_numbers_of_the_file_decide(tmp_path, between, cells, more, values):
    assert read(tmp_path, cells, between=between, more=more) == values


@pytest.mark.parametrize(("cell", "fine"), [(1.234, True), ("1.000", False), (1.0, True)])
def test_numbers_of_a_workbook_have_one_meaning_and_its_texts_may_have_two(tmp_path, cell, fine):
    book = openpyxl.Workbook()
    for row in [("well", "compound", "conc_uM"), ("A01", "DMSO", None), ("B01", "x", cell), ("B02", "y", 5)]:
        book.active.append(row)
    book.save(tmp_path / "map.xlsx")
    if fine:
        found = platemap.read(tmp_path / "map.xlsx", plate="P1")["Metadata_Concentration"].dropna().tolist()
        assert found == [float(cell), 5]
    else:
        with pytest.raises(ValueError, match=r"line 3: expected a number .*'1\.000'"):
            platemap.read(tmp_path / "map.xlsx", plate="P1")


def test_a_cell_of_a_grid_is_named_by_its_well(tmp_path):
    (tmp_path / "map.csv").write_text("compound;1;2\nA;DMSO;x\nB;y;z\n\nconcentration (nM);1;2\nA;;1.000\nB;30;100\n")
    with pytest.raises(ValueError, match=r"well A02: expected a number .*'1\.000'"):
        platemap.read(tmp_path / "map.csv", plate="P1")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    values=st.lists(st.integers(1, 999_999).map(lambda n: n / 1000), min_size=3, max_size=3),
    thousands=st.booleans(),
    between=st.sampled_from([";", "\t", ","]),
)
def test_a_random_column_is_what_was_meant_or_refused(tmp_path_factory, values, thousands, between):
    """Numbers with three decimals, or whole numbers with points between thousands as spreadsheets write them."""
    if thousands and between == ",":
        return
    meant = [float(round(value * 1000)) if thousands else value for value in values]
    cells = [f"{int(value):,}".replace(",", ".") if thousands else f"{value:.3f}" for value in meant]
    try:
        found = read(tmp_path_factory.mktemp("random"), cells, between=between)
    except ValueError as error:
        assert "expected a number with one meaning" in str(error)
        return
    assert found == meant


@pytest.mark.parametrize("name", ["2,4-D", "1,3-butadiene", "5,5'-diol"])
def test_commas_of_chemical_names_are_no_decimal_commas(tmp_path, name):
    assert read(tmp_path, ("1.000", "0.5", "10"), more=("alias", (name, "y", "z"))) == [1, 0.5, 10]


@pytest.mark.parametrize("name", ["2.4-D", "3.5-xylenol", "1.1'-diol"])
def test_points_of_chemical_names_are_no_decimal_points(tmp_path, name):
    with pytest.raises(ValueError, match=r"line 3: expected a number with one meaning .*'1\.000'"):
        read(tmp_path, ("1.000", "30", "100"), more=("alias", (name, "y", "z")))


@pytest.mark.parametrize(
    "cells",
    [
        ("12.03", "13.03", "14.04"), ("1.12.", "2.12.", "31.12."), ("03.2024", "04.2024", "12.2024"),
        ("2024.03", "2024.04", "2024.11"), ("10.30", "10.45", "23.59"), ("1.2", "1.3", "2.1"), ("12.03", "", "7"),
        ("12.03 (Mo)", "13.03 (Di)", "14.03 (Mi)"),
    ],
)  # fmt: skip
def test_a_column_of_dates_or_times_is_no_evidence_for_decimal_points(tmp_path, cells):
    with pytest.raises(ValueError, match=r"line 3: expected a number with one meaning .*'1\.000'"):
        read(tmp_path, ("1.000", "30", "100"), more=("when", cells))
    assert read(tmp_path, ("1.000", "0.5", "100"), more=("when", cells)) == [1, 0.5, 100]  # its own column decides


@pytest.mark.parametrize("cells", [("0.98", "1.12", "1.05"), ("12.03", "13.03", "14.75"), ("0.125", "", "")])
def test_a_column_with_a_number_that_is_no_date_and_time_is_evidence(tmp_path, cells):
    assert read(tmp_path, ("1.000", "30", "100"), more=("ratio", cells)) == [1, 30, 100]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(moments=st.lists(st.datetimes(), min_size=3, max_size=3), form=st.sampled_from(["%d.%m", "%m.%Y", "%H.%M"]))
def test_drawn_dates_and_times_never_make_a_thousand_a_one(tmp_path_factory, moments, form):
    cells = [moment.replace(year=2024, day=min(28, moment.day)).strftime(form) for moment in moments]
    with pytest.raises(ValueError, match="expected a number with one meaning"):
        read(tmp_path_factory.mktemp("random"), ("1.000", "30", "100"), more=("when", cells))
