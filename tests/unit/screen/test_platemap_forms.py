"""Platemaps as people keep them: each form of one plate is read as the same wells, and what is unclear is refused."""

import itertools

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.screen import platemap

COMPOUNDS = ("staurosporine", "taxol", "etoposide", "nocodazole", "rapamycin")
DOSES = (0.1, 0.5, 2.5, 12.5)


def expected(scale: int = 1) -> pd.DataFrame:
    """The plate that the README of the examples describes, in µM; with `scale` 2 each well is four."""
    rows = []
    for row, column in itertools.product(range(8 * scale), range(1, 12 * scale + 1)):
        small_row, small_column = row // scale, (column - 1) // scale + 1
        well = f"{chr(ord('A') + row)}{column:02d}"
        if small_column in (1, 12):
            empty = small_column == 12 and small_row >= 6
            rows.append((well, None if empty else "DMSO", np.nan, "empty" if empty else "negcon"))
        else:
            rows.append((well, COMPOUNDS[(small_column - 2) // 2], DOSES[small_row % 4], "trt"))
    return pd.DataFrame(rows, columns=["well", "compound", "dose", "type"]).sort_values("well", ignore_index=True)


@pytest.mark.parametrize(
    ("name", "unit", "factor", "form"),
    [
        ("table.csv", None, 1, "table"),
        ("table.tsv", "µM", 1, "table"),
        ("semicolons.csv", "µM", 1, "table"),
        ("rows_and_columns.csv", "nM", 1000, "table"),
        ("grids.csv", "µM", 1, "3 grids of 8 x 12"),
        ("grids_384.xlsx", "µM", 1, "2 grids of 16 x 24"),
    ],
)
def test_each_shipped_example_is_read_as_the_same_plate(root, name, unit, factor, form):
    path = root / "resources" / "examples" / name
    found = platemap.reading(path, plate="P1")
    wells = expected(2 if "384" in name else 1)
    frame = found.frame
    assert (found.form, found.unit) == (form, unit)
    assert frame["Metadata_Well"].tolist() == wells["well"].tolist()
    assert frame["Metadata_Compound"].tolist() == wells["compound"].tolist()
    assert frame["Metadata_pert_type"].tolist() == wells["type"].tolist()
    np.testing.assert_array_equal(frame["Metadata_Concentration"], [round(dose * factor, 6) for dose in wells["dose"]])
    in_um = platemap.read(path, plate="P1", unit="uM")
    np.testing.assert_array_equal(in_um["Metadata_Concentration"], wells["dose"])
    assert set(in_um["Metadata_Concentration_Unit"]) == {"µM"}


def test_the_published_layout_of_bbbc013_needs_no_key(shared_data):
    found = platemap.reading(shared_data / "bbbc013" / "plate_layout.csv", plate="BBBC013")
    frame = found.frame
    assert frame["Metadata_pert_type"].value_counts().to_dict() == {"trt": 36, "negcon": 8, "poscon": 4}
    treated = frame[frame["Metadata_pert_type"] == "trt"]
    assert treated["Metadata_Perturbation"].nunique() == 9
    assert found.unit == "nM" and {"GFP", "DNA", "replicate"} <= set(found.kept)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("dose", None), ("conc", None), ("Dose_uM", "µM"), ("conc_nM", "nM"), ("concentration (nM)", "nM"),
        ("Concentration [µM]", "µM"), ("dose.mM", "mM"), ("final conc (ug/mL)", "µg/mL"), ("Metadata_dose", None),
        ("mmoles_per_liter", "mM"), ("uM", "µM"), ("Conc. in nM", "nM"), ("pert_dose", None), ("concuM", "µM"),
        ("Concentration (M)", "M"),
    ],
)  # fmt: skip
def test_usual_names_of_doses_are_known_with_their_unit(tmp_path, name, unit):
    path = tmp_path / "map.csv"
    path.write_text(f"well,compound,{name}\nA1,x,0.5\nA2,x,2\nA3,DMSO,\n")
    found = platemap.reading(path, plate="P")
    assert found.unit == unit
    assert found.frame["Metadata_Concentration"].tolist()[:2] == [0.5, 2.0]
    assert found.frame["Metadata_Perturbation"].tolist() == ["x@0.5", "x@2", "DMSO"]


@pytest.mark.parametrize("name", ["pert_type", "role", "type", "Well Type", "control", "sample_type", "treatment"])
@pytest.mark.parametrize("words", [("treatment", "negative_control"), ("Treated", "Vehicle"), ("trt", "negcon")])
def test_usual_names_and_words_of_types_are_known(tmp_path, name, words):
    path = tmp_path / "map.csv"
    path.write_text(f"well,compound,{name}\nA1,x,{words[0]}\nA2,y,{words[1]}\n")
    assert platemap.read(path, plate="P")["Metadata_pert_type"].tolist() == ["trt", "negcon"]


@pytest.mark.parametrize(
    "name", ["compound", "Compound Name", "treatment", "gene_symbol", "Metadata_compound_id", "DRUG", "siRNA"]
)
def test_usual_names_of_compounds_are_known(tmp_path, name):
    path = tmp_path / "map.csv"
    path.write_text(f"well,{name},pert_type\nA1,x,trt\nA2,y,trt\nA3,z,negcon\n")
    assert platemap.read(path, plate="P")["Metadata_Perturbation"].tolist() == ["x", "y", "z"]


@pytest.mark.parametrize("content", ["well,locus\nA1,x\nA2,y\n", "well,gene,sirna\nA1,x,1\nA2,y,2\n"])
def test_without_a_compound_no_plate_is_silently_empty(tmp_path, content):
    path = tmp_path / "map.csv"
    path.write_text(content)
    with pytest.raises(
        ValueError, match=r"map.csv: no well has a compound or a type: expected .*, found \['well'.*perhaps"
    ):
        platemap.read(path, plate="P")


@pytest.mark.parametrize("columns", [("row", "column"), ("Well Row", "Well Col"), ("plate_row", "plate_column")])
def test_row_and_column_in_two_columns(tmp_path, columns):
    path = tmp_path / "map.tsv"
    path.write_text("\t".join((*columns, "compound")) + "\nB\t3\tx\n2\t04\ty\nc\t12\tDMSO\n")
    assert platemap.read(path, plate="P")["Metadata_Well"].tolist() == ["B03", "B04", "C12"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "well,compound,conc_uM,dose_nM\nA1,x,1,999\n",
            r"one column of concentrations, found \['conc_uM', ",
        ),
        ("well,compound,dose\nA1,x,low\nA2,x,high\n", "numbers in the column of doses 'dose'.*'low', 'high'"),
        ("well,compound,conc\nA1,x,1\nA2,x,high\n", r"expected numbers as concentrations, found \['high'\]"),
        ('well,compound,conc\nA1,x,"1,000"\n', "'1,000' may be 1000 or 1.000"),
        ("well,compound,conc\nA1,x,-6\n", r"concentrations of 0 or more, found \[-6.0\].*logarithms"),
        ("well,compound,dose,unit\nA1,x,1,nM\nA2,x,2,\n", "a unit for all concentrations, found none in 1 rows"),
        ("well,compound,dose,unit\nA1,x,1,mol\n", r"a unit of .*'nM'.*, found \['mol'\]"),
        ("well,compound,dose_uM,unit\nA1,x,1,nM\n", r"expected µM as in the column's name, found the units \['nM'\]"),
        ("well,compound,dose,unit\nA1,x,1,nM\nA2,y,1,mg/mL\n", "cannot be converted"),
        (
            "well,compound\nA1,dmso\nA2,x\n",
            r"'dmso' in 1 wells is not the control 'DMSO'.*: \[DMSO, dmso\]",
        ),
        ("row,col,compound\nAAA,1,x\n", "expected a row of letters and a column number, found 'AAA' and '1'"),
        (",1,2,3\nA,x,y,z\nB,x,y,z\n,1,2,3\nA,1,2,3\nB,1,2,3\n", "line 1: expected the name of the variable"),
        ("compound,1,2,3\nA,x,y,z\ndose,1,2\nA,1,2\n", "expected grids of one size"),
    ],
)
def test_what_is_unclear_is_refused(tmp_path, content, message):
    path = tmp_path / "map.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        platemap.read(path, plate="P")


