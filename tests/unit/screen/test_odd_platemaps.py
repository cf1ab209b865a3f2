"""Platemaps with the oddities of spreadsheets, keyboards and exports: each is read as it was meant, or refused."""

import datetime

import openpyxl
import pytest

from wellspring.screen import platemap

HEAD = "well,compound,conc_uM\n"
TWO = {"A01": "x@1", "B01": "DMSO"}
# Content -> treatment of each well.
READ = {
    "a measure in percent": (
        "well,compound,% confluence,PM score\nA1,x,1,2\nA2,x,9,3\nB1,DMSO,,\n",
        {"A01": "x", "A02": "x", "B01": "DMSO"},
    ),
    "no-break space around a cell": (HEAD + "\u00a0A1\u00a0,x\u00a0,1\nB1,DMSO\u00a0,\n", TWO),
    "no-break space within a well": (HEAD + "A\u00a01,x,1\nB1,DMSO,\n", TWO),
    "no-break and double spaces in a compound": (
        HEAD + "A1,drug\u00a0x,1\nA2,drug  x,1\nB1,DMSO,\n",
        {"A01": "drug x@1", "A02": "drug x@1", "B01": "DMSO"},
    ),
    "marks without width": (HEAD + "A\u200b1,x\u00ad,1\nB1,\ufeffDM\u200bSO,\n", TWO),
    "Cyrillic and Greek letters in wells": (
        HEAD + "\u04101,x,1\n\u03921,DMSO,\n\u04212,y,3\n",
        {"A01": "x@1", "B01": "DMSO", "C02": "y@3"},
    ),
    "letters of full width in a well": (HEAD + "\uff21\uff11,x,1\nB1,DMSO,\n", TWO),
    "Cyrillic letters in column names": ("well,c\u043empound,d\u043ese\nA1,x,1\nB1,DMSO,\n", TWO),
    "three letters for micro": (
        "well,compound,conc\nA1,x,1 \u03bcM\nA2,x,2 \u00b5\u041c\nA3,x,500 nM\nB1,DMSO,\n",
        {"A01": "x@1", "A02": "x@2", "A03": "x@0.5", "B01": "DMSO"},
    ),
    "the sign for minus": ("well,compound,conc_M\nA1,x,1e\u22126\nB1,DMSO,0\n", {"A01": "x@0.000001", "B01": "DMSO@0"}),
    "decimal commas": ("well;compound;conc_uM\nA1;x;0,5\nA2;x;1,25\nB1;DMSO;\n",
                       {"A01": "x@0.5", "A02": "x@1.25", "B01": "DMSO"}),
    "ends of lines of three systems": (HEAD + "A1,x,1\r\nB1,DMSO,\r", TWO),
    "line ends within cells": (HEAD + "A1,x\u2028y\x0bz,1\nB1,DMSO,\n", {"A01": "x y z@1", "B01": "DMSO"}),
    "the end of a file of DOS": (HEAD + "A1,x,1\nB1,DMSO,\n\x1a", TWO),
    "comments, one in quotes": ('"# by A, B"\n' + HEAD + "A1,x,1\n# C1,y,1\nB1,DMSO,\n#end\n", TWO),
    "a separator that is stated in quotes": ('"sep=;"\nwell;compound;conc_uM\nA1;x;1\nB1;DMSO;\n', TWO),
    "two marks of byte order": ("\ufeff\ufeff" + HEAD + "A1,x,1\nB1,DMSO,\n", TWO),
    "numbers forced to text": ('well,compound,conc_uM\n="A1",x,"=""1"""\n="B1",DMSO,\n', TWO),
    "blank columns at the left": (",,well,compound,conc_uM\n,,A1,x,1\n,,B1,DMSO,\n", TWO),
    "a legend beside the table": ("well,compound,conc_uM,,legend\nA1,x,1,,blue\nB1,DMSO,,,\n", TWO),
    "a legend beside a grid, letters repeated": (
        "compound,1,2,3,,x is taxol\nA,x,y,DMSO\nB,x,y,DMSO,,no lot\n\nmade by A\n",
        {"A01": "x", "A02": "y", "A03": "DMSO", "B01": "x", "B02": "y", "B03": "DMSO"},
    ),
    "numbers of rows and columns as decimals": ("row,col,compound\n1.0,1.0,x\n2.0,3.0,DMSO\n",
                                                {"A01": "x", "B03": "DMSO"}),
    "words of programs for no dose": (
        HEAD + "A1,x,1\nA2,y,NA\nA3,z,-\nA4,w,NaN\nB1,DMSO,N/A\nB2,DMSO,null\n",
        {"A01": "x@1", "A02": "y", "A03": "z", "A04": "w", "B01": "DMSO", "B02": "DMSO"},
    ),
    "wells as Harmony names them": ("well,compound\nr01c02,x\nR16C24,DMSO\n", {"A02": "x", "P24": "DMSO"}),
    "cell types": ("well,compound,Cell type\nA1,x,U2OS\nB1,DMSO,U2OS\n", {"A01": "x", "B01": "DMSO"}),
    "marks of controls that agree": ("well,compound,control\nA1,x,no\nB1,DMSO,yes\n", {"A01": "x", "B01": "DMSO"}),
}  # fmt: skip
SIDEWAYS = "row,column,compound\n" + "".join(f"{row},{col},x\n" for row in range(1, 13) for col in range(1, 9))
REFUSED = {
    "a well that became a number": (HEAD + "1E+01,x,1\n", r"well '1E\+01'.*made a number or a date of it.*Text"),
    "a well that became a date": (HEAD + "1-Mar,x,1\n", "well '1-Mar'.*made a number or a date of it"),
    "wells by number": ("well,compound\n1,x\n2,DMSO\n", "well '1'.*wells by number: write their names"),
    "the letter O for a zero": (HEAD + "AO1,x,1\n", "well 'AO1': expected rows A to AF"),
    "a letter of another alphabet without a Latin twin": (HEAD + "\u04161,x,1\n", r"well '\\u04161'|well '\u04161'"),
    "wells from zero": ("well,compound\nA00,x\nA01,DMSO\n", "line 2: well 'A00': expected rows A to AF and columns 1"),
    "rows from zero": ("row,col,compound\n0,0,x\n0,1,DMSO\n", "line 2: well '0,0'"),
    "a plate on its side": (SIDEWAYS, "expected a plate of 8 rows and 12 columns, found 12 rows in 'row' and 8"),
    "letters as columns": ("row,column,compound\n1,A,x\n", "found '1' and 'A'"),
    "a control in Cyrillic letters": (HEAD + "A1,D\u041cSO,\nB1,x,1\n", r"'D\\u041cSO' in 1 wells is not the control"),
    "digits of another script": (HEAD + "A1,x,\u0661\u0660\nB1,DMSO,\n", "expected numbers as concentrations"),
    "concentrations as dates": (HEAD + "A1,x,5-Jan\nB1,DMSO,\n", r"concentrations, found \['5-Jan'\]"),
    "a column that was too narrow": (HEAD + "A1,x,####\nB1,DMSO,\n", r"found \['####'\]"),
    "limits for concentrations": (HEAD + "A1,x,>10\nB1,DMSO,\n", r"found \['>10'\]"),
    "an infinite concentration": (HEAD + "A1,x,inf\nB1,DMSO,\n", r"found \['inf'\]"),
    "a range": (HEAD + "A1,x,1-10\nB1,DMSO,\n", r"found \['1-10'\]"),
    "thousands by spaces": ("well;compound;conc_nM\nA1;x;1\u202f000\nB1;DMSO;\n", r"found \['1 000'\]"),
    "thousands by a comma beside decimal commas": (
        "well;compound;conc_uM\nA1;x;0,125\nA2;x;1,250\nB1;DMSO;\n", "'1,250' may be 1250 or 1.250"),
    "decimal commas without quotes": (HEAD + "A1,x,0,5\nB1,DMSO,0\n", "line 2: expected 3 cells.*a decimal comma in a"),
    "logarithms": ("well,compound,log10 conc\nA1,x,-6\nA2,x,-7\nB1,DMSO,\n", "'log10 conc'.*or their logarithms"),
    "logarithms of molar": ("well,compound,logM\nA1,x,-6\nA2,x,-7\nB1,DMSO,\n", "'logM'.*or their logarithms"),
    "a unit that was lost": ("well,compound,conc (?M)\nA1,x,1\nA2,x,2\nB1,DMSO,\n", r"'conc \(\?M\)'.*unit that is"),
    "doses in con_uM": ("well,compound,con_uM\nA1,x,1\nA2,x,9\nB1,DMSO,\n", "'con_uM' has.*may hold conc"),
    "doses in level nM": ("well,compound,level nM\nA1,x,1\nA2,x,9\nB1,DMSO,\n", "'level nM' has.*may hold conc"),
    "doses in nM final": ("well,compound,nM final\nA1,x,1\nA2,x,9\nB1,DMSO,\n", "'nM final' has.*may hold conc"),
    "doses in uM (set)": ("well,compound,uM (set)\nA1,x,1\nA2,x,9\nB1,DMSO,\n", r"'uM \(set\)' has.*may hold conc"),
    "molarity": ("well,compound,Molarity\nA1,x,1\nA2,x,9\nB1,DMSO,\n", "'Molarity' has.*may hold conc"),
    "doses in sum_mg_ml": ("well,compound,sum_mg_ml\nA1,x,1\nA2,x,9\nB1,DMSO,\n", "'sum_mg_ml' has.*may hold conc"),
    "levels of doses": ("well,compound,dose level\nA1,x,1\nA2,x,2\nB1,DMSO,\n", "'dose level'.*unit that is not known"),
    "a unit in mojibake": ("well,compound,conc\nA1,x,1 \u00c2\u00b5M\nB1,DMSO,\n", "concentrations, found"),
    "compounds and concentrations swapped": (
        "well,compound,dose\nA1,1,x\nA2,2,y\nB1,DMSO,\n", "numbers as compounds and words as conc.*swap"),
    "genes as dates": ("well,gene,pert_type\nA1,1-Mar,trt\nB1,NTC,negcon\n", r"names in 'gene', found \['1-Mar'\]"),
    "names as numbers": ("well,compound\nA1,2.31E+19\nB1,DMSO\n", r"names in 'compound', found \['2.31E\+19'\]"),
    "doses that were merged": (
        HEAD + "A1,x,1\nA2,x,\nA3,x,9\nA4,y,NA\nB1,DMSO,\n", r"\['A02'\] have no concentration in 'conc_uM', .*'x'"),
    "a dose that is not known": (HEAD + "A1,x,1\nA2,x,unknown\nB1,DMSO,\n", r"as concentrations, found \['unknown'\]"),
    "a cell that was merged": (HEAD + "A1,x,1\nA2,,2\nB1,DMSO,\n", r"\['A02'\] have a concentration and no compound"),
    "plates that were merged": ("plate,well,compound\nP1,A1,x\n,A2,y\n", r"none in the lines \[3\]: fill it in"),
    "plates that were rounded": ("plate,well,compound\n2.05E+11,A1,x\n", "a spreadsheet rounded these numbers"),
    "plates with a space": ("plate,well,compound\nP 001,A1,x\n", "did you mean 'P 001'"),
    "plates under another name": ("lab,well,compound\nP001,A1,x\nP002,A2,y\n", "'lab' may name the plate of each row"),
    "a slip of plate": ("plte,well,compound\nP2,A1,x\nP2,A2,y\n", "'plte' may name the plate of each row"),
    "a table under the table": (HEAD + "A1,x,1\n\nwell,gene,note\nA1,g,n\n", "line 4: well 'well'.*remove it"),
    "the header twice": (HEAD + "A1,x,1\n" + HEAD + "B1,DMSO,\n", "line 3: well 'well'.*remove it"),
    "totals at the end": (HEAD + "A1,x,1\nB1,DMSO,\nTotal,2,1\n", "line 4: well 'Total'.*remove it"),
    "totals without a name": (HEAD + "A1,x,1\nB1,DMSO,\n,2,1\n", "line 4: well '': .*found an empty cell.*remove it"),
    "a row of units": ("well,compound,conc\n,,uM\nA1,x,1\n", "line 2: well '': .*found an empty cell"),
    "two tables side by side": ("well,compound,,Well,moa\nA1,x,,A2,k\n", r"found \['well', 'Well'\], which differ"),
    "a well in two spellings with two compounds": (HEAD + "A1,x,1\nA01,y,1\n", r"found twice \['A01'\]"),
    "a well in two alphabets with two compounds": (HEAD + "A1,x,1\n\u0410\u0031,y,1\n", r"found twice \['A01'\]"),
    "words for no type": ("well,compound,control_type\nA1,x,-\nB1,DMSO,negcon\n", r"instead of \['-'\]"),
    "a blank type of a control": (
        "well,compound,role\nA1,x,treated\nA2,ethanol,vehicle\nB1,ethanol,\n",
        r"wells \['B01'\] of 'ethanol' have no type in 'role', while other wells of it are negcon: fill it in"),
    "a control of no kind": (
        "well,compound,pert_type,control_type\nA1,x,trt,\nA2,y,control,\n", r"no.* control_type|control_type for each"),
    "marks of controls that contradict": (
        "well,compound,is_control\nA1,x,0\nA2,z,1\nB1,DMSO,1\n", r"'is_control' and the types differ in .*'A02'"),
    "a grid of one column too few": ("compound,1,2\nA,x,y,z\nB,x,y,DMSO\n", "line 2: expected 2 cells.*'z' in colu"),
    "bars between cells": ("well|compound\nA1|x\n", r"names are separated by `\|`"),
    "spaces between cells": ("well   compound\nA1     x\n", "must be separated by a tab, comma or semicolon"),
    "no names of columns": ("A1,x,1\nB1,DMSO,\n", "'A1' is a well: is the line with the names of the columns missing"),
    "names of columns as a comment": ("#well,compound\nA1,x\nB1,DMSO\n", "missing, or begun with #"),
    "lines in quotes": ('"well,compound"\n"A1,x"\n', "each line is in quotes as a whole"),
    "a web page": ("<html><table><tr><td>well</td></tr></table></html>", "a web page or XML.*save it as .xlsx or CSV"),
    "JSON": ('[{"well": "A1", "compound": "x"}]', "found JSON; write it as CSV"),
    "a document": ("{\\rtf1 well,compound}", "a document in RTF"),
}  # fmt: skip
SLIPS = {"dsoe": "dose", "cnoc": "conc", "rloe": "role", "tpye": "type", "mao": "moa", "contol": "control",
         "durg": "drug", "unti": "unit"}  # fmt: skip


