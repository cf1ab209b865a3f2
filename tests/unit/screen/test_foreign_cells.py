"""Cells that programs and people leave behind: merged cells, failed formulas, two decimal signs, absurd numbers."""

import numpy as np
import openpyxl
import pytest

from wellspring.evaluate import curve
from wellspring.screen import dose_units, platemap


def _book(path, rows, merged=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for area in merged:
        book.active.merge_cells(area)
    book.save(path)
    return path


def test_a_merged_compound_is_that_of_all_its_wells(tmp_path):
    rows = [["well", "compound", "conc_uM"], ["A1", "x", 1], ["A2", None, 2], ["A3", None, 4], ["A4", "DMSO", None]]
    frame = platemap.read(_book(tmp_path / "map.xlsx", rows, ["B2:B4"]), plate="P")
    assert frame["Metadata_Perturbation"].tolist() == ["x@1", "x@2", "x@4", "DMSO"]


def test_merged_replicates_of_a_grid_below_a_merged_title(tmp_path):
    rows = [["Layout", None, None, None], [None, 1, 2, 3], ["A", "DMSO", "x", None], ["B", "DMSO", "y", None]]
    frame = platemap.read(_book(tmp_path / "map.xlsx", rows, ["A1:D1", "C3:D3", "C4:D4"]), plate="P")
    assert frame["Metadata_Compound"].tolist() == ["DMSO", "x", "x", "DMSO", "y", "y"]


def test_a_formula_without_a_value_is_refused(tmp_path):
    path = _book(tmp_path / "map.xlsx", [["well", "compound", "conc_uM"], ["A1", "x", "=1*2"], ["A2", "DMSO", 0]])
    with pytest.raises(ValueError, match=r"map\.xlsx: expected .* found none for cell C2 .*save it"):
        platemap.read(path, plate="P")


@pytest.mark.parametrize("row", ["A2,#N/A,1", "#REF!,x,1"])
def test_the_error_of_a_formula_is_no_compound_and_no_comment(tmp_path, row):
    path = tmp_path / "map.csv"
    path.write_text(f"well,compound,conc_uM\nA1,DMSO,0\n{row}\n")
    with pytest.raises(ValueError, match=r"map\.csv: line 3: .*#.*correct or empty the cell"):
        platemap.read(path, plate="P")


@pytest.mark.parametrize(
    ("cells", "found"),
    [(("0,5", "1.000"), "may be 1000"), (("1e400", "1"), "beyond"), (("1e9999999 nM", "1 uM"), "beyond")],
)
def test_doubtful_concentrations_are_refused(tmp_path, cells, found):
    path = tmp_path / "map.csv"
    path.write_text(f"well;compound;dose\nA1;x;{cells[0]}\nA2;x;{cells[1]}\nA3;DMSO;\n")
    with pytest.raises(ValueError, match=rf"map\.csv: .*{found}"):
        platemap.read(path, plate="P")


def test_a_row_without_a_well_is_named_by_its_line(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound\nA1,x\nA2,DMSO\nmade by hand,\n")
    with pytest.raises(ValueError, match=r"map\.csv: line 4: well 'made by hand'.*remove it"):
        platemap.read(path, plate="P")


def test_a_header_of_superscripts_is_no_grid(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,²,compound\nA1,1,DMSO\n")
    assert platemap.read(path, plate="P")["Metadata_Compound"].tolist() == ["DMSO"]


def test_a_word_that_ends_like_a_unit_has_none():
    assert dose_units.of_name("serum") == ("serum", None)
    assert dose_units.of_name("final conc. (μM)") == ("finalconc", "µM")
    assert dose_units.of_name("DoseUM") == ("dose", "µM")


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
def test_constant_responses_have_no_curve(value):
    found = curve.fit(np.repeat([0, 0.1, 0.3, 1, 3, 10], 4), np.full(24, value))
    assert found.note is not None
    assert found.note.code == "curve_no_effect"