def test_units_in_cells_and_rows_are_converted_exactly(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound,dose\nA1,x,0.98 nM\nA2,x,10nM\nA3,x,1 µM\nA4,DMSO,0\n")
    assert platemap.read(path, plate="P")["Metadata_Concentration"].tolist() == [0.98, 10.0, 1000.0, 0.0]
    assert platemap.read(path, plate="P", unit="um")["Metadata_Concentration"].tolist() == [0.00098, 0.01, 1.0, 0.0]


def test_a_control_list_that_names_both_spellings_takes_both(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound\nA1,dmso\nA2,DMSO\nA3,x\n")
    assert platemap.read(path, plate="P", negcon=["DMSO", "dmso"])["Metadata_pert_type"].tolist() == [
        "negcon", "negcon", "trt",
    ]  # fmt: skip


def test_a_sheet_of_the_plate_and_sheets_of_notes(tmp_path):
    book = openpyxl.Workbook()
    for name, compound in (("P1", "x"), ("P2", "y")):
        sheet = book.create_sheet(name)
        for row in (("well", "compound"), ("A1", compound)):
            sheet.append(row)
    book.save(tmp_path / "two.xlsx")
    assert platemap.read(tmp_path / "two.xlsx", plate="P2")["Metadata_Compound"].tolist() == ["y"]
    with pytest.raises(ValueError, match=r"one sheet .*found \['P1', 'P2'\]"):
        platemap.read(tmp_path / "two.xlsx", plate="P3")
    del book["P2"]
    book.active.append(["notes of the experiment"])
    book.save(tmp_path / "one.xlsx")
    assert platemap.read(tmp_path / "one.xlsx", plate="P3")["Metadata_Compound"].tolist() == ["x"]


def test_rows_per_site_that_agree_are_one_well(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound,site,file,donor\nA1,x,1,a.tif,d\nA1,x,2,b.tif,d\nA2,y,1,c.tif,e\n")
    found = platemap.reading(path, plate="P")
    assert found.frame["Metadata_Compound"].tolist() == ["x", "y"]
    assert found.left_out == ("site", "file") and found.kept == ("donor",)
    path.write_text("well,compound,site\nA1,x,1\nA1,y,2\n")
    with pytest.raises(ValueError, match=r"a well once in .*, found twice \['A01'\]"):
        platemap.read(path, plate="P")


@pytest.mark.parametrize("wrong", ["0,1,2", "1,,3", "1,2,col3", "1,2,2"])
@pytest.mark.parametrize("first", [True, False])
def test_a_grid_below_a_damaged_header_is_not_left_out(tmp_path, wrong, first):
    names = ["compound", "dose"]
    heads = [wrong, "1,2,3"] if first else ["1,2,3", wrong]
    cells = ["A,x,y,z\nB,x,y,z", "A,1,2,3\nB,4,5,6"]
    path = tmp_path / "map.csv"
    path.write_text("\n\n".join(f"{name},{head}\n{body}" for name, head, body in zip(names, heads, cells, strict=True)))
    line = 2 if first else 6
    with pytest.raises(
        ValueError, match=rf"map.csv: line {line}: expected the row A of a grid .* a header with the numbers"
    ):
        platemap.read(path, plate="P")
    path.write_text(path.read_text().replace(wrong, "1,2,3") + "\nA note, made by hand\n")
    assert platemap.read(path, plate="P")["Metadata_Concentration"].tolist() == [1, 2, 3, 4, 5, 6]


SIZES = st.sampled_from([(8, 12), (16, 24), (4, 6), (3, 12)])
WORDS = st.sampled_from(["x", "y-1", "DMSO", "Taxol (2)", "a;b", "5-FU", "12"])


@settings(max_examples=15, deadline=None)
@given(st.data(), SIZES, st.sampled_from([",", "\t", ";"]), st.booleans(), st.sampled_from(["", "corner", "above"]))
def test_random_grids_are_the_cells_that_were_drawn(tmp_path_factory, data, size, separator, padded, title):
    height, width = size
    values = data.draw(st.lists(WORDS, min_size=5, max_size=11))
    cell = lambda row, column: values[(row * 7 + column * 3) % len(values)]  # noqa: E731
    quote = lambda text: f'"{text}"' if separator in text else text  # noqa: E731
    corner = "Compound" if title == "corner" else ""
    lines = ["Compound"] if title == "above" else []
    lines.append(separator.join([corner, *(f"{n:02d}" if padded else str(n) for n in range(1, width + 1))]))
    letters = [*map(chr, range(65, 91)), *(f"A{chr(n)}" for n in range(65, 71))]
    lines += [
        separator.join([letters[row], *(quote(cell(row, column)) for column in range(width))]) for row in range(height)
    ]
    path = tmp_path_factory.mktemp("grid") / "map.txt"
    path.write_text("\n".join(lines) + "\n")
    frame = platemap.read(path, plate="P").set_index("Metadata_Well")["Metadata_Compound"]
    wanted = {f"{letters[row]}{column + 1:02d}": cell(row, column) for row in range(height) for column in range(width)}
    assert frame.to_dict() == wanted


@pytest.mark.parametrize("names", [("Sheet1",), ("Sheet1", "Notes")])
@pytest.mark.parametrize("above", [[["Experiment of May"]], [["Experiment", "of May"], [], ["Reader 2"]]])
def test_a_title_above_the_names_of_the_columns_is_named_with_its_lines(tmp_path, names, above):
    book = openpyxl.Workbook()
    book.active.title = names[0]
    for cells in [*above, ["Well ID", "Drug", "Conc (µM)"], ["A1", "DMSO", None], ["A2", "taxol", 3]]:
        book.active.append(cells)
    for name in names[1:]:
        book.create_sheet(name).append(["2,000 cells per well"])
    path = tmp_path / "layout.xlsx"
    book.save(path)
    sheet = r" of the sheet 'Sheet1'" if len(names) > 1 else ""
    message = f"first row{sheet}, found a column of wells in line {len(above) + 1}: remove the lines above it"
    with pytest.raises(ValueError, match=message):
        platemap.reading(path, plate="P1")
    book.active.delete_rows(1, len(above))
    book.save(path)
    assert platemap.reading(path, plate="P1").frame["Metadata_Well"].tolist() == ["A01", "A02"]


def test_grids_of_several_plates_in_one_file_are_told_apart_by_their_names(tmp_path):
    grids = {"P001": ("x", "y"), "P002": ("z", "w")}
    text = "\n".join(f"{name},1,2\nA,{one},DMSO\nB,{other},DMSO\n" for name, (one, other) in grids.items())
    path = tmp_path / "map.csv"
    for tail, dose in (("", ""), ("\nconc_uM,1,2\nA,5,\nB,5,\n", "@5")):
        path.write_text(text + tail)
        for name, (one, other) in grids.items():
            found = platemap.read(path, plate=name)["Metadata_Perturbation"].tolist()
            assert found == [f"{one}{dose}", "DMSO", f"{other}{dose}", "DMSO"]


def test_a_grid_of_doses_alone_is_no_grid_of_compounds(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("conc_uM,1,2\nA,1,2\nB,3,4\n")
    with pytest.raises(ValueError, match="no well has a compound"):
        platemap.read(path, plate="P")


def test_doses_in_two_units_that_agree_are_one(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound,conc_uM,conc_nM\nA1,x,0.05,50\nA2,x,1,1000\nB1,DMSO,,\n")
    reading = platemap.reading(path, plate="P")
    assert reading.unit == "\u00b5M" and reading.frame["Metadata_Concentration"].tolist()[:2] == [0.05, 1.0]
    path.write_text("well,compound,conc_uM,conc_nM\nA1,x,0.05,500\nA2,x,1,1000\nB1,DMSO,,\n")
    with pytest.raises(ValueError, match="found \\['conc_uM', 'conc_nM'\\], which differ"):
        platemap.reading(path, plate="P")