def read(folder, content, *, plate="P001", name="map.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return platemap.reading(path, plate=plate)


@pytest.mark.parametrize("name", READ)
def test_an_odd_table_is_read_as_it_was_meant(tmp_path, name):
    content, expected = READ[name]
    frame = read(tmp_path, content).frame
    assert dict(zip(frame["Metadata_Well"], frame["Metadata_Perturbation"], strict=True)) == expected
    kinds = dict(zip(frame["Metadata_Well"], frame["Metadata_pert_type"], strict=True))
    assert kinds == {well: "negcon" if named.startswith("DMSO") else "trt" for well, named in expected.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_is_refused_with_the_reason(tmp_path, name):
    content, message = REFUSED[name]
    with pytest.raises(ValueError, match=rf"map\.csv.*{message}|{message}") as error:
        read(tmp_path, content)
    assert "map.csv" in str(error.value)


@pytest.mark.parametrize("slip", SLIPS)
def test_letters_in_reverse_order_are_a_slip(tmp_path, slip):
    cells = {"role": ("treated", "vehicle"), "type": ("trt", "negcon"), "control": ("trt", "negative"),
             "unit": ("nM", "nM"), "drug": ("x", "y")}.get(SLIPS[slip], ("1", "2"))  # fmt: skip
    head = "well,concentration" if SLIPS[slip] == "drug" else "well,compound,concentration"
    head = "well,compound" if SLIPS[slip] in ("dose", "conc") else head
    rows = [",".join(({"well": well, "compound": "x", "concentration": "1"})[name] for name in head.split(","))
            for well in ("A1", "A2")]  # fmt: skip
    lines = [f"{head},{slip}", *(f"{row},{cell}" for row, cell in zip(rows, cells, strict=True))]
    with pytest.raises(ValueError, match=rf"the column '{slip}' is not known, perhaps it is '{SLIPS[slip]}'"):
        read(tmp_path, "\n".join(lines) + "\n")


def test_old_and_foreign_workbooks_are_called_what_they_are(tmp_path):
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    locked = old + "EncryptedPackage".encode("utf-16-le")
    words = r"a workbook of Excel 97 to 2003 \(\.xls\); save it as \.xlsx or CSV"
    for name in ("map.xls", "map.xlsx", "map.csv"):
        with pytest.raises(ValueError, match=words):
            read(tmp_path, old, name=name)
    with pytest.raises(ValueError, match="a workbook with a password; remove it"):
        read(tmp_path, locked, name="map.xlsx")
    with pytest.raises(ValueError, match=r"OpenDocument spreadsheet \(\.ods\)"):
        read(tmp_path, b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet")
    with pytest.raises(ValueError, match=r"another kind of file; give text the ending \.csv"):
        read(tmp_path, HEAD + "A1,x,1\n", name="map.xlsx")


def test_a_plate_in_other_letters_or_as_a_number_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean 'p001'\? \(write it as in the sheet, upper and lower case"):
        read(tmp_path, "plate,well,compound\np001,A1,x\n")
    with pytest.raises(ValueError, match=r"did you mean '12\.0'\? \(a program made a number of it"):
        read(tmp_path, "plate,well,compound\n12.0,A1,x\n", plate="12")


def test_plates_without_their_zeros_are_named(tmp_path):
    content = "plate,well,compound\n12,A1,x\n"
    with pytest.raises(ValueError, match="did you mean '12'.*removes leading zeros: give the column the format Text"):
        read(tmp_path, content, plate="0012")
    (tmp_path / "barcode_platemap.csv").write_text("Assay_Plate_Barcode,Plate_Map_Name\n12,m\n")
    with pytest.raises(ValueError, match="0012: expected one platemap .*did you mean '12'.*leading zeros"):
        platemap.read(tmp_path, plate="0012")


def workbook(folder, sheets, formats=(), hidden=()):
    """Save sheets (name to rows); formats: cell to number format, of the first sheet."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
    for cell, form in formats:
        book.worksheets[0][cell].number_format = form
    book.save(folder / "map.xlsx")
    return folder / "map.xlsx"


def test_numbers_of_a_workbook_have_what_their_format_shows(tmp_path):
    rows = [["plate", "well", "compound", "conc"], [12, "A1", "x", 5], [12, "B1", "DMSO", 0.5], [13, "A1", "y", 2]]
    zeros, unit = [(f"A{row}", "0000") for row in (2, 3, 4)], [(f"D{row}", '0.0" nM"') for row in (2, 3, 4)]
    found = platemap.reading(workbook(tmp_path, {"L": rows}, [*zeros, *unit]), plate="0012")
    assert found.unit == "nM"
    assert found.frame["Metadata_Perturbation"].tolist() == ["x@5", "DMSO@0.5"]
    thousands = [(f"D{row}", '#,##0.000," \u00b5M"') for row in (2, 3, 4)]  # 5 is shown as 0.005 \u00b5M
    found = platemap.reading(workbook(tmp_path, {"L": rows}, [*zeros, *thousands]), plate="0012")
    assert found.unit == "\u00b5M"
    assert found.frame["Metadata_Concentration"].tolist() == [0.005, 0.0005]
    percent = [(f"D{row}", "0.0%") for row in (2, 3, 4)]
    found = platemap.reading(workbook(tmp_path, {"L": rows}, [*zeros, *percent]), plate="0012")
    assert found.unit == "%"
    assert found.frame["Metadata_Concentration"].tolist() == [500.0, 50.0]


def test_dates_of_a_workbook_are_no_names(tmp_path):
    rows = [["well", "gene", "pert_type"], ["A1", datetime.datetime(2024, 3, 1), "trt"], ["B1", "NTC", "negcon"]]
    with pytest.raises(ValueError, match=r"names in 'gene', found \['2024-03-01'\], which a spreadsheet made"):
        platemap.read(workbook(tmp_path, {"L": rows}), plate="P")


def test_hidden_sheets_are_left_out_and_a_table_beside_grids_is_refused(tmp_path):
    table, grid = [["well", "compound"], ["A1", "x"], ["B1", "DMSO"]], [[None, 1, 2], ["A", "y", "z"], ["B", "q", "y"]]
    path = workbook(tmp_path, {"Layout": table, "Old": grid, "Older": table}, hidden=("Old", "Older"))
    assert platemap.read(path, plate="P")["Metadata_Compound"].tolist() == ["x", "DMSO"]
    path = workbook(tmp_path, {"Layout": table, "Picture": grid})
    with pytest.raises(ValueError, match=r"found grids in the sheets \['Picture'\] and a table in \['Layout'\]"):
        platemap.read(path, plate="P")
    path = workbook(tmp_path, {"Shown": [], "Layout": table}, hidden=("Layout",))
    with pytest.raises(ValueError, match=r"text in hidden sheets only: \['Layout'\]"):
        platemap.read(path, plate="P")


def test_numbers_that_a_workbook_rounded_are_no_names(tmp_path):
    """A spreadsheet keeps 15 digits: two barcodes of 16 may have become one."""
    rows = [["well", "compound", "pert_type"], ["A1", 1234567890123456789, "trt"], ["B1", "DMSO", "negcon"]]
    with pytest.raises(
        ValueError, match=r"expected names in 'compound', found \['1\.23457E\+18'\], which a spreadsheet"
    ):
        platemap.read(workbook(tmp_path, {"L": rows}, []), plate="P1")


@pytest.mark.parametrize("cell", ["10%", "10 ug/mL"])
def test_a_unit_of_another_kind_than_the_columns_is_refused(tmp_path, cell):
    path = tmp_path / "map.csv"
    path.write_text(f"well,compound,conc_uM\nA1,DMSO,\nB1,x,{cell}\n")
    with pytest.raises(ValueError, match="expected µM as in the column's name, found .* in a cell"):
        platemap.read(path, plate="P1")
